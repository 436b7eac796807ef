package comfysim

import (
	"context"
	"errors"
	"net"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestReservedPortRefusesUntilItListensAndAgainAfter(t *testing.T) {
	r := reserve(t)
	dial := func() error {
		c, err := (&net.Dialer{Timeout: time.Second}).DialContext(t.Context(), "tcp", r.Addr())
		if err == nil {
			_ = c.Close()
		}
		return err
	}
	for round := range 2 {
		if err := dial(); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Fatalf("round %d: before listening: got %v, want connection refused", round, err)
		}
		ln, err := r.Listen()
		if err != nil {
			t.Fatal(err)
		}
		if err := dial(); err != nil {
			t.Fatalf("round %d: while listening: %v", round, err)
		}
		_ = ln.Close()
	}
	other := reserve(t)
	if other.Port() == r.Port() {
		t.Fatalf("port %d was given twice", r.Port())
	}
}

func TestBootGoesFromRefusedOverUnauthorizedAndPlaceholderToJSON(t *testing.T) {
	b := start(t, nil)
	if _, err := b.try(t.Context(), http.MethodGet, b.url("/prompt"), nil, nil); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Fatalf("before Caddy: got %v, want connection refused", err)
	}
	b.pass(9 * time.Second)
	b.waitOpen(b.comfy)
	b.waitOpen(b.portal)
	if a := b.doWith(http.MethodGet, "/prompt", nil, map[string]string{"Authorization": ""}); a.status != http.StatusUnauthorized ||
		!strings.HasPrefix(a.header.Get("WWW-Authenticate"), "Basic") || len(a.body) != 0 {
		t.Fatalf("without a token while provisioning: %d %v %q", a.status, a.header, a.body)
	}
	if a := b.get("/prompt"); a.status != http.StatusBadGateway || a.header.Get("X-Portal-Placeholder") != "true" || !strings.Contains(a.header.Get("Content-Type"), "html") {
		t.Fatalf("with a token while provisioning: %d %v", a.status, a.header)
	}
	if a := b.doWith(http.MethodGet, "/prompt", nil, map[string]string{"Cf-Ray": "1"}); a.status != http.StatusOK || a.header.Get("X-Portal-Placeholder") != "true" {
		t.Fatalf("through a tunnel: %d %v", a.status, a.header)
	}
	if status := b.provisioning(); status != "in_progress" {
		t.Fatalf("provisioning: %q", status)
	}
	if state, _ := b.comfyState(); state != "STARTING" {
		t.Fatalf("comfyui: %q", state)
	}
	b.pass(time.Minute)
	if status := b.provisioning(); status != "complete" {
		t.Fatalf("provisioning: %q", status)
	}
	if a := b.get("/prompt"); a.status != http.StatusBadGateway {
		t.Fatalf("while main.py starts: %d", a.status)
	}
	b.pass(10 * time.Second)
	a := b.get("/prompt")
	if a.status != http.StatusOK || string(a.body) != `{"exec_info":{"queue_remaining":0}}` || a.header.Get("X-Portal-Placeholder") != "" {
		t.Fatalf("ready: %d %v %s", a.status, a.header, a.body)
	}
	wantOrder(t, b.inst.Logs(0), "Starting Caddy...", "Provisioning instance with", "comfyui startup paused", "Provisioning complete!",
		"Total VRAM", "pytorch version:", "Device: cuda:0", "ComfyUI version:", "Import times for custom nodes:", "Starting server",
		"To see the GUI go to: http://127.0.0.1:18188")
}

func (b *bench) provisioning() string {
	b.t.Helper()
	section, _ := b.portalDo(http.MethodGet, "/capabilities").json(b.t)["provisioning"].(map[string]any)
	status, _ := section["status"].(string)
	return status
}

func wantOrder(t *testing.T, lines []string, wanted ...string) {
	t.Helper()
	from := 0
	for _, want := range wanted {
		n := slices.IndexFunc(lines[from:], func(line string) bool { return strings.Contains(line, want) })
		if n < 0 {
			t.Fatalf("the log lacks %q after line %d", want, from)
		}
		from += n + 1
	}
}

