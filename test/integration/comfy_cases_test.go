package integration

import (
	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/simulator/comfysim"
)

// Nodes that keep the worker busy.
const (
	comfyShortWork = "ShortWork"
	comfyLongWork  = "LongWork"
)

// comfyRequires makes a model, of full size, and a node a requirement.
func comfyRequires(spec *warmpool.WarmPoolSpec) {
	spec.Template.Comfy.RequiredNodes = []string{"KSampler", comfyShortWork}
	spec.Template.Comfy.RequiredModels = []warmpool.RequiredModel{{Folder: "checkpoints", Name: comfyModel, MinBytes: comfyModelSize}}
}

// comfyPlain turns TLS off.
func comfyPlain(spec *warmpool.WarmPoolSpec) {
	spec.Template.TLS = &warmpool.TLSSettings{Mode: warmpool.TLSOff}
}

// comfyPatient makes an instance wait longer before it is replaced than before
// it is not Ready, so that there is time in between.
func comfyPatient(spec *warmpool.WarmPoolSpec) {
	spec.Probes.FailureThreshold, spec.Probes.BusySilenceSeconds = 4, 900
	spec.Lifecycle.StartupDeadlineSeconds = 900
}

// comfyHostFaults are there from the start on one machine, which is to blame.
func comfyHostFaults() map[string]comfyCase {
	silent := readySays("False/NoAnswer", "It accepts connections and does not answer.")
	return map[string]comfyCase{
		"provisioning-stall": {
			fault: comfysim.FaultProvisioningStall, gives: "ProvisioningTimeout", host: true,
			sees: []comfySight{readySays("False/Provisioning", "The image fetches its models and nodes."), startedSays("False/Provisioning", "")},
			says: "It was not Ready within 240 s of its start (spec.lifecycle.startupDeadlineSeconds).",
		},
		"slow-start-endless": {
			fault: comfysim.FaultSlowStart, params: map[string]string{"factor": "1000"}, gives: "StartupTimeout", host: true,
			sees: []comfySight{startedSays("False/ProxyNotListening", "nothing listens on the port yet")},
			says: "nothing listens on the port yet",
		},
		"no-device": {
			fault: comfysim.FaultNoDevice, gives: "NoGpu", host: true, sees: []comfySight{startedSays("True/Started", ""), readySays("False/Verifying", "a test render are being checked")},
			says: "ComfyUI lists no device at all.",
		},
		"wrong-gpu": {
			fault: comfysim.FaultWrongGPU, gives: "GpuMismatch", host: true,
			sees: []comfySight{
				poolSays(warmpool.ConditionFullyProvisioned, "False/BackingOff", "GpuMismatch: A RTX 4090 was rented"),
			},
			says: "A RTX 4090 was rented, but ComfyUI sees a NVIDIA GeForce GTX 1060 3GB.",
		},
		"gpu-fault": {
			fault: comfysim.FaultGPUFault, gives: "GpuFault", host: true, sees: []comfySight{readySays("False/GpuFault", "It is tried once more.")},
			says: "The machine is at fault; it is avoided and another is tried.",
		},
		"wrong-pixels":       {fault: comfysim.FaultWrongPixels, gives: "GpuCorrupt", host: true, says: " of 65536 pixels wrong."},
		"wrong-pixels-black": {fault: comfysim.FaultWrongPixels, params: map[string]string{"how": "black"}, gives: "GpuCorrupt", host: true, says: " of 65536 pixels wrong."},
		"hang":               {fault: comfysim.FaultHang, gives: "RenderTimeout", host: true, says: "The smoke prompt"},
		"driver-wedge": {
			fault: comfysim.FaultDriverWedge, gives: "StartupTimeout", host: true, sees: []comfySight{startedSays("True/Started", ""), silent},
			says: "It accepts connections and does not answer.",
		},
		"refuse":    {fault: comfysim.FaultRefuse, gives: "StartupTimeout", host: true, sees: []comfySight{readySays("False/ProxyNotListening", "")}, says: "nothing listens on the port yet"},
		"blackhole": {fault: comfysim.FaultBlackhole, gives: "StartupTimeout", host: true, sees: []comfySight{silent}, says: "It accepts connections and does not answer."},
		"half-open": {fault: comfysim.FaultHalfOpen, gives: "StartupTimeout", host: true, sees: []comfySight{silent}, says: "It accepts connections and does not answer."},
	}
}

