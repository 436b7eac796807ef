package comfyui

import (
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/onsi/gomega"

	"github.com/warmpool-dev/warmpool/internal/fleet"
)

const servingBody = `{"exec_info":{"queue_remaining":3}}`

// refused is an address on which nothing listens.
func refused(t *testing.T) Target {
	t.Helper()
	listener := listen(t)
	address := listener.Addr().String()
	_ = listener.Close()
	return Target{Address: address, Token: token}
}

// reset ends a connection with RST.
func reset(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
}

func say(text string) func(net.Conn) {
	return func(conn net.Conn) {
		readRequest(conn)
		_, _ = conn.Write([]byte(text))
	}
}

func tlsTarget(t *testing.T, handler http.HandlerFunc, config TLSConfig) Target {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	server.Config.ErrorLog = quietLog()
	server.StartTLS()
	t.Cleanup(server.Close)
	return Target{Address: addressOf(server), Token: token, TLS: config}
}

// setup starts what a case talks to.
type setup func(*testing.T) Target

func over(handler http.HandlerFunc) setup {
	return func(t *testing.T) Target {
		t.Helper()
		return serve(t, handler)
	}
}

func overTLS(handler http.HandlerFunc, config TLSConfig) setup {
	return func(t *testing.T) Target {
		t.Helper()
		return tlsTarget(t, handler, config)
	}
}

func overTCP(act func(net.Conn), config TLSConfig) setup {
	return func(t *testing.T) Target {
		t.Helper()
		target := raw(t, act)
		target.TLS = config
		return target
	}
}

func at(address string) setup {
	return func(*testing.T) Target { return Target{Address: address, Token: token} }
}

func with(base setup, change func(*Target)) setup {
	return func(t *testing.T) Target {
		t.Helper()
		target := base(t)
		change(&target)
		return target
	}
}

