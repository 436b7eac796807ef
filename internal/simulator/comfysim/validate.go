package comfysim

import (
	"encoding/json"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"
)

// apiError is the error object of a 400.
type apiError struct {
	Type    string         `json:"type"`
	Message string         `json:"message"`
	Details string         `json:"details"`
	Extra   map[string]any `json:"extra_info"`
}

// nodeError is what node_errors says of one node.
type nodeError struct {
	Errors    []apiError `json:"errors"`
	Dependent []string   `json:"dependent_outputs"`
	Class     string     `json:"class_type"`
}

// validation is the outcome of checking a prompt: a refusal, or the outputs that may run and what was wrong with the others.
type validation struct {
	refusal    *apiError
	outputs    []string
	nodeErrors map[string]*nodeError
}

// validator walks one prompt as ComfyUI does: from each output node down its links, each node once.
type validator struct {
	graph *graph
	defs  map[string]nodeDef
	newer bool
	seen  map[string]nodeVerdict
	path  []string
}

type nodeVerdict struct {
	valid  bool
	errors []apiError
}

func validatePrompt(g *graph, defs map[string]nodeDef, newer bool, targets []string) validation {
	v := &validator{graph: g, defs: defs, newer: newer, seen: map[string]nodeVerdict{}}
	outputs, refusal := v.outputNodes(targets)
	if refusal != nil {
		return validation{refusal: refusal, nodeErrors: map[string]*nodeError{}}
	}
	result := validation{outputs: []string{}, nodeErrors: map[string]*nodeError{}}
	var details []string
	for _, output := range outputs {
		verdict := v.check(output)
		if verdict.valid {
			result.outputs = append(result.outputs, output)
			continue
		}
		for _, e := range verdict.errors {
			details = append(details, e.Message+": "+e.Details)
		}
		v.blame(result.nodeErrors, output)
	}
	if len(result.outputs) == 0 {
		result.refusal = &apiError{
			Type: "prompt_outputs_failed_validation", Message: "Prompt outputs failed validation",
			Details: strings.Join(details, "\n"), Extra: map[string]any{},
		}
	}
	return result
}

// outputNodes finds the nodes that end the prompt, and refuses classes that are not there.
func (v *validator) outputNodes(targets []string) ([]string, *apiError) {
	var outputs []string
	for _, id := range v.graph.order {
		node := v.graph.nodes[id]
		def, known := v.defs[node.class]
		if !node.hasClass || !known {
			return nil, v.missingNode(id, node)
		}
		if def.output && (targets == nil || slices.Contains(targets, id)) {
			outputs = append(outputs, id)
		}
	}
	if len(outputs) == 0 {
		return nil, &apiError{Type: "prompt_no_outputs", Message: "Prompt has no outputs", Extra: map[string]any{}}
	}
	return outputs, nil
}

func (v *validator) missingNode(id string, node *graphNode) *apiError {
	e := &apiError{Type: "invalid_prompt", Details: fmt.Sprintf("Node ID '#%s'", id), Extra: map[string]any{}}
	title := node.title
	switch {
	case v.newer && node.hasClass:
		if title == "" {
			title = node.class
		}
		e.Message = fmt.Sprintf("Node '%s' not found. The custom node may not be installed.", title)
	case v.newer:
		if title == "" {
			title = "ID #" + id
		}
		e.Message = fmt.Sprintf("Node '%s' has no class_type. The workflow may be corrupted or a custom node is missing.", title)
	case node.hasClass:
		e.Message = fmt.Sprintf("Cannot execute because node %s does not exist.", node.class)
	default:
		e.Message = "Cannot execute because a node is missing the class_type property."
	}
	if v.newer {
		e.Type = "missing_node_type"
		e.Extra = map[string]any{"node_id": id, "class_type": nil, "node_title": nil}
		if node.hasClass {
			e.Extra["class_type"], e.Extra["node_title"] = node.class, title
		} else if node.title != "" {
			e.Extra["node_title"] = node.title
		}
	}
	return e
}

// blame lists every invalid node seen so far under the output that needed it.
func (v *validator) blame(into map[string]*nodeError, output string) {
	for _, id := range sortedKeys(v.seen) {
		verdict := v.seen[id]
		if verdict.valid || len(verdict.errors) == 0 {
			continue
		}
		if into[id] == nil {
			class := ""
			if node := v.graph.nodes[id]; node != nil {
				class = node.class
			}
			into[id] = &nodeError{Errors: verdict.errors, Class: class, Dependent: []string{}}
		}
		into[id].Dependent = append(into[id].Dependent, output)
	}
}

