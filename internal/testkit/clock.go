package testkit

import (
	"time"

	"k8s.io/utils/clock"
)

// ScaledClock runs faster than the wall by a factor, timers included, so that
// minutes of an operator pass in seconds while everything stays in proportion.
type ScaledClock struct {
	// epoch is when this clock and the wall showed the same time.
	epoch time.Time
	// Since wallStart on the wall, the clock has run from start.
	wallStart, start time.Time
	factor           int64
	wall             clock.RealClock
}

var _ clock.WithTicker = (*ScaledClock)(nil)

// NewScaledClock starts at the present time. The factor is at least 1.
func NewScaledClock(factor int64) *ScaledClock {
	return NewScaledClockFrom(clock.RealClock{}.Now(), factor)
}

// NewScaledClockFrom continues a clock that was started at epoch, in this
// process or in another one: with the same factor both show the same time, and
// time goes on while no process runs. The factor is at least 1.
func NewScaledClockFrom(epoch time.Time, factor int64) *ScaledClock {
	c := &ScaledClock{epoch: epoch, factor: max(factor, 1)}
	c.wallStart = c.wall.Now()
	// An epoch from another process has no monotonic reading. It is measured
	// once, so that a step of the wall clock is not multiplied later.
	c.start = epoch.Add(c.wallStart.Sub(epoch) * time.Duration(c.factor))
	return c
}

// Epoch is the time at which this clock and the wall showed the same.
func (c *ScaledClock) Epoch() time.Time { return c.epoch }

// Wall converts a duration of this clock to one of the wall, at least 1 ns for
// one that is positive.
func (c *ScaledClock) Wall(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return max(d/time.Duration(c.factor), 1)
}

// Now implements clock.PassiveClock.
func (c *ScaledClock) Now() time.Time {
	return c.start.Add(c.wall.Since(c.wallStart) * time.Duration(c.factor))
}

// Since implements clock.PassiveClock.
func (c *ScaledClock) Since(t time.Time) time.Duration { return c.Now().Sub(t) }

// After implements clock.Clock.
func (c *ScaledClock) After(d time.Duration) <-chan time.Time { return c.wall.After(c.Wall(d)) }

// Sleep implements clock.Clock.
func (c *ScaledClock) Sleep(d time.Duration) { <-c.After(d) }

// Tick implements clock.Clock.
func (c *ScaledClock) Tick(d time.Duration) <-chan time.Time { return c.wall.Tick(c.Wall(d)) }

// NewTimer implements clock.Clock.
func (c *ScaledClock) NewTimer(d time.Duration) clock.Timer {
	return &scaledTimer{Timer: c.wall.NewTimer(c.Wall(d)), clock: c}
}

// NewTicker implements clock.WithTicker.
func (c *ScaledClock) NewTicker(d time.Duration) clock.Ticker { return c.wall.NewTicker(c.Wall(d)) }

// scaledTimer scales Reset as well.
type scaledTimer struct {
	clock.Timer
	clock *ScaledClock
}

// Reset implements clock.Timer.
func (t *scaledTimer) Reset(d time.Duration) bool { return t.Timer.Reset(t.clock.Wall(d)) }
