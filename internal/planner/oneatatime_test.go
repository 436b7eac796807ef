package planner_test

import (
	"testing"
	"time"

	"github.com/warmpool-dev/warmpool/internal/planner"
)

// TestRankPendingRentsOneAtATimeAfterFailures keeps a pool of twenty from
// renting twenty machines for a template that has just failed.
func TestRankPendingRentsOneAtATimeAfterFailures(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	waiting := func(uid string) planner.Instance {
		return planner.Instance{UID: uid, Name: uid, Pool: "gpu/sdxl", CreatedAt: now}
	}
	rented := waiting("rented")
	rented.Attempts = []planner.Attempt{{Number: 1, Outcome: planner.OutcomeSucceeded, RentalID: 7}}
	rented.Rental = &planner.InstanceRental{ID: 7}
	ready := rented
	ready.UID, ready.Started, ready.Ready = "ready", true, true
	pool := planner.AdmissionPool{Key: "gpu/sdxl", Mode: planner.ModeActive, Replicas: 20, OneAtATime: true}
	for name, test := range map[string]struct {
		instances []planner.Instance
		want      int
	}{
		"nothing under way":     {[]planner.Instance{waiting("a"), waiting("b"), waiting("c")}, 1},
		"one under way":         {[]planner.Instance{rented, waiting("a"), waiting("b")}, 0},
		"one that is ready now": {[]planner.Instance{ready, waiting("a"), waiting("b")}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			plan := planner.RankPending([]planner.AdmissionPool{pool}, test.instances, now)
			if len(plan.Candidates) != test.want {
				t.Errorf("got %d candidates, want %d", len(plan.Candidates), test.want)
			}
			for _, deferred := range plan.Deferrals {
				if deferred.Deferral.Reason != planner.ReasonBackingOff {
					t.Errorf("%s is deferred for %s", deferred.UID, deferred.Deferral.Reason)
				}
			}
		})
	}
}
