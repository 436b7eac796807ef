package comfysim

import (
	"encoding/json"
	"testing"
)

// FuzzPrompt feeds prompts to the parser, the validator and the planner of execution: none may panic or recurse for ever, and
// what is accepted must be executable.
func FuzzPrompt(f *testing.F) {
	for _, seed := range []any{smokeGraph(1), diffusionGraph(18446744073709551615), map[string]any{"1": node("ImageBlur", map[string]any{"image": []any{"1", 0}})}} {
		data, err := json.Marshal(seed)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte(`{"1":{"class_type":"EmptyImage","inputs":{"width":"1e999999999","height":"0x10","batch_size":true,"color":null}},"2":{"class_type":"PreviewImage","inputs":{"images":["1",0]}}}`))
	f.Add([]byte(`{"1":{"class_type":"PreviewImage","inputs":{"images":[1,0]}},"1":null,"":[]}`))
	inst, err := New(Config{Clock: newStepClock()})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(inst.Stop)
	inst.mu.Lock()
	defs := inst.nodesLocked()
	inst.mu.Unlock()
	f.Fuzz(func(t *testing.T, data []byte) {
		g, err := parseGraph(data)
		if err != nil {
			return
		}
		for _, newer := range []bool{true, false} {
			checked := validatePrompt(g, defs, newer, nil)
			if (checked.refusal == nil) != (len(checked.outputs) > 0) {
				t.Fatalf("refused %v with outputs %v", checked.refusal, checked.outputs)
			}
			if _, err := json.Marshal(checked.nodeErrors); err != nil {
				t.Fatalf("the errors are no JSON: %v", err)
			}
			if checked.refusal != nil {
				continue
			}
			sign := &signer{graph: g, known: map[string]string{}, salt: func(*graphNode) string { return "" }}
			for _, id := range g.executionOrder(checked.outputs, func(string) bool { return false }) {
				for _, l := range g.nodes[id].links() {
					if g.nodes[l.node] == nil {
						t.Fatalf("accepted a link from %s to %s, which is not there", id, l.node)
					}
				}
				if sign.signature(id) == "" {
					t.Fatalf("node %s has no signature", id)
				}
			}
		}
	})
}
