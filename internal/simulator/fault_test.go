package simulator

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
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
func faultTests() map[string]func(t *testing.T, s *sim) {
	tests := httpFaultTests()
	for _, more := range []map[string]func(t *testing.T, s *sim){createFaultTests(), readFaultTests(), lifeFaultTests(), endFaultTests()} {
		for name, test := range more {
			tests[name] = test
		}
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
		t.Run(kind.Name, func(t *testing.T) { test(t, startSim(t, nil)) })
		delete(tests, kind.Name)
	}
	for name := range tests {
		t.Errorf("a test for fault %q, which does not exist", name)
	}
}

func httpFaultTests() map[string]func(t *testing.T, s *sim) {
	return map[string]func(t *testing.T, s *sim){
		FaultHTTPError: func(t *testing.T, s *sim) {
			s.fault(FaultSpec{Name: FaultHTTPError, Params: params("status", "502"), Count: 1, Match: Match{Endpoint: EndpointCreate}})
			want(t, "list", s.list("").status, 200)
			want(t, "rent", s.tryRent(1, "a").status, 502)
			want(t, "live", s.live(), 0)
			want(t, "next rent", s.tryRent(1, "a").status, 200)
			s.fault(FaultSpec{Name: FaultHTTPError, Params: params("executed", "true"), Match: Match{Endpoint: EndpointCreate}})
			want(t, "executed rent", s.tryRent(2, "b").status, 503)
			want(t, "live after it", s.live(), 2)
		},
		FaultHTML: func(t *testing.T, s *sim) {
			s.fault(FaultSpec{Name: FaultHTML})
			r := s.list("")
			want(t, "status", r.status, 403)
			if !strings.HasPrefix(r.header.Get("Content-Type"), "text/html") || !strings.Contains(string(r.body), "<html>") {
				t.Errorf("%v %s", r.header, r.body)
			}
		},
		FaultEmptyBody: func(t *testing.T, s *sim) {
			s.fault(FaultSpec{Name: FaultEmptyBody})
			r := s.list("")
			want(t, "status and length", []int{r.status, len(r.body)}, []int{200, 0})
		},
		FaultTruncatedBody: func(t *testing.T, s *sim) {
			s.fault(FaultSpec{Name: FaultTruncatedBody})
			r := s.list("")
			if r.json != nil || len(r.body) == 0 {
				t.Errorf("%s", r.body)
			}
		},
		FaultHangUp: func(t *testing.T, s *sim) {
			s.fault(FaultSpec{Name: FaultHangUp})
			if r := s.tryRent(1, "a"); !errors.Is(r.err, io.EOF) {
				t.Errorf("%v", r.err)
			}
			want(t, "live", s.live(), 0)
		},
		FaultSlow: func(t *testing.T, s *sim) {
			s.fault(FaultSpec{Name: FaultSlow, Params: params("delay", "30")})
			waits(t, s, func() reply { return s.list("") }, 30*time.Second, 200)
		},
		FaultRateLimit: func(t *testing.T, s *sim) {
			s.fault(FaultSpec{Name: FaultRateLimit, DurationSeconds: 60, Params: params("body", "detail", "retryAfter", "0")})
			r := s.list("")
			want(t, "status", r.status, 429)
			if r.json["detail"] == nil || r.header.Get("Retry-After") != "0" {
				t.Errorf("%s %v", r.body, r.header)
			}
			s.step(time.Minute)
			want(t, "after the burst", s.list("").status, 200)
		},
		FaultAuthError: func(t *testing.T, s *sim) {
			s.fault(FaultSpec{Name: FaultAuthError, Count: 2})
			r := s.list("")
			want(t, "answer", fmt.Sprint(r.status, r.json["error"], r.json["msg"]), "404auth_errorInvalid user key")
			want(t, "the second", s.list("").status, 404)
			want(t, "the third", s.list("").status, 200)
		},
		FaultDeprecated: func(t *testing.T, s *sim) {
			s.fault(FaultSpec{Name: FaultDeprecated, Params: params("status", "200")})
			r := s.list("")
			want(t, "answer", fmt.Sprint(r.status, r.json["success"], r.json["error"]), "200 falsedeprecated_endpoint")
		},
		FaultLostAnswer: func(t *testing.T, s *sim) {
			s.fault(FaultSpec{Name: FaultLostAnswer, Count: 1})
			if r := s.tryRent(1, "a"); r.err == nil {
				t.Errorf("an answer: %s", r.body)
			}
			s.fault(FaultSpec{Name: FaultLostAnswer, Params: params("how", "502"), Count: 1})
			want(t, "502", s.tryRent(2, "b").status, 502)
			s.fault(FaultSpec{Name: FaultLostAnswer, Params: params("how", "timeout", "delay", "10"), Count: 1})
			waits(t, s, func() reply { return s.tryRent(3, "c") }, 10*time.Second, 0)
			want(t, "live", s.live(), 3)
		},
		FaultSchemaDrift: func(t *testing.T, s *sim) {
			s.rent(1, "a")
			s.fault(FaultSpec{Name: FaultSchemaDrift})
			r := s.list("")
			if _, ok := r.json["instances"]; ok || r.status != 200 {
				t.Errorf("%d %s", r.status, r.body)
			}
		},
		FaultOtherAccount: func(t *testing.T, s *sim) {
			own := s.rent(1, "a")
			s.fault(FaultSpec{Name: FaultOtherAccount, DurationSeconds: 60})
			found := ids(s.list(""))
			if len(found) != 3 || slices.Contains(found, own) {
				t.Errorf("rentals %v", found)
			}
			want(t, "user", integer(s.do("GET", "/api/v0/users/current/", "").json["id"]), 7002)
			want(t, "own rental", s.status(own), "gone")
			s.step(time.Minute)
			s.fault(FaultSpec{Name: FaultOtherAccount, Params: params("identity", "false")})
			want(t, "user of the hidden mix-up", integer(s.do("GET", "/api/v0/users/current/", "").json["id"]), 7001)
			want(t, "list of the hidden mix-up", ids(s.list("")), found)
		},
	}
}

