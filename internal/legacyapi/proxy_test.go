package legacyapi_test

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	stdlog "log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"sigs.k8s.io/controller-runtime/pkg/client"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/comfyui"
	"github.com/warmpool-dev/warmpool/internal/fleet"
	"github.com/warmpool-dev/warmpool/internal/legacyapi"
)

// serveWorld serves a world over the network.
func serveWorld(w *world) string {
	w.Helper()
	served := httptest.NewServer(w.server)
	w.Cleanup(served.Close)
	return served.URL
}

// reply is an answer that was read to its end.
type reply struct {
	status int
	header http.Header
	text   string
}

// get asks an address over the network.
func (w *world) get(address string, header map[string]string) reply {
	w.Helper()
	sent, err := http.NewRequestWithContext(w.Context(), http.MethodGet, address, http.NoBody)
	if err != nil {
		w.Fatal(err)
	}
	for name, value := range header {
		sent.Header.Set(name, value)
	}
	alone := &http.Transport{DisableKeepAlives: true}
	response, err := alone.RoundTrip(sent)
	if err != nil {
		w.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		w.Fatal(err)
	}
	return reply{response.StatusCode, response.Header, string(text)}
}

func asAdmin() map[string]string { return map[string]string{"X-Admin-Key": adminKeyValue} }

func TestProxyTakesOutWhatIsMeantForIt(t *testing.T) {
	var seen *http.Request
	w := newWorld(t, withReady, func(w *world) {
		w.options = func(o *legacyapi.Options) { o.KeyInURL = true }
		w.comfy = func(rw http.ResponseWriter, r *http.Request) {
			seen = r.Clone(r.Context())
			rw.Header().Set("Set-Cookie", "session=1")
			rw.Header().Set("Access-Control-Allow-Origin", "*")
			rw.Header().Set("Content-Security-Policy", "default-src *")
			fmt.Fprint(rw, "<script>1</script>")
		}
	})
	header := map[string]string{
		"X-Admin-Key": adminKeyValue, "X-Admin-Api-Key": adminKeyValue, "Cookie": "a=b", "Origin": "http://127.0.0.1", "Referer": "http://127.0.0.1/x",
		"Sec-Fetch-Site": "same-origin", "X-Forwarded-For": "198.51.100.1", "X-Custom": "kept",
	}
	got := w.get(serveWorld(w)+"/API/proxy/Comfy/view%2Fa?filename=x%20y.png&adminKey="+adminKeyValue, header)
	if got.status != http.StatusOK || got.text != "<script>1</script>" {
		t.Fatalf("got %+v", got)
	}
	if seen.RequestURI != "/view%2Fa?filename=x+y.png" {
		t.Errorf("the instance was asked for %s", seen.RequestURI)
	}
	if seen.Header.Get("Authorization") != "Bearer "+webPassword {
		t.Errorf("the instance's own password was not sent")
	}
	for _, name := range []string{"X-Admin-Key", "X-Admin-Api-Key", "Cookie", "Origin", "Referer", "Sec-Fetch-Site", "X-Forwarded-For"} {
		if seen.Header.Get(name) != "" {
			t.Errorf("%s reached the rented machine", name)
		}
	}
	if seen.Header.Get("X-Custom") != "kept" || seen.Host != comfyAddress {
		t.Errorf("header %v, host %s", seen.Header, seen.Host)
	}
	if got.header.Get("Set-Cookie") != "" || got.header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("a rented machine may set cookies or open our origin: %v", got.header)
	}
	if policy := got.header.Values("Content-Security-Policy"); len(policy) != 1 || !strings.HasPrefix(policy[0], "sandbox") {
		t.Errorf("scripts of a rented machine run under our origin: %v", policy)
	}
}

func TestProxyStreamsUploadsAndAnswers(t *testing.T) {
	const size = 3 << 20
	picture := bytes.Repeat([]byte{0, 255, 10, 13}, size/4)
	var got [sha256.Size]byte
	first := make(chan struct{})
	w := newWorld(t, withReady, func(w *world) {
		w.comfy = func(rw http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				return
			}
			got = sha256.Sum256(body)
			fmt.Fprint(rw, "one\n")
			if err := http.NewResponseController(rw).Flush(); err != nil {
				return
			}
			<-first // the second line comes only when the first one has arrived
			fmt.Fprint(rw, "two\n")
		}
	})
	sent, err := http.NewRequestWithContext(t.Context(), http.MethodPost, serveWorld(w)+"/api/proxy/comfy/upload/image", bytes.NewReader(picture))
	if err != nil {
		t.Fatal(err)
	}
	sent.Header.Set("X-Admin-Key", adminKeyValue)
	sent.Header.Set("Content-Type", "multipart/form-data; boundary=x")
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	response, err := transport.RoundTrip(sent)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	lines := bufio.NewReader(response.Body)
	if line, err := lines.ReadString('\n'); err != nil || line != "one\n" {
		t.Fatalf("got %q, %v", line, err)
	}
	close(first)
	if line, err := lines.ReadString('\n'); err != nil || line != "two\n" {
		t.Fatalf("got %q, %v", line, err)
	}
	if got != sha256.Sum256(picture) {
		t.Error("the upload arrived changed")
	}
}

