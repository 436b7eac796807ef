package simulator

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// status is "actual intended cur next" of a rental, and whether address and
// ports show.
func (s *sim) status(id int64) string {
	s.t.Helper()
	row := s.get(id)
	if row == nil {
		return "gone"
	}
	_, ports := row["ports"]
	return fmt.Sprintf("%v %v/%v/%v address=%t ports=%t", row["actual_status"], row["intended_status"], row["cur_state"], row["next_state"],
		row["public_ipaddr"] != nil, ports)
}

// act is a step of a life.
type act struct {
	after time.Duration
	do    func(s *sim, id int64)
	want  string
}

func put(body string) func(*sim, int64) {
	return func(s *sim, id int64) {
		if r := s.do("PUT", path(id), body); r.status != 200 {
			s.t.Errorf("%s: %d %s", body, r.status, r.body)
		}
	}
}

func destroy(s *sim, id int64) { s.do("DELETE", path(id), "{}") }

func TestLives(t *testing.T) {
	const running = "running running/running/running address=true ports=true"
	call := func(method, format string) func(*sim, int64) {
		return func(s *sim, id int64) {
			if r := s.do(method, fmt.Sprintf(format, id), "{}"); r.status != 200 {
				s.t.Errorf("%s: %d %s", format, r.status, r.body)
			}
		}
	}
	for name, acts := range map[string][]act{
		"birth": {
			{0, nil, "<nil> running/running/running address=false ports=false"},
			{2 * time.Second, nil, "created running/running/running address=false ports=false"},
			{time.Second, nil, "loading running/running/running address=false ports=false"},
			{19 * time.Second, nil, "loading running/running/running address=false ports=false"},
			{time.Second, nil, "running running/running/running address=false ports=false"},
			{time.Second, nil, "running running/running/running address=true ports=false"},
			{2 * time.Second, nil, running},
		},
		"stop and start": {
			{readyAfter, put(`{"state":"stopped"}`), "running stopped/running/stopped address=true ports=true"},
			{2 * time.Second, nil, "exited stopped/stopped/stopped address=true ports=false"},
			{time.Minute, put(`{"state":"running"}`), "loading running/running/running address=true ports=false"},
			{8 * time.Second, nil, running},
		},
		"a stop is taken back": {
			{readyAfter, put(`{"state":"stopped"}`), "running stopped/running/stopped address=true ports=true"},
			{time.Second, put(`{"state":"running"}`), running},
			{time.Minute, nil, running},
		},
		"a stop while loading is taken back": {
			{5 * time.Second, put(`{"state":"stopped"}`), "loading stopped/running/stopped address=false ports=false"},
			{time.Second, put(`{"state":"running"}`), "loading running/running/running address=false ports=false"},
			{time.Minute, nil, running},
		},
		"reboot": {
			{readyAfter, call("PUT", "/api/v0/instances/reboot/%d/"), "rebooting running/running/running address=true ports=false"},
			{7 * time.Second, nil, running},
		},
		"recycle": {
			{readyAfter, call("PUT", "/api/v0/instances/recycle/%d/"), "recycling running/running/running address=true ports=false"},
			{5 * time.Second, nil, "loading running/running/running address=false ports=false"},
			{time.Minute, nil, running},
		},
		"destroy while loading": {{5 * time.Second, destroy, "gone"}},
		"destroy":               {{readyAfter, destroy, "gone"}, {time.Hour, nil, "gone"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := startSim(t, nil)
			id := s.rent(1, "a")
			for i, a := range acts {
				s.step(a.after)
				if a.do != nil {
					a.do(s, id)
				}
				if got := s.status(id); got != a.want {
					t.Fatalf("act %d: %s, want %s", i, got, a.want)
				}
			}
		})
	}
}

