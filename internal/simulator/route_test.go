package simulator

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/warmpool-dev/warmpool/internal/vastai/schema"
)

// conformance is one request as clients send it, with what it must be answered.
// The bodies are those that the real command line sends.
type conformance struct {
	method, path, body string // {id} is a running rental
	status             int
	keys               string // required keys of the answer, divided by spaces
	array              bool
}

func requests() []conformance {
	q := url.QueryEscape
	who := `{"client_id":"me"}`
	list := "?select_filters=%7B%7D&order_by=" + q(`[{"col": "id", "dir": "asc"}]`) + "&limit=25"
	charges := "?select_filters=" + q(`{"day":{"gte":1,"lte":4000000000},"type":{"in":["instance"]}}`) + "&limit=20&latest_first=false&format=table"
	search := `{"verified":{"eq":true},"external":{"eq":false},"rentable":{"eq":true},"gpu_name":{"eq":"RTX 4090"},"num_gpus":{"eq":"1"},` +
		`"dph_total":{"lt":"0.5"},"order":[["score","desc"]],"type":"on-demand","limit":2,"allocated_storage":5.0}`
	create := `{"client_id":"me","image":"vastai/comfy","env":{"-p 8188:8188":"1","A":"b"},"price":null,"disk":40.0,"label":"pool-a","extra":null,` +
		`"onstart":null,"image_login":null,"python_utf8":false,"lang_utf8":false,"use_jupyter_lab":false,"jupyter_dir":null,"force":false,` +
		`"cancel_unavail":false,"template_hash_id":null,"user":null,"runtype":"ssh"}`
	return []conformance{
		{"POST", "/api/v0/bundles/", search, 200, "offers", false},
		{"GET", "/api/v0/bundles?q=" + q(search), "", 200, "offers", false},
		{"PUT", "/api/v0/search/asks/", `{"select_cols":["*"],"q":` + search + `}`, 200, "offers", false},
		{"GET", "/api/v0/gpu_names/unique/", "", 200, "gpu_names", false},
		{"PUT", "/api/v0/asks/2/", create, 200, "success new_contract instance_api_key", false},
		{"PUT", "/api/v0/launch_instance/", `{"image":"x","disk":10,"q":{"gpu_name":{"eq":"RTX 4090"}}}`, 200, "success new_contract", false},
		{"GET", "/api/v1/instances/" + list, "", 200, "success instances_found total_instances label_counts next_token instances", false},
		{"GET", "/api/v0/instances/", "", 410, "success error msg", false},
		{"GET", "/api/v0/instances/filters/", "", 200, "filters", false},
		{"GET", "/api/v0/instances/count/", "", 200, "count", false},
		{"GET", "/api/v0/instances/{id}/?owner=me", "", 200, "instances", false},
		{"PUT", "/api/v0/instances/{id}/", `{"label":"b"}`, 200, "success", false},
		{"PUT", "/api/v0/instances/", `{"state":"running","ids":[{id}]}`, 200, "success", false},
		{"PUT", "/api/v0/instances/reboot/{id}/", "{}", 200, "success", false},
		{"PUT", "/api/v0/instances/recycle/{id}/", "{}", 200, "success", false},
		{"PUT", "/api/v0/instances/bid_price/{id}/", `{"client_id":"me","price":0.3}`, 200, "success", false},
		{"PUT", "/api/v0/instances/request_logs/{id}/", `{"tail":"1000"}`, 200, "success result_url msg", false},
		{"GET", "/logs/unknown", "", 404, "", true},
		{"POST", "/api/v0/instances/{id}/ssh/", `{"ssh_key":"ssh-ed25519 AAAA x"}`, 200, "success", false},
		{"GET", "/api/v0/instances/{id}/ssh/", "", 200, "ssh_keys", false},
		{"DELETE", "/api/v0/instances/{id}/ssh/101/", "{}", 200, "success", false},
		{"GET", "/api/v0/instances/pending-price-increases/", "", 200, "success count truncated pending_price_increases", false},
		{"PUT", "/api/v0/instances/accept-price-increase/", `{"pending_price_increase_id":1}`, 404, "success error", false},
		{"PUT", "/api/v0/instances/reject-price-increase/", `{"pending_price_increase_id":1}`, 404, "success error", false},
		{"GET", "/api/v0/users/current", who, 200, "id email username credit balance ssh_key sid", false},
		{"POST", "/api/v0/ssh/", `{"ssh_key":"ssh-ed25519 AAAA y"}`, 200, "success key", false},
		{"GET", "/api/v0/ssh/", "", 200, "", true},
		{"PUT", "/api/v0/ssh/101/", `{"ssh_key":"ssh-ed25519 AAAA z"}`, 200, "success", false},
		{"DELETE", "/api/v0/ssh/101/", "{}", 200, "success", false},
		{"GET", "/api/v0/charges/" + charges, "", 200, "success count total next_token results", false},
		{"GET", "/api/v1/invoices/", "", 200, "success count total next_token results", false},
		{"GET", "/api/v0/users/me/invoices", who, 200, "invoices current", false},
		{"POST", "/api/v0/secrets/", `{"key":"hf_token","value":"abc"}`, 200, "success msg", false},
		{"PUT", "/api/v0/secrets/", `{"key":"HF_TOKEN","value":"abd"}`, 200, "success msg", false},
		{"GET", "/api/v0/secrets/", who, 200, "secrets", false},
		{"DELETE", "/api/v0/secrets/", `{"key":"HF_TOKEN"}`, 200, "success msg", false},
		{"GET", "/api/v0/template/?select_cols=" + q(`["*"]`) + "&select_filters=%7B%7D", "", 200, "success templates_found templates", false},
		{"POST", "/api/v0/endptjobs/", `{"client_id":"me","endpoint_name":"e"}`, 200, "success result", false},
		{"GET", "/api/v0/endptjobs/", who, 200, "success results", false},
		{"POST", "/api/v0/workergroups/", `{"endpoint_name":"e"}`, 200, "success result", false},
		{"GET", "/api/v0/workergroups/", who, 200, "success results", false},
		{"POST", "/api/v0/autojobs/", `{"endpoint_name":"e"}`, 200, "success result", false},
		{"GET", "/api/v0/autojobs/", who, 200, "success results", false},
		{"DELETE", "/api/v0/instances/{id}/", "{}", 200, "success msg", false},
		{"DELETE", "/api/v0/instances/", `{"instance_ids":[]}`, 200, "success", false},
		{"GET", "/api/v0/nothing/", "", 404, "success msg", false},
	}
}

