package simulator

import (
	"container/heap"
	"sync"
	"time"

	"k8s.io/utils/clock"
)

// simClock is simulated time: the injected clock times a speed, plus what was
// added by command. It is a clock.Clock itself, for backends. Its own lock may
// be taken with the world's held, not the reverse.
type simClock struct {
	base  clock.Clock
	start time.Time
	speed float64

	mu     sync.Mutex
	offset time.Duration
	timers map[*simTimer]bool
	sweep  int // how many timers make it worth dropping those that fired
}

var _ clock.Clock = (*simClock)(nil)

// newSimClock starts simulated time now.
func newSimClock(base clock.Clock, speed float64) *simClock {
	const firstSweep = 1024
	return &simClock{base: base, start: base.Now(), speed: speed, timers: map[*simTimer]bool{}, sweep: firstSweep}
}

// Now implements clock.Clock.
func (c *simClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.nowLocked()
}

func (c *simClock) nowLocked() time.Time {
	passed := time.Duration(float64(c.base.Now().Sub(c.start)) * c.speed)
	return c.start.Add(passed + c.offset)
}

// now returns the simulated time in whole milliseconds, so that bills are
// computed in integers.
func (c *simClock) now() time.Time { return c.Now().Truncate(time.Millisecond) }

// Since implements clock.Clock.
func (c *simClock) Since(t time.Time) time.Duration { return c.Now().Sub(t) }

// After implements clock.Clock.
func (c *simClock) After(d time.Duration) <-chan time.Time { return c.NewTimer(d).C() }

// Sleep implements clock.Clock.
func (c *simClock) Sleep(d time.Duration) { <-c.After(d) }

// Tick implements clock.Clock. It is not affected by jumps.
func (c *simClock) Tick(d time.Duration) <-chan time.Time { return c.base.Tick(c.real(d)) }

// NewTimer implements clock.Clock. The time that it sends is the injected clock's.
func (c *simClock) NewTimer(d time.Duration) clock.Timer {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.nowLocked()
	if len(c.timers) >= c.sweep {
		for t := range c.timers {
			if t.deadline.Before(now) {
				delete(c.timers, t)
			}
		}
		c.sweep = max(c.sweep, 2*len(c.timers))
	}
	t := &simTimer{clock: c, deadline: now.Add(d)}
	t.base = c.base.NewTimer(c.real(d))
	c.timers[t] = true
	return t
}

// advance jumps ahead and brings timers forward.
func (c *simClock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	before := c.nowLocked()
	c.offset += d
	now := before.Add(d)
	for t := range c.timers {
		if t.deadline.After(before) {
			t.base.Reset(c.real(t.deadline.Sub(now)))
		}
	}
}

// real converts a simulated duration into one of the injected clock, rounding up.
func (c *simClock) real(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return time.Duration(float64(d)/c.speed) + 1
}

// simTimer is a timer of simulated time.
type simTimer struct {
	clock    *simClock
	base     clock.Timer
	deadline time.Time
}

// C implements clock.Timer.
func (t *simTimer) C() <-chan time.Time { return t.base.C() }

// Stop implements clock.Timer.
func (t *simTimer) Stop() bool {
	t.clock.mu.Lock()
	defer t.clock.mu.Unlock()
	delete(t.clock.timers, t)
	return t.base.Stop()
}

// Reset implements clock.Timer.
func (t *simTimer) Reset(d time.Duration) bool {
	t.clock.mu.Lock()
	defer t.clock.mu.Unlock()
	t.deadline = t.clock.nowLocked().Add(d)
	t.clock.timers[t] = true
	return t.base.Reset(t.clock.real(d))
}

// event is something that happens at a simulated time.
type event struct {
	at  time.Time
	seq int64
	do  func()
}

// eventQueue is a heap of events in order of time, then of scheduling.
type eventQueue struct {
	items []*event
	seq   int64
}

// Len implements heap.Interface.
func (q *eventQueue) Len() int { return len(q.items) }

// Less implements heap.Interface.
func (q *eventQueue) Less(i, j int) bool {
	a, b := q.items[i], q.items[j]
	if a.at.Equal(b.at) {
		return a.seq < b.seq
	}
	return a.at.Before(b.at)
}

// Swap implements heap.Interface.
func (q *eventQueue) Swap(i, j int) { q.items[i], q.items[j] = q.items[j], q.items[i] }

// Push implements heap.Interface; use add.
func (q *eventQueue) Push(x any) {
	if e, ok := x.(*event); ok {
		q.items = append(q.items, e)
	}
}

// Pop implements heap.Interface; use next.
func (q *eventQueue) Pop() any {
	last := len(q.items) - 1
	e := q.items[last]
	q.items[last] = nil
	q.items = q.items[:last]
	return e
}

// add schedules do; it reports whether the event is now the first.
func (q *eventQueue) add(at time.Time, do func()) bool {
	q.seq++
	e := &event{at: at, seq: q.seq, do: do}
	heap.Push(q, e)
	return q.items[0] == e
}

// peek returns the time of the first event.
func (q *eventQueue) peek() (time.Time, bool) {
	if len(q.items) == 0 {
		return time.Time{}, false
	}
	return q.items[0].at, true
}

// take removes the first event when it is due.
func (q *eventQueue) take(now time.Time) (*event, bool) {
	if len(q.items) == 0 || q.items[0].at.After(now) {
		return nil, false
	}
	e, ok := heap.Pop(q).(*event)
	return e, ok
}