// comfyTemplateFaults are there from the start and are not the machine's.
func comfyTemplateFaults() map[string]comfyCase {
	return map[string]comfyCase{
		"provisioning-failed": {
			fault: comfysim.FaultProvisioningFailed, twin: true, edit: comfyRequires, gives: "CustomNodeMissing",
			says: "ComfyUI does not have these required nodes: " + comfyShortWork,
		},
		"missing-node": {
			fault: comfysim.FaultMissingNode, params: map[string]string{"class": "KSampler"}, twin: true, edit: comfyRequires, gives: "CustomNodeMissing",
			says: "ComfyUI does not have these required nodes: KSampler",
		},
		"missing-model": {
			fault: comfysim.FaultMissingModel, params: map[string]string{"name": comfyModel}, twin: true, edit: comfyRequires, gives: "ModelMissing",
			says: "These required models are not in checkpoints: " + comfyModel,
		},
		"missing-model-once": {fault: comfysim.FaultMissingModel, params: map[string]string{"name": comfyModel}, edit: comfyRequires, gives: "ModelMissing", says: comfyModel},
		"truncated-model": {
			fault: comfysim.FaultTruncatedModel, params: map[string]string{"name": comfyModel}, twin: true, edit: comfyRequires, gives: "ModelTruncated",
			says: "The model " + comfyModel + " in checkpoints has 2576980377 bytes where at least 6442450944 are expected",
		},
		"no-kernel-image": {fault: comfysim.FaultNoKernelImage, twin: true, gives: "ArchUnsupported", says: "set spec.offers.minComputeCapability or gpuNames"},
		"oom":             {fault: comfysim.FaultOOM, twin: true, gives: "OutOfMemory", says: "raise spec.offers.minGPUMemoryMB"},
		"cpu-device":      {fault: comfysim.FaultCPUDevice, gives: "CpuDevice", says: "ComfyUI computes on the CPU although a GPU was rented."},
		"worker-dead":     {fault: comfysim.FaultWorkerDead, gives: "WorkerDead", says: "its worker thread is dead although it answers"},
		"process-fatal": {
			fault: comfysim.FaultProcessFatal, gives: "ProcessExited", says: "ComfyUI has exited and is not started again.",
		},
		"scheme-mismatch": {
			fault: comfysim.FaultSchemeMismatch, twin: true, gives: "SchemeMismatch", says: "Make spec.template.tls.mode agree with ENABLE_HTTPS",
			sees: []comfySight{startedSays("False/SchemeMismatch", "")},
		},
		"scheme-mismatch-https": {
			fault: comfysim.FaultSchemeMismatch, params: map[string]string{"serve": "https"}, twin: true, edit: comfyPlain, gives: "SchemeMismatch",
			says: "Make spec.template.tls.mode agree with ENABLE_HTTPS",
		},
		"wrong-service":      {fault: comfysim.FaultWrongService, twin: true, gives: "UnexpectedService", says: "Check spec.template.image and spec.template.comfy.port."},
		"wrong-service-html": {fault: comfysim.FaultWrongService, params: map[string]string{"how": "html"}, gives: "UnexpectedService", says: "Something else than ComfyUI answers on its port."},
		"origin-rejected": {
			fault: comfysim.FaultOriginRejected, twin: true, gives: "OriginRejected", says: "Check COMFYUI_ARGS in spec.template.env.",
			sees: []comfySight{readySays("False/OriginRejected", "ComfyUI refuses the request's origin (HTTP 403).")},
		},
		"token-rotated": {
			fault: comfysim.FaultTokenRotated, twin: true, gives: "AuthRejected", says: "The front rejects the password.",
			sees: []comfySight{readySays("False/AuthRejected", "The front rejects the password.")},
		},
	}
}

