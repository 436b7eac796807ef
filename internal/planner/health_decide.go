package planner

import (
	"strings"
	"time"

	"github.com/warmpool-dev/warmpool/internal/fleet"
)

const (
	// startupPeriod is the time between two probes on the way to the first Ready.
	startupPeriod = 5 * time.Second
	// portalPeriod and queuePeriod are the least times between two such looks.
	portalPeriod = 10 * time.Second
	queuePeriod  = 30 * time.Second
	// verifyRetry is the pause before a verification that failed is repeated.
	verifyRetry = 10 * time.Second
	// hostNetworkBrokenAfter is how long a fresh machine may answer nothing at
	// all. Machines whose network works answer or refuse within a minute.
	hostNetworkBrokenAfter = 90 * time.Second
	// portsPublishedWithin is how long after the container runs its ports may
	// stay unpublished; they usually appear within seconds.
	portsPublishedWithin = 3 * time.Minute
	// settleAfterRestart is how long this process watches an instance before it
	// believes that a deadline has passed: what it knows is from before its time.
	settleAfterRestart = time.Minute
	// stuckLooksApart is how far apart two looks must be that see work wait and
	// nothing run. A single look may fall between two prompts.
	stuckLooksApart = 5 * time.Second
	// confirmingLooks is how many looks in a row confirm what one only hints at.
	confirmingLooks = 2
	// stoppedReadingsNeeded is how many sweeps in a row must show a stop.
	stoppedReadingsNeeded = 3
	// crashLoopRestarts is how many restarts without a proof make a crash loop.
	crashLoopRestarts = 3
	// verifyAttempts is how many verifications may fail in a row.
	verifyAttempts = 2
)

// The time that one call may take.
const (
	idleTimeout    = 5 * time.Second
	patientTimeout = 20 * time.Second
	lookTimeout    = 10 * time.Second
	verifyTimeout  = 2 * time.Minute
)

// health is the work sheet of one ComputeHealth.
type health struct {
	in  *HealthInput
	mem *HealthMemory
}

// decide says what the instance is worth now.
func (h *health) decide() HealthDecision {
	var decision HealthDecision
	switch {
	case h.in.Rental.ID == 0:
		decision = h.undecided(StagePulling, HealthNotRented, "Nothing is rented for it yet.")
	case h.wasReady():
		decision = h.live()
	default:
		decision = h.starting()
	}
	if decision.Failure != nil {
		decision.Stage = StageFailed
		decision.Ready = HealthCondition{Status: statusFalse, Reason: decision.Failure.Reason, Message: decision.Failure.Message}
	}
	decision.Busy = h.wasReady() && h.mem.hasProbe && !h.mem.knownIdle
	decision.Running = h.runningCondition()
	decision.Started = h.startedCondition(&decision.Ready)
	decision.Reason, decision.Message = decision.Ready.Reason, decision.Ready.Message
	h.schedule(&decision)
	h.mem.decided, h.mem.ready = true, decision.Ready.Status == statusTrue
	return decision
}

// undecided is a decision that is not Ready, for a reason.
func (h *health) undecided(stage HealthStage, reason, message string) HealthDecision {
	return HealthDecision{Stage: stage, Ready: HealthCondition{Status: statusFalse, Reason: reason, Message: message}}
}

// wasReady is true once the instance has proved itself, in whichever process.
func (h *health) wasReady() bool { return h.in.WasReady || !h.mem.provenAt.IsZero() }

// wasReadyLast is what was last said about it, before a restart or after.
func (h *health) wasReadyLast() bool {
	if h.mem.decided {
		return h.mem.ready
	}
	return h.in.IsReady
}

// serving is true while the newest probe was answered properly.
func (h *health) serving() bool { return h.mem.hasProbe && h.mem.failures == 0 }

// lasted is true when something has lasted long enough by the newest probe, not
// by the clock: time in which nobody looked is no evidence.
func (h *health) lasted(since time.Time, atLeast time.Duration) bool {
	return !since.IsZero() && h.mem.probe.At.Sub(since) >= atLeast
}

// failed gives the instance up for a reason.
func (h *health) failed(reason, message string) *fleet.Failure {
	return &fleet.Failure{
		Reason: reason, Message: message, HostFault: isHostFault(reason),
		MachineID: h.in.Rental.MachineID, At: h.in.Now,
	}
}

