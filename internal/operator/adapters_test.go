package operator

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/warmpool-dev/warmpool/internal/fleet"
	"github.com/warmpool-dev/warmpool/internal/metrics"
	"github.com/warmpool-dev/warmpool/internal/options"
)

// TestNoWriteIsSentWithoutAFreshLease: a process whose lease has run out still
// reads, and neither rents nor destroys.
func TestNoWriteIsSentWithoutAFreshLease(t *testing.T) {
	var writes, reads atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			reads.Add(1)
			w.Write([]byte(`{"id":7,"credit":5}`))
			return
		}
		writes.Add(1)
		w.Write([]byte(`{"success":true,"new_contract":5}`))
	}))
	defer server.Close()
	recorder, err := metrics.NewRecorder(prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	now := clocktesting.NewFakeClock(time.Unix(1_800_000_000, 0))
	lease := newLeaseGuard(now, true, 20*time.Second)
	connect := connector(&options.Manager{VastBaseURL: server.URL}, &Environment{Clock: clock.RealClock{}}, wiring{lease: lease, recorder: recorder})
	provider, err := connect("a-key", "")
	if err != nil {
		t.Fatal(err)
	}
	rent := fleet.RentRequest{OfferID: 1, Label: "wp1.inst.uid.1", DiskGB: 8}
	for name, write := range map[string]func() error{
		"rent":    func() error { _, err := provider.Rent(t.Context(), rent); return err },
		"destroy": func() error { return provider.DestroyRental(t.Context(), 1) },
	} {
		if err := write(); fleet.KindOf(err) != fleet.KindNotSent || !errors.Is(err, errLeaseNotFresh) {
			t.Errorf("%s: %v, want that nothing was sent", name, err)
		}
	}
	if user, err := provider.CurrentUser(t.Context()); err != nil || user.ID != 7 {
		t.Errorf("reading: %v, %v", user, err)
	}
	lease.renewed(now.Now())
	if err := provider.DestroyRental(t.Context(), 1); err != nil {
		t.Errorf("with a fresh lease: %v", err)
	}
	if writes.Load() != 1 || reads.Load() != 1 {
		t.Errorf("%d writes and %d reads arrived, want one of each", writes.Load(), reads.Load())
	}
}
