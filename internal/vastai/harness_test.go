package vastai

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/utils/clock"

	"github.com/warmpool-dev/warmpool/internal/fleet"
)

// testKey is the shape of a real key, and none.
const testKey = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

// sentCall is one request that reached the wire.
type sentCall struct {
	At     time.Time
	Method string
	Path   string
	Query  string
	Header http.Header
	Body   string
}

// wire is a RoundTripper that records requests and answers with a function.
type wire struct {
	// connect takes as long as making a connection does; nil takes no time.
	connect func(n int)
	mu      sync.Mutex
	sent    []sentCall
	answer  func(n int, request *http.Request) (*http.Response, error)
}

func (w *wire) RoundTrip(request *http.Request) (*http.Response, error) {
	if w.connect != nil {
		w.connect(len(w.calls()) + 1)
	}
	body := ""
	if request.Body != nil {
		data, err := io.ReadAll(request.Body)
		if err != nil {
			return nil, err
		}
		body = string(data)
	}
	w.mu.Lock()
	w.sent = append(w.sent, sentCall{
		At: time.Now(), Method: request.Method, Path: request.URL.Path, Query: request.URL.RawQuery,
		Header: request.Header.Clone(), Body: body,
	})
	n := len(w.sent)
	w.mu.Unlock()
	// As net/http does when the request is on the wire.
	if trace := httptrace.ContextClientTrace(request.Context()); trace != nil {
		trace.WroteRequest(httptrace.WroteRequestInfo{})
	}
	return w.answer(n, request)
}

func (w *wire) calls() []sentCall {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]sentCall{}, w.sent...)
}

// respond builds a response.
func respond(status int, body string) *http.Response {
	return &http.Response{
		StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)),
	}
}

// always answers every request alike.
func always(status int, body string) *wire {
	return &wire{answer: func(int, *http.Request) (*http.Response, error) { return respond(status, body), nil }}
}

// sequence answers the n-th request with the n-th body and status 200.
func sequence(bodies ...string) *wire {
	return &wire{answer: func(n int, _ *http.Request) (*http.Response, error) {
		if n > len(bodies) {
			return nil, errors.New("unexpected request")
		}
		return respond(200, bodies[n-1]), nil
	}}
}

// unlimited switches every limit off.
func unlimited() map[Endpoint]time.Duration {
	limits := DefaultLimits()
	for endpoint := range limits {
		limits[endpoint] = 0
	}
	return limits
}

// newTestClient returns a client on the wire with the default limits.
func newTestClient(t *testing.T, transport http.RoundTripper, change ...func(*Options)) *Client {
	t.Helper()
	options := Options{
		BaseURL: "https://vast.test", APIKey: testKey, Transport: transport, Clock: clock.RealClock{},
		Rand: rand.NewPCG(1, 2),
	}
	for _, apply := range change {
		apply(&options)
	}
	client, err := New(options)
	if err != nil {
		t.Fatalf("New() = %v", err)
	}
	return client
}

// withoutLimits switches the limiter's intervals off.
func withoutLimits(options *Options) { options.Limits = unlimited() }

// providerError asserts that err is a provider error and returns it.
func providerError(t *testing.T, err error) *fleet.ProviderError {
	t.Helper()
	var failure *fleet.ProviderError
	if !errors.As(err, &failure) {
		t.Fatalf("error = %v (%T), want a *fleet.ProviderError", err, err)
	}
	return failure
}

// fields decodes a JSON object of a request.
func fields(t *testing.T, body string) map[string]any {
	t.Helper()
	var object map[string]any
	if err := json.Unmarshal([]byte(body), &object); err != nil {
		t.Fatalf("body %q: %v", body, err)
	}
	return object
}

// testRent is a rent with a secret in it.
func testRent() fleet.RentRequest {
	return fleet.RentRequest{
		OfferID: 1001, Label: "wp1.inst0001.5f6c1f3e-0000-4000-8000-000000000001.1", Image: "vastai/comfy:v1",
		DiskGB: 40, Env: map[string]string{"WEB_PASSWORD": "verySecretPassword1"}, Ports: []int{8188},
		OnStart: "entrypoint.sh", LaunchMode: "ssh",
	}
}

// rentOnce performs testRent.
func rentOnce(ctx context.Context, client *Client) (int64, error) {
	return client.Rent(ctx, testRent())
}
