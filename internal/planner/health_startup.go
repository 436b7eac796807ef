package planner

import (
	"fmt"
	"strings"
	"time"

	"github.com/warmpool-dev/warmpool/internal/fleet"
)

// starting judges an instance on its way to the first Ready.
func (h *health) starting() HealthDecision {
	decision := h.startupStage()
	for _, check := range []func() *fleet.Failure{
		h.stopFailure, h.imageFailure, h.verifyFailure, h.processFailure, h.provisioningFailure,
		h.networkFailure, h.misconfiguredFailure, h.portsFailure,
	} {
		if decision.Failure = check(); decision.Failure != nil {
			return decision
		}
	}
	decision.Failure = h.deadlineFailure(&decision)
	return decision
}

// imageFailure is about a container that cannot be made. These words of the
// host are final; waiting for the deadline would only cost time.
func (h *health) imageFailure() *fleet.Failure {
	rental := &h.in.Rental
	if rental.ActualStatus == fleet.StatusRunning || h.serving() {
		return nil
	}
	said := strings.ToLower(rental.StatusMessage)
	for _, fatal := range []string{
		"error response from daemon", "failed to pull image", "no space left on device",
		"manifest unknown", "unauthorized", "unexpected eof",
	} {
		if !strings.Contains(said, fatal) {
			continue
		}
		failure := h.failed(HealthImagePullFailed, messageWithStatus(
			"The host cannot start the image. Another machine is tried; if this repeats, check spec.template.image and its registry", rental))
		// A wrong name or a missing login fails on every machine: the image is
		// to blame, and this machine stays welcome.
		failure.HostFault = fatal != "manifest unknown" && fatal != "unauthorized"
		return failure
	}
	return nil
}

// provisioningFailure is about models and nodes that could not be fetched.
func (h *health) provisioningFailure() *fleet.Failure {
	if h.serving() || h.mem.failedLooks < confirmingLooks {
		return nil
	}
	return h.failed(HealthProvisioningFailed, "The image's provisioning failed, so models or nodes are missing. Read the log tail: a wrong URL or a missing token (HF_TOKEN, CIVITAI_TOKEN) is the usual cause.")
}

// networkFailure is about a machine on which nothing has ever answered, not
// even with a refusal.
func (h *health) networkFailure() *fleet.Failure {
	const needed = 3
	//warmpool:gate health-network-patience
	if h.mem.contacted || h.mem.sameSignal < needed || !h.lasted(h.mem.signalSince, hostNetworkBrokenAfter) {
		return nil
	}
	return h.failed(HealthHostNetworkBroken, fmt.Sprintf(
		"The machine has answered nothing at all for %s. It is avoided and another is tried.", hostNetworkBrokenAfter))
}

// misconfiguredFailure is about answers that no waiting mends. They are not
// taken at their first word: another program may hold the port during the boot.
func (h *health) misconfiguredFailure() *fleet.Failure {
	//warmpool:gate health-misconfigured-lasts
	if !isMisconfigured(h.mem.probe.Signal) || h.mem.sameSignal < h.in.Probes.FailureThreshold ||
		!h.lasted(h.mem.signalSince, seconds(h.in.Probes.UnhealthyAfterSeconds)) {
		return nil
	}
	reason, message := signalWords(h.mem.probe.Signal)
	return h.failed(reason, message)
}

// portsFailure is about a container that runs and publishes nothing.
func (h *health) portsFailure() *fleet.Failure {
	if h.reachable() || h.mem.portlessSince.IsZero() || h.mem.readAt.Sub(h.mem.portlessSince) < portsPublishedWithin {
		return nil
	}
	return h.failed(HealthPortsNotPublished, fmt.Sprintf(
		"The container runs, but its ports have not been published for %s. Another machine is tried.", portsPublishedWithin))
}

// deadlineFailure is about time. A deadline counts only once this process has
// seen for itself that the instance is not there yet: after a restart the last
// word about it may be old.
func (h *health) deadlineFailure(d *HealthDecision) *fleet.Failure {
	//warmpool:gate health-settle-after-restart
	if h.in.Now.Sub(h.mem.firstSeenAt) < settleAfterRestart {
		return nil
	}
	deadline, startup := h.deadline()
	if h.in.Now.Before(deadline) {
		return nil
	}
	if !startup {
		//warmpool:gate health-deadline-needs-a-reading
		if h.in.Rental.ReadAt.IsZero() || h.in.Rental.ReadAt.Before(deadline) {
			return nil
		}
		return h.failed(HealthImagePullTimeout, messageWithStatus(fmt.Sprintf(
			"The container did not run within %d s of the rent (spec.lifecycle.provisioningDeadlineSeconds). Another machine is tried",
			h.in.Deadlines.ProvisioningSeconds), &h.in.Rental))
	}
	//warmpool:gate health-deadline-needs-a-look
	if h.reachable() && !h.hasFailedToStart() {
		return nil
	}
	return h.failed(startupTimeoutReason(d), fmt.Sprintf(
		"It was not Ready within %d s of its start (spec.lifecycle.startupDeadlineSeconds). Last seen: %s", h.in.Deadlines.StartupSeconds, d.Ready.Message))
}

