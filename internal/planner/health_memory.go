package planner

import (
	"time"

	"github.com/warmpool-dev/warmpool/internal/fleet"
)

// observe takes in what is new in the input. Everything is told apart by its
// own time, so that giving a result twice changes nothing.
func (m *HealthMemory) observe(in *HealthInput) {
	if m.firstSeenAt.IsZero() {
		m.firstSeenAt = in.Now
	}
	m.observeReading(&in.Rental)
	m.observeTried(in)
	if in.Probe != nil && (!m.hasProbe || in.Probe.At.After(m.probe.At)) {
		m.observeProbe(in.Probe, in)
		m.observePortal(in.Probe.Portal, in.Probe.At)
	}
	m.observePortal(in.Portal, in.PortalAt)
	if in.Queue != nil && in.Queue.At.After(m.queueAt) {
		m.observeQueue(in.Queue)
	}
	if in.Verify != nil && in.Verify.At.After(m.verifyAt) {
		m.observeVerify(in.Verify, in)
	}
}

// observeTried remembers when an action was carried out that may yield nothing.
func (m *HealthMemory) observeTried(in *HealthInput) {
	switch in.Tried {
	case ActionPortal:
		m.portalTriedAt = in.Now
	case ActionQueue:
		m.queueTriedAt = in.Now
	case ActionVerify:
		m.verifyTriedAt = in.Now
	default:
	}
}

// observeReading counts readings in a row that say the same. One reading is a
// hint: Vast.ai's status lags and flickers.
func (m *HealthMemory) observeReading(rental *HealthRental) {
	//warmpool:gate health-reading-counts-once
	if !rental.ReadAt.After(m.readAt) {
		return
	}
	m.readAt = rental.ReadAt
	if isStopped(rental) {
		m.stoppedReadings++
		m.stoppedSince = firstTime(m.stoppedSince, rental.ReadAt)
	} else {
		m.stoppedReadings, m.stoppedSince = 0, time.Time{}
	}
	m.offlineSince = since(rental.ActualStatus == fleet.StatusOffline, m.offlineSince, rental.ReadAt)
	m.portlessSince = since(rental.ActualStatus == fleet.StatusRunning && !rental.EndpointKnown, m.portlessSince, rental.ReadAt)
}

// observeProbe takes in one liveness probe.
func (m *HealthMemory) observeProbe(probe *fleet.ProbeResult, in *HealthInput) {
	if m.hasProbe && m.probe.Signal == probe.Signal {
		m.sameSignal++
	} else {
		m.sameSignal, m.signalSince = 1, probe.At
	}
	m.probe, m.hasProbe = *probe, true
	if probe.Signal != fleet.SignalConnectTimeout {
		m.contacted = true
	}
	if probe.Signal == fleet.SignalServing {
		m.observeServing(probe, in.WasReady)
		return
	}
	m.failures++
	m.failingSince = firstTime(m.failingSince, probe.At)
	wasUp := in.WasReady || !m.firstServedAt.IsZero()
	// Nothing behind the front, or nobody on the port: the process went away
	// and comes back with a cold GPU and an empty queue. A long silence may
	// hide the same, unless it had work, which explains it.
	patient := isSilent(probe.Signal) && !m.knownIdle && probe.At.Sub(m.failingSince) < seconds(in.Probes.BusySilenceSeconds)
	if wasUp && (isDown(probe.Signal) || (m.failures >= in.Probes.FailureThreshold && !patient)) {
		m.suspect = true
	}
}

// observeServing takes in a probe that was answered properly.
func (m *HealthMemory) observeServing(probe *fleet.ProbeResult, wasReady bool) {
	m.failures, m.failingSince = 0, time.Time{}
	m.servedAt = probe.At
	m.firstServedAt = firstTime(m.firstServedAt, probe.At)
	m.stoppedReadings, m.stoppedSince = 0, time.Time{}
	m.deadLooks, m.failedLooks = 0, 0
	m.knownIdle = probe.QueueRemaining == 0
	if m.knownIdle {
		m.head, m.headSince = "", time.Time{}
		m.stuckLooks, m.stuckSince = 0, time.Time{}
		return
	}
	// A render that timed out behind somebody's work proves nothing. If it is
	// our own prompt that hangs, the looks at the queue will tell.
	if wasReady && (m.verify.Fault == fleet.FaultRenderTimeout || m.verify.Fault == fleet.FaultWorkerDead) {
		m.verifyFailures = 0
	}
}

