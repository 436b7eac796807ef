package comfysim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestSmokePromptRendersTheColourOnEveryProfile(t *testing.T) {
	for _, profile := range []string{ProfileV0364, ProfileV038} {
		t.Run(profile, func(t *testing.T) {
			b := ready(t, func(c *Config) { c.Profile = profile })
			id := b.submit(smokeGraph(0x3366cc), map[string]any{"prompt_id": "0198e7f9-0d5e-4d26-90d9-85634528bb11"})
			if id != "0198e7f9-0d5e-4d26-90d9-85634528bb11" {
				t.Errorf("the client's prompt id was not kept: %q", id)
			}
			e := b.finished(id)
			if !e.Status.Completed || e.Status.Status != "success" {
				t.Fatalf("status: %+v", e.Status)
			}
			picture := b.view(e.Outputs["3"].Images[0])
			if picture.Bounds().Dx() != 256 || picture.Bounds().Dy() != 256 {
				t.Fatalf("size %v", picture.Bounds())
			}
			wantNear(t, picture, color.RGBA{R: 0x33, G: 0x66, B: 0xcc, A: 255})
		})
	}
}

func (b *bench) view(ref fileRef) image.Image {
	b.t.Helper()
	a := b.get("/view?filename=" + url.QueryEscape(ref.Filename) + "&type=" + ref.Type + "&subfolder=" + ref.Subfolder)
	if a.status != http.StatusOK || a.header.Get("Content-Type") != "image/png" {
		b.t.Fatalf("/view: %d %v", a.status, a.header)
	}
	picture, err := png.Decode(bytes.NewReader(a.body))
	if err != nil {
		b.t.Fatalf("decoding what /view sent: %v", err)
	}
	return picture
}

// wantNear allows what saving allows: each channel of every pixel from two below to one above.
func wantNear(t *testing.T, picture image.Image, want color.RGBA) {
	t.Helper()
	for y := range picture.Bounds().Dy() {
		for x := range picture.Bounds().Dx() {
			got, _ := color.RGBAModel.Convert(picture.At(x, y)).(color.RGBA)
			for n, pair := range [][2]uint8{{got.R, want.R}, {got.G, want.G}, {got.B, want.B}} {
				if d := int(pair[0]) - int(pair[1]); d < -2 || d > 1 {
					t.Fatalf("pixel %d,%d channel %d is %d, want about %d", x, y, n, pair[0], pair[1])
				}
			}
		}
	}
}

func TestEveryColourSurvivesTheBlurWithinTolerance(t *testing.T) {
	b := ready(t, nil)
	for _, c := range []int{0, 1, 0xffffff, 0x804020, 0x010203} {
		e := b.finished(b.submit(smokeGraph(c), nil))
		wantNear(t, b.view(e.Outputs["3"].Images[0]), color.RGBA{R: uint8(c >> 16), G: uint8(c >> 8), B: uint8(c), A: 255})
	}
}

