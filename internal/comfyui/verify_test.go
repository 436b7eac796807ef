package comfyui

import (
	"bytes"
	"context"
	"encoding/json"
	"image"
	"image/color"
	"image/png"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/warmpool-dev/warmpool/internal/fleet"
)

func TestVerifyPassesAHealthyInstance(t *testing.T) {
	d := &double{}
	target := d.start(t)
	clock := newSkipClock()
	got := New(Options{Clock: clock}).Verify(t.Context(), target, expectations())
	want := fleet.VerifyResult{
		GPUName: "NVIDIA GeForce RTX 4090", ComfyUIVersion: "0.38.1", RenderMillis: 123, At: clock.Now(),
		Message: "ComfyUI rendered a fresh picture in 123 ms, and it is right.",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("result (-want +got):\n%s", diff)
	}
	wantCalls := []string{
		"GET /system_stats", "GET /object_info/KSampler", "GET /object_info/Image%20Resize%20%28x%2Fy%29",
		"GET /models/checkpoints", "GET /experiment/models/checkpoints",
		"POST /prompt", "GET /history/" + expectations().PromptID, "GET /view", "POST /history",
	}
	if diff := cmp.Diff(wantCalls, d.calls); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
	wantPrompt := `{"prompt":{
		"1":{"class_type":"EmptyImage","inputs":{"width":256,"height":256,"batch_size":1,"color":3368652}},
		"2":{"class_type":"ImageBlur","inputs":{"image":["1",0],"blur_radius":8,"sigma":2.0}},
		"3":{"class_type":"PreviewImage","inputs":{"images":["2",0]}}},
		"prompt_id":"0b0e9c1a-5a3f-4c8e-9f65-6f1f5f1c2d3a","extra_data":{}}`
	if diff := cmp.Diff(decoded(t, wantPrompt), decoded(t, d.bodies["POST /prompt"])); diff != "" {
		t.Errorf("prompt (-want +got):\n%s", diff)
	}
	wantDelete := `{"delete":["0b0e9c1a-5a3f-4c8e-9f65-6f1f5f1c2d3a"]}`
	if diff := cmp.Diff(decoded(t, wantDelete), decoded(t, d.bodies["POST /history"])); diff != "" {
		t.Errorf("history (-want +got):\n%s", diff)
	}
}

func decoded(t *testing.T, text string) any {
	t.Helper()
	var value any
	if err := json.Unmarshal([]byte(text), &value); err != nil {
		t.Fatalf("decoding %q: %v", text, err)
	}
	return value
}

func stats(device string) string {
	return `{"system":{"comfyui_version":"0.3.64","argv":["main.py"]},"devices":[` + device + `]}`
}

func queueOf(running, pending string) func(string) string {
	list := func(which, id string) string {
		switch which {
		case "":
			return ""
		case "ours":
			return `[0,"` + id + `",{},{},["3"]]`
		default:
			return `[0,"` + which + `",{},{},["3"]]`
		}
	}
	return func(id string) string {
		return `{"queue_running":[` + list(running, id) + `],"queue_pending":[` + list(pending, id) + `]}`
	}
}

func notDone(int) string { return "" }

// repeat gives the same entry at every attempt.
func repeat(entry string) func(int) string { return func(int) string { return entry } }

func picture(draw func(sent smokePrompt) []byte) *double { return &double{picture: draw} }

func route(call string, handler http.HandlerFunc) *double {
	return &double{routes: map[string]http.HandlerFunc{call: handler}}
}

func onePixelOff(sent smokePrompt) []byte {
	at := image.NewNRGBA(image.Rect(0, 0, 256, 256))
	for y := range 256 {
		for x := range 256 {
			at.Set(x, y, rgb(sent.color()))
		}
	}
	at.Set(200, 17, rgb(sent.color()+2))
	var out bytes.Buffer
	_ = png.Encode(&out, at)
	return out.Bytes()
}

