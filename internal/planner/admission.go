package planner

import (
	"fmt"
	"math"
	"time"

	"github.com/warmpool-dev/warmpool/internal/fleet"
)

// Decision is the outcome of an admission.
type Decision string

// The decisions.
const (
	// DecisionAdmitted: journal the attempt, then rent the offer.
	DecisionAdmitted Decision = "Admitted"
	// DecisionDeferred: not now.
	DecisionDeferred Decision = "Deferred"
	// DecisionDryRun: it would be admitted, but the pool only rehearses.
	DecisionDryRun Decision = "DryRun"
)

// AdmissionState is everything but the candidate and the offers that an
// admission depends on.
type AdmissionState struct {
	// Instances are all WarmInstances of the account, read from the API server
	// and not from a cache.
	Instances []Instance
	// Listing is the last trusted sweep. Nil admits nothing.
	Listing *fleet.Listing
	// Account is the account.
	Account AccountState
	// AccountBudgets are the account's budgets, which apply to all its pools.
	AccountBudgets []SpendBudgetState
	// Blocked are the machines to avoid.
	Blocked []BlockedMachine
	// Now is the time of the decision.
	Now time.Time
}

// Admission says whether a candidate may rent, and what.
type Admission struct {
	// UID names the instance.
	UID string
	// Decision is Admitted, Deferred or DryRun.
	Decision Decision
	// Offer is what to rent; nil when deferred.
	Offer *fleet.Offer
	// Reason and Message say why.
	Reason, Message string
	// Until is when time alone may change a deferral; zero otherwise.
	Until time.Time
	// NeededUSDPerHour is what the offer costs that was admitted, or the
	// cheapest match that was not; 0 without a match.
	NeededUSDPerHour fleet.USDMicros
	// HeadroomUSDPerHour is what the tighter of the two ceilings leaves, at least 0.
	HeadroomUSDPerHour fleet.USDMicros
	// CheapestUSDPerHour is the price of the cheapest match; 0 without a match.
	CheapestUSDPerHour fleet.USDMicros
	// OffersSeen is how many offers the search returned.
	OffersSeen int
	// RejectedBy counts the offers that the filters rejected.
	RejectedBy []RejectionCount
}

// admissionCase is one offer for one candidate.
type admissionCase struct {
	candidate        *Candidate
	offer            *fleet.Offer
	state            *AdmissionState
	poolCommitted    fleet.USDMicros
	accountCommitted fleet.USDMicros
}

// admissionCheck is one named limit.
type admissionCheck struct {
	name  string
	check func(*admissionCase) *Deferral
}

// admissionChecks lists the limits in the order in which they are tested.
func admissionChecks() []admissionCheck {
	return []admissionCheck{
		{"InstanceCap", checkInstanceCap},
		{"PoolHeadroom", checkPoolHeadroom},
		{"AccountHeadroom", checkAccountHeadroom},
		{"Budgets", checkBudgets},
		{"BalanceRunway", checkBalanceRunway},
		{"BlockedMachine", checkBlockedMachine},
		{"BackOff", checkBackOff},
	}
}

// Admit decides which offer a candidate rents (I1, I2, I5). It closes when the
// spend gate does, filters and ranks the offers, and takes the first that fits
// every limit. When none does, the reason is that of the cheapest match.
//
// It admits one rent. The next one is decided on a fresh reading.
func Admit(candidate *Candidate, offers []fleet.Offer, state *AdmissionState) Admission {
	subject := &admissionCase{
		candidate:        candidate,
		state:            state,
		poolCommitted:    CommittedOfPool(state.Instances, candidate.Pool.Key),
		accountCommitted: AccountCommitted(state.Instances, state.Listing),
	}
	admission := Admission{
		UID: candidate.Instance.UID, Decision: DecisionDeferred, OffersSeen: len(offers),
		HeadroomUSDPerHour: min(headroom(candidate.Pool.CeilingUSDPerHour, subject.poolCommitted),
			headroom(state.Account.CeilingUSDPerHour, subject.accountCommitted)),
	}
	if deferral := standing(subject); deferral != nil {
		return admission.deferred(deferral)
	}
	filtered := FilterOffers(offers, criteriaFor(subject))
	admission.RejectedBy = filtered.RejectedBy
	cheapest := cheapestOf(filtered.Matches)
	if cheapest == nil {
		return admission.withoutMatch(&filtered, candidate)
	}
	admission.CheapestUSDPerHour = cheapest.PriceUSDPerHour
	ranked := otherMachinesFirst(Rank(filtered.Matches, candidate.Pool.Ranking, candidate.Pool.DatacenterPreferred), candidate.Pool.FailedOn)
	for k := range ranked {
		subject.offer = &ranked[k]
		if firstFailure(subject) == nil {
			return admission.admitted(subject)
		}
	}
	subject.offer = cheapest
	admission.NeededUSDPerHour = cheapest.PriceUSDPerHour
	return admission.deferred(firstFailure(subject))
}

