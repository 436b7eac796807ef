package vastai

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/warmpool-dev/warmpool/internal/fleet"
)

// page builds one page of the list.
func page(total int, next string, ids ...int) string {
	rows := make([]string, 0, len(ids))
	for _, id := range ids {
		rows = append(rows, fmt.Sprintf(`{"id":%d,"machine_id":7,"dph_total":0.25}`, id))
	}
	token := "null"
	if next != "" {
		token = fmt.Sprintf("%q", next)
	}
	return fmt.Sprintf(`{"success":true,"instances_found":%d,"total_instances":%d,"label_counts":{"":1},"next_token":%s,"instances":[%s]}`,
		len(ids), total, token, strings.Join(rows, ","))
}

func TestListReadsEveryPage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		transport := sequence(page(3, "t+1=", 1, 2), page(4, "t2", 3), page(4, ""))
		listing, err := newTestClient(t, transport).ListRentals(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if listing.FirstTotal != 3 || listing.LastTotal != 4 || listing.Pages != 3 || len(listing.Rentals) != 3 {
			t.Errorf("listing = %+v", listing)
		}
		if got := listing.FinishedAt.Sub(listing.StartedAt); got != 2*time.Second {
			t.Errorf("reading took %s, want 2 s: one interval between pages", got)
		}
		var tokens []string
		for _, sent := range transport.calls() {
			query, err := url.ParseQuery(sent.Query)
			if err != nil || sent.Path != "/api/v1/instances/" || sent.Method != http.MethodGet {
				t.Errorf("request = %+v", sent)
			}
			if query.Get("limit") != "25" || query.Get("order_by") != `[{"col":"id","dir":"asc"}]` || query.Get("select_filters") != "{}" {
				t.Errorf("query = %s", sent.Query)
			}
			tokens = append(tokens, query.Get("after_token"))
		}
		if diff := cmp.Diff([]string{"", "t+1=", "t2"}, tokens); diff != "" {
			t.Errorf("tokens (-want +got):\n%s", diff)
		}
	})
}

func TestAnEmptyAccountIsAnEmptyList(t *testing.T) {
	listing, err := newTestClient(t, always(200, page(0, ""))).ListRentals(t.Context())
	if err != nil || listing.Rentals == nil || len(listing.Rentals) != 0 || listing.Pages != 1 {
		t.Errorf("ListRentals() = %+v, %v", listing, err)
	}
}

func TestAnIncompleteReadingIsNeverAList(t *testing.T) {
	for name, test := range map[string]struct {
		answers []string
		says    string
	}{
		"no instances":        {[]string{`{"success":true,"total_instances":0}`}, "no list"},
		"instances null":      {[]string{`{"success":true,"total_instances":0,"instances":null}`}, "no list"},
		"instances an object": {[]string{`{"success":true,"total_instances":1,"instances":{"id":1}}`}, "another schema"},
		"no total":            {[]string{`{"success":true,"instances":[]}`}, "no total"},
		"total null":          {[]string{`{"success":true,"total_instances":null,"instances":[]}`}, "no total"},
		"total a word":        {[]string{`{"success":true,"total_instances":"many","instances":[]}`}, "no total"},
		"total negative":      {[]string{`{"success":true,"total_instances":-1,"instances":[]}`}, "no total"},
		"row without id":      {[]string{`{"total_instances":1,"instances":[{"dph_total":1}]}`}, "no id"},
		"row null":            {[]string{`{"total_instances":1,"instances":[null]}`}, "no id"},
		"row without price":   {[]string{`{"total_instances":1,"instances":[{"id":5}]}`}, "price of instance 5"},
		"row with odd price":  {[]string{`{"total_instances":1,"instances":[{"id":5,"dph_total":-1}]}`}, "price of instance 5"},
		"twice on a page":     {[]string{page(2, "", 1, 1)}, "twice"},
		"twice on two pages":  {[]string{page(2, "a", 1), page(2, "", 1)}, "twice"},
		"token repeats":       {[]string{page(9, "a", 1), page(9, "b", 2), page(9, "a", 3)}, "repeats"},
		"second page empty":   {[]string{page(2, "a", 1), "{}"}, "no list"},
		"second page html":    {[]string{page(2, "a", 1), htmlPage}, "HTML"},
		"second page cut":     {[]string{page(2, "a", 1), page(2, "", 2)[:60]}, ""},
		"second page refused": {[]string{page(2, "a", 1), `{"success":false,"error":"invalid_token"}`}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				listing, err := newTestClient(t, sequence(test.answers...)).ListRentals(t.Context())
				failure := providerError(t, err)
				if listing.Rentals != nil || listing.Pages != 0 {
					t.Errorf("a short list came with the error: %+v", listing)
				}
				if !strings.Contains(failure.Message, test.says) {
					t.Errorf("message %q does not say %q", failure.Message, test.says)
				}
			})
		})
	}
}

func TestAListWithoutEndIsGivenUp(t *testing.T) {
	transport := &wire{answer: func(n int, _ *http.Request) (*http.Response, error) {
		return respond(200, page(1, fmt.Sprint("token", n))), nil
	}}
	_, err := newTestClient(t, transport, withoutLimits).ListRentals(t.Context())
	if fleet.KindOf(err) != fleet.KindInvalidResponse || len(transport.calls()) != maxPages {
		t.Errorf("%d pages, error %v", len(transport.calls()), err)
	}
}

func TestGetRentalKnowsGoneFromUnknown(t *testing.T) {
	for name, test := range map[string]struct {
		body string
		want bool
	}{
		"gone":   {`{"instances":null}`, false},
		"object": {`{"instances":{"id":9,"dph_total":0.5}}`, true},
		"list":   {`{"instances":[{"id":9,"dph_total":0.5}]}`, true},
	} {
		t.Run(name, func(t *testing.T) {
			transport := always(200, test.body)
			rental, err := newTestClient(t, transport).GetRental(t.Context(), 9)
			if err != nil || (rental != nil) != test.want {
				t.Errorf("GetRental() = %v, %v", rental, err)
			}
			sent := transport.calls()[0]
			if sent.Method != http.MethodGet || sent.Path != "/api/v0/instances/9/" || sent.Query != "owner=me" {
				t.Errorf("request = %+v", sent)
			}
		})
	}
}
