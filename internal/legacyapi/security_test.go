package legacyapi_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/warmpool-dev/warmpool/internal/audit"
	"github.com/warmpool-dev/warmpool/internal/legacyapi"
)

func TestRefusesToStartWithAnUnusableKey(t *testing.T) {
	for name, key := range map[string]string{
		"missing": "", "short": "4f9a-22c1-b7d0x", "the default of old": "secure_admin_key_change_me", "one letter": strings.Repeat("k", 40),
		"another default": "My-ChangeMe-Key-0123456789", "control characters": "abcdefghij\x01klmnopqrst",
	} {
		t.Run(name, func(t *testing.T) {
			w := prepareWorld(t, func(w *world) {
				secret := credentials()
				secret.Data["ADMIN_API_KEY"] = []byte(key)
				w.objects[2] = secret
			})
			_, err := w.start()
			if !errors.Is(err, legacyapi.ErrWeakAdminKey) || !strings.Contains(err.Error(), "kubectl -n media patch secret warmpool-credentials") {
				t.Fatalf("got %v", err)
			}
			if key != "" && strings.Contains(err.Error(), key) {
				t.Error("the error shows the key")
			}
		})
	}
	w := prepareWorld(t, func(w *world) { w.objects = w.objects[:2] })
	if _, err := w.start(); !errors.Is(err, legacyapi.ErrWeakAdminKey) {
		t.Errorf("without a Secret: %v", err)
	}
}

func TestQuotesOfADotEnvFileAreNotPartOfTheKey(t *testing.T) {
	w := newWorld(t, func(w *world) {
		secret := credentials()
		secret.Data["ADMIN_API_KEY"] = []byte(`"` + adminKeyValue + `"` + "\n")
		w.objects[2] = secret
	})
	if got := w.status(admin(http.MethodGet, "/api/proxy/admin/config", "")); got != http.StatusOK {
		t.Errorf("got %d", got)
	}
}