// otherMachinesFirst moves offers of machines on which the pool's instances just
// failed behind all others, and keeps the order otherwise. Such a machine is not
// forbidden: it may be the only one that matches.
func otherMachinesFirst(ranked []fleet.Offer, failedOn map[int64]bool) []fleet.Offer {
	var others, failed []fleet.Offer
	for _, offer := range ranked {
		if failedOn[offer.MachineID] {
			failed = append(failed, offer)
		} else {
			others = append(others, offer)
		}
	}
	return append(others, failed...)
}

// firstFailure returns the first limit that the offer does not fit, nil when
// it fits them all.
func firstFailure(subject *admissionCase) *Deferral {
	for _, limit := range admissionChecks() {
		if deferral := limit.check(subject); deferral != nil {
			return deferral
		}
	}
	return nil
}

// standing checks what no offer can change.
func standing(subject *admissionCase) *Deferral {
	state, instance := subject.state, &subject.candidate.Instance
	//warmpool:gate admit-spend-gate
	if deferral := SpendGate(&state.Account, state.Now); deferral != nil {
		return deferral
	}
	//warmpool:gate admit-needs-a-list
	if state.Listing == nil {
		return &Deferral{Reason: ReasonAwaitingFirstSweep, Message: "The list of the account's instances was not read yet. Waiting for one that can be trusted."}
	}
	//warmpool:gate admit-only-what-waits
	if !instance.IsPending() {
		if deferral := ownDeferral(instance); deferral != nil {
			return deferral
		}
		return &Deferral{Reason: ReasonNotPending, Message: "The instance no longer waits for a rental."}
	}
	//warmpool:gate admit-pool-allows
	if deferral := poolDeferral(&subject.candidate.Pool, state.Now); deferral != nil {
		return deferral
	}
	//warmpool:gate admit-no-unrecorded-rental
	if row := labelledFor(state.Listing, instance.UID); row != nil {
		return unrecordedRental(row)
	}
	return nil
}

// criteriaFor collects the filters of one candidate.
func criteriaFor(subject *admissionCase) *Criteria {
	pool := &subject.candidate.Pool
	return &Criteria{
		Query: pool.Query, MaxInstanceUSDPerHour: pool.MaxInstanceUSDPerHour,
		BlockedMachines: BlockedMachineIDs(subject.state.Blocked, subject.state.Now),
		MachineRentals:  MachineRentals(subject.state.Instances), MaxPerMachine: pool.MaxPerMachine,
	}
}

// admitted completes an admission with the offer of the case.
func (a Admission) admitted(subject *admissionCase) Admission {
	offer := subject.offer
	a.Decision, a.Reason = DecisionAdmitted, ReasonAdmitted
	a.Offer, a.NeededUSDPerHour = offer, offer.PriceUSDPerHour
	a.Message = fmt.Sprintf("Renting offer %d (%s on machine %d) at %s; the pool then commits %s of its ceiling %s.",
		offer.ID, offer.GPUName, offer.MachineID, perHour(offer.PriceUSDPerHour),
		perHour(addUSD(subject.poolCommitted, offer.PriceUSDPerHour)), perHour(subject.candidate.Pool.CeilingUSDPerHour))
	//warmpool:gate admit-dry-run
	if subject.candidate.Pool.Mode == ModeDryRun {
		a.Decision, a.Reason = DecisionDryRun, ReasonDryRun
		a.Message = "Dry run, nothing is rented. " + a.Message
	}
	return a
}

