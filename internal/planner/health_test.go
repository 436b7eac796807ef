package planner

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/warmpool-dev/warmpool/internal/fleet"
)

// life drives ComputeHealth through the life of one instance.
type life struct {
	mem HealthMemory
	in  HealthInput
	// now is in seconds since the rent.
	now  int
	last HealthDecision
}

// newborn is a rental of which nothing is known yet.
func newborn() *life {
	l := &life{}
	l.in.Rental = HealthRental{ID: 5, MachineID: 7, IntendedStatus: "running", RentedAt: moment(0)}
	return l
}

// booted is a rental whose container runs since second 60, with an address.
func booted() *life {
	l := newborn()
	l.now = 60
	l.in.Rental.EndpointKnown, l.in.Rental.RunningSince = true, moment(60)
	l.reading(fleet.StatusRunning)
	return l
}

// veteran was Ready long ago and is idle; the process is the one that saw it.
func veteran() *life {
	l := booted()
	l.in.WasReady, l.in.IsReady, l.in.IsStarted = true, true, true
	l.now, l.in.LastProofAt = 5000, moment(5000)
	l.reading(fleet.StatusRunning)
	l.serve(0)
	return l
}

// look decides with what is in the input, then forgets the fresh results.
func (l *life) look() HealthDecision {
	l.in.Now = moment(l.now)
	l.mem, l.last = ComputeHealth(l.mem, &l.in)
	l.in.Probe, l.in.Portal, l.in.Queue, l.in.Verify, l.in.Tried = nil, nil, nil, nil, ""
	return l.last
}

// wait lets seconds pass.
func (l *life) wait(seconds int) *life { l.now += seconds; return l }

// reading is a sweep that shows the container in a state.
func (l *life) reading(status fleet.ActualStatus) HealthDecision {
	l.in.Rental.ActualStatus, l.in.Rental.ReadAt = status, moment(l.now)
	return l.look()
}

// probe is a liveness probe that showed a signal.
func (l *life) probe(signal fleet.Signal) HealthDecision {
	l.in.Probe = &fleet.ProbeResult{Signal: signal, At: moment(l.now)}
	return l.look()
}

// probes are several, some seconds apart.
func (l *life) probes(signal fleet.Signal, n, apart int) HealthDecision {
	for range n {
		l.wait(apart).probe(signal)
	}
	return l.last
}

// serve is a probe that was answered, with some prompts in the queue.
func (l *life) serve(queue int) HealthDecision {
	l.in.Probe = &fleet.ProbeResult{Signal: fleet.SignalServing, QueueRemaining: queue, At: moment(l.now)}
	return l.look()
}

// portal is an answer of the instance portal.
func (l *life) portal(provisioning, process string, pid int) HealthDecision {
	l.in.Portal, l.in.PortalAt = &fleet.Portal{Provisioning: provisioning, ComfyUIProcess: process, ComfyUIPID: pid}, moment(l.now)
	return l.look()
}

// queue is a look at the queue.
func (l *life) queue(running string, pending int) HealthDecision {
	l.in.Queue = &fleet.QueueResult{Running: running, Pending: pending, At: moment(l.now)}
	return l.look()
}

// verify is a verification.
func (l *life) verify(fault fleet.VerifyFault) HealthDecision {
	l.in.Verify = &fleet.VerifyResult{Fault: fault, Message: "It was tried", At: moment(l.now)}
	return l.look()
}

// verdictOfHealth is what the tables compare.
type verdictOfHealth struct {
	Stage   HealthStage
	Ready   string
	Reason  string
	Next    HealthAction
	Failing bool
	OnHost  bool
}

func summary(d HealthDecision) verdictOfHealth {
	v := verdictOfHealth{Stage: d.Stage, Ready: d.Ready.Status, Reason: d.Reason, Next: d.Next, Failing: d.Failure != nil}
	if d.Failure != nil {
		v.OnHost = d.Failure.HostFault
	}
	return v
}

