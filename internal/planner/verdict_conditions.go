package planner

import (
	"fmt"
	"strings"
)

// readyCondition is about minReadyReplicas.
func (v *verdict) readyCondition(o obstacle) PoolCondition {
	pool := &v.in.Pool
	if pool.Deleting {
		return PoolCondition{PoolReady, statusFalse, PoolReasonDeleting, v.sentence(o.message)}
	}
	if v.out.Ready >= pool.MinReadyReplicas {
		if v.out.Ready >= pool.Wanted() {
			return PoolCondition{PoolReady, statusTrue, PoolReasonAsDesired, v.sentence("")}
		}
		return PoolCondition{PoolReady, statusTrue, PoolReasonMinimumSatisfied, v.sentence(fmt.Sprintf("at least %d are required (spec.minReadyReplicas).", pool.MinReadyReplicas))}
	}
	return v.shortOf(PoolReady, pool.MinReadyReplicas, o)
}

// fullyProvisionedCondition is about replicas.
func (v *verdict) fullyProvisionedCondition(o obstacle) PoolCondition {
	pool := &v.in.Pool
	switch {
	case pool.Deleting:
		return PoolCondition{PoolFullyProvisioned, statusFalse, PoolReasonDeleting, v.sentence(o.message)}
	case v.out.Ready >= pool.Wanted():
		return PoolCondition{PoolFullyProvisioned, statusTrue, PoolReasonAsDesired, v.sentence("")}
	default:
		return v.shortOf(PoolFullyProvisioned, pool.Wanted(), o)
	}
}

// shortOf explains a number that is not reached. What is on its way is the
// reason when it will do; otherwise the obstacle is.
func (v *verdict) shortOf(conditionType string, wanted int, o obstacle) PoolCondition {
	reason, message := o.reason, o.message
	switch {
	case v.out.Ready+v.out.Provisioning >= wanted:
		reason, message = PoolReasonProvisioning, v.nextToCome()
	case v.out.Ready+v.out.Provisioning+v.out.Unknown >= wanted && o.kind != needsSomeone:
		reason, message = ReasonRentOutcomeUnknown, v.unknownMessage()
	default:
	}
	return PoolCondition{conditionType, statusFalse, reason, v.sentence(message)}
}

// nextToCome says how far the oldest instance on its way is.
func (v *verdict) nextToCome() string {
	if len(v.coming) == 0 {
		return "the instances that are missing are being made."
	}
	first := v.coming[0]
	return fmt.Sprintf("the oldest on its way, %s, is at %s; kubectl get wi shows them all.", first.Name, orText(first.HealthReason, PoolReasonProvisioning))
}

// sentence starts every message of the pool with its figures.
func (v *verdict) sentence(rest string) string {
	figures := []string{fmt.Sprintf("%d of %d ready", v.out.Ready, v.in.Pool.Wanted())}
	for _, figure := range []struct {
		count int
		word  string
	}{
		{v.out.Provisioning, onTheWay(v.out.Provisioning)},
		{v.out.Pending, "waiting"},
		{v.out.Unknown, "of unknown outcome"},
		{v.out.Unhealthy, "unhealthy"},
		{v.out.Claimed, "claimed"},
		{v.out.Terminating, "ending"},
	} {
		if figure.count > 0 {
			figures = append(figures, fmt.Sprintf("%d %s", figure.count, figure.word))
		}
	}
	text := strings.Join(figures, ", ")
	switch {
	case rest == "":
		return text + "."
	case rest[0] >= 'a' && rest[0] <= 'z':
		return text + "; " + rest
	default:
		return text + ". " + rest
	}
}

// onTheWay is the word for instances between their rent and Ready.
func onTheWay(n int) string {
	if n == 1 {
		return "on its way"
	}
	return "on their way"
}

// withinCeilingCondition is about money. Warmpool's own rents never exceed the
// ceiling (I1); events outside can.
func (v *verdict) withinCeilingCondition() PoolCondition {
	pool := &v.in.Pool
	committed, ceiling := perHour(v.out.CommittedUSDPerHour), perHour(pool.CeilingUSDPerHour)
	if v.overBy() == 0 {
		return PoolCondition{PoolWithinCeiling, statusTrue, PoolReasonWithinCeiling, fmt.Sprintf("%s of %s is committed.", committed, ceiling)}
	}
	over := computeExcess(pool, sizeInstances(v.in.Instances), v.in.Now)
	return PoolCondition{PoolWithinCeiling, statusFalse, over.reason, fmt.Sprintf(
		"%s is committed, %s above the ceiling %s: %s. Nothing is rented. %s",
		committed, perHour(v.overBy()), ceiling, over.why, over.action(pool, v.in.Trusted))}
}

// sizeInstances drops what only a verdict looks at.
func sizeInstances(instances []VerdictInstance) []SizeInstance {
	sized := make([]SizeInstance, 0, len(instances))
	for k := range instances {
		sized = append(sized, instances[k].SizeInstance)
	}
	return sized
}

