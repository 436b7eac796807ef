package fleet

import "time"

// Signal is what one call to an instance showed. Each value is also the reason
// that people see. Source: docs/explanation, "Health model".
type Signal string

// The signals of a probe.
const (
	// SignalServing: an authenticated JSON answer to GET /prompt.
	SignalServing Signal = "Serving"
	// SignalConnectTimeout: the address does not answer TCP at all.
	SignalConnectTimeout Signal = "ConnectTimeout"
	// SignalConnectionRefused: the host is there, nothing listens yet.
	SignalConnectionRefused Signal = "ConnectionRefused"
	// SignalNoAnswer: connected, but silent until the timeout (or HTTP 504).
	SignalNoAnswer Signal = "NoAnswer"
	// SignalAuthRejected: HTTP 401; it says nothing about ComfyUI.
	SignalAuthRejected Signal = "AuthRejected"
	// SignalOriginRejected: HTTP 403.
	SignalOriginRejected Signal = "OriginRejected"
	// SignalUnexpectedService: something else than ComfyUI answers (404, HTML without placeholder).
	SignalUnexpectedService Signal = "UnexpectedService"
	// SignalSchemeMismatch: HTTP where HTTPS is expected, or the reverse.
	SignalSchemeMismatch Signal = "SchemeMismatch"
	// SignalCertificateUntrusted: the certificate is not the pinned one, or not signed by the given authority.
	SignalCertificateUntrusted Signal = "CertificateUntrusted"
	// SignalPlaceholder: the front answers, ComfyUI does not (502/503, or 200 with X-Portal-Placeholder).
	SignalPlaceholder Signal = "Placeholder"
	// SignalServerError: HTTP 500 from ComfyUI.
	SignalServerError Signal = "ServerError"
)

// Portal is what the instance portal (port 1111) says about the boot. Empty
// strings mean that it did not say.
type Portal struct {
	// Provisioning is "none", "in_progress", "complete" or "failed".
	Provisioning string
	// ComfyUIProcess is the supervisor state: RUNNING, STARTING, BACKOFF, FATAL, EXITED, STOPPED.
	ComfyUIProcess string
	// ComfyUIPID changes when the process restarts; 0 when unknown.
	ComfyUIPID int
}

// ProbeResult is one liveness probe.
type ProbeResult struct {
	// Signal is what the call showed.
	Signal Signal
	// Message is one sentence for people, without secrets.
	Message string
	// QueueRemaining is pending plus running prompts; valid when Signal is Serving.
	QueueRemaining int
	// CertificateSHA256 is the fingerprint that the server showed, hex; empty over HTTP.
	CertificateSHA256 string
	// Portal is set when the portal was asked and answered.
	Portal *Portal
	// At is when the probe ended.
	At time.Time
}

// QueueResult is one look at the queue, taken only while it is not empty.
type QueueResult struct {
	// Running is the id of the running prompt, empty when none runs.
	Running string
	// Pending is the number of prompts that wait.
	Pending int
	// At is when the answer came.
	At time.Time
}

// ModelRequirement names a model file that must be there.
type ModelRequirement struct {
	// Folder is ComfyUI's folder key ("checkpoints").
	Folder string
	// Name is the file name relative to the folder.
	Name string
	// MinBytes is the least size, 0 for any; it catches truncated downloads.
	MinBytes int64
}

// Expectations is what Verify checks beyond answering.
type Expectations struct {
	// GPUs is the number of GPUs that were rented, 0 to skip the count.
	GPUs int
	// GPUName is the rented GPU's name, empty to skip.
	GPUName string
	// Nodes are class names that must exist.
	Nodes []string
	// Models are files that must exist.
	Models []ModelRequirement
	// Color is the fresh input of the smoke prompt, 0…16777215; it must differ
	// between two verifications of one instance or the cache answers.
	Color int
	// PromptID is a fresh lower-case UUID for the smoke prompt.
	PromptID string
}

// VerifyFault is why a verification failed; empty when it passed.
type VerifyFault string

// The faults of a verification.
const (
	VerifyPassed         VerifyFault = ""
	FaultNoGPU           VerifyFault = "NoGpu"
	FaultCPUDevice       VerifyFault = "CpuDevice"
	FaultGPU             VerifyFault = "GpuFault"
	FaultGPUMismatch     VerifyFault = "GpuMismatch"
	FaultGPUCorrupt      VerifyFault = "GpuCorrupt"
	FaultVRAMOccupied    VerifyFault = "VramOccupied"
	FaultArchUnsupported VerifyFault = "ArchUnsupported"
	FaultNodeMissing     VerifyFault = "CustomNodeMissing"
	FaultModelMissing    VerifyFault = "ModelMissing"
	FaultModelTruncated  VerifyFault = "ModelTruncated"
	FaultWorkerDead      VerifyFault = "WorkerDead"
	FaultOutOfMemory     VerifyFault = "OutOfMemory"
	FaultRenderFailed    VerifyFault = "RenderFailed"
	FaultRenderTimeout   VerifyFault = "RenderTimeout"
	// FaultUnreachable: a call of the verification failed for the reason in Signal.
	FaultUnreachable VerifyFault = "Unreachable"
)

// VerifyResult is one verification: GPU, inventory and a rendered prompt.
type VerifyResult struct {
	// Fault is empty when everything passed.
	Fault VerifyFault
	// Signal says more when Fault is Unreachable.
	Signal Signal
	// Message is one sentence for people, without secrets.
	Message string
	// GPUName and ComfyUIVersion are what the instance says of itself.
	GPUName, ComfyUIVersion string
	// RenderMillis is the render time by the instance's own clock.
	RenderMillis int64
	// At is when the verification ended.
	At time.Time
}

// Failure is why a WarmInstance is given up.
type Failure struct {
	// Reason is a CamelCase constant.
	Reason string
	// Message is one sentence for people with the remedy.
	Message string
	// MachineID is the machine it happened on, 0 when none was rented.
	MachineID int64
	// HostFault is true when this machine is to be avoided.
	HostFault bool
	// At is when it was decided.
	At time.Time
}
