package planner

import (
	"fmt"
	"slices"
	"time"

	"github.com/warmpool-dev/warmpool/internal/fleet"
)

// OverCeilingPolicy says what happens when committed cost exceeds the pool's
// ceiling through no rent of ours: the ceiling was lowered, a host raised its
// price, a rental came late. The zero value is ScaleDownUnclaimed.
type OverCeilingPolicy string

// The policies for a pool over its ceiling.
const (
	// OverCeilingScaleDownUnclaimed ends unclaimed instances until the rest fits.
	OverCeilingScaleDownUnclaimed OverCeilingPolicy = "ScaleDownUnclaimed"
	// OverCeilingHold ends nothing; it only rents nothing.
	OverCeilingHold OverCeilingPolicy = "Hold"
	// OverCeilingScaleDownAll ends claimed instances too, when ending all others
	// is not enough.
	OverCeilingScaleDownAll OverCeilingPolicy = "ScaleDownAll"
)

// toleratedRisePercent is how far above its quote a price may be before it is told
// and acted upon, and how far above the ceiling prices may drift together before
// instances are ended for it. Below it is the noise of disks and rounding; ending
// and renting again would go round for ever (I7). Nothing is rented in the
// meantime (I1). A ceiling that was lowered has no tolerance: a person asked for
// that figure.
const toleratedRisePercent = 5

// toleratedRise is that part of an amount, rounded down.
func toleratedRise(amount fleet.USDMicros) fleet.USDMicros {
	const hundred = 100
	return amount.Times(toleratedRisePercent) / hundred
}

// excess is how far a pool is above its ceiling, why, and what ends for it.
type excess struct {
	// committed is what everything of the pool may cost; staying is the part
	// that is not ending already.
	committed, staying fleet.USDMicros
	// reason and why say what made committed exceed the ceiling.
	reason, why string
	// tolerated is true when prices drifted too little to end anything for it.
	tolerated bool
	// victims are to be ended so that the rest fits, in this order. None of them
	// can be spared.
	victims []candidate
	// remaining is what stays without them.
	remaining fleet.USDMicros
}

// computeExcess finds out whether a pool is above its ceiling, why, and the
// instances to end so that what stays fits again. It does not ask whether they
// may be ended now.
//
// What is ending already counts as gone, so that one excess does not end another
// instance at each call while the first is being confirmed gone. That includes
// the rental of an attempt that had been given up, which is ended in any case. A
// rent of unknown outcome counts as staying; deleted, it ends as soon as it is
// found.
func computeExcess(pool *SizePool, instances []SizeInstance, now time.Time) excess {
	all, staying := compose(instances, func(*Instance) bool { return true }), compose(instances, func(i *Instance) bool { return !i.Deleting })
	out := excess{committed: all.total(), staying: staying.total() - staying.late}
	out.remaining = out.staying
	if out.committed <= pool.CeilingUSDPerHour {
		return out
	}
	out.reason, out.why = all.explain(pool.CeilingUSDPerHour)
	over := out.staying - pool.CeilingUSDPerHour
	lowered := addUSD(staying.quoted, staying.unknown) > pool.CeilingUSDPerHour
	// A drift is for the pool to bear (I7); a lowered ceiling is an order.
	//warmpool:gate over-ceiling-drift
	if !lowered && over <= toleratedRise(pool.CeilingUSDPerHour) {
		out.tolerated = over > 0
		return out
	}
	//warmpool:gate over-ceiling-hold
	if pool.OverCeiling == OverCeilingHold {
		return out
	}
	order := victimOrder(&SizeInput{Pool: *pool, Instances: instances, Now: now})
	out.victims = fewestToCover(order, over, func(c *candidate) bool {
		return mayEndForCost(c.state) || (c.state == StateClaimed && pool.OverCeiling == OverCeilingScaleDownAll)
	})
	for k := range out.victims {
		out.remaining -= stayingCost(&out.victims[k].instance.Instance)
	}
	return out
}

// fewestToCover takes candidates in their order until they cover the amount,
// then gives back every one that is not needed, the most useful first: a cheap
// one taken early may be superfluous once a dear one had to go.
func fewestToCover(order []candidate, amount fleet.USDMicros, may func(*candidate) bool) []candidate {
	var taken []candidate
	for k := range order {
		relief := stayingCost(&order[k].instance.Instance)
		if amount <= 0 {
			break
		}
		//warmpool:gate over-ceiling-claims-stay
		if relief <= 0 || !may(&order[k]) {
			continue
		}
		taken = append(taken, order[k])
		amount -= relief
	}
	for k := range slices.Backward(taken) {
		if relief := stayingCost(&taken[k].instance.Instance); amount+relief <= 0 {
			taken = slices.Delete(taken, k, k+1)
			amount += relief
		}
	}
	return taken
}

// mayEndForCost is true for what is not claimed and costs.
func mayEndForCost(state InstanceState) bool {
	switch state {
	case StateFailed, StateUnhealthy, StateProvisioning, StateUnknown, StateReady:
		return true
	default:
		return false
	}
}

// stayingCost is what an instance goes on costing while nobody ends it: all
// but the rentals that are ended in any case.
func stayingCost(instance *Instance) fleet.USDMicros {
	if instance.Deleting {
		return 0
	}
	cost := Cost(instance)
	for _, rental := range instance.RecordedRentals() {
		if !rental.Own {
			cost -= rental.USDPerHour
		}
	}
	return max(cost, 0)
}

