package vastai

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/warmpool-dev/warmpool/internal/fleet"
)

const (
	htmlPage     = "<!DOCTYPE html><html><title>Attention Required!</title></html>"
	limiterDetal = `{"detail":"API requests too frequent endpoint threshold=4.5"}`
	limiterPlain = "API requests too frequent: endpoint threshold=4.5"
	limiterSlug  = `{"success":false,"error":"rate_limit_exceeded","msg":"API requests too frequent endpoint threshold=3.0"}`
	wrongKey     = `{"success":false,"error":"auth_error","msg":"Invalid user key"}`
)

// verdict is what a rent makes of an answer.
type verdict struct {
	Kind     fleet.ErrorKind
	Code     string
	Definite bool
	RentalID int64
}

// rentVerdicts lists every documented or observed answer and what it means for a rent.
func rentVerdicts() map[string]struct {
	status int
	body   string
	want   verdict
} {
	type row = struct {
		status int
		body   string
		want   verdict
	}
	definite := func(kind fleet.ErrorKind, code string) verdict {
		return verdict{Kind: kind, Code: code, Definite: true}
	}
	open := func(kind fleet.ErrorKind, code string) verdict { return verdict{Kind: kind, Code: code} }
	return map[string]row{
		"wrong key, 404":            {404, wrongKey, definite(fleet.KindUnauthorized, "auth_error")},
		"wrong key, 401":            {401, wrongKey, definite(fleet.KindUnauthorized, "auth_error")},
		"wrong key, 404, no slug":   {404, `{"success":false,"msg":"Invalid user key"}`, definite(fleet.KindUnauthorized, "")},
		"session expired":           {404, `{"success":false,"msg":"Session expired. Please log in again."}`, definite(fleet.KindUnauthorized, "")},
		"second factor needed":      {401, `{"success":false,"msg":"Two Factor Authentication required"}`, definite(fleet.KindUnauthorized, "")},
		"no auth header":            {403, `{"success":false,"error":"auth_error","msg":"This action requires login."}`, definite(fleet.KindUnauthorized, "auth_error")},
		"key lacks scope":           {403, `{"success":false,"error":"forbidden","msg":"Key is not permitted to do this."}`, definite(fleet.KindForbidden, "forbidden")},
		"wrong key, 200":            {200, wrongKey, definite(fleet.KindUnauthorized, "auth_error")},
		"no credit":                 {400, `{"error":"insufficient_credit","msg":"Your account lacks credit; see the billing page."}`, definite(fleet.KindInsufficientCredit, "insufficient_credit")},
		"no credit, 200":            {200, `{"success":false,"error":"insufficient_credit"}`, definite(fleet.KindInsufficientCredit, "insufficient_credit")},
		"new account cap":           {400, `{"success":false,"error":"spend_rate_limit","msg":"x"}`, definite(fleet.KindInsufficientCredit, "spend_rate_limit")},
		"no payment method":         {400, `{"success":false,"error":"missing_billing","msg":"x"}`, definite(fleet.KindInsufficientCredit, "missing_billing")},
		"payment required":          {402, `{"success":false,"msg":"x"}`, definite(fleet.KindInsufficientCredit, "")},
		"prepay without money":      {411, `{"success":false,"msg":"Insufficient credit"}`, definite(fleet.KindInsufficientCredit, "")},
		"offer gone, 404":           {404, `{"success":false,"error":"invalid_args","msg":"error 404/3603: no_such_ask Instance type by id 123 is not available.","ask_id":123}`, definite(fleet.KindOfferGone, "invalid_args")},
		"offer gone, 404, reworded": {404, `{"success":false,"error":"invalid_args","msg":"reworded","ask_id":123}`, definite(fleet.KindOfferGone, "invalid_args")},
		"offer gone, 410":           {410, `{"success":false,"error":"no_such_ask","msg":"error 410/3907: no_such_ask Instance type 123 is no longer available.","ask_id":123}`, definite(fleet.KindOfferGone, "no_such_ask")},
		"offer gone, 400":           {400, `{"success":false,"error":"no_such_ask","msg":"gone"}`, definite(fleet.KindOfferGone, "no_such_ask")},
		"offer gone, 200":           {200, `{"success":false,"error":"no_such_ask","msg":"gone"}`, definite(fleet.KindOfferGone, "no_such_ask")},
		"bad args":                  {400, `{"success":false,"error":"invalid_args","msg":"error 400/3467: Invalid args: 'id' is required and must be a valid offer ID","ask_id":5}`, definite(fleet.KindInvalidRequest, "invalid_args")},
		"bad price":                 {400, `{"success":false,"error":"invalid_price","msg":"x"}`, definite(fleet.KindInvalidRequest, "invalid_price")},
		"no ssh key":                {400, `{"success":false,"error":"no_ssh_key_for_vm","msg":"x"}`, definite(fleet.KindInvalidRequest, "no_ssh_key_for_vm")},
		"bad args, 200":             {200, `{"success":false,"error":"invalid_args","msg":"x"}`, definite(fleet.KindInvalidRequest, "invalid_args")},
		"not your own host":         {403, `{"success":false,"error":"invalid_args","msg":"error 403/3586: Offer 123 is not your own. Hosts can only rent their own machines.","ask_id":123}`, definite(fleet.KindInvalidRequest, "invalid_args")},
		"label too long":            {400, `{"success":false,"error":"label_too_long","msg":"x"}`, definite(fleet.KindInvalidRequest, "label_too_long")},
		"validation list in detail": {422, `{"success":false,"detail":[{"loc":["body"],"msg":"bad"}]}`, definite(fleet.KindInvalidRequest, "")},
		"boolean error key":         {400, `{"error":true,"status_code":400,"msg":"Your account lacks credit"}`, definite(fleet.KindInvalidRequest, "true")},
		"status 483":                {483, `{"success":false,"error":"invalid_json","msg":"x"}`, definite(fleet.KindInvalidRequest, "invalid_json")},
		"no route":                  {404, `{"success":false,"msg":"Not found"}`, definite(fleet.KindInvalidResponse, "")},
		"deprecated, 410":           {410, `{"success":false,"error":"deprecated_endpoint","msg":"x is deprecated."}`, definite(fleet.KindDeprecated, "deprecated_endpoint")},
		"deprecated, 200":           {200, `{"success":false,"error":"deprecated_endpoint","msg":"x is deprecated."}`, open(fleet.KindDeprecated, "deprecated_endpoint")},
		"deprecated, 410, no slug":  {410, `{"success":false,"msg":"gone for good"}`, definite(fleet.KindDeprecated, "")},

		"429 detail":                             {429, limiterDetal, definite(fleet.KindRateLimited, "")},
		"429 plain":                              {429, limiterPlain, definite(fleet.KindRateLimited, "")},
		"429 plain, short":                       {429, "API requests too frequent", definite(fleet.KindRateLimited, "")},
		"429 slug":                               {429, limiterSlug, definite(fleet.KindRateLimited, "rate_limit_exceeded")},
		"429 slug only":                          {429, `{"error":"rate_limit_exceeded"}`, definite(fleet.KindRateLimited, "rate_limit_exceeded")},
		"429 empty":                              {429, "", open(fleet.KindRateLimited, "")},
		"429 html":                               {429, htmlPage, open(fleet.KindRateLimited, "")},
		"429 other text":                         {429, "slow down", open(fleet.KindRateLimited, "")},
		"429 other json":                         {429, `{"success":false,"error":"busy"}`, open(fleet.KindRateLimited, "busy")},
		"200 rate limit":                         {200, limiterSlug, definite(fleet.KindRateLimited, "rate_limit_exceeded")},
		"403 html":                               {403, htmlPage, open(fleet.KindRateLimited, "")},
		"403 text":                               {403, "error code: 1015", open(fleet.KindRateLimited, "")},
		"403 empty":                              {403, "", open(fleet.KindRateLimited, "")},
		"401 html":                               {401, htmlPage, open(fleet.KindUnauthorized, "")},
		"404 html":                               {404, htmlPage, open(fleet.KindInvalidResponse, "")},
		"400 html":                               {400, htmlPage, open(fleet.KindInvalidResponse, "")},
		"400 empty":                              {400, "", open(fleet.KindInvalidResponse, "")},
		"400 foreign json":                       {400, `{"message":"bad gateway config"}`, open(fleet.KindInvalidRequest, "")},
		"404 empty object":                       {404, `{}`, open(fleet.KindInvalidResponse, "")},
		"408":                                    {408, `{"success":false,"error":"timeout"}`, open(fleet.KindUnavailable, "timeout")},
		"409":                                    {409, `{"success":false,"error":"conflict"}`, open(fleet.KindInvalidRequest, "conflict")},
		"425":                                    {425, `{"success":false,"error":"early"}`, open(fleet.KindUnavailable, "early")},
		"500":                                    {500, `{"success":false,"error":"server_error","msg":"x"}`, open(fleet.KindUnavailable, "server_error")},
		"500 offer gone":                         {500, `{"success":false,"error":"no_such_ask"}`, open(fleet.KindOfferGone, "no_such_ask")},
		"502 html":                               {502, htmlPage, open(fleet.KindUnavailable, "")},
		"503 empty":                              {503, "", open(fleet.KindUnavailable, "")},
		"301":                                    {301, htmlPage, open(fleet.KindInvalidResponse, "")},
		"308":                                    {308, "", open(fleet.KindInvalidResponse, "")},
		"204":                                    {204, "", open(fleet.KindInvalidResponse, "")},
		"200 empty":                              {200, "", open(fleet.KindInvalidResponse, "")},
		"200 html":                               {200, htmlPage, open(fleet.KindInvalidResponse, "")},
		"200 text":                               {200, "ok", open(fleet.KindInvalidResponse, "")},
		"200 null":                               {200, "null", open(fleet.KindInvalidResponse, "")},
		"200 array":                              {200, "[]", open(fleet.KindInvalidResponse, "")},
		"200 empty object":                       {200, "{}", open(fleet.KindInvalidResponse, "")},
		"200 cut":                                {200, `{"success":true,"new_con`, open(fleet.KindInvalidResponse, "")},
		"200 no id":                              {200, `{"success":true}`, open(fleet.KindInvalidResponse, "")},
		"200 id zero":                            {200, `{"success":true,"new_contract":0}`, open(fleet.KindInvalidResponse, "")},
		"200 id null":                            {200, `{"success":true,"new_contract":null}`, open(fleet.KindInvalidResponse, "")},
		"200 id is a word":                       {200, `{"success":true,"new_contract":"soon"}`, open(fleet.KindInvalidResponse, "")},
		"200 unknown slug":                       {200, `{"success":false,"error":"something_new","msg":"x"}`, open(fleet.KindInvalidRequest, "something_new")},
		"200 failure, no slug":                   {200, `{"success":false,"msg":"x"}`, open(fleet.KindInvalidRequest, "")},
		"200 failure, no slug, text of an offer": {200, `{"success":false,"msg":"no_such_ask gone"}`, open(fleet.KindOfferGone, "")},
		"200 success and slug":                   {200, `{"success":true,"error":"odd"}`, open(fleet.KindInvalidRequest, "odd")},
		"200 resources unavailable":              {200, `{"success":false,"error":"resources_unavailable","msg":"Required resources are currently unavailable, state change queued."}`, open(fleet.KindResourcesUnavailable, "resources_unavailable")},

		"contract in a 400":            {400, `{"success":false,"error":"invalid_price","msg":"bid too low","new_contract":77}`, verdict{Kind: fleet.KindInvalidRequest, Code: "invalid_price", RentalID: 77}},
		"contract in a 410":            {410, `{"success":false,"error":"no_such_ask","new_contract":"78"}`, verdict{Kind: fleet.KindOfferGone, Code: "no_such_ask", RentalID: 78}},
		"contract in a 500":            {500, `{"new_contract": 79}`, verdict{Kind: fleet.KindUnavailable, RentalID: 79}},
		"contract in a 429":            {429, `{"error":"rate_limit_exceeded","new_contract":80}`, verdict{Kind: fleet.KindRateLimited, Code: "rate_limit_exceeded", RentalID: 80}},
		"contract in a failure of 200": {200, `{"success":false,"error":"no_such_ask","new_contract":81}`, verdict{Kind: fleet.KindOfferGone, Code: "no_such_ask", RentalID: 81}},
		"contract in broken json":      {200, `{"success":true,"new_contract":82,`, verdict{Kind: fleet.KindInvalidResponse, RentalID: 82}},
		"contract in html":             {502, `<pre>{"new_contract":83}</pre>`, verdict{Kind: fleet.KindUnavailable, RentalID: 83}},
		"contract nested":              {400, `{"success":false,"error":"x","data":{"new_contract":84}}`, verdict{Kind: fleet.KindInvalidRequest, Code: "x", RentalID: 84}},
	}
}

