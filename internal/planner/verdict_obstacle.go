package planner

import "fmt"

// The reasons of a pool's conditions, beside the Reason… constants.
const (
	// PoolReasonAsDesired: as many instances are ready as wanted.
	PoolReasonAsDesired = "AsDesired"
	// PoolReasonMinimumSatisfied: not as many as wanted, but minReadyReplicas.
	PoolReasonMinimumSatisfied = "MinimumSatisfied"
	// PoolReasonProvisioning: instances are on their way.
	PoolReasonProvisioning = "Provisioning"
	// PoolReasonUnhealthy: instances that were ready do not answer properly.
	PoolReasonUnhealthy = "InstancesUnhealthy"
	// PoolReasonScalingDown: more instances exist than wanted.
	PoolReasonScalingDown = "ScalingDown"
	// PoolReasonTerminating: rentals are being ended.
	PoolReasonTerminating = "Terminating"
	// PoolReasonDeleting: the pool is being deleted.
	PoolReasonDeleting = "Deleting"
	// PoolReasonTemplateFailing: the same fault struck two machines.
	PoolReasonTemplateFailing = "TemplateFailing"
	// PoolReasonAccountNotFound: spec.accountRef names nothing.
	PoolReasonAccountNotFound = "AccountNotFound"
	// PoolReasonAccountNotReady: the account cannot rent and does not say why.
	PoolReasonAccountNotReady = "AccountNotReady"
	// PoolReasonSecretNotFound, PoolReasonInvalidUserKey and PoolReasonPermissionMissing come from the account.
	PoolReasonSecretNotFound    = "SecretNotFound"
	PoolReasonInvalidUserKey    = "InvalidUserKey"
	PoolReasonPermissionMissing = "PermissionMissing"
	// PoolReasonEnvSecretMissing: a Secret or ConfigMap that the template refers to is not there.
	PoolReasonEnvSecretMissing = "EnvSecretMissing"
	// PoolReasonWithinCeiling: committed cost does not exceed the ceiling.
	PoolReasonWithinCeiling = "WithinCeiling"
	// PoolReasonPriceRaised: a host raised its price.
	PoolReasonPriceRaised = "PriceRaisedByHost"
	// PoolReasonCeilingLowered: the ceiling is lower than what was committed before.
	PoolReasonCeilingLowered = "CeilingLowered"
	// PoolReasonUnknownReserved: the price of an unknown rent is reserved.
	PoolReasonUnknownReserved = "UnknownRentReserved"
	// PoolReasonWithinBudget: no budget is used up; PoolReasonNoBudget: there is none.
	PoolReasonWithinBudget = "WithinBudget"
	PoolReasonNoBudget     = "NoBudget"
	// PoolReasonDayBudgetExhausted, PoolReasonWeekBudgetExhausted and
	// PoolReasonMonthBudgetExhausted: a budget is used up.
	PoolReasonDayBudgetExhausted   = "DayBudgetExhausted"
	PoolReasonWeekBudgetExhausted  = "WeekBudgetExhausted"
	PoolReasonMonthBudgetExhausted = "MonthBudgetExhausted"
	// PoolReasonAccountReady: the account can rent.
	PoolReasonAccountReady = "AccountReady"
	// PoolReasonOffersFound: the last search had an offer that passes every filter.
	PoolReasonOffersFound = "OffersFound"
	// PoolReasonNotSearched: nothing waits, so nothing was searched.
	PoolReasonNotSearched = "NotSearched"
	// PoolReasonHealthy: no more than maxUnhealthy fail.
	PoolReasonHealthy = "WithinHealthBudget"
	// PoolReasonRemediationSuspended: too many fail at once; nothing is ended for its health.
	PoolReasonRemediationSuspended = "RemediationSuspended"
	// PoolReasonNotStalled: nobody needs to do anything.
	PoolReasonNotStalled = "NotStalled"
)

// obstacleKind says what can take an obstacle away.
type obstacleKind int

const (
	// waits: time, the provider or the controllers.
	waits obstacleKind = iota
	// needsRoom: a rental that ends, or else a person.
	needsRoom
	// needsSomeone: a person, whatever else goes on.
	needsSomeone
)

// obstacle is what keeps the pool from having more ready instances.
type obstacle struct {
	reason, message string
	kind            obstacleKind
}

