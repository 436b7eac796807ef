package simulator

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

func readFaultTests() map[string]func(s *sim) {
	two := func(s *sim) (int64, int64) { return s.rentReady(1, "a"), s.rentReady(2, "b") }
	return map[string]func(s *sim){
		FaultReadLag: func(s *sim) {
			s.fault(FaultSpec{Name: FaultReadLag, Params: params("delay", "30"), Count: 1})
			id := s.rent(1, "a")
			s.step(29 * time.Second)
			want(s.t, "before", fmt.Sprint(s.status(id), ids(s.list(""))), "gone[]")
			s.step(time.Second)
			want(s.t, "after", ids(s.list("")), []int64{id})
		},
		FaultPageDrop: func(s *sim) {
			for offer := range int64(3) {
				s.rent(offer+1, "a")
			}
			s.fault(FaultSpec{Name: FaultPageDrop, Count: 1})
			r := s.list("?limit=2")
			want(s.t, "page", fmt.Sprint(len(ids(r)), r.json["total_instances"], r.json["next_token"]), "2 3 <nil>")
		},
		FaultShortPage: func(s *sim) {
			two(s)
			s.fault(FaultSpec{Name: FaultShortPage, Count: 1})
			r := s.list("")
			want(s.t, "page", fmt.Sprint(len(ids(r)), r.json["total_instances"]), "1 2")
		},
		FaultWrongTotal: func(s *sim) {
			two(s)
			s.fault(FaultSpec{Name: FaultWrongTotal, Params: params("delta", "-1"), Count: 1})
			r := s.list("")
			want(s.t, "page", fmt.Sprint(len(ids(r)), r.json["total_instances"]), "2 1")
		},
		FaultEmptyList: func(s *sim) {
			a, _ := two(s)
			s.fault(FaultSpec{Name: FaultEmptyList, Count: 1})
			r := s.list("")
			want(s.t, "page", fmt.Sprint(ids(r), r.json["total_instances"], r.json["success"]), "[] 0 true")
			if s.get(a) == nil {
				s.t.Error("the look-up must still know it")
			}
		},
		FaultHiddenRental: func(s *sim) {
			a, b := two(s)
			f := s.fault(FaultSpec{Name: FaultHiddenRental, Match: Match{Rental: a}})
			r := s.list("")
			want(s.t, "list", fmt.Sprint(ids(r), r.json["total_instances"]), fmt.Sprint([]int64{b}, " 1"))
			want(s.t, "look-up", s.status(a), "gone")
			s.RemoveFault(f.ID)
			want(s.t, "afterwards", ids(s.list("")), []int64{a, b})
		},
		FaultStatusFlicker: func(s *sim) {
			a, _ := two(s)
			s.fault(FaultSpec{Name: FaultStatusFlicker, Match: Match{Rental: a}})
			seen := map[any]bool{}
			for range 40 {
				seen[s.get(a)["actual_status"]] = true
			}
			want(s.t, "seen", seen, map[any]bool{"running": true, "exited": true})
			s.RemoveFault(0)
			s.fault(FaultSpec{Name: FaultStatusFlicker, Params: params("status", "", "probability", "1")})
			want(s.t, "null", s.get(a)["actual_status"], nil)
		},
		FaultLabelChanged: func(s *sim) {
			a, b := two(s)
			s.fault(FaultSpec{Name: FaultLabelChanged, Match: Match{LabelPrefix: "a"}})
			s.fault(FaultSpec{Name: FaultLabelChanged, Params: params("label", "new"), Match: Match{Rental: b}})
			want(s.t, "labels", []any{s.get(a)["label"], s.get(b)["label"]}, []any{nil, "new"})
			want(s.t, "the witness keeps them", s.Meter().Rents(""), map[string]int{"a": 1, "b": 1})
		},
		FaultNoLogs: func(s *sim) {
			a, _ := two(s)
			s.fault(FaultSpec{Name: FaultNoLogs, Count: 1})
			want(s.t, "faulty", readLog(s, a), []int{403, 403, 403, 403})
			want(s.t, "sound", readLog(s, a), []int{403, 403, 200, 200})
		},
		FaultV0Empty: func(s *sim) {
			two(s)
			s.fault(FaultSpec{Name: FaultV0Empty, Count: 1})
			want(s.t, "answer", string(s.do("GET", "/api/v0/instances/", "").body), `{"instances":[]}`)
			want(s.t, "later", s.do("GET", "/api/v0/instances/", "").status, 410)
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

func lifeFaultTests() map[string]func(s *sim) {
	const running = "running running/running/running address=true ports=true"
	return map[string]func(s *sim){
		FaultStuck: func(s *sim) {
			for i, state := range []string{"loading", "created", "pending"} {
				s.fault(FaultSpec{Name: FaultStuck, Params: params("state", state), Count: 1})
				id := s.rent(int64(i+1), "a")
				s.step(24 * time.Hour)
				actual := map[string]string{"loading": "loading", "created": "created", "pending": "<nil>"}[state]
				want(s.t, state, s.status(id), actual+" running/running/running address=false ports=false")
			}
		},
		FaultBootError: func(s *sim) {
			s.fault(FaultSpec{Name: FaultBootError, Count: 1})
			id := s.rentReady(1, "a")
			want(s.t, "state", s.status(id), "created stopped/stopped/stopped address=false ports=false")
			if msg := fmt.Sprint(s.get(id)["status_msg"]); !strings.Contains(msg, "OCI runtime create failed") {
				s.t.Errorf("message %q", msg)
			}
			s.fault(FaultSpec{Name: FaultBootError, Params: params("kind", "manifest"), Count: 1})
			want(s.t, "manifest", s.status(s.rentReady(2, "b")), "loading stopped/stopped/stopped address=false ports=false")
		},
		FaultBadAddress: func(s *sim) {
			s.fault(FaultSpec{Name: FaultBadAddress, Count: 1})
			want(s.t, "address", s.get(s.rentReady(1, "a"))["public_ipaddr"], any(" 127.0.0.1 \n"))
		},
		FaultComfy: func(s *sim) {
			backend := &recorder{}
			own := startSim(s.t, func(c *Config) { c.Backend = backend })
			own.fault(FaultSpec{Name: FaultComfy, Params: params("fault", "worker-dead", "where", "between"), Count: 1})
			own.rentReady(1, "a")
			want(s.t, "faults", backend.specs[0].Faults, []BackendFault{{Name: "worker-dead", Params: params("where", "between")}})
		},
		FaultExited: func(s *sim) {
			id := s.rentReady(1, "a")
			s.fault(FaultSpec{Name: FaultExited, Params: params("after", "10"), Match: Match{Rental: id}})
			want(s.t, "before", s.status(id), running)
			s.step(10 * time.Second)
			want(s.t, "after", s.status(id), "exited running/running/running address=true ports=false")
			before := s.Meter().Records[0].GPUCostMicros
			s.step(time.Hour)
			want(s.t, "GPU bill of an hour", s.Meter().Records[0].GPUCostMicros-before, 300_000)
			put(`{"state":"running"}`)(s, id)
			s.step(time.Minute)
			want(s.t, "started again", s.status(id), running)
		},
		FaultOffline: func(s *sim) {
			id := s.rentReady(1, "a")
			port := fmt.Sprint(s.get(id)["ports"])
			s.fault(FaultSpec{Name: FaultOffline, Params: params("for", "60", "remap", "true")})
			want(s.t, "status", s.get(id)["actual_status"], any("offline"))
			before := s.Meter().Records[0].CostMicros
			s.step(59 * time.Second)
			want(s.t, "bill meanwhile", s.Meter().Records[0].CostMicros, before)
			s.step(time.Minute)
			want(s.t, "afterwards", s.status(id), running)
			if again := fmt.Sprint(s.get(id)["ports"]); again == port {
				s.t.Errorf("the same ports: %s", port)
			}
			s.fault(FaultSpec{Name: FaultOffline})
			s.step(time.Hour)
			want(s.t, "for good", s.get(id)["actual_status"], any("offline"))
			s.fault(FaultSpec{Name: FaultOffline, Params: params("back", "true")})
			want(s.t, "brought back", s.status(id), running)
		},
		FaultOutbid: func(s *sim) {
			id := s.rentReady(1, "a")
			s.fault(FaultSpec{Name: FaultOutbid, Params: params("for", "60")})
			want(s.t, "status", s.status(id), "exited stopped/stopped/stopped address=true ports=false")
			s.step(2 * time.Minute)
			want(s.t, "afterwards", s.status(id), running)
		},
		FaultPriceRaise: func(s *sim) {
			id := s.rentReady(1, "a")
			s.fault(FaultSpec{Name: FaultPriceRaise, Params: params("factor", "2")})
			want(s.t, "price", toMicros(number(s.get(id)["dph_total"])), 600_000)
			before := s.Meter().Total("")
			s.step(time.Hour)
			want(s.t, "bill of an hour", s.Meter().Total("")-before, 600_000)
			s.fault(FaultSpec{Name: FaultPriceRaise, Params: params("factor", "2", "pending", "true")})
			list, _ := s.do("GET", "/api/v0/instances/pending-price-increases/", "").json["pending_price_increases"].([]any)
			want(s.t, "proposals", len(list), 1)
			want(s.t, "price until accepted", toMicros(number(s.get(id)["dph_total"])), 600_000)
			proposal, _ := list[0].(map[string]any)
			body := fmt.Sprintf(`{"pending_price_increase_id":%d}`, integer(proposal["pending_price_increase_id"]))
			want(s.t, "accept", s.do("PUT", "/api/v0/instances/accept-price-increase/", body).status, 200)
			want(s.t, "price", toMicros(number(s.get(id)["dph_total"])), 1_200_000)
		},
		FaultVanished: func(s *sim) {
			id := s.rentReady(1, "a")
			s.fault(FaultSpec{Name: FaultVanished})
			want(s.t, "status", s.status(id), "gone")
			want(s.t, "witness", s.Meter().Records[0].EndReason, "vanished")
		},
		FaultResourcesTaken: func(s *sim) {
			id := s.rentReady(1, "a")
			put(`{"state":"stopped"}`)(s, id)
			s.step(2 * time.Second)
			s.fault(FaultSpec{Name: FaultResourcesTaken, Params: params("fires", "60"), Count: 1})
			r := s.do("PUT", path(id), `{"state":"running"}`)
			want(s.t, "answer", fmt.Sprint(r.status, r.json["success"], r.json["error"]), "200 falseresources_unavailable")
			s.step(59 * time.Second)
			want(s.t, "queued", s.status(id), "exited running/stopped/running address=true ports=false")
			s.step(time.Minute)
			want(s.t, "fired", s.status(id), running)
		},
	}
}

func endFaultTests() map[string]func(s *sim) {
	return map[string]func(s *sim){
		FaultDestroyError: func(s *sim) {
			id := s.rentReady(1, "a")
			s.fault(FaultSpec{Name: FaultDestroyError, Count: 1})
			want(s.t, "500", s.do("DELETE", path(id), "{}").status, 500)
			s.fault(FaultSpec{Name: FaultDestroyError, Params: params("status", "404", "error", "no_such_instance"), Count: 1})
			r := s.do("DELETE", path(id), "{}")
			want(s.t, "404", fmt.Sprint(r.status, r.json["error"]), "404no_such_instance")
			want(s.t, "live", s.live(), 1)
			s.fault(FaultSpec{Name: FaultDestroyError, Params: params("executed", "true"), Count: 1})
			want(s.t, "executed", s.do("DELETE", path(id), "{}").status, 500)
			want(s.t, "live after it", s.live(), 0)
		},
		FaultDestroyLingers: func(s *sim) {
			id := s.rentReady(1, "a")
			s.fault(FaultSpec{Name: FaultDestroyLingers, Params: params("for", "30"), Count: 1})
			want(s.t, "destroy", s.do("DELETE", path(id), "{}").status, 200)
			want(s.t, "live", s.live(), 0)
			s.step(29 * time.Second)
			want(s.t, "listed", ids(s.list("")), []int64{id})
			want(s.t, "destroy again", s.do("DELETE", path(id), "{}").status, 404)
			s.step(time.Second)
			want(s.t, "listed later", ids(s.list("")), []int64{})
		},
		FaultDestroyIgnored: func(s *sim) {
			id := s.rentReady(1, "a")
			s.fault(FaultSpec{Name: FaultDestroyIgnored, Count: 1})
			want(s.t, "destroy", s.do("DELETE", path(id), "{}").status, 200)
			s.step(time.Hour)
			want(s.t, "live", s.live(), 1)
		},
		FaultCredit: func(s *sim) {
			id := s.rentReady(1, "a")
			s.fault(FaultSpec{Name: FaultCredit, Params: params("usd", "12.5")})
			want(s.t, "credit", s.do("GET", "/api/v0/users/current/", "").json["credit"], any(12.5))
			s.fault(FaultSpec{Name: FaultCredit})
			want(s.t, "state", s.status(id), "exited stopped/stopped/stopped address=true ports=false")
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
