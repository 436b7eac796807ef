package vastai

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/utils/clock"

	"github.com/warmpool-dev/warmpool/internal/fleet"
)

func TestOnlyHarmlessCallsAreSentAgain(t *testing.T) {
	calls := map[string]struct {
		do   func(context.Context, *Client) error
		want int
	}{
		"list":    {func(ctx context.Context, c *Client) error { _, err := c.ListRentals(ctx); return err }, maxAttempts},
		"get":     {func(ctx context.Context, c *Client) error { _, err := c.GetRental(ctx, 1); return err }, maxAttempts},
		"user":    {func(ctx context.Context, c *Client) error { _, err := c.CurrentUser(ctx); return err }, maxAttempts},
		"destroy": {func(ctx context.Context, c *Client) error { return c.DestroyRental(ctx, 1) }, maxAttempts},
		"stop":    {func(ctx context.Context, c *Client) error { return c.StopRental(ctx, 1) }, maxAttempts},
		"label":   {func(ctx context.Context, c *Client) error { return c.SetLabel(ctx, 1, "x") }, maxAttempts},
		"start":   {func(ctx context.Context, c *Client) error { return c.StartRental(ctx, 1) }, 1},
		"attach":  {func(ctx context.Context, c *Client) error { return c.AttachSSHKey(ctx, 1, "ssh-ed25519 A") }, 1},
		"add key": {func(ctx context.Context, c *Client) error { _, err := c.AddSSHKey(ctx, "ssh-ed25519 A"); return err }, 1},
		"rent":    {func(ctx context.Context, c *Client) error { _, err := rentOnce(ctx, c); return err }, 1},
	}
	failures := map[string]func(int, *http.Request) (*http.Response, error){
		"502":        func(int, *http.Request) (*http.Response, error) { return respond(502, htmlPage), nil },
		"500":        func(int, *http.Request) (*http.Response, error) { return respond(500, `{"msg":"x"}`), nil },
		"429":        func(int, *http.Request) (*http.Response, error) { return respond(429, limiterPlain), nil },
		"403 html":   func(int, *http.Request) (*http.Response, error) { return respond(403, htmlPage), nil },
		"connection": func(int, *http.Request) (*http.Response, error) { return nil, errors.New("reset") },
	}
	for name, call := range calls {
		for failure, answer := range failures {
			t.Run(name+", "+failure, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					transport := &wire{answer: answer}
					if err := call.do(t.Context(), newTestClient(t, transport)); err == nil {
						t.Error("no error")
					}
					if got := len(transport.calls()); got != call.want {
						t.Errorf("sent %d times, want %d", got, call.want)
					}
				})
			})
		}
	}
}

func TestFinalAnswersAreNotAskedForAgain(t *testing.T) {
	for name, body := range map[string]string{
		"auth": wrongKey, "not found": `{"success":false,"error":"no_such_instance"}`,
	} {
		t.Run(name, func(t *testing.T) {
			transport := always(404, body)
			if err := newTestClient(t, transport).DestroyRental(t.Context(), 1); err == nil {
				t.Error("no error")
			}
			if got := len(transport.calls()); got != 1 {
				t.Errorf("sent %d times, want once", got)
			}
		})
	}
}

func TestARetryThatGivesUpKeepsTheFirstError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		transport := &wire{answer: func(int, *http.Request) (*http.Response, error) { return nil, errors.New("reset") }}
		allowed := true
		client := newTestClient(t, transport, func(o *Options) {
			o.Guard = func(context.Context) error {
				if allowed {
					allowed = false
					return nil
				}
				return errors.New("not the leader")
			}
		})
		failure := providerError(t, client.DestroyRental(t.Context(), 1))
		if failure.Kind != fleet.KindUnavailable || failure.Definite {
			t.Errorf("error = %v: the first attempt may have worked", failure)
		}
	})
}

func TestTheGuardStopsEveryWriteAndNoRead(t *testing.T) {
	lost := errors.New("not the leader: api_key=" + testKey)
	writes := map[string]func(context.Context, *Client) error{
		"rent":    func(ctx context.Context, c *Client) error { _, err := rentOnce(ctx, c); return err },
		"destroy": func(ctx context.Context, c *Client) error { return c.DestroyRental(ctx, 1) },
		"start":   func(ctx context.Context, c *Client) error { return c.StartRental(ctx, 1) },
		"stop":    func(ctx context.Context, c *Client) error { return c.StopRental(ctx, 1) },
		"label":   func(ctx context.Context, c *Client) error { return c.SetLabel(ctx, 1, "x") },
		"attach":  func(ctx context.Context, c *Client) error { return c.AttachSSHKey(ctx, 1, "k") },
		"add key": func(ctx context.Context, c *Client) error { _, err := c.AddSSHKey(ctx, "k"); return err },
	}
	for name, write := range writes {
		t.Run(name, func(t *testing.T) {
			transport := always(200, `{"success":true}`)
			client := newTestClient(t, transport, func(o *Options) { o.Guard = func(context.Context) error { return lost } })
			err := write(t.Context(), client)
			failure := providerError(t, err)
			if failure.Kind != fleet.KindNotSent || !failure.Definite || !errors.Is(err, lost) {
				t.Errorf("error = %#v", failure)
			}
			if strings.Contains(err.Error(), testKey) {
				t.Error("the error shows the key")
			}
			if n := len(transport.calls()); n != 0 {
				t.Errorf("%d calls were sent, want none", n)
			}
		})
	}
	t.Run("reads pass", func(t *testing.T) {
		client := newTestClient(t, always(200, `{"instances":null}`), func(o *Options) {
			o.Guard = func(context.Context) error { return lost }
		})
		if rental, err := client.GetRental(t.Context(), 1); rental != nil || err != nil {
			t.Errorf("GetRental() = %v, %v", rental, err)
		}
	})
}

