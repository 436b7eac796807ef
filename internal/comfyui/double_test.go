package comfyui

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/warmpool-dev/warmpool/internal/fleet"
)

// double is a small ComfyUI that does what a test tells it. A nil hook is the
// behaviour of a healthy instance of ComfyUI 0.38.
type double struct {
	stats   string
	number  int
	mintsID string
	// refuse answers POST /prompt in place of accepting, when it is not empty.
	refuse func(class string, attempt int) string
	// entry is the history entry of the prompt, given its attempt; empty while it is not done.
	entry func(attempt int) string
	// picture is what /view serves.
	picture func(sent smokePrompt) []byte
	// queue is what /queue answers.
	queue func(id string) string
	// routes answer before everything else.
	routes map[string]http.HandlerFunc

	mu       sync.Mutex
	attempts int
	prompts  []smokePrompt
	calls    []string
	bodies   map[string]string
}

// smokePrompt is what was posted.
type smokePrompt struct {
	ID     string `json:"prompt_id"`
	Prompt map[string]struct {
		Class  string         `json:"class_type"`
		Inputs map[string]any `json:"inputs"`
	} `json:"prompt"`
}

func (s smokePrompt) color() int {
	value, _ := s.Prompt["1"].Inputs["color"].(float64)
	return int(value)
}

const healthyStats = `{"system":{"os":"linux","comfyui_version":"0.38.1","pytorch_version":"2.10.0+cu128","argv":["main.py"]},
	"devices":[{"name":"cuda:0 NVIDIA GeForce RTX 4090 : cudaMallocAsync","type":"cuda","index":0,"vram_total":25250627584,"vram_free":24500000000}]}`

func successEntry(cached string) string {
	return `{"outputs":{"3":{"images":[{"filename":"ComfyUI_temp_abcde_00001_.png","subfolder":"","type":"temp"}]}},
	"status":{"status_str":"success","completed":true,"messages":[
		["execution_start",{"timestamp":1758000000000}],["execution_cached",{"nodes":[` + cached + `]}],["execution_success",{"timestamp":1758000000123}]]}}`
}

func errorEntry(kind, message string) string {
	return `{"outputs":{},"status":{"status_str":"error","completed":false,"messages":[["execution_start",{"timestamp":1}],
		["execution_error",{"node_id":"2","node_type":"ImageBlur","exception_type":"` + kind + `","exception_message":"` + message + `","traceback":["cudnn"]}]]}}`
}

// paint makes a picture of one colour.
func paint(width, height int, fill color.Color) []byte {
	picture := image.NewNRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			picture.Set(x, y, fill)
		}
	}
	var out bytes.Buffer
	_ = png.Encode(&out, picture)
	return out.Bytes()
}

func rgb(value int) color.NRGBA {
	return color.NRGBA{R: uint8(value >> 16), G: uint8(value >> 8), B: uint8(value), A: 255}
}

// start serves the double.
func (d *double) start(t *testing.T) Target {
	t.Helper()
	d.bodies = map[string]string{}
	return serve(t, d.ServeHTTP)
}

func (d *double) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var body bytes.Buffer
	_, _ = body.ReadFrom(r.Body)
	call := r.Method + " " + r.URL.EscapedPath()
	d.calls = append(d.calls, call)
	d.bodies[call] = body.String()
	if route, ok := d.routes[call]; ok {
		route(w, r)
		return
	}
	class, isClass := strings.CutPrefix(r.URL.Path, "/object_info/")
	id, isHistory := strings.CutPrefix(r.URL.Path, "/history/")
	switch {
	case r.URL.Path == "/system_stats":
		stats := d.stats
		if stats == "" {
			stats = healthyStats
		}
		answer(200, stats, jsonType)(w, r)
	case isClass && strings.HasPrefix(class, "No"):
		answer(200, `{}`, jsonType)(w, r)
	case isClass:
		answer(200, `{"`+class+`":{"input":{"required":{"x":["FLOAT",{"max":Infinity}]}}}}`, jsonType)(w, r)
	case call == "GET /models/checkpoints":
		answer(200, `["sd15.safetensors","sub/sdxl.safetensors"]`, jsonType)(w, r)
	case call == "GET /experiment/models/checkpoints":
		answer(200, `[{"name":"sd15.safetensors","pathIndex":0,"size":2132696762},{"name":"sub/sdxl.safetensors","size":12345}]`, jsonType)(w, r)
	case call == "POST /prompt":
		d.accept(w, r, body.Bytes())
	case isHistory:
		d.history(w, r, id)
	case call == "GET /queue":
		text := `{"queue_running":[],"queue_pending":[]}`
		if d.queue != nil {
			text = d.queue(d.lastID())
		}
		answer(200, text, jsonType)(w, r)
	case call == "GET /view" && r.URL.Query().Get("filename") == "ComfyUI_temp_abcde_00001_.png" && r.URL.Query().Get("type") == "temp":
		picture := paint(256, 256, rgb(d.prompts[len(d.prompts)-1].color()))
		if d.picture != nil {
			picture = d.picture(d.prompts[len(d.prompts)-1])
		}
		answer(200, string(picture), "Content-Type: image/png")(w, r)
	case r.Method == http.MethodPost:
		answer(200, "")(w, r)
	default:
		answer(404, "404: Not Found", "Content-Type: text/plain")(w, r)
	}
}

func (d *double) lastID() string {
	if d.mintsID != "" {
		return d.mintsID
	}
	return d.prompts[len(d.prompts)-1].ID
}

func (d *double) accept(w http.ResponseWriter, r *http.Request, body []byte) {
	var sent smokePrompt
	if err := json.Unmarshal(body, &sent); err != nil {
		answer(500, "Server got itself in trouble")(w, r)
		return
	}
	d.attempts++
	if d.refuse != nil {
		if text := d.refuse(sent.Prompt["2"].Class, d.attempts); text != "" {
			answer(400, text, jsonType)(w, r)
			return
		}
	}
	d.prompts = append(d.prompts, sent)
	reply := fmt.Sprintf(`{"prompt_id":%q,"number":%d,"node_errors":{}}`, d.lastID(), d.number)
	d.number++
	answer(200, reply, jsonType)(w, r)
}

func (d *double) history(w http.ResponseWriter, r *http.Request, id string) {
	entry := successEntry("")
	if d.entry != nil {
		entry = d.entry(d.attempts)
	}
	if entry == "" || id != d.lastID() {
		answer(200, `{}`, jsonType)(w, r)
		return
	}
	answer(200, `{"`+id+`":`+entry+`}`, jsonType)(w, r)
}

// called counts the calls to a route.
func (d *double) called(call string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	count := 0
	for _, one := range d.calls {
		if one == call {
			count++
		}
	}
	return count
}

// expectations are those of an ordinary pool.
func expectations() fleet.Expectations {
	return fleet.Expectations{
		GPUs: 1, GPUName: "RTX 4090", Nodes: []string{"KSampler", "Image Resize (x/y)"}, Color: 0x3366CC,
		Models:   []fleet.ModelRequirement{{Folder: "checkpoints", Name: "sd15.safetensors", MinBytes: 2_000_000_000}},
		PromptID: "0b0e9c1a-5a3f-4c8e-9f65-6f1f5f1c2d3a",
	}
}
