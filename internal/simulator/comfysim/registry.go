package comfysim

import (
	"fmt"
	"strings"
)

// faultSpecs is the registry itself.
func faultSpecs() []faultSpec {
	var specs []faultSpec
	specs = append(specs, bootFaults()...)
	specs = append(specs, processFaults()...)
	specs = append(specs, hardwareFaults()...)
	specs = append(specs, networkFaults()...)
	return specs
}

func fault(name, description string, params ...FaultParam) faultSpec {
	return faultSpec{FaultInfo: FaultInfo{Name: name, Description: description, Params: params}}
}

// processFault is a fault that lives in the ComfyUI process and ends with it.
func processFault(name, description string, params ...FaultParam) faultSpec {
	spec := fault(name, description, append(params,
		FaultParam{Name: "survives_restart", Default: "false", Description: "true: the next process has it too", kind: kindBool})...)
	spec.process = true
	return spec
}

func textParam(name, fallback, description string) FaultParam {
	return FaultParam{Name: name, Default: fallback, Description: description, kind: kindText}
}

func durationParam(name, fallback, description string) FaultParam {
	return FaultParam{Name: name, Default: fallback, Description: description, kind: kindDuration}
}

func numberParam(name, fallback, description string) FaultParam {
	return FaultParam{Name: name, Default: fallback, Description: description, kind: kindNumber}
}

func choiceParam(name, description string, choices ...string) FaultParam {
	return FaultParam{
		Name: name, Default: choices[0], kind: kindChoice, choices: choices,
		Description: description + " (" + strings.Join(choices, ", ") + ")",
	}
}

func portParam() FaultParam {
	return choiceParam("port", "which port it concerns", "all", "comfyui", "portal")
}

func bootFaults() []faultSpec {
	restart := fault(FaultRestart, "ComfyUI is killed and started again by supervisor: queue, history and numbers are gone, temporary images wiped")
	restart.Momentary = true
	return []faultSpec{
		fault(FaultSlowStart, "every later phase of the boot takes longer",
			numberParam("factor", "10", "multiplies each duration"), durationParam("extra", "0s", "added to each duration")),
		fault(FaultProvisioningStall, "provisioning never ends; the front answers with its placeholder"),
		fault(FaultProvisioningFailed, "provisioning ends as failed; ComfyUI starts all the same, without provisioned models and custom nodes",
			textParam("message", "download returned 401 Unauthorized", "what the log says")),
		fault(FaultCrashLoop, "ComfyUI dies after every start and supervisor starts it again with a new pid; one that dies within 5 s ends as FATAL",
			durationParam("after", "7s", "how long each process lives"),
			textParam("message", "RuntimeError: Found no NVIDIA driver on your system.", "the last line of its traceback")),
		fault(FaultProcessFatal, "ComfyUI has ended and supervisor has given up: FATAL, until it is cleared and restarted",
			textParam("message", "too many start retries too quickly", "what the log says")),
		restart,
	}
}

func processFaults() []faultSpec {
	return []faultSpec{
		processFault(FaultWorkerDead, "the prompt worker is dead while HTTP answers; prompts are accepted and never run",
			choiceParam("where", "between prompts at once, or inside the next prompt, which then stays running for ever", "between", "inside")),
		processFault(FaultHang, "the next prompt that needs the GPU runs for ever and ignores interrupts"),
		processFault(FaultGILStall, "something holds the interpreter lock: no HTTP answer from ComfyUI, and no progress, until it lets go",
			durationParam("for", "30s", "how long")),
		processFault(FaultDriverWedge, "a call into the driver never returns: the first GET /system_stats blocks all HTTP of ComfyUI"),
		processFault(FaultLatency, "ComfyUI answers every request late", durationParam("by", "2s", "how late")),
		processFault(FaultGPUFault, "the CUDA context is dead: GPU nodes fail with an AcceleratorError, /system_stats is a 500, /prompt answers",
			textParam("message", "CUDA error: an illegal memory access was encountered", "the exception's message")),
		processFault(FaultOOM, "GPU nodes fail with torch.OutOfMemoryError"),
		processFault(FaultWebSocketStall, "no WebSocket event is delivered to anybody; HTTP and rendering work"),
		fault(FaultMissingNode, "a node class is not there: its import failed", textParam("class", "ImageBlur", "the class_type")),
		fault(FaultMissingModel, "a model file is not there",
			textParam("folder", "checkpoints", "the models' folder"), textParam("name", SD15Checkpoint, "the file")),
		fault(FaultTruncatedModel, "a model file is there but cut short: its size is smaller, and loading it fails",
			textParam("folder", "checkpoints", "the models' folder"), textParam("name", SD15Checkpoint, "the file"),
			numberParam("percent", "40", "how much of it is there")),
	}
}