// stopFailure is about a container that ended, or an offline host. A reading of
// Vast.ai alone proves nothing: as long as probes can be made they must fail too.
func (h *health) stopFailure() *fleet.Failure {
	//warmpool:gate health-provider-word-is-not-enough
	if h.reachable() && h.mem.failures < h.in.Probes.FailureThreshold {
		return nil
	}
	//warmpool:gate health-stop-read-three-times
	if h.mem.stoppedReadings >= stoppedReadingsNeeded {
		if h.in.Rental.IntendedStatus == "running" {
			return h.failed(HealthContainerExited, messageWithStatus(
				"Its container ended by itself, and the rental still bills. It is replaced; if this repeats, look at the image and the onStart text", &h.in.Rental))
		}
		return h.failed(HealthInstanceStopped, messageWithStatus(
			"Vast.ai reports it stopped: somebody stopped it, the credit ran out or the contract ended. It is replaced", &h.in.Rental))
	}
	if h.offline() && h.mem.readAt.Sub(h.mem.offlineSince) >= seconds(h.in.Probes.UnhealthyAfterSeconds) {
		return h.failed(HealthHostOffline, "The host has been offline for too long. It is replaced; its price stays reserved until the rental is confirmed gone.")
	}
	return nil
}

// offline is true while readings show the host offline and nothing has
// answered since they do.
func (h *health) offline() bool {
	return !h.mem.offlineSince.IsZero() && h.mem.servedAt.Before(h.mem.offlineSince)
}

// reachable is true when there is an address to probe.
func (h *health) reachable() bool { return h.in.Rental.EndpointKnown }

// processFailure is about a ComfyUI process that does not stay up, as the portal sees it.
func (h *health) processFailure() *fleet.Failure {
	switch {
	case h.serving():
		return nil
	case h.mem.restarts >= crashLoopRestarts:
		return h.failed(HealthCrashLooping, "ComfyUI keeps crashing and restarting. Read the log tail; a custom node or its requirements are the usual cause.")
	case h.mem.deadLooks >= confirmingLooks:
		return h.failed(HealthProcessExited, "ComfyUI has exited and is not started again. Read the log tail for the cause.")
	default:
		return nil
	}
}

// verifyFailure is about a proof that failed twice.
func (h *health) verifyFailure() *fleet.Failure {
	//warmpool:gate health-one-failed-proof
	if h.mem.verifyFailures < verifyAttempts {
		return nil
	}
	return h.failed(string(h.mem.verify.Fault), verifyMessage(&h.mem.verify))
}

// runningCondition says whether the container runs. ComfyUI's own answer weighs
// more than the provider's word.
func (h *health) runningCondition() HealthCondition {
	rental := &h.in.Rental
	switch {
	case rental.ID == 0:
		return HealthCondition{Status: statusFalse, Reason: HealthNotRented, Message: "Nothing is rented for it yet."}
	case rental.ActualStatus == fleet.StatusRunning:
		return HealthCondition{Status: statusTrue, Reason: HealthRunning, Message: "Vast.ai reports a running container."}
	case h.serving():
		return HealthCondition{Status: statusTrue, Reason: HealthRunning, Message: "ComfyUI answers, whatever Vast.ai reports."}
	default:
		return HealthCondition{Status: statusFalse, Reason: containerReason(rental.ActualStatus), Message: "Vast.ai reports " + statusWord(rental.ActualStatus) + "."}
	}
}

// startedCondition says whether ComfyUI has ever answered.
func (h *health) startedCondition(ready *HealthCondition) HealthCondition {
	if h.in.IsStarted || h.wasReady() || !h.mem.firstServedAt.IsZero() {
		return HealthCondition{Status: statusTrue, Reason: HealthStarted, Message: "ComfyUI has answered."}
	}
	return HealthCondition{Status: statusFalse, Reason: ready.Reason, Message: ready.Message}
}

// schedule says what to look at next. The decision's stage is known.
func (h *health) schedule(d *HealthDecision) {
	d.Next, d.NextAfter = h.nextAction(d)
	switch d.Next {
	case ActionPortal, ActionQueue:
		d.NextTimeout = lookTimeout
	case ActionVerify:
		d.NextTimeout = verifyTimeout
	case ActionProbe:
		// A busy ComfyUI holds its answer back, and so does a front that has to
		// check a wrong password.
		d.NextTimeout = patientTimeout
		if h.serving() && h.mem.knownIdle {
			d.NextTimeout = idleTimeout
		}
	default:
	}
}

// nextAction picks the next look.
func (h *health) nextAction(d *HealthDecision) (HealthAction, time.Duration) {
	switch {
	case h.in.Rental.ID == 0, !h.reachable():
		return ActionNone, h.period()
	case !h.mem.hasProbe, h.mem.probe.At.Before(h.mem.offlineSince):
		// Nothing is known yet, or a reading needs an answer of our own.
		return ActionProbe, h.untilNext(h.mem.probe.At, startupPeriod)
	case h.serving():
		return h.nextWhileServing(d)
	case isDown(h.mem.probe.Signal) && h.due(later(h.mem.portalTriedAt, h.mem.portalAt), portalPeriod):
		return ActionPortal, 0
	default:
		return ActionProbe, h.untilProbe()
	}
}

