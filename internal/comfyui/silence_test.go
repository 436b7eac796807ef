package comfyui

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/onsi/gomega"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/warmpool-dev/warmpool/internal/fleet"
)

// probing runs a probe beside the test.
func probing(t *testing.T, prober *Prober, target Target, busy bool) <-chan fleet.ProbeResult {
	t.Helper()
	results := make(chan fleet.ProbeResult, 1)
	go func() { results <- prober.Probe(t.Context(), target, busy) }()
	return results
}

func waitForTimer(t *testing.T, virtual *clocktesting.FakeClock) {
	t.Helper()
	gomega.NewWithT(t).Eventually(virtual.HasWaiters, 10*time.Second, time.Millisecond).Should(gomega.BeTrue())
}

func TestProbeCallsSilenceOnlyAfterTwentySeconds(t *testing.T) {
	for _, busy := range []bool{false, true} {
		t.Run(fmt.Sprintf("busy %t", busy), func(t *testing.T) {
			asked, release := make(chan struct{}), make(chan struct{})
			target := serve(t, func(http.ResponseWriter, *http.Request) {
				close(asked)
				<-release
			})
			defer close(release)
			virtual := clocktesting.NewFakeClock(start())
			results := probing(t, New(Options{Clock: virtual}), target, busy)
			<-asked
			virtual.Step(19 * time.Second)
			if !virtual.HasWaiters() {
				t.Fatal("the probe gave up before 20 s")
			}
			virtual.Step(2 * time.Second)
			got := <-results
			if got.Signal != fleet.SignalNoAnswer || !got.At.Equal(start().Add(21*time.Second)) {
				t.Errorf("result = %+v", got)
			}
		})
	}
}

func TestProbeGivesTheSlowPasswordCheckItsTime(t *testing.T) {
	asked, release := make(chan struct{}), make(chan struct{})
	target := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		close(asked)
		<-release
		w.WriteHeader(http.StatusUnauthorized)
	})
	virtual := clocktesting.NewFakeClock(start())
	results := probing(t, New(Options{Clock: virtual}), target, false)
	<-asked
	virtual.Step(15 * time.Second)
	close(release)
	if got := <-results; got.Signal != fleet.SignalAuthRejected {
		t.Errorf("signal = %q, want AuthRejected", got.Signal)
	}
}

func TestProbeCallsASilentTLSHandshakeSilence(t *testing.T) {
	accepted, release := make(chan struct{}), make(chan struct{})
	target := raw(t, func(conn net.Conn) {
		readRequest(conn)
		close(accepted)
		<-release
	})
	defer close(release)
	target.TLS = TLSConfig{Mode: TLSPinned}
	virtual := clocktesting.NewFakeClock(start())
	results := probing(t, New(Options{Clock: virtual}), target, false)
	<-accepted
	virtual.Step(21 * time.Second)
	if got := <-results; got.Signal != fleet.SignalNoAnswer {
		t.Errorf("signal = %q, want NoAnswer", got.Signal)
	}
}

// blackhole is a loopback address that drops SYNs: a listener that never accepts
// and whose backlog is full.
func blackhole(t *testing.T) Target {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatalf("making a socket: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Close(fd) })
	if err = syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatalf("binding: %v", err)
	}
	if err = syscall.Listen(fd, 0); err != nil {
		t.Fatalf("listening: %v", err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatalf("reading the address: %v", err)
	}
	bound, ok := name.(*syscall.SockaddrInet4)
	if !ok {
		t.Fatalf("the address is a %T", name)
	}
	address := fmt.Sprintf("127.0.0.1:%d", bound.Port)
	for range 64 {
		conn, err := net.DialTimeout("tcp", address, 200*time.Millisecond)
		if err != nil {
			return Target{Address: address, Token: token}
		}
		t.Cleanup(func() { _ = conn.Close() })
	}
	t.Fatal("the backlog does not fill up")
	return Target{}
}

func TestProbeCallsABlackholeAConnectTimeout(t *testing.T) {
	cases := map[string]struct {
		busy  bool
		limit time.Duration
	}{
		"idle after 5 s": {false, 5 * time.Second},
		"busy after 20 s": {
			true, 20 * time.Second,
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			virtual := clocktesting.NewFakeClock(start())
			results := probing(t, New(Options{Clock: virtual}), blackhole(t), c.busy)
			waitForTimer(t, virtual)
			virtual.Step(c.limit - time.Millisecond)
			if !virtual.HasWaiters() {
				t.Fatal("the probe gave up too early")
			}
			virtual.Step(time.Millisecond)
			got := <-results
			if got.Signal != fleet.SignalConnectTimeout || !strings.Contains(got.Message, "TCP") {
				t.Errorf("result = %+v", got)
			}
		})
	}
}

func TestProbeSaysNothingWhenItsCallerGivesUp(t *testing.T) {
	asked, release := make(chan struct{}), make(chan struct{})
	target := serve(t, func(http.ResponseWriter, *http.Request) {
		close(asked)
		<-release
	})
	defer close(release)
	ctx, cancel := context.WithCancel(t.Context())
	results := make(chan fleet.ProbeResult, 1)
	go func() { results <- New(Options{}).Probe(ctx, target, false) }()
	<-asked
	cancel()
	if got := <-results; got.Signal != signalNothing || got.Message == "" {
		t.Errorf("result = %+v, want an empty signal", got)
	}
}

func TestProbeStopsConnectingWhenItsCallerGivesUp(t *testing.T) {
	virtual := clocktesting.NewFakeClock(start())
	target := blackhole(t)
	ctx, cancel := context.WithCancel(t.Context())
	results := make(chan fleet.ProbeResult, 1)
	go func() { results <- New(Options{Clock: virtual}).Probe(ctx, target, false) }()
	waitForTimer(t, virtual)
	cancel()
	if got := <-results; got.Signal != signalNothing {
		t.Errorf("signal = %q, want none", got.Signal)
	}
	gomega.NewWithT(t).Eventually(virtual.HasWaiters, 5*time.Second, time.Millisecond).Should(gomega.BeFalse(), "the dial goes on for nobody")
}

func TestProbeReadsNoMoreThanItsLimit(t *testing.T) {
	target := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		for range 64 {
			if _, err := w.Write(make([]byte, 1<<20)); err != nil {
				return
			}
		}
		<-r.Context().Done()
	})
	got := New(Options{}).Probe(t.Context(), target, false)
	if got.Signal != fleet.SignalUnexpectedService {
		t.Errorf("result = %+v", got)
	}
}

func TestWallFloorHoldsATimeoutOfAFastClock(t *testing.T) {
	asked, release := make(chan struct{}), make(chan struct{})
	target := serve(t, func(w http.ResponseWriter, r *http.Request) {
		close(asked)
		<-release
		answer(200, servingBody, jsonType)(w, r)
	})
	virtual := clocktesting.NewFakeClock(start())
	results := probing(t, New(Options{Clock: virtual, WallFloor: time.Hour}), target, false)
	<-asked
	virtual.Step(time.Minute)
	close(release)
	if got := <-results; got.Signal != fleet.SignalServing {
		t.Errorf("signal = %q, want Serving: the clock jumped, but no wall time passed", got.Signal)
	}
}
