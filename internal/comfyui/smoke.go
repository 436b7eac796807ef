package comfyui

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/warmpool-dev/warmpool/internal/fleet"
)

const (
	// smokeSide is the width and height of the smoke picture, in pixels.
	smokeSide = 256
	// sourceNode, filterNode and outputNode are the ids in the smoke prompt.
	sourceNode, filterNode, outputNode = "1", "2", "3"
	// blurClass runs a convolution on the GPU and leaves a constant picture as it
	// is, so that the result can be checked pixel by pixel.
	blurClass = "ImageBlur"
	// cannyClass also runs on the GPU; its answer to a constant picture is black.
	cannyClass = "Canny"
	// freePause is how long the worker gets to act on POST /free, which does not
	// tell when it is done.
	freePause = 2 * time.Second
	// freshMask turns a colour into another one for a second try.
	freshMask = 0x5A5A5A
	maxColor  = 0xFFFFFF
)

// smoke is one smoke prompt.
type smoke struct {
	color  int
	id     string
	filter string
}

// again is the same prompt with another input and another id, so that neither
// the cache nor the history answers for it.
func (k smoke) again() smoke {
	k.color ^= freshMask
	if last := len(k.id) - 1; last >= 0 {
		replacement := "0"
		if k.id[last] == '0' {
			replacement = "1"
		}
		k.id = k.id[:last] + replacement
	}
	return k
}

// expected is the value of every pixel of the result.
func (k smoke) expected() [3]int {
	if k.filter == cannyClass {
		return [3]int{}
	}
	return [3]int{k.color >> 16 & 0xFF, k.color >> 8 & 0xFF, k.color & 0xFF}
}

// promptBody is the body of POST /prompt. It names no client, so that no event
// stream depends on it.
type promptBody struct {
	Prompt    map[string]promptNode `json:"prompt"`
	PromptID  string                `json:"prompt_id,omitempty"`
	ExtraData struct{}              `json:"extra_data"`
}

type promptNode struct {
	ClassType string         `json:"class_type"`
	Inputs    map[string]any `json:"inputs"`
}

// body is the prompt in ComfyUI's API format. All inputs are within the limits of
// every known version.
func (k smoke) body() promptBody {
	filter := promptNode{ClassType: k.filter, Inputs: map[string]any{"image": []any{sourceNode, 0}}}
	if k.filter == cannyClass {
		filter.Inputs["low_threshold"], filter.Inputs["high_threshold"] = 0.4, 0.8
	} else {
		filter.Inputs["blur_radius"], filter.Inputs["sigma"] = 8, 2.0
	}
	return promptBody{PromptID: k.id, Prompt: map[string]promptNode{
		sourceNode: {ClassType: "EmptyImage", Inputs: map[string]any{"width": smokeSide, "height": smokeSide, "batch_size": 1, "color": k.color}},
		filterNode: filter,
		outputNode: {ClassType: "PreviewImage", Inputs: map[string]any{"images": []any{filterNode, 0}}},
	}}
}

// checkRender renders the smoke prompt, with one more try for each finding that
// a second try can mend.
func (v *verification) checkRender(ctx context.Context) *finding {
	k := smoke{color: v.expect.Color & maxColor, id: v.expect.PromptID, filter: blurClass}
	var tried []retry
	for {
		f := v.render(ctx, k)
		if f == nil || f.retry == retryNever || slices.Contains(tried, f.retry) {
			return f
		}
		tried = append(tried, f.retry)
		switch f.retry {
		case retryOtherNode:
			k.filter = cannyClass
		case retryAfterFree:
			if !v.freeMemory(ctx) {
				return f
			}
			k = k.again()
		default:
			k = k.again()
		}
	}
}

// freeMemory asks ComfyUI to unload its models, and is false when that failed.
func (v *verification) freeMemory(ctx context.Context) bool {
	r, err := v.session.postJSON(ctx, "/free", map[string]bool{"unload_models": true, "free_memory": true})
	return err == nil && r.status == http.StatusOK && v.timers.sleep(ctx, freePause)
}

// render runs one smoke prompt from its submission to its checked picture.
func (v *verification) render(ctx context.Context, k smoke) *finding {
	accepted, f := v.submit(ctx, k)
	if f != nil {
		return f
	}
	if v.occupied && accepted.first {
		v.forget(ctx, accepted.id, false)
		return found(fleet.FaultVRAMOccupied, "Over a fifth of the GPU's memory is in use although nothing was rendered yet: a foreign process holds it. Replace the instance and avoid the machine.")
	}
	entry, f := v.await(ctx, accepted.id)
	defer v.forget(ctx, accepted.id, f == nil)
	if f != nil {
		return f
	}
	if f := v.judgeEntry(entry); f != nil {
		return f
	}
	if f := v.checkPicture(ctx, entry, k); f != nil {
		return f
	}
	v.result.RenderMillis = entry.millis()
	v.result.Message = fmt.Sprintf("ComfyUI rendered a fresh picture in %d ms, and it is right.", v.result.RenderMillis)
	if k.filter != blurClass {
		v.result.Message += " The node " + blurClass + " is missing, so " + k.filter + " was used, which proves a little less."
	}
	return nil
}

