package planner

import (
	"fmt"
	"time"

	"github.com/warmpool-dev/warmpool/internal/fleet"
)

// live judges an instance that has been Ready.
func (h *health) live() HealthDecision {
	decision := h.liveStage()
	for _, check := range []func() *fleet.Failure{
		h.stopFailure, h.verifyFailure, h.processFailure, h.queueFailure, h.addressFailure, h.livenessFailure,
	} {
		if decision.Failure = check(); decision.Failure != nil {
			return decision
		}
	}
	return decision
}

// queueFailure is about a ComfyUI that answers and does no work.
func (h *health) queueFailure() *fleet.Failure {
	longest := seconds(h.in.Probes.MaxPromptSeconds)
	switch {
	//warmpool:gate health-worker-dead-two-looks
	case h.mem.stuckLooks >= confirmingLooks && h.mem.queueAt.Sub(h.mem.stuckSince) >= stuckLooksApart:
		return h.failed(string(fleet.FaultWorkerDead), "Prompts wait and none runs: ComfyUI's worker is dead although it still answers. It is replaced.")
	case h.mem.head != "" && h.mem.queueAt.Sub(h.mem.headSince) > longest:
		return h.failed(HealthPromptHung, fmt.Sprintf(
			"One prompt has been running for more than %s (spec.probes.maxPromptSeconds). The instance is replaced; raise the limit if such prompts are meant.", longest))
	default:
		return nil
	}
}

// addressFailure is about an instance whose address was lost.
func (h *health) addressFailure() *fleet.Failure {
	if h.reachable() || h.mem.portlessSince.IsZero() || h.mem.readAt.Sub(h.mem.portlessSince) < seconds(h.in.Probes.UnhealthyAfterSeconds) {
		return nil
	}
	return h.failed(HealthPortsNotPublished, "The container runs, but its ports are not published any more. It is replaced.")
}

// livenessFailure is about probes that fail and fail.
func (h *health) livenessFailure() *fleet.Failure {
	//warmpool:gate health-liveness-threshold
	if !h.reachable() || h.mem.failures < h.in.Probes.FailureThreshold {
		return nil
	}
	signal := h.mem.probe.Signal
	switch {
	case signal == fleet.SignalAuthRejected:
		// Very likely our own mistake, which ending instances does not mend;
		// but one that nobody can use must not bill for ever.
		return h.failsAfter(seconds(h.in.Deadlines.StartupSeconds))
	case isMisconfigured(signal):
		return h.failsAfter(seconds(h.in.Probes.UnhealthyAfterSeconds))
	//warmpool:gate health-busy-is-not-idle
	case isSilent(signal) && h.mem.knownIdle:
		return h.failsAfter(0)
	case isSilent(signal):
		return h.failsBusy()
	default:
		// The process is down or confused and its supervisor restarts it;
		// that takes longer than six probes.
		return h.failsAfter(seconds(h.in.Probes.BusySilenceSeconds))
	}
}

// failsAfter gives up after twice the threshold of failed probes that also
// lasted long enough.
func (h *health) failsAfter(atLeast time.Duration) *fleet.Failure {
	//warmpool:gate health-one-failed-probe
	if h.mem.failures < 2*h.in.Probes.FailureThreshold || !h.lasted(h.mem.failingSince, atLeast) {
		return nil
	}
	return h.unresponsive()
}

// failsBusy gives up after silence that lasted, however many probes it took:
// a busy instance is probed less often.
func (h *health) failsBusy() *fleet.Failure {
	//warmpool:gate health-busy-silence
	if !h.lasted(h.mem.failingSince, seconds(h.in.Probes.BusySilenceSeconds)) {
		return nil
	}
	return h.unresponsive()
}

// unresponsive gives up with the reason of the newest probe.
func (h *health) unresponsive() *fleet.Failure {
	lasted := h.mem.probe.At.Sub(h.mem.failingSince).Round(time.Second)
	reason, message := signalWords(h.mem.probe.Signal)
	if !needsPerson(h.mem.probe.Signal) {
		reason = HealthUnresponsive
	}
	return h.failed(reason, fmt.Sprintf("%d probes in a row failed over %s. %s It is replaced.", h.mem.failures, lasted, message))
}

