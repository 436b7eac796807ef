package comfyui_test

import (
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/onsi/gomega"
	"k8s.io/utils/clock"

	"github.com/warmpool-dev/warmpool/internal/comfyui"
	"github.com/warmpool-dev/warmpool/internal/fleet"
	"github.com/warmpool-dev/warmpool/internal/simulator/comfysim"
)

// password is that of every simulated instance.
const password = "correcthorsebatterystaple0123456789"

// speed is how much faster than the wall the simulated clock runs.
const speed = 60

// fastClock is the wall clock, sped up from a fixed moment.
type fastClock struct {
	clock.RealClock
	wall, base time.Time
}

func newFastClock() fastClock {
	return fastClock{wall: time.Now(), base: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)}
}

func (c fastClock) Now() time.Time                         { return c.base.Add(time.Since(c.wall) * speed) }
func (c fastClock) Since(t time.Time) time.Duration        { return c.Now().Sub(t) }
func (c fastClock) NewTimer(d time.Duration) clock.Timer   { return c.RealClock.NewTimer(d / speed) }
func (c fastClock) After(d time.Duration) <-chan time.Time { return c.RealClock.After(d / speed) }

// rig is a simulated instance and a prober that share a clock.
type rig struct {
	instance *comfysim.Instance
	prober   *comfyui.Prober
	target   comfyui.Target
}

func newRig(t *testing.T, change func(*comfysim.Config)) rig {
	t.Helper()
	shared := newFastClock()
	front, portal := reserve(t), reserve(t)
	config := comfysim.Config{
		ListenComfy: front.Listen, ListenPortal: portal.Listen, Clock: shared, Seed: 7,
		Env: map[string]string{
			"WEB_PASSWORD": password, "VAST_CONTAINERLABEL": "C.1", "COMFYUI_ARGS": "--port 18188 --enable-cors-header",
			"PORTAL_CONFIG": "localhost:1111:11111:/:Instance Portal|localhost:8188:18188:/:ComfyUI",
		},
		Models: map[string][]comfysim.ModelFile{"checkpoints": {
			{Name: comfysim.SD15Checkpoint, SizeBytes: 2_132_696_762, BuiltIn: true}, {Name: "sdxl/base.safetensors", SizeBytes: 6_938_078_334},
		}},
		Nodes:   []comfysim.NodeSpec{{Class: "FancyUpscale", Required: map[string]string{"image": "IMAGE"}, Outputs: []string{"IMAGE"}}},
		Timings: comfysim.Timings{NodeTime: 15 * time.Millisecond, FirstCUDA: time.Second},
	}
	target := comfyui.Target{Address: front.Addr(), PortalAddress: portal.Addr(), Token: password}
	if change != nil {
		change(&config)
	}
	if config.Env["ENABLE_HTTPS"] == "true" {
		target.TLS.Mode = comfyui.TLSPinned
	}
	instance, err := comfysim.New(config)
	if err != nil {
		t.Fatalf("starting a simulated instance: %v", err)
	}
	t.Cleanup(instance.Stop)
	return rig{
		instance: instance, target: target,
		// The floor keeps a slow machine from looking like a silent instance.
		prober: comfyui.New(comfyui.Options{Clock: shared, WallFloor: 2 * time.Second}),
	}
}

func reserve(t *testing.T) *comfysim.Reservation {
	t.Helper()
	reservation, err := comfysim.Reserve()
	if err != nil {
		t.Fatalf("reserving a port: %v", err)
	}
	t.Cleanup(func() { _ = reservation.Close() })
	return reservation
}

// expect is what an instance of newRig must have.
func expect() fleet.Expectations {
	return fleet.Expectations{
		GPUs: 1, GPUName: "RTX 4090", Color: 0x12AB34, PromptID: "7d1c4c58-0f5a-4b8e-a0d5-3f0b8c1d2e3f",
		Nodes:  []string{"KSampler", "FancyUpscale"},
		Models: []fleet.ModelRequirement{{Folder: "checkpoints", Name: "sdxl/base.safetensors", MinBytes: 6_900_000_000}, {Folder: "checkpoints", Name: comfysim.SD15Checkpoint, MinBytes: 2_000_000_000}},
	}
}

// serving waits until the instance answers with want.
func (r rig) serving(t *testing.T, want fleet.Signal) fleet.ProbeResult {
	t.Helper()
	var last fleet.ProbeResult
	gomega.NewWithT(t).Eventually(func() fleet.Signal {
		last = r.prober.Probe(t.Context(), r.target, false)
		return last.Signal
	}, 20*time.Second, 20*time.Millisecond).Should(gomega.Equal(want), func() string { return last.Message })
	return last
}

