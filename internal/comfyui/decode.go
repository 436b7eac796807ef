package comfyui

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"strings"

	"github.com/warmpool-dev/warmpool/internal/fleet"
)

// decode reads JSON leniently: unknown fields are ignored, a field of another
// type stays zero, and the bare NaN and Infinity that Python writes are read as
// null. Only a body that is no JSON at all is false.
func decode(body []byte, into any) bool {
	err := json.Unmarshal(body, into)
	if _, ok := errors.AsType[*json.SyntaxError](err); ok {
		err = json.Unmarshal(withoutNaN(body), into)
	}
	_, mismatch := errors.AsType[*json.UnmarshalTypeError](err)
	return err == nil || mismatch
}

// withoutNaN replaces NaN, Infinity and -Infinity outside of strings by null.
func withoutNaN(body []byte) []byte {
	out := make([]byte, 0, len(body))
	inString := false
	for i := 0; i < len(body); {
		rest := body[i:]
		switch {
		case inString && rest[0] == '\\' && len(rest) > 1:
			out = append(out, rest[:2]...)
			i += 2
			continue
		case rest[0] == '"':
			inString = !inString
		case !inString:
			if n := nonFinite(rest); n > 0 {
				out = append(out, "null"...)
				i += n
				continue
			}
		}
		out = append(out, rest[0])
		i++
	}
	return out
}

// nonFinite is the length of the non-finite number at the start of rest, or 0.
func nonFinite(rest []byte) int {
	for _, word := range []string{"NaN", "Infinity", "-Infinity"} {
		if bytes.HasPrefix(rest, []byte(word)) {
			return len(word)
		}
	}
	return 0
}

// decodeQueueRemaining reads {"exec_info":{"queue_remaining":N}}.
func decodeQueueRemaining(body []byte) (int, bool) {
	var wire struct {
		ExecInfo struct {
			QueueRemaining *float64 `json:"queue_remaining"`
		} `json:"exec_info"`
	}
	if !decode(body, &wire) || wire.ExecInfo.QueueRemaining == nil {
		return 0, false
	}
	remaining := *wire.ExecInfo.QueueRemaining
	if remaining < 0 || remaining > math.MaxInt32 || remaining != math.Trunc(remaining) {
		return 0, false
	}
	return int(remaining), true
}

// decodeCapabilities reads the provisioning status of the portal; it is either
// {"provisioning":{"status":"…"}} or a plain string.
func decodeCapabilities(body []byte, portal *fleet.Portal) bool {
	var wire struct {
		Provisioning json.RawMessage `json:"provisioning"`
	}
	if !isObject(body) || !decode(body, &wire) {
		return false
	}
	var nested struct {
		Status string `json:"status"`
	}
	var plain string
	if decode(wire.Provisioning, &plain) && plain != "" {
		portal.Provisioning = word(plain)
	} else if decode(wire.Provisioning, &nested) {
		portal.Provisioning = word(nested.Status)
	}
	return true
}

// decodeProcesses finds ComfyUI in the supervisor's list of processes.
func decodeProcesses(body []byte, portal *fleet.Portal) bool {
	var wire []struct {
		Name  string  `json:"name"`
		State string  `json:"state"`
		PID   float64 `json:"pid"`
	}
	if !bytes.HasPrefix(bytes.TrimSpace(body), []byte("[")) || !decode(body, &wire) {
		return false
	}
	for _, process := range wire {
		if !strings.EqualFold(process.Name, "comfyui") {
			continue
		}
		portal.ComfyUIProcess = strings.ToUpper(word(process.State))
		if process.PID > 0 && process.PID <= math.MaxInt32 {
			portal.ComfyUIPID = int(process.PID)
		}
	}
	return true
}

func isObject(body []byte) bool {
	return bytes.HasPrefix(bytes.TrimSpace(body), []byte("{"))
}

// word keeps a short token of the instance as it is, and drops anything else.
func word(text string) string {
	if len(text) > 32 || strings.ContainsFunc(text, func(r rune) bool { return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && r != '_' }) {
		return ""
	}
	return text
}

// systemStats is what matters of GET /system_stats.
type systemStats struct {
	System struct {
		ComfyUIVersion string   `json:"comfyui_version"`
		PyTorchVersion string   `json:"pytorch_version"`
		Argv           []string `json:"argv"`
	} `json:"system"`
	Devices []device `json:"devices"`
}

// device is one torch device. Sizes are bytes; pointers tell absent from zero.
type device struct {
	Name      string   `json:"name"`
	Type      string   `json:"type"`
	VRAMTotal *float64 `json:"vram_total"`
	VRAMFree  *float64 `json:"vram_free"`
}

func decodeSystemStats(body []byte) (systemStats, bool) {
	var presence struct {
		System  json.RawMessage `json:"system"`
		Devices json.RawMessage `json:"devices"`
	}
	var stats systemStats
	if !isObject(body) || !decode(body, &presence) || !decode(body, &stats) {
		return systemStats{}, false
	}
	return stats, presence.System != nil || presence.Devices != nil
}

// hasClass tells whether GET /object_info/{class} described the class. Only the
// first keys are read: the description itself may hold anything.
func hasClass(body []byte, class string) (has, ok bool) {
	if !isObject(body) {
		return false, false
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	if _, err := decoder.Token(); err != nil {
		return false, false
	}
	first, err := decoder.Token()
	if err != nil {
		return false, false
	}
	if first == class {
		return true, true
	}
	var all map[string]json.RawMessage
	if !decode(body, &all) {
		return false, false
	}
	_, has = all[class]
	return has, true
}

// modelFile is one file of GET /experiment/models/{folder}. Size is nil when the
// version does not tell it.
type modelFile struct {
	Name string   `json:"name"`
	Size *float64 `json:"size"`
}

// decodeNames reads the list of GET /models/{folder}.
func decodeNames(body []byte) ([]string, bool) {
	var names []string
	if !bytes.HasPrefix(bytes.TrimSpace(body), []byte("[")) || !decode(body, &names) {
		return nil, false
	}
	return names, true
}

// decodeModelFiles reads the list of GET /experiment/models/{folder}.
func decodeModelFiles(body []byte) ([]modelFile, bool) {
	var files []modelFile
	if !bytes.HasPrefix(bytes.TrimSpace(body), []byte("[")) || !decode(body, &files) {
		return nil, false
	}
	return files, true
}