// TestStartQueues proves that a start whose GPU was taken meanwhile is queued
// with HTTP 200, and fires when the GPU is free again.
func TestStartQueues(t *testing.T) {
	s := startSim(t, nil)
	id := s.rentReady(1, "a")
	put(`{"state":"stopped"}`)(s, id)
	s.step(2 * time.Second)
	other := s.rent(integer(s.search(`{"machine_id":{"eq":100}}`)[0]["id"]), "b")
	r := s.do("PUT", path(id), `{"state":"running"}`)
	if r.status != 200 || r.json["success"] != false || r.json["error"] != "resources_unavailable" {
		t.Fatalf("%d %s", r.status, r.body)
	}
	if got := s.status(id); got != "exited running/stopped/running address=true ports=false" {
		t.Errorf("queued: %s", got)
	}
	destroy(s, other)
	if got := s.status(id); got != "loading running/running/running address=true ports=false" {
		t.Errorf("after the other one went: %s", got)
	}
}

// TestExpiry proves that a contract stops at its end, cannot be started again,
// and is deleted two days later.
func TestExpiry(t *testing.T) {
	s := startSim(t, func(c *Config) {
		c.Market.Offers = []OfferSpec{{ID: 1, PriceMicros: 100_000, Fields: map[string]any{"duration": 3600.0}}}
	})
	id := s.rentReady(1, "a")
	s.step(time.Hour)
	if got := s.status(id); got != "exited stopped/stopped/stopped address=true ports=false" {
		t.Errorf("at the end: %s", got)
	}
	if r := s.do("PUT", path(id), `{"state":"running"}`); r.status != 400 {
		t.Errorf("start after the end: %d %s", r.status, r.body)
	}
	s.step(48 * time.Hour)
	if got := s.status(id); got != "gone" {
		t.Errorf("two days later: %s", got)
	}
	if reason := s.Meter().Records[0].EndReason; reason != endExpired {
		t.Errorf("reason %q", reason)
	}
}

// TestCreditExhaustion proves that everything stops at the very moment the
// credit is used up, that storage bills on, and that rents are refused.
func TestCreditExhaustion(t *testing.T) {
	s := startSim(t, func(c *Config) {
		c.CreditMicros = 100_000 // 0.10: 12 minutes at 0.50
		c.Market.Offers = []OfferSpec{{ID: 1, PriceMicros: 500_000, StorageMicrosPerGBMonth: 72_000}, {ID: 2, MachineID: 9}}
	})
	id := s.rent(1, "a")
	s.step(time.Hour)
	if got := s.status(id); got != "exited stopped/stopped/stopped address=true ports=false" {
		t.Fatalf("an hour later: %s", got)
	}
	m := s.Meter()
	// Storage 10 GB at 0.0001/h each = 1000 micros/h; 23 s of it before running, then 501000/h until 100000 are spent.
	before := int64(1000) * upAfter.Milliseconds()
	left := int64(100_000)*msPerHour - before
	want := upAfter + time.Duration((left+500_999)/501_000)*time.Millisecond
	intervals := m.Records[0].Intervals
	if got := intervals[len(intervals)-1].From.Sub(epochStart); got != want {
		t.Errorf("stopped after %v, want %v", got, want)
	}
	if m.CreditMicros >= 0 {
		t.Errorf("credit %d: storage must bill on", m.CreditMicros)
	}
	if r := s.tryRent(2, "b"); r.status != 400 || r.json["error"] != "insufficient_credit" || r.json["success"] != nil {
		t.Errorf("rent without credit: %d %s", r.status, r.body)
	}
	if r := s.do("PUT", path(id), `{"state":"running"}`); r.status != 400 {
		t.Errorf("start without credit: %d %s", r.status, r.body)
	}
}