func TestVerifyNamesEveryFault(t *testing.T) {
	cuda := `{"name":"cuda:0 NVIDIA GeForce RTX 4090 : cudaMallocAsync","type":"cuda","vram_total":100,"vram_free":99}`
	cases := map[string]struct {
		double *double
		change func(*fleet.Expectations)
		want   fleet.VerifyFault
		signal fleet.Signal
		says   string
	}{
		"system_stats fails":       {double: route("GET /system_stats", answer(500, "")), want: fleet.FaultGPU, says: "CUDA"},
		"system_stats is 401":      {double: route("GET /system_stats", answer(401, "")), want: fleet.FaultUnreachable, signal: fleet.SignalAuthRejected, says: "WEB_PASSWORD"},
		"system_stats is html":     {double: route("GET /system_stats", answer(200, "<html>")), want: fleet.FaultUnreachable, signal: fleet.SignalUnexpectedService},
		"system_stats is other":    {double: &double{stats: `{"ok":true}`}, want: fleet.FaultUnreachable, signal: fleet.SignalUnexpectedService},
		"no devices":               {double: &double{stats: stats("")}, want: fleet.FaultNoGPU},
		"devices null":             {double: &double{stats: `{"system":{},"devices":null}`}, want: fleet.FaultNoGPU},
		"cpu":                      {double: &double{stats: stats(`{"name":"cpu","type":"cpu","index":null}`)}, want: fleet.FaultCPUDevice, says: "Replace"},
		"cpu on purpose":           {double: &double{stats: `{"system":{"argv":["main.py","--cpu"]},"devices":[{"type":"cpu"}]}`}, want: fleet.FaultCPUDevice, says: "COMFYUI_ARGS"},
		"mps":                      {double: &double{stats: stats(`{"name":"mps","type":"mps"}`)}, want: fleet.FaultNoGPU},
		"too many gpus":            {double: &double{stats: stats(cuda + "," + cuda)}, want: fleet.FaultGPUMismatch, says: "1 GPUs were rented"},
		"too few gpus":             {double: &double{stats: stats(cuda + "," + cuda)}, change: func(e *fleet.Expectations) { e.GPUs = 4 }, want: fleet.FaultGPUMismatch},
		"another gpu":              {double: &double{stats: stats(`{"name":"cuda:0 NVIDIA GeForce RTX 3060 : native","type":"cuda"}`)}, want: fleet.FaultGPUMismatch, says: "RTX 3060"},
		"second gpu is another":    {double: &double{stats: stats(cuda + `,{"name":"cuda:1 Tesla T4 : native","type":"cuda"}`)}, change: func(e *fleet.Expectations) { e.GPUs = 2 }, want: fleet.FaultGPUMismatch, says: "Tesla T4"},
		"one listed of two is old": {double: &double{stats: stats(cuda)}, change: func(e *fleet.Expectations) { e.GPUs = 2 }},
		"memory in use at first":   {double: &double{stats: strings.Replace(stats(cuda), `"vram_free":99`, `"vram_free":79`, 1)}, want: fleet.FaultVRAMOccupied},
		"memory in use later":      {double: &double{number: 7, stats: strings.Replace(stats(cuda), `"vram_free":99`, `"vram_free":10`, 1)}},
		"memory just free enough":  {double: &double{stats: strings.Replace(stats(cuda), `"vram_free":99`, `"vram_free":80`, 1)}},
		"memory not told":          {double: &double{stats: stats(`{"name":"cuda:0 NVIDIA GeForce RTX 4090","type":"cuda"}`)}},

		"node missing":            {double: &double{}, change: func(e *fleet.Expectations) { e.Nodes = []string{"KSampler", "NoSuch", "NoOther"} }, want: fleet.FaultNodeMissing, says: "NoSuch, NoOther"},
		"node broken":             {double: route("GET /object_info/KSampler", answer(500, "")), want: fleet.FaultNodeMissing, says: "cannot describe"},
		"node route absent":       {double: route("GET /object_info/KSampler", answer(404, "")), want: fleet.FaultNodeMissing},
		"node route placeholder":  {double: route("GET /object_info/KSampler", answer(502, "")), want: fleet.FaultUnreachable, signal: fleet.SignalPlaceholder},
		"model missing":           {double: &double{}, change: func(e *fleet.Expectations) { e.Models[0].Name = "flux.safetensors" }, want: fleet.FaultModelMissing, says: "flux.safetensors"},
		"model in other folder":   {double: &double{}, change: func(e *fleet.Expectations) { e.Models[0].Folder = "loras" }, want: fleet.FaultModelMissing, says: `folder "loras"`},
		"model truncated":         {double: &double{}, change: func(e *fleet.Expectations) { e.Models[0].MinBytes = 2_132_696_763 }, want: fleet.FaultModelTruncated, says: "2132696762 bytes"},
		"model exactly that long": {double: &double{}, change: func(e *fleet.Expectations) { e.Models[0].MinBytes = 2_132_696_762 }},
		"model in a subfolder":    {double: &double{}, change: func(e *fleet.Expectations) { e.Models[0].Name = `sub\sdxl.safetensors`; e.Models[0].MinBytes = 12345 }},
		"sizes route absent":      {double: route("GET /experiment/models/checkpoints", answer(404, "404: Not Found"))},
		"sizes not told":          {double: route("GET /experiment/models/checkpoints", answer(200, `["sd15.safetensors"]`, jsonType))},
		"sizes fail":              {double: route("GET /experiment/models/checkpoints", answer(500, "")), want: fleet.FaultUnreachable, signal: fleet.SignalServerError},

		"prompt refused":            {double: &double{refuse: func(string, int) string { return nodeErrors }}, want: fleet.FaultRenderFailed, says: "2 (ImageBlur): value_bigger_than_max"},
		"prompt refused in a word":  {double: &double{refuse: func(string, int) string { return `{"error":"nope ` + token + `"}` }}, want: fleet.FaultRenderFailed, says: "nope [hidden]"},
		"prompt refused with a 500": {double: route("POST /prompt", answer(500, "")), want: fleet.FaultUnreachable, signal: fleet.SignalServerError},
		"prompt partly dropped":     {double: route("POST /prompt", answer(200, `{"prompt_id":"x","number":1,"node_errors":{"3":{"class_type":"PreviewImage","errors":[{"type":"bad_linked_input"}]}}}`, jsonType)), want: fleet.FaultRenderFailed, says: "bad_linked_input"},
		"prompt answered by other":  {double: route("POST /prompt", answer(200, `{"ok":1}`, jsonType)), want: fleet.FaultUnreachable, signal: fleet.SignalUnexpectedService},
		"no node to use, new":       {double: &double{refuse: func(class string, _ int) string { return missingNew(class) }}, want: fleet.FaultNodeMissing, says: "Canny"},
		"no node to use, old":       {double: &double{refuse: func(string, int) string { return missingOld }}, want: fleet.FaultNodeMissing, says: "Canny"},

		"no kernel image":  {double: &double{entry: repeat(errorEntry("torch.AcceleratorError", "CUDA error: no kernel image is available for execution on the device"))}, want: fleet.FaultArchUnsupported},
		"illegal access":   {double: &double{entry: repeat(errorEntry("torch.AcceleratorError", "CUDA error: an illegal memory access was encountered"))}, want: fleet.FaultGPU, says: "illegal memory access"},
		"cudnn":            {double: &double{entry: repeat(errorEntry("RuntimeError", "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR"))}, want: fleet.FaultGPU},
		"out of memory":    {double: &double{entry: repeat(errorEntry("torch.OutOfMemoryError", "Allocation on device"))}, want: fleet.FaultOutOfMemory},
		"other exception":  {double: &double{entry: repeat(errorEntry("PermissionError", "[Errno 13] "+token))}, want: fleet.FaultRenderFailed, says: "PermissionError: [Errno 13] [hidden]"},
		"error untold":     {double: &double{entry: repeat(`{"status":{"status_str":"error","completed":false}}`)}, want: fleet.FaultRenderFailed, says: "does not say why"},
		"interrupted":      {double: &double{entry: repeat(`{"status":{"status_str":"error","completed":false,"messages":[["execution_interrupted",{"node_id":"2"}]]}}`)}, want: fleet.FaultRenderFailed, says: "interrupted"},
		"always cached":    {double: &double{entry: repeat(successEntry(`"2"`))}, want: fleet.FaultRenderFailed, says: "cache"},
		"source is cached": {double: &double{entry: repeat(successEntry(`"1"`))}},
		"no picture":       {double: &double{entry: repeat(`{"outputs":{},"status":{"status_str":"success","completed":true}}`)}, want: fleet.FaultRenderFailed, says: "without a picture"},
		"no status":        {double: &double{entry: repeat(`{"outputs":{"3":{"images":[{"filename":"ComfyUI_temp_abcde_00001_.png","subfolder":"","type":"temp"}]}}}`)}},

		"worker dead":           {double: &double{entry: notDone, queue: queueOf("", "ours")}, want: fleet.FaultWorkerDead, says: "Restart ComfyUI"},
		"hangs in the prompt":   {double: &double{entry: notDone, queue: queueOf("ours", "")}, want: fleet.FaultRenderTimeout, says: "started but was not done within 1m0s"},
		"others in front":       {double: &double{entry: notDone, queue: queueOf("foreign", "ours")}, want: fleet.FaultRenderTimeout, says: "other prompts"},
		"forgotten":             {double: &double{entry: notDone}, want: fleet.FaultRenderFailed, says: "forgot"},
		"queue cannot be read":  {double: &double{entry: notDone, routes: map[string]http.HandlerFunc{"GET /queue": answer(500, "")}}, want: fleet.FaultRenderTimeout},
		"crashes in the prompt": {double: route("GET /history/"+expectations().PromptID, answer(502, "", "X-Portal-Placeholder: true")), want: fleet.FaultUnreachable, signal: fleet.SignalPlaceholder},
		"front gives up":        {double: route("GET /history/"+expectations().PromptID, answer(504, "")), want: fleet.FaultUnreachable, signal: fleet.SignalNoAnswer},

		"picture gone":           {double: route("GET /view", answer(404, "")), want: fleet.FaultRenderFailed, says: "HTTP 404"},
		"picture unreachable":    {double: route("GET /view", answer(502, "")), want: fleet.FaultUnreachable, signal: fleet.SignalPlaceholder},
		"picture is html":        {double: picture(func(smokePrompt) []byte { return []byte("<html>") }), want: fleet.FaultRenderFailed, says: "no PNG"},
		"picture broken":         {double: picture(func(s smokePrompt) []byte { return paint(256, 256, rgb(s.color()))[:200] }), want: fleet.FaultRenderFailed, says: "broken PNG"},
		"picture too large":      {double: picture(func(smokePrompt) []byte { return make([]byte, maxImageBytes+1) }), want: fleet.FaultRenderFailed, says: "too large"},
		"picture of other size":  {double: picture(func(s smokePrompt) []byte { return paint(257, 256, rgb(s.color())) }), want: fleet.FaultRenderFailed, says: "257×256"},
		"black":                  {double: picture(func(smokePrompt) []byte { return paint(256, 256, rgb(0)) }), want: fleet.FaultGPUCorrupt, says: "65536 of 65536"},
		"one pixel off":          {double: picture(onePixelOff), want: fleet.FaultGPUCorrupt, says: "1 of 65536"},
		"one above":              {double: picture(func(s smokePrompt) []byte { return paint(256, 256, rgb(s.color()+0x010101)) })},
		"two below":              {double: picture(func(s smokePrompt) []byte { return paint(256, 256, rgb(s.color()-0x020202)) })},
		"two above":              {double: picture(func(s smokePrompt) []byte { return paint(256, 256, rgb(s.color()+0x000200)) }), want: fleet.FaultGPUCorrupt},
		"three below":            {double: picture(func(s smokePrompt) []byte { return paint(256, 256, rgb(s.color()-0x030000)) }), want: fleet.FaultGPUCorrupt},
		"sixteen bits a channel": {double: picture(deep)},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			expect := expectations()
			if c.change != nil {
				c.change(&expect)
			}
			got := New(Options{Clock: newSkipClock()}).Verify(t.Context(), c.double.start(t), expect)
			if got.Fault != c.want || got.Signal != c.signal {
				t.Errorf("fault = %q, signal = %q, want %q, %q (%s)", got.Fault, got.Signal, c.want, c.signal, got.Message)
			}
			if !strings.Contains(got.Message, c.says) || !strings.HasSuffix(got.Message, ".") {
				t.Errorf("message = %q, want a sentence with %q", got.Message, c.says)
			}
			if strings.Contains(got.Message, token[:7]) {
				t.Error("the message shows a part of the token")
			}
		})
	}
}