func TestDiffusionChainRendersAnImageOfTheRightSizeAndDependsOnTheSeed(t *testing.T) {
	b := ready(t, func(c *Config) { c.Timings.ModelLoad, c.Timings.RenderTime = 6*time.Second, 4*time.Second })
	before := b.clk.Now()
	first := b.finished(b.submit(diffusionGraph(1), nil))
	if took := b.clk.Since(before); took < 10*time.Second {
		t.Errorf("loading and rendering took %s", took)
	}
	ref := first.Outputs["7"].Images[0]
	if diff := cmp.Diff(fileRef{Filename: "house_00001_.png", Type: "output"}, ref); diff != "" {
		t.Errorf("name (-want +got):\n%s", diff)
	}
	picture := b.view(ref)
	if picture.Bounds().Dx() != 128 || picture.Bounds().Dy() != 64 {
		t.Errorf("size %v", picture.Bounds())
	}
	before = b.clk.Now()
	second := b.finished(b.submit(diffusionGraph(18446744073709551615), nil))
	if took := b.clk.Since(before); took >= 8*time.Second {
		t.Errorf("the second run loaded the model again: %s", took)
	}
	if got := second.message(t, "execution_cached")["nodes"]; !cmp.Equal(got, []any{"1", "2", "3", "4"}) {
		t.Errorf("cached: %v", got)
	}
	other := b.view(second.Outputs["7"].Images[0])
	if second.Outputs["7"].Images[0].Filename != "house_00002_.png" || other.At(5, 5) == picture.At(5, 5) && other.At(50, 50) == picture.At(50, 50) {
		t.Error("another seed gave the same image or name")
	}
	stats := b.get("/system_stats").json(t)
	device, _ := stats["devices"].([]any)[0].(map[string]any)
	loaded, _ := device["torch_vram_total"].(float64)
	free, _ := device["vram_free"].(float64)
	if loaded < 2e9 {
		t.Errorf("torch_vram_total %v with a model loaded", loaded)
	}
	b.do(http.MethodPost, "/free", map[string]bool{"unload_models": true, "free_memory": true})
	stats = b.get("/system_stats").json(t)
	device, _ = stats["devices"].([]any)[0].(map[string]any)
	if after, _ := device["vram_free"].(float64); after <= free {
		t.Errorf("vram_free went from %v to %v after /free", free, after)
	}
}

func TestPNGCarriesThePromptUnlessMetadataIsOff(t *testing.T) {
	for name, args := range map[string]string{"on": defaultComfyArgs, "off": defaultComfyArgs + " --disable-metadata"} {
		t.Run(name, func(t *testing.T) {
			b := ready(t, func(c *Config) { c.Env["COMFYUI_ARGS"] = args })
			e := b.finished(b.submit(smokeGraph(5), nil))
			ref := e.Outputs["3"].Images[0]
			body := b.get("/view?filename=" + ref.Filename + "&type=temp").body
			if has := bytes.Contains(body, []byte("tEXtprompt\x00{\"1\":")); has != (name == "on") {
				t.Errorf("metadata: %v", has)
			}
			if _, err := png.Decode(bytes.NewReader(body)); err != nil {
				t.Errorf("no PNG any more: %v", err)
			}
		})
	}
}

func TestCacheServesOnlyTheLastPrompt(t *testing.T) {
	b := ready(t, nil)
	run := func(shade int) []any {
		e := b.finished(b.submit(smokeGraph(shade), nil))
		if len(e.Outputs["3"].Images) != 1 {
			t.Fatalf("outputs: %v", e.Outputs)
		}
		nodes, _ := e.message(t, "execution_cached")["nodes"].([]any)
		return nodes
	}
	if got := run(1); len(got) != 0 {
		t.Errorf("first: %v", got)
	}
	if got := run(1); !cmp.Equal(got, []any{"1", "2", "3"}) {
		t.Errorf("identical: %v", got)
	}
	if got := run(2); len(got) != 0 {
		t.Errorf("another colour: %v", got)
	}
	if got := run(1); len(got) != 0 {
		t.Errorf("the first again, after another: %v, the classic cache has dropped it", got)
	}
	b.do(http.MethodPost, "/free", map[string]bool{"free_memory": true})
	if got := run(1); len(got) != 0 {
		t.Errorf("after /free: %v", got)
	}
}

func TestCacheFlags(t *testing.T) {
	for flag, want := range map[string]int{"--cache-lru 20": 3, "--cache-none": 0} {
		t.Run(flag, func(t *testing.T) {
			b := ready(t, func(c *Config) { c.Env["COMFYUI_ARGS"] = defaultComfyArgs + " " + flag })
			for _, shade := range []int{1, 2} {
				b.finished(b.submit(smokeGraph(shade), nil))
			}
			nodes, _ := b.finished(b.submit(smokeGraph(1), nil)).message(t, "execution_cached")["nodes"].([]any)
			if len(nodes) != want {
				t.Errorf("cached %v, want %d", nodes, want)
			}
		})
	}
}

