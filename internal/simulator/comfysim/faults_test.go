package comfysim

import (
	"errors"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// set sets a fault or fails the test.
func (b *bench) set(name string, params map[string]string) {
	b.t.Helper()
	if err := b.inst.SetFault(name, params); err != nil {
		b.t.Fatalf("SetFault: %v", err)
	}
}

// faultCases has one case for every fault of the registry; TestEveryFaultHasATest checks that none is missing.
func faultCases() map[string]func(t *testing.T) {
	cases := map[string]func(t *testing.T){}
	for _, group := range []map[string]func(t *testing.T){bootCases(), processCases(), hardwareCases(), networkCases()} {
		maps.Copy(cases, group)
	}
	return cases
}

func TestFaults(t *testing.T) {
	for name, run := range faultCases() {
		t.Run(name, run)
	}
}

func TestEveryFaultHasATest(t *testing.T) {
	var names []string
	for _, info := range Registry() {
		names = append(names, info.Name)
		if info.Description == "" {
			t.Errorf("%s has no description", info.Name)
		}
	}
	slices.Sort(names)
	if diff := cmp.Diff(names, sortedKeys(faultCases())); diff != "" {
		t.Errorf("registry and tests differ (-registry +tests):\n%s", diff)
	}
}

func bootCases() map[string]func(t *testing.T) {
	return map[string]func(t *testing.T){
		FaultSlowStart: func(t *testing.T) {
			t.Helper()
			b := start(t, func(c *Config) {
				c.Faults = map[string]map[string]string{FaultSlowStart: {"factor": "3", "extra": "1s"}}
			})
			b.pass(24 * time.Second) // 8 s × 3 + 1 s
			if _, err := b.try(t.Context(), http.MethodGet, b.url("/prompt"), nil, nil); !errors.Is(err, syscall.ECONNREFUSED) {
				t.Fatalf("after 24 s: %v", err)
			}
			b.pass(2 * time.Second)
			b.waitOpen(b.comfy)
			b.pass(180 * time.Second) // 60 s × 3 + 1 s
			if a := b.get("/prompt"); a.status != http.StatusBadGateway {
				t.Errorf("status %d", a.status)
			}
			b.pass(40 * time.Second)
			if a := b.get("/prompt"); a.status != http.StatusOK {
				t.Errorf("in the end: status %d", a.status)
			}
		},
		FaultProvisioningStall: func(t *testing.T) {
			t.Helper()
			b := start(t, func(c *Config) { c.Faults = map[string]map[string]string{FaultProvisioningStall: nil} })
			b.pass(time.Hour)
			b.waitOpen(b.comfy)
			b.waitOpen(b.portal)
			if a := b.get("/prompt"); a.status != http.StatusBadGateway || b.provisioning() != "in_progress" {
				t.Errorf("after an hour: %d", a.status)
			}
			b.inst.ClearFault(FaultProvisioningStall)
			b.pass(2 * time.Minute)
			if a := b.get("/prompt"); a.status != http.StatusOK {
				t.Errorf("cleared: %d", a.status)
			}
		},
		FaultProvisioningFailed: func(t *testing.T) {
			t.Helper()
			b := ready(t, func(c *Config) {
				c.Faults = map[string]map[string]string{FaultProvisioningFailed: nil}
				c.Models = map[string][]ModelFile{"checkpoints": {{Name: "mine.safetensors"}, {Name: SD15Checkpoint, BuiltIn: true}}}
				c.Nodes = []NodeSpec{{Class: "Fancy"}}
			})
			if status := b.provisioning(); status != "failed" {
				t.Errorf("provisioning %q", status)
			}
			if got := string(b.get("/models/checkpoints").body); got != `["`+SD15Checkpoint+`"]` {
				t.Errorf("models: %s", got)
			}
			if got := string(b.get("/object_info/Fancy").body); got != "{}" {
				t.Errorf("custom node: %s", got)
			}
			wantOrder(t, b.inst.Logs(0), "[ERROR] Provisioning Script failed", "instance startup will continue", "(IMPORT FAILED)")
		},
		FaultCrashLoop: func(t *testing.T) {
			t.Helper()
			b := ready(t, nil)
			b.set(FaultCrashLoop, map[string]string{"message": "no driver here"})
			pids := map[int]bool{}
			for range 10 {
				b.pass(4 * time.Second)
				if a := b.get("/prompt"); a.status != http.StatusBadGateway {
					t.Fatalf("it answered: %d", a.status)
				}
				if state, pid := b.comfyState(); state != "RUNNING" && state != "EXITED" && state != "STARTING" {
					t.Fatalf("state %q", state)
				} else if pid > 0 {
					pids[pid] = true
				}
			}
			if len(pids) < 3 {
				t.Errorf("pids: %v", pids)
			}
			wantOrder(t, b.inst.Logs(0), "no driver here", "no driver here")
			b.set(FaultCrashLoop, map[string]string{"after": "1s"})
			b.pass(time.Minute)
			if state, _ := b.comfyState(); state != "FATAL" {
				t.Errorf("dying within startsecs: %q", state)
			}
			b.inst.ClearFault(FaultCrashLoop)
			b.portalDo(http.MethodPost, "/supervisor/process/comfyui/restart")
			b.pass(13 * time.Second)
			if a := b.get("/prompt"); a.status != http.StatusOK {
				t.Errorf("cleared and restarted: %d", a.status)
			}
		},
		FaultProcessFatal: func(t *testing.T) {
			t.Helper()
			b := ready(t, nil)
			b.set(FaultProcessFatal, nil)
			b.pass(time.Minute)
			if state, _ := b.comfyState(); state != "FATAL" || b.get("/prompt").status != http.StatusBadGateway {
				t.Errorf("state %q", state)
			}
			b.portalDo(http.MethodPost, "/supervisor/process/comfyui/restart")
			b.pass(time.Minute)
			if state, _ := b.comfyState(); state != "FATAL" {
				t.Errorf("restarted with the fault: %q", state)
			}
			b.inst.ClearFault(FaultProcessFatal)
			b.portalDo(http.MethodPost, "/supervisor/process/comfyui/restart")
			b.pass(time.Minute)
			if a := b.get("/prompt"); a.status != http.StatusOK {
				t.Errorf("cleared and restarted: %d", a.status)
			}
		},
		FaultRestart: func(t *testing.T) {
			t.Helper()
			b := ready(t, nil)
			id := b.submit(smokeGraph(1), nil)
			ref := b.finished(id).Outputs["3"].Images[0]
			b.set(FaultRestart, nil)
			if a := b.get("/prompt"); a.status != http.StatusBadGateway {
				t.Errorf("right after: %d", a.status)
			}
			b.pass(13 * time.Second)
			if got := string(b.get("/history/" + id).body); got != "{}" {
				t.Errorf("history survived: %s", got)
			}
			if a := b.get("/view?type=temp&filename=" + ref.Filename); a.status != http.StatusNotFound {
				t.Errorf("the temporary image survived: %d", a.status)
			}
			if number := b.do(http.MethodPost, "/prompt", map[string]any{"prompt": smokeGraph(1)}).json(t)["number"]; number != 0.0 {
				t.Errorf("number %v", number)
			}
		},
	}
}

func processCases() map[string]func(t *testing.T) {
	return map[string]func(t *testing.T){
		FaultWorkerDead: func(t *testing.T) {
			t.Helper()
			b := ready(t, nil)
			b.set(FaultWorkerDead, nil)
			b.submit(smokeGraph(1), nil)
			b.pass(time.Minute)
			b.wantQueue(0, 1)
			b.cureByRestart()
			b.set(FaultWorkerDead, map[string]string{"where": "inside"})
			b.submit(smokeGraph(2), nil)
			b.eventually("the worker has died", func() bool {
				return slices.ContainsFunc(b.inst.Logs(0), func(line string) bool { return strings.Contains(line, "worker died in prompt") })
			})
			b.submit(smokeGraph(3), nil)
			b.wantQueue(1, 1)
			if a := b.get("/prompt"); string(a.body) != `{"exec_info":{"queue_remaining":2}}` {
				t.Errorf("remaining: %s", a.body)
			}
			b.cureByRestart()
			b.set(FaultWorkerDead, map[string]string{"survives_restart": "true"})
			b.portalDo(http.MethodPost, "/supervisor/process/comfyui/restart")
			b.pass(13 * time.Second)
			b.submit(smokeGraph(4), nil)
			b.pass(time.Minute)
			b.wantQueue(0, 1)
		},
		FaultHang: func(t *testing.T) {
			t.Helper()
			b := ready(t, nil)
			b.set(FaultHang, nil)
			id := b.submit(smokeGraph(1), nil)
			b.untilNode("2")
			b.do(http.MethodPost, "/interrupt", nil)
			b.pass(time.Hour)
			if got := string(b.get("/history/" + id).body); got != "{}" {
				t.Errorf("it ended: %s", got)
			}
			b.wantQueue(1, 0)
			b.cureByRestart()
		},
		FaultGILStall: func(t *testing.T) {
			t.Helper()
			b := ready(t, nil)
			b.set(FaultGILStall, map[string]string{"for": "20s"})
			b.wantSilence("/prompt")
			if a := b.doWith(http.MethodGet, "/prompt", nil, map[string]string{"Authorization": ""}); a.status != http.StatusUnauthorized {
				t.Errorf("the front was stalled too: %d", a.status)
			}
			b.clk.step(20 * time.Second)
			if a := b.get("/prompt"); a.status != http.StatusOK {
				t.Errorf("afterwards: %d", a.status)
			}
		},
		FaultDriverWedge: func(t *testing.T) {
			t.Helper()
			b := ready(t, nil)
			b.set(FaultDriverWedge, nil)
			if a := b.get("/prompt"); a.status != http.StatusOK {
				t.Errorf("before anybody asked the driver: %d", a.status)
			}
			b.wantSilence("/system_stats")
			b.wantSilence("/prompt")
			b.inst.ClearFault(FaultDriverWedge)
			if a := b.get("/system_stats"); a.status != http.StatusOK {
				t.Errorf("cleared: %d", a.status)
			}
		},
		FaultLatency: func(t *testing.T) {
			t.Helper()
			b := ready(t, nil)
			b.set(FaultLatency, map[string]string{"by": "4s"})
			before := b.clk.Now()
			done := make(chan error, 1)
			go func() {
				_, err := b.try(t.Context(), http.MethodGet, b.url("/prompt"), nil, nil)
				done <- err
			}()
			b.eventually("the answer comes", func() bool { return len(done) == 1 })
			if took := b.clk.Since(before); took < 4*time.Second || <-done != nil {
				t.Errorf("took %s", took)
			}
		},
		FaultGPUFault: func(t *testing.T) {
			t.Helper()
			b := ready(t, nil)
			b.set(FaultGPUFault, nil)
			if a := b.get("/system_stats"); a.status != http.StatusInternalServerError || strings.Contains(string(a.body), "{") {
				t.Errorf("system stats: %d %s", a.status, a.body)
			}
			if a := b.get("/prompt"); a.status != http.StatusOK {
				t.Errorf("prompt: %d", a.status)
			}
			b.wantFailure(smokeGraph(1), "torch.AcceleratorError", "illegal memory access")
			b.cureByRestart()
		},
		FaultOOM: func(t *testing.T) {
			t.Helper()
			b := ready(t, nil)
			b.set(FaultOOM, nil)
			b.wantFailure(smokeGraph(1), "torch.OutOfMemoryError", "ran out of memory on your GPU")
			wantOrder(t, b.inst.Logs(0), "!!! Exception during processing !!!", "Got an OOM, unloading all loaded models.")
			b.inst.ClearFault(FaultOOM)
			if e := b.finished(b.submit(smokeGraph(1), nil)); !e.Status.Completed {
				t.Errorf("cleared: %+v", e.Status)
			}
		},
		FaultWebSocketStall: func(t *testing.T) {
			t.Helper()
			b := ready(t, nil)
			b.set(FaultWebSocketStall, nil)
			c := b.dialWS("watcher")
			if e := b.finished(b.submit(smokeGraph(1), map[string]any{"client_id": "watcher"})); !e.Status.Completed {
				t.Errorf("rendering: %+v", e.Status)
			}
			events := c.collect()
			select {
			case event := <-events:
				t.Errorf("an event came through: %v", event)
			default:
			}
			b.inst.ClearFault(FaultWebSocketStall)
			if first := <-events; first.Type != "status" {
				t.Errorf("cleared: %v", first)
			}
		},
		FaultMissingNode: func(t *testing.T) {
			t.Helper()
			b := ready(t, nil)
			b.set(FaultMissingNode, nil)
			if got := string(b.get("/object_info/ImageBlur").body); got != "{}" {
				t.Errorf("object info: %s", got)
			}
			if a := b.do(http.MethodPost, "/prompt", map[string]any{"prompt": smokeGraph(1)}); a.status != 400 || !strings.Contains(string(a.body), "missing_node_type") {
				t.Errorf("prompt: %d %s", a.status, a.body)
			}
		},
		FaultMissingModel: func(t *testing.T) {
			t.Helper()
			b := ready(t, nil)
			b.set(FaultMissingModel, nil)
			if got := string(b.get("/models/checkpoints").body); got != "[]" {
				t.Errorf("models: %s", got)
			}
			if a := b.do(http.MethodPost, "/prompt", map[string]any{"prompt": diffusionGraph(1)}); a.status != 400 || !strings.Contains(string(a.body), "value_not_in_list") {
				t.Errorf("prompt: %d %s", a.status, a.body)
			}
		},
		FaultTruncatedModel: func(t *testing.T) {
			t.Helper()
			b := ready(t, nil)
			b.set(FaultTruncatedModel, nil)
			if got := string(b.get("/experiment/models/checkpoints").body); !strings.Contains(got, `"size":853078704`) {
				t.Errorf("size: %s", got)
			}
			b.wantFailure(diffusionGraph(1), "safetensors_rust.SafetensorError", "MetadataIncompleteBuffer")
		},
	}
}

func TestSetFaultRefusesNonsenseAndNamesTheChoices(t *testing.T) {
	b := start(t, nil)
	tests := map[string]struct {
		name    string
		params  map[string]string
		mention string
	}{
		"unknown fault": {name: "nonsense", mention: "Registry"},
		"unknown param": {name: FaultRefuse, params: map[string]string{"ports": "all"}, mention: "it has port"},
		"bad choice":    {name: FaultRefuse, params: map[string]string{"port": "ssh"}, mention: "all, comfyui, portal"},
		"bad duration":  {name: FaultGILStall, params: map[string]string{"for": "30"}, mention: "30s"},
		"bad number":    {name: FaultSlowGPU, params: map[string]string{"factor": "-1"}, mention: "zero or more"},
		"bad bool":      {name: FaultHang, params: map[string]string{"survives_restart": "yes"}, mention: "true, false"},
		"empty text":    {name: FaultMissingNode, params: map[string]string{"class": ""}, mention: "class_type"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			err := b.inst.SetFault(test.name, test.params)
			if err == nil || !strings.Contains(err.Error(), test.mention) {
				t.Errorf("got %v, want a mention of %q", err, test.mention)
			}
			for _, info := range b.inst.Faults() {
				if info.Active {
					t.Errorf("%s is active", info.Name)
				}
			}
		})
	}
	if _, err := New(Config{Clock: b.clk, Faults: map[string]map[string]string{"nonsense": nil}}); err == nil {
		t.Error("New took an unknown fault")
	}
}

