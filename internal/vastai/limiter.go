package vastai

import (
	"context"
	"slices"
	"sync"
	"time"

	"k8s.io/utils/clock"
)

const (
	// maxInterval bounds how slow refusals make an endpoint.
	maxInterval = time.Minute
	// leastPenaltyInterval is where doubling starts for an endpoint that has
	// no limit of its own.
	leastPenaltyInterval = time.Second
	// firstPause is the shared pause after the first refusal of a wall in
	// front of the API; it doubles up to maxInterval.
	firstPause = 5 * time.Second
	// firstGap keeps all calls apart after a shared pause; it halves with
	// every success, so that the pause does not end in a burst.
	firstGap = time.Second
	// leastGap is where the gap is dropped.
	leastGap = 100 * time.Millisecond
	// lookAhead is how long before its time a slot is handed out to a call that
	// takes a last look: a few reads of the API server, which would otherwise
	// stretch every interval. It also bounds how old that look is when the call
	// leaves.
	lookAhead = 500 * time.Millisecond
)

// limiter hands out slots: at most one per interval and endpoint, in the order
// of arrival. After a refusal that concerns every endpoint it hands out one
// slot at a time, the most important endpoint first.
type limiter struct {
	clock clock.Clock

	mu    sync.Mutex
	lanes map[Endpoint]*lane
	// changed is closed and replaced when a waiter may have to look again.
	changed chan struct{}
	// arrivals numbers waiters.
	arrivals uint64
	// openAt is when the shared gate opens; gap and pause are 0 in normal operation.
	openAt     time.Time
	gap, pause time.Duration
}

// lane is the queue of one endpoint.
type lane struct {
	endpoint Endpoint
	// base is the interval of normal operation, interval the current one.
	base, interval time.Duration
	// next is the earliest time of the next slot.
	next time.Time
	// held is true between handing out a slot and its use, so that a slow
	// guard cannot bring two calls together.
	held  bool
	queue []*waiter
}

// waiter is one call that waits for a slot.
type waiter struct {
	arrival uint64
	granted bool
	// ahead is how long before its time the slot is handed out.
	ahead time.Duration
}

// slot is the right to send one call.
type slot struct {
	limiter *limiter
	lane    *lane
	used    bool
}

// newLimiter returns a limiter with the given intervals.
func newLimiter(on clock.Clock, limits map[Endpoint]time.Duration) *limiter {
	l := &limiter{clock: on, lanes: make(map[Endpoint]*lane, len(limits)), changed: make(chan struct{})}
	for endpoint, interval := range limits {
		l.lanes[endpoint] = &lane{endpoint: endpoint, base: interval, interval: interval}
	}
	return l
}