func TestRentUnderstandsEveryRefusal(t *testing.T) {
	for name, test := range rentVerdicts() {
		t.Run(name, func(t *testing.T) {
			transport := always(test.status, test.body)
			client := newTestClient(t, transport)
			id, err := rentOnce(t.Context(), client)
			failure := providerError(t, err)
			got := verdict{Kind: failure.Kind, Code: failure.Code, Definite: failure.Definite, RentalID: failure.RentalID}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("verdict (-want +got):\n%s", diff)
			}
			if id != 0 || failure.Operation != "rent" || failure.Status != test.status {
				t.Errorf("id %d, operation %q, status %d", id, failure.Operation, failure.Status)
			}
			if failure.Definite && failure.RentalID != 0 {
				t.Errorf("a definite failure names rental %d", failure.RentalID)
			}
			if n := len(transport.calls()); n != 1 {
				t.Errorf("the rent was sent %d times, want once", n)
			}
		})
	}
}

func TestRentAcceptsASuccess(t *testing.T) {
	for name, body := range map[string]string{
		"usual":           `{"success":true,"new_contract":7835610,"instance_api_key":"d15a"}`,
		"no success key":  `{"new_contract":7835610}`,
		"id as text":      `{"success":true,"new_contract":"7835610"}`,
		"id as float":     `{"success":true,"new_contract":7835610.0}`,
		"surrounding gap": "\n {\"success\": true, \"new_contract\": 7835610}\n",
	} {
		t.Run(name, func(t *testing.T) {
			id, err := rentOnce(t.Context(), newTestClient(t, always(200, body)))
			if err != nil || id != 7835610 {
				t.Errorf("Rent() = %d, %v", id, err)
			}
		})
	}
}

