package planner

import (
	"strings"

	"github.com/warmpool-dev/warmpool/internal/fleet"
)

// The reasons of an instance's conditions and failures, beside those of
// fleet.Signal and fleet.VerifyFault.
const (
	// HealthNotRented: nothing is rented for it yet.
	HealthNotRented = "NotRented"
	// HealthRunning, HealthStarted and HealthReady: all is well.
	HealthRunning = "Running"
	HealthStarted = "Started"
	HealthReady   = "Ready"
	// HealthImagePulling: Vast.ai reports no running container yet.
	HealthImagePulling = "ImagePulling"
	// HealthImagePullTimeout: the container did not run in time. The machine is to blame.
	HealthImagePullTimeout = "ImagePullTimeout"
	// HealthImagePullFailed: the host said that it cannot start the image.
	HealthImagePullFailed = "ImagePullFailed"
	// HealthPortsPending: it runs, and its ports are not published.
	HealthPortsPending = "PortsPending"
	// HealthPortsNotPublished: that lasted too long. The machine is to blame.
	HealthPortsNotPublished = "PortsNotPublished"
	// HealthNotProbedYet: nobody has looked yet.
	HealthNotProbedYet = "NotProbedYet"
	// HealthHostNetworkBroken: nothing ever answered. The machine is to blame.
	HealthHostNetworkBroken = "HostNetworkBroken"
	// HealthProxyNotListening: the connection is refused; the front is not up.
	HealthProxyNotListening = "ProxyNotListening"
	// HealthProvisioning, HealthProvisioningFailed and HealthProvisioningTimeout:
	// models and nodes are being fetched, could not be, or not in time.
	HealthProvisioning        = "Provisioning"
	HealthProvisioningFailed  = "ProvisioningFailed"
	HealthProvisioningTimeout = "ProvisioningTimeout"
	// HealthStarting: the front answers, ComfyUI does not.
	HealthStarting = "Starting"
	// HealthCrashLooping: ComfyUI restarts again and again.
	HealthCrashLooping = "CrashLooping"
	// HealthProcessExited: ComfyUI ended and stays ended.
	HealthProcessExited = "ProcessExited"
	// HealthStartupTimeout: not Ready in time, for no clearer reason.
	HealthStartupTimeout = "StartupTimeout"
	// HealthVerifying: ComfyUI answers and has to prove itself.
	HealthVerifying = "Verifying"
	// HealthRecycling: it is being cleaned after a claim.
	HealthRecycling = "Recycling"
	// HealthBusyUnresponsive: silent under load, within its limit.
	HealthBusyUnresponsive = "BusyUnresponsive"
	// HealthUnresponsive: silent for too long.
	HealthUnresponsive = "Unresponsive"
	// HealthPromptHung: one prompt runs for too long.
	HealthPromptHung = "PromptHung"
	// HealthInstanceStopped: stopped by somebody else, outbid, expired or out of credit.
	HealthInstanceStopped = "InstanceStopped"
	// HealthContainerExited: the container ended by itself while the rental goes on.
	HealthContainerExited = "ContainerExited"
	// HealthHostOffline: the host lost its connection.
	HealthHostOffline = "HostOffline"
	// HealthHeartbeatLost: Vast.ai has lost sight of the host.
	HealthHeartbeatLost = "HeartbeatLost"
	// HealthContainerRestarting: the container is being restarted.
	HealthContainerRestarting = "ContainerRestarting"
	// HealthContainerFrozen: the container is paused, and bills.
	HealthContainerFrozen = "ContainerFrozen"
)

// isHostFault is true for reasons that blame the machine, so that it is avoided
// for a while. The others blame the template or nobody; but any reason that
// strikes two machines is a fault of the template (ComputeBackoff).
func isHostFault(reason string) bool {
	switch reason {
	case HealthImagePullTimeout, HealthImagePullFailed, HealthPortsNotPublished, HealthHostNetworkBroken,
		HealthProvisioningTimeout, HealthStartupTimeout:
		return true
	case string(fleet.FaultGPU), string(fleet.FaultGPUCorrupt), string(fleet.FaultGPUMismatch),
		string(fleet.FaultVRAMOccupied), string(fleet.FaultNoGPU), string(fleet.FaultRenderTimeout):
		return true
	default:
		return false
	}
}

