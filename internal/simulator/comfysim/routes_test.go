package comfysim

import (
	"bytes"
	"image/color"
	"mime/multipart"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestInterrupts(t *testing.T) {
	b := ready(t, func(c *Config) { c.Timings.RenderTime = 20 * time.Minute })
	id := b.submit(diffusionGraph(1), nil)
	b.untilNode("5")
	b.do(http.MethodPost, "/interrupt", map[string]string{"prompt_id": "another"})
	b.clk.step(6 * time.Minute)
	if got := string(b.get("/history/" + id).body); got != "{}" {
		t.Fatalf("an interrupt of another prompt ended this one: %s", got)
	}
	before := b.clk.Now()
	if a := b.do(http.MethodPost, "/interrupt", "not json"); a.status != http.StatusOK || len(a.body) != 0 {
		t.Errorf("interrupt: %d %q", a.status, a.body)
	}
	e := b.finished(id)
	if e.Status.Status != "error" || e.Status.Completed || e.message(t, "execution_interrupted")["node_id"] != "5" {
		t.Errorf("interrupted: %+v", e.Status)
	}
	if took := b.clk.Since(before); took > 6*time.Minute {
		t.Errorf("the next step boundary was %s away", took)
	}
	b.do(http.MethodPost, "/interrupt", nil)
	if e := b.finished(b.submit(smokeGraph(1), nil)); !e.Status.Completed {
		t.Error("an interrupt while idle hit the next prompt")
	}
}

func TestRoutesTable(t *testing.T) {
	b := ready(t, func(c *Config) {
		c.Models = map[string][]ModelFile{
			"checkpoints": {{Name: SD15Checkpoint, SizeBytes: 100, BuiltIn: true}}, "embeddings": {{Name: "bad.pt"}},
			"mine": {{Name: "x/y.bin", SizeBytes: 7}},
		}
		c.Nodes = []NodeSpec{{Class: "Fancy", Module: "fancy-pack", Required: map[string]string{"image": "IMAGE"}, Outputs: []string{"IMAGE"}}}
	})
	tests := map[string]struct {
		method, path string
		status       int
		contains     string
	}{
		"api alias":           {path: "/api/system_stats", status: 200, contains: `"devices":[{`},
		"object info, one":    {path: "/object_info/ImageBlur", status: 200, contains: `"python_module":"comfy_extras.nodes_post_processing"`},
		"object info, none":   {path: "/object_info/NoSuch", status: 200, contains: `{}`},
		"object info, all":    {path: "/object_info", status: 200, contains: `"KSampler":{`},
		"object info, custom": {path: "/object_info/Fancy", status: 200, contains: `"python_module":"custom_nodes.fancy-pack"`},
		"object info, v3":     {path: "/object_info/UpscaleModelLoader", status: 200, contains: `["COMBO",{`},
		"object info, v1":     {path: "/object_info/CheckpointLoaderSimple", status: 200, contains: `"ckpt_name":[["` + SD15Checkpoint + `"],{`},
		"models":              {path: "/models", status: 200, contains: `"mine"`},
		"models of a folder":  {path: "/models/mine", status: 200, contains: `["x/y.bin"]`},
		"models, empty":       {path: "/models/loras", status: 200, contains: `[]`},
		"models, unknown":     {path: "/models/none", status: 404},
		"sizes":               {path: "/experiment/models/checkpoints", status: 200, contains: `"size":100`},
		"sizes, unknown":      {path: "/api/experiment/models/none", status: 404},
		"embeddings":          {path: "/embeddings", status: 200, contains: `["bad"]`},
		"extensions":          {path: "/extensions", status: 200, contains: `fancy-pack`},
		"features":            {path: "/features", status: 200, contains: `"max_upload_size":104857600`},
		"index":               {path: "/", status: 200, contains: `<html>`},
		"logs":                {path: "/internal/logs", status: 200, contains: `To see the GUI go to`},
		"logs, raw":           {path: "/internal/logs/raw", status: 200, contains: `"size":{"cols":80,"rows":24}`},
		"logs, no alias":      {path: "/api/internal/logs", status: 404},
		"folder paths":        {path: "/internal/folder_paths", status: 200, contains: `"checkpoints":[`},
		"files":               {path: "/internal/files/input", status: 200, contains: exampleImage},
		"files, odd":          {path: "/internal/files/secret", status: 400},
		"view, absent":        {path: "/view?filename=no.png", status: 404},
		"view, unnamed":       {path: "/view", status: 404},
		"view, outside":       {path: "/view?filename=../../x", status: 400},
		"view, outside 2":     {path: "/view?filename=x&subfolder=../..", status: 403},
		"view, outside 3":     {path: "/view?filename=x&subfolder=/etc", status: 403},
		"view, example":       {path: "/view?filename=example.png&type=input", status: 200, contains: "\x89PNG"},
		"view, jpeg":          {path: "/view?filename=example.png&type=input&preview=jpeg;90", status: 200, contains: "\xff\xd8"},
		"unknown":             {path: "/nonsense", status: 404, contains: `404: Not Found`},
		"unknown post":        {method: http.MethodPost, path: "/nonsense", status: 405},
		"wrong method":        {method: http.MethodPost, path: "/system_stats", status: 405},
		"head":                {method: http.MethodHead, path: "/prompt", status: 200},
		"options":             {method: http.MethodOptions, path: "/prompt", status: 200},
		"history, bad number": {path: "/history?max_items=x", status: 500},
		"jobs without alias":  {path: "/jobs", status: 404},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if test.method == "" {
				test.method = http.MethodGet
			}
			a := b.do(test.method, test.path, nil)
			if a.status != test.status || !strings.Contains(string(a.body), test.contains) {
				t.Errorf("got %d %.200q", a.status, a.body)
			}
			if a.header.Get("Access-Control-Allow-Origin") != "*" || !strings.HasPrefix(a.header.Get("Server"), "Python/") {
				t.Errorf("headers: %v", a.header)
			}
			date, err := http.ParseTime(a.header.Get("Date"))
			if err != nil || date.Sub(b.clk.Now()).Abs() > time.Second {
				t.Errorf("Date %v is not the simulated time: %v", date, err)
			}
		})
	}
}