// TestConformance sends every route as clients do, with and without the slash,
// and proves status, keys and the exact content type.
func TestConformance(t *testing.T) {
	covered := map[Endpoint]bool{}
	for _, slash := range []bool{true, false} {
		s := startSim(t, func(c *Config) { c.Market.Offers = priced(300_000, 310_000, 320_000, 330_000) })
		id := fmt.Sprint(s.rentReady(1, "pool"))
		for _, c := range requests() {
			target := strings.ReplaceAll(c.path, "{id}", id)
			if !slash {
				before, query, _ := strings.Cut(target, "?")
				target = strings.TrimRight(before, "/") + "?" + query
			}
			r := s.do(c.method, target, strings.ReplaceAll(c.body, "{id}", id))
			name := c.method + " " + target
			if r.err != nil || r.status != c.status {
				t.Errorf("%s: %d %s %v, want %d", name, r.status, r.body, r.err, c.status)
				continue
			}
			if !c.array && r.header.Get("Content-Type") != "application/json" {
				t.Errorf("%s: content type %q", name, r.header.Get("Content-Type"))
			}
			for key := range strings.FieldsSeq(c.keys) {
				if _, ok := r.json[key]; !ok {
					t.Errorf("%s: no %q in %s", name, key, r.body)
				}
			}
		}
		for endpoint := range s.Requests() {
			covered[Endpoint(endpoint)] = true
		}
	}
	for _, endpoint := range Endpoints() {
		if !covered[endpoint] {
			t.Errorf("no conformance case for endpoint %q", endpoint)
		}
	}
}

