package comfyui_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/warmpool-dev/warmpool/internal/comfyui"
	"github.com/warmpool-dev/warmpool/internal/fleet"
	"github.com/warmpool-dev/warmpool/internal/simulator/comfysim"
)

// ask calls the simulated ComfyUI as its user would.
func (r rig) ask(t *testing.T, method, path, body string) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, "http://"+r.target.Address+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+password)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%s %s: HTTP %d, %v: %s", method, path, response.StatusCode, err, text)
	}
	return string(text)
}

// work puts prompts into the queue.
func (r rig) work(t *testing.T, prompts int) {
	t.Helper()
	for k := range prompts {
		r.ask(t, http.MethodPost, "/prompt", fmt.Sprintf(`{"prompt":{"1":{"class_type":"EmptyImage","inputs":{"width":64,"height":64,"batch_size":1,"color":%d}},
			"2":{"class_type":"ImageBlur","inputs":{"image":["1",0],"blur_radius":8,"sigma":2.0}},"3":{"class_type":"PreviewImage","inputs":{"images":["2",0]}}}}`, k))
	}
}

func TestRecycleTakesAwayWhatTheLastUserLeft(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *comfysim.Config) { c.Timings.NodeTime = 20 * time.Second })
	r.serving(t, fleet.SignalServing)
	r.work(t, 1)
	for r.prober.Probe(t.Context(), r.target, true).QueueRemaining > 0 {
		time.Sleep(20 * time.Millisecond)
	}
	if r.ask(t, http.MethodGet, "/history", "") == "{}" {
		t.Fatal("there is no history to take away")
	}
	r.work(t, 3)
	if err := r.prober.Recycle(t.Context(), r.target); err != nil {
		t.Fatal(err)
	}
	if left := r.prober.Probe(t.Context(), r.target, true).QueueRemaining; left != 0 {
		t.Errorf("%d prompts are left", left)
	}
	if history := r.ask(t, http.MethodGet, "/history", ""); history != "{}" {
		t.Errorf("history is left: %.200s", history)
	}
	if verified := r.prober.Verify(t.Context(), r.target, expect()); verified.Fault != fleet.VerifyPassed {
		t.Errorf("verified: %+v", verified)
	}
}

// TestRecycleSaysWhatIsLeft: work that ignores the interrupt, and a front that
// does not let us in.
func TestRecycleSaysWhatIsLeft(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.serving(t, fleet.SignalServing)
	if err := r.instance.SetFault(comfysim.FaultHang, nil); err != nil {
		t.Fatal(err)
	}
	r.work(t, 1)
	for !strings.Contains(r.ask(t, http.MethodGet, "/queue", ""), `"queue_pending":[]`) {
		time.Sleep(20 * time.Millisecond) // what has not begun could still be cleared
	}
	// The first node takes milliseconds and could still be interrupted; the second one hangs.
	time.Sleep(time.Second)
	if err := r.prober.Recycle(t.Context(), r.target); err == nil || !strings.Contains(err.Error(), "does not stop") {
		t.Errorf("with work that hangs: %v", err)
	}
	stranger := r.target
	stranger.Token = "anothersecret0123456789"
	err := r.prober.Recycle(t.Context(), stranger)
	if comfyui.SignalOf(err) != fleet.SignalAuthRejected {
		t.Errorf("with another password: %v", err)
	}
	checkSecrecy(t, err.Error())
}