// check validates a node and what it takes in.
func (v *validator) check(id string) nodeVerdict {
	if verdict, done := v.seen[id]; done {
		return verdict
	}
	if at := slices.Index(v.path, id); at >= 0 {
		return v.cycle(append(slices.Clone(v.path[at:]), id))
	}
	node := v.graph.nodes[id]
	def := v.defs[node.class]
	verdict := nodeVerdict{valid: true}
	if !node.hasInput {
		verdict = nodeVerdict{errors: []apiError{{
			Type: "exception_during_validation", Message: "Exception when validating node", Details: "'inputs'",
			Extra: map[string]any{"exception_type": "KeyError", "traceback": []string{}},
		}}}
		v.seen[id] = verdict
		return verdict
	}
	for _, input := range append(slices.Clone(def.required), def.optional...) {
		raw, given := node.inputs[input.name]
		if !given {
			if slices.ContainsFunc(def.required, func(d inputDef) bool { return d.name == input.name }) {
				verdict.errors = append(verdict.errors, apiError{
					Type: "required_input_missing", Message: "Required input is missing", Details: input.name,
					Extra: map[string]any{"input_name": input.name},
				})
			}
			continue
		}
		e, upstream := v.checkInput(id, node, input, raw)
		if e != nil {
			verdict.errors = append(verdict.errors, *e)
		}
		verdict.valid = verdict.valid && upstream
	}
	if earlier, done := v.seen[id]; done { // a cycle below has judged this node already
		verdict.valid, verdict.errors = verdict.valid && earlier.valid, append(earlier.errors, verdict.errors...)
	}
	verdict.valid = verdict.valid && len(verdict.errors) == 0
	v.seen[id] = verdict
	return verdict
}

func (v *validator) cycle(path []string) nodeVerdict {
	steps := make([]string, 0, len(path))
	for _, id := range path {
		steps = append(steps, fmt.Sprintf("%s (%s)", id, v.graph.nodes[id].class))
	}
	nodes := path[:len(path)-1]
	for _, id := range nodes {
		v.seen[id] = nodeVerdict{errors: []apiError{{
			Type: "dependency_cycle", Message: "Dependency cycle detected", Details: strings.Join(steps, " -> "),
			Extra: map[string]any{"node_id": id, "cycle_nodes": nodes},
		}}}
	}
	return v.seen[nodes[0]]
}

// checkInput checks one input. upstream is false when a node that it links to is invalid, which is that node's error, not this.
func (v *validator) checkInput(id string, node *graphNode, input inputDef, raw json.RawMessage) (e *apiError, upstream bool) {
	l, isList, ok := asLink(raw)
	switch {
	case isList && !ok:
		return inputError("bad_linked_input", "Bad linked input, must be a length-2 list of [node_id, slot_index]", input.name, input, raw), true
	case isList:
		return v.checkLink(id, input, l, raw)
	default:
		return v.checkValue(node, input, raw), true
	}
}

func (v *validator) checkLink(id string, input inputDef, l link, raw json.RawMessage) (*apiError, bool) {
	target := v.graph.nodes[l.node]
	if target == nil {
		return v.innerException(id, "KeyError", fmt.Sprintf("'%s'", l.node)), true
	}
	outputs := v.defs[target.class].outputs
	if l.slot < 0 || l.slot >= len(outputs) {
		return v.innerException(id, "IndexError", "tuple index out of range"), true
	}
	if want, got := input.kind, outputs[l.slot]; want != got && want != "*" && got != "*" && !input.combo {
		return &apiError{
			Type: "return_type_mismatch", Message: "Return type mismatch between linked nodes",
			Details: fmt.Sprintf("%s, received_type(%s) mismatch input_type(%s)", input.name, got, want),
			Extra: map[string]any{
				"input_name": input.name, "input_config": input.errorConfig(), "received_type": got, "linked_node": raw,
			},
		}, true
	}
	v.path = append(v.path, id)
	verdict := v.check(l.node)
	v.path = v.path[:len(v.path)-1]
	return nil, verdict.valid
}