func TestQueueOrderNumbersAndShapes(t *testing.T) {
	b := ready(t, func(c *Config) { c.Timings.NodeTime, c.Profile = 10*time.Second, ProfileV0364 })
	ids := []string{
		b.submit(smokeGraph(1), map[string]any{"client_id": "me"}), b.submit(smokeGraph(2), nil),
		b.submit(smokeGraph(3), map[string]any{"front": true}), b.submit(smokeGraph(4), map[string]any{"number": -7.5}),
	}
	b.until("the first prompt runs", func() bool {
		running, _ := b.get("/queue").json(t)["queue_running"].([]any)
		return len(running) == 1
	})
	var queue struct {
		Running [][]json.RawMessage `json:"queue_running"`
		Pending [][]json.RawMessage `json:"queue_pending"`
	}
	if err := json.Unmarshal(b.get("/queue").body, &queue); err != nil {
		t.Fatal(err)
	}
	if len(queue.Running) != 1 || len(queue.Running[0]) != 5 || string(queue.Running[0][0]) != "0" || string(queue.Running[0][3]) != `{"client_id":"me"}` {
		t.Errorf("running: %s", queue.Running)
	}
	var numbers []string
	for _, it := range queue.Pending {
		numbers = append(numbers, string(it[0]))
	}
	slices.Sort(numbers)
	if !cmp.Equal(numbers, []string{"-2", "-7.5", "1"}) {
		t.Errorf("numbers: %v", numbers)
	}
	if got := string(b.get("/prompt").body); got != `{"exec_info":{"queue_remaining":4}}` {
		t.Errorf("remaining: %s", got)
	}
	if got := string(b.get("/history/" + ids[1]).body); got != "{}" {
		t.Errorf("history of a pending prompt: %s", got)
	}
	for _, id := range ids {
		b.finished(id)
	}
	if got := b.historyOrder(); !cmp.Equal(got, []string{ids[0], ids[3], ids[2], ids[1]}) {
		t.Errorf("completed in order %v of %v", got, ids)
	}
	var last orderOnly
	if err := json.Unmarshal(b.get("/history?max_items=1").body, &last); err != nil || !cmp.Equal(last.keys, []string{ids[1]}) {
		t.Errorf("newest: %v %v", last.keys, err)
	}
	if err := json.Unmarshal(b.get("/history?max_items=2&offset=1").body, &last); err != nil || !cmp.Equal(last.keys, []string{ids[3], ids[2]}) {
		t.Errorf("a page: %v %v", last.keys, err)
	}
}

// orderOnly reads the keys of an object in order.
type orderOnly struct{ keys []string }

func (o *orderOnly) UnmarshalJSON(data []byte) error {
	keys, err := keysInOrder(data)
	o.keys = keys
	return err
}

func (b *bench) historyOrder() []string {
	b.t.Helper()
	var out orderOnly
	if err := json.Unmarshal(b.get("/history").body, &out); err != nil {
		b.t.Fatal(err)
	}
	return out.keys
}

func TestDeletingAndClearing(t *testing.T) {
	b := ready(t, func(c *Config) { c.Timings.NodeTime = time.Minute })
	first := b.submit(smokeGraph(1), nil)
	second, third := b.submit(smokeGraph(2), nil), b.submit(smokeGraph(3), nil)
	b.do(http.MethodPost, "/queue", map[string]any{"delete": []string{second, "unknown"}})
	if got := string(b.get("/prompt").body); got != `{"exec_info":{"queue_remaining":2}}` {
		t.Errorf("after deleting one: %s", got)
	}
	b.do(http.MethodPost, "/queue", map[string]any{"clear": true})
	if got := string(b.get("/prompt").body); got != `{"exec_info":{"queue_remaining":1}}` {
		t.Errorf("after clearing, the running one stays: %s", got)
	}
	b.finished(first)
	b.do(http.MethodPost, "/history", map[string]any{"delete": []string{first}})
	if got := string(b.get("/history/" + first).body); got != "{}" {
		t.Errorf("deleted history: %s", got)
	}
	b.finished(b.submit(smokeGraph(4), nil))
	b.do(http.MethodPost, "/history", map[string]any{"clear": true})
	if got := string(b.get("/history").body); got != "{}" || third == "" {
		t.Errorf("cleared history: %s", got)
	}
}

