package planner

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// wallClock is a clock that somebody sets, beside one that only runs.
type wallClock struct {
	uptime time.Duration
	offset time.Duration
	steps  ClockSteps
}

func (w *wallClock) now() time.Time { return moment(0).Add(w.uptime + w.offset) }

func (w *wallClock) run(d time.Duration) {
	w.uptime += d
	w.steps = w.steps.Observe(w.now(), w.uptime)
}

func TestClockStepsCorrect(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		sets []time.Duration
		// early is how much too old the first moment may look; late how much too young.
		late time.Duration
	}{
		"not set":                    {},
		"forward":                    {sets: []time.Duration{5 * time.Minute}},
		"back":                       {sets: []time.Duration{-5 * time.Minute}, late: 5 * time.Minute},
		"forward and back":           {sets: []time.Duration{5 * time.Minute, -5 * time.Minute}},
		"forward twice":              {sets: []time.Duration{5 * time.Minute, time.Hour}},
		"forward, then further back": {sets: []time.Duration{time.Minute, -5 * time.Minute}, late: 4 * time.Minute},
		"slewed":                     {sets: []time.Duration{time.Second, time.Second}, late: 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var clock wallClock
			clock.run(0)
			first := clock.now()
			for _, by := range tc.sets {
				clock.run(15 * time.Second)
				clock.offset += by
				clock.run(15 * time.Second)
			}
			passed := clock.now().Sub(clock.steps.Correct(first))
			slack := 2 * time.Second
			if passed > clock.uptime+slack || passed < clock.uptime-tc.late-slack {
				t.Errorf("it seems that %s passed, it was %s", passed, clock.uptime)
			}
		})
	}
}

// TestPropertyClockSteps: whatever is done to the wall clock, nothing that it gave
// ever looks older than it is, but for what slewing hides.
func TestPropertyClockSteps(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var clock wallClock
		clock.run(0)
		type stamp struct {
			at     time.Time
			uptime time.Duration
		}
		var stamps []stamp
		forwardOnly := rapid.Bool().Draw(t, "forwardOnly")
		for range rapid.IntRange(1, 12).Draw(t, "looks") {
			stamps = append(stamps, stamp{clock.now(), clock.uptime})
			least := -300
			if forwardOnly {
				least = 0
			}
			by := time.Duration(rapid.IntRange(least, 300).Draw(t, "by")) * time.Second
			if by > -leastStep && by < leastStep {
				by = 0
			}
			clock.offset += by
			clock.run(time.Duration(rapid.IntRange(1, 60).Draw(t, "seconds")) * time.Second)
		}
		for _, given := range stamps {
			passed, really := clock.now().Sub(clock.steps.Correct(given.at)), clock.uptime-given.uptime
			if forwardOnly && passed != really {
				t.Fatalf("%s seem to have passed, it was %s", passed, really)
			}
			// Taking a step back by less than the least that is noticed is lost.
			if passed > really+maxSteps*leastStep {
				t.Fatalf("%s seem to have passed, it was only %s: a deadline would pass too early", passed, really)
			}
		}
	})
}

// TestAStepForwardDoesNotSettleALostAnswer: the clock is set five minutes ahead
// ten seconds after the call. Its deadline has not passed, and three lists in the
// next half minute are no proof that it made no rental (I2).
func TestAStepForwardDoesNotSettleALostAnswer(t *testing.T) {
	t.Parallel()
	for name, step := range map[string]time.Duration{"forward": 5 * time.Minute, "back": -5 * time.Minute, "none": 0} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var clock wallClock
			clock.run(0)
			instance := attempted("a", OutcomeUnknown, usd(40))
			instance.Attempts[0].StartedAt = clock.now()
			clock.run(10 * time.Second)
			clock.offset += step
			memory := map[AttemptKey]Absence{}
			for clock.uptime < 3*time.Minute+110*time.Second {
				clock.run(10 * time.Second)
				instances := []Instance{instance}
				instances[0].Attempts = append([]Attempt(nil), instance.Attempts...)
				clock.steps.CorrectInstances(instances)
				sweep := sweepAt(0)
				sweep.Listing.StartedAt, sweep.Listing.FinishedAt = clock.now(), clock.now().Add(time.Second)
				plan := ResolveAttempts(&ResolveInput{
					Instances: instances, Installation: testInstallation, Sweep: sweep, Memory: memory, AttemptDeadline: 3 * time.Minute,
				})
				memory = plan.Memory
				if plan.Resolutions[0].Action != ResolveWait {
					t.Fatalf("after %s: %+v", clock.uptime, plan.Resolutions[0])
				}
			}
		})
	}
}