func TestChangedKeyIsInForceWithoutARestart(t *testing.T) {
	w := newWorld(t)
	status := admin(http.MethodGet, "/api/proxy/admin/config", "")
	if got := w.status(status); got != http.StatusOK {
		t.Fatalf("the first key: %d", got)
	}
	secret := credentials()
	if err := w.client.Get(t.Context(), client.ObjectKeyFromObject(secret), secret); err != nil {
		t.Fatal(err)
	}
	secret.Data["ADMIN_API_KEY"] = []byte(newTokenValue)
	if err := w.client.Update(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
	w.clock.step(3 * time.Second)
	if got := w.status(status); got != http.StatusForbidden {
		t.Errorf("the old key: %d", got)
	}
	if got := w.status(status.with("X-Admin-Key", newTokenValue)); got != http.StatusOK {
		t.Errorf("the new key: %d", got)
	}
	delete(secret.Data, "ADMIN_API_KEY")
	if err := w.client.Update(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
	w.clock.step(3 * time.Second)
	code, text := w.ask(status.with("X-Admin-Key", newTokenValue))
	if code != http.StatusForbidden || !strings.Contains(text, "not configured on server") {
		t.Errorf("a key that was taken away: %d %s", code, text)
	}
}

func TestSetTokensAreInForceAtOnce(t *testing.T) {
	w := newWorld(t)
	set := request{method: http.MethodPost, path: "/api/proxy/admin/set-tokens", body: `{"civitai":"` + newTokenValue + `"}`, peer: localPeer}
	if _, text := w.ask(set); text != `{"huggingface":true,"civitai":true,"vastai":true}` {
		t.Errorf("got %s", text)
	}
	var secret corev1.Secret
	if err := w.client.Get(t.Context(), client.ObjectKey{Namespace: poolNamespace, Name: secretName}, &secret); err != nil {
		t.Fatal(err)
	}
	if string(secret.Data["CIVITAI_TOKEN"]) != newTokenValue || string(secret.Data["VASTAI_API_KEY"]) != vastKeyValue {
		t.Error("the Secret does not hold what was sent, or lost what was not")
	}
}

func TestKeyInTheURLOnlyWhenAllowed(t *testing.T) {
	for allowed, want := range map[bool]int{false: http.StatusForbidden, true: http.StatusOK} {
		w := newWorld(t, func(w *world) { w.options = func(o *legacyapi.Options) { o.KeyInURL = allowed } })
		for _, name := range []string{"adminKey", "adminApiKey"} {
			asked := request{method: http.MethodGet, path: "/api/proxy/admin/config?" + name + "=" + adminKeyValue, peer: localPeer}
			if got := w.status(asked); got != want {
				t.Errorf("%s, allowed %v: %d", name, allowed, got)
			}
		}
		twice := request{method: http.MethodGet, path: "/api/proxy/admin/config?adminKey=" + adminKeyValue + "&adminKey=x", peer: localPeer}
		if got := w.status(twice); got != http.StatusForbidden {
			t.Errorf("a key that is given twice: %d", got)
		}
	}
}

func TestWrongKeysLockTheirPeerOut(t *testing.T) {
	w := newWorld(t)
	status := admin(http.MethodGet, "/api/proxy/admin/config", "")
	status.peer = remotePeer
	for n := range 3 {
		if got := w.status(status.with("X-Admin-Key", wrongKeyValue)); got != http.StatusForbidden {
			t.Fatalf("wrong key %d: %d", n, got)
		}
	}
	if got := w.status(status); got != http.StatusTooManyRequests {
		t.Errorf("the right key after too many wrong ones: %d", got)
	}
	other := status
	other.peer = "198.51.100.10:1"
	if got := w.status(other); got != http.StatusOK {
		t.Errorf("another peer: %d", got)
	}
	w.clock.step(time.Minute)
	if got := w.status(status); got != http.StatusOK {
		t.Errorf("a minute later: %d", got)
	}
	for range 10 {
		if got := w.status(status); got != http.StatusOK {
			t.Fatalf("right keys use the allowance up: %d", got)
		}
	}
	if actor, ok := w.server.Check(t.Context(), wrongKeyValue); ok || actor == "" {
		t.Errorf("the admin page takes a wrong key from %q", actor)
	}
	// Every reason is there from the start: a rate does not see a counter that
	// begins at its first failures.
	want := `
# HELP warmpool_sidecar_authentication_failures_total Requests without the right key: reason missing, wrong, in_url, not_configured, not_local or locked (too many wrong keys from the peer).
# TYPE warmpool_sidecar_authentication_failures_total counter
warmpool_sidecar_authentication_failures_total{reason="in_url"} 0
warmpool_sidecar_authentication_failures_total{reason="locked"} 1
warmpool_sidecar_authentication_failures_total{reason="missing"} 0
warmpool_sidecar_authentication_failures_total{reason="not_configured"} 0
warmpool_sidecar_authentication_failures_total{reason="not_local"} 0
warmpool_sidecar_authentication_failures_total{reason="wrong"} 4
`
	if err := testutil.GatherAndCompare(w.metrics, strings.NewReader(want), "warmpool_sidecar_authentication_failures_total"); err != nil {
		t.Error(err)
	}
}

func TestOnePeerCannotAskWithoutEnd(t *testing.T) {
	w := newWorld(t, func(w *world) {
		w.options = func(o *legacyapi.Options) {
			o.Limits = legacyapi.Limits{RequestsPerSecond: 1, Burst: 2, WrongKeysPerMinute: 1}
		}
	})
	health := request{method: http.MethodGet, path: "/api/proxy/health", peer: "[2001:db8::1]:1"}
	for _, want := range []int{200, 200, 429} {
		if got := w.status(health); got != want {
			t.Errorf("got %d, want %d", got, want)
		}
	}
	neighbour := health
	neighbour.peer = "[2001:db8::2]:1"
	if got := w.status(neighbour); got != http.StatusTooManyRequests {
		t.Errorf("the same network: %d", got)
	}
	neighbour.peer = "[2001:db8:0:1::1]:1"
	if got := w.status(neighbour); got != http.StatusOK {
		t.Errorf("another network: %d", got)
	}
}

// TestNothingIsDoneThatCannotBeRecorded closes the log first.
func TestNothingIsDoneThatCannotBeRecorded(t *testing.T) {
	w := newWorld(t, withReady)
	before := w.snapshot()
	if err := w.audit.Close(); err != nil {
		t.Fatal(err)
	}
	code, text := w.ask(admin(http.MethodPost, "/api/proxy/admin/terminate", "{}"))
	if code != http.StatusServiceUnavailable || !strings.Contains(text, "nothing was done") {
		t.Errorf("got %d %s", code, text)
	}
	if after := w.snapshot(); strings.Join(after, "\n") != strings.Join(before, "\n") {
		t.Errorf("it was done: %v", after)
	}
}

// TestRecordedBeforeAnswered reads the log at the moment of the answer.
func TestRecordedBeforeAnswered(t *testing.T) {
	w := newWorld(t, withReady)
	sent := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/api/proxy/admin/terminate", http.NoBody)
	sent.RemoteAddr = localPeer
	sent.Header.Set("X-Admin-Key", adminKeyValue)
	answered := &witness{ResponseRecorder: httptest.NewRecorder(), look: func() {
		page, err := w.audit.Query(t.Context(), audit.Query{Limit: 1})
		if err != nil || len(page.Records) != 1 || page.Records[0].Action != "terminate" || page.Records[0].Outcome != audit.OutcomeOK {
			t.Errorf("at the answer the log ends with %+v, %v", page.Records, err)
		}
	}}
	w.server.ServeHTTP(answered, sent)
	if answered.Code != http.StatusOK {
		t.Errorf("got %d", answered.Code)
	}
}

// witness looks when an answer begins.
type witness struct {
	*httptest.ResponseRecorder

	look func()
}

func (w *witness) WriteHeader(code int) {
	w.look()
	w.ResponseRecorder.WriteHeader(code)
}

func TestCORSIsClosedUnlessOpened(t *testing.T) {
	const page = "https://studio.example.com"
	preflight := request{method: http.MethodOptions, path: "/api/proxy/admin/warm-pool", peer: localPeer}.
		with("Origin", page).with("Access-Control-Request-Method", "POST")
	closed := newWorld(t).do(preflight)
	closed.Body.Close()
	if closed.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Error("any page may call")
	}
	w := newWorld(t, func(w *world) { w.options = func(o *legacyapi.Options) { o.Origins = []string{page} } })
	opened := w.do(preflight)
	opened.Body.Close()
	if opened.StatusCode != http.StatusNoContent || opened.Header.Get("Access-Control-Allow-Origin") != page || !strings.Contains(opened.Header.Get("Access-Control-Allow-Headers"), "X-Admin-Key") {
		t.Errorf("got %d %v", opened.StatusCode, opened.Header)
	}
	other := w.do(preflight.with("Origin", "https://evil.example.com"))
	other.Body.Close()
	if other.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Error("another page may call")
	}
	posted := admin(http.MethodPost, "/api/proxy/admin/warm-pool", "{}").with("Origin", page).with("Sec-Fetch-Site", "cross-site")
	if got := w.status(posted); got != http.StatusOK {
		t.Errorf("the page's own request: %d", got)
	}
}

