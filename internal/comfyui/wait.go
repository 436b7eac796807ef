package comfyui

import (
	"context"
	"errors"
	"time"

	"k8s.io/utils/clock"
)

// The causes with which a call gives up by itself. They never leave the package.
var (
	errConnectTimeout = errors.New("connecting took too long")
	errSilent         = errors.New("the answer took too long")
	errTooLong        = errors.New("the verification took too long")
)

// timers starts timers on the injected clock. When that clock runs faster than
// the wall, floor keeps a real network call from being cut off at once.
type timers struct {
	clock clock.Clock
	floor time.Duration
}

// after runs act once d has passed, unless stop is called before. It owns one
// goroutine, which ends with either.
func (t timers) after(d time.Duration, act func()) (stop func()) {
	done := make(chan struct{})
	timer := t.clock.NewTimer(d)
	go func() {
		defer timer.Stop()
		select {
		case <-timer.C():
		case <-done:
			return
		}
		if t.waitFloor(done) {
			act()
		}
	}()
	return func() {
		select {
		case <-done:
		default:
			close(done)
		}
	}
}

// waitFloor holds a timer that fired until the least wall time has passed too,
// and is false when it was stopped meanwhile.
func (t timers) waitFloor(done <-chan struct{}) bool {
	if t.floor <= 0 {
		return true
	}
	wall := time.NewTimer(t.floor)
	defer wall.Stop()
	select {
	case <-wall.C:
		return true
	case <-done:
		return false
	}
}

// limit is context.WithTimeout on the injected clock.
func (t timers) limit(parent context.Context, d time.Duration, cause error) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(parent)
	stop := t.after(d, func() { cancel(cause) })
	return ctx, func() {
		stop()
		cancel(nil)
	}
}

// alarm is a deadline to look at between two calls, with the same floor.
type alarm struct {
	timers timers
	start  time.Time
	after  time.Duration
	wall   *time.Timer
}

// alarm sets an alarm in d.
func (t timers) alarm(d time.Duration) *alarm {
	a := &alarm{timers: t, start: t.clock.Now(), after: d}
	if t.floor > 0 {
		a.wall = time.NewTimer(t.floor)
	}
	return a
}

// fired is true once the time has passed.
func (a *alarm) fired() bool {
	if a.timers.clock.Since(a.start) < a.after {
		return false
	}
	if a.wall != nil {
		select {
		case <-a.wall.C:
			a.wall = nil
		default:
			return false
		}
	}
	return true
}

// sleep waits d on the injected clock, and is false when ctx ended first.
func (t timers) sleep(ctx context.Context, d time.Duration) bool {
	timer := t.clock.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C():
		return true
	case <-ctx.Done():
		return false
	}
}
