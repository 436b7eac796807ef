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
	// started is when the monotonic part began.
	started time.Time
	// stepSeconds is how far the wall part is off.
	stepSeconds atomic.Int64
}

var _ clock.WithTicker = (*steppedClock)(nil)

// Now implements clock.PassiveClock.
func (c *steppedClock) Now() time.Time {
	now := c.RealClock.Now()
	return twoClocks(now.Add(time.Duration(c.stepSeconds.Load())*time.Second), now.Sub(c.started))
}

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

// twoClocks makes a time of a wall and of a monotonic reading. The time package
// makes such times of the machine's clocks only: the first word holds a mark, 33
// bits of seconds since 1885 and 30 bits of nanoseconds, the second the monotonic
// reading. clock_test.go checks that this is still so.
func twoClocks(wall time.Time, monotonic time.Duration) time.Time {
	const (
		hasMonotonic   = 1 << 63
		nanosecondBits = 30
		// since1885 is the Unix time of 1885, from which the seconds are counted.
		since1885 = -2682288000
	)
	made := wall.Local().Round(0)
	words := (*[2]uint64)(unsafe.Pointer(&made))                                                        //nolint:gosec // see above
	words[0] = hasMonotonic | uint64(wall.Unix()-since1885)<<nanosecondBits | uint64(wall.Nanosecond()) //nolint:gosec // both positive
	words[1] = uint64(monotonic) + 1                                                                    //nolint:gosec // positive
	return made
}