func TestProxyCarriesWebSockets(t *testing.T) {
	w := newWorld(t, withClaimed, func(w *world) {
		w.comfy = func(rw http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") != "Bearer "+webPassword || r.URL.Query().Get("clientId") != "7" {
				rw.WriteHeader(http.StatusUnauthorized)
				return
			}
			socket, err := websocket.Accept(rw, r, nil)
			if err != nil {
				return
			}
			defer socket.CloseNow()
			kind, text, err := socket.Read(r.Context())
			if err == nil {
				_ = socket.Write(r.Context(), kind, append([]byte("echo "), text...))
			}
			_ = socket.Close(websocket.StatusNormalClosure, "")
		}
	})
	address := "ws" + strings.TrimPrefix(serveWorld(w), "http") + "/api/proxy/comfy/ws?clientId=7"
	socket, _, err := websocket.Dial(t.Context(), address, //nolint:bodyclose // it has none after an upgrade
		&websocket.DialOptions{HTTPHeader: http.Header{"Authorization": {"Bearer " + claimToken}}})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.CloseNow()
	if err := socket.Write(t.Context(), websocket.MessageText, []byte("hello")); err != nil {
		t.Fatal(err)
	}
	if _, text, err := socket.Read(t.Context()); err != nil || string(text) != "echo hello" {
		t.Errorf("got %q, %v", text, err)
	}
}

// TestProxyAdmits says who reaches which instance.
func TestProxyAdmits(t *testing.T) {
	expired := func(w *world) { w.clock.step(time.Hour) }
	token := map[string]string{"Authorization": "Bearer " + claimToken}
	recycled := func(w *world) {
		for _, object := range w.objects {
			if held, is := object.(*warmpool.WarmInstance); is {
				held.Spec.ClaimRef.UID = "another"
			}
		}
	}
	for name, test := range map[string]struct {
		worlds []func(*world)
		header map[string]string
		path   string
		want   int
		text   string
	}{
		"the key":                      {[]func(*world){withReady}, asAdmin(), "system_stats", 200, "devices"},
		"the key as a bearer token":    {[]func(*world){withReady}, map[string]string{"Authorization": "Bearer " + adminKeyValue}, "system_stats", 200, "devices"},
		"a claim":                      {[]func(*world){withClaimed}, token, "system_stats", 200, "devices"},
		"a claim beside a free one":    {[]func(*world){withReady, withClaimed}, token, "system_stats", 200, "devices"},
		"a claim that has expired":     {[]func(*world){withClaimed, expired}, token, "system_stats", 403, `{"error":"forbidden"}`},
		"a claim that lost it":         {[]func(*world){withClaimed, recycled}, token, "system_stats", 403, `{"error":"forbidden"}`},
		"a claim's token as the key":   {[]func(*world){withClaimed}, map[string]string{"X-Admin-Key": claimToken}, "system_stats", 403, `{"error":"forbidden"}`},
		"an unknown token":             {[]func(*world){withClaimed}, map[string]string{"Authorization": "Bearer " + wrongKeyValue}, "system_stats", 403, `{"error":"forbidden"}`},
		"nothing":                      {[]func(*world){withReady}, nil, "system_stats", 403, `{"error":"forbidden"}`},
		"the key, and only claimed":    {[]func(*world){withClaimed}, asAdmin(), "system_stats", 404, `{"error":"no warm instance available"}`},
		"the key, and none":            {nil, asAdmin(), "", 404, `{"error":"no warm instance available"}`},
		"the key, and a failed one":    {[]func(*world){withFailed}, asAdmin(), "x", 404, `{"error":"no warm instance available"}`},
		"the key, and none rented yet": {[]func(*world){withPending}, asAdmin(), "x", 404, `{"error":"no connection URL available"}`},
		"dots":                         {[]func(*world){withReady}, asAdmin(), "%2e%2e/x", 400, "segments"},
		"dots behind a backslash":      {[]func(*world){withReady}, asAdmin(), "a%5c..%5cx", 400, "segments"},
		"what ComfyUI does not have":   {[]func(*world){withReady}, asAdmin(), "nothing", 404, "404 page not found"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, test.worlds...)
			got := w.get(serveWorld(w)+"/api/proxy/comfy/"+test.path, test.header)
			if got.status != test.want || !strings.Contains(got.text, test.text) {
				t.Errorf("got %d %s", got.status, got.text)
			}
		})
	}
}

