package comfyui

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/warmpool-dev/warmpool/internal/fleet"
)

func TestDecodeQueue(t *testing.T) {
	item := func(id string) string { return `[1,"` + id + `",{"1":{"inputs":{"a":[["x"]],"b":"]}"}}},{},["3"]]` }
	cases := map[string]struct {
		body string
		cut  bool
		want queueState
		ok   bool
	}{
		"empty":            {`{"queue_running":[],"queue_pending":[]}`, false, queueState{}, true},
		"busy":             {`{"queue_running":[` + item("a") + `],"queue_pending":[` + item("b") + `,` + item("c") + `]}`, false, queueState{[]string{"a"}, []string{"b", "c"}}, true},
		"unknown keys":     {`{"x":{"queue_running":[1]},"queue_running":[],"y":[[]],"queue_pending":[` + item("b") + `],"z":1}`, false, queueState{nil, []string{"b"}}, true},
		"not a number":     {`{"queue_running":[[1,"a",{"x":NaN},{},[]]],"queue_pending":[]}`, false, queueState{[]string{"a"}, nil}, true},
		"item without id":  {`{"queue_running":[[1,7],{"prompt_id":"a"},[]],"queue_pending":[]}`, false, queueState{[]string{"?", "?", "?"}, nil}, true},
		"cut in a graph":   {`{"queue_running":[` + item("a") + `],"queue_pending":[` + item("b") + `,[2,"c",{"1":{"inp`, true, queueState{[]string{"a"}, []string{"b", "c"}}, true},
		"cut in running":   {`{"queue_running":[[1,"a",{"1":`, true, queueState{}, false},
		"broken elsewhere": {`{"queue_running":[],"queue_pending":[[2,"c",{"1":{"inp`, false, queueState{}, false},
		"pending missing":  {`{"queue_running":[]}`, false, queueState{}, false},
		"running missing":  {`{"queue_pending":[]}`, false, queueState{}, false},
		"null lists":       {`{"queue_running":null,"queue_pending":null}`, false, queueState{}, false},
		"array":            {`[]`, false, queueState{}, false},
		"nothing":          {``, false, queueState{}, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, ok := decodeQueue([]byte(c.body), c.cut)
			if ok != c.ok {
				t.Fatalf("ok = %t, want %t", ok, c.ok)
			}
			if diff := cmp.Diff(c.want, got, cmp.AllowUnexported(queueState{})); ok && diff != "" {
				t.Errorf("queue (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDecodePortal(t *testing.T) {
	cases := map[string]struct {
		capabilities, processes string
		want                    fleet.Portal
	}{
		"running":         {`{"provisioning":{"status":"in_progress"},"x":1}`, `[{"name":"caddy","state":"RUNNING","pid":1},{"name":"comfyui","state":"RUNNING","pid":42}]`, fleet.Portal{Provisioning: "in_progress", ComfyUIProcess: "RUNNING", ComfyUIPID: 42}},
		"plain string":    {`{"provisioning":"failed"}`, `[{"name":"ComfyUI","state":"fatal","pid":null}]`, fleet.Portal{Provisioning: "failed", ComfyUIProcess: "FATAL"}},
		"nothing said":    {`{}`, `[]`, fleet.Portal{}},
		"odd types":       {`{"provisioning":7}`, `[{"name":"comfyui","state":7,"pid":"x"}]`, fleet.Portal{}},
		"odd words":       {`{"provisioning":{"status":"<script>"}}`, `[{"name":"comfyui","state":"` + strings.Repeat("A", 99) + `","pid":-1}]`, fleet.Portal{}},
		"another process": {`{"provisioning":null}`, `[{"name":"comfyui-api","state":"RUNNING","pid":3}]`, fleet.Portal{}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			var got fleet.Portal
			if !decodeCapabilities([]byte(c.capabilities), &got) || !decodeProcesses([]byte(c.processes), &got) {
				t.Fatal("the bodies were refused")
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("portal (-want +got):\n%s", diff)
			}
		})
	}
	var none fleet.Portal
	if decodeCapabilities([]byte(`[]`), &none) || decodeProcesses([]byte(`{}`), &none) || decodeProcesses([]byte(`[`), &none) {
		t.Error("bodies of another shape were accepted")
	}
}

func TestHasClass(t *testing.T) {
	cases := map[string]struct {
		body    string
		has, ok bool
	}{
		"there":         {`{"A":{"input":{}}}`, true, true},
		"there, python": {`{"A":{"max":Infinity,"min":-Infinity,"x":NaN}}`, true, true},
		"second":        {`{"B":{"x":NaN},"A":{}}`, true, true},
		"missing":       {`{}`, false, true},
		"another":       {`{"B":{}}`, false, true},
		"list":          {`[]`, false, false},
		"broken":        {`{"B":`, false, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if has, ok := hasClass([]byte(c.body), "A"); has != c.has || ok != c.ok {
				t.Errorf("hasClass = %t, %t, want %t, %t", has, ok, c.has, c.ok)
			}
		})
	}
}

func TestWithoutNaN(t *testing.T) {
	cases := map[string]struct{ in, want string }{
		"bare":         {`{"a":NaN,"b":[-Infinity,Infinity,-1]}`, `{"a":null,"b":[null,null,-1]}`},
		"in a string":  {`{"a":"NaN \" Infinity","b":NaN}`, `{"a":"NaN \" Infinity","b":null}`},
		"escaped end":  {`{"a":"\\","b":NaN}`, `{"a":"\\","b":null}`},
		"lone escape":  {`{"a":"\`, `{"a":"\`},
		"nothing odd":  {`{"a":1}`, `{"a":1}`},
		"empty":        {``, ``},
		"half a token": {`[Na`, `[Na`},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := string(withoutNaN([]byte(c.in))); got != c.want {
				t.Errorf("withoutNaN = %s, want %s", got, c.want)
			}
		})
	}
}

func TestSameGPU(t *testing.T) {
	cases := []struct {
		rented, device string
		want           bool
	}{
		{"RTX 4090", "cuda:0 NVIDIA GeForce RTX 4090 : cudaMallocAsync", true},
		{"RTX_4090", "cuda:0 NVIDIA GeForce RTX 4090 : native", true},
		{"NVIDIA GeForce RTX 4090", "cuda:0 NVIDIA GeForce RTX 4090", true},
		{"RTX 4090", "cuda:0 NVIDIA GeForce RTX 4090 D : native", false},
		{"RTX 4090D", "cuda:0 NVIDIA GeForce RTX 4090 D : native", true},
		{"RTX 4090", "cuda:0 NVIDIA GeForce RTX 4090 Laptop GPU : native", false},
		{"RTX 4090", "cuda:0 NVIDIA GeForce RTX 4080 : native", false},
		{"RTX 4070S", "cuda:0 NVIDIA GeForce RTX 4070 SUPER : native", true},
		{"RTX 4070S Ti", "cuda:0 NVIDIA GeForce RTX 4070 Ti SUPER : native", true},
		{"RTX 4070 Ti", "cuda:0 NVIDIA GeForce RTX 4070 Ti SUPER : native", false},
		{"RTX 4070", "cuda:0 NVIDIA GeForce RTX 4070 Ti : native", false},
		{"GTX 1660 S", "cuda:0 NVIDIA GeForce GTX 1660 SUPER : native", true},
		{"RTX 5070 Ti", "cuda:0 NVIDIA GeForce RTX 5070 Ti : cudaMallocAsync", true},
		{"RTX 6000Ada", "cuda:0 NVIDIA RTX 6000 Ada Generation : native", true},
		{"RTX A6000", "cuda:0 NVIDIA RTX A6000 : native", true},
		{"RTX A6000", "cuda:0 NVIDIA RTX 6000 Ada Generation : native", false},
		{"Q RTX 6000", "cuda:0 Quadro RTX 6000 : native", true},
		{"Q RTX 6000", "cuda:0 NVIDIA RTX 6000 Ada Generation : native", false},
		{"RTX PRO 6000 WS", "cuda:0 NVIDIA RTX PRO 6000 Blackwell Workstation Edition : native", true},
		{"RTX PRO 6000 S", "cuda:0 NVIDIA RTX PRO 6000 Blackwell Server Edition : native", true},
		{"A100 SXM4", "cuda:0 NVIDIA A100-SXM4-80GB : native", true},
		{"A100 PCIE", "cuda:0 NVIDIA A100 80GB PCIe : native", true},
		{"H100 SXM", "cuda:0 NVIDIA H100 80GB HBM3 : native", true},
		{"H100 PCIE", "cuda:0 NVIDIA H100 PCIe : native", true},
		{"H100 SXM", "cuda:0 NVIDIA A100-SXM4-80GB : native", false},
		{"H200 NVL", "cuda:0 NVIDIA H200 NVL : native", true},
		{"H200", "cuda:0 NVIDIA H200 : native", true},
		{"L40S", "cuda:0 NVIDIA L40S : native", true},
		{"L40", "cuda:0 NVIDIA L40S : native", false},
		{"Tesla V100", "cuda:0 Tesla V100-SXM2-16GB : native", true},
		{"Tesla T4", "cuda:0 Tesla T4 : native", true},
	}
	for _, c := range cases {
		t.Run(c.rented+" on "+c.device, func(t *testing.T) {
			if got := sameGPU(c.rented, c.device); got != c.want {
				t.Errorf("sameGPU = %t, want %t (%v, %v)", got, c.want, gpuWords(c.rented), gpuWords(deviceModel(c.device)))
			}
		})
	}
}

func TestClassifyException(t *testing.T) {
	cases := map[string]struct {
		kind, message string
		want          fleet.VerifyFault
	}{
		"arch":             {"RuntimeError", "CUDA error: no kernel image is available for execution on the device", fleet.FaultArchUnsupported},
		"ptx":              {"RuntimeError", "CUDA_ERROR_UNSUPPORTED_PTX_VERSION", fleet.FaultArchUnsupported},
		"oom":              {"torch.OutOfMemoryError", "Allocation on device 0 would exceed allowed memory", fleet.FaultOutOfMemory},
		"oom, old":         {"torch.cuda.OutOfMemoryError", "", fleet.FaultOutOfMemory},
		"oom in words":     {"RuntimeError", "CUDA error: out of memory", fleet.FaultOutOfMemory},
		"launch failure":   {"RuntimeError", "Unspecified launch failure", fleet.FaultGPU},
		"assert":           {"RuntimeError", "CUDA error: device-side assert triggered", fleet.FaultGPU},
		"triton":           {"RuntimeError", "Triton Error [CUDA]: x", fleet.FaultGPU},
		"misaligned":       {"RuntimeError", "misaligned address", fleet.FaultGPU},
		"function":         {"RuntimeError", "invalid device function", fleet.FaultGPU},
		"configuration":    {"RuntimeError", "invalid configuration argument", fleet.FaultGPU},
		"accelerator":      {"torch.AcceleratorError", "x", fleet.FaultGPU},
		"libcudnn":         {"OSError", "Could not load library libcudnn_cnn.so", fleet.FaultGPU},
		"nothing to do":    {"FileNotFoundError", "no such file: temp", fleet.FaultRenderFailed},
		"not an exception": {"", "", fleet.FaultRenderFailed},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := classifyException(c.kind, c.message); got != c.want {
				t.Errorf("fault = %q, want %q", got, c.want)
			}
		})
	}
}