// accountCondition passes the account's Ready condition on.
func (v *verdict) accountCondition() PoolCondition {
	account := &v.in.Account
	switch {
	case !account.Found:
		return PoolCondition{PoolAccountReady, statusFalse, PoolReasonAccountNotFound, fmt.Sprintf(
			"There is no VastAccount %q in this namespace, so nobody pays. Make it, or make a new pool with another spec.accountRef; this one's cannot be changed.", account.Name)}
	case account.Status == statusTrue:
		return PoolCondition{PoolAccountReady, statusTrue, PoolReasonAccountReady, fmt.Sprintf("VastAccount %q can rent.", account.Name)}
	default:
		return PoolCondition{
			PoolAccountReady, orText(account.Status, statusUnknown), orText(account.Reason, PoolReasonAccountNotReady),
			fmt.Sprintf("VastAccount %q is not ready: %s.", account.Name, sentencePart(orText(account.Message, "it has not reported yet"))),
		}
	}
}

// offersCondition is about the last search for the oldest waiting instance.
func (v *verdict) offersCondition() PoolCondition {
	last := v.out.LastAdmission
	switch {
	case len(v.waiting) == 0:
		return PoolCondition{PoolOffersAvailable, statusUnknown, PoolReasonNotSearched, "No instance waits for an offer, so nobody searches."}
	case last == nil:
		return PoolCondition{PoolOffersAvailable, statusUnknown, PoolReasonNotSearched, "An instance waits for an offer, and the offers were not searched yet."}
	case last.Reason == ReasonNoMatchingOffers, last.Reason == ReasonAllAboveCap, last.Reason == ReasonAllBlocked:
		return PoolCondition{PoolOffersAvailable, statusFalse, last.Reason, sentencePart(last.Message) + "."}
	case last.CheapestUSDPerHour > 0:
		return PoolCondition{PoolOffersAvailable, statusTrue, PoolReasonOffersFound, fmt.Sprintf(
			"The last search found %s; the cheapest that matches costs %s.", plural(last.OffersSeen, "offer", "offers"), perHour(last.CheapestUSDPerHour))}
	default:
		return PoolCondition{PoolOffersAvailable, statusUnknown, PoolReasonNotSearched, "The offers were not searched. " + sentencePart(last.Message) + "."}
	}
}

// healthBudgetCondition passes the health budget on.
func (v *verdict) healthBudgetCondition() PoolCondition {
	if v.in.Budget.Suspended {
		return PoolCondition{PoolHealthBudgetOK, statusFalse, PoolReasonRemediationSuspended, v.in.Budget.Message}
	}
	return PoolCondition{PoolHealthBudgetOK, statusTrue, PoolReasonHealthy, orText(v.in.Budget.Message, "No more instances fail than may be replaced.")}
}

// progressConditions are kstatus's. Stalled needs a pool that is not Ready and
// that nothing but a person moves; a pool that is not Ready is always one of the two.
func (v *verdict) progressConditions(ready PoolCondition, o obstacle) (reconciling, stalled PoolCondition) {
	moving, reason := v.isMoving(o)
	if ready.Status != statusTrue && !moving {
		return PoolCondition{PoolReconciling, statusFalse, o.reason, "Nothing goes on: the condition Stalled says what a person can do."},
			PoolCondition{PoolStalled, statusTrue, o.reason, v.sentence(o.message)}
	}
	stalled = PoolCondition{PoolStalled, statusFalse, PoolReasonNotStalled, "Nobody needs to do anything."}
	if moving {
		return PoolCondition{PoolReconciling, statusTrue, reason, v.sentence("")}, stalled
	}
	if v.out.Ready < v.in.Pool.Wanted() {
		// Ready with less than was wished for, and no way to more: said so by
		// FullyProvisioned; kstatus calls that done.
		stalled.Message = "The pool has its minimum (spec.minReadyReplicas); the condition FullyProvisioned says why it has no more."
	}
	return PoolCondition{PoolReconciling, statusFalse, ready.Reason, v.sentence("")}, stalled
}

// isMoving is true while something goes on that may change the figures without
// anybody's help.
func (v *verdict) isMoving(o obstacle) (moving bool, reason string) {
	pool, out := &v.in.Pool, &v.out
	short := out.Ready < pool.Wanted()
	switch {
	case pool.Deleting:
		return true, PoolReasonDeleting
	case out.Provisioning > 0:
		return true, PoolReasonProvisioning
	case short && o.kind == needsSomeone:
		return false, o.reason
	case out.Terminating > 0:
		return true, PoolReasonTerminating
	case out.Unknown > 0:
		return true, ReasonRentOutcomeUnknown
	case short:
		return o.kind == waits, o.reason
	default:
		return out.Replicas > pool.Wanted() && pool.Mode == ModeActive, PoolReasonScalingDown
	}
}
