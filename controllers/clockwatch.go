package controllers

import (
	"fmt"
	"sync"
	"time"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/planner"
)

// clockWatch notices when our wall clock is set. What is remembered within the
// process is measured by the monotonic clock, which Go's times carry along; but
// what was written into a status and read again has lost that. The zero value is
// ready.
type clockWatch struct {
	mu    sync.Mutex
	first time.Time
	steps planner.ClockSteps
	// uptime says how much of the monotonic clock has passed; nil takes it from
	// the times themselves.
	uptime func() time.Duration
}

// look compares the clocks and returns what is to be corrected.
func (c *clockWatch) look(now time.Time) planner.ClockSteps {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.first.IsZero() {
		c.first = now
	}
	uptime := now.Sub(c.first)
	if c.uptime != nil {
		uptime = c.uptime()
	}
	// Round drops the monotonic reading.
	c.steps = c.steps.Observe(now.Round(0), uptime)
	return c.steps
}

// maxSkew is how far our clock may be from Vast.ai's before people are told.
const maxSkew = time.Minute

// reasonClockSkewed: our clock and Vast.ai's differ by more than maxSkew.
const reasonClockSkewed = "ClockSkewed"

// clockCondition compares our clock with that of a provider that tells its own.
func clockCondition(provider Provider) condition {
	teller, tells := provider.(interface {
		ClockSkew() (ahead time.Duration, known bool)
	})
	if !tells {
		return condition{warmpool.ConditionClockInSync, true, reasonAsIs, "Vast.ai has not told its time."}
	}
	ahead, known := teller.ClockSkew()
	switch {
	case !known:
		return condition{warmpool.ConditionClockInSync, true, reasonAsIs, "Vast.ai has not told its time."}
	case ahead > maxSkew:
		return condition{warmpool.ConditionClockInSync, false, reasonClockSkewed, fmt.Sprintf("The clock here is %s ahead of Vast.ai's. Ages of rentals and ends of contracts are judged wrongly by as much. Set the clock of the manager's node right (NTP).", shortDuration(ahead.Round(time.Minute)))}
	case ahead < -maxSkew:
		return condition{warmpool.ConditionClockInSync, false, reasonClockSkewed, fmt.Sprintf("The clock here is %s behind Vast.ai's. Ages of rentals and ends of contracts are judged wrongly by as much. Set the clock of the manager's node right (NTP).", shortDuration((-ahead).Round(time.Minute)))}
	default:
		return condition{warmpool.ConditionClockInSync, true, reasonAsIs, "The clock here agrees with Vast.ai's, within a minute."}
	}
}
