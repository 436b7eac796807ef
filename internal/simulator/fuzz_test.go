package simulator

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	clocktesting "k8s.io/utils/clock/testing"

	"github.com/warmpool-dev/warmpool/internal/vastai/schema"
)

// FuzzRent proves that no body of a rent breaks the decoder or the checks.
func FuzzRent(f *testing.F) {
	for _, seed := range []string{`{}`, `{"image":"x","disk":"10","env":{"-p 8188:8188":"1"}}`, `{"env":[["a","b"]],"price":"x"}`, `{"disk":1e308,"label":7}`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data string) {
		c := &call{body: []byte(data)}
		var body schema.RentRequest
		if _, ok := decode(c, &body); !ok {
			return
		}
		order, refused := newOrder(1, &body)
		if refused == nil && (order.image == "" || order.diskGB < minDiskGB) {
			t.Errorf("accepted: image %q, disk %v", order.image, order.diskGB)
		}
	})
}

// FuzzList proves that no list parameters break the parser.
func FuzzList(f *testing.F) {
	f.Add("25", "", `{"label":{"in":["a"]}}`, `[{"col":"id","dir":"asc"}]`)
	f.Add("-1", "eyJ2YWx1ZXMiOnsiaWQiOjF9fQ==", `{}`, `null`)
	f.Add("x", "%%", `[]`, `{}`)
	f.Fuzz(func(t *testing.T, limit, token, filters, order string) {
		query := url.Values{"limit": {limit}, "after_token": {token}, "select_filters": {filters}, "order_by": {order}}
		c := &call{request: &http.Request{URL: &url.URL{RawQuery: query.Encode()}}}
		if q, refused := parseList(c); refused == nil && (q.limit < 1 || q.limit > maxPage) {
			t.Errorf("limit %d of %q", q.limit, limit)
		}
	})
}

// fuzzWorld is a simulation that lives as long as a fuzz target.
func fuzzWorld(f *testing.F) *Server {
	f.Helper()
	server, err := Start(f.Context(), Config{
		Clock: clocktesting.NewFakeClock(epochStart), Seed: 1, Provisioning: fixed(), Backend: NoBackend(),
		Market: Market{Offers: priced(300_000, 400_000, 500_000), Frozen: true}, RateLimits: RateLimits{Disabled: true},
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() {
		if err := server.Close(); err != nil {
			f.Error(err)
		}
	})
	return server
}

// FuzzRequests sends any body and query to every route of the API: each is
// answered, in JSON where it says so, and none breaks the simulation.
func FuzzRequests(f *testing.F) {
	server := fuzzWorld(f)
	handler, table := apiHandler(server.world), routes()
	for at := range table {
		f.Add(at, "", `{}`)
	}
	f.Add(0, "limit=25&after_token=%25&select_filters={}", `{"num_gpus":{"eq":"1"},"order":[["dph_total","asc"]],"limit":2}`)
	f.Add(1, `select_filters={"day":{"gte":1}}`, `{"image":"x","disk":10,"label":"a"}`)
	f.Add(2, "", `{"ids":["1",2,null],"state":"running","instance_ids":[1]}`)
	f.Add(3, "", `{"tail":"99999999999999999999","ssh_key":"ssh-ed25519 A","pending_price_increase_id":"x"}`)
	f.Fuzz(func(t *testing.T, at int, query, body string) {
		r := table[uint(at)%uint(len(table))]
		path := strings.ReplaceAll(r.pattern, "{id}", "1")
		request := httptest.NewRequest(r.method, "http://sim"+path, strings.NewReader(body))
		request.URL.RawQuery = query
		request.Header.Set("Authorization", "Bearer sim-key")
		answered := httptest.NewRecorder()
		handler.ServeHTTP(answered, request)
		if answered.Code < 200 || answered.Code > 599 {
			t.Errorf("%s %s: status %d", r.method, path, answered.Code)
		}
		isJSON := strings.HasPrefix(answered.Header().Get("Content-Type"), "application/json")
		if isJSON && !json.Valid(answered.Body.Bytes()) {
			t.Errorf("%s %s: %s is no JSON", r.method, path, answered.Body)
		}
	})
}

// FuzzAdmin sends any body to the routes that change the simulation: each is
// done or refused.
func FuzzAdmin(f *testing.F) {
	server := fuzzWorld(f)
	handler := adminHandler(server)
	paths := []string{"/faults", "/market", "/rentals", "/rentals/1/fault", "/keys"}
	for at := range paths {
		f.Add(at, `{}`)
	}
	f.Add(0, `{"kind":"http_status","endpoint":"list","params":{"status":"500"},"count":1}`)
	f.Add(1, `{"add":[{"id":9,"machineID":3,"priceMicros":-1}],"remove":[9],"machines":[{"machineID":3}]}`)
	f.Add(2, `{"offerID":1,"label":"x"}`)
	f.Add(4, `{"action":"rotate","key":"sim-key","newKey":"b"}`)
	f.Fuzz(func(t *testing.T, at int, body string) {
		request := httptest.NewRequest(http.MethodPost, "http://sim"+paths[uint(at)%uint(len(paths))], strings.NewReader(body))
		answered := httptest.NewRecorder()
		handler.ServeHTTP(answered, request)
		if code := answered.Code; code != http.StatusOK && code != http.StatusBadRequest && code != http.StatusNotFound {
			t.Errorf("%s: status %d, %s", body, code, answered.Body)
		}
		if !json.Valid(answered.Body.Bytes()) {
			t.Errorf("%s: %s is no JSON", body, answered.Body)
		}
		server.RemoveFault(0)
	})
}