func TestEveryAnswerHasSecurityHeaders(t *testing.T) {
	w := newWorld(t)
	for _, path := range []string{"/api/proxy/health", "/nothing", "/api/proxy/asks/1", "/api/proxy/admin/config"} {
		response := w.do(request{method: http.MethodGet, path: path, peer: localPeer})
		response.Body.Close()
		header := response.Header
		for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Cache-Control": "no-store", "Referrer-Policy": "no-referrer"} {
			if header.Get(name) != want {
				t.Errorf("%s: %s is %q", path, name, header.Get(name))
			}
		}
		if header.Get("X-Powered-By") != "" || header.Get("Server") != "" {
			t.Errorf("%s tells what runs here: %v", path, header)
		}
	}
}

// TestHostileRequests sends what strangers send, as bytes, to a served world,
// and looks for panics and secrets in everything that comes out of it.
func TestHostileRequests(t *testing.T) {
	w := newWorld(t, withReady, withClaimed, func(w *world) {
		w.options = func(o *legacyapi.Options) { o.KeyInURL, o.Clock = true, clock.RealClock{} }
	})
	var out bytes.Buffer
	address := w.serve()
	big := strings.Repeat("x", 200<<10)
	for name, raw := range map[string]string{
		"no HTTP":            "\x16\x03\x01\x00\xa5\x01\x00\x00",
		"smuggled length":    "POST /api/proxy/admin/terminate HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /x",
		"two lengths":        "POST /api/proxy/prompt HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
		"endless header":     "GET /api/proxy/health HTTP/1.1\r\nHost: a\r\nX-A: " + big + "\r\n\r\n",
		"endless address":    "GET /api/proxy/health?" + big[:9<<10] + " HTTP/1.1\r\nHost: a\r\n\r\n",
		"injected header":    "GET /api/proxy/%0d%0aSet-Cookie:%20a=b HTTP/1.1\r\nHost: a\r\n\r\n",
		"header in the key":  "GET /api/proxy/admin/config HTTP/1.1\r\nHost: a\r\nX-Admin-Key: a\rb: " + wrongKeyValue + "\r\n\r\n",
		"wrong key":          "GET /api/proxy/admin/config HTTP/1.1\r\nHost: a\r\nX-Admin-Key: " + wrongKeyValue + "\r\n\r\n",
		"wrong key in URL":   "GET /api/proxy/admin/logs?adminKey=" + wrongKeyValue + " HTTP/1.1\r\nHost: a\r\n\r\n",
		"key in the path":    "GET /api/proxy/" + adminKeyValue[:6] + "%00 HTTP/1.1\r\nHost: a\r\n\r\n",
		"no host":            "GET /api/proxy/health HTTP/1.1\r\n\r\n",
		"another proxy":      "GET http://169.254.169.254/latest/meta-data HTTP/1.1\r\nHost: a\r\n\r\n",
		"tunnel":             "CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n",
		"climbing":           "GET /api/proxy/comfy/..%2f..%2fetc/passwd HTTP/1.1\r\nHost: a\r\nX-Admin-Key: " + adminKeyValue + "\r\n\r\n",
		"huge body":          fmt.Sprintf("POST /api/proxy/admin/config HTTP/1.1\r\nHost: a\r\nX-Admin-Key: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", adminKeyValue, len(big), big),
		"deep body":          jsonPost(strings.Repeat(`{"a":`, 12_000)),
		"invalid UTF-8":      jsonPost("{\"provision_script\":\"https://\xff\xfe\"}"),
		"body that is short": "POST /api/proxy/admin/config HTTP/1.1\r\nHost: a\r\nX-Admin-Key: " + adminKeyValue + "\r\nContent-Length: 100\r\n\r\n{",
		"upgrade of nothing": "GET /api/proxy/health HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
		"bad range of port":  "GET /api/proxy/health HTTP/1.1\r\nHost: a:99999999\r\n\r\n",
	} {
		answer := exchange(t, address, raw)
		fmt.Fprintf(&out, "%s: %s\n", name, answer)
		if strings.Contains(answer, "\r\nSet-Cookie:") || strings.Contains(answer, "goroutine") || strings.Contains(answer, " 200 ") && strings.Contains(raw, "169.254") {
			t.Errorf("%s: %s", name, answer)
		}
	}
	// It still works.
	if answer := exchange(t, address, "GET /api/proxy/health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"); !strings.Contains(answer, `"status":"ready"`) {
		t.Errorf("afterwards: %s", answer)
	}
	w.logged.Lock()
	out.Write(w.logged.Bytes())
	w.logged.Unlock()
	out.WriteString(w.records())
	if strings.Contains(out.String(), "panicked") {
		t.Error("a handler panicked")
	}
	for _, secret := range canaries() {
		if strings.Contains(out.String(), secret) {
			t.Errorf("the secret %s is shown in: %s", secret, out.String())
		}
	}
}

