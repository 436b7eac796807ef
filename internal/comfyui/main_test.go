package comfyui

import (
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// token is what no message may show.
const token = "hunter2hunter2hunter2hunter2hunter2"

// start is an arbitrary moment for virtual clocks.
func start() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }

// skipClock is a virtual clock on which short waits take no time at all: asking
// for one moves the clock on. Long waits are timeouts, and fire when the short
// ones have added up to them.
type skipClock struct{ *clocktesting.FakeClock }

func newSkipClock() skipClock { return skipClock{clocktesting.NewFakeClock(start())} }

func (c skipClock) NewTimer(d time.Duration) clock.Timer {
	timer := c.FakeClock.NewTimer(d)
	if d <= freePause {
		c.Step(d)
	}
	return timer
}

// addressOf is host:port of a test server.
func addressOf(server *httptest.Server) string {
	return server.Listener.Addr().String()
}

// serve runs a handler over plain HTTP and returns its target.
func serve(t *testing.T, handler http.HandlerFunc) Target {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return Target{Address: addressOf(server), Token: token}
}

// answer makes a handler with a fixed answer; headers are "Name: value".
func answer(status int, body string, headers ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for _, header := range headers {
			name, value, _ := strings.Cut(header, ": ")
			w.Header().Set(name, value)
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}
}

const jsonType = "Content-Type: application/json; charset=utf-8"

// raw accepts connections and hands each to act, which must not block for ever.
func raw(t *testing.T, act func(net.Conn)) Target {
	t.Helper()
	listener := listen(t)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			act(conn)
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() {
		_ = listener.Close()
		<-done
	})
	return Target{Address: listener.Addr().String(), Token: token}
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("listening: %v", err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	return listener
}

// readRequest reads what the client sends first, so that closing does not reset
// the connection before the client has read the answer.
func readRequest(conn net.Conn) {
	_, _ = conn.Read(make([]byte, 4096))
}