// signalWords returns the reason and the sentence of a signal that is not Serving.
func signalWords(signal fleet.Signal) (reason, message string) {
	switch signal {
	case fleet.SignalConnectTimeout:
		return string(signal), "The address does not answer."
	case fleet.SignalConnectionRefused:
		return HealthProxyNotListening, "The connection is refused: nothing listens on the port yet."
	case fleet.SignalNoAnswer:
		return string(signal), "It accepts connections and does not answer."
	case fleet.SignalAuthRejected:
		return string(signal), "The front rejects the password. Check that nobody changed the Secret in status.credentialsSecretRef; delete the WarmInstance to get one with a fresh password."
	case fleet.SignalOriginRejected:
		return string(signal), "ComfyUI refuses the request's origin (HTTP 403). Check COMFYUI_ARGS in spec.template.env."
	case fleet.SignalUnexpectedService:
		return string(signal), "Something else than ComfyUI answers on its port. Check spec.template.image and spec.template.comfy.port."
	case fleet.SignalSchemeMismatch:
		return string(signal), "It speaks HTTP where HTTPS is expected, or the reverse. Make spec.template.tls.mode agree with ENABLE_HTTPS in spec.template.env."
	case fleet.SignalCertificateUntrusted:
		return string(signal), "Its certificate is not the one that is trusted. Nothing is sent to it. If nobody replaced the certificate, somebody may be in between; otherwise check spec.template.tls."
	case fleet.SignalPlaceholder:
		return HealthStarting, "The front answers, ComfyUI does not."
	case fleet.SignalServerError:
		return string(signal), "ComfyUI answers with an internal error (HTTP 500)."
	default:
		return string(signal), "It does not answer as ComfyUI does."
	}
}

// verifyMessage says what a verification found, and the remedy.
func verifyMessage(verify *fleet.VerifyResult) string {
	return strings.TrimSpace(sentencePart(verify.Message) + ". " + verifyRemedy(verify.Fault))
}

// verifyRemedy says what to do about a fault.
func verifyRemedy(fault fleet.VerifyFault) string {
	switch fault {
	case fleet.FaultNoGPU, fleet.FaultGPU, fleet.FaultGPUCorrupt, fleet.FaultGPUMismatch, fleet.FaultVRAMOccupied:
		return "The machine is at fault; it is avoided and another is tried."
	case fleet.FaultCPUDevice:
		return "Check COMFYUI_ARGS in spec.template.env, and that spec.template.image is made for CUDA."
	case fleet.FaultArchUnsupported:
		return "The image does not support this GPU: set spec.offers.minComputeCapability or gpuNames, or take a newer image."
	case fleet.FaultNodeMissing:
		return "Then mend spec.template, or take them out of spec.template.comfy.requiredNodes."
	case fleet.FaultModelMissing, fleet.FaultModelTruncated:
		return "Mend what downloads them, or take them out of spec.template.comfy.requiredModels."
	case fleet.FaultOutOfMemory:
		return "The GPU is too small: raise spec.offers.minGPUMemoryMB."
	case fleet.FaultWorkerDead:
		return "The instance is replaced."
	case fleet.FaultRenderTimeout:
		return "The machine is too slow or hangs; another is tried."
	case fleet.FaultRenderFailed:
		// Its message names the log already.
		return ""
	default:
		return "Read the log tail for the cause."
	}
}

// containerReason is the reason of a container that does not run.
func containerReason(status fleet.ActualStatus) string {
	switch status {
	case fleet.StatusOffline:
		return HealthHostOffline
	case fleet.StatusUnknown:
		return HealthHeartbeatLost
	case fleet.StatusStopped:
		return HealthInstanceStopped
	case fleet.StatusExited:
		return HealthContainerExited
	case fleet.StatusRebooting, fleet.StatusRestarting, fleet.StatusRecycling:
		return HealthContainerRestarting
	case fleet.StatusFrozen:
		return HealthContainerFrozen
	default:
		return HealthImagePulling
	}
}

// statusWord prints a status for people.
func statusWord(status fleet.ActualStatus) string {
	if status == fleet.StatusUnreported {
		return "nothing yet"
	}
	return strings.ToLower(string(status))
}
