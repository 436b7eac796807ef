package simulator

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestRentConsumesOverlap proves that renting a slice withdraws the slices that
// overlap it, that what still fits is listed again, and that a destroy returns
// the machine under new ids.
func TestRentConsumesOverlap(t *testing.T) {
	s := startSim(t, func(c *Config) {
		c.Market.Offers = []OfferSpec{
			{ID: 1, MachineID: 7, GPUs: 1, MachineGPUs: 4}, {ID: 2, MachineID: 7, GPUs: 2}, {ID: 4, MachineID: 7, GPUs: 4},
		}
	})
	sizes := func() map[int64]int64 {
		found := map[int64]int64{}
		for _, o := range s.search(`{}`) {
			found[integer(o["num_gpus"])] = integer(o["id"])
		}
		return found
	}
	before := sizes()
	if diff := cmp.Diff(map[int64]int64{1: 1, 2: 2, 4: 4}, before); diff != "" {
		t.Fatal(diff)
	}
	id := s.rent(1, "a")
	rented := sizes()
	if _, ok := rented[4]; ok || rented[1] == 1 || rented[1] == 0 || rented[2] == 2 || rented[2] == 0 {
		t.Errorf("after renting one of four GPUs: %v; want new ids for 1 and 2, nothing for 4", rented)
	}
	if r := s.tryRent(4, "b"); r.status != 404 {
		t.Errorf("renting an overlapping slice: %d %s", r.status, r.body)
	}
	s.do("DELETE", path(id), "{}")
	s.step(time.Second)
	after := sizes()
	if after[4] == 4 || after[4] == 0 {
		t.Errorf("after the destroy: %v; want the whole machine under a new id", after)
	}
}

func TestMarketLimitAndReplicas(t *testing.T) {
	limited := startSim(t, func(c *Config) { c.Market = Market{Limit: 5, Frozen: true} })
	offers := limited.search(`{"order":[["dph_total","asc"]]}`)
	if len(offers) != 5 {
		t.Fatalf("%d offers, want 5", len(offers))
	}
	machines := map[int64]bool{}
	for _, o := range offers {
		machines[integer(o["machine_id"])] = true
		if o["verification"] != "verified" || integer(o["num_gpus"]) != 1 {
			t.Errorf("offer %v is %v with %v GPUs", o["id"], o["verification"], o["num_gpus"])
		}
	}
	if len(machines) != 5 {
		t.Errorf("%d machines, want 5", len(machines))
	}
	once := len(startSim(t, func(c *Config) { c.Market = Market{Frozen: true} }).Offers(10))
	thrice := len(startSim(t, func(c *Config) { c.Market = Market{Frozen: true, Replicas: 3} }).Offers(10))
	if once < 200 || thrice != 3*once {
		t.Errorf("%d offers recorded, %d with three replicas", once, thrice)
	}
}

// TestRecordedRows proves that an unchanged offer goes on the wire with every
// field that was recorded, and with the recorded price.
func TestRecordedRows(t *testing.T) {
	s := startSim(t, func(c *Config) { c.Market = Market{Frozen: true} })
	snapshots, err := loadRecordings(1)
	if err != nil {
		t.Fatal(err)
	}
	recorded := map[int64]map[string]any{}
	for _, row := range snapshots[0] {
		recorded[integer(row["id"])] = row
	}
	found := offersOf(s.do("POST", "/api/v0/bundles/", `{"allocated_storage":8}`))
	for _, o := range found {
		was := recorded[integer(o["id"])]
		if diff := cmp.Diff(slices.Sorted(maps.Keys(was)), slices.Sorted(maps.Keys(o))); diff != "" {
			t.Fatalf("offer %v has other fields:\n%s", o["id"], diff)
		}
		if fmt.Sprint(was["dph_base"]) != fmt.Sprint(o["dph_base"]) || was["gpu_name"] != o["gpu_name"] {
			t.Errorf("offer %v: %v became %v", o["id"], was["dph_base"], o["dph_base"])
		}
	}
	if len(found) != maxOffers {
		t.Errorf("%d offers, want the cap of %d", len(found), maxOffers)
	}
}