func TestPortalConfigDecidesWhatIsServed(t *testing.T) {
	tests := map[string]struct {
		config string
		args   string
		comfy  string // refused, placeholder or json
	}{
		"names ComfyUI":             {config: standardEnv()["PORTAL_CONFIG"], comfy: "json"},
		"is absent":                 {config: "", comfy: "refused"},
		"has a bad entry":           {config: standardEnv()["PORTAL_CONFIG"] + "|nonsense", comfy: "refused"},
		"lacks the port":            {config: "localhost:1111:11111:/:Instance Portal", comfy: "refused"},
		"has the port, not name":    {config: "localhost:8188:18188:/:Something", comfy: "placeholder"},
		"ports are straight":        {config: "localhost:8188:8188:/:ComfyUI", comfy: "refused"},
		"ComfyUI listens elsewhere": {config: standardEnv()["PORTAL_CONFIG"], args: "--port 9999", comfy: "placeholder"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			b := start(t, func(c *Config) {
				c.Env["PORTAL_CONFIG"] = test.config
				if test.args != "" {
					c.Env["COMFYUI_ARGS"] = test.args
				}
			})
			b.pass(10 * time.Minute)
			if test.comfy == "refused" {
				if _, err := b.try(t.Context(), http.MethodGet, b.url("/prompt"), nil, nil); !errors.Is(err, syscall.ECONNREFUSED) {
					t.Fatalf("got %v, want connection refused", err)
				}
				return
			}
			b.waitOpen(b.comfy)
			want := map[string]int{"placeholder": http.StatusBadGateway, "json": http.StatusOK}[test.comfy]
			if a := b.get("/prompt"); a.status != want {
				t.Fatalf("got status %d, want %d", a.status, want)
			}
		})
	}
}

func TestAuthenticationTable(t *testing.T) {
	b := ready(t, nil)
	basic := func(user, password string) string {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://x", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		request.SetBasicAuth(user, password)
		return request.Header.Get("Authorization")
	}
	tests := map[string]struct {
		path   string
		header map[string]string
		status int
		cookie bool
	}{
		"bearer, password":            {path: "/prompt", status: 200},
		"bearer, open button":         {path: "/prompt", header: map[string]string{"Authorization": "Bearer open-button"}, status: 200},
		"bearer, wrong":               {path: "/prompt", header: map[string]string{"Authorization": "Bearer nonsense"}, status: 401},
		"nothing":                     {path: "/prompt", header: map[string]string{"Authorization": ""}, status: 401},
		"basic":                       {path: "/prompt", header: map[string]string{"Authorization": basic("vastai", token)}, status: 200, cookie: true},
		"basic, wrong":                {path: "/prompt", header: map[string]string{"Authorization": basic("vastai", "nonsense")}, status: 401},
		"basic, wrong user":           {path: "/prompt", header: map[string]string{"Authorization": basic("admin", token)}, status: 401},
		"query":                       {path: "/prompt?token=" + token, header: map[string]string{"Authorization": ""}, status: 200, cookie: true},
		"query, wrong":                {path: "/prompt?token=nonsense", header: map[string]string{"Authorization": ""}, status: 401},
		"query, browser":              {path: "/prompt?token=" + token, header: map[string]string{"Authorization": "", "Accept": "text/html"}, status: 302, cookie: true},
		"cookie":                      {path: "/prompt", header: map[string]string{"Authorization": "", "Cookie": "C.1_auth_token=" + token}, status: 200},
		"cookie of another container": {path: "/prompt", header: map[string]string{"Authorization": "", "Cookie": "C.2_auth_token=" + token}, status: 401},
		"resolver needs none":         {path: "/portal-resolver", header: map[string]string{"Authorization": ""}, status: 200},
		"manifest needs none":         {path: "/manifest.json", header: map[string]string{"Authorization": ""}, status: 404},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			a := b.doWith(http.MethodGet, test.path, nil, test.header)
			if a.status != test.status {
				t.Errorf("got status %d, want %d", a.status, test.status)
			}
			if got := a.header.Get("Set-Cookie") != ""; got != test.cookie {
				t.Errorf("sets a cookie: %v, want %v", got, test.cookie)
			}
			if test.status == 302 && strings.Contains(a.header.Get("Location"), "token") {
				t.Error("the redirect keeps the token")
			}
		})
	}
}