const (
	nodeErrors = `{"error":{"type":"prompt_outputs_failed_validation","message":"Prompt outputs failed validation","details":"","extra_info":{}},
		"node_errors":{"2":{"class_type":"ImageBlur","dependent_outputs":["3"],"errors":[{"type":"value_bigger_than_max"}]}}}`
	missingOld = `{"error":{"type":"invalid_prompt","message":"Cannot execute because node X does not exist.","details":"Node ID '#2'","extra_info":{}},"node_errors":{}}`
)

func missingNew(class string) string {
	return `{"error":{"type":"missing_node_type","message":"Node '` + class + `' not found.","details":"","extra_info":{"node_id":"2","class_type":"` + class + `"}},"node_errors":{}}`
}

// deep is the right colour with sixteen bits a channel, as some savers write it.
func deep(sent smokePrompt) []byte {
	at := image.NewNRGBA64(image.Rect(0, 0, 256, 256))
	for y := range 256 {
		for x := range 256 {
			at.Set(x, y, color.NRGBA64Model.Convert(rgb(sent.color())))
		}
	}
	var out bytes.Buffer
	_ = png.Encode(&out, at)
	return out.Bytes()
}

func TestVerifyFallsBackToCannyWhenBlurIsMissing(t *testing.T) {
	for name, refusal := range map[string]string{"new": missingNew("ImageBlur"), "old": missingOld} {
		t.Run(name, func(t *testing.T) {
			d := &double{
				refuse: func(class string, _ int) string {
					if class == blurClass {
						return refusal
					}
					return ""
				},
				picture: func(smokePrompt) []byte { return paint(256, 256, rgb(0)) },
			}
			got := New(Options{Clock: newSkipClock()}).Verify(t.Context(), d.start(t), expectations())
			if got.Fault != fleet.VerifyPassed || !strings.Contains(got.Message, "Canny was used") {
				t.Errorf("result = %+v", got)
			}
			if class := d.prompts[0].Prompt["2"].Class; class != "Canny" {
				t.Errorf("class = %q", class)
			}
		})
	}
}

