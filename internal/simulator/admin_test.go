package simulator

import (
	"fmt"
	"net/http"
	"testing"
	"time"
)

func TestAdminAPI(t *testing.T) {
	backend := &recorder{}
	s := startSim(t, func(c *Config) { c.Backend = backend })
	id := s.rentReady(1, "wp1.a.b.1")
	want(t, "healthz", s.admin("GET", "/healthz", "").status, 200)

	faults := s.admin("GET", "/faults", "")
	registry, _ := faults.json["registry"].([]any)
	want(t, "registry", len(registry), len(FaultKinds()))
	r := s.admin("POST", "/faults", `{"name":"http-error","params":{"status":"500"},"match":{"endpoint":"list"}}`)
	want(t, "fault", r.status, 200)
	want(t, "list", s.list("").status, 500)
	want(t, "remove", string(s.admin("DELETE", fmt.Sprintf("/faults/%d", integer(r.json["id"])), "").body), `{"removed":1}`)
	want(t, "list later", s.list("").status, 200)
	s.admin("POST", "/faults", `{"name":"html"}`)
	want(t, "remove all", string(s.admin("DELETE", "/faults", "").body), `{"removed":1}`)

	total, _ := s.admin("GET", "/meter?prefix=wp1.&prefix=zz", "").json["prefixes"].(map[string]any)
	ours, _ := total["wp1."].(map[string]any)
	others, _ := total["zz"].(map[string]any)
	want(t, "metered", []any{ours["liveRentals"], others["liveRentals"]}, []any{1.0, 0.0})
	want(t, "rentals", s.admin("GET", "/rentals", "").body[0], byte('['))

	want(t, "comfy fault", s.admin("POST", fmt.Sprintf("/rentals/%d/fault", id), `{"name":"x","params":{"a":"b"}}`).status, 200)
	want(t, "it arrived", backend.set, []BackendFault{{"x", params("a", "b")}})
	want(t, "clear", s.admin("DELETE", fmt.Sprintf("/rentals/%d/fault/x", id), "").status, 200)
	want(t, "it is gone", backend.set, nil)
	want(t, "no such rental", s.admin("POST", "/rentals/5/fault", `{"name":"x"}`).status, 404)

	aside := s.admin("POST", "/rentals", `{"offerID":2,"label":"stranger"}`)
	want(t, "aside", fmt.Sprint(aside.status, s.get(integer(aside.json["id"]))["label"]), "200stranger")
	want(t, "requests", s.admin("GET", "/requests", "").json["create"], any(map[string]any{"200": 1.0}))
	want(t, "unknown path", s.admin("GET", "/nothing", "").status, http.StatusNotFound)
}

func TestAdminMarket(t *testing.T) {
	s := startSim(t, nil)
	r := s.admin("POST", "/market", `{"add":[{"gpuName":"RTX 5090","priceMicros":700000,"machineID":55}],"remove":[1]}`)
	want(t, "change", r.status, 200)
	want(t, "offers", len(s.search("{}")), 3)
	want(t, "new one", len(s.search(`{"gpu_name":{"eq":"RTX 5090"}}`)), 1)
	want(t, "removed", s.tryRent(1, "a").status, 404)
	want(t, "remove again", s.admin("POST", "/market", `{"remove":[1]}`).status, 404)
	want(t, "taken", s.admin("POST", "/market", `{"machines":[{"id":55,"taken":true}]}`).status, 200)
	want(t, "offers", len(s.search("{}")), 2)
	s.admin("POST", "/market", `{"machines":[{"id":55,"taken":false,"priceFactor":2}]}`)
	want(t, "price", toMicros(number(s.search(`{"machine_id":{"eq":55}}`)[0]["dph_total"])), 1_400_000)
	s.admin("POST", "/market", `{"machines":[{"id":55,"absent":true}]}`)
	want(t, "absent", len(s.search(`{"machine_id":{"eq":55}}`)), 0)
	offers, _ := s.admin("GET", "/market", "").json["offers"].([]any)
	want(t, "offers", len(offers), 2)
}

func TestKeys(t *testing.T) {
	s := startSim(t, nil)
	id := s.rent(1, "a")
	asks := func(key string) int { return s.raw("GET", s.URL()+"/api/v1/instances/", "", key).status }
	want(t, "rotate", s.admin("POST", "/keys", `{"action":"rotate","key":"sim-key","newKey":"second"}`).status, 200)
	want(t, "old and new", []int{asks("sim-key"), asks("second")}, []int{404, 200})
	want(t, "add", s.admin("POST", "/keys", `{"action":"add","key":"third"}`).status, 200)
	want(t, "revoke", s.admin("POST", "/keys", `{"action":"revoke","key":"second"}`).status, 200)
	want(t, "second and third", []int{asks("second"), asks("third")}, []int{404, 200})
	want(t, "other account", s.admin("POST", "/keys", `{"action":"other-account","key":"third"}`).status, 200)
	s.key = "third"
	want(t, "user", integer(s.do("GET", "/api/v0/users/current/", "").json["id"]), 7002)
	want(t, "rental", s.status(id), "gone")
	for name, body := range map[string]string{
		"unknown key": `{"action":"revoke","key":"nonsense"}`, "unknown action": `{"action":"x","key":"third"}`, "no new key": `{"action":"rotate","key":"third"}`,
	} {
		if r := s.admin("POST", "/keys", body); r.status < 400 {
			t.Errorf("%s: %d", name, r.status)
		}
	}
}

// TestClockAdvance proves that a jump moves bills and lives without the injected clock.
func TestClockAdvance(t *testing.T) {
	s := startSim(t, nil)
	id := s.rent(1, "a")
	want(t, "advance", s.admin("POST", "/clock/advance", `{"seconds":3600}`).status, 200)
	want(t, "status", s.status(id), "running running/running/running address=true ports=true")
	want(t, "time", s.Now(), epochStart.Add(time.Hour))
	want(t, "back", s.admin("POST", "/clock/advance", `{"seconds":-1}`).status, 400)
}

// TestJumpBringsTimersForward proves that a backend's timer notices a jump.
func TestJumpBringsTimersForward(t *testing.T) {
	s := startSim(t, func(c *Config) { c.Speed = 10 })
	timer := s.world.clock.NewTimer(time.Minute)
	defer timer.Stop()
	s.Jump(59 * time.Second)
	select {
	case <-timer.C():
		t.Fatal("a second too early")
	default:
	}
	s.clock.Step(100*time.Millisecond + time.Microsecond)
	select {
	case <-timer.C():
	default:
		t.Error("the timer did not fire")
	}
}

func TestBadConfig(t *testing.T) {
	for name, config := range map[string]Config{
		"speed":   {Speed: -1},
		"limit":   {Market: Market{Limit: -1}},
		"address": {Listen: "nonsense"},
		"admin":   {AdminListen: "nonsense"},
		"offer":   {Market: Market{Offers: []OfferSpec{{PriceMicros: -1}}}},
		"twice":   {Market: Market{Offers: []OfferSpec{{ID: 1}, {ID: 1}}}},
	} {
		if _, err := Start(t.Context(), config); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
