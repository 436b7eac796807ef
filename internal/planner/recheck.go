package planner

import (
	"fmt"

	"github.com/warmpool-dev/warmpool/internal/fleet"
)

// RecheckInput is what the last check before a rent looks at, all of it read
// again after the attempt was journaled.
type RecheckInput struct {
	// UID and AttemptNumber name the journaled attempt.
	UID           string
	AttemptNumber int32
	// PoolKey and the two ceilings are those that apply now.
	PoolKey                  string
	PoolCeilingUSDPerHour    fleet.USDMicros
	AccountCeilingUSDPerHour fleet.USDMicros
	// Instances are all WarmInstances of the account, from the API server.
	Instances []Instance
	// Listing is the last trusted sweep.
	Listing *fleet.Listing
	// PriceUSDPerHour is the price about to be paid.
	PriceUSDPerHour fleet.USDMicros
}

// Recheck is the last look before the call that spends: nil means go. It adds
// the ceilings up on a path of its own, not through Cost, so that a mistake in
// one of the two cannot break I1 alone; and it demands that the journaled
// attempt is the only thing of its instance that may cost money (I2).
func Recheck(in *RecheckInput) *Deferral {
	//warmpool:gate recheck-needs-a-list
	if in.Listing == nil {
		return &Deferral{Reason: ReasonAwaitingFirstSweep, Message: "No trusted list of the account's instances is at hand."}
	}
	if deferral := recheckInstance(in); deferral != nil {
		return deferral
	}
	ledger := map[string]fleet.USDMicros{}
	poolTotal := in.PriceUSDPerHour
	for k := range in.Instances {
		instance := &in.Instances[k]
		if instance.UID == in.UID {
			continue
		}
		own := ledgerOf(instance)
		for entry, price := range own {
			ledger[entry] = max(ledger[entry], price)
		}
		if instance.Pool == in.PoolKey {
			poolTotal = addUSD(poolTotal, sumUSD(own))
		}
	}
	//warmpool:gate recheck-pool-ceiling
	if poolTotal > in.PoolCeilingUSDPerHour {
		return &Deferral{Reason: ReasonCostCeilingReached, Message: fmt.Sprintf(
			"The pool would commit %s, its ceiling is %s.", perHour(poolTotal), perHour(in.PoolCeilingUSDPerHour))}
	}
	for k := range in.Listing.Rentals {
		entry := rentalEntry(in.Listing.Rentals[k].ID)
		ledger[entry] = max(ledger[entry], in.Listing.Rentals[k].PriceUSDPerHour)
	}
	//warmpool:gate recheck-account-ceiling
	if total := addUSD(sumUSD(ledger), in.PriceUSDPerHour); total > in.AccountCeilingUSDPerHour {
		return &Deferral{Reason: ReasonAccountCeilingReached, Message: fmt.Sprintf(
			"The account would commit %s, its ceiling is %s.", perHour(total), perHour(in.AccountCeilingUSDPerHour))}
	}
	return nil
}

// recheckInstance demands the instance to hold nothing but the journaled attempt.
func recheckInstance(in *RecheckInput) *Deferral {
	//warmpool:gate recheck-has-a-price
	if in.PriceUSDPerHour <= 0 {
		return &Deferral{Reason: ReasonNoMatchingOffers, Message: "The offer has no price."}
	}
	for k := range in.Instances {
		instance := &in.Instances[k]
		if instance.UID != in.UID {
			continue
		}
		//warmpool:gate recheck-still-waits
		if instance.Deleting || instance.Failed || instance.Pool != in.PoolKey {
			return &Deferral{Reason: ReasonNotPending, Message: "The instance no longer waits for a rental."}
		}
		//warmpool:gate recheck-adopting-never-rents
		if instance.AdoptRentalID != 0 {
			return &Deferral{Reason: ReasonNotPending, Message: "The instance was made to take a rental over, and nothing is rented for it."}
		}
		//warmpool:gate recheck-no-rental
		if len(instance.RecordedRentals()) > 0 {
			return &Deferral{Reason: ReasonPreviousRentalEnding, Message: "The instance records a rental already."}
		}
		//warmpool:gate recheck-no-unrecorded-rental
		if row := labelledFor(in.Listing, in.UID); row != nil {
			return unrecordedRental(row)
		}
		return recheckAttempts(in, instance)
	}
	return &Deferral{Reason: ReasonNotPending, Message: "The instance is not there any more."}
}

// recheckAttempts demands exactly one open attempt: the one journaled for this call.
func recheckAttempts(in *RecheckInput, instance *Instance) *Deferral {
	journaled := false
	for k := range instance.Attempts {
		attempt := &instance.Attempts[k]
		switch {
		case attempt.Number == in.AttemptNumber && attempt.Outcome == OutcomePending && !journaled:
			journaled = true
		//warmpool:gate recheck-no-other-attempt
		case attempt.isOpen():
			return &Deferral{Reason: ReasonRentOutcomeUnknown, Message: fmt.Sprintf("The outcome of attempt %d is not known.", attempt.Number)}
		}
	}
	//warmpool:gate recheck-journaled
	if !journaled {
		return &Deferral{Reason: ReasonNotPending, Message: fmt.Sprintf("Attempt %d is not journaled.", in.AttemptNumber)}
	}
	return nil
}

// ledgerOf enters everything of an instance that may cost money, one entry per
// rental or open attempt.
func ledgerOf(instance *Instance) map[string]fleet.USDMicros {
	entries := map[string]fleet.USDMicros{}
	var dearest fleet.USDMicros
	for k := range instance.Attempts {
		attempt := &instance.Attempts[k]
		dearest = max(dearest, attempt.QuotedUSDPerHour)
		if entry := entryOf(instance, attempt); entry != "" {
			entries[entry] = attempt.QuotedUSDPerHour
		}
	}
	rental := instance.Rental
	if rental == nil || rental.ID == 0 {
		return entries
	}
	quote, remembered := entries[rentalEntry(rental.ID)]
	switch {
	case rental.PriceKnown && rental.ObservedUSDPerHour > 0:
		entries[rentalEntry(rental.ID)] = rental.ObservedUSDPerHour
	case remembered:
		entries[rentalEntry(rental.ID)] = max(quote, rental.ObservedUSDPerHour)
	default:
		entries[rentalEntry(rental.ID)] = max(dearest, rental.ObservedUSDPerHour)
	}
	return entries
}

// entryOf names what an attempt may cost in the ledger, empty for nothing.
func entryOf(instance *Instance, attempt *Attempt) string {
	switch {
	case attempt.RentalID == 0 && (attempt.Outcome == OutcomePending || attempt.Outcome == OutcomeUnknown):
		return fmt.Sprintf("%s/attempt/%d", instance.UID, attempt.Number)
	case attempt.RentalID != 0 && (!attempt.RentalGone || isOwn(instance, attempt.RentalID)):
		return rentalEntry(attempt.RentalID)
	default:
		return ""
	}
}

// isOwn is true when the id is that of the instance's own rental.
func isOwn(instance *Instance, rentalID int64) bool {
	return instance.Rental != nil && instance.Rental.ID == rentalID
}

// rentalEntry names a rental in the ledger, whoever records it.
func rentalEntry(id int64) string { return fmt.Sprintf("rental/%d", id) }

// sumUSD adds the entries of a ledger.
func sumUSD(entries map[string]fleet.USDMicros) fleet.USDMicros {
	var total fleet.USDMicros
	for _, price := range entries {
		total = addUSD(total, price)
	}
	return total
}
