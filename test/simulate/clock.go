package simulate

import (
	"sync/atomic"
	"time"
	"unsafe"

	"k8s.io/utils/clock"
)

// steppedClock is the clock of one machine: the virtual clock, whose wall part
// can be set while its monotonic part runs on, as on a real machine.
type steppedClock struct {
	clock.RealClock
	// stepSeconds is how far the wall part is off.
	stepSeconds atomic.Int64
}

var _ clock.WithTicker = (*steppedClock)(nil)

// Now implements clock.PassiveClock.
func (c *steppedClock) Now() time.Time { return withWallStep(c.RealClock.Now(), c.stepSeconds.Load()) }

// Since implements clock.PassiveClock.
func (c *steppedClock) Since(t time.Time) time.Duration { return c.Now().Sub(t) }

// NewTicker implements clock.WithTicker. Only the queues' own metrics and their
// heartbeat tick; they decide nothing and would cost most of the time.
func (*steppedClock) NewTicker(time.Duration) clock.Ticker { return noTicker{} }

// noTicker never ticks.
type noTicker struct{}

// C implements clock.Ticker.
func (noTicker) C() <-chan time.Time { return nil }

// Stop implements clock.Ticker.
func (noTicker) Stop() {}

// withWallStep moves the wall part of a time that has a monotonic part, and
// leaves the latter. The time package has no function for it: the wall seconds
// are the 33 bits above the 30 bits of nanoseconds in the first word.
func withWallStep(t time.Time, seconds int64) time.Time {
	const nanosecondBits = 30
	word := (*uint64)(unsafe.Pointer(&t)) //nolint:gosec // clock_test.go checks that the layout is still so
	*word += uint64(seconds << nanosecondBits) //nolint:gosec // two's complement subtracts
	return t
}
