package crash

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/onsi/gomega"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/simulator"
)

// variants are the two sides of an await point.
var variants = map[string]bool{"before": false, "after": true}

// finish lets the last life bring everything to its end and looks at the money.
func (w *world) finish() {
	w.Helper()
	var pool warmpool.WarmPool
	if w.exists(&pool, "sdxl") && pool.DeletionTimestamp.IsZero() {
		w.converge()
		w.remove(&warmpool.WarmPool{}, "sdxl")
	}
	w.expectNothingLeft()
	meter := w.vast.Meter()
	peak, _ := meter.Peak("")
	w.Logf("%s: %d lives, %d rents, at most %d µ$/h at once, %s simulated, no double, none left",
		w.Name(), w.lives, len(meter.Select(ours)), peak, w.clock.Since(w.clock.Epoch()).Round(time.Second))
}

func TestUninterruptedMeetsOnlyAwaitPointsOfTheTable(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	running(w)
	w.finish()
	points, _ := w.gate.seen()
	for _, point := range []string{pointJournal, pointRecheckInstances, pointRecheckPool, pointRent, pointSucceeded, pointDestroy, pointReleaseInstance} {
		if points[point] == 0 {
			t.Errorf("the await point %q was not recognised in a whole life of a pool", point)
		}
	}
	if rents := w.vast.Meter().Rents(ours); len(rents) != affordable {
		t.Errorf("%d rents without any crash, want %d", len(rents), affordable)
	}
}

func TestKilledAtEveryAwaitPoint(t *testing.T) {
	points := awaitPoints()
	for _, point := range slices.Sorted(maps.Keys(points)) {
		for side, after := range variants {
			t.Run(side+" "+point, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				var armed *trap
				points[point](w, func() { armed = w.killAt(at(point), after) })
				w.wait(armed)
				w.startLife()
				w.finish()
			})
		}
	}
}

// moneyPoints are those between the decision to rent and its record.
func moneyPoints() []string {
	return []string{pointCreateSecret, pointJournal, pointRecheckInstances, pointRent, pointSucceeded}
}

func TestKilledAgainAtTheFirstAwaitPointOfTheNextLife(t *testing.T) {
	points := awaitPoints()
	for _, point := range append(moneyPoints(), pointAdopt, pointDestroy, pointReleaseInstance) {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			var armed *trap
			points[point](w, func() { armed = w.killAt(at(point), true) })
			w.wait(armed)
			for _, matches := range []func(*step) bool{func(s *step) bool { return s.point != "" }, anyWrite} {
				again := w.killAt(matches, true)
				w.startLife()
				w.wait(again)
			}
			w.startLife()
			w.finish()
		})
	}
}

// countdown matches the n-th step of those that match.
func countdown(n int, matches func(*step) bool) func(*step) bool {
	return func(s *step) bool {
		if matches(s) {
			n--
		}
		return n < 0
	}
}

func TestEveryLifeGetsOneWriteFurther(t *testing.T) {
	const lives = 12
	for side, after := range variants {
		t.Run(side, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.create()
			for n := range lives {
				armed := w.killAt(countdown(n, anyWrite), after)
				w.startLife()
				w.wait(armed)
			}
			w.startLife()
			w.converge()
			w.remove(&warmpool.WarmPool{}, "sdxl")
			w.kill()
			for n := range lives {
				armed := w.killAt(countdown(n, anyWrite), after)
				w.startLife()
				if !w.sprungOrGone(armed) {
					break
				}
			}
			if w.manager.isGone() {
				w.startLife()
			}
			w.finish()
		})
	}
}

// sprungOrGone waits for a trap, or for the end of the pool if there are not
// enough steps left to spring it. Then the trap is taken away.
func (w *world) sprungOrGone(armed *trap) bool {
	w.Helper()
	deadline := time.After(patience)
	for {
		select {
		case <-armed.done:
			return true
		case <-deadline:
			w.Fatal("neither did the operator write nor did the pool end")
		case <-time.After(poll):
			if !w.exists(&warmpool.WarmPool{}, "sdxl") && w.gate.disarm(armed) {
				return false
			}
		}
	}
}

func TestAnswerLostAndRentalListedOnlyLater(t *testing.T) {
	for name, lag := range map[string]string{"within the attempt's deadline": "150", "after the first sweeps": "45"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.disturb(simulator.FaultSpec{Name: simulator.FaultReadLag, Count: 1, Params: map[string]string{"delay": lag}})
			armed := w.killAt(at(pointRent), true)
			w.startLife()
			w.create()
			w.wait(armed)
			w.startLife()
			w.finish()
			if points, _ := w.gate.seen(); points[pointAdopt] == 0 {
				t.Error("the rental whose answer was lost was never adopted")
			}
		})
	}
}

func TestPoolDeletedWhileNoOperatorRuns(t *testing.T) {
	for _, point := range append(moneyPoints(), pointCreateInstance) {
		for side, after := range variants {
			t.Run(side+" "+point, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				armed := w.killAt(at(point), after)
				w.startLife()
				w.create()
				w.wait(armed)
				w.remove(&warmpool.WarmPool{}, "sdxl")
				w.startLife()
				w.finish()
			})
		}
	}
}

func TestPoolDeletedWhileAPasswordIsMade(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	goOn := make(chan struct{})
	armed := w.gate.set(&trap{matches: at(pointCreateSecret), answer: true, held: make(chan struct{}), act: func() { <-goOn }})
	w.startLife()
	w.create()
	<-armed.held
	w.remove(&warmpool.WarmPool{}, "sdxl")
	w.eventually(func(g gomega.Gomega) { g.Expect(w.instances()).To(gomega.BeEmpty()) })
	close(goOn)
	w.wait(armed)
	w.eventually(func(g gomega.Gomega) { g.Expect(w.passwords()).To(gomega.BeEmpty()) })
	w.finish()
}
