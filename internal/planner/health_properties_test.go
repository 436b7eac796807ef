package planner

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/warmpool-dev/warmpool/internal/fleet"
)

// anyFailingSignal draws a probe that was not served.
func anyFailingSignal() *rapid.Generator[fleet.Signal] {
	return rapid.SampledFrom([]fleet.Signal{
		fleet.SignalConnectTimeout, fleet.SignalConnectionRefused, fleet.SignalNoAnswer, fleet.SignalAuthRejected,
		fleet.SignalOriginRejected, fleet.SignalUnexpectedService, fleet.SignalSchemeMismatch, fleet.SignalCertificateUntrusted,
		fleet.SignalPlaceholder, fleet.SignalServerError,
	})
}

// anyStatus draws what Vast.ai may say.
func anyStatus() *rapid.Generator[fleet.ActualStatus] {
	return rapid.SampledFrom([]fleet.ActualStatus{
		fleet.StatusUnreported, fleet.StatusCreated, fleet.StatusLoading, fleet.StatusRunning, fleet.StatusStopped, fleet.StatusExited,
		fleet.StatusRebooting, fleet.StatusFrozen, fleet.StatusUnknown, fleet.StatusOffline,
	})
}

// An instance that answers every other probe, works its queue off and passes
// its proofs is never given up, whatever Vast.ai reports of it: one failed probe
// never ends an instance, and a busy one that serves is left alone.
func TestHealthNeverFailsWhatServes(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		l := veteran()
		prompts := 0
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			l.wait(rapid.IntRange(1, 400).Draw(t, "wait"))
			l.in.Claimed = rapid.Bool().Draw(t, "claimed")
			switch rapid.IntRange(0, 4).Draw(t, "step") {
			case 0:
				l.in.Rental.IntendedStatus = rapid.SampledFrom([]string{"running", "stopped"}).Draw(t, "intended")
				l.in.Rental.CurrentState = rapid.SampledFrom([]string{"running", "stopped"}).Draw(t, "current")
				l.in.Rental.StatusMessage = "Error response from daemon"
				l.reading(anyStatus().Draw(t, "status"))
			case 1:
				l.probe(anyFailingSignal().Draw(t, "signal"))
				if l.last.Failure == nil {
					l.wait(1).serve(rapid.IntRange(0, 3).Draw(t, "queue"))
				}
			case 2:
				l.serve(rapid.IntRange(0, 3).Draw(t, "queue"))
			case 3:
				prompts++
				l.queue(fmt.Sprint("p", prompts), rapid.IntRange(0, 9).Draw(t, "pending"))
			default:
				if l.serve(0).Next == ActionVerify {
					l.wait(1).verify(fleet.VerifyPassed)
				}
			}
			if l.last.Failure != nil {
				t.Fatalf("given up with %s: %s", l.last.Failure.Reason, l.last.Failure.Message)
			}
		}
	})
}

// A busy instance may be silent for as long as the pool allows, however often
// it is asked; and no longer.
func TestHealthIsPatientWithABusyInstance(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		l := veteran()
		limit := rapid.IntRange(30, 600).Draw(t, "limit")
		l.in.Probes.BusySilenceSeconds = int64(limit)
		l.wait(15).serve(rapid.IntRange(1, 5).Draw(t, "queue"))
		signal := rapid.SampledFrom([]fleet.Signal{fleet.SignalNoAnswer, fleet.SignalConnectTimeout})
		start := l.wait(5).now
		l.probe(signal.Draw(t, "first"))
		for l.now < start+limit-6 {
			l.wait(rapid.IntRange(1, 5).Draw(t, "apart")).probe(signal.Draw(t, "signal"))
			if l.last.Failure != nil || l.last.Ready.Status != statusTrue {
				t.Fatalf("after %d of %d s: %+v", l.now-start, limit, l.last)
			}
		}
		l.now = start + limit
		if got := l.probe(fleet.SignalNoAnswer); got.Failure == nil || got.Failure.Reason != HealthUnresponsive {
			t.Fatalf("after %d s of silence: %+v", limit, got)
		}
	})
}