func TestRefusals(t *testing.T) {
	loader := func(name string) map[string]any {
		return map[string]any{
			"1": node("CheckpointLoaderSimple", map[string]any{"ckpt_name": name}),
			"2": node("EmptyLatentImage", map[string]any{"width": 64, "height": 64, "batch_size": 1}),
			"3": node("VAEDecode", map[string]any{"samples": []any{"2", 0}, "vae": []any{"1", 2}}),
			"4": node("PreviewImage", map[string]any{"images": []any{"3", 0}}),
		}
	}
	blur := func(inputs map[string]any) map[string]any {
		graph := smokeGraph(1)
		all := map[string]any{"image": []any{"1", 0}, "blur_radius": 8, "sigma": 2.0}
		for name, value := range inputs {
			if value == nil {
				delete(all, name)
				continue
			}
			all[name] = value
		}
		graph["2"] = node("ImageBlur", all)
		return graph
	}
	tests := map[string]struct {
		profile string
		body    any
		status  int
		kind    string // error.type, or empty for no JSON
		nodes   map[string]string
	}{
		"malformed":              {body: "{", status: 500},
		"empty":                  {body: "", status: 500},
		"prompt is no object":    {body: map[string]any{"prompt": 5}, status: 500},
		"no prompt":              {body: map[string]any{}, status: 400, kind: "no_prompt"},
		"bad number":             {body: map[string]any{"number": "x", "prompt": smokeGraph(1)}, status: 500},
		"unknown class":          {body: map[string]any{"prompt": map[string]any{"1": node("NoSuch", map[string]any{})}}, status: 400, kind: "missing_node_type"},
		"unknown class, older":   {profile: ProfileV0364, body: map[string]any{"prompt": map[string]any{"1": node("NoSuch", map[string]any{})}}, status: 400, kind: "invalid_prompt"},
		"no class":               {body: map[string]any{"prompt": map[string]any{"1": map[string]any{"inputs": map[string]any{}}}}, status: 400, kind: "missing_node_type"},
		"no outputs":             {body: map[string]any{"prompt": map[string]any{"1": smokeGraph(1)["1"]}}, status: 400, kind: "prompt_no_outputs"},
		"odd prompt id":          {body: map[string]any{"prompt": smokeGraph(1), "prompt_id": "ABC"}, status: 400, kind: "invalid_prompt_id"},
		"odd prompt id, older":   {profile: ProfileV0364, body: map[string]any{"prompt": smokeGraph(1), "prompt_id": "ABC"}, status: 200},
		"missing model":          {body: map[string]any{"prompt": loader("missing.safetensors")}, status: 400, kind: failedValidation, nodes: map[string]string{"1": "value_not_in_list"}},
		"missing input":          {body: map[string]any{"prompt": blur(map[string]any{"sigma": nil})}, status: 400, kind: failedValidation, nodes: map[string]string{"2": "required_input_missing"}},
		"too small":              {body: map[string]any{"prompt": blur(map[string]any{"blur_radius": 0})}, status: 400, kind: failedValidation, nodes: map[string]string{"2": "value_smaller_than_min"}},
		"too big":                {body: map[string]any{"prompt": blur(map[string]any{"sigma": 10.5})}, status: 400, kind: failedValidation, nodes: map[string]string{"2": "value_bigger_than_max"}},
		"no number":              {body: map[string]any{"prompt": blur(map[string]any{"sigma": "wide"})}, status: 400, kind: failedValidation, nodes: map[string]string{"2": "invalid_input_type"}},
		"bad link":               {body: map[string]any{"prompt": blur(map[string]any{"image": []any{"1"}})}, status: 400, kind: failedValidation, nodes: map[string]string{"2": "bad_linked_input"}},
		"link to a wrong type":   {body: map[string]any{"prompt": map[string]any{"1": loader("x")["2"], "3": node("PreviewImage", map[string]any{"images": []any{"1", 0}})}}, status: 400, kind: failedValidation, nodes: map[string]string{"3": "return_type_mismatch"}},
		"link to nowhere":        {body: map[string]any{"prompt": map[string]any{"3": node("PreviewImage", map[string]any{"images": []any{"9", 0}})}}, status: 400, kind: failedValidation, nodes: map[string]string{"3": "exception_during_validation"}},
		"link to nowhere, inner": {body: map[string]any{"prompt": blur(map[string]any{"image": []any{"9", 0}})}, status: 400, kind: failedValidation, nodes: map[string]string{"2": "exception_during_inner_validation"}},
		"cycle":                  {body: map[string]any{"prompt": blur(map[string]any{"image": []any{"2", 0}})}, status: 400, kind: failedValidation, nodes: map[string]string{"2": "dependency_cycle"}},
		"no inputs":              {body: map[string]any{"prompt": map[string]any{"3": map[string]any{"class_type": "PreviewImage"}}}, status: 400, kind: failedValidation, nodes: map[string]string{"3": "exception_during_validation"}},
		"missing image":          {body: map[string]any{"prompt": map[string]any{"1": node("LoadImage", map[string]any{"image": "tiny.png"}), "2": node("PreviewImage", map[string]any{"images": []any{"1", 0}})}}, status: 400, kind: failedValidation, nodes: map[string]string{"1": "custom_validation_failed"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			b := ready(t, func(c *Config) { c.Profile = test.profile })
			a := b.do(http.MethodPost, "/prompt", test.body)
			if a.status != test.status {
				t.Fatalf("got status %d: %s", a.status, a.body)
			}
			if test.status == http.StatusInternalServerError && (a.header.Get("Content-Type") != "text/plain; charset=utf-8" || string(a.body) != "500 Internal Server Error\n\nServer got itself in trouble") {
				t.Errorf("got %v %q", a.header.Get("Content-Type"), a.body)
			}
			if test.kind == "" {
				return
			}
			problem, _ := a.json(t)["error"].(map[string]any)
			if problem["type"] != test.kind {
				t.Errorf("error type %v, want %s", problem["type"], test.kind)
			}
			got := map[string]string{}
			var nodes map[string]nodeError
			raw, _ := json.Marshal(a.json(t)["node_errors"])
			if err := json.Unmarshal(raw, &nodes); err != nil {
				t.Fatal(err)
			}
			for id, e := range nodes {
				got[id] = e.Errors[0].Type
				if len(e.Dependent) == 0 || e.Class == "" {
					t.Errorf("node %s: %+v", id, e)
				}
			}
			if want := test.nodes; len(want)+len(got) > 0 && !cmp.Equal(want, got) {
				t.Errorf("node errors (-want +got):\n%s", cmp.Diff(want, got))
			}
		})
	}
}