// faultCase is one fault of the simulator and what the prober makes of it.
type faultCase struct {
	fault  string
	params map[string]string
	config func(*comfysim.Config)
	// probe is what GET /prompt shows while the fault is there; Verify is only
	// asked when that is Serving.
	probe  fleet.Signal
	verify fleet.VerifyFault
	signal fleet.Signal
	says   string
	// portal is the provisioning and the process that the portal tells of, "" for not asked.
	portal string
}

func https(c *comfysim.Config) { c.Env["ENABLE_HTTPS"] = "true" }

func longBoot(c *comfysim.Config) {
	c.Timings.Provisioning, c.Timings.ComfyStart = 10*time.Hour, 10*time.Second
}

func longStart(c *comfysim.Config) { c.Timings.ComfyStart = 10 * time.Hour }

func oldVersion(c *comfysim.Config) { c.Profile = comfysim.ProfileV0364 }

func faultCases() map[string]faultCase {
	cases := map[string]faultCase{}
	maps.Copy(cases, bootCases())
	maps.Copy(cases, processCases())
	maps.Copy(cases, hardwareCases())
	maps.Copy(cases, networkCases())
	return cases
}

func bootCases() map[string]faultCase {
	return map[string]faultCase{
		"slow start":           {fault: comfysim.FaultSlowStart, config: longBoot, probe: fleet.SignalPlaceholder, portal: "in_progress/RUNNING"},
		"provisioning stalled": {fault: comfysim.FaultProvisioningStall, probe: fleet.SignalPlaceholder, portal: "in_progress/RUNNING"},
		"provisioning failed":  {fault: comfysim.FaultProvisioningFailed, probe: fleet.SignalServing, verify: fleet.FaultNodeMissing, says: "FancyUpscale", portal: "failed/RUNNING"},
		"crash loop":           {fault: comfysim.FaultCrashLoop, config: longStart, probe: fleet.SignalPlaceholder},
		"process fatal":        {fault: comfysim.FaultProcessFatal, probe: fleet.SignalPlaceholder, portal: "complete/FATAL"},
		"restart":              {fault: comfysim.FaultRestart, probe: fleet.SignalServing},
		"tunnel placeholder":   {fault: comfysim.FaultTunnelPlaceholder, config: longBoot, probe: fleet.SignalPlaceholder},
	}
}

func processCases() map[string]faultCase {
	return map[string]faultCase{
		"worker dead":         {fault: comfysim.FaultWorkerDead, probe: fleet.SignalServing, verify: fleet.FaultWorkerDead},
		"worker dead, old":    {fault: comfysim.FaultWorkerDead, config: oldVersion, probe: fleet.SignalServing, verify: fleet.FaultWorkerDead},
		"worker dies inside":  {fault: comfysim.FaultWorkerDead, params: map[string]string{"where": "inside"}, probe: fleet.SignalServing, verify: fleet.FaultRenderTimeout, says: "the worker died in it"},
		"hang":                {fault: comfysim.FaultHang, probe: fleet.SignalServing, verify: fleet.FaultRenderTimeout, says: "started but was not done"},
		"interpreter stalled": {fault: comfysim.FaultGILStall, params: map[string]string{"for": "10h"}, probe: fleet.SignalNoAnswer},
		"driver wedged":       {fault: comfysim.FaultDriverWedge, probe: fleet.SignalServing, verify: fleet.FaultUnreachable, signal: fleet.SignalNoAnswer},
		"latency":             {fault: comfysim.FaultLatency, probe: fleet.SignalServing},
		"gpu fault":           {fault: comfysim.FaultGPUFault, probe: fleet.SignalServing, verify: fleet.FaultGPU},
		"out of memory":       {fault: comfysim.FaultOOM, probe: fleet.SignalServing, verify: fleet.FaultOutOfMemory},
		"events stall":        {fault: comfysim.FaultWebSocketStall, probe: fleet.SignalServing},
		"blur missing":        {fault: comfysim.FaultMissingNode, probe: fleet.SignalServing, says: "Canny"},
		"blur missing, old":   {fault: comfysim.FaultMissingNode, config: oldVersion, probe: fleet.SignalServing, says: "Canny"},
		"custom node missing": {fault: comfysim.FaultMissingNode, params: map[string]string{"class": "FancyUpscale"}, probe: fleet.SignalServing, verify: fleet.FaultNodeMissing, says: "FancyUpscale"},
		"model missing":       {fault: comfysim.FaultMissingModel, probe: fleet.SignalServing, verify: fleet.FaultModelMissing, says: comfysim.SD15Checkpoint},
		"model truncated":     {fault: comfysim.FaultTruncatedModel, probe: fleet.SignalServing, verify: fleet.FaultModelTruncated, says: comfysim.SD15Checkpoint},
	}
}