func TestAuthentication(t *testing.T) {
	s := startSim(t, nil)
	for name, tc := range map[string]struct {
		path, key string
		status    int
	}{
		"bearer":             {"/api/v0/users/current/", "sim-key", 200},
		"query":              {"/api/v0/users/current/?api_key=sim-key", "", 200},
		"none":               {"/api/v0/users/current/", "", 403},
		"wrong":              {"/api/v0/users/current/", "nonsense", 404},
		"search without key": {"/api/v0/bundles", "", 200},
		"names without key":  {"/api/v0/gpu_names/unique", "", 200},
	} {
		t.Run(name, func(t *testing.T) {
			r := s.raw("GET", s.URL()+tc.path, "", tc.key)
			if r.status != tc.status {
				t.Errorf("%d %s, want %d", r.status, r.body, tc.status)
			}
			if tc.status >= 400 && (r.json["error"] != "auth_error" || r.json["msg"] == nil) {
				t.Errorf("body %s", r.body)
			}
		})
	}
	other := startSim(t, func(c *Config) { c.UnauthorizedStatus = 401 })
	if r := other.raw("GET", other.URL()+"/api/v1/instances/", "", "nonsense"); r.status != 401 || r.json["msg"] == nil {
		t.Errorf("the other documented form: %d %s", r.status, r.body)
	}
}

// TestInstanceKey proves that a container's own key manages that instance only.
func TestInstanceKey(t *testing.T) {
	s := startSim(t, nil)
	r := s.tryRent(1, "a")
	own, ok := r.json["instance_api_key"].(string)
	if !ok {
		t.Fatalf("no key in %s", r.body)
	}
	id, other := integer(r.json["new_contract"]), s.rent(2, "b")
	want(t, "list", s.raw("GET", s.URL()+"/api/v1/instances/", "", own).status, 401)
	want(t, "another rental", s.raw("DELETE", s.URL()+path(other), "{}", own).status, 401)
	want(t, "its own", s.raw("DELETE", s.URL()+path(id), "{}", own).status, 200)
	want(t, "after the end of its rental", s.raw("GET", s.URL()+path(id), "", own).status, 404)
}

// TestRowsForTheCommandLine proves what the real command line cannot do without.
func TestRowsForTheCommandLine(t *testing.T) {
	s := startSim(t, nil)
	id := s.rent(1, "a")
	row := s.get(id)
	if _, ok := row["ports"]; ok {
		t.Error("ports must be absent, not null, before the container runs")
	}
	s.step(readyAfter)
	rows, _ := s.list("").json["instances"].([]any)
	row, _ = rows[0].(map[string]any)
	if _, ok := row["start_date"].(float64); !ok {
		t.Errorf("start_date is %v", row["start_date"])
	}
	env, _ := row["extra_env"].([]any)
	for _, entry := range env {
		if pair, ok := entry.([]any); !ok || len(pair) != 2 {
			t.Errorf("extra_env has %v", entry)
		}
	}
	for _, key := range []string{
		"id", "machine_id", "actual_status", "num_gpus", "gpu_name", "cpu_cores_effective", "cpu_ram",
		"disk_space", "ssh_host", "ssh_port", "dph_total", "image_uuid", "inet_up", "inet_down", "reliability2", "uptime_mins", "volume_info",
	} {
		if _, ok := row[key]; !ok {
			t.Errorf("no %s", key)
		}
	}
	var decoded schema.InstanceResponse
	mustDecode(t, s.do("GET", path(id), "").body, &decoded)
	if ports := decoded.Instances.Rows[0].Ports.TCP(); ports[8188] == 0 {
		t.Errorf("ports %v", ports)
	}
}
