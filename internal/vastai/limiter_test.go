package vastai

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/warmpool-dev/warmpool/internal/fleet"
)

// take waits for a slot and uses it at once.
func take(t *testing.T, l *limiter, endpoint Endpoint) {
	t.Helper()
	got, _, err := l.wait(t.Context(), endpoint, 0)
	if err != nil {
		t.Fatalf("wait(%s) = %v", endpoint, err)
	}
	got.sent()
	got.release()
}

// seconds makes durations.
func seconds(numbers ...int) []time.Duration {
	durations := make([]time.Duration, 0, len(numbers))
	for _, number := range numbers {
		durations = append(durations, time.Duration(number)*time.Second)
	}
	return durations
}

func TestCallsOfOneEndpointKeepTheDocumentedInterval(t *testing.T) {
	documented := map[Endpoint]time.Duration{
		EndpointSearch: 6 * time.Second, EndpointRent: 4500*time.Millisecond + rentMargin, EndpointList: time.Second,
		EndpointGet: 2 * time.Second, EndpointManage: time.Second, EndpointDestroy: 3 * time.Second,
	}
	for endpoint, interval := range documented {
		t.Run(string(endpoint), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLimiter(clock.RealClock{}, DefaultLimits())
				started := time.Now()
				for n := range 4 {
					take(t, l, endpoint)
					if got, want := time.Since(started), time.Duration(n)*interval; got != want {
						t.Errorf("call %d left after %s, want %s", n, got, want)
					}
				}
			})
		})
	}
}

func TestEndpointsDoNotWaitForEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(clock.RealClock{}, DefaultLimits())
		started := time.Now()
		for endpoint := range DefaultLimits() {
			take(t, l, endpoint)
		}
		if waited := time.Since(started); waited != 0 {
			t.Errorf("first calls of different endpoints waited %s", waited)
		}
	})
}

// TestALastLookDoesNotStretchTheInterval: what a caller does between its slot
// and the call, up to half a second, is done before the interval ends.
func TestALastLookDoesNotStretchTheInterval(t *testing.T) {
	for look, want := range map[time.Duration]time.Duration{
		0:                       4590 * time.Millisecond,
		300 * time.Millisecond:  4590 * time.Millisecond,
		lookAhead:               4590 * time.Millisecond,
		1500 * time.Millisecond: 5590 * time.Millisecond,
	} {
		synctest.Test(t, func(t *testing.T) {
			l := newLimiter(clock.RealClock{}, DefaultLimits())
			var sent []time.Time
			for range 3 {
				got, _, err := l.wait(t.Context(), EndpointRent, lookAhead)
				if err != nil {
					t.Fatal(err)
				}
				time.Sleep(look)
				if err := got.due(t.Context()); err != nil {
					t.Fatal(err)
				}
				got.sent()
				sent = append(sent, time.Now())
			}
			for k := range sent[1:] {
				if apart := sent[k+1].Sub(sent[k]); apart != want {
					t.Errorf("with a look of %s the calls are %s apart, want %s", look, apart, want)
				}
			}
		})
	}
}

func TestWaitersOfOneEndpointAreServedInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(clock.RealClock{}, DefaultLimits())
		take(t, l, EndpointDestroy)
		var mu sync.Mutex
		var order []int
		for n := range 10 {
			go func() {
				take(t, l, EndpointDestroy)
				mu.Lock()
				defer mu.Unlock()
				order = append(order, n)
			}()
			synctest.Wait()
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if !slices.IsSorted(order) || len(order) != 10 {
			t.Errorf("served in order %v", order)
		}
	})
}

func TestAfterASharedPauseTheImportantGoFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(clock.RealClock{}, DefaultLimits())
		l.pauseAll(0)
		started := time.Now()
		type service struct {
			Endpoint Endpoint
			After    time.Duration
		}
		var mu sync.Mutex
		var order []service
		for _, endpoint := range []Endpoint{EndpointUser, EndpointSearch, EndpointRent, EndpointGet, EndpointList, EndpointDestroy} {
			go func() {
				take(t, l, endpoint)
				mu.Lock()
				defer mu.Unlock()
				order = append(order, service{endpoint, time.Since(started)})
			}()
			synctest.Wait()
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		want := []service{
			{EndpointDestroy, 5 * time.Second},
			{EndpointList, 6 * time.Second},
			{EndpointRent, 7 * time.Second},
			{EndpointSearch, 8 * time.Second},
			{EndpointUser, 9 * time.Second},
			{EndpointGet, 10 * time.Second},
		}
		if diff := cmp.Diff(want, order); diff != "" {
			t.Errorf("order (-want +got):\n%s", diff)
		}
	})
}

func TestSharedPauseDoublesAndEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(clock.RealClock{}, unlimited())
		for _, want := range seconds(5, 10, 20, 40, 60, 60) {
			l.pauseAll(0)
			started := time.Now()
			take(t, l, EndpointGet)
			if got := time.Since(started); got != want {
				t.Errorf("pause = %s, want %s", got, want)
			}
		}
		for range 5 {
			l.succeed(EndpointGet)
		}
		started := time.Now()
		time.Sleep(firstGap)
		for range 5 {
			take(t, l, EndpointGet)
		}
		if got := time.Since(started); got != firstGap {
			t.Errorf("after the recovery calls are still kept apart: %s", got)
		}
		l.pauseAll(0)
		started = time.Now()
		take(t, l, EndpointGet)
		if got := time.Since(started); got != firstPause {
			t.Errorf("pause after the recovery = %s, want %s", got, firstPause)
		}
	})
}

func TestRefusalsDoubleTheIntervalAndSuccessesHalveIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(clock.RealClock{}, DefaultLimits())
		take(t, l, EndpointDestroy)
		for _, want := range seconds(6, 12, 24, 48, 60, 60) {
			l.penalise(EndpointDestroy, 0)
			started := time.Now()
			take(t, l, EndpointDestroy)
			if got := time.Since(started); got != want {
				t.Errorf("wait after a refusal = %s, want %s", got, want)
			}
		}
		time.Sleep(time.Hour)
		for range 5 {
			l.succeed(EndpointDestroy)
		}
		take(t, l, EndpointDestroy)
		started := time.Now()
		take(t, l, EndpointDestroy)
		if got := time.Since(started); got != 3*time.Second {
			t.Errorf("interval after successes = %s, want 3 s", got)
		}
	})
}

func TestOneSuccessDoesNotForgetEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(clock.RealClock{}, DefaultLimits())
		l.penalise(EndpointDestroy, 0)
		l.penalise(EndpointDestroy, 0)
		take(t, l, EndpointDestroy)
		l.succeed(EndpointDestroy)
		time.Sleep(time.Minute)
		take(t, l, EndpointDestroy)
		started := time.Now()
		take(t, l, EndpointDestroy)
		if got := time.Since(started); got != 6*time.Second {
			t.Errorf("interval after two refusals and a success = %s, want 6 s", got)
		}
	})
}

func TestARefusalWakesAndDelaysThoseWhoWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(clock.RealClock{}, DefaultLimits())
		take(t, l, EndpointRent)
		started := time.Now()
		served := make(chan time.Duration, 1)
		go func() {
			take(t, l, EndpointRent)
			served <- time.Since(started)
		}()
		synctest.Wait()
		l.penalise(EndpointRent, 0)
		if got := <-served; got != rentPenalty {
			t.Errorf("the rent that waited left after %s, want the penalty of %s", got, rentPenalty)
		}
	})
}

func TestGivingUpWhileWaitingSendsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		transport := always(200, `{"success":true}`)
		client := newTestClient(t, transport)
		if err := client.DestroyRental(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := client.DestroyRental(ctx, 2)
		failure := providerError(t, err)
		if failure.Kind != fleet.KindNotSent || !failure.Definite || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error = %#v", failure)
		}
		if n := len(transport.calls()); n != 1 {
			t.Errorf("%d calls were sent, want 1", n)
		}
		// The one that gave up must not hold the place of those behind it.
		started := time.Now()
		if err := client.DestroyRental(t.Context(), 3); err != nil || time.Since(started) != 2*time.Second {
			t.Errorf("the next call: %v after %s, want 2 s", err, time.Since(started))
		}
	})
}

