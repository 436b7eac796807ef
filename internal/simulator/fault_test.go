package simulator

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// want fails the test when got is not what it should be.
func want[T any](t *testing.T, what string, got, expected T) {
	t.Helper()
	if diff := cmp.Diff(expected, got); diff != "" {
		t.Errorf("%s: %s", what, diff)
	}
}

// params makes parameters of pairs.
func params(pairs ...string) map[string]string {
	p := map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		p[pairs[i]] = pairs[i+1]
	}
	return p
}

// live is the number of rentals that the witness knows to live.
func (s *sim) live() int { return len(s.Meter().Live("")) }

// faultTests shows the effect of every fault, each on a simulation of its own.
func faultTests() map[string]func(s *sim) {
	tests := httpFaultTests()
	for _, more := range []map[string]func(s *sim){createFaultTests(), readFaultTests(), lifeFaultTests(), endFaultTests()} {
		maps.Copy(tests, more)
	}
	return tests
}

// TestFaults runs them, and proves that none of the registry is untested.
func TestFaults(t *testing.T) {
	tests := faultTests()
	for _, kind := range FaultKinds() {
		test, ok := tests[kind.Name]
		if !ok {
			t.Errorf("fault %q has no test", kind.Name)
			continue
		}
		t.Run(kind.Name, func(t *testing.T) { test(startSim(t, nil)) })
		delete(tests, kind.Name)
	}
	for name := range tests {
		t.Errorf("a test for fault %q, which does not exist", name)
	}
}

func httpFaultTests() map[string]func(s *sim) {
	return map[string]func(s *sim){
		FaultHTTPError: func(s *sim) {
			s.fault(FaultSpec{Name: FaultHTTPError, Params: params("status", "502"), Count: 1, Match: Match{Endpoint: EndpointCreate}})
			want(s.t, "list", s.list("").status, 200)
			want(s.t, "rent", s.tryRent(1, "a").status, 502)
			want(s.t, "live", s.live(), 0)
			want(s.t, "next rent", s.tryRent(1, "a").status, 200)
			s.fault(FaultSpec{Name: FaultHTTPError, Params: params("executed", "true"), Match: Match{Endpoint: EndpointCreate}})
			want(s.t, "executed rent", s.tryRent(2, "b").status, 503)
			want(s.t, "live after it", s.live(), 2)
		},
		FaultHTML: func(s *sim) {
			s.fault(FaultSpec{Name: FaultHTML})
			r := s.list("")
			want(s.t, "status", r.status, 403)
			if !strings.HasPrefix(r.header.Get("Content-Type"), "text/html") || !strings.Contains(string(r.body), "<html>") {
				s.t.Errorf("%v %s", r.header, r.body)
			}
		},
		FaultEmptyBody: func(s *sim) {
			s.fault(FaultSpec{Name: FaultEmptyBody})
			r := s.list("")
			want(s.t, "status and length", []int{r.status, len(r.body)}, []int{200, 0})
		},
		FaultTruncatedBody: func(s *sim) {
			s.fault(FaultSpec{Name: FaultTruncatedBody})
			r := s.list("")
			if r.json != nil || len(r.body) == 0 {
				s.t.Errorf("%s", r.body)
			}
		},
		FaultHangUp: func(s *sim) {
			s.fault(FaultSpec{Name: FaultHangUp})
			if r := s.tryRent(1, "a"); !errors.Is(r.err, io.EOF) {
				s.t.Errorf("%v", r.err)
			}
			want(s.t, "live", s.live(), 0)
		},
		FaultSlow: func(s *sim) {
			s.fault(FaultSpec{Name: FaultSlow, Params: params("delay", "30")})
			waits(s, func() reply { return s.list("") }, 30*time.Second, 200)
		},
		FaultRateLimit: func(s *sim) {
			s.fault(FaultSpec{Name: FaultRateLimit, DurationSeconds: 60, Params: params("body", "detail", "retryAfter", "0")})
			r := s.list("")
			want(s.t, "status", r.status, 429)
			if r.json["detail"] == nil || r.header.Get("Retry-After") != "0" {
				s.t.Errorf("%s %v", r.body, r.header)
			}
			s.step(time.Minute)
			want(s.t, "after the burst", s.list("").status, 200)
		},
		FaultAuthError: func(s *sim) {
			s.fault(FaultSpec{Name: FaultAuthError, Count: 2})
			r := s.list("")
			want(s.t, "answer", fmt.Sprint(r.status, r.json["error"], r.json["msg"]), "404auth_errorInvalid user key")
			want(s.t, "the second", s.list("").status, 404)
			want(s.t, "the third", s.list("").status, 200)
		},
		FaultDeprecated: func(s *sim) {
			s.fault(FaultSpec{Name: FaultDeprecated, Params: params("status", "200")})
			r := s.list("")
			want(s.t, "answer", fmt.Sprint(r.status, r.json["success"], r.json["error"]), "200 falsedeprecated_endpoint")
		},
		FaultLostAnswer: func(s *sim) {
			s.fault(FaultSpec{Name: FaultLostAnswer, Count: 1})
			if r := s.tryRent(1, "a"); r.err == nil {
				s.t.Errorf("an answer: %s", r.body)
			}
			s.fault(FaultSpec{Name: FaultLostAnswer, Params: params("how", "502"), Count: 1})
			want(s.t, "502", s.tryRent(2, "b").status, 502)
			s.fault(FaultSpec{Name: FaultLostAnswer, Params: params("how", "timeout", "delay", "10"), Count: 1})
			waits(s, func() reply { return s.tryRent(3, "c") }, 10*time.Second, 0)
			want(s.t, "live", s.live(), 3)
		},
		FaultSchemaDrift: func(s *sim) {
			s.rent(1, "a")
			s.fault(FaultSpec{Name: FaultSchemaDrift})
			r := s.list("")
			if _, ok := r.json["instances"]; ok || r.status != 200 {
				s.t.Errorf("%d %s", r.status, r.body)
			}
		},
		FaultOtherAccount: func(s *sim) {
			own := s.rent(1, "a")
			s.fault(FaultSpec{Name: FaultOtherAccount, DurationSeconds: 60})
			found := ids(s.list(""))
			if len(found) != 3 || slices.Contains(found, own) {
				s.t.Errorf("rentals %v", found)
			}
			want(s.t, "user", integer(s.do("GET", "/api/v0/users/current/", "").json["id"]), 7002)
			want(s.t, "own rental", s.status(own), "gone")
			s.step(time.Minute)
			s.fault(FaultSpec{Name: FaultOtherAccount, Params: params("identity", "false")})
			want(s.t, "user of the hidden mix-up", integer(s.do("GET", "/api/v0/users/current/", "").json["id"]), 7001)
			want(s.t, "list of the hidden mix-up", ids(s.list("")), found)
		},
	}
}