// Whatever happens, a decision is whole, giving a result twice changes nothing,
// nothing is asked for in a loop, and a restart of the controller neither ends
// an instance nor changes whether it is Ready.
func TestHealthDecisionsAreWhole(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		l := rapid.SampledFrom([]func() *life{newborn, booted, veteran}).Draw(t, "start")()
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			l.wait(rapid.IntRange(0, 300).Draw(t, "wait"))
			anyStep(t, l)
			checkWhole(t, l)
			l.in.IsReady = l.last.Ready.Status == statusTrue
			l.in.WasReady = l.in.WasReady || l.in.IsReady
			checkRestart(t, *l)
		}
	})
}

// anyStep lets anything happen and checks that it counts once.
func anyStep(t *rapid.T, l *life) {
	at := moment(l.now)
	switch rapid.IntRange(0, 5).Draw(t, "step") {
	case 0:
		l.in.Rental.EndpointKnown = rapid.Bool().Draw(t, "endpoint")
		l.in.Rental.ActualStatus, l.in.Rental.ReadAt = anyStatus().Draw(t, "status"), at
	case 1:
		l.in.Probe = &fleet.ProbeResult{Signal: anyFailingSignal().Draw(t, "signal"), At: at}
	case 2:
		l.in.Probe = &fleet.ProbeResult{Signal: fleet.SignalServing, QueueRemaining: rapid.IntRange(0, 2).Draw(t, "queue"), At: at}
	case 3:
		l.in.PortalAt, l.in.Portal = at, &fleet.Portal{
			Provisioning:   rapid.SampledFrom([]string{"", "in_progress", "complete", "failed"}).Draw(t, "provisioning"),
			ComfyUIProcess: rapid.SampledFrom([]string{"", "RUNNING", "BACKOFF", "FATAL"}).Draw(t, "process"),
			ComfyUIPID:     rapid.IntRange(0, 2).Draw(t, "pid"),
		}
	case 4:
		l.in.Queue = &fleet.QueueResult{Running: rapid.SampledFrom([]string{"", "p"}).Draw(t, "running"), Pending: rapid.IntRange(0, 1).Draw(t, "pending"), At: at}
	default:
		l.in.Verify = &fleet.VerifyResult{Fault: rapid.SampledFrom([]fleet.VerifyFault{
			fleet.VerifyPassed, fleet.FaultGPU, fleet.FaultUnreachable, fleet.FaultRenderTimeout,
		}).Draw(t, "fault"), Signal: fleet.SignalNoAnswer, At: at}
	}
	l.in.Now = at
	memory, first := ComputeHealth(l.mem, &l.in)
	_, second := ComputeHealth(memory, &l.in)
	if diff := cmp.Diff(first, second); diff != "" {
		t.Fatalf("the same results again change the decision:\n%s", diff)
	}
	l.look()
}

// checkWhole checks one decision.
func checkWhole(t *rapid.T, l *life) {
	d := l.last
	up := d.Stage == StageReady || d.Stage == StageBusy
	if (d.Failure != nil) != (d.Stage == StageFailed) || up != (d.Ready.Status == statusTrue) {
		t.Fatalf("stage %s, Ready %s, failure %v do not agree", d.Stage, d.Ready.Status, d.Failure)
	}
	for _, condition := range []HealthCondition{d.Running, d.Started, d.Ready} {
		if condition.Reason == "" || condition.Message == "" || (condition.Status != statusTrue && condition.Status != statusFalse) {
			t.Fatalf("condition %+v is not whole", condition)
		}
	}
	if (d.Next == ActionNone) != (d.NextTimeout == 0) || d.NextAfter < 0 || d.NextAfter > time.Minute || (d.Next == ActionNone && d.NextAfter == 0) {
		t.Fatalf("next is %s after %s within %s", d.Next, d.NextAfter, d.NextTimeout)
	}
	if d.Next == ActionVerify && l.in.WasReady && (l.in.Claimed || d.Busy) {
		t.Fatalf("a prompt of ours on an instance at work: %+v", d)
	}
	// Actions that yield nothing are not repeated at once.
	again := *l
	for range 3 {
		again.in.Tried = again.last.Next
		again.look()
	}
	if again.last.NextAfter == 0 && again.last.Next != ActionProbe {
		t.Fatalf("%s is asked for in a loop", again.last.Next)
	}
}