func TestVerifyFreesMemoryAndTriesOnceMore(t *testing.T) {
	d := &double{}
	d.entry = func(attempt int) string {
		if attempt == 1 {
			return errorEntry("torch.OutOfMemoryError", "CUDA out of memory.")
		}
		return successEntry("")
	}
	got := New(Options{Clock: newSkipClock()}).Verify(t.Context(), d.start(t), expectations())
	if got.Fault != fleet.VerifyPassed {
		t.Fatalf("result = %+v", got)
	}
	if diff := cmp.Diff(decoded(t, `{"unload_models":true,"free_memory":true}`), decoded(t, d.bodies["POST /free"])); diff != "" {
		t.Errorf("free (-want +got):\n%s", diff)
	}
	checkFreshSecondTry(t, d)
}

func checkFreshSecondTry(t *testing.T, d *double) {
	t.Helper()
	if len(d.prompts) != 2 {
		t.Fatalf("%d prompts, want 2", len(d.prompts))
	}
	first, second := d.prompts[0], d.prompts[1]
	if first.color() == second.color() || second.color() < 0 || second.color() > maxColor {
		t.Errorf("colours %06x and %06x, want two different ones", first.color(), second.color())
	}
	if first.ID == second.ID || len(second.ID) != 36 || second.ID != strings.ToLower(second.ID) {
		t.Errorf("ids %s and %s, want two different ones", first.ID, second.ID)
	}
}

