package comfyui

import (
	"bytes"
	"net/http"
	"testing"

	"github.com/warmpool-dev/warmpool/internal/fleet"
)

func FuzzDecoders(f *testing.F) {
	for _, seed := range []string{
		servingBody, healthyStats, missingOld, nodeErrors, `{"a":` + successEntry(`"2"`) + `}`, `{"a":` + errorEntry("x", "y") + `}`,
		`{"queue_running":[[1,"a",{},{},[]]],"queue_pending":[[2,"b"]]}`, `{"A":{"x":NaN}}`, `["a"]`, `[{"name":"a","size":1}]`,
		`{"prompt_id":"a","number":0,"node_errors":[]}`, `{"provisioning":{"status":"none"}}`, `[{"name":"comfyui","pid":1e99}]`, ``,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		before := bytes.Clone(body)
		if remaining, ok := decodeQueueRemaining(body); remaining < 0 || !ok && remaining != 0 {
			t.Errorf("remaining = %d, %t", remaining, ok)
		}
		whole, ok := decodeQueue(body, false)
		if cut, cutOK := decodeQueue(body, true); ok && (!cutOK || len(cut.pending) != len(whole.pending)) {
			t.Error("a whole queue reads otherwise when it is called cut")
		}
		portal := fleet.Portal{}
		decodeCapabilities(body, &portal)
		decodeProcesses(body, &portal)
		if len(portal.Provisioning) > 32 || len(portal.ComfyUIProcess) > 32 || portal.ComfyUIPID < 0 {
			t.Errorf("portal = %+v", portal)
		}
		if has, ok := hasClass(body, "A"); has && !ok {
			t.Error("a class in a body of another shape")
		}
		if entry, done, ok := decodeHistory(body, "a"); done && ok && entry.millis() < 0 {
			t.Error("a negative render time")
		}
		decodeSystemStats(body)
		decodeNames(body)
		decodeModelFiles(body)
		decodeRefusal(body)
		decodeAcceptance(body, "a")
		if !bytes.Equal(before, body) {
			t.Error("a decoder changed the body")
		}
	})
}

func FuzzPicture(f *testing.F) {
	f.Add(paint(256, 256, rgb(0x3366CC)))
	f.Add(paint(2, 2, rgb(0)))
	f.Add([]byte("\x89PNG\r\n\x1a\n"))
	f.Fuzz(func(t *testing.T, body []byte) {
		f := comparePicture(body, [3]int{0x33, 0x66, 0xCC})
		if f != nil && (f.message == "" || f.fault != fleet.FaultRenderFailed && f.fault != fleet.FaultGPUCorrupt) {
			t.Errorf("finding = %+v", f)
		}
	})
}

func FuzzQuote(f *testing.F) {
	f.Add("CUDA error\n", "secret")
	f.Fuzz(func(t *testing.T, text, secret string) {
		got := []rune(quote(text, secret))
		if len(got) > maxQuoted+1 {
			t.Errorf("%d runes", len(got))
		}
		for _, r := range got {
			if r < ' ' || r == 0x7f {
				t.Errorf("control character %q", r)
			}
		}
	})
}

func FuzzSameGPU(f *testing.F) {
	f.Add("RTX 4070S Ti")
	f.Fuzz(func(t *testing.T, name string) {
		if deviceModel(name) == name && !sameGPU(name, name) {
			t.Errorf("%q is not itself", name)
		}
	})
}

// FuzzReply judges any answer: what is no HTTP 200 in JSON from ComfyUI itself
// shows something, and says what to do.
func FuzzReply(f *testing.F) {
	f.Add(200, "application/json", "", "", servingBody)
	f.Add(200, "text/html", "", "1", "<html>")
	f.Add(302, "", "https://elsewhere/", "", "")
	f.Add(307, "", "%%", "", "")
	f.Add(400, "text/plain", "", "", "Client sent an HTTP request to an HTTPS server.")
	f.Fuzz(func(t *testing.T, status int, kind, location, placeholder, body string) {
		header := http.Header{"Content-Type": {kind}, "Location": {location}, placeholderHeader: {placeholder}}
		for _, mode := range []TLSMode{TLSOff, TLSPinned} {
			s := &session{target: Target{TLS: TLSConfig{Mode: mode}}}
			verdict := s.judge(reply{status: status, header: header, body: []byte(body)})
			if verdict == nil && (status != http.StatusOK || placeholder != "") {
				t.Errorf("status %d with placeholder %q is taken for ComfyUI", status, placeholder)
			}
			if verdict != nil && (verdict.signal == fleet.SignalServing || verdict.text == "") {
				t.Errorf("verdict %+v", verdict)
			}
		}
	})
}

// FuzzBundle: no bundle of authorities breaks the reader, and none of nothing
// vouches for anything.
func FuzzBundle(f *testing.F) {
	f.Add([]byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"))
	f.Add([]byte("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"))
	f.Fuzz(func(t *testing.T, bundle []byte) {
		for _, certificate := range parseBundle(bundle) {
			if len(certificate.Raw) == 0 {
				t.Error("a certificate of nothing")
			}
		}
	})
}

// FuzzException: every failure of a render has a cause, and one that is safe to name.
func FuzzException(f *testing.F) {
	f.Add("torch.OutOfMemoryError", "CUDA out of memory")
	f.Add("RuntimeError", "no kernel image is available")
	f.Fuzz(func(t *testing.T, kind, message string) {
		switch fault := classifyException(kind, message); fault {
		case fleet.FaultArchUnsupported, fleet.FaultOutOfMemory, fleet.FaultGPU, fleet.FaultRenderFailed:
		default:
			t.Errorf("fault %q", fault)
		}
	})
}
