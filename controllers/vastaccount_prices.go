package controllers

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/log"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/fleet"
	"github.com/warmpool-dev/warmpool/internal/planner"
)

// increasesPeriod is how often hosts' proposals for higher prices are read. They
// concern the time after a contract ends, so minutes do not matter.
const increasesPeriod = 10 * time.Minute

// Reasons of the conditions PriceAcceptable and RentalSecure.
const (
	reasonAsQuoted             = "AsQuoted"
	reasonPriceIncreasePending = "PriceIncreasePending"
	reasonContractRuns         = "ContractRuns"
)

// pollIncreases reads the proposals now and then. It comes last in a sweep, and
// an answer that does not come leaves what was known.
func (r *VastAccountReconciler) pollIncreases(ctx context.Context, in *sweepInput) {
	now := r.Clock.Now()
	if last := in.session.increasesAt; !last.IsZero() && now.Sub(last) < increasesPeriod && !now.Before(last) {
		return
	}
	in.session.increasesAt = now
	increases, err := in.link.provider.PendingPriceIncreases(ctx)
	if err != nil {
		log.FromContext(ctx).V(1).Info("Reading pending price increases failed", "error", err.Error())
		return
	}
	byRental := map[int64]fleet.PriceIncrease{}
	for _, increase := range increases {
		byRental[increase.RentalID] = increase
	}
	in.session.increases = byRental
}

// judgePrice says of a rented instance whether it costs what its offer said and
// how long its contract lasts, and returns what is worth an event.
func judgePrice(before, after *warmpool.WarmInstance, increases map[int64]fleet.PriceIncrease, now metav1.Time) []note {
	if after.Status.Rental == nil || after.Status.Price.ObservedTime == nil || !after.DeletionTimestamp.IsZero() {
		return nil
	}
	conditions := conditionsAt(&after.Status.Conditions, now)
	price := priceAnswer(after, increases)
	conditions.set(price.kind, statusOf(price.ok), price.reason, price.message)
	secure := contractAnswer(after, now.Time)
	conditions.set(secure.kind, statusOf(secure.ok), secure.reason, secure.message)
	var notes []note
	for _, answer := range []condition{price, secure} {
		was := meta.FindStatusCondition(before.Status.Conditions, answer.kind)
		if !answer.ok && (was == nil || was.Reason != answer.reason || dearerThanTold(before, after, answer.reason)) {
			notes = append(notes, note{warning: true, reason: answer.reason, message: answer.message})
		}
	}
	return notes
}

// dearerThanTold is true when a price that was told already rose by as much again.
func dearerThanTold(before, after *warmpool.WarmInstance, reason string) bool {
	was, is := usdOf(string(before.Status.Price.CurrentUSDPerHour)), usdOf(string(after.Status.Price.CurrentUSDPerHour))
	return reason == planner.PoolReasonPriceRaised && was > 0 && is > was+was/20
}

// priceAnswer is the condition PriceAcceptable.
func priceAnswer(instance *warmpool.WarmInstance, increases map[int64]fleet.PriceIncrease) condition {
	planned := plannerInstance(instance)
	price, quoted, rose := planned.PriceRose()
	if rose {
		return condition{warmpool.ConditionPriceAcceptable, false, planner.PoolReasonPriceRaised, fmt.Sprintf(
			"The rental costs $%s/h, its offer said $%s/h: the host raised the price. It counts with what it costs now; above spec.cost.maxInstanceUSDPerHour of the pool, or above the ceiling, it is replaced unless it is claimed.", price, quoted)}
	}
	if increase, pending := increases[instance.Status.Rental.ID]; pending {
		return condition{warmpool.ConditionPriceAcceptable, false, reasonPriceIncreasePending, fmt.Sprintf(
			"The host wants $%s/h for the GPU instead of $%s/h when the contract ends. Warmpool does not accept it: the price stays as it is until then, and the instance is replaced before, if the ceiling has room for both. Whoever accepts it at Vast.ai changes what the instance counts.",
			increase.NewGPUUSDPerHour, increase.OldGPUUSDPerHour)}
	}
	return condition{warmpool.ConditionPriceAcceptable, true, reasonAsQuoted, fmt.Sprintf("The rental costs $%s/h, its offer said $%s/h.", price, quoted)}
}

// contractAnswer is the condition RentalSecure.
func contractAnswer(instance *warmpool.WarmInstance, now time.Time) condition {
	ends := instance.Status.Rental.EndTime
	planned := plannerInstance(instance)
	switch {
	case ends == nil:
		return condition{warmpool.ConditionRentalSecure, true, reasonContractRuns, "Vast.ai names no end of the contract."}
	case !planned.EndsSoon(now):
		return condition{warmpool.ConditionRentalSecure, true, reasonContractRuns, fmt.Sprintf("The contract runs until %s.", ends.UTC().Format(time.RFC3339))}
	case planned.Claimed:
		return condition{warmpool.ConditionRentalSecure, false, planner.VictimRentalEnding, fmt.Sprintf(
			"The contract ends at %s, and with it the rental. It is claimed, so nothing is done about it: move the work to another instance before.", ends.UTC().Format(time.RFC3339))}
	default:
		return condition{warmpool.ConditionRentalSecure, false, planner.VictimRentalEnding, fmt.Sprintf(
			"The contract ends at %s, and with it the rental. A replacement is rented before that, when the ceilings and spec.maxReplicas have room for both; otherwise after it.", ends.UTC().Format(time.RFC3339))}
	}
}

// statusOf turns an answer into the status of a condition.
func statusOf(ok bool) metav1.ConditionStatus {
	if ok {
		return metav1.ConditionTrue
	}
	return metav1.ConditionFalse
}