// hasFailedToStart is true when this process has looked itself: probes failed,
// or ComfyUI serves and could not prove itself.
func (h *health) hasFailedToStart() bool {
	if h.serving() {
		return !h.mem.verifyAt.IsZero()
	}
	return h.mem.failures >= confirmingLooks
}

// deadline returns the deadline in force, and whether it is that of the startup.
func (h *health) deadline() (at time.Time, startup bool) {
	provisioned := h.in.Rental.RentedAt.Add(seconds(h.in.Deadlines.ProvisioningSeconds))
	startupTime := seconds(h.in.Deadlines.StartupSeconds)
	switch {
	case !h.in.Rental.RunningSince.IsZero():
		return h.in.Rental.RunningSince.Add(startupTime), true
	case h.reachable() || h.in.Rental.ActualStatus == fleet.StatusRunning:
		return provisioned.Add(startupTime), true
	default:
		return provisioned, false
	}
}

// startupStage says how far the instance has come.
func (h *health) startupStage() HealthDecision {
	rental := &h.in.Rental
	if !h.reachable() {
		if rental.ActualStatus == fleet.StatusRunning {
			return h.undecided(StageBooting, HealthPortsPending, "The container runs; its ports are not published yet.")
		}
		return h.undecided(StagePulling, containerReason(rental.ActualStatus),
			"Waiting for the container; Vast.ai reports "+statusWord(rental.ActualStatus)+".")
	}
	if !h.mem.hasProbe {
		return h.undecided(StageBooting, HealthNotProbedYet, "The container runs; it was not probed yet.")
	}
	if h.serving() {
		if h.mem.verifyFailures > 0 {
			return h.undecided(StageVerifying, string(h.mem.verify.Fault), verifyMessage(&h.mem.verify)+" It is tried once more.")
		}
		return h.undecided(StageVerifying, HealthVerifying, "ComfyUI answers; GPU, nodes, models and a test render are being checked.")
	}
	return h.silentStage()
}

// silentStage says how far an instance has come that has an address, and whose
// ComfyUI does not answer yet.
func (h *health) silentStage() HealthDecision {
	signal := h.mem.probe.Signal
	switch signal {
	case fleet.SignalConnectTimeout, fleet.SignalConnectionRefused:
		reason, message := signalWords(signal)
		return h.undecided(StageBooting, reason, message)
	case fleet.SignalPlaceholder:
		return h.placeholderStage()
	case fleet.SignalAuthRejected:
		// The first answers may come before the password is in force.
		if h.mem.sameSignal < h.in.Probes.FailureThreshold {
			return h.undecided(StageStarting, HealthStarting, "The front answers, but does not accept our password yet.")
		}
	default:
	}
	reason, message := signalWords(signal)
	return h.undecided(StageStarting, reason, message)
}

// placeholderStage asks the portal's words why only the front answers.
func (h *health) placeholderStage() HealthDecision {
	switch {
	case h.mem.portal.Provisioning == "in_progress":
		return h.undecided(StageProvisioning, HealthProvisioning, "The image fetches its models and nodes.")
	case h.mem.failedLooks > 0:
		return h.undecided(StageProvisioning, HealthProvisioningFailed, "The image's provisioning reports a failure.")
	case h.mem.restarts > 0:
		return h.undecided(StageStarting, HealthCrashLooping, fmt.Sprintf("ComfyUI has restarted %d times before it ever answered.", h.mem.restarts))
	case h.mem.deadLooks > 0:
		return h.undecided(StageStarting, HealthProcessExited, "The ComfyUI process has ended; it may be started again.")
	default:
		return h.undecided(StageStarting, HealthStarting, "The front answers, ComfyUI does not yet.")
	}
}

// startupTimeoutReason names what the time was lost with.
func startupTimeoutReason(d *HealthDecision) string {
	switch d.Stage {
	case StageProvisioning:
		return HealthProvisioningTimeout
	case StageVerifying:
		if d.Ready.Reason != HealthVerifying {
			return d.Ready.Reason
		}
	default:
	}
	if needsPerson(fleet.Signal(d.Ready.Reason)) {
		return d.Ready.Reason
	}
	return HealthStartupTimeout
}