// forget removes the smoke prompt from the queue, when it is not done, and from
// the history, unless it is to be kept. It is a courtesy: when it fails, nothing
// depends on it.
func (v *verification) forget(ctx context.Context, id string, done bool) {
	remove := map[string][]string{"delete": {id}}
	if !done {
		_, _ = v.session.postJSON(ctx, "/queue", remove) //nolint:errcheck // see above
	}
	if !v.options.KeepHistory {
		_, _ = v.session.postJSON(ctx, "/history", remove) //nolint:errcheck // see above
	}
}

// acceptance is the answer to an accepted prompt. The id is the one to use: old
// versions mint their own. first is true for the first prompt of the process.
type acceptance struct {
	id    string
	first bool
}

// submit posts the prompt.
func (v *verification) submit(ctx context.Context, k smoke) (acceptance, *finding) {
	r, err := v.session.postJSON(ctx, "/prompt", k.body())
	if err != nil {
		return acceptance{}, unreachable(err)
	}
	if r.status == http.StatusBadRequest && isJSON(r.header) {
		return acceptance{}, v.judgeRefusal(r.body, k)
	}
	if verdict := v.session.judge(r); verdict != nil {
		return acceptance{}, unreachable(verdict)
	}
	accepted, nodeErrors, ok := decodeAcceptance(r.body, k.id)
	switch {
	case !ok || r.cut:
		return acceptance{}, unreachable(unexpectedBody())
	case nodeErrors != "":
		v.forget(ctx, accepted.id, false)
		return acceptance{}, found(fleet.FaultRenderFailed, "ComfyUI dropped a part of the smoke prompt: "+quote(nodeErrors, v.session.target.Token)+". Check its version and its custom nodes.")
	}
	return accepted, nil
}

// decodeAcceptance reads {"prompt_id":"…","number":7,"node_errors":{}}.
func decodeAcceptance(body []byte, sent string) (accepted acceptance, nodeErrors string, ok bool) {
	var wire struct {
		PromptID   string          `json:"prompt_id"`
		Number     *float64        `json:"number"`
		NodeErrors json.RawMessage `json:"node_errors"`
	}
	if !isObject(body) || !decode(body, &wire) {
		return acceptance{}, "", false
	}
	accepted.id = sent
	if wire.PromptID != "" {
		accepted.id = wire.PromptID
	}
	accepted.first = wire.Number != nil && *wire.Number == 0
	return accepted, describeNodeErrors(wire.NodeErrors), accepted.id != "" && (wire.PromptID != "" || wire.Number != nil)
}

// refusal is the body of a 400 in both known shapes.
type refusal struct {
	kind, message, details, class string
	nodes                         string
}

// decodeRefusal reads {"error":{type,message,details,extra_info},"node_errors":{…}};
// the error may also be a plain string.
func decodeRefusal(body []byte) refusal {
	var wire struct {
		Error      json.RawMessage `json:"error"`
		NodeErrors json.RawMessage `json:"node_errors"`
	}
	var nested struct {
		Type      string          `json:"type"`
		Message   string          `json:"message"`
		Details   string          `json:"details"`
		ExtraInfo json.RawMessage `json:"extra_info"`
	}
	var extra struct {
		ClassType string `json:"class_type"`
	}
	var plain string
	if !decode(body, &wire) {
		return refusal{}
	}
	if decode(wire.Error, &nested); nested.Type == "" && nested.Message == "" {
		decode(wire.Error, &plain)
		nested.Message = plain
	}
	decode(nested.ExtraInfo, &extra)
	return refusal{
		kind: nested.Type, message: nested.Message, details: nested.Details, class: extra.ClassType,
		nodes: describeNodeErrors(wire.NodeErrors),
	}
}

// describeNodeErrors lists the types of node errors in a stable order: "2
// (ImageBlur): value_not_in_list". It is empty when there are none.
func describeNodeErrors(body []byte) string {
	var nodes map[string]struct {
		ClassType string `json:"class_type"`
		Errors    []struct {
			Type string `json:"type"`
		} `json:"errors"`
	}
	if !isObject(body) || !decode(body, &nodes) {
		return ""
	}
	lines := make([]string, 0, len(nodes))
	for id, node := range nodes {
		kinds := make([]string, 0, len(node.Errors))
		for _, one := range node.Errors {
			kinds = append(kinds, one.Type)
		}
		lines = append(lines, fmt.Sprintf("%s (%s): %s", id, node.ClassType, strings.Join(kinds, " ")))
	}
	slices.Sort(lines)
	return strings.Join(lines, "; ")
}

// judgeRefusal says why the smoke prompt was refused. The prompt is fixed and
// valid, so the type invalid_prompt of older versions can only mean what
// missing_node_type means in newer ones: a class is not there.
func (v *verification) judgeRefusal(body []byte, k smoke) *finding {
	refused := decodeRefusal(body)
	secret := v.session.target.Token
	if refused.kind == "missing_node_type" || refused.kind == "invalid_prompt" {
		class := refused.class
		if class == "" {
			class = k.filter
		}
		f := found(fleet.FaultNodeMissing, "ComfyUI lacks the core node "+quote(class, secret)+
			" that the smoke prompt needs. Look for IMPORT FAILED in the instance's log, and use another image.")
		if k.filter == blurClass {
			f.retry = retryOtherNode
		}
		return f
	}
	text := strings.Join(slices.DeleteFunc([]string{refused.kind, refused.message, refused.details, refused.nodes}, func(part string) bool { return part == "" }), ", ")
	return found(fleet.FaultRenderFailed, "ComfyUI refused the smoke prompt: "+quote(text, secret)+". Check its version and its custom nodes.")
}
