package simulator

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func limited(body RateLimitBody) func(c *Config) {
	return func(c *Config) {
		c.RateLimits = RateLimits{Body: body}
		c.Market.Offers = manyOffers(5)
	}
}

// TestRateLimits proves every documented interval: a call that comes just too
// early is refused, one in time is not.
func TestRateLimits(t *testing.T) {
	for name, tc := range map[string]struct {
		method, path, body string
		interval           time.Duration
	}{
		"create":  {"PUT", "/api/v0/asks/99/", `{"image":"x","disk":10}`, 4500 * time.Millisecond},
		"list":    {"GET", "/api/v1/instances/", "", time.Second},
		"get":     {"GET", "/api/v0/instances/1/", "", 2 * time.Second},
		"update":  {"PUT", "/api/v0/instances/1/", `{}`, time.Second},
		"destroy": {"DELETE", "/api/v0/instances/1/", `{}`, 3 * time.Second},
		"reboot":  {"PUT", "/api/v0/instances/reboot/1/", `{}`, time.Second},
		"bid":     {"PUT", "/api/v0/instances/bid_price/1/", `{}`, 5500 * time.Millisecond},
		"charges": {"GET", "/api/v0/charges/", "", time.Second},
		"secrets": {"GET", "/api/v0/secrets/", "", 5 * time.Second},
		"ssh":     {"POST", "/api/v0/ssh/", `{}`, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			s := startSim(t, limited(RateLimitText))
			if r := s.do(tc.method, tc.path, tc.body); r.status == 429 {
				t.Fatalf("first call: %s", r.body)
			}
			s.step(tc.interval)
			if r := s.do(tc.method, tc.path, tc.body); r.status == 429 {
				t.Errorf("a call in time: %s", r.body)
			}
			s.step(tc.interval - time.Millisecond)
			if r := s.do(tc.method, tc.path, tc.body); r.status != 429 {
				t.Errorf("a call too early: %d", r.status)
			}
		})
	}
}

func TestRateLimitIdentity(t *testing.T) {
	s := startSim(t, func(c *Config) { limited(RateLimitText)(c); c.Keys = []string{"sim-key", "second"} })
	s.list("")
	if r := s.list(""); r.status != 429 {
		t.Errorf("same key: %d", r.status)
	}
	if r := s.raw("GET", s.URL()+"/api/v1/instances/", "", "second"); r.status != 200 {
		t.Errorf("another key: %d", r.status)
	}
	if r := s.do("GET", "/api/v0/users/current/", ""); r.status != 200 {
		t.Errorf("another endpoint: %d", r.status)
	}
}

func TestRateLimitBodies(t *testing.T) {
	const text = "API requests too frequent endpoint threshold=1.0"
	for form, want := range map[RateLimitBody]string{
		RateLimitText:   "API requests too frequent: endpoint threshold=1.0",
		RateLimitDetail: `{"detail":"` + text + `"}`,
		RateLimitMsg:    `{"msg":"` + text + `","success":false}`,
		RateLimitSlug:   `{"error":"rate_limit_exceeded","msg":"` + text + `","success":false}`,
	} {
		t.Run(string(form), func(t *testing.T) {
			s := startSim(t, limited(form))
			s.list("")
			r := s.list("")
			if r.status != 429 || string(r.body) != want || r.header.Get("Retry-After") != "" {
				t.Errorf("%d %q %v", r.status, r.body, r.header)
			}
			if isJSON := r.header.Get("Content-Type") == "application/json"; isJSON == (form == RateLimitText) {
				t.Errorf("content type %q", r.header.Get("Content-Type"))
			}
		})
	}
}

// TestCreatePenalty proves that breaking the create limit locks out for longer.
func TestCreatePenalty(t *testing.T) {
	for name, tc := range map[string]struct {
		penalty time.Duration
		free    time.Duration
	}{
		"documented": {0, 12 * time.Second}, "none": {-1, 4500 * time.Millisecond}, "own": {time.Minute, time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			s := startSim(t, func(c *Config) { limited(RateLimitText)(c); c.RateLimits.CreatePenalty = tc.penalty })
			s.rent(1, "a")
			if r := s.tryRent(2, "b"); r.status != 429 {
				t.Fatalf("%d %s", r.status, r.body)
			}
			s.step(tc.free - time.Millisecond)
			if r := s.tryRent(3, "c"); r.status != 429 {
				t.Errorf("just before the end: %d", r.status)
			}
			if tc.penalty >= 0 {
				s.step(time.Millisecond)
			} else {
				s.step(tc.free)
			}
			s.rent(4, "d")
			if n := len(s.Meter().Records); n != 2 {
				t.Errorf("%d rentals: a limited call must have no effect", n)
			}
		})
	}
}

func TestSearchLimit(t *testing.T) {
	s := startSim(t, limited(RateLimitText))
	for i := range 11 {
		r := s.do("POST", "/api/v0/bundles/", "{}")
		if limitedNow := r.status == 429; limitedNow != (i == 10) {
			t.Errorf("search %d: %d", i+1, r.status)
		}
	}
	s.step(time.Minute)
	if r := s.do("POST", "/api/v0/bundles/", "{}"); r.status != 200 {
		t.Errorf("a minute later: %d", r.status)
	}
}

// TestLimitsInSimulatedTime proves that intervals shrink with the speed.
func TestLimitsInSimulatedTime(t *testing.T) {
	s := startSim(t, func(c *Config) { limited(RateLimitText)(c); c.Speed = 100 })
	s.list("")
	s.step(10 * time.Millisecond) // one simulated second
	if r := s.list(""); r.status != 200 {
		t.Errorf("%d %s", r.status, r.body)
	}
}

func TestRequestCounts(t *testing.T) {
	s := startSim(t, nil)
	s.rent(1, "a")
	s.tryRent(99, "b")
	s.fault(FaultSpec{Name: FaultHangUp, Count: 1})
	s.list("")
	got := fmt.Sprint(s.Requests()[string(EndpointCreate)], s.Requests()[string(EndpointList)])
	if want := "map[200:1 404:1]map[0:1]"; strings.ReplaceAll(got, " map", "map") != want {
		t.Errorf("%s, want %s", got, want)
	}
}
