package simulate

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestSchedules runs some schedules of the campaign; make simulate runs many.
func TestSchedules(t *testing.T) {
	shared := newShared(t)
	const first = 1_000_000_000 // apart from those of make simulate
	for half := range uint64(2) {
		t.Run("half", func(t *testing.T) {
			t.Parallel()
			for seed := first + half; seed < first+ordinarySchedules; seed += 2 {
				result := runCase(t, shared, &Case{Seed: seed}, false)
				for _, failure := range result.Failures {
					t.Errorf("seed %d: %s (make simulate N=1 SEED=%d shows its log)", seed, failure, seed)
				}
			}
		})
	}
}

// TestScheduleRepeats: a failing seed is worth nothing if it does not fail again.
func TestScheduleRepeats(t *testing.T) {
	shared := newShared(t)
	rentals, injections := 0, 0
	for seed := range uint64(8) {
		first, second := runCase(t, shared, &Case{Seed: seed}, true), runCase(t, shared, &Case{Seed: seed}, true)
		// The witness tells what happens at a moment while others tell it too.
		if diff := cmp.Diff(slices.Sorted(slices.Values(first.Log)), slices.Sorted(slices.Values(second.Log))); diff != "" {
			t.Errorf("seed %d differs from run to run:\n%s", seed, diff)
		}
		rentals, injections = rentals+first.Rentals, injections+len(first.Injected)
	}
	if rentals == 0 || injections == 0 {
		t.Errorf("%d injections, %d rentals: nothing was tried", injections, rentals)
	}
}

// TestRegressions replays the cases that once broke an invariant.
func TestRegressions(t *testing.T) {
	shared := newShared(t)
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("found %d cases: %v", len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var c Case
			if err := json.Unmarshal(text, &c); err != nil {
				t.Fatal(err)
			}
			result := runCase(t, shared, &c, true)
			for _, failure := range result.Failures {
				t.Errorf("%s\nit is kept for: %s", failure, c.Note)
			}
			if len(c.Allowed) > 0 && len(result.Injected) == 0 {
				t.Error("nothing is injected any more: the names of await points have changed, find the case again")
			}
		})
	}
}

// TestCheckersFail: with a gate taken away, schedules must break an invariant.
func TestCheckersFail(t *testing.T) {
	for name, test := range map[string]struct {
		breaks Breaks
		want   []string
	}{
		"every lease is fresh":       {Breaks{FreshLease: true}, []string{"I1", "I2", "I5", "I6"}},
		"outcomes are forgotten":     {Breaks{ForgetAttempts: true}, []string{"I1", "I2", "I4", "I6"}},
		"finalizers do not hold":     {Breaks{NoFinalizers: true}, []string{"I4", "I6"}},
		"ceilings look higher":       {Breaks{WrongCeilings: true}, []string{"I1"}},
		"claims forget their holder": {Breaks{ForgetHolders: true}, []string{"I3"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			shared := newShared(t)
			shared.Breaks = test.breaks
			const most = 600
			for seed := range uint64(most) {
				result := runCase(t, shared, &Case{Seed: seed}, false)
				if len(result.Failures) > 0 && slices.Contains(test.want, result.Failures[0].Invariant) {
					t.Logf("seed %d: %s", seed, result.Failures[0])
					return
				}
			}
			t.Errorf("%d schedules broke none of %v", most, test.want)
		})
	}
}
