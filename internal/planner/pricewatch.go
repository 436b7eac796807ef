package planner

import (
	"fmt"
	"time"

	"github.com/warmpool-dev/warmpool/internal/fleet"
)

const (
	// RentalEndLead is how long before the end of a contract a replacement is
	// rented: the default deadlines of an instance add up to 45 minutes.
	RentalEndLead = time.Hour
	// shortContract is a contract that ends so soon after it began that replacing
	// it ahead of time would only rent the next one like it, for ever (I7).
	shortContract = 2 * RentalEndLead
)

// PriceRose returns what the instance's own rental costs now and what its offer
// said, and whether it is dearer by more than 5 percent.
func (i *Instance) PriceRose() (now, quoted fleet.USDMicros, rose bool) {
	if !i.HasRental() {
		return 0, 0, false
	}
	now, quoted = i.ownRentalCost(), i.ownQuote()
	return now, quoted, quoted > 0 && now > quoted+toleratedRise(quoted)
}

// EndsSoon is true within RentalEndLead of the end of the instance's contract,
// and after it. A contract that was short from the start is left to end by itself.
func (i *Instance) EndsSoon(now time.Time) bool {
	if !i.HasRental() || i.Rental.EndsAt.IsZero() {
		return false
	}
	began := i.Rental.StartedAt
	if began.IsZero() {
		began = i.Rental.RecordedAt
	}
	//warmpool:gate short-contract-is-not-replaced
	if i.Rental.EndsAt.Sub(began) <= shortContract {
		return false
	}
	return now.Add(RentalEndLead).After(i.Rental.EndsAt)
}

// endAboveCap ends unclaimed instances whose host raised the price above what
// one instance may cost; others are rented in their place. A cap that was
// lowered below a price that did not rise ends nothing: what was rented under
// the old cap stays.
func (s *sizing) endAboveCap() {
	limit := s.in.Pool.MaxInstanceUSDPerHour
	if limit <= 0 {
		return
	}
	s.endWhere(func(c *candidate) bool {
		price, _, rose := c.instance.PriceRose()
		return rose && price > limit && isLive(c.state)
	}, VictimAboveInstanceCap, fmt.Sprintf("its host raised the price above %s, which is the most that one instance may cost (spec.cost.maxInstanceUSDPerHour)", perHour(limit)))
}

// endReplaced ends instances whose contract ends soon, as many as others are
// ready to take over.
func (s *sizing) endReplaced() {
	ready, ending := s.count(func(state InstanceState) bool { return state == StateReady }), 0
	for k := range s.order {
		if s.order[k].endsSoon {
			ending++
		}
	}
	superfluous := min(ready+ending-s.in.Pool.Wanted(), ending)
	s.endWhere(func(c *candidate) bool {
		//warmpool:gate replace-before-the-contract-ends
		if superfluous <= 0 || !c.endsSoon {
			return false
		}
		superfluous--
		return true
	}, VictimRentalEnding, fmt.Sprintf("its contract ends within %s, and another instance is ready in its place", shortDuration(RentalEndLead)))
}