func TestProbeTellsEveryReplyApart(t *testing.T) {
	pinned := TLSConfig{Mode: TLSPinned}
	cases := map[string]struct {
		target setup
		want   fleet.Signal
		says   string
	}{
		"json": {
			over(answer(200, servingBody, jsonType)),
			fleet.SignalServing, "answers",
		},
		"json over tls": {
			overTLS(answer(200, servingBody, jsonType), pinned),
			fleet.SignalServing, "answers",
		},
		"refused": {refused, fleet.SignalConnectionRefused, "nothing listens"},
		"accepted and closed": {
			overTCP(func(net.Conn) {}, TLSConfig{}),
			fleet.SignalConnectionRefused, "closed again",
		},
		"accepted and reset": {
			overTCP(reset, TLSConfig{}),
			// The reset may come before the client knows that it was connected.
			fleet.SignalConnectionRefused, "othing listens",
		},
		"closed in the tls handshake": {
			overTCP(readRequest, pinned),
			fleet.SignalConnectionRefused, "handshake",
		},
		"name that does not resolve": {
			at("no-such-host.invalid:8188"),
			fleet.SignalConnectTimeout, "resolved",
		},
		"401": {
			over(answer(401, "", `Www-Authenticate: Basic realm="x"`)),
			fleet.SignalAuthRejected, "WEB_PASSWORD",
		},
		"403": {
			over(answer(403, "")),
			fleet.SignalOriginRejected, "--enable-cors-header",
		},
		"404 html": {
			over(answer(404, "<html>", "Content-Type: text/html")),
			fleet.SignalUnexpectedService, "PORTAL_CONFIG",
		},
		"404 json": {
			over(answer(404, "{}", jsonType)),
			fleet.SignalUnexpectedService, "HTTP 404",
		},
		"200 html": {
			over(answer(200, "<html>", "Content-Type: text/html")),
			fleet.SignalUnexpectedService, "JSON",
		},
		"200 json text without its type": {
			over(answer(200, servingBody, "Content-Type: text/plain")),
			fleet.SignalUnexpectedService, "JSON",
		},
		"200 other json": {
			over(answer(200, `{"ok":true}`, jsonType)),
			fleet.SignalUnexpectedService, "JSON",
		},
		"200 negative queue": {
			over(answer(200, `{"exec_info":{"queue_remaining":-1}}`, jsonType)),
			fleet.SignalUnexpectedService, "JSON",
		},
		"200 broken json": {
			over(answer(200, `{"exec_info":{"queue_rem`, jsonType)),
			fleet.SignalUnexpectedService, "JSON",
		},
		"200 with endless json": {
			over(answer(200, `{"exec_info":{"queue_remaining":0},"x":"`+strings.Repeat("x", maxJSONBytes)+`"}`, jsonType)),
			fleet.SignalUnexpectedService, "JSON",
		},
		"204": {
			over(answer(204, "")),
			fleet.SignalUnexpectedService, "HTTP 204",
		},
		"placeholder 502": {
			over(answer(502, "<html>", "X-Portal-Placeholder: true", "Content-Type: text/html")),
			fleet.SignalPlaceholder, "provisioned",
		},
		"placeholder 503": {
			over(answer(503, "", "X-Portal-Placeholder: true")),
			fleet.SignalPlaceholder, "",
		},
		"placeholder 500": {
			over(answer(500, "", "X-Portal-Placeholder: true")),
			fleet.SignalPlaceholder, "",
		},
		"placeholder 200 through a tunnel": {
			over(answer(200, servingBody, "X-Portal-Placeholder: true", "Cf-Ray: 1", jsonType)),
			fleet.SignalPlaceholder, "",
		},
		"502 without the header": {
			over(answer(502, "")),
			fleet.SignalPlaceholder, "",
		},
		"504 placeholder": {
			over(answer(504, "", "X-Portal-Placeholder: true")),
			fleet.SignalNoAnswer, "504",
		},
		"500": {
			over(answer(500, "500 Internal Server Error", "Content-Type: text/plain")),
			fleet.SignalServerError, "HTTP 500",
		},
		"redirect to https": {
			over(answer(308, "", "Location: https://example.test/prompt")),
			fleet.SignalSchemeMismatch, "redirects to HTTPS",
		},
		"redirect to http": {
			overTLS(answer(302, "", "Location: http://example.test/prompt"), pinned),
			fleet.SignalSchemeMismatch, "plain HTTP",
		},
		"redirect to a login page": {
			over(answer(302, "", "Location: /login")),
			fleet.SignalUnexpectedService, "redirect",
		},
		"http to a tls port, answered": {
			overTLS(answer(200, servingBody, jsonType), TLSConfig{}),
			fleet.SignalSchemeMismatch, "HTTPS",
		},
		"http to a tls port, alert": {
			overTCP(say("\x15\x03\x01\x00\x02\x02\x46"), TLSConfig{}),
			fleet.SignalSchemeMismatch, "HTTPS",
		},
		"tls to an http port": {
			with(over(answer(200, servingBody, jsonType)), func(target *Target) { target.TLS = pinned }),
			fleet.SignalSchemeMismatch, "plain HTTP",
		},
		"tls to an ssh port": {
			overTCP(say("SSH-2.0-OpenSSH_9.6\r\n"), pinned),
			fleet.SignalUnexpectedService, "web server",
		},
		"tls handshake refused": {
			overTCP(say("\x15\x03\x03\x00\x02\x02\x50"), pinned),
			fleet.SignalCertificateUntrusted, "handshake",
		},
		"http to an ssh port": {
			overTCP(say("SSH-2.0-OpenSSH_9.6\r\n"), TLSConfig{}),
			fleet.SignalUnexpectedService, "web server",
		},
		"answer breaks off in the header": {
			overTCP(say("HTTP/1.1 200 OK\r\nContent-Ty"), TLSConfig{}),
			fleet.SignalNoAnswer, "broke off",
		},
		"answer breaks off in the body": {
			overTCP(say("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{\"exec"), TLSConfig{}),
			fleet.SignalNoAnswer, "broke off",
		},
		"endless header": {
			overTCP(say("HTTP/1.1 200 OK\r\nX: "+strings.Repeat("x", 2*maxHeaderBytes)), TLSConfig{}),
			fleet.SignalNoAnswer, "broke off",
		},
		"address that is none": {
			at("a b/c?d"),
			signalNothing, "host:port",
		},
		"password that cannot be sent": {
			with(over(answer(200, servingBody, jsonType)), func(target *Target) { target.Token = token + "\r\nX-Evil: 1" }),
			signalNothing, "control characters",
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			prober := New(Options{})
			got := prober.Probe(t.Context(), c.target(t), false)
			if got.Signal != c.want {
				t.Errorf("signal = %q, want %q (%s)", got.Signal, c.want, got.Message)
			}
			if !strings.Contains(got.Message, c.says) || !strings.HasSuffix(got.Message, ".") {
				t.Errorf("message = %q, want a sentence with %q", got.Message, c.says)
			}
			if strings.Contains(got.Message, token[:7]) {
				t.Error("the message shows a part of the token")
			}
			if want := map[bool]int{true: 3}[c.want == fleet.SignalServing]; got.QueueRemaining != want {
				t.Errorf("queue remaining = %d, want %d", got.QueueRemaining, want)
			}
			if got.At.IsZero() {
				t.Error("the probe has no time")
			}
		})
	}
}