func TestFaultsListsWhatIsActive(t *testing.T) {
	b := start(t, nil)
	b.set(FaultLowVRAM, map[string]string{"percent": "20"})
	var active []FaultInfo
	for _, info := range b.inst.Faults() {
		if info.Active {
			active = append(active, info)
		}
	}
	if len(active) != 1 || active[0].Name != FaultLowVRAM || active[0].Values["percent"] != "20" {
		t.Errorf("active: %+v", active)
	}
}

// TestDocumentedTableIsCurrent fails when the registry changed and the reference page did not. UPDATE_DOCS=1 writes it.
func TestDocumentedTableIsCurrent(t *testing.T) {
	const page = "../../../docs/reference/simulator-comfyui.md"
	const begin, end = "<!-- faults: generated from the registry -->\n", "<!-- end of faults -->\n"
	text := string(readFile(t, page))
	head, rest, found := strings.Cut(text, begin)
	table, tail, closed := strings.Cut(rest, end)
	if !found || !closed {
		t.Fatalf("%s lacks its markers", page)
	}
	if os.Getenv("UPDATE_DOCS") != "" {
		if err := os.WriteFile(page, []byte(head+begin+MarkdownTable()+end+tail), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(MarkdownTable(), table); diff != "" {
		t.Errorf("run this test with UPDATE_DOCS=1 (-registry +page):\n%s", diff)
	}
}