func hardwareCases() map[string]faultCase {
	return map[string]faultCase{
		"no kernel image": {fault: comfysim.FaultNoKernelImage, probe: fleet.SignalServing, verify: fleet.FaultArchUnsupported},
		"noise":           {fault: comfysim.FaultWrongPixels, probe: fleet.SignalServing, verify: fleet.FaultGPUCorrupt},
		"black":           {fault: comfysim.FaultWrongPixels, params: map[string]string{"how": "black"}, probe: fleet.SignalServing, verify: fleet.FaultGPUCorrupt},
		"shifted":         {fault: comfysim.FaultWrongPixels, params: map[string]string{"how": "shift"}, probe: fleet.SignalServing, verify: fleet.FaultGPUCorrupt},
		"slow gpu":        {fault: comfysim.FaultSlowGPU, probe: fleet.SignalServing},
		"cpu":             {fault: comfysim.FaultCPUDevice, probe: fleet.SignalServing, verify: fleet.FaultCPUDevice},
		"no device":       {fault: comfysim.FaultNoDevice, probe: fleet.SignalServing, verify: fleet.FaultNoGPU},
		"wrong gpu":       {fault: comfysim.FaultWrongGPU, probe: fleet.SignalServing, verify: fleet.FaultGPUMismatch, says: "GTX 1060"},
		// What was rented tells no memory size to compare with; only the name is.
		"small memory":    {fault: comfysim.FaultSmallVRAM, probe: fleet.SignalServing},
		"memory occupied": {fault: comfysim.FaultLowVRAM, probe: fleet.SignalServing, verify: fleet.FaultVRAMOccupied},
		"disk nearly full": {
			fault: comfysim.FaultDiskPressure, probe: fleet.SignalServing,
		},
		"clock ahead":  {fault: comfysim.FaultClockSkew, probe: fleet.SignalServing},
		"clock behind": {fault: comfysim.FaultClockSkew, params: map[string]string{"offset": "-5m"}, probe: fleet.SignalServing},
	}
}

func networkCases() map[string]faultCase {
	return map[string]faultCase{
		"refused":           {fault: comfysim.FaultRefuse, probe: fleet.SignalConnectionRefused},
		"silent":            {fault: comfysim.FaultBlackhole, probe: fleet.SignalNoAnswer},
		"silent over tls":   {fault: comfysim.FaultBlackhole, config: https, probe: fleet.SignalNoAnswer},
		"dropped":           {fault: comfysim.FaultBlackhole, params: map[string]string{"how": "drop"}, probe: fleet.SignalConnectTimeout},
		"half open":         {fault: comfysim.FaultHalfOpen, probe: fleet.SignalNoAnswer},
		"token rotated":     {fault: comfysim.FaultTokenRotated, probe: fleet.SignalAuthRejected},
		"other certificate": {fault: comfysim.FaultCertificateChange, config: https, probe: fleet.SignalCertificateUntrusted},
		"https unexpected":  {fault: comfysim.FaultSchemeMismatch, params: map[string]string{"serve": "https"}, probe: fleet.SignalSchemeMismatch},
		"http unexpected":   {fault: comfysim.FaultSchemeMismatch, params: map[string]string{"serve": "http"}, config: https, probe: fleet.SignalSchemeMismatch},
		"another service":   {fault: comfysim.FaultWrongService, probe: fleet.SignalUnexpectedService},
		"a web page":        {fault: comfysim.FaultWrongService, params: map[string]string{"how": "html"}, probe: fleet.SignalUnexpectedService},
		"origin rejected":   {fault: comfysim.FaultOriginRejected, probe: fleet.SignalOriginRejected},
	}
}

func TestEveryFaultOfTheSimulatorHasItsVerdict(t *testing.T) {
	covered := map[string]bool{}
	for name, c := range faultCases() {
		covered[c.fault] = true
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			checkFault(t, c)
		})
	}
	for _, info := range comfysim.Registry() {
		if !covered[info.Name] {
			t.Errorf("the simulator's fault %q has no case here", info.Name)
		}
	}
}

// atBirth tells the faults that have to be there before the boot.
func (c faultCase) atBirth() bool {
	return c.fault == comfysim.FaultSlowStart || c.fault == comfysim.FaultProvisioningStall || c.fault == comfysim.FaultProvisioningFailed ||
		c.fault == comfysim.FaultCrashLoop || c.fault == comfysim.FaultTunnelPlaceholder
}

