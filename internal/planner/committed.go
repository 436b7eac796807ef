package planner

import (
	"math"

	"github.com/warmpool-dev/warmpool/internal/fleet"
)

// Cost is what one WarmInstance counts in committed cost, in dollars per hour.
//
// A recorded rental counts its observed price once that is known, and the
// larger of quote and observed price until then; it makes no difference whether
// it runs, is stopped (it may resume), is offline (it may come back) or is
// terminating. An attempt with an unknown outcome counts its quote. An instance
// that was never attempted, or whose attempts all ended without a rental,
// counts nothing.
func Cost(instance *Instance) fleet.USDMicros {
	var total fleet.USDMicros
	for _, rental := range instance.RecordedRentals() {
		total = addUSD(total, rental.USDPerHour)
	}
	for k := range instance.Attempts {
		attempt := &instance.Attempts[k]
		// A rental that an open attempt already names is counted above.
		//warmpool:gate committed-open-attempt
		if attempt.isOpen() && attempt.RentalID == 0 {
			total = addUSD(total, attempt.QuotedUSDPerHour)
		}
	}
	return total
}

// Committed is the committed cost of the given WarmInstances in dollars per
// hour. It is always a sum over objects, never a counter (I1), so a crash can
// only over-count.
func Committed(instances []Instance) fleet.USDMicros {
	var total fleet.USDMicros
	for k := range instances {
		total = addUSD(total, Cost(&instances[k]))
	}
	return total
}

// CommittedOfPool is the committed cost of the instances of one pool.
func CommittedOfPool(instances []Instance, pool string) fleet.USDMicros {
	var total fleet.USDMicros
	for k := range instances {
		if instances[k].Pool == pool {
			total = addUSD(total, Cost(&instances[k]))
		}
	}
	return total
}

// AccountCommitted is the committed cost of the whole account in dollars per
// hour: every WarmInstance, plus every rental of the listing that none records
// (foreign, leaked, or the answer to a call that was lost), at its price. A
// recorded rental that the listing shows dearer counts the listed price.
//
// The rental of a lost answer counts beside the quote that is still reserved,
// until it is adopted: too much for one sweep is safe, too little is not.
// A nil listing adds nothing.
func AccountCommitted(instances []Instance, listing *fleet.Listing) fleet.USDMicros {
	total := Committed(instances)
	if listing == nil {
		return total
	}
	recorded := recordedPrices(instances)
	for k := range listing.Rentals {
		row := &listing.Rentals[k]
		// An unrecorded rental has a recorded price of 0.
		//warmpool:gate committed-foreign
		if more := row.PriceUSDPerHour - recorded[row.ID]; more > 0 {
			total = addUSD(total, more)
		}
	}
	return total
}

// ObservePrice returns the price and its certainty to record for a rental of
// ours after a trusted sweep showed it as row. A rental that does not run keeps
// the highest price seen, for it costs that again when it resumes; a row
// without a price changes nothing.
func ObservePrice(recorded *InstanceRental, row *fleet.Rental) (usdPerHour fleet.USDMicros, known bool) {
	//warmpool:gate price-kept-without-one
	if row.PriceUSDPerHour <= 0 {
		return recorded.ObservedUSDPerHour, recorded.PriceKnown
	}
	//warmpool:gate price-of-what-runs
	if row.ActualStatus == fleet.StatusRunning {
		return row.PriceUSDPerHour, true
	}
	return max(recorded.ObservedUSDPerHour, row.PriceUSDPerHour), recorded.PriceKnown
}

// ownRentalCost prices the instance's own rental.
func (i *Instance) ownRentalCost() fleet.USDMicros {
	observed := max(i.Rental.ObservedUSDPerHour, 0)
	//warmpool:gate price-quote-until-known
	if i.Rental.PriceKnown && observed > 0 {
		return observed
	}
	return max(observed, i.ownQuote())
}

// ownQuote is the quote of the attempt that made the instance's own rental;
// the highest of all when no attempt remembers it.
func (i *Instance) ownQuote() fleet.USDMicros {
	var highest fleet.USDMicros
	for k := range i.Attempts {
		if i.Attempts[k].RentalID == i.Rental.ID {
			return max(i.Attempts[k].QuotedUSDPerHour, 0)
		}
		highest = max(highest, i.Attempts[k].QuotedUSDPerHour)
	}
	return highest
}

// recordedPrices maps every recorded rental to what it counts.
func recordedPrices(instances []Instance) map[int64]fleet.USDMicros {
	prices := make(map[int64]fleet.USDMicros, len(instances))
	for k := range instances {
		for _, rental := range instances[k].RecordedRentals() {
			prices[rental.ID] = rental.USDPerHour
		}
	}
	return prices
}

// addUSD adds, ignoring negative amounts and saturating: a sum that does not
// fit must look too expensive.
func addUSD(total, more fleet.USDMicros) fleet.USDMicros {
	if more <= 0 {
		return total
	}
	//warmpool:gate money-sum-saturates
	if total > math.MaxInt64-more {
		return math.MaxInt64
	}
	return total + more
}
