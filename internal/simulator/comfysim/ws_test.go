package comfysim

import (
	"context"
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/google/go-cmp/cmp"
)

// event is one text frame.
type event struct {
	Type   string         `json:"type"`
	Data   map[string]any `json:"data"`
	Binary int
}

// wsClient is one WebSocket connection of a test.
type wsClient struct {
	b    *bench
	conn *websocket.Conn
	ctx  func() context.Context
}

func (b *bench) dialWS(clientID string) *wsClient {
	b.t.Helper()
	ctx, cancel := context.WithCancel(b.t.Context())
	conn, _, err := websocket.Dial(ctx, "ws://"+b.comfy.Addr()+"/ws?clientId="+clientID, &websocket.DialOptions{ //nolint:bodyclose // a WebSocket has none
		HTTPClient: b.client, HTTPHeader: http.Header{"Authorization": {"Bearer " + token}},
	})
	if err != nil {
		b.t.Fatalf("dialling: %v", err)
	}
	b.t.Cleanup(func() {
		cancel()
		_ = conn.CloseNow()
	})
	return &wsClient{b: b, conn: conn, ctx: func() context.Context { return ctx }}
}

// collect reads in the background until the connection ends.
func (c *wsClient) collect() <-chan event {
	events := make(chan event, 1000)
	go func() {
		defer close(events)
		for {
			kind, data, err := c.conn.Read(c.ctx())
			if err != nil {
				return
			}
			if kind == websocket.MessageBinary {
				events <- event{Type: "binary", Binary: len(data)}
				continue
			}
			var e event
			if json.Unmarshal(data, &e) == nil {
				events <- e
			}
		}
	}()
	return events
}

// upTo returns the events until one that matches, itself included.
func (c *wsClient) upTo(events <-chan event, last func(event) bool) []event {
	c.b.t.Helper()
	var got []event
	timeout := time.After(10 * time.Second)
	for {
		select {
		case e, open := <-events:
			if !open {
				c.b.t.Fatalf("the connection ended after %v", got)
			}
			got = append(got, e)
			if last(e) {
				return got
			}
		case <-timeout:
			c.b.t.Fatalf("gave up after %v", got)
		}
	}
}

func isEnd(e event) bool {
	node, has := e.Data["node"]
	return e.Type == "executing" && has && node == nil
}

func TestEventsComeInComfyUIsOrder(t *testing.T) {
	b := ready(t, nil)
	owner, watcher := b.dialWS("owner"), b.dialWS("watcher")
	owned, watched := owner.collect(), watcher.collect()
	if first := <-owned; first.Type != "status" || first.Data["sid"] != "owner" {
		t.Fatalf("greeting: %v", first)
	}
	if first := <-watched; first.Data["sid"] != "watcher" {
		t.Fatalf("greeting: %v", first)
	}
	id := b.submit(smokeGraph(1), map[string]any{"client_id": "owner"})
	var order []string
	for _, e := range owner.upTo(owned, isEnd) {
		name := e.Type
		switch name {
		case "status":
			status, _ := e.Data["status"].(map[string]any)
			info, _ := status["exec_info"].(map[string]any)
			name += map[any]string{0.0: "0", 1.0: "1"}[info["queue_remaining"]]
		case "executing", "executed":
			node, _ := e.Data["node"].(string)
			name += ":" + node
		}
		order = append(order, name)
		if prompt, ok := e.Data["prompt_id"]; ok && prompt != id {
			t.Errorf("event of another prompt: %v", e)
		}
	}
	want := []string{
		"status1", "status1", "execution_start", "execution_cached",
		"progress_state", "executing:1", "progress_state", "progress_state", "executing:2", "progress_state",
		"progress_state", "executing:3", "executed:3", "progress_state", "execution_success", "status0", "executing:",
	}
	if diff := cmp.Diff(want, order); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
	b.submit(smokeGraph(2), nil) // without a client its progress goes to everybody
	for _, e := range watcher.upTo(watched, isEnd) {
		if e.Type == "execution_start" || e.Type == "executed" || e.Data["prompt_id"] == id {
			t.Errorf("the watcher got the owner's %v", e)
		}
	}
}

