package comfyui

import (
	"context"
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/warmpool-dev/warmpool/internal/fleet"
)

const (
	// firstPoll and slowestPoll bound the pause between two looks at the history.
	firstPoll, slowestPoll = 250 * time.Millisecond, time.Second
	// queueLook is the least time between two looks at the queue: long enough
	// that a living worker would have taken the prompt in between.
	queueLook = 5 * time.Second
	// looksNeeded is how many looks in a row must agree on a dead worker or on a
	// prompt that is gone.
	looksNeeded = 2
)

// historyEntry is one finished prompt.
type historyEntry struct {
	// known is false when the version tells no status.
	known     bool
	succeeded bool
	// interrupted, kind and text tell why it did not succeed.
	interrupted bool
	kind, text  string
	// cached are the ids of the nodes that the cache answered for.
	cached []string
	// started and ended are in milliseconds of the instance's clock, 0 when not told.
	started, ended float64
	// images are the pictures of the output node.
	images []imageFile
}

// imageFile is one picture, as GET /view wants it named.
type imageFile struct {
	Filename  string `json:"filename"`
	Subfolder string `json:"subfolder"`
	Type      string `json:"type"`
}

// millis is the render time by the instance's own clock, 0 when not told.
func (e *historyEntry) millis() int64 {
	if e.started <= 0 || e.ended < e.started {
		return 0
	}
	return int64(e.ended - e.started)
}

// await polls the history until the prompt is done. An event stream would be
// quicker, but events get lost; the history is the truth.
func (v *verification) await(ctx context.Context, id string) (historyEntry, *finding) {
	watch := queueWatch{id: id}
	pause, deadline, nextLook := firstPoll, v.timers.alarm(v.options.RenderTimeout), v.timers.alarm(queueLook)
	for {
		entry, done, err := v.session.history(ctx, id)
		if err != nil && (SignalOf(err) != fleet.SignalNoAnswer || ctx.Err() != nil) {
			return historyEntry{}, unreachable(err)
		}
		if done {
			return entry, nil
		}
		if deadline.fired() {
			return historyEntry{}, v.renderTimeout(ctx, id, err)
		}
		// Without a word from the history, a prompt that left the queue may just be done.
		if err == nil && nextLook.fired() {
			if f := watch.look(v.session.queue(ctx)); f != nil {
				return historyEntry{}, f
			}
			nextLook = v.timers.alarm(queueLook)
		}
		if !v.timers.sleep(ctx, pause) {
			return historyEntry{}, unreachable(interrupted(context.Cause(ctx)))
		}
		pause = min(pause*3/2, slowestPoll)
	}
}

// queueWatch remembers what the looks at the queue showed in a row.
type queueWatch struct {
	id            string
	stalled, gone int
}

// look takes one look into account. A failed look is no look.
func (w *queueWatch) look(queue queueState, err error) *finding {
	if err != nil {
		return nil
	}
	w.stalled, w.gone = next(w.stalled, queue.stalled()), next(w.gone, !queue.holds(w.id))
	switch {
	case w.stalled >= looksNeeded:
		return workerDead()
	case w.gone >= looksNeeded:
		return found(fleet.FaultRenderFailed, "ComfyUI accepted the smoke prompt and then forgot it: it restarted meanwhile, or somebody cleared its queue. Verify again; if it repeats, look at the instance's log.")
	}
	return nil
}

// next counts in a row.
func next(count int, again bool) int {
	if again {
		return count + 1
	}
	return 0
}

func workerDead() *finding {
	return found(fleet.FaultWorkerDead, "ComfyUI accepts prompts but nothing takes them from the queue: its worker thread is dead although it answers. Restart ComfyUI.")
}

// renderTimeout says why the prompt is not done in time; last is the error of the
// last call, if it failed.
func (v *verification) renderTimeout(ctx context.Context, id string, last error) *finding {
	if last != nil {
		return unreachable(last)
	}
	limit := v.options.RenderTimeout.String()
	queue, err := v.session.queue(ctx)
	switch {
	case err != nil:
		return found(fleet.FaultRenderTimeout, "The smoke prompt was not done within "+limit+". Restart ComfyUI; if it repeats, replace the instance.")
	case queue.stalled():
		return workerDead()
	case slices.Contains(queue.running, id):
		return found(fleet.FaultRenderTimeout, "The smoke prompt started but was not done within "+limit+": the GPU hangs, or the worker died in it. Restart ComfyUI; if it repeats, replace the instance.")
	default:
		return found(fleet.FaultRenderTimeout, "The smoke prompt was not started within "+limit+" because other prompts are in front of it. Verify again when the queue is empty.")
	}
}

// history reads GET /history/{id}; done is false while the prompt waits or runs.
func (s *session) history(ctx context.Context, id string) (entry historyEntry, done bool, err error) {
	err = s.getJSON(ctx, "/history/"+url.PathEscape(id), func(body []byte) (ok bool) {
		entry, done, ok = decodeHistory(body, id)
		return ok
	})
	return entry, done, err
}