func checkFault(t *testing.T, c faultCase) {
	t.Helper()
	r := newRig(t, func(config *comfysim.Config) {
		if c.config != nil {
			c.config(config)
		}
		if c.atBirth() {
			config.Faults = map[string]map[string]string{c.fault: c.params}
		}
	})
	if !c.atBirth() {
		healthy := r.serving(t, fleet.SignalServing)
		r.target.TLS.PinnedSHA256 = healthy.CertificateSHA256
		if err := r.instance.SetFault(c.fault, c.params); err != nil {
			t.Fatal(err)
		}
	}
	probed := r.serving(t, c.probe)
	checkSecrecy(t, probed.Message)
	if c.portal != "" {
		// Supervisor calls a process STARTING for its first five seconds.
		gomega.NewWithT(t).Eventually(func() (string, error) {
			portal, err := r.prober.Portal(t.Context(), r.target)
			if err != nil {
				return "", err
			}
			return portal.Provisioning + "/" + portal.ComfyUIProcess, nil
		}, 20*time.Second, 20*time.Millisecond).Should(gomega.Equal(c.portal))
	}
	if c.probe != fleet.SignalServing {
		return
	}
	verified := r.prober.Verify(t.Context(), r.target, expect())
	checkSecrecy(t, verified.Message)
	if verified.Fault != c.verify || verified.Signal != c.signal || !strings.Contains(verified.Message, c.says) {
		t.Errorf("verified: %+v, want %q %q with %q", verified, c.verify, c.signal, c.says)
	}
}

func checkSecrecy(t *testing.T, message string) {
	t.Helper()
	if strings.Contains(message, password[:7]) {
		t.Error("a message shows a part of the password")
	}
}

func TestHealthySimulatedInstancesPass(t *testing.T) {
	for _, profile := range []string{comfysim.ProfileV0364, comfysim.ProfileV038} {
		for _, secured := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, TLS %t", profile, secured), func(t *testing.T) {
				t.Parallel()
				r := newRig(t, func(config *comfysim.Config) {
					config.Profile, config.GPUs = profile, 2
					if secured {
						https(config)
					}
				})
				probed := r.serving(t, fleet.SignalServing)
				if probed.QueueRemaining != 0 || (probed.CertificateSHA256 != "") != secured {
					t.Errorf("probed: %+v", probed)
				}
				r.target.TLS.PinnedSHA256 = probed.CertificateSHA256
				expected := expect()
				expected.GPUs = 2
				first := r.prober.Verify(t.Context(), r.target, expected)
				if first.Fault != fleet.VerifyPassed || first.RenderMillis < 1000 || first.GPUName != "NVIDIA GeForce RTX 4090" || first.ComfyUIVersion == "" {
					t.Errorf("first: %+v", first)
				}
				expected.Color, expected.PromptID = 0xFEDCBA, "9a4be7ce-59ab-4d4c-8b52-0d4c5b7f3e21"
				second := r.prober.Verify(t.Context(), r.target, expected)
				if second.Fault != fleet.VerifyPassed {
					t.Errorf("second: %+v", second)
				}
				expected.PromptID = "c4f0a2d1-7b0e-4a53-9d7f-2e1f0a9b8c76"
				repeated := r.prober.Verify(t.Context(), r.target, expected)
				if repeated.Fault != fleet.VerifyPassed {
					t.Errorf("with a colour that was rendered before: %+v; the cache must not fool the verification", repeated)
				}
			})
		}
	}
}

func TestCrashLoopShowsInThePortal(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(config *comfysim.Config) {
		longStart(config)
		config.Faults = map[string]map[string]string{comfysim.FaultCrashLoop: nil}
	})
	pids := map[int]bool{}
	gomega.NewWithT(t).Eventually(func() int {
		if portal, err := r.prober.Portal(t.Context(), r.target); err == nil && portal.ComfyUIPID != 0 {
			pids[portal.ComfyUIPID] = true
		}
		return len(pids)
	}, 20*time.Second, 20*time.Millisecond).Should(gomega.BeNumerically(">=", 3))
}

func TestDeadWorkerShowsInTheQueue(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.serving(t, fleet.SignalServing)
	if err := r.instance.SetFault(comfysim.FaultWorkerDead, map[string]string{"where": "inside"}); err != nil {
		t.Fatal(err)
	}
	if got := r.prober.Verify(t.Context(), r.target, expect()); got.Fault != fleet.FaultRenderTimeout {
		t.Fatalf("verified: %+v", got)
	}
	queue, err := r.prober.Queue(t.Context(), r.target)
	if err != nil || queue.Running != expect().PromptID || queue.Pending != 0 {
		t.Errorf("queue = %+v, %v", queue, err)
	}
	if probed := r.prober.Probe(t.Context(), r.target, true); probed.Signal != fleet.SignalServing || probed.QueueRemaining != 1 {
		t.Errorf("probed: %+v", probed)
	}
}