// innerException is what a link to nowhere becomes: Python's exception while the node that holds it is validated.
func (v *validator) innerException(id, exception, details string) *apiError {
	kind, message := "exception_during_validation", "Exception when validating node"
	if len(v.path) > 0 {
		kind, message = "exception_during_inner_validation", "Exception when validating inner node"
	}
	return &apiError{
		Type: kind, Message: message, Details: details,
		Extra: map[string]any{
			"exception_type": exception, "exception_message": details, "linked_node": []any{id, 0},
			"traceback": []string{"  File \"/workspace/ComfyUI/execution.py\", in validate_inputs\n"},
		},
	}
}

func (v *validator) checkValue(node *graphNode, input inputDef, raw json.RawMessage) *apiError {
	if node.class == "LoadImage" && input.name == "image" {
		if name := node.text("image"); !slices.Contains(input.choices, name) {
			return &apiError{
				Type: "custom_validation_failed", Message: "Custom validation failed for node",
				Details: "image - Invalid image file: " + name, Extra: map[string]any{"input_name": "image"},
			}
		}
		return nil
	}
	if input.combo {
		return checkChoice(input, raw)
	}
	if input.kind == "INT" || input.kind == "FLOAT" {
		return checkNumber(input, raw)
	}
	return nil
}

func checkChoice(input inputDef, raw json.RawMessage) *apiError {
	var value any
	if json.Unmarshal(raw, &value) != nil {
		return nil
	}
	text, isText := value.(string)
	if isText && slices.Contains(input.choices, text) {
		return nil
	}
	shown := string(raw)
	if isText {
		shown = "'" + text + "'"
	}
	e := inputError("value_not_in_list", "Value not in list", "", input, raw)
	e.Details = fmt.Sprintf("%s: %s not in %s", input.name, shown, pythonList(input.choices))
	if len(input.choices) > 20 { // long lists are not echoed
		e.Details = fmt.Sprintf("%s: %s not in (list of length %d)", input.name, shown, len(input.choices))
		e.Extra["input_config"] = nil
	}
	return e
}

// checkNumber converts as Python's int() and float() do and compares exactly: seeds need all 64 bits.
func checkNumber(input inputDef, raw json.RawMessage) *apiError {
	text := strings.TrimSpace(string(raw))
	if unquoted, err := strconv.Unquote(text); err == nil {
		text = strings.TrimSpace(unquoted)
	}
	switch text {
	case "true":
		text = "1"
	case "false":
		text = "0"
	}
	value, ok := exactNumber(text)
	if !ok {
		e := inputError("invalid_input_type", fmt.Sprintf("Failed to convert an input value to a %s value", input.kind), "", input, raw)
		reason := fmt.Sprintf("invalid literal for int() with base 10: '%s'", text)
		if input.kind == "FLOAT" {
			reason = fmt.Sprintf("could not convert string to float: '%s'", text)
		}
		e.Details = fmt.Sprintf("%s, %s, %s", input.name, text, reason)
		e.Extra["exception_message"] = reason
		return e
	}
	var limits struct {
		Min, Max json.Number
	}
	if input.options == "" || json.Unmarshal([]byte(input.options), &limits) != nil {
		return nil
	}
	if low, ok := new(big.Rat).SetString(limits.Min.String()); ok && value.Cmp(low) < 0 {
		return inputError("value_smaller_than_min", fmt.Sprintf("Value %s smaller than min of %s", text, limits.Min), input.name, input, raw)
	}
	if high, ok := new(big.Rat).SetString(limits.Max.String()); ok && value.Cmp(high) > 0 {
		return inputError("value_bigger_than_max", fmt.Sprintf("Value %s bigger than max of %s", text, limits.Max), input.name, input, raw)
	}
	return nil
}

// exactNumber reads a decimal without rounding. Exponents that no input has are refused: their digits would fill the memory.
func exactNumber(text string) (*big.Rat, bool) {
	if at := strings.IndexAny(text, "eE"); at >= 0 {
		exponent, err := strconv.Atoi(text[at+1:])
		if err != nil || exponent > 400 || exponent < -400 {
			return nil, false
		}
	}
	if strings.ContainsAny(text, "/xXpP_") {
		return nil, false // forms of Go's that Python does not know
	}
	return new(big.Rat).SetString(text)
}

func inputError(kind, message, details string, input inputDef, raw json.RawMessage) *apiError {
	return &apiError{
		Type: kind, Message: message, Details: details,
		Extra: map[string]any{"input_name": input.name, "input_config": input.errorConfig(), "received_value": raw},
	}
}
