package testkit_test

import (
	"testing"
	"time"

	"github.com/warmpool-dev/warmpool/internal/testkit"
)

func TestScaledClocksOfOneEpochShowTheSameTime(t *testing.T) {
	const factor = 1000
	first := testkit.NewScaledClock(factor)
	// As it travels to another process: without a monotonic reading.
	epoch := time.Unix(0, first.Epoch().UnixNano())
	<-first.After(50 * time.Second)
	second := testkit.NewScaledClockFrom(epoch, factor)

	early, continued, late := first.Now(), second.Now(), first.Now()
	const slack = 2 * time.Second // 2 ms of the wall
	if continued.Before(early.Add(-slack)) || continued.After(late.Add(slack)) {
		t.Errorf("the second clock shows %s, want a time between %s and %s", continued, early, late)
	}
	if passed := continued.Sub(epoch); passed < 50*time.Second {
		t.Errorf("only %s have passed since the epoch, want at least 50 s", passed)
	}
}

func TestScaledClockRunsByItsFactor(t *testing.T) {
	const factor = 1000
	scaled := testkit.NewScaledClockFrom(time.Now().Add(-time.Second), factor)
	if passed := scaled.Since(scaled.Epoch()); passed < 1000*time.Second {
		t.Errorf("a second after the epoch the clock has run %s, want at least 1000 s", passed)
	}
	if got := scaled.Wall(factor * time.Minute); got != time.Minute {
		t.Errorf("Wall of %d minutes is %s, want one minute", factor, got)
	}
}