const failedValidation = "prompt_outputs_failed_validation"

func TestAPromptThatIsPartlyValidRunsTheRest(t *testing.T) {
	b := ready(t, nil)
	graph := smokeGraph(9)
	graph["8"] = node("LoadImage", map[string]any{"image": "absent.png"})
	graph["9"] = node("PreviewImage", map[string]any{"images": []any{"8", 0}})
	a := b.do(http.MethodPost, "/prompt", map[string]any{"prompt": graph})
	problems, _ := a.json(t)["node_errors"].(map[string]any)
	if a.status != http.StatusOK || len(problems) != 1 || problems["8"] == nil {
		t.Fatalf("%d %s", a.status, a.body)
	}
	id, _ := a.json(t)["prompt_id"].(string)
	e := b.finished(id)
	if string(e.Prompt[4]) != `["3"]` || len(e.Outputs) != 1 {
		t.Errorf("outputs to execute %s, outputs %v", e.Prompt[4], e.Outputs)
	}
}

func TestProfilesDiffer(t *testing.T) {
	secret := map[string]any{"extra_data": map[string]any{"api_key_comfy_org": "value", "note": "x"}}
	for profile, want := range map[string]struct {
		os       string
		devices  int
		jobs     int
		keyShown bool
		created  bool
	}{
		ProfileV0364: {os: "posix", devices: 1, jobs: 404, keyShown: true},
		ProfileV038:  {os: "linux", devices: 2, jobs: 200, created: true},
	} {
		t.Run(profile, func(t *testing.T) {
			b := ready(t, func(c *Config) { c.Profile, c.GPUs = profile, 2 })
			stats := b.get("/system_stats").json(t)
			system, _ := stats["system"].(map[string]any)
			if devices, _ := stats["devices"].([]any); system["os"] != want.os || len(devices) != want.devices || "v"+fmt.Sprint(system["comfyui_version"])[:4] != profile[:5] {
				t.Errorf("system stats: %v", stats)
			}
			if a := b.get("/api/jobs"); a.status != want.jobs {
				t.Errorf("/api/jobs: %d", a.status)
			}
			extra := string(b.finished(b.submit(smokeGraph(1), secret)).Prompt[3])
			if strings.Contains(extra, "api_key") != want.keyShown || strings.Contains(extra, "create_time") != want.created {
				t.Errorf("extra_data: %s", extra)
			}
		})
	}
}

