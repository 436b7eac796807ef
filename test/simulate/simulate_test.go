package simulate

import (
	"os"
	"strconv"
	"testing"
	"testing/synctest"
	"time"
)

func runCase(t *testing.T, shared *Shared, c *Case, verbose bool) (result Result) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { result = Run(t.Context(), shared, c, verbose) })
	return result
}

func TestSome(t *testing.T) {
	shared, err := NewShared("../..")
	if err != nil {
		t.Fatal(err)
	}
	first, _ := strconv.ParseUint(os.Getenv("SEED"), 10, 64)
	n, _ := strconv.ParseUint(os.Getenv("N"), 10, 64)
	start := time.Now()
	var virtual time.Duration
	rentals, lives, injected := 0, 0, 0
	for seed := first; seed < first+n; seed++ {
		c := Case{Seed: seed}
		result := runCase(t, shared, &c, os.Getenv("V") != "")
		virtual += result.Virtual
		rentals += result.Rentals
		lives += result.Lives
		injected += len(result.Injected)
		for _, f := range result.Failures {
			t.Errorf("seed %d: %s", seed, f)
			break
		}
		if os.Getenv("V") != "" {
			for _, line := range result.Log {
				t.Log(line)
			}
		}
	}
	took := time.Since(start)
	t.Logf("%d schedules in %s: %.1f/s, virtual %s each, rentals %.1f, lives %.1f, injected %.1f", n, took, float64(n)/took.Seconds(), virtual/time.Duration(n), float64(rentals)/float64(n), float64(lives)/float64(n), float64(injected)/float64(n))
}
