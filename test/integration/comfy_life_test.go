package integration

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr/funcr"
	"github.com/onsi/gomega"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/simulator"
	"github.com/warmpool-dev/warmpool/internal/simulator/comfysim"
)

// TestComfyStatusFlickerIsIgnoredWhileServing: what Vast.ai says of the
// container weighs less than ComfyUI's own answer.
func TestComfyStatusFlickerIsIgnoredWhileServing(t *testing.T) {
	cases := map[string]string{"exited": "exited", "offline": "offline", "stopped": "stopped", "loading": "loading", "unreported": ""}
	w := newComfyWorld(t, []string{"exited", "offline", "stopped", "loading", "unreported"}, nil)
	for name := range cases {
		w.newPool(name, nil)
	}
	for name := range cases {
		w.ready(name, 1)
	}
	w.diary.forget()
	for name, status := range cases {
		if _, err := w.vast.AddFault(simulator.FaultSpec{
			Name: simulator.FaultStatusFlicker, Params: map[string]string{"status": status, "probability": "0.7"},
			Match: simulator.Match{Rental: w.rentals(name)[0].ID},
		}); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range w.order {
		w.step(name, func(w *comfyWorld) {
			w.saw(name, comfySight{"WarmInstance", "", warmpool.ConditionRunning, "True/Running", "ComfyUI answers, whatever Vast.ai reports."})
		})
	}
	w.comfyLasting(400*time.Second, func(g gomega.Gomega) { g.Expect(w.vast.Meter().Records).To(gomega.HaveLen(len(cases))) })
	for _, name := range w.order {
		for _, line := range w.diary.lines(name) {
			if strings.HasPrefix(line, "WarmInstance Ready=False") || strings.HasPrefix(line, "WarmInstance Running=False") {
				t.Errorf("pool %s: %s", name, line)
			}
		}
	}
	w.vast.RemoveFault(0)
	w.finish()
}

// TestComfyHealthMemoryLost: an operator that starts anew knows nothing of its
// predecessor's probes. Ready instances stay Ready, also one that is silent at
// that moment, and one that fails is found out all the same.
func TestComfyHealthMemoryLost(t *testing.T) {
	w := newComfyWorld(t, []string{"steady", "silent", "broken"}, nil)
	patient := func(spec *warmpool.WarmPoolSpec) { spec.Probes.BusySilenceSeconds = 600 }
	w.newPool("steady", nil)
	w.newPool("silent", patient)
	w.newPool("broken", nil)
	steady, silent, broken := w.ready("steady", 1)[0], w.ready("silent", 1)[0], w.ready("broken", 1)[0]
	w.stop()
	w.diary.forget()
	w.setFault(silent.Status.Rental.ID, comfysim.FaultGILStall, map[string]string{"for": "100s"})
	w.setFault(broken.Status.Rental.ID, comfysim.FaultGPUFault, nil)
	w.comfyOperator("1", w.logger())
	w.step("silent", func(w *comfyWorld) {
		w.saw("silent", readySays("True/BusyUnresponsive", "It does not answer and may be at work"))
		w.expectKept("silent")
	})
	w.step("steady", func(w *comfyWorld) { w.expectKept("steady") })
	w.step("broken", func(w *comfyWorld) {
		w.expectReplaced("broken", comfyCase{gives: "GpuFault", says: "the CUDA context is most likely dead", host: true})
	})
	for _, instance := range []*warmpool.WarmInstance{&steady, &silent} {
		for _, line := range w.diary.lines(instance.Spec.PoolRef.Name) {
			if strings.HasPrefix(line, "WarmInstance Ready=False") || strings.HasPrefix(line, "WarmPool Ready=False") {
				t.Errorf("after the restart pool %s shows: %s", instance.Spec.PoolRef.Name, line)
			}
		}
	}
	if !t.Failed() {
		w.finish()
	}
}

// TestComfyPasswordNeverShows runs the operator at --log-level=2, the most, through
// a life, a rejected password, a changed certificate and two failures with a
// log that holds the password, and searches everything that it wrote (I8).
func TestComfyPasswordNeverShows(t *testing.T) {
	cases := map[string]comfyCase{
		"ready":              {fault: comfysim.FaultLatency, params: map[string]string{"by": "1s"}},
		"token-rotated":      {fault: comfysim.FaultTokenRotated, gives: "AuthRejected", says: "The front rejects the password."},
		"certificate-change": {fault: comfysim.FaultCertificateChange, serving: true, gives: "CertificateUntrusted", says: "Nothing is sent to it"},
		"crash":              {fault: comfysim.FaultProcessFatal, gives: "ProcessExited", says: "ComfyUI has exited", logs: "entered FATAL state"},
	}
	w := newComfyWorld(t, []string{"ready", "token-rotated", "certificate-change", "crash"}, nil)
	var mu sync.Mutex
	var text strings.Builder
	w.comfyOperator("2", funcr.New(func(prefix, args string) {
		mu.Lock()
		defer mu.Unlock()
		text.WriteString(prefix + " " + args + "\n")
	}, funcr.Options{Verbosity: 2}))
	w.comfyCases(cases)
	if t.Failed() {
		return
	}
	tail := w.diary.logTail("crash")
	if !strings.Contains(tail, "Your web credentials are: ") {
		t.Errorf("the log tail is too short to prove that the password is taken out of it:\n%s", tail)
	}
	w.finish()
	w.stop()
	for _, secret := range append(w.diary.secrets(), apiKey) {
		for line := range strings.Lines(text.String()) {
			if strings.Contains(line, secret) {
				t.Errorf("the operator's log shows a password or the API key: %s", strings.ReplaceAll(line, secret, "<secret>"))
			}
		}
	}
	if !strings.Contains(text.String(), "Giving up") {
		t.Error("the operator's log was not captured")
	}
}