// findObstacle returns the first thing that stands in the way, from the
// outermost inwards: what a person asked for, the account, failures, the answer
// to the oldest waiting instance, and last the mere time it takes.
func (v *verdict) findObstacle() obstacle {
	for _, find := range []func() *obstacle{
		v.lifecycleObstacle, v.modeObstacle, v.accountObstacle, v.drainObstacle, v.budgetObstacle, v.failureObstacle, v.admissionObstacle, v.roomObstacle,
	} {
		if found := find(); found != nil {
			return *found
		}
	}
	switch {
	case v.out.Unknown > 0:
		return obstacle{ReasonRentOutcomeUnknown, v.unknownMessage(), waits}
	case v.out.Provisioning == 0 && v.out.Pending == 0 && len(v.unhealthy) > 0:
		first := v.unhealthy[0]
		return obstacle{PoolReasonUnhealthy, fmt.Sprintf(
			"%s: %s: %s.", first.Name, orText(first.HealthReason, PoolReasonUnhealthy), sentencePart(first.HealthMessage)), waits}
	default:
		return obstacle{PoolReasonProvisioning, v.nextToCome(), waits}
	}
}

// unknownMessage explains rents whose answer was lost (I2).
func (v *verdict) unknownMessage() string {
	return fmt.Sprintf("It is not known yet whether %s, because Vast.ai's answer was lost; the price stays reserved until the list of instances has settled it.",
		plural(v.out.Unknown, "rent succeeded", "rents succeeded"))
}

// lifecycleObstacle is about the end of everything.
func (v *verdict) lifecycleObstacle() *obstacle {
	switch {
	case v.in.Pool.Deleting:
		return &obstacle{PoolReasonDeleting, fmt.Sprintf("The pool is being deleted; %s to be confirmed gone.%s",
			plural(v.out.Total, "instance remains", "instances remain"), v.accountTrouble()), waits}
	case v.in.Pool.EmergencyStop:
		return &obstacle{ReasonEmergencyStop, "The VastAccount's spec.mode is EmergencyStop: everything is ended, claimed instances too. Set it to Active to rent again.", v.endingKind()}
	default:
		return nil
	}
}

// endingKind is for obstacles under which instances are ended first, and a
// person is needed afterwards.
func (v *verdict) endingKind() obstacleKind {
	if v.out.Replicas > 0 || v.out.Terminating > 0 {
		return waits
	}
	return needsSomeone
}

// modeObstacle is about what a person asked for.
func (v *verdict) modeObstacle() *obstacle {
	if v.in.Pool.Mode == ModePaused {
		return &obstacle{ReasonPaused, "The pool's spec.mode is Paused: nothing is rented, and nothing is ended for its size or health. Set it to Active to resume.", needsSomeone}
	}
	return nil
}

// accountObstacle is about the account.
func (v *verdict) accountObstacle() *obstacle {
	condition := v.accountCondition()
	if condition.Status == statusTrue {
		return nil
	}
	kind := waits
	if NeedsSomeone(condition.Reason) {
		kind = needsSomeone
	}
	return &obstacle{condition.Reason, condition.Message, kind}
}

// accountTrouble adds the account's words to another message.
func (v *verdict) accountTrouble() string {
	if condition := v.accountCondition(); condition.Status != statusTrue {
		return " They cannot be ended now: " + condition.Message
	}
	return ""
}

// drainObstacle is about mode Drain.
func (v *verdict) drainObstacle() *obstacle {
	if v.in.Pool.Mode != ModeDrain {
		return nil
	}
	return &obstacle{ReasonDraining, "The pool's spec.mode is Drain: nothing is rented, and everything that is not claimed is ended. Set it to Active to resume.", v.endingKind()}
}

// budgetObstacle is about a budget that is used up. Time gives it back, but
// nobody should wait for a month without being told.
func (v *verdict) budgetObstacle() *obstacle {
	budgets := &v.in.Pool.Budgets
	switch action := budgets.Action(); {
	case action.Includes(BudgetDrainUnclaimed):
		return &obstacle{ReasonBudgetExhausted, budgets.Message(), v.endingKind()}
	case action.Includes(BudgetStopRenting):
		return &obstacle{ReasonBudgetExhausted, budgets.Message(), needsRoom}
	default:
		return nil
	}
}