// TestDrift proves the rates of change over six hours, on many machines, and
// that they follow from the seed alone.
func TestDrift(t *testing.T) {
	type offers map[int64]float64
	look := func(s *sim) (byID offers, machines map[int64]bool) {
		byID, machines = offers{}, map[int64]bool{}
		for _, o := range s.Offers(0) {
			if o["rentable"] == true {
				byID[integer(o["id"])] = number(o["dph_base"])
				machines[integer(o["machine_id"])] = true
			}
		}
		return byID, machines
	}
	run := func(seed uint64) (string, *sim, offers, map[int64]bool) {
		s := startSim(t, func(c *Config) { c.Market, c.Seed = Market{Replicas: 10}, seed })
		byID, machines := look(s)
		for range 12 { // reads in between must not matter
			s.step(30 * time.Minute)
		}
		after, _ := look(s)
		return fmt.Sprint(after), s, byID, machines
	}
	first, s, before, machines := run(1)
	again, _, _, _ := run(1)
	other, _, _, _ := run(2)
	if first != again || first == other {
		t.Error("drift must be the same for the same seed, and another for another")
	}
	after, left := look(s)
	kept, stay, changed := 0, 0, 0
	for id, price := range before {
		if now, ok := after[id]; ok {
			kept++
			if now != price {
				changed++
			}
		}
	}
	for id := range machines {
		if left[id] {
			stay++
		}
	}
	// Recorded: 43–50 % of the ids survive, 68–88 % of the machines, about 3 % of those that stay change price.
	checkShare(t, "offer ids that survive", share(kept, len(before)), 0.40, 0.60)
	checkShare(t, "machines that stay", share(stay, len(machines)), 0.68, 0.90)
	checkShare(t, "prices that change", share(changed, kept), 0.01, 0.07)
}

func share(part, whole int) float64 { return float64(part) / float64(whole) }

func checkShare(t *testing.T, what string, share, least, most float64) {
	t.Helper()
	if share < least || share > most {
		t.Errorf("%s: %.3f, want between %v and %v", what, share, least, most)
	}
}

func TestSearchFilters(t *testing.T) {
	s := startSim(t, func(c *Config) {
		c.Market.Offers = []OfferSpec{
			{ID: 11, MachineID: 1, PriceMicros: 300_000, Fields: map[string]any{"geolocation": "Sweden, SE", "hosting_type": 0.0, "score": 3.0}},
			{ID: 12, MachineID: 2, PriceMicros: 400_000, GPUName: "RTX 5090", Fields: map[string]any{"geolocation": ", US", "hosting_type": 1.0, "score": 2.0}},
			{ID: 13, MachineID: 3, PriceMicros: 500_000, Fields: map[string]any{"verification": "unverified", "geolocation": nil, "score": 1.0}},
		}
	})
	for name, tc := range map[string]struct {
		body string
		want []int64
	}{
		"defaults hide the unverified":  {`{}`, []int64{11, 12}},
		"verified false":                {`{"verified":{"eq":false}}`, []int64{13}},
		"verified any":                  {`{"verified":{"in":[true,false]}}`, []int64{11, 12, 13}},
		"numbers as strings":            {`{"dph_total":{"lt":"0.35"},"num_gpus":{"eq":"1"}}`, []int64{11}},
		"several operators":             {`{"dph_base":{"gte":0.35,"lte":0.45}}`, []int64{12}},
		"name with underscore":          {`{"gpu_name":{"eq":"RTX_5090"}}`, []int64{12}},
		"name with space":               {`{"gpu_name":{"in":["RTX 5090"]}}`, []int64{12}},
		"notin":                         {`{"gpu_name":{"notin":["RTX 5090"]}}`, []int64{11}},
		"country":                       {`{"geolocation":{"in":["SE"]}}`, []int64{11}},
		"null country passes no filter": {`{"verified":{"eq":false},"geolocation":{"in":["US","SE"]}}`, []int64{}},
		"datacenter":                    {`{"datacenter":{"eq":true}}`, []int64{12}},
		"id matches nothing":            {`{"id":{"eq":11}}`, []int64{}},
		"ask_contract_id":               {`{"ask_contract_id":{"eq":11}}`, []int64{11}},
		"unknown fields do not filter":  {`{"chunked":{"eq":true}}`, []int64{11, 12}},
		"order and limit":               {`{"order":[["dph_total","desc"]],"limit":1}`, []int64{12}},
		"driver as a number":            {`{"driver_version":{"gte":1}}`, []int64{11, 12}},
		"external":                      {`{"external":{"eq":false}}`, []int64{11, 12}},
	} {
		t.Run(name, func(t *testing.T) {
			got := []int64{}
			for _, o := range s.search(tc.body) {
				got = append(got, integer(o["id"]))
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestSearchPrices(t *testing.T) {
	s := startSim(t, func(c *Config) {
		c.Market.Offers = []OfferSpec{{ID: 1, PriceMicros: 300_000, StorageMicrosPerGBMonth: 720_000}}
	})
	total := func(body string) int64 { return toMicros(number(s.search(body)[0]["dph_total"])) }
	if got := total(`{"allocated_storage":20}`); got != 320_000 {
		t.Errorf("0.30 and 20 GB at 0.001 an hour each: %d", got)
	}
	if got := total(`{"allocated_storage":"40"}`); got != 340_000 {
		t.Errorf("storage as text: %d", got)
	}
	if got := total(`{"type":"bid","allocated_storage":10}`); got != 160_000 {
		t.Errorf("a bid is priced with min_bid: %d", got)
	}
}