// TestProxyTrustsTheRecordedCertificateOnly uses the real transport.
func TestProxyTrustsTheRecordedCertificateOnly(t *testing.T) {
	asked := 0
	front := httptest.NewTLSServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { asked++; comfyUI(rw, r) }))
	defer front.Close()
	front.Config.ErrorLog = stdlog.New(io.Discard, "", 0)
	sum := sha256.Sum256(front.Certificate().Raw)
	right := hex.EncodeToString(sum[:])
	for name, test := range map[string]struct {
		pin  string
		want int
	}{
		"recorded":     {right, 200},
		"another one":  {strings.Repeat("ab", sha256.Size), 502},
		"none as yet":  {"", 502},
		"in capitals ": {strings.ToUpper(right), 200},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, func(w *world) {
				pinned := ready(instance(instanceName, rentalID))
				pinned.Spec.Template.TLS = nil
				pinned.Status.CertificateSHA256 = test.pin
				pinned.Status.Endpoints[0].URL = front.URL
				w.objects = append(w.objects, pinned, password(instanceName))
				w.options = func(o *legacyapi.Options) {
					o.Dial = func(target legacyapi.Target) (*http.Transport, error) {
						return comfyui.NewTransport(comfyui.TLSConfig{Mode: comfyui.TLSMode(target.TLSMode), PinnedSHA256: target.PinnedSHA256}, time.Now)
					}
					o.IsUntrusted = func(err error) bool { return comfyui.SignalOf(err) == fleet.SignalCertificateUntrusted }
				}
			})
			before := asked
			got := w.get(serveWorld(w)+"/api/proxy/comfy/system_stats", asAdmin())
			if got.status != test.want {
				t.Fatalf("got %d %s", got.status, got.text)
			}
			if test.want != http.StatusOK && (asked != before || got.text != `{"error":"comfy proxy error","details":"the instance is not trusted; the sidecar's log says why"}`) {
				t.Errorf("%d requests reached it; got %s", asked-before, got.text)
			}
		})
	}
}

func TestProxyOfASilentInstance(t *testing.T) {
	w := newWorld(t, withReady, func(w *world) {
		w.comfy = func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
	})
	got := w.get(serveWorld(w)+"/api/proxy/comfy/prompt", asAdmin())
	if got.status != http.StatusBadGateway || got.text != `{"error":"comfy proxy error","details":"the instance does not answer; the sidecar's log says why"}` {
		t.Errorf("got %d %s", got.status, got.text)
	}
}

// TestProxyCutsWhoseLeaveHasEnded lets a claim end, and another one begin, while
// WebSockets are open.
func TestProxyCutsWhoseLeaveHasEnded(t *testing.T) {
	for name, test := range map[string]struct {
		world  func(*world)
		header http.Header
		end    func(*world) error
	}{
		"the claim expires": {withClaimed, http.Header{"Authorization": {"Bearer " + claimToken}}, func(w *world) error {
			w.clock.step(time.Hour)
			return nil
		}},
		"the claim is deleted": {withClaimed, http.Header{"Authorization": {"Bearer " + claimToken}}, func(w *world) error {
			return w.client.Delete(w.Context(), boundClaim("user-1", claimedName))
		}},
		"somebody claims the instance": {withReady, http.Header{"X-Admin-Key": {adminKeyValue}}, func(w *world) error {
			held := &warmpool.WarmInstance{}
			if err := w.client.Get(w.Context(), client.ObjectKey{Namespace: poolNamespace, Name: instanceName}, held); err != nil {
				return err
			}
			held.Spec.ClaimRef = &warmpool.ClaimReference{Name: "user-2", UID: "other"}
			return w.client.Update(w.Context(), held)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, test.world, func(w *world) {
				w.clock.hurry = 100
				w.comfy = func(rw http.ResponseWriter, r *http.Request) {
					socket, err := websocket.Accept(rw, r, nil)
					if err != nil {
						return
					}
					defer socket.CloseNow()
					_, _, _ = socket.Read(r.Context()) // nothing comes until it is cut
				}
			})
			socket, _, err := websocket.Dial(t.Context(), "ws"+strings.TrimPrefix(serveWorld(w), "http")+"/api/proxy/comfy/ws", //nolint:bodyclose // it has none after an upgrade
				&websocket.DialOptions{HTTPHeader: test.header})
			if err != nil {
				t.Fatal(err)
			}
			defer socket.CloseNow()
			cut := make(chan struct{})
			go func() {
				defer close(cut)
				_, _, _ = socket.Read(t.Context()) // nothing is ever sent
			}()
			select {
			case <-cut:
				t.Fatal("it was cut before its leave had ended")
			case <-time.After(300 * time.Millisecond):
			}
			if err := test.end(w); err != nil {
				t.Fatal(err)
			}
			select {
			case <-cut:
			case <-time.After(20 * time.Second):
				t.Error("it was not cut")
			}
		})
	}
}