// gone is a failure with the given reason.
func gone(reason string, host bool) verdictOfHealth {
	return verdictOfHealth{StageFailed, statusFalse, reason, ActionProbe, true, host}
}

// coming is a stage on the way up.
func coming(stage HealthStage, reason string, next HealthAction) verdictOfHealth {
	return verdictOfHealth{stage, statusFalse, reason, next, false, false}
}

// Every row of the health model: observable, reason, remedy.
func TestComputeHealthStartup(t *testing.T) {
	t.Parallel()
	noProbe := func(v verdictOfHealth) verdictOfHealth { v.Next = ActionNone; return v }
	says := func(l *life, message string) HealthDecision {
		l.in.Rental.StatusMessage = message
		return l.wait(10).reading(fleet.StatusLoading)
	}
	tests := map[string]struct {
		live func() HealthDecision
		want verdictOfHealth
	}{
		"nothing rented":       {func() HealthDecision { l := life{}; return l.look() }, coming(StagePulling, HealthNotRented, ActionNone)},
		"unreported":           {func() HealthDecision { return newborn().look() }, coming(StagePulling, HealthImagePulling, ActionNone)},
		"loading":              {func() HealthDecision { return newborn().wait(890).reading(fleet.StatusLoading) }, coming(StagePulling, HealthImagePulling, ActionNone)},
		"loading for too long": {func() HealthDecision { l := newborn(); l.look(); return l.wait(900).reading(fleet.StatusLoading) }, noProbe(gone(HealthImagePullTimeout, true))},
		"a deadline of its own": {func() HealthDecision {
			l := newborn()
			l.in.Deadlines.ProvisioningSeconds = 100
			l.look()
			return l.wait(100).reading(fleet.StatusLoading)
		}, noProbe(gone(HealthImagePullTimeout, true))},
		"restart, late, first look": {func() HealthDecision { return newborn().wait(9000).reading(fleet.StatusLoading) }, coming(StagePulling, HealthImagePulling, ActionNone)},
		"restart, late, old reading": {func() HealthDecision {
			l := newborn()
			l.wait(800).reading(fleet.StatusLoading)
			return l.wait(200).look()
		}, coming(StagePulling, HealthImagePulling, ActionNone)},
		"pull refused":        {func() HealthDecision { return says(newborn(), "Error response from daemon: OCI runtime create failed") }, noProbe(gone(HealthImagePullFailed, true))},
		"disk full":           {func() HealthDecision { return says(newborn(), "write: no space left on device") }, noProbe(gone(HealthImagePullFailed, true))},
		"no such image":       {func() HealthDecision { return says(newborn(), "manifest unknown") }, noProbe(gone(HealthImagePullFailed, false))},
		"image needs a login": {func() HealthDecision { return says(newborn(), "pull: Unauthorized") }, noProbe(gone(HealthImagePullFailed, false))},
		"a harmless message":  {func() HealthDecision { return says(newborn(), "5f2a: Pull complete") }, coming(StagePulling, HealthImagePulling, ActionNone)},
		"the same words, running": {func() HealthDecision {
			l := booted()
			l.in.Rental.StatusMessage = "unauthorized"
			return l.reading(fleet.StatusRunning)
		}, coming(StageBooting, HealthNotProbedYet, ActionProbe)},
		"stopped by somebody": {func() HealthDecision {
			l := newborn()
			l.in.Rental.IntendedStatus = "stopped"
			l.wait(10).reading(fleet.StatusExited)
			l.wait(10).reading(fleet.StatusExited)
			return l.wait(10).reading(fleet.StatusExited)
		}, noProbe(gone(HealthInstanceStopped, false))},
		"stopped, twice read": {func() HealthDecision {
			l := newborn()
			l.in.Rental.IntendedStatus = "stopped"
			l.wait(10).reading(fleet.StatusExited)
			l.look()
			return l.wait(10).reading(fleet.StatusExited)
		}, coming(StagePulling, HealthContainerExited, ActionNone)},
		"stopped before it was made": {func() HealthDecision {
			l := newborn()
			l.in.Rental.IntendedStatus, l.in.Rental.CurrentState = "stopped", "stopped"
			for range 3 {
				l.wait(10).reading(fleet.StatusCreated)
			}
			return l.last
		}, noProbe(gone(HealthInstanceStopped, false))},
		"exited by itself": {func() HealthDecision {
			l := newborn()
			for range 3 {
				l.wait(10).reading(fleet.StatusExited)
			}
			return l.last
		}, noProbe(gone(HealthContainerExited, false))},
		"host offline": {func() HealthDecision {
			l := newborn()
			l.wait(10).reading(fleet.StatusOffline)
			return l.wait(300).reading(fleet.StatusOffline)
		}, noProbe(gone(HealthHostOffline, false))},
		"running without ports": {func() HealthDecision { return newborn().wait(10).reading(fleet.StatusRunning) }, coming(StageBooting, HealthPortsPending, ActionNone)},
		"ports never published": {func() HealthDecision {
			l := newborn()
			l.wait(10).reading(fleet.StatusRunning)
			return l.wait(180).reading(fleet.StatusRunning)
		}, noProbe(gone(HealthPortsNotPublished, true))},
		"not probed yet":         {func() HealthDecision { return booted().look() }, coming(StageBooting, HealthNotProbedYet, ActionProbe)},
		"timeouts":               {func() HealthDecision { return booted().probes(fleet.SignalConnectTimeout, 9, 10) }, coming(StageBooting, "ConnectTimeout", ActionProbe)},
		"timeouts for 90 s":      {func() HealthDecision { return booted().probes(fleet.SignalConnectTimeout, 10, 10) }, gone(HealthHostNetworkBroken, true)},
		"two timeouts far apart": {func() HealthDecision { return booted().probes(fleet.SignalConnectTimeout, 2, 100) }, coming(StageBooting, "ConnectTimeout", ActionProbe)},
		"timeouts after a refusal": {func() HealthDecision {
			l := booted()
			l.wait(5).probe(fleet.SignalConnectionRefused)
			return l.probes(fleet.SignalConnectTimeout, 20, 10)
		}, coming(StageBooting, "ConnectTimeout", ActionProbe)},
		"refused for ever so long": {func() HealthDecision { return booted().probes(fleet.SignalConnectionRefused, 100, 10) }, coming(StageBooting, HealthProxyNotListening, ActionPortal)},
		"401 at first":             {func() HealthDecision { return booted().probes(fleet.SignalAuthRejected, 2, 10) }, coming(StageStarting, HealthStarting, ActionProbe)},
		"401 three times":          {func() HealthDecision { return booted().probes(fleet.SignalAuthRejected, 3, 10) }, coming(StageStarting, "AuthRejected", ActionProbe)},
		"401 for long":             {func() HealthDecision { return booted().probes(fleet.SignalAuthRejected, 170, 10) }, coming(StageStarting, "AuthRejected", ActionProbe)},
		"401 until the deadline":   {func() HealthDecision { return booted().probes(fleet.SignalAuthRejected, 180, 10) }, gone("AuthRejected", false)},
		"403":                      {func() HealthDecision { return booted().probes(fleet.SignalOriginRejected, 3, 10) }, coming(StageStarting, "OriginRejected", ActionProbe)},
		"403 for five minutes":     {func() HealthDecision { return booted().probes(fleet.SignalOriginRejected, 31, 10) }, gone("OriginRejected", false)},
		"something else answers":   {func() HealthDecision { return booted().probes(fleet.SignalUnexpectedService, 31, 10) }, gone("UnexpectedService", false)},
		"wrong scheme":             {func() HealthDecision { return booted().probes(fleet.SignalSchemeMismatch, 31, 10) }, gone("SchemeMismatch", false)},
		"wrong certificate":        {func() HealthDecision { return booted().probes(fleet.SignalCertificateUntrusted, 31, 10) }, gone("CertificateUntrusted", false)},
		"placeholder":              {func() HealthDecision { return booted().wait(5).probe(fleet.SignalPlaceholder) }, coming(StageStarting, HealthStarting, ActionPortal)},
		"placeholder, provisioning": {func() HealthDecision {
			l := booted()
			l.wait(5).probe(fleet.SignalPlaceholder)
			return l.portal("in_progress", "STARTING", 0)
		}, coming(StageProvisioning, HealthProvisioning, ActionProbe)},
		"provisioning failed, one look": {func() HealthDecision {
			l := booted()
			l.wait(5).probe(fleet.SignalPlaceholder)
			return l.portal("failed", "RUNNING", 40)
		}, coming(StageProvisioning, HealthProvisioningFailed, ActionProbe)},
		"provisioning failed": {func() HealthDecision {
			l := booted()
			for range 2 {
				l.wait(12).probe(fleet.SignalPlaceholder)
				l.portal("failed", "RUNNING", 40)
			}
			return l.last
		}, gone(HealthProvisioningFailed, false)},
		"provisioning failed, yet it serves": {func() HealthDecision {
			l := booted()
			l.wait(12).serve(0)
			l.portal("failed", "RUNNING", 40)
			return l.wait(12).portal("failed", "RUNNING", 40)
		}, coming(StageVerifying, HealthVerifying, ActionVerify)},
		"provisioning for too long": {func() HealthDecision {
			l := booted()
			for range 180 {
				l.wait(10).probe(fleet.SignalPlaceholder)
				l.portal("in_progress", "STARTING", 0)
			}
			return l.last
		}, gone(HealthProvisioningTimeout, true)},
		"starting for too long": {func() HealthDecision { return booted().probes(fleet.SignalPlaceholder, 180, 10) }, func() verdictOfHealth {
			v := gone(HealthStartupTimeout, true)
			v.Next = ActionPortal
			return v
		}()},
		"new process numbers": {func() HealthDecision {
			l := booted()
			for pid := range 4 {
				l.wait(12).probe(fleet.SignalPlaceholder)
				l.portal("complete", "STARTING", 100+pid)
			}
			return l.last
		}, gone(HealthCrashLooping, false)},
		"BACKOFF without numbers": {func() HealthDecision {
			l := booted()
			for range 3 {
				l.wait(12).probe(fleet.SignalPlaceholder)
				l.portal("complete", "BACKOFF", 0)
			}
			return l.last
		}, gone(HealthCrashLooping, false)},
		"new process numbers, unseen in between": {func() HealthDecision {
			l := booted()
			for _, pid := range []int{100, 0, 101, 0, 102, 0, 103} {
				l.wait(12).probe(fleet.SignalPlaceholder)
				l.portal("complete", "STARTING", pid)
			}
			return l.last
		}, gone(HealthCrashLooping, false)},
		"FATAL, one look": {func() HealthDecision {
			l := booted()
			l.wait(12).probe(fleet.SignalPlaceholder)
			return l.portal("complete", "FATAL", 0)
		}, coming(StageStarting, HealthProcessExited, ActionProbe)},
		"restart, long late, not probed yet": {func() HealthDecision {
			l := booted()
			l.mem = HealthMemory{}
			l.wait(9000).look()
			return l.wait(70).look()
		}, coming(StageBooting, HealthNotProbedYet, ActionProbe)},
		"restart, long late, serves": {func() HealthDecision {
			l := booted()
			l.mem = HealthMemory{}
			l.wait(9000).look()
			return l.wait(70).serve(0)
		}, coming(StageVerifying, HealthVerifying, ActionVerify)},
		"two restarts": {func() HealthDecision {
			l := booted()
			for pid := range 3 {
				l.wait(12).probe(fleet.SignalPlaceholder)
				l.portal("complete", "STARTING", 100+pid)
			}
			return l.last
		}, coming(StageStarting, HealthCrashLooping, ActionProbe)},
		"FATAL": {func() HealthDecision {
			l := booted()
			for range 2 {
				l.wait(12).probe(fleet.SignalPlaceholder)
				l.portal("complete", "FATAL", 0)
			}
			return l.last
		}, gone(HealthProcessExited, false)},
		"EXITED, then started again": {func() HealthDecision {
			l := booted()
			l.wait(12).probe(fleet.SignalPlaceholder)
			l.portal("complete", "EXITED", 0)
			l.wait(12).probe(fleet.SignalPlaceholder)
			return l.portal("complete", "STARTING", 0)
		}, coming(StageStarting, HealthStarting, ActionProbe)},
		"HTTP 500":                {func() HealthDecision { return booted().probes(fleet.SignalServerError, 3, 10) }, coming(StageStarting, "ServerError", ActionProbe)},
		"accepts and is silent":   {func() HealthDecision { return booted().probes(fleet.SignalNoAnswer, 30, 10) }, coming(StageStarting, "NoAnswer", ActionProbe)},
		"serves":                  {func() HealthDecision { return booted().wait(5).serve(0) }, coming(StageVerifying, HealthVerifying, ActionVerify)},
		"serves while Vast loads": {func() HealthDecision { l := booted(); l.wait(5).serve(0); return l.reading(fleet.StatusLoading) }, coming(StageVerifying, HealthVerifying, ActionVerify)},
		"proves itself":           {func() HealthDecision { l := booted(); l.wait(5).serve(0); return l.wait(5).verify(fleet.VerifyPassed) }, verdictOfHealth{StageReady, statusTrue, HealthReady, ActionProbe, false, false}},
		"fails its proof once":    {func() HealthDecision { l := booted(); l.wait(5).serve(0); return l.wait(5).verify(fleet.FaultGPU) }, coming(StageVerifying, "GpuFault", ActionProbe)},
		"proof could not be taken": {func() HealthDecision {
			l := booted()
			l.wait(5).serve(0)
			l.verify(fleet.FaultUnreachable)
			return l.wait(15).verify(fleet.FaultUnreachable)
		}, coming(StageVerifying, HealthVerifying, ActionProbe)},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := tc.live()
			if diff := cmp.Diff(tc.want, summary(got)); diff != "" {
				t.Errorf("ComputeHealth() (-want +got):\n%s\n%s", diff, got.Message)
			}
			if got.Message == "" || got.Running.Message == "" || got.Started.Message == "" {
				t.Errorf("a condition lacks its message: %+v", got)
			}
		})
	}
}