// failureObstacle is about what went wrong lately.
func (v *verdict) failureObstacle() *obstacle {
	switch backoff := &v.in.Backoff; {
	case backoff.TemplateFailing:
		return &obstacle{PoolReasonTemplateFailing, backoff.Message, needsSomeone}
	case v.in.Budget.Suspended:
		return &obstacle{ReasonHealthSuspended, v.in.Budget.Message, needsSomeone}
	case backoff.Waiting:
		return &obstacle{ReasonBackingOff, backoff.Message, waits}
	default:
		return nil
	}
}

// admissionObstacle is the answer to the oldest waiting instance.
func (v *verdict) admissionObstacle() *obstacle {
	last := v.out.LastAdmission
	if v.in.Pool.Mode == ModeDryRun {
		message := "The pool's spec.mode is DryRun: it decides and reports, and rents and ends nothing. Set it to Active to rent."
		if last != nil {
			message += " Next decision: " + sentencePart(last.Message) + "."
		}
		return &obstacle{ReasonDryRun, message, needsSomeone}
	}
	if last == nil || last.Reason == "" || last.Decision == DecisionAdmitted {
		return nil
	}
	return &obstacle{last.Reason, v.admissionMessage(last), admissionKind(last.Reason)}
}

// admissionMessage explains a ceiling in figures, and passes everything else on.
func (v *verdict) admissionMessage(last *Admission) string {
	if last.NeededUSDPerHour > 0 {
		switch last.Reason {
		case ReasonCostCeilingReached:
			return fmt.Sprintf("the next instance needs %s, the price of the cheapest offer that matches, and %s is left under the pool's ceiling of %s. Raise spec.cost.ceilingUSDPerHour, lower spec.replicas, or widen spec.offers.",
				perHour(last.NeededUSDPerHour), perHour(max(v.out.HeadroomUSDPerHour, 0)), perHour(v.in.Pool.CeilingUSDPerHour))
		case ReasonAccountCeilingReached:
			return fmt.Sprintf("the next instance needs %s, the price of the cheapest offer that matches, and %s is left under the ceiling of VastAccount %q. Raise its spec.ceilingUSDPerHour, or end something else in the account.",
				perHour(last.NeededUSDPerHour), perHour(last.HeadroomUSDPerHour), v.in.Account.Name)
		default:
		}
	}
	return sentencePart(last.Message) + "."
}

// roomObstacle is about maxReplicas: where there is no room, nothing even waits.
func (v *verdict) roomObstacle() *obstacle {
	pool := &v.in.Pool
	if pool.MaxReplicas == 0 || v.out.Total < pool.MaxReplicas || v.out.Replicas >= pool.Wanted() {
		return nil
	}
	return &obstacle{ReasonMaxReplicasReached, fmt.Sprintf(
		"%d of at most %d instances exist, claimed and ending ones included. Raise spec.maxReplicas, or wait until one has ended.", v.out.Total, pool.MaxReplicas), needsRoom}
}

// admissionKind says what can take a deferral away.
func admissionKind(reason string) obstacleKind {
	switch reason {
	case ReasonCostCeilingReached, ReasonAccountCeilingReached, ReasonMaxReplicasReached, ReasonBudgetExhausted:
		return needsRoom
	default:
		if NeedsSomeone(reason) {
			return needsSomeone
		}
		return waits
	}
}

// NeedsSomeone is true for reasons that only a person can mend. Offers that do
// not match are among them: the market may change, but nobody should wait for
// it without being told.
func NeedsSomeone(reason string) bool {
	switch reason {
	case PoolReasonAccountNotFound, PoolReasonSecretNotFound, PoolReasonInvalidUserKey, PoolReasonPermissionMissing, ReasonCredentialsInvalid,
		ReasonAccountIdentityChanged, ReasonAccountFrozen, ReasonEmergencyStop, ReasonAPIDeprecated, ReasonBalanceLow,
		PoolReasonEnvSecretMissing, ReasonNoMatchingOffers, ReasonAllAboveCap, ReasonUnrecordedRental,
		ReasonDuplicateInstallation, ReasonSharedUser, ReasonBudgetZoneUnknown:
		return true
	default:
		return false
	}
}

// orText replaces an empty text.
func orText(text, other string) string {
	if text == "" {
		return other
	}
	return text
}