func TestVerifyTriesAFreshInputWhenTheCacheAnswers(t *testing.T) {
	d := &double{}
	d.entry = func(attempt int) string {
		if attempt == 1 {
			return successEntry(`"1","2","3"`)
		}
		return successEntry("")
	}
	if got := New(Options{Clock: newSkipClock()}).Verify(t.Context(), d.start(t), expectations()); got.Fault != fleet.VerifyPassed {
		t.Fatalf("result = %+v", got)
	}
	checkFreshSecondTry(t, d)
}

func TestVerifyUsesTheIDOfTheReply(t *testing.T) {
	d := &double{mintsID: "minted by an old version"}
	if got := New(Options{Clock: newSkipClock()}).Verify(t.Context(), d.start(t), expectations()); got.Fault != fleet.VerifyPassed {
		t.Errorf("result = %+v", got)
	}
	if want := `{"delete":["minted by an old version"]}`; d.bodies["POST /history"] != want {
		t.Errorf("history = %s, want %s", d.bodies["POST /history"], want)
	}
}

func TestVerifyCleansUpAfterItself(t *testing.T) {
	cases := map[string]struct {
		keep            bool
		entry           func(int) string
		history, queues int
	}{
		"done":          {false, nil, 1, 0},
		"done and kept": {true, nil, 0, 0},
		"not done":      {false, notDone, 1, 1},
		"failed":        {false, repeat(errorEntry("ValueError", "x")), 1, 0},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			d := &double{entry: c.entry, queue: queueOf("ours", "")}
			New(Options{Clock: newSkipClock(), KeepHistory: c.keep}).Verify(t.Context(), d.start(t), expectations())
			if got := d.called("POST /history"); got != c.history {
				t.Errorf("%d entries deleted from the history, want %d", got, c.history)
			}
			if got := d.called("POST /queue"); got != c.queues {
				t.Errorf("%d prompts deleted from the queue, want %d", got, c.queues)
			}
		})
	}
}

