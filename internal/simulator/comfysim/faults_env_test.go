package comfysim

import (
	"context"
	"encoding/json"
	"errors"
	"image/color"
	"net"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

func hardwareCases() map[string]func(t *testing.T) {
	return map[string]func(t *testing.T){
		FaultNoKernelImage: func(t *testing.T) {
			t.Helper()
			b := ready(t, nil)
			b.set(FaultNoKernelImage, nil)
			b.wantFailure(smokeGraph(1), "torch.AcceleratorError", "no kernel image is available")
			b.portalDo(http.MethodPost, "/supervisor/process/comfyui/restart")
			b.pass(13 * time.Second)
			b.wantFailure(smokeGraph(1), "torch.AcceleratorError", "no kernel image is available")
		},
		FaultWrongPixels: func(t *testing.T) {
			t.Helper()
			b := ready(t, nil)
			for how, differs := range map[string]func(first, other color.RGBA) bool{
				"noise": func(first, other color.RGBA) bool { return first != other },
				"black": func(first, other color.RGBA) bool { return first == color.RGBA{A: 255} && other == first },
				"shift": func(first, other color.RGBA) bool { return first.R >= 0x80+38 && first == other },
			} {
				b.set(FaultWrongPixels, map[string]string{"how": how})
				picture := b.view(b.finished(b.submit(smokeGraph(0x808080+len(how)*3+int(how[0])), nil)).Outputs["3"].Images[0])
				first, _ := color.RGBAModel.Convert(picture.At(10, 10)).(color.RGBA)
				other, _ := color.RGBAModel.Convert(picture.At(200, 100)).(color.RGBA)
				if !differs(first, other) {
					t.Errorf("%s: %v and %v", how, first, other)
				}
			}
		},
		FaultSlowGPU: func(t *testing.T) {
			t.Helper()
			b := ready(t, func(c *Config) { c.Timings.RenderTime = 4 * time.Second })
			b.set(FaultSlowGPU, map[string]string{"factor": "10"})
			before := b.clk.Now()
			b.finished(b.submit(diffusionGraph(1), nil))
			if took := b.clk.Since(before); took < 40*time.Second {
				t.Errorf("took %s", took)
			}
		},
		FaultCPUDevice: func(t *testing.T) {
			t.Helper()
			b := ready(t, nil)
			b.set(FaultCPUDevice, nil)
			if d := b.device(); d["type"] != "cpu" || d["index"] != nil || d["name"] != "cpu" {
				t.Errorf("device: %v", d)
			}
			picture := b.view(b.finished(b.submit(smokeGraph(0x3366cc), nil)).Outputs["3"].Images[0])
			if picture.At(3, 3) != (color.RGBA{R: 0x33, G: 0x66, B: 0xcc, A: 255}) {
				t.Errorf("the CPU rounds exactly: %v", picture.At(3, 3))
			}
		},
		FaultNoDevice: func(t *testing.T) {
			t.Helper()
			b := ready(t, nil)
			b.set(FaultNoDevice, nil)
			if devices, ok := b.get("/system_stats").json(t)["devices"].([]any); !ok || len(devices) != 0 {
				t.Errorf("devices: %v", devices)
			}
		},
		FaultWrongGPU: func(t *testing.T) {
			t.Helper()
			b := ready(t, nil)
			b.set(FaultWrongGPU, nil)
			if d := b.device(); d["name"] != "cuda:0 NVIDIA GeForce GTX 1060 3GB : cudaMallocAsync" {
				t.Errorf("device: %v", d)
			}
		},
		FaultSmallVRAM: func(t *testing.T) {
			t.Helper()
			b := ready(t, nil)
			b.set(FaultSmallVRAM, map[string]string{"bytes": "1000000000"})
			if d := b.device(); d["vram_total"] != 1e9 {
				t.Errorf("device: %v", d)
			}
		},
		FaultLowVRAM: func(t *testing.T) {
			t.Helper()
			b := ready(t, nil)
			free, _ := b.device()["vram_free"].(float64)
			total, _ := b.device()["vram_total"].(float64)
			if free/total < 0.9 {
				t.Errorf("without the fault %v of %v are free", free, total)
			}
			b.set(FaultLowVRAM, nil)
			if free, _ = b.device()["vram_free"].(float64); free/total > 0.4 {
				t.Errorf("with the fault %v of %v are free", free, total)
			}
		},
		FaultDiskPressure: func(t *testing.T) {
			t.Helper()
			b := ready(t, nil)
			b.set(FaultDiskPressure, nil)
			disk, _ := b.portalDo(http.MethodGet, "/system-metrics").json(t)["disk"].(map[string]any)
			if disk["percent"] != 97.0 {
				t.Errorf("disk: %v", disk)
			}
		},
		FaultClockSkew: func(t *testing.T) {
			t.Helper()
			b := ready(t, nil)
			b.set(FaultClockSkew, map[string]string{"offset": "-5m"})
			date, err := http.ParseTime(b.get("/prompt").header.Get("Date"))
			if skew := b.clk.Now().Sub(date); err != nil || skew < 5*time.Minute || skew > 5*time.Minute+time.Second {
				t.Errorf("Date is %s behind", skew)
			}
			stamp, _ := b.finished(b.submit(smokeGraph(1), nil)).message(t, "execution_success")["timestamp"].(float64)
			if skew := b.clk.Now().Sub(time.UnixMilli(int64(stamp))); skew < 5*time.Minute {
				t.Errorf("history is %s behind", skew)
			}
		},
	}
}

func networkCases() map[string]func(t *testing.T) {
	return map[string]func(t *testing.T){
		FaultRefuse: func(t *testing.T) {
			t.Helper()
			b := ready(t, nil)
			b.get("/prompt")
			b.set(FaultRefuse, map[string]string{"port": "comfyui"})
			b.until("it refuses", func() bool {
				_, err := b.try(t.Context(), http.MethodGet, b.url("/prompt"), nil, nil)
				return errors.Is(err, syscall.ECONNREFUSED)
			})
			if a := b.portalDo(http.MethodGet, "/health"); a.status != http.StatusOK {
				t.Errorf("the portal: %d", a.status)
			}
			b.inst.ClearFault(FaultRefuse)
			b.waitOpen(b.comfy)
		},
		FaultBlackhole: func(t *testing.T) {
			t.Helper()
			b := ready(t, nil)
			for _, how := range []string{"silent", "drop"} {
				b.get("/prompt")
				b.set(FaultBlackhole, map[string]string{"port": "comfyui", "how": how})
				wanted := how == "silent"
				b.until("the port "+how+"s", func() bool {
					c, err := (&net.Dialer{Timeout: 150 * time.Millisecond}).DialContext(t.Context(), "tcp", b.comfy.Addr())
					if err == nil {
						_ = c.Close()
						return wanted
					}
					var timeout net.Error
					return !wanted && errors.As(err, &timeout) && timeout.Timeout()
				})
				b.wantSilence("/prompt")
				b.inst.ClearFault(FaultBlackhole)
				b.waitOpen(b.comfy)
			}
		},
		FaultHalfOpen: func(t *testing.T) {
			t.Helper()
			b := ready(t, nil)
			b.get("/prompt") // leaves a connection open
			b.set(FaultHalfOpen, nil)
			b.wantSilence("/prompt")
			b.inst.ClearFault(FaultHalfOpen)
			if a := b.get("/prompt"); a.status != http.StatusOK {
				t.Errorf("cleared: %d", a.status)
			}
		},
		FaultTokenRotated: func(t *testing.T) {
			t.Helper()
			b := ready(t, nil)
			b.set(FaultTokenRotated, nil)
			if a := b.get("/prompt"); a.status != http.StatusUnauthorized {
				t.Errorf("status %d", a.status)
			}
			if a := b.portalDo(http.MethodGet, "/health"); a.status != http.StatusUnauthorized {
				t.Errorf("portal status %d", a.status)
			}
			b.inst.ClearFault(FaultTokenRotated)
			if a := b.get("/prompt"); a.status != http.StatusOK {
				t.Errorf("cleared: %d", a.status)
			}
		},
		FaultCertificateChange: func(t *testing.T) {
			t.Helper()
			b := ready(t, func(c *Config) { c.Env["ENABLE_HTTPS"] = "true" })
			before := b.peerCertificate(t)
			b.set(FaultCertificateChange, nil)
			if changed := b.peerCertificate(t); changed.Equal(before) {
				t.Error("the certificate is the same")
			}
			der, err := b.inst.CertificateDER()
			if err != nil || !slices.Equal(der, b.peerCertificate(t).Raw) {
				t.Errorf("CertificateDER is another certificate: %v", err)
			}
			b.inst.ClearFault(FaultCertificateChange)
			if again := b.peerCertificate(t); !again.Equal(before) {
				t.Error("the first certificate did not come back")
			}
		},
		FaultSchemeMismatch: func(t *testing.T) {
			t.Helper()
			b := ready(t, func(c *Config) { c.Env["ENABLE_HTTPS"] = "true" })
			b.set(FaultSchemeMismatch, nil)
			if _, err := b.try(t.Context(), http.MethodGet, b.url("/prompt"), nil, nil); err == nil {
				t.Error("TLS worked")
			}
			b.scheme = "http"
			if a := b.get("/prompt"); a.status != http.StatusOK {
				t.Errorf("plain: %d", a.status)
			}
			b.set(FaultSchemeMismatch, map[string]string{"serve": "https"})
			if a := b.get("/prompt"); a.status != http.StatusPermanentRedirect {
				t.Errorf("plain to TLS: %d", a.status)
			}
		},
		FaultWrongService: func(t *testing.T) {
			t.Helper()
			b := ready(t, nil)
			b.set(FaultWrongService, nil)
			if a := b.get("/prompt"); a.status != http.StatusNotFound || a.json(t)["detail"] != "Not Found" {
				t.Errorf("404: %d %s", a.status, a.body)
			}
			b.set(FaultWrongService, map[string]string{"how": "html"})
			if a := b.get("/prompt"); a.status != http.StatusOK || !strings.Contains(a.header.Get("Content-Type"), "html") || a.header.Get("X-Portal-Placeholder") != "" {
				t.Errorf("html: %d %v", a.status, a.header)
			}
		},
		FaultOriginRejected: func(t *testing.T) {
			t.Helper()
			b := ready(t, nil)
			b.set(FaultOriginRejected, nil)
			if a := b.get("/prompt"); a.status != http.StatusForbidden || len(a.body) != 0 {
				t.Errorf("%d %s", a.status, a.body)
			}
		},
		FaultTunnelPlaceholder: func(t *testing.T) {
			t.Helper()
			b := ready(t, nil)
			b.set(FaultTunnelPlaceholder, nil)
			b.set(FaultRestart, nil)
			if a := b.get("/prompt"); a.status != http.StatusOK || a.header.Get("X-Portal-Placeholder") != "true" {
				t.Errorf("%d %v", a.status, a.header)
			}
		},
	}
}

// wantSilence checks that a request gets no answer in the little real time that a test has.
func (b *bench) wantSilence(path string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), 150*time.Millisecond)
	defer cancel()
	if a, err := b.try(ctx, http.MethodGet, b.url(path), nil, nil); !errors.Is(err, context.DeadlineExceeded) {
		b.t.Fatalf("%s was answered: %d, %v", path, a.status, err)
	}
}

