package simulator

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// TestMeterExactness computes a bill by hand: 0.30 for the GPU, 10 GB at 0.0001
// an hour each, to the micro-dollar.
func TestMeterExactness(t *testing.T) {
	s := startSim(t, func(c *Config) {
		c.Market.Offers = []OfferSpec{{ID: 1, PriceMicros: 300_000, StorageMicrosPerGBMonth: 72_000}}
	})
	id := s.rent(1, "wp1.a.b.1") // 1000 micros an hour of storage from now on
	s.step(upAfter)              // the GPU from now on
	s.step(2 * time.Hour)
	put(`{"state":"stopped"}`)(s, id)
	s.step(2*time.Second + 3*time.Hour) // two seconds until it stops
	s.step(10 * time.Minute)
	destroy(s, id)
	s.step(24 * time.Hour) // nothing bills any more
	m := s.Meter()
	record := m.Records[0]
	life := upAfter + 2*time.Hour + 2*time.Second + 3*time.Hour + 10*time.Minute
	gpu := (300_000*(2*time.Hour+2*time.Second).Milliseconds() + msPerHour - 1) / msPerHour
	storage := (1000*life.Milliseconds() + msPerHour - 1) / msPerHour
	if record.GPUCostMicros != gpu || record.StorageCostMicros != storage {
		t.Errorf("GPU %d, storage %d; want %d and %d", record.GPUCostMicros, record.StorageCostMicros, gpu, storage)
	}
	if got := record.End.Sub(record.Start); got != life {
		t.Errorf("lived %v, want %v", got, life)
	}
	if m.CreditMicros != defaultCreditMicros-m.Total("") {
		t.Errorf("credit %d after spending %d", m.CreditMicros, m.Total(""))
	}
	states := []string{}
	for _, interval := range record.Intervals {
		states = append(states, interval.State)
	}
	if diff := cmp.Diff([]string{"pending", "created", "loading", "running", "stopped"}, states); diff != "" {
		t.Error(diff)
	}
}

// TestMeterWitness proves peaks, double rents and leaks per label prefix.
func TestMeterWitness(t *testing.T) {
	s := startSim(t, nil) // 0.30, 0.40, 0.50
	a := s.rent(1, "wp1.x.1.1")
	b := s.rent(2, "wp1.x.1.1")
	s.step(time.Minute)
	destroy(s, a)
	s.step(time.Minute)
	c, err := s.RentAside(3, "mine")
	if err != nil {
		t.Fatal(err)
	}
	m := s.Meter()
	want := MeterSummary{
		Prefix: "wp1.x.", Rentals: 2, LiveRentals: 1, CostMicros: m.Total("wp1.x."), LiveMicrosPerHour: 400_000,
		PeakMicrosPerHour: 700_000, PeakAt: epochStart, DoubleRents: []string{"wp1.x.1.1"}, LiveIDs: []int64{b},
	}
	if diff := cmp.Diff(want, m.Summary("wp1.x.")); diff != "" {
		t.Error(diff)
	}
	all := m.Summary("")
	if all.PeakMicrosPerHour != 900_000 || !slices.Equal(all.LiveIDs, []int64{b, c}) {
		t.Errorf("overall %+v", all)
	}
	if m.Records[2].Origin != "admin" {
		t.Errorf("origin %q", m.Records[2].Origin)
	}
}

// TestPeakIsNotAHandover proves that a rental that ends when another begins does not add to it.
func TestPeakIsNotAHandover(t *testing.T) {
	s := startSim(t, nil)
	a := s.rent(1, "x")
	s.step(time.Minute)
	destroy(s, a)
	s.rent(2, "x")
	if peak, _ := s.Meter().Peak("x"); peak != 400_000 {
		t.Errorf("peak %d", peak)
	}
}

// TestMeterAgreesWithAccount proves for random lives that the witness's sum is
// what the account was charged, and that every rental's intervals join.
func TestMeterAgreesWithAccount(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := startSim(t, func(c *Config) {
			c.Seed = rapid.Uint64().Draw(rt, "seed")
			c.Market = Market{Limit: 40}
			p := DefaultProvisioning()
			c.Provisioning = &p
			c.CreditMicros = rapid.Int64Range(1, 20_000_000).Draw(rt, "credit")
		})
		var live []int64
		for range rapid.IntRange(1, 25).Draw(rt, "acts") {
			randomAct(rt, s, &live)
			s.step(time.Duration(rapid.IntRange(1, 2_000_000).Draw(rt, "ms")) * time.Millisecond)
		}
		m := s.Meter()
		if spent := s.world.account.spent.up(); m.Total("") != spent {
			rt.Fatalf("witness %d, account %d", m.Total(""), spent)
		}
		for _, r := range m.Records {
			at := r.Start
			for _, interval := range r.Intervals {
				if !interval.From.Equal(at) {
					rt.Fatalf("rental %d: a gap at %v: %+v", r.ID, at, r)
				}
				at = interval.To
			}
			if !at.Equal(r.End) {
				rt.Fatalf("rental %d ends %v, its last interval %v", r.ID, r.End, at)
			}
		}
		if err := s.Close(); err != nil {
			rt.Fatal(err)
		}
	})
}

// randomAct does something to a random rental, or rents.
func randomAct(rt *rapid.T, s *sim, live *[]int64) {
	choice := rapid.IntRange(0, 6).Draw(rt, "act")
	if choice == 0 || len(*live) == 0 {
		offers := s.Offers(10)
		offer := offers[rapid.IntRange(0, len(offers)-1).Draw(rt, "offer")]
		if r := s.tryRent(integer(offer["id"]), "x"); r.status == 200 {
			*live = append(*live, integer(r.json["new_contract"]))
		}
		return
	}
	at := rapid.IntRange(0, len(*live)-1).Draw(rt, "rental")
	id := (*live)[at]
	match := Match{Rental: id}
	switch choice {
	case 1:
		s.do("DELETE", path(id), "{}")
		*live = slices.Delete(*live, at, at+1)
	case 2:
		s.do("PUT", path(id), `{"state":"stopped"}`)
	case 3:
		s.do("PUT", path(id), `{"state":"running"}`)
	case 4:
		s.fault(FaultSpec{Name: FaultOffline, Params: map[string]string{"for": "60"}, Match: match})
	case 5:
		s.fault(FaultSpec{Name: FaultPriceRaise, Match: match})
	default:
		s.do("PUT", fmt.Sprintf("/api/v0/instances/reboot/%d/", id), "{}")
	}
}

func TestToMicros(t *testing.T) {
	for usd, want := range map[float64]int64{
		0: 0, 0.35: 350_000, 0.348301: 348_301, 0.09333333333333334: 93_334, 1: 1_000_000, 2.5e-07: 1, -1.5: -1_500_000, 25.808602150537638: 25_808_603,
	} {
		if got := toMicros(usd); got != want {
			t.Errorf("%v: %d, want %d", usd, got, want)
		}
	}
}