func jsonPost(body string) string {
	return fmt.Sprintf("POST /api/proxy/admin/config HTTP/1.1\r\nHost: a\r\nX-Admin-Key: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", adminKeyValue, len(body), body)
}

// exchange sends bytes and returns what comes back within a moment.
func exchange(t *testing.T, address, raw string) string {
	t.Helper()
	connection, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	if err := connection.SetDeadline(time.Now().Add(300 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(connection, raw) // the server may hang up before it has read everything
	answer, _ := io.ReadAll(connection)    // nothing ends the connection but the deadline
	return string(answer)
}

// TestSlowRequestsAreGivenUp sends half a header and half a body.
func TestSlowRequestsAreGivenUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(w *world) {
		w.options = func(o *legacyapi.Options) { o.Clock = clock.RealClock{} }
	})
	address := w.serve()
	var slow sync.WaitGroup
	for name, test := range map[string]struct{ raw, want string }{
		"header": {"GET /api/proxy/health HTTP/1.1\r\nHost: a\r\nX-Slow: ", ""},
		"upload": {"POST /api/proxy/comfy/upload/image HTTP/1.1\r\nHost: a\r\nX-Admin-Key: " + wrongKeyValue + "\r\nContent-Length: 50\r\n\r\n{", "403 Forbidden"},
		"body":   {"POST /api/proxy/admin/config HTTP/1.1\r\nHost: a\r\nX-Admin-Key: " + adminKeyValue + "\r\nContent-Length: 50\r\n\r\n{", "400 Bad Request"},
	} {
		slow.Go(func() {
			connection, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
			if err != nil {
				t.Error(err)
				return
			}
			defer connection.Close()
			if _, err = io.WriteString(connection, test.raw); err != nil {
				t.Error(err)
			}
			if err = connection.SetDeadline(time.Now().Add(40 * time.Second)); err != nil {
				t.Error(err)
			}
			answer, err := io.ReadAll(connection)
			if err != nil || !strings.Contains(string(answer), test.want) {
				t.Errorf("%s: got %q, %v", name, answer, err)
			}
		})
	}
	if got := w.get("http://"+address+"/api/proxy/health", nil); got.status != http.StatusOK {
		t.Errorf("meanwhile: %+v", got)
	}
	slow.Wait()
}

