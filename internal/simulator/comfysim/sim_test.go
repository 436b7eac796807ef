package comfysim

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"os"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"k8s.io/utils/clock"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// token is the password of every instance in these tests; it guards nothing.
const token = "test-password"

// stepClock is simulated time that jumps: when the code waits for a timer and nobody has anything to do before it, the test
// advances it. Unlike a fake clock that tests step by hand, waiting for a condition here moves time on by itself.
type stepClock struct {
	clock.RealClock
	mu     sync.Mutex
	now    time.Time
	timers map[*stepTimer]time.Time
}

type stepTimer struct {
	clock *stepClock
	c     chan time.Time
}

func newStepClock() *stepClock {
	return &stepClock{now: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC), timers: map[*stepTimer]time.Time{}}
}

func (s *stepClock) Now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

func (s *stepClock) Since(t time.Time) time.Duration { return s.Now().Sub(t) }

func (s *stepClock) NewTimer(d time.Duration) clock.Timer {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := &stepTimer{clock: s, c: make(chan time.Time, 1)}
	s.timers[t] = s.now.Add(d)
	return t
}

func (t *stepTimer) C() <-chan time.Time { return t.c }

func (t *stepTimer) Stop() bool {
	t.clock.mu.Lock()
	defer t.clock.mu.Unlock()
	_, active := t.clock.timers[t]
	delete(t.clock.timers, t)
	return active
}

func (t *stepTimer) Reset(d time.Duration) bool {
	t.clock.mu.Lock()
	defer t.clock.mu.Unlock()
	_, active := t.clock.timers[t]
	t.clock.timers[t] = t.clock.now.Add(d)
	return active
}

// step moves time on and fires what is due.
func (s *stepClock) step(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = s.now.Add(d)
	for t, at := range s.timers {
		if !at.After(s.now) {
			delete(s.timers, t)
			t.c <- s.now
		}
	}
}

// bench is an instance under test with its ports.
type bench struct {
	t      *testing.T
	clk    *stepClock
	inst   *Instance
	comfy  *Reservation
	portal *Reservation
	client *http.Client
	scheme string
}

func standardEnv() map[string]string {
	return map[string]string{
		"WEB_PASSWORD":        token,
		"OPEN_BUTTON_TOKEN":   "open-button",
		"VAST_CONTAINERLABEL": "C.1",
		"PORTAL_CONFIG":       "localhost:1111:11111:/:Instance Portal|localhost:8188:18188:/:ComfyUI",
	}
}

func quickTimings() Timings {
	return Timings{CaddyUp: 8 * time.Second, Provisioning: time.Minute, ComfyStart: 10 * time.Second, DependencyCheck: 2 * time.Second}
}

// start makes an instance; change may be nil.
func start(t *testing.T, change func(*Config)) *bench {
	t.Helper()
	b := &bench{t: t, clk: newStepClock(), scheme: "http"}
	b.comfy, b.portal = reserve(t), reserve(t)
	cfg := Config{
		ListenComfy: b.comfy.Listen, ListenPortal: b.portal.Listen, Env: standardEnv(), Clock: b.clk, Timings: quickTimings(), Seed: 3,
	}
	if change != nil {
		change(&cfg)
	}
	if cfg.Env["ENABLE_HTTPS"] == "true" {
		b.scheme = "https"
	}
	inst, err := New(cfg)
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	b.inst = inst
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	b.client = &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		inst.Stop()
	})
	return b
}

// ready is start, and time until ComfyUI listens.
func ready(t *testing.T, change func(*Config)) *bench {
	t.Helper()
	b := start(t, change)
	b.pass(2 * time.Minute)
	b.waitOpen(b.comfy)
	b.waitOpen(b.portal)
	return b
}

func reserve(t *testing.T) *Reservation {
	t.Helper()
	r, err := Reserve()
	if err != nil {
		t.Fatalf("Reserve: %v", err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Errorf("closing a reservation: %v", err)
		}
	})
	return r
}