func (b *bench) wantQueue(running, pending int) {
	b.t.Helper()
	var queue struct {
		Running []json.RawMessage `json:"queue_running"`
		Pending []json.RawMessage `json:"queue_pending"`
	}
	if err := json.Unmarshal(b.get("/queue").body, &queue); err != nil {
		b.t.Fatal(err)
	}
	if len(queue.Running) != running || len(queue.Pending) != pending {
		b.t.Fatalf("%d run and %d wait, want %d and %d", len(queue.Running), len(queue.Pending), running, pending)
	}
}

// cureByRestart restarts ComfyUI through the portal and checks that it renders again.
func (b *bench) cureByRestart() {
	b.t.Helper()
	b.portalDo(http.MethodPost, "/supervisor/process/comfyui/restart")
	b.pass(13 * time.Second)
	if e := b.finished(b.submit(smokeGraph(77), nil)); !e.Status.Completed {
		b.t.Fatalf("after the restart: %+v", e.Status)
	}
}

func (b *bench) wantFailure(graph map[string]any, exception, message string) {
	b.t.Helper()
	e := b.finished(b.submit(graph, nil))
	data := e.message(b.t, "execution_error")
	text, _ := data["exception_message"].(string)
	if e.Status.Status != "error" || e.Status.Completed || data["exception_type"] != exception || !strings.Contains(text, message) {
		b.t.Fatalf("got %+v %v, want %s: %s", e.Status.Status, data, exception, message)
	}
}

func (b *bench) device() map[string]any {
	b.t.Helper()
	devices, _ := b.get("/system_stats").json(b.t)["devices"].([]any)
	if len(devices) == 0 {
		b.t.Fatal("no device")
	}
	first, _ := devices[0].(map[string]any)
	return first
}