func TestAuthenticationCanBeTurnedOff(t *testing.T) {
	for name, env := range map[string]string{"ENABLE_AUTH": "false", "AUTH_EXCLUDE": "22, 8188"} {
		t.Run(name, func(t *testing.T) {
			b := ready(t, func(c *Config) { c.Env[name] = env })
			if a := b.doWith(http.MethodGet, "/prompt", nil, map[string]string{"Authorization": ""}); a.status != http.StatusOK {
				t.Fatalf("got status %d", a.status)
			}
		})
	}
}

func TestWrongBasicPasswordIsSlow(t *testing.T) {
	b := ready(t, func(c *Config) { c.Timings.WrongPassword = 5 * time.Second })
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan int, 1)
	go func() {
		a, err := b.try(ctx, http.MethodGet, b.url("/prompt"), nil, map[string]string{"Authorization": "Basic bm9ib2R5Om5vdGhpbmc="})
		if err != nil {
			done <- 0
			return
		}
		done <- a.status
	}()
	before := b.clk.Now()
	b.eventually("the answer comes", func() bool { return len(done) == 1 })
	if status := <-done; status != http.StatusUnauthorized {
		t.Errorf("got status %d", status)
	}
	if took := b.clk.Since(before); took < 5*time.Second {
		t.Errorf("it took %s", took)
	}
}

func TestHTTPSShowsOneSelfSignedCertificateAndRedirectsHTTP(t *testing.T) {
	b := ready(t, func(c *Config) { c.Env["ENABLE_HTTPS"] = "true" })
	if a := b.get("/prompt"); a.status != http.StatusOK {
		t.Fatalf("over TLS: %d", a.status)
	}
	first := b.peerCertificate(t)
	if first.Subject.CommonName != "jupyter.vast.ai" || len(first.IPAddresses) != 1 || !first.IPAddresses[0].Equal(net.IPv4zero) || len(first.DNSNames) != 0 {
		t.Errorf("certificate: CN %q, addresses %v, names %v", first.Subject.CommonName, first.IPAddresses, first.DNSNames)
	}
	if again := b.peerCertificate(t); !first.Equal(again) {
		t.Error("two connections were shown two certificates")
	}
	a, err := b.try(t.Context(), http.MethodGet, "http://"+b.comfy.Addr()+"/prompt?x=1", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if a.status != http.StatusPermanentRedirect || a.header.Get("Location") != "https://"+b.comfy.Addr()+"/prompt?x=1" {
		t.Errorf("plain HTTP: %d to %q", a.status, a.header.Get("Location"))
	}
}

func TestPortalRoutes(t *testing.T) {
	b := ready(t, nil)
	for path, field := range map[string]string{"/health": "status", "/system-metrics": "disk", "/capabilities": "provisioning"} {
		if a := b.portalDo(http.MethodGet, path); a.status != http.StatusOK || a.json(t)[field] == nil {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
	}
	state, pid := b.comfyState()
	if state != "RUNNING" {
		t.Fatalf("comfyui: %q", state)
	}
	for path, want := range map[string]int{
		"/supervisor/process/nonsense/restart": 404, "/supervisor/process/caddy/stop": 403, "/supervisor/process/comfyui/start": 400,
		"/supervisor/process/comfyui/dance": 404, "/nonsense": 404,
	} {
		if a := b.portalDo(http.MethodPost, path); a.status != want {
			t.Errorf("POST %s: got %d, want %d", path, a.status, want)
		}
	}
	if a := b.portalDo(http.MethodPost, "/supervisor/process/comfyui/restart"); a.json(t)["status"] != "ok" {
		t.Fatalf("restart: %s", a.body)
	}
	if a := b.get("/prompt"); a.status != http.StatusBadGateway {
		t.Errorf("right after the restart: %d", a.status)
	}
	if state, again := b.comfyState(); state != "STARTING" || again == pid {
		t.Errorf("after the restart: %q, pid %d was %d", state, again, pid)
	}
	b.pass(13 * time.Second)
	if a := b.get("/prompt"); a.status != http.StatusOK {
		t.Errorf("after the start: %d", a.status)
	}
	b.portalDo(http.MethodPost, "/supervisor/process/comfyui/stop")
	if state, _ := b.comfyState(); state != "STOPPED" {
		t.Errorf("after stop: %q", state)
	}
}