// waits proves that a call is answered only after so much simulated time.
func waits(t *testing.T, s *sim, call func() reply, d time.Duration, status int) {
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

func createFaultTests() map[string]func(t *testing.T, s *sim) {
	return map[string]func(t *testing.T, s *sim){
		FaultNoOffers: func(t *testing.T, s *sim) {
			s.fault(FaultSpec{Name: FaultNoOffers, Count: 1})
			want(t, "offers", len(s.search("{}")), 0)
			want(t, "offers later", len(s.search("{}")), 3)
		},
		FaultStaleOffer: func(t *testing.T, s *sim) {
			s.fault(FaultSpec{Name: FaultStaleOffer, Count: 1})
			want(t, "offers", len(s.search("{}")), 3)
			want(t, "rent", s.tryRent(1, "a").status, 404)
			want(t, "offers later", len(s.search("{}")), 0)
		},
		FaultOfferGone: func(t *testing.T, s *sim) {
			for i, form := range []string{"404", "410", "400"} {
				s.fault(FaultSpec{Name: FaultOfferGone, Params: params("form", form), Count: 1})
				r := s.tryRent(int64(i+1), "a")
				want(t, "status", fmt.Sprint(r.status), form)
				if !strings.Contains(string(r.body), "no_such_ask") {
					t.Errorf("%s", r.body)
				}
			}
			s.fault(FaultSpec{Name: FaultOfferGone, Params: params("form", "200"), Count: 1})
			r := s.tryRent(1, "a")
			want(t, "200", fmt.Sprint(r.status, r.json["success"], r.json["error"]), "200 falseno_such_ask")
			want(t, "live", s.live(), 0)
			want(t, "offers", len(s.search("{}")), 0)
		},
		FaultCreateWithError: func(t *testing.T, s *sim) {
			s.fault(FaultSpec{Name: FaultCreateWithError, Count: 1})
			r := s.tryRent(1, "a")
			want(t, "answer", fmt.Sprint(r.status, r.json["success"]), "400 false")
			want(t, "state", s.status(integer(r.json["new_contract"])), "<nil> stopped/stopped/stopped address=false ports=false")
			want(t, "live", s.live(), 1)
		},
		FaultCreateLate: func(t *testing.T, s *sim) {
			s.fault(FaultSpec{Name: FaultCreateLate, Params: params("after", "90"), Count: 1})
			want(t, "status", s.tryRent(1, "late").status, 504)
			s.step(89 * time.Second)
			want(t, "listed before", len(ids(s.list(""))), 0)
			s.step(time.Second)
			want(t, "listed after", len(ids(s.list(""))), 1)
			want(t, "label", s.Meter().Records[0].Label, "late")
		},
		FaultCreateNoID: func(t *testing.T, s *sim) {
			s.fault(FaultSpec{Name: FaultCreateNoID, Count: 1})
			r := s.tryRent(1, "a")
			want(t, "answer", string(r.body), `{"success":true}`)
			want(t, "live", s.live(), 1)
		},
		FaultCreateRefused: func(t *testing.T, s *sim) {
			s.fault(FaultSpec{Name: FaultCreateRefused, Count: 1})
			r := s.tryRent(1, "a")
			want(t, "credit", fmt.Sprint(r.status, r.json["error"], r.json["success"]), "400insufficient_credit<nil>")
			s.fault(FaultSpec{Name: FaultCreateRefused, Params: params("error", "spend_rate_limit")})
			want(t, "other", s.tryRent(1, "a").json["error"], any("spend_rate_limit"))
			want(t, "live", s.live(), 0)
		},
		FaultCreateDearer: func(t *testing.T, s *sim) {
			s.fault(FaultSpec{Name: FaultCreateDearer, Params: params("factor", "2"), Count: 1})
			id := s.rent(1, "a")
			want(t, "price", toMicros(number(s.get(id)["dph_total"])), 600_000)
			peak, _ := s.Meter().Peak("")
			want(t, "metered price", peak, 600_000)
		},
	}
}

func readFaultTests() map[string]func(t *testing.T, s *sim) {
	two := func(s *sim) (int64, int64) { return s.rentReady(1, "a"), s.rentReady(2, "b") }
	return map[string]func(t *testing.T, s *sim){
		FaultReadLag: func(t *testing.T, s *sim) {
			s.fault(FaultSpec{Name: FaultReadLag, Params: params("delay", "30"), Count: 1})
			id := s.rent(1, "a")
			s.step(29 * time.Second)
			want(t, "before", fmt.Sprint(s.status(id), ids(s.list(""))), "gone[]")
			s.step(time.Second)
			want(t, "after", ids(s.list("")), []int64{id})
		},
		FaultPageDrop: func(t *testing.T, s *sim) {
			for offer := range int64(3) {
				s.rent(offer+1, "a")
			}
			s.fault(FaultSpec{Name: FaultPageDrop, Count: 1})
			r := s.list("?limit=2")
			want(t, "page", fmt.Sprint(len(ids(r)), r.json["total_instances"], r.json["next_token"]), "2 3 <nil>")
		},
		FaultShortPage: func(t *testing.T, s *sim) {
			two(s)
			s.fault(FaultSpec{Name: FaultShortPage, Count: 1})
			r := s.list("")
			want(t, "page", fmt.Sprint(len(ids(r)), r.json["total_instances"]), "1 2")
		},
		FaultWrongTotal: func(t *testing.T, s *sim) {
			two(s)
			s.fault(FaultSpec{Name: FaultWrongTotal, Params: params("delta", "-1"), Count: 1})
			r := s.list("")
			want(t, "page", fmt.Sprint(len(ids(r)), r.json["total_instances"]), "2 1")
		},
		FaultEmptyList: func(t *testing.T, s *sim) {
			a, _ := two(s)
			s.fault(FaultSpec{Name: FaultEmptyList, Count: 1})
			r := s.list("")
			want(t, "page", fmt.Sprint(ids(r), r.json["total_instances"], r.json["success"]), "[] 0 true")
			if s.get(a) == nil {
				t.Error("the look-up must still know it")
			}
		},
		FaultHiddenRental: func(t *testing.T, s *sim) {
			a, b := two(s)
			f := s.fault(FaultSpec{Name: FaultHiddenRental, Match: Match{Rental: a}})
			r := s.list("")
			want(t, "list", fmt.Sprint(ids(r), r.json["total_instances"]), fmt.Sprint([]int64{b}, " 1"))
			want(t, "look-up", s.status(a), "gone")
			s.RemoveFault(f.ID)
			want(t, "afterwards", ids(s.list("")), []int64{a, b})
		},
		FaultStatusFlicker: func(t *testing.T, s *sim) {
			a, _ := two(s)
			s.fault(FaultSpec{Name: FaultStatusFlicker, Match: Match{Rental: a}})
			seen := map[any]bool{}
			for range 40 {
				seen[s.get(a)["actual_status"]] = true
			}
			want(t, "seen", seen, map[any]bool{"running": true, "exited": true})
			s.RemoveFault(0)
			s.fault(FaultSpec{Name: FaultStatusFlicker, Params: params("status", "", "probability", "1")})
			want(t, "null", s.get(a)["actual_status"], nil)
		},
		FaultLabelChanged: func(t *testing.T, s *sim) {
			a, b := two(s)
			s.fault(FaultSpec{Name: FaultLabelChanged, Match: Match{LabelPrefix: "a"}})
			s.fault(FaultSpec{Name: FaultLabelChanged, Params: params("label", "new"), Match: Match{Rental: b}})
			want(t, "labels", []any{s.get(a)["label"], s.get(b)["label"]}, []any{nil, "new"})
			want(t, "the witness keeps them", s.Meter().Rents(""), map[string]int{"a": 1, "b": 1})
		},
		FaultNoLogs: func(t *testing.T, s *sim) {
			a, _ := two(s)
			s.fault(FaultSpec{Name: FaultNoLogs, Count: 1})
			want(t, "faulty", readLog(s, a), []int{403, 403, 403, 403})
			want(t, "sound", readLog(s, a), []int{403, 403, 200, 200})
		},
		FaultV0Empty: func(t *testing.T, s *sim) {
			two(s)
			s.fault(FaultSpec{Name: FaultV0Empty, Count: 1})
			want(t, "answer", string(s.do("GET", "/api/v0/instances/", "").body), `{"instances":[]}`)
			want(t, "later", s.do("GET", "/api/v0/instances/", "").status, 410)
		},
	}
}

// readLog requests a log and returns the status of four reads of the result.
func readLog(s *sim, id int64) []int {
	url, _ := s.do("PUT", fmt.Sprintf("/api/v0/instances/request_logs/%d/", id), `{"tail":"10"}`).json["result_url"].(string)
	statuses := []int{}
	for range 4 {
		statuses = append(statuses, s.raw("GET", url, "", "").status)
	}
	return statuses
}

func lifeFaultTests() map[string]func(t *testing.T, s *sim) {
	const running = "running running/running/running address=true ports=true"
	return map[string]func(t *testing.T, s *sim){
		FaultStuck: func(t *testing.T, s *sim) {
			for i, state := range []string{"loading", "created", "pending"} {
				s.fault(FaultSpec{Name: FaultStuck, Params: params("state", state), Count: 1})
				id := s.rent(int64(i+1), "a")
				s.step(24 * time.Hour)
				actual := map[string]string{"loading": "loading", "created": "created", "pending": "<nil>"}[state]
				want(t, state, s.status(id), actual+" running/running/running address=false ports=false")
			}
		},
		FaultBootError: func(t *testing.T, s *sim) {
			s.fault(FaultSpec{Name: FaultBootError, Count: 1})
			id := s.rentReady(1, "a")
			want(t, "state", s.status(id), "created stopped/stopped/stopped address=false ports=false")
			if msg := fmt.Sprint(s.get(id)["status_msg"]); !strings.Contains(msg, "OCI runtime create failed") {
				t.Errorf("message %q", msg)
			}
			s.fault(FaultSpec{Name: FaultBootError, Params: params("kind", "manifest"), Count: 1})
			want(t, "manifest", s.status(s.rentReady(2, "b")), "loading stopped/stopped/stopped address=false ports=false")
		},
		FaultBadAddress: func(t *testing.T, s *sim) {
			s.fault(FaultSpec{Name: FaultBadAddress, Count: 1})
			want(t, "address", s.get(s.rentReady(1, "a"))["public_ipaddr"], any(" 127.0.0.1 \n"))
		},
		FaultComfy: func(t *testing.T, s *sim) {
			backend := &recorder{}
			s = startSim(t, func(c *Config) { c.Backend = backend })
			s.fault(FaultSpec{Name: FaultComfy, Params: params("fault", "worker-dead", "where", "between"), Count: 1})
			s.rentReady(1, "a")
			want(t, "faults", backend.specs[0].Faults, []BackendFault{{Name: "worker-dead", Params: params("where", "between")}})
		},
		FaultExited: func(t *testing.T, s *sim) {
			id := s.rentReady(1, "a")
			s.fault(FaultSpec{Name: FaultExited, Params: params("after", "10"), Match: Match{Rental: id}})
			want(t, "before", s.status(id), running)
			s.step(10 * time.Second)
			want(t, "after", s.status(id), "exited running/running/running address=true ports=false")
			before := s.Meter().Records[0].GPUCostMicros
			s.step(time.Hour)
			want(t, "GPU bill of an hour", s.Meter().Records[0].GPUCostMicros-before, 300_000)
			put(`{"state":"running"}`)(s, id)
			s.step(time.Minute)
			want(t, "started again", s.status(id), running)
		},
		FaultOffline: func(t *testing.T, s *sim) {
			id := s.rentReady(1, "a")
			port := fmt.Sprint(s.get(id)["ports"])
			s.fault(FaultSpec{Name: FaultOffline, Params: params("for", "60", "remap", "true")})
			want(t, "status", s.get(id)["actual_status"], any("offline"))
			before := s.Meter().Records[0].CostMicros
			s.step(59 * time.Second)
			want(t, "bill meanwhile", s.Meter().Records[0].CostMicros, before)
			s.step(time.Minute)
			want(t, "afterwards", s.status(id), running)
			if again := fmt.Sprint(s.get(id)["ports"]); again == port {
				t.Errorf("the same ports: %s", port)
			}
			s.fault(FaultSpec{Name: FaultOffline})
			s.step(time.Hour)
			want(t, "for good", s.get(id)["actual_status"], any("offline"))
			s.fault(FaultSpec{Name: FaultOffline, Params: params("back", "true")})
			want(t, "brought back", s.status(id), running)
		},
		FaultOutbid: func(t *testing.T, s *sim) {
			id := s.rentReady(1, "a")
			s.fault(FaultSpec{Name: FaultOutbid, Params: params("for", "60")})
			want(t, "status", s.status(id), "exited stopped/stopped/stopped address=true ports=false")
			s.step(2 * time.Minute)
			want(t, "afterwards", s.status(id), running)
		},
		FaultPriceRaise: func(t *testing.T, s *sim) {
			id := s.rentReady(1, "a")
			s.fault(FaultSpec{Name: FaultPriceRaise, Params: params("factor", "2")})
			want(t, "price", toMicros(number(s.get(id)["dph_total"])), 600_000)
			before := s.Meter().Total("")
			s.step(time.Hour)
			want(t, "bill of an hour", s.Meter().Total("")-before, 600_000)
			s.fault(FaultSpec{Name: FaultPriceRaise, Params: params("factor", "2", "pending", "true")})
			list, _ := s.do("GET", "/api/v0/instances/pending-price-increases/", "").json["pending_price_increases"].([]any)
			want(t, "proposals", len(list), 1)
			want(t, "price until accepted", toMicros(number(s.get(id)["dph_total"])), 600_000)
			proposal, _ := list[0].(map[string]any)
			body := fmt.Sprintf(`{"pending_price_increase_id":%d}`, integer(proposal["pending_price_increase_id"]))
			want(t, "accept", s.do("PUT", "/api/v0/instances/accept-price-increase/", body).status, 200)
			want(t, "price", toMicros(number(s.get(id)["dph_total"])), 1_200_000)
		},
		FaultVanished: func(t *testing.T, s *sim) {
			id := s.rentReady(1, "a")
			s.fault(FaultSpec{Name: FaultVanished})
			want(t, "status", s.status(id), "gone")
			want(t, "witness", s.Meter().Records[0].EndReason, "vanished")
		},
		FaultResourcesTaken: func(t *testing.T, s *sim) {
			id := s.rentReady(1, "a")
			put(`{"state":"stopped"}`)(s, id)
			s.step(2 * time.Second)
			s.fault(FaultSpec{Name: FaultResourcesTaken, Params: params("fires", "60"), Count: 1})
			r := s.do("PUT", path(id), `{"state":"running"}`)
			want(t, "answer", fmt.Sprint(r.status, r.json["success"], r.json["error"]), "200 falseresources_unavailable")
			s.step(59 * time.Second)
			want(t, "queued", s.status(id), "exited running/stopped/running address=true ports=false")
			s.step(time.Minute)
			want(t, "fired", s.status(id), running)
		},
	}
}

func endFaultTests() map[string]func(t *testing.T, s *sim) {
	return map[string]func(t *testing.T, s *sim){
		FaultDestroyError: func(t *testing.T, s *sim) {
			id := s.rentReady(1, "a")
			s.fault(FaultSpec{Name: FaultDestroyError, Count: 1})
			want(t, "500", s.do("DELETE", path(id), "{}").status, 500)
			s.fault(FaultSpec{Name: FaultDestroyError, Params: params("status", "404", "error", "no_such_instance"), Count: 1})
			r := s.do("DELETE", path(id), "{}")
			want(t, "404", fmt.Sprint(r.status, r.json["error"]), "404no_such_instance")
			want(t, "live", s.live(), 1)
			s.fault(FaultSpec{Name: FaultDestroyError, Params: params("executed", "true"), Count: 1})
			want(t, "executed", s.do("DELETE", path(id), "{}").status, 500)
			want(t, "live after it", s.live(), 0)
		},
		FaultDestroyLingers: func(t *testing.T, s *sim) {
			id := s.rentReady(1, "a")
			s.fault(FaultSpec{Name: FaultDestroyLingers, Params: params("for", "30"), Count: 1})
			want(t, "destroy", s.do("DELETE", path(id), "{}").status, 200)
			want(t, "live", s.live(), 0)
			s.step(29 * time.Second)
			want(t, "listed", ids(s.list("")), []int64{id})
			want(t, "destroy again", s.do("DELETE", path(id), "{}").status, 404)
			s.step(time.Second)
			want(t, "listed later", ids(s.list("")), []int64{})
		},
		FaultDestroyIgnored: func(t *testing.T, s *sim) {
			id := s.rentReady(1, "a")
			s.fault(FaultSpec{Name: FaultDestroyIgnored, Count: 1})
			want(t, "destroy", s.do("DELETE", path(id), "{}").status, 200)
			s.step(time.Hour)
			want(t, "live", s.live(), 1)
		},
		FaultCredit: func(t *testing.T, s *sim) {
			id := s.rentReady(1, "a")
			s.fault(FaultSpec{Name: FaultCredit, Params: params("usd", "12.5")})
			want(t, "credit", s.do("GET", "/api/v0/users/current/", "").json["credit"], any(12.5))
			s.fault(FaultSpec{Name: FaultCredit})
			want(t, "state", s.status(id), "exited stopped/stopped/stopped address=true ports=false")
		},
	}
}

func TestBadFaults(t *testing.T) {
	s := startSim(t, nil)
	for name, body := range map[string]string{
		"unknown name":      `{"name":"nonsense"}`,
		"unknown parameter": `{"name":"html","params":{"nonsense":"1"}}`,
		"bad number":        `{"name":"html","params":{"status":"x"}}`,
		"bad word":          `{"name":"offer-gone","params":{"form":"500"}}`,
		"bad endpoint":      `{"name":"html","match":{"endpoint":"nonsense"}}`,
		"bad count":         `{"name":"html","count":-1}`,
		"misspelt":          `{"name":"html","cuont":1}`,
		"no JSON":           `{`,
	} {
		if r := s.admin("POST", "/faults", body); r.status != http.StatusBadRequest || r.json["error"] == nil {
			t.Errorf("%s: %d %s", name, r.status, r.body)
		}
	}
	want(t, "faults set", len(s.Faults()), 0)
}

// TestOfflineIsSilent proves that an offline host's port accepts nothing and
// says nothing, and that established connections are cut.
func TestOfflineIsSilent(t *testing.T) {
	s := startSim(t, func(c *Config) { c.Backend = &recorder{serve: true} })
	id := s.rentReady(1, "a")
	address := s.address(id, "8188/tcp")
	ask := func() (string, error) {
		r := s.raw("GET", "http://"+address+"/", "", "")
		return string(r.body), r.err
	}
	if body, err := ask(); err != nil || body != "backend" {
		t.Fatalf("online: %q %v", body, err)
	}
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(conn, make([]byte, 4)); err != nil {
		t.Fatal(err)
	}
	s.fault(FaultSpec{Name: FaultOffline})
	if _, err := io.Copy(io.Discard, conn); err != nil && !strings.Contains(err.Error(), "reset") {
		t.Errorf("established connection: %v", err)
	}
	s.http.Timeout = 200 * time.Millisecond
	if body, err := ask(); err == nil {
		t.Errorf("offline: %q", body)
	}
	s.http.Timeout = 0
	s.fault(FaultSpec{Name: FaultOffline, Params: params("back", "true")})
	if body, err := ask(); err != nil || body != "backend" {
		t.Errorf("back online: %q %v", body, err)
	}
}

// address is where a container port is published.
func (s *sim) address(id int64, port string) string {
	s.t.Helper()
	row := s.get(id)
	var ports map[string][]struct{ HostPort string }
	data, err := json.Marshal(row["ports"])
	if err != nil {
		s.t.Fatal(err)
	}
	mustDecode(s.t, data, &ports)
	if len(ports[port]) == 0 {
		s.t.Fatalf("port %s is not published: %s", port, data)
	}
	return fmt.Sprint(row["public_ipaddr"], ":", ports[port][0].HostPort)
}