// deferred completes an admission with a reason against it.
func (a Admission) deferred(deferral *Deferral) Admission {
	a.Decision = DecisionDeferred
	a.Reason, a.Message, a.Until = deferral.Reason, deferral.Message, deferral.Until
	return a
}

// withoutMatch explains why no offer passed the filters: the last obstacle
// that some offer met is the one nearest to a match.
func (a Admission) withoutMatch(filtered *FilterResult, candidate *Candidate) Admission {
	if filtered.Seen == 0 {
		return a.deferred(&Deferral{Reason: ReasonNoMatchingOffers, Message: "The search found no offer. Widen spec.offers, or wait for the market."})
	}
	tail := fmt.Sprintf("Of %s, by the first filter that each fails: %s.", plural(filtered.Seen, "offer", "offers"), inWords(filtered.RejectedBy))
	switch last := filtered.RejectedBy[len(filtered.RejectedBy)-1].Filter; last {
	case FilterAboveInstanceCap:
		offer := filtered.CheapestAboveCap
		a.NeededUSDPerHour, a.CheapestUSDPerHour = offer.PriceUSDPerHour, offer.PriceUSDPerHour
		return a.deferred(&Deferral{Reason: ReasonAllAboveCap, Message: fmt.Sprintf(
			"The cheapest offer that matches otherwise costs %s (offer %d), and one instance may cost %s. Raise spec.cost.maxInstanceUSDPerHour, or wait for the market. %s",
			perHour(offer.PriceUSDPerHour), offer.ID, perHour(candidate.Pool.MaxInstanceUSDPerHour), tail)})
	case FilterMachineBlocked, FilterMachineInUse:
		return a.deferred(&Deferral{Reason: ReasonAllBlocked, Message: "Offers match only on machines that are avoided after failures (status.blockedMachines of the VastAccount) or rented already. Widen spec.offers, or wait. " + tail})
	default:
		return a.deferred(&Deferral{Reason: ReasonNoMatchingOffers, Message: "No offer matches. Widen the filter in spec.offers that turns most of them away, or wait for the market. " + tail})
	}
}

// checkInstanceCap bounds the price of one instance.
func checkInstanceCap(c *admissionCase) *Deferral {
	limit := c.candidate.Pool.MaxInstanceUSDPerHour
	//warmpool:gate admit-instance-cap
	if withinCap(c.offer.PriceUSDPerHour, limit) {
		return nil
	}
	return &Deferral{Reason: ReasonAllAboveCap, Message: fmt.Sprintf("The cheapest offer that matches costs %s (offer %d), and one instance may cost %s. Raise spec.cost.maxInstanceUSDPerHour, or wait for the market.",
		perHour(c.offer.PriceUSDPerHour), c.offer.ID, perHour(limit))}
}

// checkPoolHeadroom is the pool's ceiling (I1).
func checkPoolHeadroom(c *admissionCase) *Deferral {
	ceiling := c.candidate.Pool.CeilingUSDPerHour
	//warmpool:gate admit-pool-ceiling
	if addUSD(c.poolCommitted, c.offer.PriceUSDPerHour) <= ceiling {
		return nil
	}
	return &Deferral{Reason: ReasonCostCeilingReached, Message: fmt.Sprintf(
		"This instance needs %s, the price of the cheapest offer that matches (offer %d, %s), and %s is left under the pool's ceiling of %s. Raise spec.cost.ceilingUSDPerHour of the WarmPool, lower its spec.replicas, or widen its spec.offers.",
		perHour(c.offer.PriceUSDPerHour), c.offer.ID, c.offer.GPUName, perHour(headroom(ceiling, c.poolCommitted)), perHour(ceiling))}
}

