package comfysim

import (
	"encoding/json"
	"net/http"
	"strconv"
	"testing"
)

func TestDeepSharedGraphsAreValidatedAndSignedOnce(t *testing.T) {
	b := ready(t, func(c *Config) {
		c.Nodes = []NodeSpec{{Class: "Blend", Required: map[string]string{"a": "IMAGE", "b": "IMAGE"}, Outputs: []string{"IMAGE"}}}
	})
	graph := map[string]any{"0": node("EmptyImage", map[string]any{"width": 8, "height": 8, "batch_size": 1, "color": 255})}
	const depth = 60 // 2^60 paths lead to the first node
	for n := 1; n <= depth; n++ {
		below := []any{strconv.Itoa(n - 1), 0}
		graph[strconv.Itoa(n)] = node("Blend", map[string]any{"a": below, "b": below})
	}
	graph["out"] = node("PreviewImage", map[string]any{"images": []any{strconv.Itoa(depth), 0}})
	if e := b.finished(b.submit(graph, nil)); !e.Status.Completed {
		t.Errorf("status %+v", e.Status)
	}
}

func TestSignaturesSeeEveryInput(t *testing.T) {
	sign := func(graph map[string]any) string {
		data, err := json.Marshal(graph)
		if err != nil {
			t.Fatal(err)
		}
		g, err := parseGraph(data)
		if err != nil {
			t.Fatal(err)
		}
		return (&signer{graph: g, known: map[string]string{}, salt: func(*graphNode) string { return "" }}).signature("3")
	}
	base := sign(smokeGraph(1))
	if again := sign(smokeGraph(1)); again != base {
		t.Error("equal prompts differ")
	}
	if other := sign(smokeGraph(2)); other == base {
		t.Error("an input two nodes up is not seen")
	}
	graph := smokeGraph(1)
	graph["2"] = node("ImageInvert", map[string]any{"image": []any{"1", 0}})
	if other := sign(graph); other == base {
		t.Error("a class one node up is not seen")
	}
}

func TestSeedsKeepAll64Bits(t *testing.T) {
	b := ready(t, nil)
	id := b.submit(diffusionGraph(18446744073709551615), nil)
	var prompt map[string]struct {
		Inputs struct {
			Seed json.Number `json:"seed"`
		} `json:"inputs"`
	}
	if err := json.Unmarshal(b.finished(id).Prompt[2], &prompt); err != nil || prompt["5"].Inputs.Seed != "18446744073709551615" {
		t.Errorf("seed came back as %q: %v", prompt["5"].Inputs.Seed, err)
	}
	graph := diffusionGraph(1)
	sampler, _ := graph["5"].(map[string]any)
	inputs, _ := sampler["inputs"].(map[string]any)
	inputs["seed"] = json.RawMessage("18446744073709551616")
	if a := b.do(http.MethodPost, "/prompt", map[string]any{"prompt": graph}); a.status != http.StatusBadRequest {
		t.Errorf("one more than fits: %d", a.status)
	}
}