// decodeHistory reads {"<id>":{outputs,status{…}}}; {} is a prompt that is not done.
func decodeHistory(body []byte, id string) (entry historyEntry, done, ok bool) {
	var all map[string]json.RawMessage
	if !isObject(body) || !decode(body, &all) {
		return historyEntry{}, false, false
	}
	raw, done := all[id]
	if !done {
		return historyEntry{}, false, true
	}
	var wire struct {
		Outputs map[string]struct {
			Images []imageFile `json:"images"`
		} `json:"outputs"`
		Status *struct {
			Text      string            `json:"status_str"`
			Completed bool              `json:"completed"`
			Messages  []json.RawMessage `json:"messages"`
		} `json:"status"`
	}
	if !isObject(raw) || !decode(raw, &wire) {
		return historyEntry{}, false, false
	}
	entry.images = wire.Outputs[outputNode].Images
	if wire.Status != nil {
		entry.known = true
		entry.succeeded = wire.Status.Completed && wire.Status.Text == "success"
		for _, message := range wire.Status.Messages {
			entry.take(message)
		}
	}
	return entry, true, true
}

// take reads one message of a status: ["execution_start", {…}].
func (e *historyEntry) take(message []byte) {
	var pair []json.RawMessage
	var name string
	var data struct {
		Timestamp float64           `json:"timestamp"`
		Nodes     []json.RawMessage `json:"nodes"`
		Kind      string            `json:"exception_type"`
		Text      string            `json:"exception_message"`
	}
	if !decode(message, &pair) || len(pair) < 2 || !decode(pair[0], &name) || !decode(pair[1], &data) {
		return
	}
	switch name {
	case "execution_start":
		e.started = data.Timestamp
	case "execution_success":
		e.ended = data.Timestamp
	case "execution_interrupted":
		e.interrupted = true
	case "execution_error":
		e.kind, e.text = data.Kind, data.Text
	case "execution_cached":
		for _, node := range data.Nodes {
			e.cached = append(e.cached, strings.Trim(string(node), `"`))
		}
	}
}

// judgeEntry says whether the prompt was really rendered.
func (v *verification) judgeEntry(entry historyEntry) *finding {
	switch {
	case entry.interrupted:
		return found(fleet.FaultRenderFailed, "Somebody interrupted the smoke prompt. Verify again while nobody uses the instance.")
	case entry.kind != "" || entry.text != "":
		return v.judgeException(entry)
	case entry.known && !entry.succeeded:
		return found(fleet.FaultRenderFailed, "The smoke prompt failed, and ComfyUI does not say why. Look at the instance's log.")
	//warmpool:gate ready-not-from-the-cache
	case slices.Contains(entry.cached, filterNode):
		f := found(fleet.FaultRenderFailed, "ComfyUI answered the smoke prompt from its cache, so nothing was proved. Verify again with another colour.")
		f.retry = retryFresh
		return f
	case len(entry.images) == 0:
		return found(fleet.FaultRenderFailed, "The smoke prompt ended without a picture. Look at the instance's log.")
	}
	return nil
}

// judgeException sorts a failure of the prompt by what it means for the machine.
func (v *verification) judgeException(entry historyEntry) *finding {
	said := quote(entry.kind+": "+entry.text, v.session.target.Token)
	switch fault := classifyException(entry.kind, entry.text); fault {
	case fleet.FaultArchUnsupported:
		return found(fault, "This image's PyTorch has no code for this GPU ("+said+"). Use a newer image, or ask for other GPUs.")
	case fleet.FaultOutOfMemory:
		f := found(fault, "The GPU has no memory left for a tiny picture, even after unloading the models ("+said+"). Something else holds it: replace the instance.")
		f.retry = retryAfterFree
		return f
	case fleet.FaultGPU:
		return found(fault, "The GPU failed while rendering ("+said+"). Restart ComfyUI once; if it comes back, replace the instance and avoid the machine.")
	default:
		return found(fleet.FaultRenderFailed, "The smoke prompt failed ("+said+"). Look at the instance's log, and check the custom nodes.")
	}
}

// classifyException reads the type and the message of a Python exception. Torch
// has no codes for these, so the text has to do. The order matters: an
// out-of-memory is also a CUDA error, and only it mends itself.
func classifyException(kind, message string) fleet.VerifyFault {
	text := strings.ToLower(kind + "\n" + message)
	has := func(needles ...string) bool {
		return slices.ContainsFunc(needles, func(needle string) bool { return strings.Contains(text, needle) })
	}
	switch {
	case has("no kernel image", "unsupported_ptx_version", "unsupported toolchain"):
		return fleet.FaultArchUnsupported
	case has("outofmemory", "out of memory", "allocation on device"):
		return fleet.FaultOutOfMemory
	case has("unspecified launch failure", "device-side assert triggered", "illegal memory access", "triton error [cuda]",
		"cuda runtime error", "misaligned address", "invalid device function", "invalid configuration argument",
		"acceleratorerror", "cuda error", "cudaerror", "cuda_error", "cudnn", "cublas", "uncorrectable ecc",
		"no cuda gpus are available", "found no nvidia driver", "cuda driver"):
		return fleet.FaultGPU
	default:
		return fleet.FaultRenderFailed
	}
}