// TestExhaustionSparesTheDestroyed proves that a destroyed rental that reads
// still show does not bill again when the credit runs out meanwhile.
func TestExhaustionSparesTheDestroyed(t *testing.T) {
	s := startSim(t, func(c *Config) {
		c.CreditMicros = 1000
		c.Market.Offers = []OfferSpec{{ID: 1, StorageMicrosPerGBMonth: 7_200_000}, {ID: 2, MachineID: 9}}
	})
	a := s.rent(1, "a")
	s.rent(2, "b")
	s.fault(FaultSpec{Name: FaultDestroyLingers, Params: map[string]string{"for": "7200"}})
	destroy(s, a)
	s.step(time.Hour)
	m := s.Meter()
	if m.CreditMicros > 0 {
		t.Fatalf("credit %d: the test needs none left", m.CreditMicros)
	}
	if last := m.Records[0].Intervals[len(m.Records[0].Intervals)-1]; last.To.IsZero() || m.Records[0].CostMicros != 0 {
		t.Errorf("the destroyed one bills: %+v", last)
	}
}

// TestBidTooLow proves that a refused bid leaves a stopped rental that bills
// storage, named in the error body.
func TestBidTooLow(t *testing.T) {
	s := startSim(t, nil)
	r := s.do("PUT", "/api/v0/asks/1/", `{"image":"x","disk":10,"price":0.001,"label":"a"}`)
	if r.status != 400 || r.json["success"] != false || r.json["new_contract"] == nil {
		t.Fatalf("%d %s", r.status, r.body)
	}
	id := integer(r.json["new_contract"])
	if got := s.status(id); got != "<nil> stopped/stopped/stopped address=false ports=false" {
		t.Error(got)
	}
	s.do("PUT", fmt.Sprintf("/api/v0/instances/bid_price/%d/", id), `{"price":0.3}`)
	s.step(time.Minute)
	if got := s.status(id); got != "running running/running/running address=true ports=false" { // none was published
		t.Errorf("after a better bid: %s", got)
	}
}

func TestRefusedRents(t *testing.T) {
	s := startSim(t, nil)
	long := make([]byte, 300)
	for i := range long {
		long[i] = 'x'
	}
	for name, tc := range map[string]struct {
		offer int64
		body  string
		want  string
	}{
		"no image":       {1, `{"disk":10}`, "400 invalid_args"},
		"small disk":     {1, `{"image":"x","disk":2}`, "400 invalid_args"},
		"large disk":     {1, `{"image":"x","disk":5000}`, "400 invalid_args"},
		"long label":     {1, fmt.Sprintf(`{"image":"x","disk":10,"label":%q}`, long), "400 label_too_long"},
		"bad price":      {1, `{"image":"x","disk":10,"price":900}`, "400 invalid_price"},
		"no such offer":  {77, `{"image":"x","disk":10}`, "404 invalid_args"},
		"cancel_unavail": {77, `{"image":"x","disk":10,"cancel_unavail":true}`, "410 no_such_ask"},
		"no JSON":        {1, `{`, "400 invalid_request"},
	} {
		t.Run(name, func(t *testing.T) {
			r := s.do("PUT", fmt.Sprintf("/api/v0/asks/%d/", tc.offer), tc.body)
			if got := fmt.Sprint(r.status, " ", r.json["error"]); got != tc.want {
				t.Errorf("%s: %s, want %s", got, r.body, tc.want)
			}
		})
	}
	if n := len(s.Meter().Records); n != 0 {
		t.Errorf("%d rentals after refusals", n)
	}
}

func TestTemplate(t *testing.T) {
	s := startSim(t, nil)
	hash := builtinTemplates()[0].hash
	r := s.do("PUT", "/api/v0/asks/1/", fmt.Sprintf(`{"image":null,"disk":20,"template_hash_id":%q,"env":{"X":"y"}}`, hash))
	s.step(readyAfter)
	row := s.get(integer(r.json["new_contract"]))
	if row["image_uuid"] != builtinTemplates()[0].image {
		t.Errorf("image %v", row["image_uuid"])
	}
	ports, _ := row["ports"].(map[string]any)
	names := []string{}
	for _, name := range []string{"22/tcp", "1111/tcp", "8080/tcp", "8188/tcp"} {
		if ports[name] != nil {
			names = append(names, name)
		}
	}
	if diff := cmp.Diff([]string{"22/tcp", "1111/tcp", "8080/tcp", "8188/tcp"}, names); diff != "" {
		t.Error(diff)
	}
}