// TestTheCallerHasTheLastWordBeforeARent: what BeforeSend objects to is not
// sent, and certainly so.
func TestTheCallerHasTheLastWordBeforeARent(t *testing.T) {
	objection := errors.New("the ceiling was lowered")
	transport := always(200, `{"success":true,"new_contract":5}`)
	rent := testRent()
	rent.BeforeSend = func() error { return objection }
	_, err := newTestClient(t, transport).Rent(t.Context(), rent)
	if failure := providerError(t, err); failure.Kind != fleet.KindNotSent || !failure.Definite || !errors.Is(err, objection) {
		t.Errorf("error = %#v", failure)
	}
	if n := len(transport.calls()); n != 0 {
		t.Errorf("%d calls were sent, want none", n)
	}
}

// TestARentOutlivesItsCaller stops the manager while a rent is on the wire: its
// answer is waited for all the same.
func TestARentOutlivesItsCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		transport := &wire{answer: func(_ int, request *http.Request) (*http.Response, error) {
			stop()
			select {
			case <-request.Context().Done():
				return nil, request.Context().Err()
			case <-time.After(time.Second):
				return respond(200, `{"success":true,"new_contract":5}`), nil
			}
		}}
		if id, err := rentOnce(ctx, newTestClient(t, transport)); id != 5 || err != nil {
			t.Errorf("Rent() = %d, %v, want the rental that was made", id, err)
		}
	})
}

func TestTheGuardIsAskedAfterTheWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked []time.Duration
		started := time.Now()
		client := newTestClient(t, always(200, `{"success":true}`), func(o *Options) {
			o.Guard = func(context.Context) error {
				asked = append(asked, time.Since(started))
				return nil
			}
		})
		for range 2 {
			if err := client.DestroyRental(t.Context(), 1); err != nil {
				t.Fatal(err)
			}
		}
		if diff := cmp.Diff([]time.Duration{0, 3 * time.Second}, asked); diff != "" {
			t.Errorf("asked (-want +got):\n%s", diff)
		}
	})
}

func TestARefusedWriteGivesItsSlotBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refuse := true
		client := newTestClient(t, always(200, `{"success":true}`), func(o *Options) {
			o.Guard = func(context.Context) error {
				if refuse {
					return errors.New("no")
				}
				return nil
			}
		})
		if err := client.DestroyRental(t.Context(), 1); fleet.KindOf(err) != fleet.KindNotSent {
			t.Fatal(err)
		}
		refuse = false
		started := time.Now()
		if err := client.DestroyRental(t.Context(), 1); err != nil || time.Since(started) != 0 {
			t.Errorf("err %v after %s, want none at once", err, time.Since(started))
		}
	})
}

func TestTheTimeoutCountsFromTheSending(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		transport := &wire{answer: func(n int, request *http.Request) (*http.Response, error) {
			if n == 1 {
				return respond(200, `{"success":true,"new_contract":5}`), nil
			}
			<-request.Context().Done()
			return nil, request.Context().Err()
		}}
		client := newTestClient(t, transport, func(o *Options) { o.Timeouts.Write = 2 * time.Second })
		if _, err := rentOnce(t.Context(), client); err != nil {
			t.Fatal(err)
		}
		started := time.Now()
		_, err := rentOnce(t.Context(), client)
		failure := providerError(t, err)
		if failure.Kind != fleet.KindUnavailable || failure.Definite || !errors.Is(err, errTimeout) {
			t.Errorf("error = %v", err)
		}
		if got, want := time.Since(started), 6590*time.Millisecond; got != want {
			t.Errorf("gave up after %s, want %s: the wait for the slot and the timeout", got, want)
		}
	})
}

// TestIntervalCountsFromTheWire has a first call that connects slowly and a
// second one that connects at once: the server must see them an interval apart.
func TestIntervalCountsFromTheWire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		transport := &wire{
			connect: func(n int) {
				if n == 1 {
					time.Sleep(2 * time.Second)
				}
			},
			answer: func(int, *http.Request) (*http.Response, error) { return respond(200, `{"success":true}`), nil },
		}
		client := newTestClient(t, transport)
		for id := range int64(2) {
			if err := client.DestroyRental(t.Context(), id+1); err != nil {
				t.Fatal(err)
			}
		}
		calls := transport.calls()
		if apart := calls[1].At.Sub(calls[0].At); apart != 3*time.Second {
			t.Errorf("the calls arrived %s apart, want the documented 3 s", apart)
		}
	})
}

func TestObserverSeesEveryAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seen := &recorder{}
		transport := &wire{answer: func(n int, _ *http.Request) (*http.Response, error) {
			time.Sleep(time.Second)
			if n == 1 {
				return respond(503, ""), nil
			}
			return respond(200, `{"success":true}`), nil
		}}
		client := newTestClient(t, transport, func(o *Options) {
			o.Observer = seen
			o.Rand = constantSource{}
		})
		if err := client.DestroyRental(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		want := []Attempt{
			{Endpoint: EndpointDestroy, Method: http.MethodDelete, Number: 1, Status: 503, Kind: fleet.KindUnavailable, Duration: time.Second},
			{Endpoint: EndpointDestroy, Method: http.MethodDelete, Number: 2, Status: 200, Duration: time.Second, Throttled: 1750 * time.Millisecond},
		}
		if diff := cmp.Diff(want, seen.attempts); diff != "" {
			t.Errorf("attempts (-want +got):\n%s", diff)
		}
	})
}

// recorder keeps what an observer sees.
type recorder struct {
	mu       sync.Mutex
	attempts []Attempt
}

func (r *recorder) Observe(_ context.Context, attempt Attempt) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.attempts = append(r.attempts, attempt)
}

// constantSource always draws the smallest number.
type constantSource struct{}

func (constantSource) Uint64() uint64 { return 0 }

func TestRedirectsAreNotFollowed(t *testing.T) {
	var followed atomic.Int32
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { followed.Add(1) }))
	defer elsewhere.Close()
	for _, status := range []int{301, 302, 303, 307, 308} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, elsewhere.URL+"/api/v0/x/", status)
			}))
			defer origin.Close()
			client := realClient(t, origin.URL)
			if _, err := client.GetRental(t.Context(), 1); fleet.KindOf(err) != fleet.KindInvalidResponse {
				t.Errorf("get: %v", err)
			}
			_, err := rentOnce(t.Context(), client)
			if failure := providerError(t, err); failure.Kind != fleet.KindInvalidResponse || failure.Definite {
				t.Errorf("rent: %v", err)
			}
		})
	}
	if n := followed.Load(); n != 0 {
		t.Errorf("%d redirects were followed", n)
	}
}

// realClient returns a client with a transport of its own that is closed in the end.
func realClient(t *testing.T, base string) *Client {
	t.Helper()
	transport := newTransport()
	t.Cleanup(transport.CloseIdleConnections)
	return newTestClient(t, transport, func(o *Options) {
		o.BaseURL = base
		o.Limits = unlimited()
	})
}

// net/http sends some requests again by itself when a kept connection turns
// out to be closed; a rent must not be among them.
func TestTheTransportDoesNotRepeatARent(t *testing.T) {
	var rents atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			fmt.Fprint(w, `{"instances":null}`)
			return
		}
		rents.Add(1)
		connection, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		connection.Close()
	}))
	defer server.Close()
	client := realClient(t, server.URL)
	for range 3 {
		if _, err := client.GetRental(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		before := rents.Load()
		_, err := rentOnce(t.Context(), client)
		if failure := providerError(t, err); failure.Kind != fleet.KindUnavailable || failure.Definite {
			t.Errorf("error = %v", err)
		}
		if sent := rents.Load() - before; sent != 1 {
			t.Errorf("the rent arrived %d times, want once", sent)
		}
	}
}

func TestOptionsAreChecked(t *testing.T) {
	for name, options := range map[string]Options{
		"no clock":           {APIKey: "k"},
		"no key":             {Clock: clock.RealClock{}, APIKey: " \n"},
		"key with newline":   {Clock: clock.RealClock{}, APIKey: "sesame\nX: y"},
		"base without host":  {Clock: clock.RealClock{}, APIKey: "sesame", BaseURL: "https://"},
		"base with path":     {Clock: clock.RealClock{}, APIKey: "sesame", BaseURL: "https://vast.test/api"},
		"base with user":     {Clock: clock.RealClock{}, APIKey: "sesame", BaseURL: "https://sesame@vast.test"},
		"base not parseable": {Clock: clock.RealClock{}, APIKey: "sesame", BaseURL: "https://sesame:%zz@vast.test"},
		"base of a file":     {Clock: clock.RealClock{}, APIKey: "sesame", BaseURL: "file:///etc"},
		"unknown endpoint":   {Clock: clock.RealClock{}, APIKey: "sesame", Limits: map[Endpoint]time.Duration{"x": 1}},
		"negative limit":     {Clock: clock.RealClock{}, APIKey: "sesame", Limits: map[Endpoint]time.Duration{EndpointRent: -1}},
	} {
		t.Run(name, func(t *testing.T) {
			client, err := New(options)
			if client != nil || !errors.Is(err, ErrOptions) {
				t.Fatalf("New() = %v, %v", client, err)
			}
			if strings.Contains(err.Error(), "sesame") {
				t.Errorf("the error shows a secret: %v", err)
			}
		})
	}
}
