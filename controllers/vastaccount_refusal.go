package controllers

import (
	"fmt"
	"time"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/fleet"
	"github.com/warmpool-dev/warmpool/internal/planner"
)

const (
	// firstRefusalPause doubles with every refusal in a row up to maxRefusalPause.
	firstRefusalPause = 15 * time.Second
	maxRefusalPause   = 5 * time.Minute
)

// refusal says that Vast.ai turned down the last rent of a pool for a reason
// that the next offer does not mend: no credit, arguments it does not like.
// Without a pause the pool would go on asking at the limit of the API.
type refusal struct {
	pause           time.Duration
	until           time.Time
	reason, message string
}

// noteRent takes in what became of a pool's rent. An offer that was gone, or a
// rent that was not sent, says nothing about the next one.
func (a *accountSession) noteRent(pool string, outcome *rentOutcome, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case outcome.outcome == warmpool.AttemptSucceeded:
		delete(a.refusals, pool)
	case outcome.outcome == warmpool.AttemptRejected && outcome.httpStatus != 0 && outcome.rentalID == 0 &&
		outcome.reason != string(fleet.KindOfferGone) && outcome.reason != string(fleet.KindRateLimited):
		last := a.refusals[pool]
		pause := min(max(2*last.pause, firstRefusalPause), maxRefusalPause)
		a.refusals[pool] = refusal{pause: pause, until: now.Add(pause), reason: outcome.reason, message: outcome.message}
	}
}

// refused is the answer to a pool whose last rent was turned down a moment ago.
func (a *accountSession) refused(pool string, now time.Time) (planner.Admission, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	last, found := a.refusals[pool]
	//warmpool:gate rent-pauses-after-a-refusal
	if !found || !now.Before(last.until) {
		return planner.Admission{}, false
	}
	return planner.Admission{
		Decision: planner.DecisionDeferred, Reason: last.reason, Until: last.until,
		Message: fmt.Sprintf("Vast.ai refused the last rent; it is asked again %s after it. %s", last.pause, last.message),
	}, true
}