func TestReadsAndWritesUnderstandRefusals(t *testing.T) {
	calls := map[string]func(context.Context, *Client) error{
		"get":  func(ctx context.Context, c *Client) error { _, err := c.GetRental(ctx, 9); return err },
		"list": func(ctx context.Context, c *Client) error { _, err := c.ListRentals(ctx); return err },
		"search": func(ctx context.Context, c *Client) error {
			_, err := c.SearchOffers(ctx, fleet.OfferQuery{DiskGB: 8})
			return err
		},
		"destroy": func(ctx context.Context, c *Client) error { return c.DestroyRental(ctx, 9) },
		"start":   func(ctx context.Context, c *Client) error { return c.StartRental(ctx, 9) },
		"label":   func(ctx context.Context, c *Client) error { return c.SetLabel(ctx, 9, "x") },
		"user":    func(ctx context.Context, c *Client) error { _, err := c.CurrentUser(ctx); return err },
		"logs":    func(ctx context.Context, c *Client) error { _, err := c.Logs(ctx, 9, 10); return err },
	}
	tests := map[string]struct {
		call   string
		status int
		body   string
		want   fleet.ErrorKind
	}{
		"list, wrong key":              {"list", 404, wrongKey, fleet.KindUnauthorized},
		"list, deprecated 410":         {"list", 410, `{"success":false,"error":"deprecated_endpoint","msg":"x is deprecated."}`, fleet.KindDeprecated},
		"list, deprecated 200":         {"list", 200, `{"success":false,"error":"deprecated_endpoint","msg":"x is deprecated."}`, fleet.KindDeprecated},
		"list, bad filter":             {"list", 400, `{"error":"invalid_request","msg":"Error in query parameters: dph_total is not a valid search key"}`, fleet.KindInvalidRequest},
		"list, bad token":              {"list", 400, `{"success":false,"error":"invalid_token","msg":"x"}`, fleet.KindInvalidRequest},
		"list, html 403":               {"list", 403, htmlPage, fleet.KindRateLimited},
		"list, html 200":               {"list", 200, htmlPage, fleet.KindInvalidResponse},
		"list, empty":                  {"list", 200, "", fleet.KindInvalidResponse},
		"list, array":                  {"list", 200, "[]", fleet.KindInvalidResponse},
		"search, bad json":             {"search", 400, `{"error":"invalid_request","msg":"Invalid json body"}`, fleet.KindInvalidRequest},
		"search, bare value":           {"search", 400, `{"success":false,"error":"bad_request","msg":"q.gpu_name: Input should be a valid dictionary"}`, fleet.KindInvalidRequest},
		"search, no list":              {"search", 200, `{"success":true}`, fleet.KindInvalidResponse},
		"search, null":                 {"search", 200, `{"offers":null}`, fleet.KindInvalidResponse},
		"get, gone in words":           {"get", 404, `{"success":false,"error":"no_such_instance","msg":"Instance 9 not found."}`, fleet.KindNotFound},
		"get, wrong key":               {"get", 404, wrongKey, fleet.KindUnauthorized},
		"get, no key instances":        {"get", 200, `{"success":true}`, fleet.KindInvalidResponse},
		"get, empty object":            {"get", 200, `{}`, fleet.KindInvalidResponse},
		"get, empty list":              {"get", 200, `{"instances":[]}`, fleet.KindInvalidResponse},
		"get, text":                    {"get", 200, `{"instances":"none"}`, fleet.KindInvalidResponse},
		"get, other instance":          {"get", 200, `{"instances":{"id":8,"dph_total":1}}`, fleet.KindInvalidResponse},
		"destroy, not_found":           {"destroy", 404, `{"success":false,"error":"not_found","msg":"Instance not found"}`, fleet.KindNotFound},
		"destroy, no_such_instance":    {"destroy", 404, `{"success":false,"error":"no_such_instance"}`, fleet.KindNotFound},
		"destroy, text only":           {"destroy", 404, `{"msg":"Instance with that ID does not exist."}`, fleet.KindNotFound},
		"destroy, no route":            {"destroy", 404, `{"success":false,"msg":"Not found"}`, fleet.KindInvalidResponse},
		"destroy, says nothing":        {"destroy", 200, `{}`, fleet.KindInvalidResponse},
		"destroy, success null":        {"destroy", 200, `{"success":null}`, fleet.KindInvalidResponse},
		"destroy, 200 failure":         {"destroy", 200, `{"success":false,"error":"busy"}`, fleet.KindInvalidRequest},
		"destroy, limiter":             {"destroy", 429, limiterSlug, fleet.KindRateLimited},
		"start, no resources":          {"start", 200, `{"success":false,"error":"resources_unavailable","msg":"Required resources are currently unavailable, state change queued."}`, fleet.KindResourcesUnavailable},
		"start, no billing":            {"start", 400, `{"success":false,"error":"missing_billing"}`, fleet.KindInsufficientCredit},
		"get, key refused by its slug": {"get", 404, `{"success":false,"error":"auth_error","msg":"reworded"}`, fleet.KindUnauthorized},
		"destroy, refused by its slug": {"destroy", 404, `{"success":false,"error":"auth_error","msg":"reworded"}`, fleet.KindUnauthorized},
		"label, too long":              {"label", 400, `{"success":false,"error":"label_too_long","msg":"x"}`, fleet.KindInvalidRequest},
		"label, unknown":               {"label", 404, `{"success":false,"error":"no_such_instance","msg":"Instance 9 not found."}`, fleet.KindNotFound},
		"user, lacks scope":            {"user", 403, `{"success":false,"msg":"permission missing"}`, fleet.KindForbidden},
		"user, no id":                  {"user", 200, `{"credit":5}`, fleet.KindInvalidResponse},
		"user, no credit":              {"user", 200, `{"id":5,"credit":null}`, fleet.KindInvalidResponse},
		"logs, unknown":                {"logs", 404, `{"success":false,"error":"invalid_id","msg":"Invalid instance id."}`, fleet.KindNotFound},
		"logs, no address":             {"logs", 200, `{"success":true}`, fleet.KindInvalidResponse},
		"logs, address of a file":      {"logs", 200, `{"success":true,"result_url":"file:///etc/passwd"}`, fleet.KindInvalidResponse},
		"logs, address with user info": {"logs", 200, `{"success":true,"result_url":"https://a:b@s3.test/x"}`, fleet.KindInvalidResponse},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				err := calls[test.call](t.Context(), newTestClient(t, always(test.status, test.body), withoutLimits))
				if got := providerError(t, err).Kind; got != test.want {
					t.Errorf("kind = %s, want %s (%v)", got, test.want, err)
				}
			})
		})
	}
}