// pass lets simulated time pass in small steps, so that chains of timers follow each other.
func (b *bench) pass(d time.Duration) {
	b.t.Helper()
	const steps = 40
	for range steps {
		b.clk.step(d / steps)
	}
}

// until polls a condition in real time without moving the simulated clock.
func (b *bench) until(what string, condition func() bool) {
	b.t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !condition() {
		if time.Now().After(deadline) {
			b.t.Fatalf("gave up waiting until %s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// eventually is until with time passing.
func (b *bench) eventually(what string, condition func() bool) {
	b.t.Helper()
	b.until(what, func() bool {
		if condition() {
			return true
		}
		b.clk.step(time.Second)
		return false
	})
}

// waitOpen waits for the goroutine that binds the port.
func (b *bench) waitOpen(r *Reservation) {
	b.t.Helper()
	b.until("the port is open", func() bool {
		request, err := http.NewRequestWithContext(b.t.Context(), http.MethodGet, b.scheme+"://"+r.Addr()+"/portal-resolver", http.NoBody)
		if err != nil {
			return false
		}
		answer, err := b.client.Do(request)
		if err != nil {
			return false
		}
		_ = answer.Body.Close()
		return true
	})
}

// answer is a response read to its end.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func (a answer) json(t *testing.T) map[string]any {
	t.Helper()
	var out map[string]any
	if err := json.Unmarshal(a.body, &out); err != nil {
		t.Fatalf("status %d, no JSON object: %q", a.status, a.body)
	}
	return out
}

// try sends a request with the token and returns what came, or the error.
func (b *bench) try(ctx context.Context, method, url string, body any, header map[string]string) (answer, error) {
	var reader io.Reader = http.NoBody
	switch body := body.(type) {
	case nil:
	case string:
		reader = bytes.NewReader([]byte(body))
	default:
		encoded, err := json.Marshal(body)
		if err != nil {
			return answer{}, err
		}
		reader = bytes.NewReader(encoded)
	}
	request, err := http.NewRequestWithContext(ctx, method, url, reader)
	if err != nil {
		return answer{}, err
	}
	request.Header.Set("Authorization", "Bearer "+token)
	for name, value := range header {
		if value == "" {
			request.Header.Del(name)
			continue
		}
		request.Header.Set(name, value)
	}
	response, err := b.client.Do(request)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = response.Body.Close() }()
	read, err := io.ReadAll(response.Body)
	return answer{status: response.StatusCode, header: response.Header, body: read}, err
}

func (b *bench) url(path string) string { return b.scheme + "://" + b.comfy.Addr() + path }

func (b *bench) do(method, path string, body any) answer {
	b.t.Helper()
	return b.doWith(method, path, body, nil)
}

func (b *bench) doWith(method, path string, body any, header map[string]string) answer {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), 10*time.Second)
	defer cancel()
	a, err := b.try(ctx, method, b.url(path), body, header)
	if err != nil {
		b.t.Fatalf("%s %s: %v", method, path, err)
	}
	return a
}

func (b *bench) get(path string) answer {
	b.t.Helper()
	return b.do(http.MethodGet, path, nil)
}

func (b *bench) portalDo(method, path string) answer {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), 10*time.Second)
	defer cancel()
	a, err := b.try(ctx, method, b.scheme+"://"+b.portal.Addr()+path, nil, nil)
	if err != nil {
		b.t.Fatalf("%s %s: %v", method, path, err)
	}
	return a
}

// comfyState is supervisor's word for ComfyUI, and its pid.
func (b *bench) comfyState() (string, int) {
	b.t.Helper()
	var processes []supervisorProcess
	if err := json.Unmarshal(b.portalDo(http.MethodGet, "/supervisor/processes").body, &processes); err != nil {
		b.t.Fatalf("reading processes: %v", err)
	}
	for _, p := range processes {
		if p.Name == "comfyui" {
			return p.State, p.PID
		}
	}
	return "hidden", 0
}

