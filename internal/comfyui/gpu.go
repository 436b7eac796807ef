package comfyui

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/warmpool-dev/warmpool/internal/fleet"
)

// leastFreeVRAM is the part of the GPU's memory that must be free before
// anything was loaded. Less means that a foreign process holds the card.
const leastFreeVRAM = 0.8

// checkGPU asks what ComfyUI computes on (GET /system_stats). The call touches
// CUDA, so it is made once per verification and never as a liveness probe.
func (v *verification) checkGPU(ctx context.Context) *finding {
	var stats systemStats
	err := v.session.getJSON(ctx, "/system_stats", func(body []byte) (ok bool) {
		stats, ok = decodeSystemStats(body)
		return ok
	})
	if SignalOf(err) == fleet.SignalServerError {
		return found(fleet.FaultGPU, "ComfyUI fails when it asks its GPU for its memory, so the CUDA context is most likely dead. "+
			"Restart ComfyUI once; if it comes back, replace the instance and avoid the machine.")
	}
	if err != nil {
		return unreachable(err)
	}
	v.result.ComfyUIVersion = quote(stats.System.ComfyUIVersion)
	if len(stats.Devices) == 0 {
		return found(fleet.FaultNoGPU, "ComfyUI lists no device at all. Replace the instance.")
	}
	v.result.GPUName = quote(deviceModel(stats.Devices[0].Name))
	return v.judgeDevices(stats)
}

// judgeDevices tells whether ComfyUI computes on the GPU at all.
func (v *verification) judgeDevices(stats systemStats) *finding {
	first := stats.Devices[0]
	switch {
	case first.Type == "cpu" && slices.Contains(stats.System.Argv, "--cpu"):
		return found(fleet.FaultCPUDevice, "ComfyUI was started with --cpu, so it renders without the GPU. Take --cpu out of COMFYUI_ARGS in the template.")
	//warmpool:gate ready-not-on-the-cpu
	case first.Type == "cpu":
		return found(fleet.FaultCPUDevice, "ComfyUI computes on the CPU although a GPU was rented. Replace the instance.")
	case !first.isCUDA():
		return found(fleet.FaultNoGPU, fmt.Sprintf("ComfyUI computes on a device of type %q and not on CUDA. Replace the instance.", quote(first.Type)))
	}
	return v.judgeCards(slices.DeleteFunc(slices.Clone(stats.Devices), func(d device) bool { return !d.isCUDA() }))
}

// judgeCards compares the CUDA devices with what was rented.
func (v *verification) judgeCards(cuda []device) *finding {
	// Versions up to 0.3.64 list the primary device only, so one device proves
	// nothing about the others.
	//warmpool:gate ready-gpu-count
	if want := v.expect.GPUs; want > 0 && len(cuda) != want && len(cuda) != 1 {
		return found(fleet.FaultGPUMismatch, fmt.Sprintf("%d GPUs were rented, but ComfyUI sees %d. Replace the instance.", want, len(cuda)))
	}
	for _, card := range cuda {
		//warmpool:gate ready-gpu-model
		if v.expect.GPUName != "" && card.Name != "" && !sameGPU(v.expect.GPUName, card.Name) {
			return found(fleet.FaultGPUMismatch, fmt.Sprintf("A %s was rented, but ComfyUI sees a %s. Replace the instance.",
				quote(v.expect.GPUName), quote(deviceModel(card.Name))))
		}
		v.occupied = v.occupied || card.occupied()
	}
	return nil
}

// isCUDA is true for a CUDA device; a version that leaves the type out is judged by the name.
func (d device) isCUDA() bool {
	return d.Type == "cuda" || d.Type == "" && strings.HasPrefix(d.Name, "cuda")
}

// occupied is true when too little memory is free; absent sizes prove nothing.
func (d device) occupied() bool {
	return d.VRAMTotal != nil && d.VRAMFree != nil && *d.VRAMTotal > 0 && *d.VRAMFree < leastFreeVRAM**d.VRAMTotal
}

// deviceModel is the card in "cuda:0 NVIDIA GeForce RTX 4090 : cudaMallocAsync".
func deviceModel(name string) string {
	name, _, _ = strings.Cut(name, " : ")
	if strings.HasPrefix(name, "cuda:") {
		_, name, _ = strings.Cut(name, " ")
	}
	return strings.TrimSpace(name)
}

// sameGPU compares the marketplace's short name ("RTX 4070S Ti", "A100 PCIE",
// "RTX 6000Ada") with torch's long one: every word of the short name must be in
// the long one, and no word that makes another card may be in the long one only.
// Form factors are not compared, because torch does not always tell them.
func sameGPU(rented, device string) bool {
	want, got := gpuWords(rented), gpuWords(deviceModel(device))
	for _, w := range want {
		if !slices.Contains(got, w) {
			return false
		}
	}
	for _, w := range got {
		if isVariant(w) && !slices.Contains(want, w) {
			return false
		}
	}
	return true
}

// isVariant is true for a word that makes another card of the same number.
func isVariant(word string) bool {
	return slices.Contains([]string{"ti", "super", "ada", "d", "pro", "laptop", "mobile", "q"}, word)
}

// isDecoration is true for a word that one side says and the other does not.
func isDecoration(word string) bool {
	return strings.HasPrefix(word, "sxm") || strings.HasPrefix(word, "hbm") || slices.Contains([]string{
		"nvidia", "geforce", "tesla", "quadro", "gpu", "generation", "edition", "workstation", "server", "blackwell",
		"pcie", "nvl", "ws", "s", "max", "gb",
	}, word)
}

// gpuWords cuts a name into comparable words: "RTX_4070S" is rtx, 4070, super.
func gpuWords(name string) []string {
	fields := strings.FieldsFunc(strings.ToLower(name), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	if len(fields) > 1 && fields[0] == "q" && fields[1] == "rtx" {
		fields = fields[1:] // the marketplace writes Q RTX 8000 for Quadro RTX 8000
	}
	var parts []string
	for _, field := range fields {
		number, suffix := splitNumber(field)
		parts = append(parts, slices.DeleteFunc([]string{number, suffix}, func(part string) bool { return part == "" })...)
	}
	// An S behind a GeForce number means Super; behind RTX PRO it means Server.
	for i := 1; i < len(parts) && !slices.Contains(parts, "pro"); i++ {
		if parts[i] == "s" && isNumber(parts[i-1]) {
			parts[i] = "super"
		}
	}
	return slices.DeleteFunc(parts, isDecoration)
}

// splitNumber cuts "4070s" into "4070" and "s"; a field that does not start with
// a digit has no number ("a100", "l40s").
func splitNumber(field string) (number, suffix string) {
	end := strings.IndexFunc(field, func(r rune) bool { return !unicode.IsDigit(r) })
	if end < 0 {
		return field, ""
	}
	return field[:end], field[end:]
}

func isNumber(field string) bool {
	number, suffix := splitNumber(field)
	return number != "" && suffix == ""
}