// waits proves that a call is answered only after so much simulated time.
func waits(s *sim, call func() reply, d time.Duration, status int) {
	t := s.t
	t.Helper()
	done := make(chan reply, 1)
	held := func() int {
		s.world.clock.mu.Lock()
		defer s.world.clock.mu.Unlock()
		return len(s.world.clock.timers)
	}
	before := held()
	go func() { done <- call() }()
	for held() <= before {
		select {
		case r := <-done:
			t.Fatalf("answered at once: %d %s", r.status, r.body)
		default:
			runtime.Gosched()
		}
	}
	s.clock.Step(d - time.Millisecond)
	select {
	case r := <-done:
		t.Fatalf("answered too early: %d %s", r.status, r.body)
	default:
	}
	s.clock.Step(time.Second)
	want(t, "status", (<-done).status, status)
}

func createFaultTests() map[string]func(s *sim) {
	return map[string]func(s *sim){
		FaultNoOffers: func(s *sim) {
			s.fault(FaultSpec{Name: FaultNoOffers, Count: 1})
			want(s.t, "offers", len(s.search("{}")), 0)
			want(s.t, "offers later", len(s.search("{}")), 3)
		},
		FaultStaleOffer: func(s *sim) {
			s.fault(FaultSpec{Name: FaultStaleOffer, Count: 1})
			want(s.t, "offers", len(s.search("{}")), 3)
			want(s.t, "rent", s.tryRent(1, "a").status, 404)
			want(s.t, "offers later", len(s.search("{}")), 0)
		},
		FaultOfferGone: func(s *sim) {
			for i, form := range []string{"404", "410", "400"} {
				s.fault(FaultSpec{Name: FaultOfferGone, Params: params("form", form), Count: 1})
				r := s.tryRent(int64(i+1), "a")
				want(s.t, "status", fmt.Sprint(r.status), form)
				if !strings.Contains(string(r.body), "no_such_ask") {
					s.t.Errorf("%s", r.body)
				}
			}
			s.fault(FaultSpec{Name: FaultOfferGone, Params: params("form", "200"), Count: 1})
			r := s.tryRent(1, "a")
			want(s.t, "200", fmt.Sprint(r.status, r.json["success"], r.json["error"]), "200 falseno_such_ask")
			want(s.t, "live", s.live(), 0)
			want(s.t, "offers", len(s.search("{}")), 0)
		},
		FaultCreateWithError: func(s *sim) {
			s.fault(FaultSpec{Name: FaultCreateWithError, Count: 1})
			r := s.tryRent(1, "a")
			want(s.t, "answer", fmt.Sprint(r.status, r.json["success"]), "400 false")
			want(s.t, "state", s.status(integer(r.json["new_contract"])), "<nil> stopped/stopped/stopped address=false ports=false")
			want(s.t, "live", s.live(), 1)
		},
		FaultCreateLate: func(s *sim) {
			s.fault(FaultSpec{Name: FaultCreateLate, Params: params("after", "90"), Count: 1})
			want(s.t, "status", s.tryRent(1, "late").status, 504)
			s.step(89 * time.Second)
			want(s.t, "listed before", len(ids(s.list(""))), 0)
			s.step(time.Second)
			want(s.t, "listed after", len(ids(s.list(""))), 1)
			want(s.t, "label", s.Meter().Records[0].Label, "late")
		},
		FaultCreateNoID: func(s *sim) {
			s.fault(FaultSpec{Name: FaultCreateNoID, Count: 1})
			r := s.tryRent(1, "a")
			want(s.t, "answer", string(r.body), `{"success":true}`)
			want(s.t, "live", s.live(), 1)
		},
		FaultCreateRefused: func(s *sim) {
			s.fault(FaultSpec{Name: FaultCreateRefused, Count: 1})
			r := s.tryRent(1, "a")
			want(s.t, "credit", fmt.Sprint(r.status, r.json["error"], r.json["success"]), "400insufficient_credit<nil>")
			s.fault(FaultSpec{Name: FaultCreateRefused, Params: params("error", "spend_rate_limit")})
			want(s.t, "other", s.tryRent(1, "a").json["error"], any("spend_rate_limit"))
			want(s.t, "live", s.live(), 0)
		},
		FaultCreateDearer: func(s *sim) {
			s.fault(FaultSpec{Name: FaultCreateDearer, Params: params("factor", "2"), Count: 1})
			id := s.rent(1, "a")
			want(s.t, "price", toMicros(number(s.get(id)["dph_total"])), 600_000)
			peak, _ := s.Meter().Peak("")
			want(s.t, "metered price", peak, 600_000)
		},
	}
}