func TestAQueuedStartIsNoDefiniteFailure(t *testing.T) {
	client := newTestClient(t, always(200, `{"success":false,"error":"resources_unavailable"}`))
	if err := client.StartRental(t.Context(), 9); fleet.IsDefinite(err) {
		t.Errorf("%v is definite, but the start may fire later", err)
	}
}

func TestRentThatLosesItsAnswerIsOpen(t *testing.T) {
	broken := errors.New("connection reset by peer")
	tests := map[string]struct {
		answer func(int, *http.Request) (*http.Response, error)
		want   verdict
	}{
		"connection breaks": {
			func(int, *http.Request) (*http.Response, error) { return nil, broken },
			verdict{Kind: fleet.KindUnavailable},
		},
		"body breaks": {
			func(int, *http.Request) (*http.Response, error) {
				response := respond(200, "")
				response.Body = &breakingBody{data: strings.NewReader(`{"succ`), err: broken}
				return response, nil
			},
			verdict{Kind: fleet.KindUnavailable},
		},
		"body breaks after the id": {
			func(int, *http.Request) (*http.Response, error) {
				response := respond(200, "")
				response.Body = &breakingBody{data: strings.NewReader(`{"success":true,"new_contract":91,`), err: broken}
				return response, nil
			},
			verdict{Kind: fleet.KindUnavailable, RentalID: 91},
		},
		"body without end": {
			func(int, *http.Request) (*http.Response, error) {
				return respond(200, `{"new_contract":92,"pad":"`+strings.Repeat("x", maxBody)), nil
			},
			verdict{Kind: fleet.KindInvalidResponse, RentalID: 92},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			transport := &wire{answer: test.answer}
			_, err := rentOnce(t.Context(), newTestClient(t, transport))
			failure := providerError(t, err)
			got := verdict{Kind: failure.Kind, Code: failure.Code, Definite: failure.Definite, RentalID: failure.RentalID}
			if diff := cmp.Diff(test.want, got, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("verdict (-want +got):\n%s", diff)
			}
			if n := len(transport.calls()); n != 1 {
				t.Errorf("the rent was sent %d times, want once", n)
			}
		})
	}
}

// breakingBody ends in an error.
type breakingBody struct {
	data *strings.Reader
	err  error
}

func (b *breakingBody) Read(p []byte) (int, error) {
	if b.data.Len() == 0 {
		return 0, b.err
	}
	return b.data.Read(p)
}

func (*breakingBody) Close() error { return nil }