// composition splits committed cost by where it comes from.
type composition struct {
	// quoted is what was admitted under the ceiling: each price as it was rented,
	// or as it is where that is less.
	quoted fleet.USDMicros
	// raised is what prices rose since; dearest is the instance whose rose most.
	raised  fleet.USDMicros
	dearest *Instance
	// late is the price of rentals of attempts that had been given up; rental is
	// one of them.
	late   fleet.USDMicros
	rental int64
	// unknown is reserved for rents of unknown outcome.
	unknown fleet.USDMicros
}

// total is the committed cost.
func (c *composition) total() fleet.USDMicros {
	return addUSD(addUSD(addUSD(c.quoted, c.raised), c.late), c.unknown)
}

// compose splits the committed cost of the instances that count.
func compose(instances []SizeInstance, counts func(*Instance) bool) composition {
	var out composition
	for k := range instances {
		if instance := &instances[k].Instance; counts(instance) {
			out.add(instance)
		}
	}
	return out
}

// add takes one instance into account.
func (c *composition) add(instance *Instance) {
	for _, rental := range instance.RecordedRentals() {
		if !rental.Own {
			c.late, c.rental = addUSD(c.late, rental.USDPerHour), rental.ID
			continue
		}
		c.addOwn(instance, rental.USDPerHour)
	}
	for k := range instance.Attempts {
		attempt := &instance.Attempts[k]
		switch {
		case !attempt.isOpen() || attempt.RentalID != 0:
		case attempt.Outcome == OutcomeUnknown:
			c.unknown = addUSD(c.unknown, attempt.QuotedUSDPerHour)
		default:
			c.quoted = addUSD(c.quoted, attempt.QuotedUSDPerHour)
		}
	}
}

// addOwn takes the own rental of an instance into account.
func (c *composition) addOwn(instance *Instance, price fleet.USDMicros) {
	rise := priceRise(instance)
	c.quoted, c.raised = addUSD(c.quoted, price-rise), addUSD(c.raised, rise)
	if rise <= 0 {
		return
	}
	if c.dearest == nil || rise > priceRise(c.dearest) || (rise == priceRise(c.dearest) && instance.UID < c.dearest.UID) {
		c.dearest = instance
	}
}

// priceRise is how much more the instance's own rental costs than its offer said.
func priceRise(instance *Instance) fleet.USDMicros {
	quote := instance.ownQuote()
	if quote <= 0 {
		return 0
	}
	return max(instance.ownRentalCost()-quote, 0)
}

// explain says what made the committed cost exceed the ceiling.
func (c *composition) explain(ceiling fleet.USDMicros) (reason, why string) {
	switch {
	case c.quoted > ceiling:
		return PoolReasonCeilingLowered, fmt.Sprintf("the ceiling was lowered below what was rented before, which is %s without any rise of prices", perHour(c.quoted))
	case addUSD(c.quoted, c.raised) > ceiling || (c.raised > 0 && c.late+c.unknown == 0):
		return PoolReasonPriceRaised, fmt.Sprintf("%s now costs %s, it was rented at %s", c.dearest.Name, perHour(c.dearest.ownRentalCost()), perHour(c.dearest.ownQuote()))
	case c.late > 0:
		return ReasonLateRental, fmt.Sprintf("rental %d came of an attempt that had been given up; it is being ended", c.rental)
	default:
		return PoolReasonUnknownReserved, "the price of rents of unknown outcome is reserved"
	}
}

// action says in a sentence what is done about the excess.
func (e *excess) action(pool *SizePool, trusted bool) string {
	switch {
	case e.staying <= pool.CeilingUSDPerHour:
		return fmt.Sprintf("What is ending already brings it down to %s.", perHour(e.staying))
	case e.tolerated:
		return fmt.Sprintf("Nothing is ended for a drift of prices of up to %d %%.", toleratedRisePercent)
	case pool.OverCeiling == OverCeilingHold:
		return "Nothing is ended either, because spec.cost.overCeilingPolicy is Hold. Raise spec.cost.ceilingUSDPerHour, or end something yourself."
	case len(e.victims) == 0:
		return "Everything that is left is claimed and stays; spec.cost.overCeilingPolicy ScaleDownAll would end claimed instances too. Raise spec.cost.ceilingUSDPerHour to agree to the cost."
	case pool.Mode == ModePaused || pool.Mode == ModeDryRun:
		return fmt.Sprintf("Nothing is ended either, because spec.mode is %s. In mode Active these would be: %s.", pool.Mode, victimNames(e.victims))
	case !trusted:
		return fmt.Sprintf("Once the list of instances can be trusted, these are ended: %s.", victimNames(e.victims))
	default:
		return fmt.Sprintf("These are ended for it (spec.cost.overCeilingPolicy): %s; %s stays. Raise spec.cost.ceilingUSDPerHour to keep them.", victimNames(e.victims), perHour(e.remaining))
	}
}

// victimNames lists some candidates for people.
func victimNames(victims []candidate) string {
	const shown = 5
	text := ""
	for k := range victims {
		switch {
		case k == shown:
			return fmt.Sprintf("%s and %d more", text, len(victims)-shown)
		case k > 0:
			text += ", "
		}
		text += fmt.Sprintf("%s (%s)", victims[k].instance.Name, perHour(stayingCost(&victims[k].instance.Instance)))
	}
	return text
}
