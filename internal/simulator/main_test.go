package simulator

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	clocktesting "k8s.io/utils/clock/testing"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// sim is a simulation on a fake clock with its own HTTP client.
type sim struct {
	*Server
	t     *testing.T
	clock *clocktesting.FakeClock
	http  *http.Client
	key   string
}

// epochStart is when fake time starts.
var epochStart = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// fixed are durations without chance: report 2 s, created 1 s, pull 20 s,
// address 1 s, ports 3 s.
func fixed() *Provisioning {
	at := func(d time.Duration) Range { return Range{d, d} }
	return &Provisioning{
		Report: at(2 * time.Second), Create: at(time.Second), Pull: at(20 * time.Second),
		Address: at(time.Second), Ports: at(3 * time.Second),
		Stop: at(2 * time.Second), Start: at(5 * time.Second), Reboot: at(4 * time.Second),
	}
}

// upAfter is when a rental of fixed provisioning runs; readyAfter when its
// ports show.
const (
	upAfter    = 23 * time.Second
	readyAfter = 26 * time.Second
)

// priced is a market of one-GPU offers with ids from 1 and these prices.
func priced(micros ...int64) []OfferSpec {
	offers := []OfferSpec{}
	for i, price := range micros {
		offers = append(offers, OfferSpec{ID: int64(i + 1), MachineID: int64(100 + i), PriceMicros: price})
	}
	return offers
}

// startSim starts a simulation with three offers, no limits, fixed durations and
// nothing behind the ports, unless the configuration says otherwise.
func startSim(t *testing.T, change func(c *Config)) *sim {
	t.Helper()
	s := &sim{t: t, clock: clocktesting.NewFakeClock(epochStart), key: "sim-key"}
	config := Config{
		Clock: s.clock, Seed: 1, Provisioning: fixed(), Backend: NoBackend(),
		Market: Market{Offers: priced(300_000, 400_000, 500_000), Frozen: true}, RateLimits: RateLimits{Disabled: true},
	}
	if change != nil {
		change(&config)
	}
	server, err := Start(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{DisableKeepAlives: true}
	s.Server, s.http = server, &http.Client{Transport: transport}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// step lets simulated time pass (speed 1).
func (s *sim) step(d time.Duration) {
	s.clock.Step(d)
	s.Advance()
}

// reply is an answer as a test looks at it.
type reply struct {
	status int
	header http.Header
	body   []byte
	json   map[string]any
	err    error
}

// raw sends a request to a whole URL.
func (s *sim) raw(method, url, body, key string) reply {
	s.t.Helper()
	request, err := http.NewRequestWithContext(s.t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	if key != "" {
		request.Header.Set("Authorization", "Bearer "+key)
	}
	response, err := s.http.Do(request)
	if err != nil {
		return reply{err: err}
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	r := reply{status: response.StatusCode, header: response.Header, body: data, err: err}
	if bytes.HasPrefix(data, []byte("{")) {
		// A truncated body leaves json nil, which is what the test of it expects.
		if json.Unmarshal(data, &r.json) != nil {
			r.json = nil
		}
	}
	return r
}

// do sends a request to the API.
func (s *sim) do(method, path, body string) reply {
	s.t.Helper()
	return s.raw(method, s.URL()+path, body, s.key)
}

// admin sends a request to the admin API.
func (s *sim) admin(method, path, body string) reply {
	s.t.Helper()
	return s.raw(method, s.AdminURL()+path, body, "")
}

const rentBody = `{"image":"vastai/comfy","disk":10,"label":%q,"env":{"-p 8188:8188":"1","A":"b"}}`

// tryRent rents an offer and returns the answer.
func (s *sim) tryRent(offer int64, label string) reply {
	s.t.Helper()
	return s.do("PUT", fmt.Sprintf("/api/v0/asks/%d/", offer), fmt.Sprintf(rentBody, label))
}

// rent rents an offer and returns the contract.
func (s *sim) rent(offer int64, label string) int64 {
	s.t.Helper()
	r := s.tryRent(offer, label)
	if r.status != http.StatusOK || r.json["success"] != true {
		s.t.Fatalf("renting offer %d: %d %s", offer, r.status, r.body)
	}
	return integer(r.json["new_contract"])
}

// rentReady rents and waits until the ports show.
func (s *sim) rentReady(offer int64, label string) int64 {
	s.t.Helper()
	id := s.rent(offer, label)
	s.step(readyAfter)
	return id
}

// path is a rental's path.
func path(id int64) string { return fmt.Sprintf("/api/v0/instances/%d/", id) }

// get looks a rental up; nil when it is gone.
func (s *sim) get(id int64) map[string]any {
	s.t.Helper()
	row, ok := s.do("GET", path(id), "").json["instances"].(map[string]any)
	if !ok {
		return nil
	}
	return row
}

// list returns one answer of the v1 list.
func (s *sim) list(query string) reply {
	s.t.Helper()
	return s.do("GET", "/api/v1/instances/"+query, "")
}

// ids returns the ids of a list answer.
func ids(r reply) []int64 {
	found := []int64{}
	rows, _ := r.json["instances"].([]any)
	for _, row := range rows {
		fields, _ := row.(map[string]any)
		found = append(found, integer(fields["id"]))
	}
	return found
}

// fault sets a fault.
func (s *sim) fault(spec FaultSpec) Fault {
	s.t.Helper()
	f, err := s.AddFault(spec)
	if err != nil {
		s.t.Fatal(err)
	}
	return f
}

// search returns the offers of a search.
func (s *sim) search(body string) []map[string]any {
	s.t.Helper()
	return offersOf(s.do("POST", "/api/v0/bundles/", body))
}

func offersOf(r reply) []map[string]any {
	rows := []map[string]any{}
	list, _ := r.json["offers"].([]any)
	for _, row := range list {
		fields, _ := row.(map[string]any)
		rows = append(rows, fields)
	}
	return rows
}
