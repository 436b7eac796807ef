package planner

import (
	"strings"
	"testing"
	"time"

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
			for range 2 {
				l.wait(12).serve(0)
				l.portal("failed", "RUNNING", 40)
			}
			return l.last
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

func TestComputeHealthLive(t *testing.T) {
	t.Parallel()
	ready := verdictOfHealth{StageReady, statusTrue, HealthReady, ActionProbe, false, false}
	busyWith := func(next HealthAction) verdictOfHealth {
		return verdictOfHealth{StageBusy, statusTrue, HealthReady, next, false, false}
	}
	silent := verdictOfHealth{StageBusy, statusTrue, HealthBusyUnresponsive, ActionProbe, false, false}
	working := func() *life { l := veteran(); l.wait(15).serve(2); l.queue("p1", 1); return l }
	restarted := func() *life {
		l := veteran()
		l.mem = HealthMemory{}
		return l
	}
	tests := map[string]struct {
		live func() HealthDecision
		want verdictOfHealth
	}{
		"idle":                {func() HealthDecision { return veteran().wait(15).serve(0) }, ready},
		"busy, look at queue": {func() HealthDecision { return veteran().wait(15).serve(1) }, busyWith(ActionQueue)},
		"busy, just looked":   {func() HealthDecision { return working().last }, busyWith(ActionProbe)},
		"idle, two failures":  {func() HealthDecision { return veteran().probes(fleet.SignalNoAnswer, 2, 15) }, ready},
		"idle, three":         {func() HealthDecision { return veteran().probes(fleet.SignalNoAnswer, 3, 15) }, coming(StageUnready, HealthUnresponsive, ActionProbe)},
		"idle, five":          {func() HealthDecision { return veteran().probes(fleet.SignalConnectTimeout, 5, 15) }, coming(StageUnready, HealthUnresponsive, ActionProbe)},
		"idle, six":           {func() HealthDecision { return veteran().probes(fleet.SignalConnectTimeout, 6, 15) }, gone(HealthUnresponsive, false)},
		"thresholds of its own": {func() HealthDecision {
			l := veteran()
			l.in.Probes.FailureThreshold = 5
			return l.probes(fleet.SignalNoAnswer, 9, 15)
		}, coming(StageUnready, HealthUnresponsive, ActionProbe)},
		"three, then it must prove itself": {func() HealthDecision {
			l := veteran()
			l.probes(fleet.SignalNoAnswer, 3, 15)
			return l.wait(15).serve(0)
		}, coming(StageVerifying, HealthVerifying, ActionVerify)},
		"and does": {func() HealthDecision {
			l := veteran()
			l.probes(fleet.SignalNoAnswer, 3, 15)
			l.wait(15).serve(0)
			return l.wait(3).verify(fleet.VerifyPassed)
		}, ready},
		"two, then fine": {func() HealthDecision {
			l := veteran()
			l.probes(fleet.SignalNoAnswer, 2, 15)
			return l.wait(15).serve(0)
		}, ready},
		"busy, silent for 170 s":  {func() HealthDecision { return working().probes(fleet.SignalNoAnswer, 18, 10) }, silent},
		"busy, silent for 180 s":  {func() HealthDecision { return working().probes(fleet.SignalNoAnswer, 19, 10) }, gone(HealthUnresponsive, false)},
		"busy, two slow timeouts": {func() HealthDecision { return working().probes(fleet.SignalNoAnswer, 2, 200) }, silent},
		"busy, process gone":      {func() HealthDecision { return working().probes(fleet.SignalPlaceholder, 3, 15) }, coming(StageUnready, HealthStarting, ActionPortal)},
		"process gone, once":      {func() HealthDecision { return veteran().probes(fleet.SignalConnectionRefused, 1, 15) }, verdictOfHealth{StageReady, statusTrue, HealthReady, ActionPortal, false, false}},
		"process gone, then back": {func() HealthDecision {
			l := veteran()
			l.probes(fleet.SignalConnectionRefused, 1, 15)
			return l.wait(15).serve(0)
		}, coming(StageVerifying, HealthVerifying, ActionVerify)},
		"process gone, then back and at work": {func() HealthDecision {
			l := working()
			l.probes(fleet.SignalConnectionRefused, 1, 15)
			return l.wait(15).serve(1)
		}, busyWith(ActionQueue)},
		"process gone for long":     {func() HealthDecision { return veteran().probes(fleet.SignalServerError, 13, 15) }, gone(HealthUnresponsive, false)},
		"process gone for a minute": {func() HealthDecision { return veteran().probes(fleet.SignalServerError, 12, 15) }, coming(StageUnready, "ServerError", ActionProbe)},
		"process dead": {func() HealthDecision {
			l := veteran()
			for range 2 {
				l.wait(15).probe(fleet.SignalPlaceholder)
				l.portal("complete", "FATAL", 0)
			}
			return l.last
		}, gone(HealthProcessExited, false)},
		"password rejected":           {func() HealthDecision { return veteran().probes(fleet.SignalAuthRejected, 3, 15) }, coming(StageUnready, "AuthRejected", ActionProbe)},
		"password rejected for long":  {func() HealthDecision { return veteran().probes(fleet.SignalAuthRejected, 100, 15) }, coming(StageUnready, "AuthRejected", ActionProbe)},
		"password rejected, given up": {func() HealthDecision { return veteran().probes(fleet.SignalAuthRejected, 121, 15) }, gone("AuthRejected", false)},
		"certificate changed":         {func() HealthDecision { return veteran().probes(fleet.SignalCertificateUntrusted, 20, 15) }, coming(StageUnready, "CertificateUntrusted", ActionProbe)},
		"certificate stays changed":   {func() HealthDecision { return veteran().probes(fleet.SignalCertificateUntrusted, 21, 15) }, gone("CertificateUntrusted", false)},
		"worker dead, one look":       {func() HealthDecision { l := working(); l.wait(30).serve(2); return l.queue("", 2) }, busyWith(ActionQueue)},
		"worker dead":                 {func() HealthDecision { l := working(); l.wait(30).queue("", 2); return l.wait(5).queue("", 2) }, gone("WorkerDead", false)},
		"worker dead, looks too near": {func() HealthDecision { l := working(); l.wait(30).queue("", 2); return l.wait(4).queue("", 2) }, busyWith(ActionProbe)},
		"between two prompts": {func() HealthDecision {
			l := working()
			l.wait(30).queue("", 2)
			l.wait(5).queue("p2", 1)
			return l.wait(30).queue("", 1)
		}, busyWith(ActionProbe)},
		"a long prompt":       {func() HealthDecision { return working().wait(1800).queue("p1", 1) }, busyWith(ActionProbe)},
		"a prompt that hangs": {func() HealthDecision { return working().wait(1801).queue("p1", 1) }, gone(HealthPromptHung, false)},
		"prompts that follow": {func() HealthDecision { l := working(); l.wait(1000).queue("p2", 1); return l.wait(1000).queue("p2", 1) }, busyWith(ActionProbe)},
		"Vast says loading":   {func() HealthDecision { l := veteran(); l.wait(15).reading(fleet.StatusLoading); return l.serve(0) }, ready},
		"Vast says exited, it serves": {func() HealthDecision {
			l := veteran()
			l.in.Rental.IntendedStatus = "stopped"
			for range 20 {
				l.wait(15).reading(fleet.StatusExited)
				l.serve(0)
			}
			return l.last
		}, ready},
		"Vast says exited, nobody looked": {func() HealthDecision {
			l := veteran()
			l.in.Rental.IntendedStatus = "stopped"
			for range 5 {
				l.wait(3).reading(fleet.StatusExited)
			}
			return l.last
		}, ready},
		"stopped indeed": {func() HealthDecision {
			l := veteran()
			l.in.Rental.IntendedStatus = "stopped"
			for range 3 {
				l.wait(15).reading(fleet.StatusExited)
				l.probe(fleet.SignalConnectTimeout)
			}
			return l.last
		}, gone(HealthInstanceStopped, false)},
		"offline": {func() HealthDecision { return veteran().wait(3).reading(fleet.StatusOffline) }, coming(StageUnready, HealthHostOffline, ActionProbe)},
		"offline, and it answers": {func() HealthDecision {
			l := veteran()
			l.wait(3).reading(fleet.StatusOffline)
			l.serve(0)
			return l.wait(15).reading(fleet.StatusOffline)
		}, ready},
		"offline for long": {func() HealthDecision {
			l := veteran()
			for range 21 {
				l.wait(15).reading(fleet.StatusOffline)
				l.probe(fleet.SignalNoAnswer)
			}
			return l.last
		}, gone(HealthHostOffline, false)},
		"proof due":          {func() HealthDecision { return veteran().wait(1800).serve(0) }, verdictOfHealth{StageReady, statusTrue, HealthReady, ActionVerify, false, false}},
		"proof due, at work": {func() HealthDecision { return veteran().wait(1800).serve(1) }, busyWith(ActionQueue)},
		"proof due, claimed": {func() HealthDecision { l := veteran(); l.in.Claimed = true; return l.wait(1800).serve(0) }, ready},
		"proof fails once":   {func() HealthDecision { l := veteran(); l.wait(1800).serve(0); return l.wait(5).verify(fleet.FaultGPU) }, coming(StageVerifying, "GpuFault", ActionProbe)},
		"proof fails twice": {func() HealthDecision {
			l := veteran()
			l.wait(1800).serve(0)
			l.wait(5).verify(fleet.FaultGPU)
			l.wait(10).serve(0)
			return l.wait(5).verify(fleet.FaultGPU)
		}, gone("GpuFault", true)},
		"proof timed out behind work, twice": {func() HealthDecision {
			l := veteran()
			l.wait(1800).serve(0)
			l.wait(60).verify(fleet.FaultRenderTimeout)
			l.wait(10).serve(3)
			l.wait(100).serve(0)
			l.wait(60).verify(fleet.FaultRenderTimeout)
			return l.last
		}, coming(StageVerifying, "RenderTimeout", ActionProbe)},
		"spared, and it recovers": {func() HealthDecision {
			l := veteran()
			l.probes(fleet.SignalNoAnswer, 40, 15)
			l.wait(15).serve(0)
			return l.wait(5).verify(fleet.VerifyPassed)
		}, ready},
		"restart: not probed":            {func() HealthDecision { return restarted().wait(900).look() }, ready},
		"restart: silence counts anew":   {func() HealthDecision { return restarted().probes(fleet.SignalNoAnswer, 6, 15) }, silent},
		"restart: 180 s later":           {func() HealthDecision { return restarted().probes(fleet.SignalNoAnswer, 13, 15) }, gone(HealthUnresponsive, false)},
		"restart: was not ready":         {func() HealthDecision { l := restarted(); l.in.IsReady = false; return l.wait(5).look() }, coming(StageUnready, HealthNotProbedYet, ActionProbe)},
		"restart: was not ready, serves": {func() HealthDecision { l := restarted(); l.in.IsReady = false; l.wait(5).look(); return l.serve(0) }, coming(StageVerifying, HealthVerifying, ActionVerify)},
		"restart: no proof without reason": {func() HealthDecision {
			l := restarted()
			l.in.LastProofAt = time.Time{}
			l.wait(5).look()
			return l.serve(0)
		}, ready},
		"address lost": {func() HealthDecision {
			l := veteran()
			l.in.Rental.EndpointKnown = false
			return l.wait(5).reading(fleet.StatusRunning)
		}, coming(StageUnready, HealthPortsPending, ActionNone)},
		"address lost for long": {func() HealthDecision {
			l := veteran()
			l.in.Rental.EndpointKnown = false
			l.wait(5).reading(fleet.StatusRunning)
			return l.wait(300).reading(fleet.StatusRunning)
		}, func() verdictOfHealth { v := gone(HealthPortsNotPublished, true); v.Next = ActionNone; return v }()},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := tc.live()
			if diff := cmp.Diff(tc.want, summary(got)); diff != "" {
				t.Errorf("ComputeHealth() (-want +got):\n%s\n%s", diff, got.Message)
			}
			if got.Started.Status != statusTrue {
				t.Errorf("Started is %+v for an instance that was Ready", got.Started)
			}
		})
	}
}