// serve serves the world as the command does, and returns its address.
func (w *world) serve() string {
	w.Helper()
	listener, err := (&net.ListenConfig{}).Listen(w.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		w.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(w.Context()))
	ended := make(chan error, 1)
	go func() { ended <- w.server.Serve(ctx, listener, nil, 100*time.Millisecond) }()
	w.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			w.Error(err)
		}
	})
	return listener.Addr().String()
}

func TestServesHTTPS(t *testing.T) {
	issued := httptest.NewTLSServer(http.NotFoundHandler())
	defer issued.Close()
	w := newWorld(t)
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.server.Serve(ctx, listener, issued.TLS, time.Second) }()
	browser := issued.Client()
	response, err := browser.Get("https://" + listener.Addr().String() + "/api/proxy/health")
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	browser.CloseIdleConnections()
	if response.StatusCode != http.StatusOK || response.Header.Get("Strict-Transport-Security") == "" || response.ProtoMajor != 1 {
		t.Errorf("got %d over %s with %v", response.StatusCode, response.Proto, response.Header)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestShutdownLetsRunningRequestsFinish stops the server while one runs.
func TestShutdownLetsRunningRequestsFinish(t *testing.T) {
	begun, finish := make(chan struct{}), make(chan struct{})
	w := newWorld(t, withReady, func(w *world) {
		w.comfy = func(rw http.ResponseWriter, _ *http.Request) {
			close(begun)
			<-finish
			fmt.Fprint(rw, "done")
		}
	})
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- w.server.Serve(ctx, listener, nil, 10*time.Second) }()
	answered := make(chan string, 1)
	go func() {
		answered <- w.get("http://"+listener.Addr().String()+"/api/proxy/comfy/prompt", asAdmin()).text
	}()
	<-begun
	cancel()
	close(finish)
	if text := <-answered; text != "done" {
		t.Errorf("got %q", text)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
