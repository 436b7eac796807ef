package simulator

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/warmpool-dev/warmpool/internal/vastai/schema"
)

func mustDecode(t *testing.T, data []byte, into any) {
	t.Helper()
	if err := json.Unmarshal(data, into); err != nil {
		t.Fatalf("%v in %s", err, data)
	}
}

// manyOffers is a market of n offers at 0.10 dollars.
func manyOffers(n int) []OfferSpec {
	offers := make([]OfferSpec, n)
	for i := range offers {
		offers[i] = OfferSpec{ID: int64(i + 1), MachineID: int64(1000 + i), PriceMicros: 100_000}
	}
	return offers
}

// readAll follows tokens and returns all ids and the number of pages.
func (s *sim) readAll(limit int) (all []int64, pages int) {
	s.t.Helper()
	token := ""
	for {
		var page schema.InstanceList
		mustDecode(s.t, s.list(fmt.Sprintf("?limit=%d&after_token=%s", limit, url.QueryEscape(token))).body, &page)
		for _, row := range page.Instances {
			id, _ := row.ID.Int64()
			all = append(all, id)
		}
		pages++
		if token = string(page.NextToken); token == "" {
			return all, pages
		}
	}
}

func TestListPages(t *testing.T) {
	s := startSim(t, func(c *Config) { c.Market.Offers = manyOffers(60) })
	want := []int64{}
	for offer := range int64(60) {
		want = append(want, s.rent(offer+1, fmt.Sprintf("wp1.a.%d.1", offer%2)))
	}
	for _, limit := range []int{25, 100, 7} {
		all, pages := s.readAll(limit)
		if diff := cmp.Diff(want, all); diff != "" {
			t.Errorf("limit %d: %s", limit, diff)
		}
		if least := (60 + min(limit, 25) - 1) / min(limit, 25); pages != least {
			t.Errorf("limit %d: %d pages, want %d", limit, pages, least)
		}
	}
	first := s.list("")
	if len(ids(first)) != 25 || integer(first.json["total_instances"]) != 60 || integer(first.json["instances_found"]) != 25 {
		t.Errorf("first page: %d rows, total %v, found %v", len(ids(first)), first.json["total_instances"], first.json["instances_found"])
	}
	if n := len(ids(s.list("?limit=0"))); n != 5 {
		t.Errorf("limit 0 gives %d rows, want 5", n)
	}
	counts, _ := first.json["label_counts"].(map[string]any)
	if integer(counts["wp1.a.0.1"]) != 30 {
		t.Errorf("label_counts %v", counts)
	}
	// A row that goes while pages are read must not hide another one.
	token, _ := first.json["next_token"].(string)
	s.do("DELETE", path(want[3]), "{}")
	second := ids(s.list("?after_token=" + url.QueryEscape(token)))
	if !slices.Equal(second, want[25:50]) {
		t.Errorf("second page after a destroy on the first: %v, want %v", second, want[25:50])
	}
}

func TestListFilters(t *testing.T) {
	s := startSim(t, nil)
	a, b := s.rent(1, "a"), s.rent(2, "b")
	none, err := s.RentAside(3, "")
	if err != nil {
		t.Fatal(err)
	}
	query := func(filters, order string) string {
		return "?select_filters=" + url.QueryEscape(filters) + "&order_by=" + url.QueryEscape(order)
	}
	const asc = `[{"col":"id","dir":"asc"}]`
	for name, tc := range map[string]struct {
		query string
		want  []int64
	}{
		"label":      {query(`{"label":{"in":["b"]}}`, asc), []int64{b}},
		"two":        {query(`{"label":{"in":["a","b"]}}`, asc), []int64{a, b}},
		"null label": {query(`{"label":{"eq":null}}`, asc), []int64{none}},
		"descending": {query(`{}`, `[{"col":"id","dir":"desc"}]`), []int64{none, b, a}},
		"by label":   {query(`{"label":{"neq":null}}`, `[{"col":"label","dir":"desc"}]`), []int64{b, a}},
		"status":     {query(`{"actual_status":{"in":["running"]}}`, asc), []int64{}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, ids(s.list(tc.query))); diff != "" {
				t.Error(diff)
			}
		})
	}
	for name, bad := range map[string]string{
		"computed filter": query(`{"dph_total":{"lt":1}}`, asc),
		"computed order":  query(`{}`, `[{"col":"num_gpus","dir":"asc"}]`),
		"bad token":       "?after_token=nonsense",
		"bad filters":     query(`{`, asc),
	} {
		if r := s.list(bad); r.status != 400 || r.json["error"] == nil {
			t.Errorf("%s: %d %s", name, r.status, r.body)
		}
	}
	columns := s.list("?select_cols=" + url.QueryEscape(`["id","nonsense"]`))
	rows, _ := columns.json["instances"].([]any)
	if diff := cmp.Diff(map[string]any{"id": float64(a), "nonsense": nil}, rows[0]); diff != "" {
		t.Error(diff)
	}
}

func TestEmptyV0List(t *testing.T) {
	s := startSim(t, func(c *Config) { c.EmptyV0List = true })
	s.rent(1, "a")
	r := s.do("GET", "/api/v0/instances/", "")
	if rows, ok := r.json["instances"].([]any); r.status != 200 || !ok || len(rows) != 0 {
		t.Errorf("%d %s", r.status, r.body)
	}
}