func TestFeatureFlagsAreAnsweredToTheFirstFrame(t *testing.T) {
	b := ready(t, nil)
	c := b.dialWS("")
	events := c.collect()
	if err := c.conn.Write(c.ctx(), websocket.MessageText, []byte(`{"type":"feature_flags","data":{"supports_preview_metadata":true}}`)); err != nil {
		t.Fatal(err)
	}
	got := c.upTo(events, func(e event) bool { return e.Type == "feature_flags" })
	if got[len(got)-1].Data["max_upload_size"] != 104857600.0 {
		t.Errorf("got %v", got)
	}
	if sid, _ := got[0].Data["sid"].(string); len(sid) != 32 {
		t.Errorf("a nameless client was named %q", sid)
	}
}

func TestSamplerSendsProgressAndPreviews(t *testing.T) {
	b := ready(t, func(c *Config) { c.Env["COMFYUI_ARGS"] = defaultComfyArgs + " --preview-method auto" })
	c := b.dialWS("me")
	events := c.collect()
	b.submit(diffusionGraph(1), map[string]any{"client_id": "me"})
	var progress, previews int
	for _, e := range c.upTo(events, isEnd) {
		switch e.Type {
		case "progress":
			progress++
			if e.Data["max"] != 4.0 || e.Data["value"] != float64(progress) || e.Data["node"] != "5" {
				t.Errorf("progress %d: %v", progress, e.Data)
			}
		case "binary":
			previews++
		}
	}
	if progress != 4 || previews != 4 {
		t.Errorf("%d progress and %d preview frames", progress, previews)
	}
}

func TestASecondSocketOfTheSameNameReplacesTheFirstAndIsLostWithIt(t *testing.T) {
	b := ready(t, nil)
	old := b.dialWS("same")
	<-old.collect()
	fresh := b.dialWS("same")
	events := fresh.collect()
	if first := <-events; first.Data["sid"] != "same" {
		t.Fatalf("greeting: %v", first)
	}
	if err := old.conn.Close(websocket.StatusNormalClosure, ""); err != nil {
		t.Fatal(err)
	}
	b.until("the name is gone", func() bool {
		b.inst.mu.Lock()
		defer b.inst.mu.Unlock()
		return len(b.inst.proc.hub.sockets) == 0
	})
	b.finished(b.submit(smokeGraph(1), map[string]any{"client_id": "same"}))
	select {
	case e := <-events:
		t.Errorf("the new socket still gets events: %v", e)
	default:
	}
}

func TestSocketsEndWithTheProcess(t *testing.T) {
	b := ready(t, nil)
	events := b.dialWS("me").collect()
	<-events
	b.set(FaultRestart, nil)
	b.until("the connection ends", func() bool {
		select {
		case _, open := <-events:
			return !open
		default:
			return false
		}
	})
}

func TestACrashBreaksSocketsThatNobodyTouches(t *testing.T) {
	b := start(t, func(c *Config) { c.Faults = map[string]map[string]string{FaultCrashLoop: {"after": "100s"}} })
	b.pass(2 * time.Minute)
	b.waitOpen(b.comfy)
	if a := b.get("/prompt"); a.status != http.StatusOK {
		t.Fatalf("before the crash: %d", a.status)
	}
	events := b.dialWS("me").collect()
	<-events
	b.until("the connection ends", func() bool {
		b.clk.step(time.Second)
		select {
		case _, open := <-events:
			return !open
		default:
			return false
		}
	})
}

func TestLogSubscription(t *testing.T) {
	b := ready(t, nil)
	c := b.dialWS("me")
	events := c.collect()
	<-events
	if a := b.do(http.MethodPatch, "/internal/logs/subscribe", map[string]any{"clientId": "me", "enabled": true}); a.status != http.StatusOK {
		t.Fatalf("subscribing: %d", a.status)
	}
	b.submit(smokeGraph(1), nil)
	got := c.upTo(events, func(e event) bool { return e.Type == "logs" })
	if got[len(got)-1].Data["entries"] == nil {
		t.Errorf("got %v", got)
	}
}