// liveStage says what an instance that was Ready is worth now.
func (h *health) liveStage() HealthDecision {
	switch {
	case !h.reachable():
		return h.undecided(StageUnready, HealthPortsPending, "Its address is not known any more.")
	case h.offline():
		return h.undecided(StageUnready, HealthHostOffline, "Vast.ai reports the host offline. It may come back; until then nothing is sent to it.")
	case !h.mem.hasProbe:
		return h.asBefore(HealthNotProbedYet, "It was not probed since the controller started.")
	case h.serving():
		return h.servingStage()
	case h.isPatient():
		return h.busySilentStage()
	case h.mem.failures < h.in.Probes.FailureThreshold:
		return h.asBefore(signalWords(h.mem.probe.Signal))
	default:
		return h.undecided(StageUnready, unreadyReason(h.mem.probe.Signal), fmt.Sprintf(
			"%d probes in a row failed. %s", h.mem.failures, second(signalWords(h.mem.probe.Signal))))
	}
}

// asBefore keeps what was said last: too little is known to change it.
func (h *health) asBefore(reason, message string) HealthDecision {
	if !h.wasReadyLast() {
		return h.undecided(StageUnready, reason, message)
	}
	return h.ready()
}

// isPatient is true while the silence of an instance that may be at work is
// within its limit.
func (h *health) isPatient() bool {
	return isSilent(h.mem.probe.Signal) && !h.mem.knownIdle && (h.mem.failures < h.in.Probes.FailureThreshold ||
		!h.lasted(h.mem.failingSince, seconds(h.in.Probes.BusySilenceSeconds)))
}

// busySilentStage is patient with an instance that had work, or may have had.
func (h *health) busySilentStage() HealthDecision {
	decision := h.asBefore(HealthBusyUnresponsive, "It does not answer; it may be busy.")
	if h.wasReadyLast() {
		decision.Stage = StageBusy
		decision.Ready.Reason = HealthBusyUnresponsive
		decision.Ready.Message = fmt.Sprintf("It does not answer and may be at work; it may stay silent for %d s (spec.probes.busySilenceSeconds).", h.in.Probes.BusySilenceSeconds)
	}
	return decision
}

// servingStage judges an instance that answers.
func (h *health) servingStage() HealthDecision {
	switch {
	case h.in.Claimed:
		// Nothing can be proved while somebody works on it; it does answer.
		return h.ready()
	case h.mem.verifyFailures > 0:
		return h.undecided(StageVerifying, string(h.mem.verify.Fault), verifyMessage(&h.mem.verify)+" It is tried once more.")
	case h.in.Recycling && (h.in.EmptiedAt.IsZero() || h.needsRecycleProof()):
		return h.undecided(StageVerifying, HealthRecycling, "Its claim has ended: it is emptied, and has to render a test prompt before another claim gets it.")
	case h.needsProof() && h.mem.knownIdle:
		return h.undecided(StageVerifying, HealthVerifying, "It did not answer for a while or may have restarted; it has to render a test prompt again.")
	case h.needsProof():
		return h.asBefore(HealthVerifying, "It may have restarted and has to render a test prompt again; that waits until its queue is empty.")
	default:
		return h.ready()
	}
}

// ready is the decision for an instance that works.
func (h *health) ready() HealthDecision {
	decision := HealthDecision{Stage: StageReady, Ready: HealthCondition{
		Status: statusTrue, Reason: HealthReady, Message: "It rendered a test prompt and answers.",
	}}
	if h.mem.hasProbe && !h.mem.knownIdle {
		decision.Stage = StageBusy
	}
	return decision
}

// unreadyReason is the reason of an instance whose probes fail.
func unreadyReason(signal fleet.Signal) string {
	if isSilent(signal) {
		return HealthUnresponsive
	}
	reason, _ := signalWords(signal)
	return reason
}

// second returns the second of two texts.
func second(_, text string) string { return text }