// checkAccountHeadroom is the account's ceiling (I1).
func checkAccountHeadroom(c *admissionCase) *Deferral {
	ceiling := c.state.Account.CeilingUSDPerHour
	//warmpool:gate admit-account-ceiling
	if addUSD(c.accountCommitted, c.offer.PriceUSDPerHour) <= ceiling {
		return nil
	}
	return &Deferral{Reason: ReasonAccountCeilingReached, Message: fmt.Sprintf(
		"This instance needs %s, the price of the cheapest offer that matches (offer %d, %s), and %s is left under the account's ceiling of %s, which covers all its pools and what was rented by hand. Raise spec.ceilingUSDPerHour of the VastAccount, or end something else in it.",
		perHour(c.offer.PriceUSDPerHour), c.offer.ID, c.offer.GPUName, perHour(headroom(ceiling, c.accountCommitted)), perHour(ceiling))}
}

// checkBudgets keeps the pool's and the account's budgets.
func checkBudgets(c *admissionCase) *Deferral {
	pool, now := &c.candidate.Pool, c.state.Now
	if deferral := BudgetDeferral(pool.Budgets, addUSD(c.poolCommitted, c.offer.PriceUSDPerHour), pool.BudgetHorizon, now); deferral != nil {
		return deferral
	}
	return BudgetDeferral(c.state.AccountBudgets, addUSD(c.accountCommitted, c.offer.PriceUSDPerHour), pool.BudgetHorizon, now)
}

// checkBalanceRunway keeps the account able to pay for the whole runway.
func checkBalanceRunway(c *admissionCase) *Deferral {
	account := &c.state.Account
	burn := addUSD(c.accountCommitted, c.offer.PriceUSDPerHour).ForSeconds(account.RunwaySeconds)
	//warmpool:gate admit-balance-runway
	if burn != math.MaxInt64 && account.BalanceUSD-burn >= account.MinBalanceUSD {
		return nil
	}
	return &Deferral{Reason: ReasonBalanceLow, Message: fmt.Sprintf(
		"The credit of $%s would not last: with this instance %s is committed, which costs $%s in %s (spec.runwaySeconds), and $%s must remain (spec.minBalanceUSD). Add credit at Vast.ai, or change these fields of the VastAccount.",
		account.BalanceUSD.Cents(), perHour(addUSD(c.accountCommitted, c.offer.PriceUSDPerHour)), burn.Cents(),
		shortDuration(time.Duration(account.RunwaySeconds)*time.Second), account.MinBalanceUSD.Cents())}
}

// checkBlockedMachine avoids machines that failed lately.
func checkBlockedMachine(c *admissionCase) *Deferral {
	//warmpool:gate admit-blocked-machine
	if !BlockedMachineIDs(c.state.Blocked, c.state.Now)[c.offer.MachineID] {
		return nil
	}
	return &Deferral{Reason: ReasonAllBlocked, Message: fmt.Sprintf("Machine %d of offer %d is avoided after failures. Waiting for another.", c.offer.MachineID, c.offer.ID)}
}

// checkBackOff waits after failures of the pool.
func checkBackOff(c *admissionCase) *Deferral {
	//warmpool:gate admit-back-off
	if c.candidate.Pool.NextAttemptAt.After(c.state.Now) {
		return poolDeferral(&c.candidate.Pool, c.state.Now)
	}
	return nil
}

// headroom is what a ceiling leaves, at least 0.
func headroom(ceiling, committed fleet.USDMicros) fleet.USDMicros { return max(ceiling-committed, 0) }

// perHour prints a rate for people.
func perHour(usd fleet.USDMicros) string { return "$" + usd.String() + "/h" }

// labelledFor returns a rental of the listing that carries a label for the
// WarmInstance, nil when there is none. It is meant for an instance that
// records no rental, so that any such row is one too many (I2): a late one, or
// one that a restored backup of the object has forgotten.
func labelledFor(listing *fleet.Listing, uid string) *fleet.Rental {
	for k := range listing.Rentals {
		if label, ok := fleet.ParseLabel(listing.Rentals[k].Label); ok && label.InstanceUID == uid {
			return &listing.Rentals[k]
		}
	}
	return nil
}

// unrecordedRental explains such a row.
func unrecordedRental(row *fleet.Rental) *Deferral {
	return &Deferral{Reason: ReasonUnrecordedRental, Message: fmt.Sprintf(
		"The account shows rental %d with the label %q of this instance, which does not record it. Nothing is rented for it until that rental is gone; if it is yours, change its label at Vast.ai.",
		row.ID, row.Label)}
}
