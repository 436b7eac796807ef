package comfyui

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/warmpool-dev/warmpool/internal/fleet"
)

func TestQueueSaysWhatRunsAndWhatWaits(t *testing.T) {
	huge := `{"queue_running":[[1,"a",{},{},[]]],"queue_pending":[[2,"b",{},{},[]],[3,"c",{"x":"` + strings.Repeat("x", maxJSONBytes) + `"},{},[]],[4,"d"]]}`
	cases := map[string]struct {
		handler http.HandlerFunc
		want    fleet.QueueResult
		signal  fleet.Signal
	}{
		"busy":  {answer(200, `{"queue_running":[[1,"a",{},{},[]]],"queue_pending":[[2,"b",{},{},[]]]}`, jsonType), fleet.QueueResult{Running: "a", Pending: 1}, ""},
		"dead":  {answer(200, `{"queue_running":[],"queue_pending":[[2,"b",{},{},[]]]}`, jsonType), fleet.QueueResult{Pending: 1}, ""},
		"huge":  {answer(200, huge, jsonType), fleet.QueueResult{Running: "a", Pending: 2}, ""},
		"401":   {answer(401, ""), fleet.QueueResult{}, fleet.SignalAuthRejected},
		"other": {answer(200, `{}`, jsonType), fleet.QueueResult{}, fleet.SignalUnexpectedService},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			clock := newSkipClock()
			got, err := New(Options{Clock: clock}).Queue(t.Context(), serve(t, c.handler))
			if SignalOf(err) != c.signal || (err == nil) != (c.signal == "") {
				t.Fatalf("error = %v, want %q", err, c.signal)
			}
			if err == nil {
				c.want.At = clock.Now()
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("queue (-want +got):\n%s", diff)
			}
		})
	}
}

func TestPortalTellsOfTheBoot(t *testing.T) {
	capabilities := answer(200, `{"provisioning":{"status":"complete"}}`, jsonType)
	processes := answer(200, `[{"name":"comfyui","state":"BACKOFF","pid":7}]`, jsonType)
	cases := map[string]struct {
		capabilities, processes http.HandlerFunc
		want                    *fleet.Portal
		signal                  fleet.Signal
	}{
		"both":            {capabilities, processes, &fleet.Portal{Provisioning: "complete", ComfyUIProcess: "BACKOFF", ComfyUIPID: 7}, ""},
		"no capabilities": {answer(404, ""), processes, &fleet.Portal{ComfyUIProcess: "BACKOFF", ComfyUIPID: 7}, ""},
		"no processes":    {capabilities, answer(500, ""), &fleet.Portal{Provisioning: "complete"}, ""},
		"neither":         {answer(401, ""), answer(401, ""), nil, fleet.SignalAuthRejected},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			target := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Authorization") != "Bearer "+token {
					t.Error("the portal is asked without the bearer token")
				}
				switch r.URL.Path {
				case "/capabilities":
					c.capabilities(w, r)
				case "/supervisor/processes":
					c.processes(w, r)
				default:
					t.Errorf("asked for %s", r.URL.Path)
				}
			})
			target.Address, target.PortalAddress = "192.0.2.1:1", target.Address
			got, err := New(Options{}).Portal(t.Context(), target)
			if SignalOf(err) != c.signal || (err == nil) != (c.signal == "") {
				t.Fatalf("error = %v, want %q", err, c.signal)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("portal (-want +got):\n%s", diff)
			}
			if err != nil && strings.Contains(err.Error(), token[:7]) {
				t.Error("the error shows a part of the token")
			}
		})
	}
	if got, err := New(Options{}).Portal(t.Context(), Target{}); got != nil || err != nil {
		t.Errorf("without an address: %v, %v", got, err)
	}
}