func TestOriginCheckWithoutTheCORSFlag(t *testing.T) {
	b := ready(t, func(c *Config) { c.Env["COMFYUI_ARGS"] = "--port 18188" })
	for name, test := range map[string]struct {
		header map[string]string
		status int
	}{
		"plain client":   {status: 200},
		"cross site":     {header: map[string]string{"Sec-Fetch-Site": "cross-site"}, status: 403},
		"foreign origin": {header: map[string]string{"Origin": "https://example.com"}, status: 403},
		"same origin":    {header: map[string]string{"Origin": "http://localhost:18188"}, status: 200},
	} {
		t.Run(name, func(t *testing.T) {
			a := b.doWith(http.MethodGet, "/prompt", nil, test.header)
			if a.status != test.status || a.header.Get("Access-Control-Allow-Origin") != "" {
				t.Errorf("got %d %v", a.status, a.header)
			}
		})
	}
}

func TestUploads(t *testing.T) {
	b := ready(t, func(c *Config) { c.Env["COMFYUI_ARGS"] = defaultComfyArgs + " --max-upload-size 1" })
	picture := flatPicture(3, 2, [3]uint8{9, 8, 7})
	data, err := picture.encodePNG(nil)
	if err != nil {
		t.Fatal(err)
	}
	upload := func(name string, data []byte) answer {
		var body bytes.Buffer
		form := multipart.NewWriter(&body)
		part, err := form.CreateFormFile("image", name)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = part.Write(data)
		_ = form.Close()
		return b.doWith(http.MethodPost, "/upload/image", body.String(), map[string]string{"Content-Type": form.FormDataContentType()})
	}
	for n, want := range []string{"tiny.png", "tiny.png", "tiny (1).png"} {
		sent := data
		if n == 2 {
			sent = append(slices.Clone(data), 0)
		}
		if a := upload("tiny.png", sent); a.json(t)["name"] != want {
			t.Errorf("upload %d: %s, want %s", n, a.body, want)
		}
	}
	if a := upload("big.png", make([]byte, 2<<20)); a.status != http.StatusRequestEntityTooLarge {
		t.Errorf("too large: %d", a.status)
	}
	e := b.finished(b.submit(map[string]any{
		"1": node("LoadImage", map[string]any{"image": "tiny.png"}),
		"2": node("ImageInvert", map[string]any{"image": []any{"1", 0}}),
		"3": node("PreviewImage", map[string]any{"images": []any{"2", 0}}),
	}, nil))
	got := b.view(e.Outputs["3"].Images[0])
	if got.Bounds().Dx() != 3 || got.Bounds().Dy() != 2 || got.At(1, 1) != (color.RGBA{R: 246, G: 247, B: 248, A: 255}) {
		t.Errorf("inverted upload: %v %v", got.Bounds(), got.At(1, 1))
	}
}

func TestCustomNodesPassPicturesThrough(t *testing.T) {
	b := ready(t, func(c *Config) {
		c.Nodes = []NodeSpec{{
			Class: "Fancy", Required: map[string]string{"image": "IMAGE"}, Outputs: []string{"IMAGE"}, GPU: true, Duration: 30 * time.Second,
		}}
	})
	graph := smokeGraph(0x102030)
	graph["2"] = node("Fancy", map[string]any{"image": []any{"1", 0}})
	before := b.clk.Now()
	e := b.finished(b.submit(graph, nil))
	if took := b.clk.Since(before); took < 30*time.Second {
		t.Errorf("took %s", took)
	}
	wantNear(t, b.view(e.Outputs["3"].Images[0]), color.RGBA{R: 0x10, G: 0x20, B: 0x30})
}