// observePortal takes in what the instance portal says about the boot.
func (m *HealthMemory) observePortal(portal *fleet.Portal, at time.Time) {
	if portal == nil || !at.After(m.portalAt) {
		return
	}
	const stateBackoff, stateFatal, stateExited, provisioningFailed = "BACKOFF", "FATAL", "EXITED", "failed"
	restarted := m.portal.ComfyUIPID != 0 && portal.ComfyUIPID != 0 && portal.ComfyUIPID != m.portal.ComfyUIPID
	if restarted || portal.ComfyUIProcess == stateBackoff {
		m.restarts++
	}
	if restarted {
		m.suspect = true
	}
	m.deadLooks = countIf(portal.ComfyUIProcess == stateFatal || portal.ComfyUIProcess == stateExited, m.deadLooks)
	m.failedLooks = countIf(portal.Provisioning == provisioningFailed, m.failedLooks)
	if portal.ComfyUIPID == 0 {
		// A look between two processes must not hide that the number changed.
		kept := *portal
		kept.ComfyUIPID = m.portal.ComfyUIPID
		portal = &kept
	}
	m.portal, m.portalAt = *portal, at
}

// observeQueue takes in one look at the queue.
func (m *HealthMemory) observeQueue(queue *fleet.QueueResult) {
	m.queueAt = queue.At
	m.knownIdle = queue.Running == "" && queue.Pending == 0
	if queue.Running != m.head {
		m.head, m.headSince = queue.Running, queue.At
	}
	if queue.Pending > 0 && queue.Running == "" {
		m.stuckLooks++
		m.stuckSince = firstTime(m.stuckSince, queue.At)
		return
	}
	m.stuckLooks, m.stuckSince = 0, time.Time{}
}

// observeVerify takes in one verification. One that could not be carried out is
// a failed probe, not a failed proof.
func (m *HealthMemory) observeVerify(verify *fleet.VerifyResult, in *HealthInput) {
	m.verifyAt = verify.At
	switch verify.Fault {
	case fleet.VerifyPassed:
		m.verify, m.verifyFailures = *verify, 0
		m.provenAt, m.suspect, m.restarts = verify.At, false, 0
		m.observeProbe(&fleet.ProbeResult{Signal: fleet.SignalServing, At: verify.At}, in)
	case fleet.FaultUnreachable:
		if verify.Signal != "" && verify.Signal != fleet.SignalServing {
			m.observeProbe(&fleet.ProbeResult{Signal: verify.Signal, Message: verify.Message, At: verify.At}, in)
		}
	default:
		m.verify = *verify
		m.verifyFailures++
	}
}

// isStopped is true when the provider says that the container ended and is not
// about to come back: stopped by somebody, outbid, expired, out of credit, or
// exited by itself.
func isStopped(rental *HealthRental) bool {
	const stopped = "stopped"
	switch rental.ActualStatus {
	case fleet.StatusStopped, fleet.StatusExited:
		return true
	default:
		return rental.IntendedStatus == stopped && rental.CurrentState == stopped
	}
}

// isDown is true for signals that say that no ComfyUI process listens.
func isDown(signal fleet.Signal) bool {
	return signal == fleet.SignalConnectionRefused || signal == fleet.SignalPlaceholder
}

// isSilent is true for signals that a ComfyUI which is hard at work may show.
func isSilent(signal fleet.Signal) bool {
	return signal == fleet.SignalNoAnswer || signal == fleet.SignalConnectTimeout
}

// isMisconfigured is true for signals that no waiting mends.
func isMisconfigured(signal fleet.Signal) bool {
	switch signal {
	case fleet.SignalOriginRejected, fleet.SignalUnexpectedService, fleet.SignalSchemeMismatch, fleet.SignalCertificateUntrusted:
		return true
	default:
		return false
	}
}

// needsPerson is true for signals that only a person can mend.
func needsPerson(signal fleet.Signal) bool {
	return signal == fleet.SignalAuthRejected || isMisconfigured(signal)
}

// firstTime keeps the first of two times.
func firstTime(known, now time.Time) time.Time {
	if known.IsZero() {
		return now
	}
	return known
}

// later returns the later of two times.
func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// since keeps the start of something that lasts, and forgets it when it ends.
func since(lasts bool, known, now time.Time) time.Time {
	if !lasts {
		return time.Time{}
	}
	return firstTime(known, now)
}

// countIf counts on, or starts over.
func countIf(more bool, count int) int {
	if more {
		return count + 1
	}
	return 0
}