func hardwareFaults() []faultSpec {
	return []faultSpec{
		fault(FaultNoKernelImage, "the installed torch has no code for this GPU: GPU nodes fail with that message"),
		fault(FaultWrongPixels, "GPU nodes compute rubbish",
			choiceParam("how", "noise, all black (as after NaN), or a shifted colour", "noise", "black", "shift")),
		fault(FaultSlowGPU, "rendering takes longer", numberParam("factor", "20", "multiplies the time of GPU nodes")),
		fault(FaultCPUDevice, "ComfyUI runs on the CPU: devices[0].type is cpu"),
		fault(FaultNoDevice, "/system_stats lists no device at all"),
		fault(FaultWrongGPU, "the device is another one than was rented", textParam("name", "GeForce GTX 1060 3GB", "its name")),
		fault(FaultSmallVRAM, "the device has less memory than was rented", numberParam("bytes", "6442450944", "its memory, in bytes")),
		fault(FaultLowVRAM, "another process occupies the device's memory", numberParam("percent", "60", "how much is occupied")),
		fault(FaultDiskPressure, "the disk is nearly full", numberParam("percent", "97", "how much of it is used")),
		fault(FaultClockSkew, "the instance's clock is wrong: Date headers and every timestamp", durationParam("offset", "5m", "how far ahead; negative is behind")),
	}
}

func networkFaults() []faultSpec {
	return []faultSpec{
		fault(FaultRefuse, "the port refuses connections, and open ones break", portParam()),
		fault(FaultBlackhole, "the port swallows connections, and open ones break", portParam(),
			choiceParam("how", "accept and be silent, or drop so that connecting itself times out", "silent", "drop")),
		fault(FaultHalfOpen, "connections, old and new, stay open and carry nothing until it is cleared", portParam()),
		fault(FaultTokenRotated, "no token and no password is accepted any more: 401"),
		fault(FaultCertificateChange, "the front shows another certificate"),
		fault(FaultSchemeMismatch, "the front speaks the other scheme than ENABLE_HTTPS says",
			choiceParam("serve", "what it speaks", "http", "https")),
		fault(FaultWrongService, "another program answers behind the front", portParam(),
			choiceParam("how", "JSON 404 to everything, or a 200 HTML page", "404", "html")),
		fault(FaultOriginRejected, "ComfyUI's origin check answers 403 with an empty body"),
		fault(FaultTunnelPlaceholder, "the front's placeholder has status 200, as it has through a Cloudflare tunnel"),
	}
}

// MarkdownTable returns the registry as the table of docs/reference/simulator-comfyui.md.
func MarkdownTable() string {
	var out strings.Builder
	out.WriteString("| fault | what the instance does | parameters (default) | ends with |\n|---|---|---|---|\n")
	for _, info := range Registry() {
		var params []string
		for _, param := range info.Params {
			params = append(params, fmt.Sprintf("`%s` (`%s`): %s", param.Name, param.Default, param.Description))
		}
		ends := "clearing it"
		switch {
		case info.Momentary:
			ends = "happens once"
		case info.EndsWithProcess:
			ends = "clearing it, or a restart of ComfyUI"
		}
		fmt.Fprintf(&out, "| `%s` | %s | %s | %s |\n", info.Name, info.Description, strings.Join(params, "<br>"), ends)
	}
	return out.String()
}