func TestProbeAsksPromptOnlyAndSendsNothingABrowserWould(t *testing.T) {
	var mu sync.Mutex
	var seen []*http.Request
	target := serve(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, r)
		answer(200, servingBody, jsonType)(w, r)
	})
	New(Options{}).Probe(t.Context(), target, false)
	mu.Lock()
	defer mu.Unlock()
	if len(seen) != 1 || seen[0].Method != http.MethodGet || seen[0].URL.String() != "/prompt" {
		t.Fatalf("requests = %v, want one GET /prompt", seen)
	}
	if got := seen[0].Header.Get("Authorization"); got != "Bearer "+token {
		t.Error("the probe does not carry the bearer token")
	}
	for _, header := range []string{"Origin", "Sec-Fetch-Site", "Cookie", "Referer"} {
		if seen[0].Header.Get(header) != "" {
			t.Errorf("the probe sends %s", header)
		}
	}
	if seen[0].Header.Get("Connection") != "close" {
		t.Error("the probe asks to keep its connection: thousands of them would pile up")
	}
}

func TestProbeFollowsNoRedirect(t *testing.T) {
	other := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("the redirect was followed") })
	target := serve(t, answer(307, "", "Location: http://"+other.Address+"/prompt"))
	if got := New(Options{}).Probe(t.Context(), target, false); got.Signal != fleet.SignalUnexpectedService {
		t.Errorf("signal = %q", got.Signal)
	}
}

func TestProbesLeaveNoConnectionBehind(t *testing.T) {
	var mu sync.Mutex
	open, most := map[net.Conn]bool{}, 0
	server := httptest.NewUnstartedServer(answer(200, servingBody, jsonType))
	server.Config.ConnState = func(conn net.Conn, state http.ConnState) {
		mu.Lock()
		defer mu.Unlock()
		switch state {
		case http.StateNew:
			open[conn] = true
			most++
		case http.StateClosed:
			delete(open, conn)
		default:
		}
	}
	server.StartTLS()
	defer server.Close()
	prober := New(Options{})
	target := Target{Address: addressOf(server), TLS: TLSConfig{Mode: TLSPinned}}
	var probes sync.WaitGroup
	for range 100 {
		probes.Go(func() {
			if got := prober.Probe(t.Context(), target, false); got.Signal != fleet.SignalServing {
				t.Errorf("result = %+v", got)
			}
		})
	}
	probes.Wait()
	if _, err := prober.Portal(t.Context(), Target{PortalAddress: target.Address, TLS: target.TLS}); err != nil {
		t.Errorf("asking the portal: %v", err)
	}
	gomega.NewWithT(t).Eventually(func() int {
		mu.Lock()
		defer mu.Unlock()
		return len(open)
	}, 10*time.Second, 5*time.Millisecond).Should(gomega.BeZero())
	if most != 101 {
		t.Errorf("%d connections for 100 probes and one look at the portal, want 101", most)
	}
}
