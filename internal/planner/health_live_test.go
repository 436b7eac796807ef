package planner

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/warmpool-dev/warmpool/internal/fleet"
)

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
		"restarted while claimed": {func() HealthDecision {
			l := veteran()
			l.in.Claimed = true
			l.probes(fleet.SignalConnectionRefused, 1, 15)
			return l.wait(15).serve(0)
		}, ready},
		"silent after Vast was wrong about it": {func() HealthDecision {
			l := veteran()
			for range 5 {
				l.wait(15).reading(fleet.StatusExited)
				l.serve(0)
			}
			return l.probes(fleet.SignalNoAnswer, 3, 15)
		}, coming(StageUnready, HealthUnresponsive, ActionProbe)},
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

// TestARecycledInstanceRendersAgain: after a claim an instance is Ready only once
// it was emptied and has rendered since.
func TestARecycledInstanceRendersAgain(t *testing.T) {
	l := veteran()
	l.in.Recycling = true
	if d := l.serve(0); d.Ready.Status != "False" || d.Ready.Reason != HealthRecycling || d.Next == ActionVerify {
		t.Errorf("before it is empty: %s/%s, next %s", d.Ready.Status, d.Ready.Reason, d.Next)
	}
	l.wait(10).in.EmptiedAt = moment(l.now)
	d := l.wait(1).serve(0)
	if d.Ready.Status != "False" || d.Ready.Reason != HealthRecycling || d.Next != ActionVerify {
		t.Errorf("when it is empty: %s/%s, next %s", d.Ready.Status, d.Ready.Reason, d.Next)
	}
	if d := l.wait(1).verify(fleet.VerifyPassed); d.Ready.Status != "True" {
		t.Errorf("after its proof: %s/%s", d.Ready.Status, d.Ready.Reason)
	}
	// The next claim was short: its proof does not wait for the pause after the last one.
	l.wait(1).in.EmptiedAt = moment(l.now)
	if d := l.wait(1).serve(0); d.Next != ActionVerify || d.NextAfter != 0 {
		t.Errorf("after a short claim: next %s in %s", d.Next, d.NextAfter)
	}
	if d := l.wait(1).verify(fleet.FaultRenderFailed); d.Next == ActionVerify && d.NextAfter == 0 {
		t.Error("a proof that failed is repeated without a pause")
	}
}