// comfyHarmlessFaults are there from the start, and the instance serves.
func comfyHarmlessFaults() map[string]comfyCase {
	return map[string]comfyCase{
		"slow-start": {
			fault: comfysim.FaultSlowStart, params: map[string]string{"factor": "25"}, edit: comfyPatient,
			sees: []comfySight{
				startedSays("False/Provisioning", "The image fetches its models and nodes."),
				startedSays("False/Starting", "The front answers, ComfyUI does not yet."), readySays("True/Ready", "It rendered a test prompt and answers."),
			},
		},
		// Through a tunnel the front's placeholder has status 200, and is not taken for ComfyUI.
		"tunnel-placeholder": {
			fault: comfysim.FaultTunnelPlaceholder, held: true, edit: comfyPatient,
			sees: []comfySight{startedSays("False/Provisioning", "The image fetches its models and nodes.")},
		},
		"latency":           {fault: comfysim.FaultLatency, params: map[string]string{"by": "3s"}},
		"slow-gpu":          {fault: comfysim.FaultSlowGPU},
		"ws-stall":          {fault: comfysim.FaultWebSocketStall},
		"clock-skew":        {fault: comfysim.FaultClockSkew},
		"clock-skew-behind": {fault: comfysim.FaultClockSkew, params: map[string]string{"offset": "-5m"}},
		// These two are not noticed: nobody has told what is needed.
		"small-vram":    {fault: comfysim.FaultSmallVRAM},
		"disk-pressure": {fault: comfysim.FaultDiskPressure},
		// Nothing is required, so models that could not be fetched are not missed.
		"provisioning-failed": {fault: comfysim.FaultProvisioningFailed},
		"missing-node":        {fault: comfysim.FaultMissingNode},
	}
}

// comfyServingFaults break the ComfyUI of an instance that was Ready.
func comfyServingFaults() map[string]comfyCase {
	return map[string]comfyCase{
		"gil-stall":          {fault: comfysim.FaultGILStall, params: map[string]string{"for": "15s"}, serving: true},
		"gil-stall-long":     {fault: comfysim.FaultGILStall, params: map[string]string{"for": "1h"}, serving: true, gives: "Unresponsive", says: "It accepts connections and does not answer.", sees: []comfySight{readySays("False/Unresponsive", "2 probes in a row failed.")}},
		"low-vram":           {fault: comfysim.FaultLowVRAM, serving: true},
		"ws-stall":           {fault: comfysim.FaultWebSocketStall, serving: true},
		"latency":            {fault: comfysim.FaultLatency, params: map[string]string{"by": "4s"}, serving: true},
		"latency-much":       {fault: comfysim.FaultLatency, params: map[string]string{"by": "45s"}, serving: true, gives: "Unresponsive", says: "It accepts connections and does not answer."},
		"gpu-fault":          {fault: comfysim.FaultGPUFault, serving: true, gives: "GpuFault", host: true, says: "the CUDA context is most likely dead"},
		"wrong-pixels":       {fault: comfysim.FaultWrongPixels, params: map[string]string{"how": "shift"}, serving: true, gives: "GpuCorrupt", host: true, says: "pixels wrong", sees: []comfySight{readySays("False/GpuCorrupt", "It is tried once more.")}},
		"oom":                {fault: comfysim.FaultOOM, serving: true, gives: "OutOfMemory", says: "The GPU has no memory left for a tiny picture, even after unloading the models"},
		"worker-dead":        {fault: comfysim.FaultWorkerDead, serving: true, gives: "WorkerDead", says: "dead although it"},
		"worker-dead-inside": {fault: comfysim.FaultWorkerDead, params: map[string]string{"where": "inside"}, serving: true, gives: "PromptHung", says: "One prompt has been running for more than 1m0s"},
		"hang":               {fault: comfysim.FaultHang, serving: true, gives: "PromptHung", says: "One prompt has been running for more than 1m0s"},
		"driver-wedge":       {fault: comfysim.FaultDriverWedge, serving: true, gives: "Unresponsive", says: "It accepts connections and does not answer."},
		"missing-node":       {fault: comfysim.FaultMissingNode, params: map[string]string{"class": "KSampler"}, serving: true, edit: comfyRequires, gives: "CustomNodeMissing", says: "KSampler"},
		"truncated-model":    {fault: comfysim.FaultTruncatedModel, params: map[string]string{"name": comfyModel}, serving: true, edit: comfyRequires, gives: "ModelTruncated", says: "its download broke off"},
	}
}