// checkRestart forgets everything and looks again.
func checkRestart(t *rapid.T, l life) {
	before := l.last
	l.mem = HealthMemory{}
	after := l.look()
	lost := !l.in.Rental.EndpointKnown || l.in.Rental.ActualStatus == fleet.StatusOffline
	if before.Failure == nil && after.Failure != nil && after.Failure.Reason != HealthImagePullFailed {
		t.Fatalf("a restart ends the instance: %+v", after.Failure)
	}
	if l.in.WasReady && !lost && after.Ready.Status != before.Ready.Status {
		t.Fatalf("a restart changes Ready from %+v to %+v", before.Ready, after.Ready)
	}
}

// A prober that follows the decisions brings a good machine to Ready, asks no
// more than it must, and keeps it there.
func TestHealthFollowsAGoodMachineToReady(t *testing.T) {
	t.Parallel()
	l := newborn()
	for l.now < 7200 {
		switch {
		case l.now >= 120:
			l.in.Rental.EndpointKnown = true
			fallthrough
		case l.now >= 100:
			l.in.Rental.RunningSince = moment(100)
			l.reading(fleet.StatusRunning)
		default:
			l.reading(fleet.StatusLoading)
		}
		d := l.last
		l.wait(max(int(d.NextAfter.Seconds()), 1))
		switch d.Next {
		case ActionProbe:
			l.probe(goodMachineAt(l.now))
		case ActionPortal:
			l.portal("in_progress", "STARTING", 0)
		case ActionVerify:
			l.verify(fleet.VerifyPassed)
		default:
		}
		if l.last.Failure != nil {
			t.Fatalf("at %d s: %+v", l.now, l.last.Failure)
		}
		if ready := l.last.Ready.Status == statusTrue; l.now > 320 && !ready {
			t.Fatalf("at %d s not ready: %+v", l.now, l.last.Ready)
		}
		l.in.WasReady = l.in.WasReady || l.last.Ready.Status == statusTrue
		l.in.IsReady = l.last.Ready.Status == statusTrue
	}
}

// goodMachineAt is what a good machine answers: refused, placeholder, serving.
func goodMachineAt(second int) fleet.Signal {
	switch {
	case second < 150:
		return fleet.SignalConnectionRefused
	case second < 300:
		return fleet.SignalPlaceholder
	default:
		return fleet.SignalServing
	}
}

func TestComputeHealthBudget(t *testing.T) {
	t.Parallel()
	pool := func(healthy, failing int) []BudgetInstance {
		var instances []BudgetInstance
		for k := range healthy + failing {
			instances = append(instances, BudgetInstance{Name: fmt.Sprintf("i%02d", k), WasReady: true, Healthy: k < healthy})
		}
		return instances
	}
	others := []BudgetInstance{{Name: "new"}, {Name: "ending", WasReady: true, Deleting: true}}
	tests := map[string]struct {
		instances []BudgetInstance
		percent   int
		want      bool
	}{
		"none":                           {nil, 40, false},
		"all well":                       {pool(5, 0), 40, false},
		"exactly the share":              {pool(3, 2), 40, false},
		"one more":                       {pool(2, 3), 40, true},
		"one of one may be replaced":     {pool(0, 1), 40, false},
		"two of two are probably not it": {pool(0, 2), 40, true},
		"all of them":                    {pool(0, 10), 99, true},
		"100 % never suspends":           {pool(0, 10), 100, false},
		"0 % replaces nothing":           {pool(9, 1), 0, true},
		"slow starts do not count":       {append(pool(1, 1), others...), 40, false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := ComputeHealthBudget(tc.instances, tc.percent)
			if got.Suspended != tc.want || got.Message == "" {
				t.Errorf("ComputeHealthBudget() = %+v, want suspended %t", got, tc.want)
			}
		})
	}
}