// wait blocks until the endpoint has a slot, or will have one in the given time,
// or the context ends. It returns the time it took. A slot must be released.
func (l *limiter) wait(ctx context.Context, endpoint Endpoint, ahead time.Duration) (*slot, time.Duration, error) {
	if err := ctx.Err(); err != nil {
		return nil, 0, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	started := l.clock.Now()
	queued := l.enqueue(endpoint, ahead)
	for {
		l.grant()
		if queued.granted {
			return &slot{limiter: l, lane: l.lanes[endpoint]}, l.clock.Since(started), nil
		}
		if err := l.sleep(ctx, l.lanes[endpoint], queued); err != nil {
			l.leave(endpoint, queued)
			return nil, l.clock.Since(started), err
		}
	}
}

// enqueue puts a new waiter at the end of its lane.
func (l *limiter) enqueue(endpoint Endpoint, ahead time.Duration) *waiter {
	at, known := l.lanes[endpoint]
	if !known {
		at = &lane{endpoint: endpoint, base: unlistedInterval, interval: unlistedInterval}
		l.lanes[endpoint] = at
	}
	l.arrivals++
	queued := &waiter{arrival: l.arrivals, ahead: ahead}
	at.queue = append(at.queue, queued)
	return queued
}

// leave takes a waiter that gave up out of the queue, or gives its slot back.
func (l *limiter) leave(endpoint Endpoint, gone *waiter) {
	at := l.lanes[endpoint]
	if gone.granted {
		at.held = false
	}
	at.queue = slices.DeleteFunc(at.queue, func(w *waiter) bool { return w == gone })
	l.broadcast()
}

// sleep releases the lock until the waiter has a reason to look again.
func (l *limiter) sleep(ctx context.Context, at *lane, queued *waiter) error {
	var due <-chan time.Time
	if at.queue[0] == queued && !at.held {
		opens := at.next.Add(-queued.ahead)
		if l.openAt.After(opens) {
			opens = l.openAt
		}
		remaining := opens.Sub(l.clock.Now())
		if remaining <= 0 {
			return nil
		}
		timer := l.clock.NewTimer(remaining)
		defer timer.Stop()
		due = timer.C()
	}
	changed := l.changed
	l.mu.Unlock()
	defer l.mu.Lock()
	select {
	case <-due:
		return nil
	case <-changed:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// grant hands out every slot that is due now.
func (l *limiter) grant() {
	now := l.clock.Now()
	granted := false
	for !l.openAt.After(now) {
		best := l.mostImportant(now)
		if best == nil {
			break
		}
		best.queue[0].granted = true
		best.queue = best.queue[1:]
		best.held = true
		granted = true
		if l.gap > 0 {
			l.openAt = now.Add(l.gap)
		}
	}
	if granted {
		l.broadcast()
	}
}

// mostImportant returns the lane whose first waiter goes next, nil when none is due.
func (l *limiter) mostImportant(now time.Time) *lane {
	var best *lane
	for _, candidate := range l.lanes {
		if candidate.held || len(candidate.queue) == 0 || candidate.next.Add(-candidate.queue[0].ahead).After(now) {
			continue
		}
		if best == nil || candidate.before(best) {
			best = candidate
		}
	}
	return best
}

// before orders lanes that have a waiter: by importance, then by arrival.
func (a *lane) before(b *lane) bool {
	if a.endpoint.rank() != b.endpoint.rank() {
		return a.endpoint.rank() < b.endpoint.rank()
	}
	return a.queue[0].arrival < b.queue[0].arrival
}

// broadcast wakes every waiter.
func (l *limiter) broadcast() {
	close(l.changed)
	l.changed = make(chan struct{})
}

// due waits for the time of a slot that was handed out ahead of it.
func (s *slot) due(ctx context.Context) error {
	for {
		s.limiter.mu.Lock()
		remaining := s.lane.next.Sub(s.limiter.clock.Now())
		s.limiter.mu.Unlock()
		if remaining <= 0 {
			return ctx.Err()
		}
		timer := s.limiter.clock.NewTimer(remaining)
		select {
		case <-timer.C():
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
	}
}

// sent starts the interval: the call is leaving now.
func (s *slot) sent() {
	s.limiter.mu.Lock()
	defer s.limiter.mu.Unlock()
	if s.used {
		return
	}
	s.used = true
	s.lane.held = false
	next := s.limiter.clock.Now().Add(s.lane.interval)
	if next.After(s.lane.next) {
		s.lane.next = next
	}
	s.limiter.broadcast()
}

// release gives a slot back that was not used. It does nothing for a used one.
func (s *slot) release() {
	s.limiter.mu.Lock()
	defer s.limiter.mu.Unlock()
	if s.used {
		return
	}
	s.used = true
	s.lane.held = false
	s.limiter.broadcast()
}

// penalise doubles the interval of an endpoint after a refusal and closes it
// for the new interval, its penalty or the wait the answer asked for,
// whichever is longest.
func (l *limiter) penalise(endpoint Endpoint, asked time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := l.lanes[endpoint]
	at.interval = max(min(max(2*at.interval, leastPenaltyInterval), maxInterval), at.base)
	closed := l.clock.Now().Add(max(at.interval, endpoint.penalty(), asked))
	if closed.After(at.next) {
		at.next = closed
	}
	l.broadcast()
}

// pauseAll closes every endpoint after a refusal that concerns all of them.
func (l *limiter) pauseAll(asked time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pause = min(max(2*l.pause, firstPause), maxInterval)
	l.gap = firstGap
	closed := l.clock.Now().Add(max(l.pause, asked))
	if closed.After(l.openAt) {
		l.openAt = closed
	}
	l.broadcast()
}

// succeed halves what refusals had added, after an answer that was none.
func (l *limiter) succeed(endpoint Endpoint) {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := l.lanes[endpoint]
	at.interval = max(at.interval/2, at.base)
	if at.interval < leastPenaltyInterval {
		at.interval = at.base
	}
	l.gap /= 2
	if l.gap < leastGap {
		l.gap, l.pause = 0, 0
	}
}