func TestJobs(t *testing.T) {
	b := ready(t, func(c *Config) { c.Timings.NodeTime = 30 * time.Second })
	done := b.submit(smokeGraph(1), nil)
	b.finished(done)
	running, pending := b.submit(smokeGraph(2), nil), b.submit(smokeGraph(3), nil)
	list := func(query string) []string {
		var out struct{ Jobs []struct{ ID, Status string } }
		a := b.get("/api/jobs" + query)
		if err := json.Unmarshal(a.body, &out); err != nil {
			t.Fatalf("%s: %d %s", query, a.status, a.body)
		}
		ids := []string{}
		for _, j := range out.Jobs {
			ids = append(ids, j.ID)
		}
		return ids
	}
	for query, want := range map[string][]string{
		"?sort_order=asc&limit=1": {done}, "?status=completed": {done}, "?status=in_progress": {running}, "?status=pending": {pending},
	} {
		if got := list(query); !cmp.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", query, got, want)
		}
	}
	for _, query := range []string{"?status=odd", "?limit=x", "?limit=0", "?sort_by=colour", "?offset=-1"} {
		if a := b.get("/api/jobs" + query); a.status != http.StatusBadRequest {
			t.Errorf("%s: %d", query, a.status)
		}
	}
	if job := b.get("/api/jobs/" + done).json(t); job["status"] != "completed" || job["outputs"] == nil || job["outputs_count"] != 1.0 {
		t.Errorf("one job: %v", job)
	}
	if a := b.get("/api/jobs/unknown"); a.status != http.StatusNotFound || string(a.body) != `{"error":"Job not found"}` {
		t.Errorf("unknown: %d %s", a.status, a.body)
	}
	for id, want := range map[string]string{pending: "true", "unknown": "false", running: "true"} {
		if a := b.do(http.MethodPost, "/api/jobs/"+id+"/cancel", nil); string(a.body) != `{"cancelled":`+want+`}` {
			t.Errorf("cancelling: %s, want %s", a.body, want)
		}
	}
	b.finished(running)
	if got := list("?status=cancelled"); !cmp.Equal(got, []string{running}) {
		t.Errorf("cancelled: %v", got)
	}
}
