package problems

import (
	"fmt"
	"slices"
	"testing"
	"time"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/simulator"
)

// TestAClockThatJumpsFiveMinutesLosesNothing: the manager's clock steps by five
// minutes, forward or back, while a rent is unsettled, while an end is being
// confirmed, or while all is quiet; with a restart or without. No object is let
// go of while its rental lives, nothing is rented twice, the ceiling holds, and
// the pool finds its way back.
func TestAClockThatJumpsFiveMinutesLosesNothing(t *testing.T) {
	moments := map[string]func(w *world){
		"quiet": func(w *world) { w.settle(2) },
		"an answer was lost": func(w *world) {
			w.sweep()
			w.pools()
			w.disturb(simulator.FaultSpec{Name: simulator.FaultLostAnswer, Count: 1})
			w.rents()
		},
		"a rental is on its way out": func(w *world) {
			w.settle(2)
			w.disturb(simulator.FaultSpec{Name: simulator.FaultDestroyLingers, Params: map[string]string{"for": "90"}})
			w.remove(&warmpool.WarmInstance{}, w.instances()[0].Name)
			w.pass(pollPeriod)
		},
		"a destroy that does nothing": func(w *world) {
			w.settle(2)
			w.disturb(simulator.FaultSpec{Name: simulator.FaultDestroyIgnored, DurationSeconds: 240})
			w.remove(&warmpool.WarmInstance{}, w.instances()[0].Name)
			w.pass(pollPeriod)
		},
	}
	for name, begin := range moments {
		for _, step := range []time.Duration{5 * time.Minute, -5 * time.Minute} {
			for _, restart := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, %s, restarted %v", name, step, restart), func(t *testing.T) {
					t.Parallel()
					w := newWorld(t, 8)
					w.newPool(2, 2)
					begin(w)
					kept := w.claimable()
					w.vast.clock.step(step)
					if restart {
						w.restart()
					}
					for range 60 {
						w.pass(pollPeriod)
						w.expectRemembered()
					}
					if peak, _ := w.vast.Meter().Peak(ours); peak > 2*priceMicros {
						t.Errorf("%d µ$/h were rented at once, the ceiling is %d", peak, 2*priceMicros)
					}
					w.settle(2)
					w.expectKept(kept)
				})
			}
		}
	}
}

// claimable are the rentals that nobody asked to end.
func (w *world) claimable() []int64 {
	w.Helper()
	var ids []int64
	for _, instance := range w.instances() {
		if instance.DeletionTimestamp.IsZero() && instance.Status.Rental != nil {
			ids = append(ids, instance.Status.Rental.ID)
		}
	}
	slices.Sort(ids)
	return ids
}

// TestAClockThatStepsBackRentsNothingOnAListFromTheFuture: after a step back the
// last list seems to come from the future. Its age is not known, so nothing is
// rented until the next one.
func TestAClockThatStepsBackRentsNothingOnAListFromTheFuture(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 8)
	w.newPool(2, 2)
	w.sweep()
	w.pools()
	w.vast.clock.step(-5 * time.Minute)
	w.rents()
	if calls := w.vast.rentCalls(); calls != 0 {
		t.Errorf("%d rents on a list from the future", calls)
	}
	w.sweep()
	w.rents()
	if calls := w.vast.rentCalls(); calls == 0 {
		t.Error("nothing is rented after a fresh list either")
	}
}