func TestAnEndedContextSendsNothing(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	transport := always(200, `{"success":true,"new_contract":1}`)
	_, err := rentOnce(ctx, newTestClient(t, transport))
	if failure := providerError(t, err); failure.Kind != fleet.KindNotSent || !failure.Definite {
		t.Errorf("error = %#v", failure)
	}
	if n := len(transport.calls()); n != 0 {
		t.Errorf("%d calls were sent, want none", n)
	}
}

func TestTheLimiterLearnsFromAnswers(t *testing.T) {
	type refusal struct {
		status     int
		body       string
		retryAfter string
	}
	tests := map[string]struct {
		first refusal
		want  time.Duration
	}{
		"penalty of a rent":              {refusal{429, limiterPlain, ""}, 12 * time.Second},
		"retry-after zero":               {refusal{429, limiterPlain, "0"}, 12 * time.Second},
		"retry-after longer":             {refusal{429, limiterPlain, "30"}, 30 * time.Second},
		"retry-after fraction":           {refusal{429, limiterPlain, "13.5"}, 13500 * time.Millisecond},
		"retry-after date":               {refusal{429, limiterPlain, "Sat, 01 Jan 2000 00:00:42 GMT"}, 42 * time.Second},
		"retry-after past date":          {refusal{429, limiterPlain, "Fri, 31 Dec 1999 00:00:42 GMT"}, 12 * time.Second},
		"retry-after absurd":             {refusal{429, limiterPlain, "99999999999"}, maxRetryAfter},
		"retry-after negative":           {refusal{429, limiterPlain, "-5"}, 12 * time.Second},
		"retry_after in the body":        {refusal{429, `{"detail":"API requests too frequent","retry_after":20}`, ""}, 20 * time.Second},
		"limiter's slug with status 200": {refusal{200, limiterSlug, ""}, 12 * time.Second},
		"html 403 pauses":                {refusal{403, htmlPage, ""}, 5 * time.Second},
		"html 429 pauses":                {refusal{429, htmlPage, ""}, 5 * time.Second},
		"another refusal":                {refusal{400, `{"success":false,"error":"invalid_args"}`, ""}, 4590 * time.Millisecond},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				transport := &wire{answer: func(n int, _ *http.Request) (*http.Response, error) {
					if n > 1 {
						return respond(200, `{"success":true,"new_contract":7}`), nil
					}
					response := respond(test.first.status, test.first.body)
					response.Header.Set("Retry-After", test.first.retryAfter)
					return response, nil
				}}
				client := newTestClient(t, transport)
				if _, err := rentOnce(t.Context(), client); err == nil {
					t.Fatal("the first rent succeeded")
				}
				if _, err := rentOnce(t.Context(), client); err != nil {
					t.Fatal(err)
				}
				calls := transport.calls()
				if got := calls[1].At.Sub(calls[0].At); got != test.want {
					t.Errorf("the second rent left after %s, want %s", got, test.want)
				}
			})
		})
	}
}

func TestASlowGuardDoesNotBringCallsTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		transport := always(200, `{"success":true}`)
		first := true
		client := newTestClient(t, transport, func(o *Options) {
			o.Guard = func(context.Context) error {
				if first {
					first = false
					time.Sleep(10 * time.Second)
				}
				return nil
			}
		})
		var group sync.WaitGroup
		for id := range int64(3) {
			group.Go(func() {
				if err := client.DestroyRental(t.Context(), id+1); err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
		}
		group.Wait()
		calls := transport.calls()
		for n := 1; n < len(calls); n++ {
			if gap := calls[n].At.Sub(calls[n-1].At); gap < 3*time.Second {
				t.Errorf("calls %d and %d are %s apart, want at least 3 s", n-1, n, gap)
			}
		}
	})
}

// Every wait must be on the injected clock: with one that stands still nothing moves.
func TestTheLimiterWaitsOnTheInjectedClock(t *testing.T) {
	stopped := clocktesting.NewFakeClock(time.Unix(1_800_000_000, 0))
	l := newLimiter(stopped, DefaultLimits())
	take(t, l, EndpointList)
	served := make(chan struct{})
	go func() {
		take(t, l, EndpointList)
		close(served)
	}()
	for stopped.Waiters() == 0 {
		time.Sleep(time.Millisecond)
	}
	stopped.Step(999 * time.Millisecond)
	select {
	case <-served:
		t.Fatal("served after 999 ms of a second")
	default:
	}
	stopped.Step(time.Millisecond)
	<-served
}
