package controllers

import (
	"context"
	"slices"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/log"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/fleet"
	"github.com/warmpool-dev/warmpool/internal/planner"
)

const (
	// searchFresh is how long one search serves rents. Searches are limited to
	// ten a minute and rents come every 4.5 s, so one answer must serve several;
	// prices of offers change about once in hours, not in seconds.
	searchFresh = 20 * time.Second
	// searchIdle is how long the answer serves while it admits nothing.
	searchIdle = 45 * time.Second
	// searchForgotten is when an answer is dropped.
	searchForgotten = 10 * time.Minute
)

// admit finds offers for a candidate and decides. When no offer matches, it
// searches once more for the GPUs alone, so that the answer can say which
// filter turns the market away; nothing is ever rented from that second answer,
// whose prices are not for the disk that is wanted.
func (r *VastAccountReconciler) admit(ctx context.Context, in *rentInput, candidate *planner.Candidate) planner.Admission {
	answer := r.searchOnce(ctx, in, candidate.Pool.Query)
	if answer.err == nil && len(answer.offers) > 0 {
		return planner.Admit(candidate, answer.offers, &in.state)
	}
	if answer.err == nil {
		answer = r.searchOnce(ctx, in, broadQuery(&candidate.Pool.Query))
	}
	if answer.err != nil {
		return planner.Admission{
			Decision: planner.DecisionDeferred, Reason: searchReason(answer.err),
			Message: "The offers could not be searched; it is tried again. " + answer.err.Error(),
		}
	}
	explained := planner.Admit(candidate, answer.offers, &in.state)
	if explained.Decision != planner.DecisionDeferred {
		return planner.Admission{
			Decision: planner.DecisionDeferred, Reason: planner.ReasonNoMatchingOffers, OffersSeen: explained.OffersSeen,
			Message: "No offer matches at this moment. The search is repeated.",
		}
	}
	return explained
}

// broadQuery keeps what tells GPUs apart and drops every other filter.
func broadQuery(query *fleet.OfferQuery) fleet.OfferQuery {
	const smallestDiskGB = 8
	return fleet.OfferQuery{GPUNames: query.GPUNames, DiskGB: smallestDiskGB, Order: fleet.OrderPrice}
}

// searchOnce answers from memory while that is fresh.
func (r *VastAccountReconciler) searchOnce(ctx context.Context, in *rentInput, query fleet.OfferQuery) searchAnswer {
	key := query.Key()
	now := r.Clock.Now()
	if answer, found := in.session.search(key); found {
		age := now.Sub(answer.at)
		if age >= 0 && (age < searchFresh || (age < searchIdle && !answer.served)) {
			return answer
		}
	}
	offers, err := in.link.provider.SearchOffers(ctx, query)
	answer := searchAnswer{offers: offers, err: err, at: r.Clock.Now()}
	if err != nil {
		log.FromContext(ctx).V(1).Info("Searching offers failed", "error", err.Error())
	}
	in.session.rememberSearch(key, answer)
	return answer
}

// offer finds an offer in the answers of this pass.
func (in *rentInput) offer(id int64) *fleet.Offer {
	in.session.mu.Lock()
	defer in.session.mu.Unlock()
	for _, answer := range in.session.searches {
		if at := slices.IndexFunc(answer.offers, func(o fleet.Offer) bool { return o.ID == id }); at >= 0 {
			found := answer.offers[at]
			return &found
		}
	}
	return nil
}

// searchReason names a failed search.
func searchReason(err error) string {
	switch fleet.KindOf(err) {
	case fleet.KindUnauthorized, fleet.KindForbidden:
		return planner.ReasonCredentialsInvalid
	case fleet.KindRateLimited:
		return planner.ReasonRateLimited
	case fleet.KindDeprecated:
		return planner.ReasonAPIDeprecated
	case fleet.KindInvalidResponse:
		return planner.ReasonInvalidResponse
	case fleet.KindInvalidRequest:
		return reasonSearchRefused
	default:
		return planner.ReasonProviderUnreachable
	}
}

// admissionPool converts a pool for the decision who may rent.
func admissionPool(pool *warmpool.WarmPool) planner.AdmissionPool {
	template := effectiveTemplate(pool.Spec.Template)
	return planner.AdmissionPool{
		Key:  poolKey(pool.Namespace, pool.Name),
		Mode: planner.PoolMode(pool.Spec.Mode), Deleting: !pool.DeletionTimestamp.IsZero(),
		Replicas: int32Of(pool.Spec.Replicas), MinReadyReplicas: minReady(pool), MaxReplicas: int32Of(pool.Spec.MaxReplicas),
		CeilingUSDPerHour:     usdOf(string(pool.Spec.Cost.CeilingUSDPerHour)),
		MaxInstanceUSDPerHour: usdOf(string(pool.Spec.Cost.MaxInstanceUSDPerHour)),
		NextAttemptAt:         timeOf(pool.Status.Failures.NextAttemptTime),
		HealthSuspended:       isConditionFalse(pool.Status.Conditions, warmpool.ConditionHealthBudgetOK),
		Query:                 offerQuery(&pool.Spec.Offers, template.DiskGB),
		Ranking:               planner.Ranking(pool.Spec.Offers.Ranking),
		DatacenterPreferred:   pool.Spec.Offers.DatacenterOnly == warmpool.DatacenterPreferred,
	}
}

// minReady is the floor of a pool; by default all replicas.
func minReady(pool *warmpool.WarmPool) int32 {
	if pool.Spec.MinReadyReplicas != nil {
		return *pool.Spec.MinReadyReplicas
	}
	return int32Of(pool.Spec.Replicas)
}

func int32Of(value *int32) int32 {
	if value == nil {
		return 0
	}
	return *value
}

// plannerBlocked converts the blocked machines of an account.
func plannerBlocked(blocked []warmpool.BlockedMachine) []planner.BlockedMachine {
	converted := make([]planner.BlockedMachine, 0, len(blocked))
	for _, machine := range blocked {
		converted = append(converted, planner.BlockedMachine{
			MachineID: machine.MachineID, Until: machine.Until.Time, Strikes: machine.Failures,
			Reason: machine.Reason, LastFailureAt: machine.LastFailureTime.Time,
		})
	}
	return converted
}