func TestComputeHealthVerifyFaults(t *testing.T) {
	t.Parallel()
	tests := map[fleet.VerifyFault]bool{
		fleet.FaultNoGPU: true, fleet.FaultGPU: true, fleet.FaultGPUCorrupt: true, fleet.FaultGPUMismatch: true,
		fleet.FaultVRAMOccupied: true, fleet.FaultRenderTimeout: true,
		fleet.FaultCPUDevice: false, fleet.FaultArchUnsupported: false, fleet.FaultNodeMissing: false, fleet.FaultModelMissing: false,
		fleet.FaultModelTruncated: false, fleet.FaultWorkerDead: false, fleet.FaultOutOfMemory: false, fleet.FaultRenderFailed: false,
	}
	for fault, host := range tests {
		t.Run(string(fault), func(t *testing.T) {
			t.Parallel()
			l := booted()
			l.wait(5).serve(0)
			if got := l.wait(5).verify(fault); got.Failure != nil {
				t.Fatalf("one failed verification ended it: %+v", got.Failure)
			}
			l.wait(10).serve(0)
			got := l.wait(5).verify(fault)
			if got.Failure == nil || got.Failure.Reason != string(fault) || got.Failure.HostFault != host || got.Failure.MachineID != 7 {
				t.Errorf("after two: %+v, want %s with host fault %t on machine 7", got.Failure, fault, host)
			}
			if got.Failure != nil && !strings.HasSuffix(got.Failure.Message, ".") {
				t.Errorf("message %q is no sentence", got.Failure.Message)
			}
		})
	}
}
