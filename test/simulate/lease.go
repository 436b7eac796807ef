package simulate

import (
	"errors"
	"sync"
	"time"

	"github.com/warmpool-dev/warmpool/controllers"
)

// The durations of leader election, as internal/options sets them.
const (
	leaseDuration = 30 * time.Second
	renewDeadline = 20 * time.Second
	retryPeriod   = 4 * time.Second
)

var errLeaseNotFresh = errors.New("the leader lease was not renewed lately, so another process may lead")

// leaseRecord is the Lease object. It is kept apart from the API double: only
// who holds it matters, and since which renewal.
type leaseRecord struct {
	mu      sync.Mutex
	holder  *process
	renewal int
}

// lease is one process's view of it, with the rules of client-go's election and
// of internal/operator's guard.
type lease struct {
	process *process

	mu sync.Mutex
	// observed is the renewal seen last, observedAt when it was first seen.
	observed   int
	observedAt time.Time
	// renewedAt and renewedWall are when the last good renewal was asked for, by
	// the monotonic and by the wall clock.
	renewedAt, renewedWall time.Time
}

var _ controllers.Lease = (*lease)(nil)

func newLease(p *process) *lease {
	return &lease{process: p, observed: -1}
}

// IsFresh implements controllers.Lease as internal/operator does: the lease is
// fresh when both clocks say that the last renewal is recent.
func (l *lease) IsFresh() bool {
	if !l.process.world.plan.HA {
		return true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.process.clock.Now()
	age, wallAge := now.Sub(l.renewedAt), now.Round(0).Sub(l.renewedWall)
	return !l.renewedAt.IsZero() && age >= 0 && wallAge >= 0 && max(age, wallAge) < renewDeadline
}

// acquire returns when the process leads.
func (l *lease) acquire() {
	for !l.try() {
	}
	l.process.world.note(l.process.name, "election", "leads")
}

// keep renews, and ends the process when it cannot.
func (l *lease) keep() {
	for {
		if l.try() {
			continue
		}
		l.mu.Lock()
		age := l.process.clock.Since(l.renewedAt)
		l.mu.Unlock()
		if age >= renewDeadline {
			l.process.kill("the lease is lost")
			l.process.live()
		}
	}
}

// try waits for the next turn and then tries to get or renew the lease.
func (l *lease) try() bool {
	p := l.process
	w := p.world
	place := "election"
	p.sleep(w.decide.at(p.name+" "+place+" turn"), retryPeriod)
	asked := p.clock.Now()
	dice, err := p.await(p.ctx, place)
	if err != nil || w.leaseTrouble(p, dice) != nil {
		return false
	}
	held := l.write()
	if _, err := p.await(p.ctx, place+" answered"); err != nil || !held {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.renewedAt, l.renewedWall = asked, asked.Round(0)
	return true
}

// write takes or renews the lease if that is allowed now: a foreign one only
// after it was seen unchanged for its whole duration.
func (l *lease) write() bool {
	record := &l.process.world.lease
	record.mu.Lock()
	defer record.mu.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.process.clock.Now()
	if record.renewal != l.observed {
		l.observed, l.observedAt = record.renewal, now
	}
	if record.holder != nil && record.holder != l.process && now.Sub(l.observedAt) < leaseDuration {
		return false
	}
	record.holder, record.renewal = l.process, record.renewal+1
	l.observed, l.observedAt = record.renewal, now
	return true
}