func smokeGraph(color int) map[string]any {
	return map[string]any{
		"1": node("EmptyImage", map[string]any{"width": 256, "height": 256, "batch_size": 1, "color": color}),
		"2": node("ImageBlur", map[string]any{"image": []any{"1", 0}, "blur_radius": 8, "sigma": 2.0}),
		"3": node("PreviewImage", map[string]any{"images": []any{"2", 0}}),
	}
}

func diffusionGraph(seed uint64) map[string]any {
	return map[string]any{
		"1": node("CheckpointLoaderSimple", map[string]any{"ckpt_name": SD15Checkpoint}),
		"2": node("CLIPTextEncode", map[string]any{"text": "a house", "clip": []any{"1", 1}}),
		"3": node("CLIPTextEncode", map[string]any{"text": "", "clip": []any{"1", 1}}),
		"4": node("EmptyLatentImage", map[string]any{"width": 128, "height": 64, "batch_size": 1}),
		"5": node("KSampler", map[string]any{
			"model": []any{"1", 0}, "seed": seed, "steps": 4, "cfg": 1, "sampler_name": "euler", "scheduler": "normal",
			"positive": []any{"2", 0}, "negative": []any{"3", 0}, "latent_image": []any{"4", 0}, "denoise": 1,
		}),
		"6": node("VAEDecode", map[string]any{"samples": []any{"5", 0}, "vae": []any{"1", 2}}),
		"7": node("SaveImage", map[string]any{"images": []any{"6", 0}, "filename_prefix": "house"}),
	}
}

func node(class string, inputs map[string]any) map[string]any {
	return map[string]any{"class_type": class, "inputs": inputs}
}

// submit posts a prompt and returns its id.
func (b *bench) submit(graph map[string]any, more map[string]any) string {
	b.t.Helper()
	request := map[string]any{"prompt": graph}
	maps.Copy(request, more)
	a := b.do(http.MethodPost, "/prompt", request)
	if a.status != http.StatusOK {
		b.t.Fatalf("POST /prompt: status %d: %s", a.status, a.body)
	}
	id, _ := a.json(b.t)["prompt_id"].(string)
	return id
}

// finished waits for a prompt's history entry while time passes.
func (b *bench) finished(id string) entry {
	b.t.Helper()
	var out map[string]entry
	b.eventually("the prompt is in the history", func() bool {
		out = nil
		if err := json.Unmarshal(b.get("/history/"+id).body, &out); err != nil {
			b.t.Fatalf("reading history: %v", err)
		}
		return len(out) == 1
	})
	return out[id]
}

// untilNode waits until the running prompt has come to a node.
func (b *bench) untilNode(id string) {
	b.t.Helper()
	b.until("node "+id+" runs", func() bool {
		b.inst.mu.Lock()
		defer b.inst.mu.Unlock()
		return b.inst.proc.lastNode == id
	})
}

// entry is a history entry as a client reads it.
type entry struct {
	Prompt  []json.RawMessage `json:"prompt"`
	Outputs map[string]struct {
		Images []fileRef `json:"images"`
	} `json:"outputs"`
	Status struct {
		Status    string              `json:"status_str"`
		Completed bool                `json:"completed"`
		Messages  [][]json.RawMessage `json:"messages"`
	} `json:"status"`
	Meta map[string]any `json:"meta"`
}

// message returns the data of a status message, or nil.
func (e entry) message(t *testing.T, event string) map[string]any {
	t.Helper()
	for _, pair := range e.Status.Messages {
		var name string
		var data map[string]any
		if json.Unmarshal(pair[0], &name) != nil || json.Unmarshal(pair[1], &data) != nil {
			t.Fatalf("a message is no pair: %s", pair)
		}
		if name == event {
			return data
		}
	}
	return nil
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