// comfyServingNetworkFaults break the way to an instance that was Ready.
func comfyServingNetworkFaults() map[string]comfyCase {
	replaced := " It is replaced."
	return map[string]comfyCase{
		"refuse":        {fault: comfysim.FaultRefuse, params: map[string]string{"port": "comfyui"}, serving: true, gives: "Unresponsive", says: "nothing listens on the port yet." + replaced, sees: []comfySight{readySays("False/ProxyNotListening", "2 probes in a row failed.")}},
		"refuse-portal": {fault: comfysim.FaultRefuse, params: map[string]string{"port": "portal"}, serving: true},
		"blackhole":     {fault: comfysim.FaultBlackhole, serving: true, gives: "Unresponsive", says: "It accepts connections and does not answer." + replaced},
		"half-open":     {fault: comfysim.FaultHalfOpen, serving: true, gives: "Unresponsive", says: replaced, sees: []comfySight{readySays("False/Unresponsive", "")}},
		"half-open-passes": {
			fault: comfysim.FaultHalfOpen, serving: true, passes: true, edit: comfyPatient,
			sees: []comfySight{readySays("False/Unresponsive", "4 probes in a row failed.")},
		},
		"token-rotated": {
			fault: comfysim.FaultTokenRotated, serving: true, gives: "AuthRejected", says: "The front rejects the password.",
			sees: []comfySight{readySays("False/AuthRejected", "The front rejects the password.")},
		},
		"token-rotated-passes": {
			fault: comfysim.FaultTokenRotated, serving: true, passes: true, edit: comfyPatient,
			sees: []comfySight{readySays("False/AuthRejected", "4 probes in a row failed.")},
		},
		"certificate-change": {
			fault: comfysim.FaultCertificateChange, serving: true, gives: "CertificateUntrusted", says: "Nothing is sent to it",
			sees: []comfySight{readySays("False/CertificateUntrusted", "Its certificate is not the one that is trusted.")},
		},
		"scheme-mismatch": {fault: comfysim.FaultSchemeMismatch, serving: true, gives: "SchemeMismatch", says: "HTTP where HTTPS is expected", sees: []comfySight{readySays("False/SchemeMismatch", "")}},
		"wrong-service": {
			fault: comfysim.FaultWrongService, serving: true, gives: "UnexpectedService", says: "Something else than ComfyUI answers on its port.",
			sees: []comfySight{readySays("False/UnexpectedService", "")},
		},
		"origin-rejected": {fault: comfysim.FaultOriginRejected, serving: true, gives: "OriginRejected", says: "Check COMFYUI_ARGS", sees: []comfySight{readySays("False/OriginRejected", "")}},
	}
}

// comfySlowBootFaults show while ComfyUI starts or starts again.
func comfySlowBootFaults() map[string]comfyCase {
	return map[string]comfyCase{
		"provisioning-failed": {
			fault: comfysim.FaultProvisioningFailed, twin: true, edit: comfyRequires, gives: "ProvisioningFailed", says: "HF_TOKEN, CIVITAI_TOKEN",
			logs: "[ERROR] Provisioning Script failed: download returned 401 Unauthorized",
			sees: []comfySight{startedSays("False/ProvisioningFailed", "The image's provisioning reports a failure.")},
		},
		"crash-loop": {
			fault: comfysim.FaultCrashLoop, params: map[string]string{"after": "20s"}, twin: true, gives: "CrashLooping", says: "ComfyUI keeps crashing and restarting.",
			logs: "RuntimeError: Found no NVIDIA driver on your system.",
			sees: []comfySight{readySays("False/CrashLooping", "times before it ever answered.")},
		},
		"crash-loop-once":    {fault: comfysim.FaultCrashLoop, params: map[string]string{"after": "20s"}, gives: "CrashLooping", says: "a custom node or its requirements are the usual cause"},
		"crash-loop-serving": {fault: comfysim.FaultCrashLoop, params: map[string]string{"after": "20s"}, serving: true, edit: comfyPatient, gives: "CrashLooping", says: "ComfyUI keeps crashing and restarting."},
		"process-fatal": {
			fault: comfysim.FaultProcessFatal, serving: true, edit: comfyPatient, gives: "ProcessExited", says: "Read the log tail for the cause.",
			logs: "gave up: comfyui entered FATAL state",
		},
		// The process comes back with a cold GPU: it has to prove itself again.
		"restart": {
			fault: comfysim.FaultRestart, serving: true, edit: comfyPatient,
			sees: []comfySight{
				readySays("False/Starting", "4 probes in a row failed. The front answers, ComfyUI does not."),
				readySays("False/Verifying", "it has to render a test prompt again."),
			},
		},
	}
}
