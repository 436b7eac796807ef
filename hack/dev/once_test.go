package main

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/simulator"
)

func poolWith(readyReplicas, total int32, full metav1.ConditionStatus, reason string) *warmpool.WarmPool {
	pool := &warmpool.WarmPool{ObjectMeta: metav1.ObjectMeta{Name: poolName, Generation: 2}}
	pool.Status = warmpool.WarmPoolStatus{
		ObservedGeneration: 2, ReadyReplicas: readyReplicas, TotalReplicas: total,
		Conditions: []metav1.Condition{{Type: warmpool.ConditionFullyProvisioned, Status: full, Reason: reason, Message: "Because."}},
	}
	return pool
}

func TestWhatAPoolLacks(t *testing.T) {
	stale := poolWith(2, 2, metav1.ConditionTrue, "AsDesired")
	stale.Generation = 3
	silent := poolWith(2, 2, metav1.ConditionTrue, "AsDesired")
	silent.Status.Conditions = nil
	for name, test := range map[string]struct {
		lacks func(*warmpool.WarmPool) string
		pool  *warmpool.WarmPool
		want  string
	}{
		"ready":                        {ready(2), poolWith(2, 2, metav1.ConditionTrue, "AsDesired"), ""},
		"no pool":                      {ready(2), nil, "there is no pool"},
		"status of an older spec":      {ready(2), stale, "has not looked"},
		"one short":                    {ready(2), poolWith(1, 2, metav1.ConditionFalse, "Provisioning"), "1 of 2 instances ready, 2 in all; Provisioning: Because."},
		"one too many is not gone yet": {ready(1), poolWith(1, 2, metav1.ConditionTrue, "AsDesired"), "2 in all"},
		"no condition":                 {ready(2), silent, "no condition"},
		"held":                         {heldAt(3), poolWith(3, 4, metav1.ConditionFalse, "CostCeilingReached"), ""},
		"held for another reason":      {heldAt(3), poolWith(3, 4, metav1.ConditionFalse, "NoMatchingOffers"), "NoMatchingOffers"},
		"held with too few":            {heldAt(3), poolWith(2, 4, metav1.ConditionFalse, "CostCeilingReached"), "expected 3"},
		"not held at all":              {heldAt(3), poolWith(4, 4, metav1.ConditionTrue, "AsDesired"), "expected 3"},
		"held, status too old":         {heldAt(2), stale, "has not looked"},
	} {
		t.Run(name, func(t *testing.T) {
			got := test.lacks(test.pool)
			if (got == "") != (test.want == "") || !strings.Contains(got, test.want) {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestTakeStopsAtTheFirstStepThatFallsShort(t *testing.T) {
	for name, test := range map[string]struct {
		do   func(context.Context) (string, error)
		want string
	}{
		"an error": {func(context.Context) (string, error) { return "", errors.New("the meter counts 1 live rental") }, "live rental"},
		"too late": {func(ctx context.Context) (string, error) {
			<-ctx.Done()
			return "", errors.New("1 of 2 ready")
		}, "took longer than 0.0 s: 1 of 2 ready"},
	} {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			p := &proof{stack: &stack{out: &console{out: &out}}}
			reached := false
			err := p.take(t.Context(), []step{
				{"first", time.Minute, func(context.Context) (string, error) { return "fine", nil }},
				{"second", time.Millisecond, test.do},
				{"third", time.Minute, func(context.Context) (string, error) { reached = true; return "", nil }},
			})
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), `step "second"`) {
				t.Errorf("got %v, want %q", err, test.want)
			}
			if reached || !strings.Contains(out.String(), "fine") || strings.Contains(out.String(), "second") {
				t.Errorf("reached %v, said %q", reached, out.String())
			}
		})
	}
}

func TestEpilogueTellsWhatIsOurs(t *testing.T) {
	counted := &witness{
		Total:    simulator.MeterSummary{LiveRentals: 3},
		Prefixes: map[string]simulator.MeterSummary{labelPrefix: {Rentals: 5, LiveRentals: 1, CostMicros: 120_001, PeakMicrosPerHour: 440_000, DoubleRents: []string{"a"}}},
	}
	want := "The simulator's meter: 5 rentals, 1 live, which ends with the simulator; cost $0.13; at most $0.44 per hour at a time; 1 labels rented twice."
	if got := epilogue(counted); got != want {
		t.Errorf("got %q", got)
	}
	if row := witnessRowOf(counted); row.foreign != 2 {
		t.Errorf("got %d foreign rentals, want 2", row.foreign)
	}
}