// nextWhileServing picks the next look at an instance that answers.
func (h *health) nextWhileServing(d *HealthDecision) (HealthAction, time.Duration) {
	probe := h.untilProbe()
	switch {
	case h.mayVerify() && h.wantsVerify():
		if pause := h.untilVerify(d); pause > 0 {
			// A probe goes before each verification, so that it does not meet
			// work that came in between.
			return ActionProbe, max(probe, min(pause, h.period()))
		}
		return ActionVerify, 0
	case !h.mem.knownIdle && h.wasReady():
		if pause := h.untilNext(later(h.mem.queueTriedAt, h.mem.queueAt), h.queuePause()); pause < probe {
			return ActionQueue, pause
		}
		return ActionProbe, probe
	default:
		return ActionProbe, probe
	}
}

// untilProbe is how long it is until the next probe is due, however often the
// instance is looked at in between.
func (h *health) untilProbe() time.Duration { return h.untilNext(h.mem.probe.At, h.period()) }

// period is the time between two probes: short on the way up, long under load.
func (h *health) period() time.Duration {
	period := seconds(h.in.Probes.PeriodSeconds)
	switch {
	case !h.wasReady():
		return min(startupPeriod, period)
	case h.serving() && !h.mem.knownIdle:
		return min(2*period, queuePeriod)
	default:
		return period
	}
}

// queuePause is the time between two looks at the queue; a first sight of
// waiting work that does not run is confirmed soon.
func (h *health) queuePause() time.Duration {
	if h.mem.stuckLooks > 0 {
		return stuckLooksApart
	}
	return queuePeriod
}

// mayVerify is true when a prompt of ours disturbs nobody and is disturbed by
// nobody: it would wait behind other work and fail for it.
func (h *health) mayVerify() bool {
	//warmpool:gate health-no-prompt-beside-a-claim
	//warmpool:gate health-no-prompt-beside-work
	return !h.wasReady() || (h.mem.knownIdle && !h.in.Claimed)
}

// wantsVerify is true when a proof is missing or has aged.
func (h *health) wantsVerify() bool {
	if !h.wasReady() || h.needsProof() || h.mem.verifyFailures > 0 {
		return true
	}
	return h.due(h.lastProof(), seconds(h.in.Probes.ReproveSeconds))
}

// needsProof is true when ComfyUI may not be the process that proved itself.
func (h *health) needsProof() bool {
	return h.mem.suspect || (h.mem.provenAt.IsZero() && !h.in.IsReady) || h.needsRecycleProof()
}

// needsRecycleProof is true when it was emptied after a claim and has not
// rendered since.
func (h *health) needsRecycleProof() bool {
	//warmpool:gate health-recycled-instance-renders
	return h.in.Recycling && !h.in.EmptiedAt.IsZero() && later(h.mem.provenAt, h.in.LastProofAt).Before(h.in.EmptiedAt)
}

// lastProof is when it last rendered; the first look of this process when that
// is not known, so that a restart does not make every instance render at once.
func (h *health) lastProof() time.Time {
	return firstTime(later(h.mem.provenAt, h.in.LastProofAt), h.mem.firstSeenAt)
}

// untilVerify is the pause before the next verification: none for the first, nor
// for the first after a claim; a short one after a failure, a long one while a
// failed instance is spared.
func (h *health) untilVerify(d *HealthDecision) time.Duration {
	last := later(h.mem.verifyTriedAt, h.mem.verifyAt)
	if last.IsZero() || (h.needsRecycleProof() && last.Before(h.in.EmptiedAt)) {
		return 0
	}
	pause := verifyRetry
	if d.Failure != nil {
		pause = settleAfterRestart
	}
	return h.untilNext(last, pause)
}

// untilNext is how long it is until a pause since the given time is over.
func (h *health) untilNext(last time.Time, pause time.Duration) time.Duration {
	return min(max(last.Add(pause).Sub(h.in.Now), 0), pause)
}

// due is true when a pause since the given time is over, or it never was.
func (h *health) due(last time.Time, pause time.Duration) bool {
	return last.IsZero() || h.in.Now.Sub(last) >= pause
}

// messageWithStatus adds the provider's last word to a message.
func messageWithStatus(message string, rental *HealthRental) string {
	const longest = 200
	word := strings.Join(strings.Fields(rental.StatusMessage), " ")
	if word == "" {
		return message + "."
	}
	if len(word) > longest {
		word = strings.ToValidUTF8(word[:longest], "") + "…"
	}
	return message + " (Vast.ai says: " + word + ")."
}