func TestVerifyWaitsOutASilentMomentWhileRendering(t *testing.T) {
	d := &double{}
	calls := 0
	d.routes = map[string]http.HandlerFunc{"GET /history/" + expectations().PromptID: func(w http.ResponseWriter, r *http.Request) {
		calls++
		if calls < 3 {
			w.WriteHeader(http.StatusGatewayTimeout)
			return
		}
		d.history(w, r, expectations().PromptID)
	}}
	if got := New(Options{Clock: newSkipClock()}).Verify(t.Context(), d.start(t), expectations()); got.Fault != fleet.VerifyPassed {
		t.Errorf("result = %+v", got)
	}
}

func TestVerifyDoesNotCallASlowWorkerDead(t *testing.T) {
	d := &double{queue: nil}
	looks := 0
	d.entry = func(int) string {
		if looks < 3 {
			return ""
		}
		return successEntry("")
	}
	d.queue = func(id string) string {
		looks++
		if looks == 2 {
			return queueOf("ours", "")(id)
		}
		return queueOf("", "ours")(id)
	}
	if got := New(Options{Clock: newSkipClock()}).Verify(t.Context(), d.start(t), expectations()); got.Fault != fleet.VerifyPassed {
		t.Errorf("result = %+v: two looks that are not in a row were enough", got)
	}
}

func TestVerifyEndsWithItsTimeoutOrItsCaller(t *testing.T) {
	asked, release := make(chan struct{}, 1), make(chan struct{})
	defer close(release)
	target := serve(t, func(http.ResponseWriter, *http.Request) {
		asked <- struct{}{}
		<-release
	})
	virtual := clocktesting.NewFakeClock(start())
	prober := New(Options{Clock: virtual, CallTimeout: time.Hour})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	results := make(chan fleet.VerifyResult, 1)
	verify := func() { results <- prober.Verify(ctx, target, expectations()) }
	go verify()
	<-asked
	virtual.Step(5 * time.Minute)
	if got := <-results; got.Fault != fleet.FaultUnreachable || got.Signal != fleet.SignalNoAnswer || !strings.Contains(got.Message, "verification was not done in time") {
		t.Errorf("after the timeout: %+v", got)
	}
	go verify()
	<-asked
	cancel()
	if got := <-results; got.Fault != fleet.FaultUnreachable || got.Signal != signalNothing {
		t.Errorf("after the caller gave up: %+v", got)
	}
}

func TestVerifyUsesOneConnection(t *testing.T) {
	d := &double{}
	var remotes []string
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		d.mu.Lock()
		remotes = append(remotes, r.RemoteAddr)
		d.mu.Unlock()
		d.ServeHTTP(w, r)
	})
	d.bodies = map[string]string{}
	New(Options{Clock: newSkipClock()}).Verify(t.Context(), server, expectations())
	slices.Sort(remotes)
	if connections := slices.Compact(remotes); len(connections) != 1 {
		t.Errorf("%d connections, want 1", len(connections))
	}
}
