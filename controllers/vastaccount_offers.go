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
	// searchInterval is the least time between two searches. Source: "10 per minute per IP".
	searchInterval = 6 * time.Second
	// searchForgotten is when an answer is dropped.
	searchForgotten = 10 * time.Minute
)

// admit finds offers for a candidate and decides. It returns false when it
// would have to search and this pass has searched already.
//
// When no offer matches, it searches once more for the GPUs alone, so that the
// answer can say which filter turns the market away; nothing is ever rented
// from that second answer, whose prices are not for the disk that is wanted.
func (r *VastAccountReconciler) admit(ctx context.Context, in *rentInput, candidate *planner.Candidate) (planner.Admission, bool) {
	answer, known := r.offersFor(ctx, in, candidate.Pool.Query)
	if known && answer.err == nil && len(answer.offers) > 0 {
		admission := planner.Admit(candidate, answer.offers, &in.state)
		//warmpool:gate rent-at-a-fresh-price
		if admission.Decision != planner.DecisionAdmitted || r.Clock.Since(answer.at) < searchFresh {
			return admission, true
		}
		// An old answer may say why not, but never what to rent.
		in.session.forgetSearch(candidate.Pool.Query.Key())
		return r.admit(ctx, in, candidate)
	}
	if known && answer.err == nil {
		answer, known = r.offersFor(ctx, in, broadQuery(&candidate.Pool.Query))
	}
	if !known {
		return planner.Admission{}, false
	}
	if answer.err != nil {
		return planner.Admission{
			Decision: planner.DecisionDeferred, Reason: searchReason(answer.err),
			Message: "The offers could not be searched; it is tried again. " + answer.err.Error(),
		}, true
	}
	explained := planner.Admit(candidate, answer.offers, &in.state)
	//warmpool:gate rent-for-the-right-disk
	if explained.Decision != planner.DecisionDeferred {
		return planner.Admission{
			Decision: planner.DecisionDeferred, Reason: planner.ReasonNoMatchingOffers, OffersSeen: explained.OffersSeen,
			Message: "The search finds nothing, although offers pass every filter that Warmpool can check by itself. It is repeated; if this lasts, look at spec.offers.extra and spec.template.diskGB.",
		}, true
	}
	return explained, true
}

// broadQuery keeps what tells GPUs apart and drops every other filter.
func broadQuery(query *fleet.OfferQuery) fleet.OfferQuery {
	const smallestDiskGB = 8
	return fleet.OfferQuery{GPUNames: query.GPUNames, DiskGB: smallestDiskGB, Order: fleet.OrderPrice}
}

// offersFor answers from memory while that is fresh, and searches otherwise,
// once in a pass. It returns false when it may not search again.
func (r *VastAccountReconciler) offersFor(ctx context.Context, in *rentInput, query fleet.OfferQuery) (searchAnswer, bool) {
	key := query.Key()
	if answer, found := in.session.search(key); found && in.isFresh(&answer, r.Clock.Now()) {
		return answer, true
	}
	if in.searched {
		return searchAnswer{}, false
	}
	in.searched = true
	offers, err := in.link.provider.SearchOffers(ctx, query)
	answer := searchAnswer{offers: offers, err: err, at: r.Clock.Now()}
	if err != nil {
		log.FromContext(ctx).V(1).Info("Searching offers failed", "error", err.Error())
	}
	in.session.rememberSearch(key, answer)
	return answer, true
}

// isFresh says whether an answer still serves. One that admits nothing serves
// longer, and the longer the more pools there are: every one must get its turn
// at ten searches a minute.
func (in *rentInput) isFresh(answer *searchAnswer, now time.Time) bool {
	age := now.Sub(answer.at)
	if age < 0 || answer.served {
		return age >= 0 && age < searchFresh
	}
	return age < max(searchIdle, time.Duration(2*len(in.pools))*searchInterval)
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
		OneAtATime:            pool.Status.Failures.Consecutive > 0,
		FailedOn:              failedOn(&pool.Status.Failures),
		HealthSuspended:       isConditionFalse(pool.Status.Conditions, warmpool.ConditionHealthBudgetOK),
		Query:                 offerQuery(&pool.Spec.Offers, template.DiskGB),
		Ranking:               planner.Ranking(pool.Spec.Offers.Ranking),
		DatacenterPreferred:   pool.Spec.Offers.DatacenterOnly == warmpool.DatacenterPreferred,
	}
}

// failedOn collects the machines of the failures in a row, newest first in the
// status; those before the last success are not among them.
func failedOn(failures *warmpool.PoolFailures) map[int64]bool {
	machines := map[int64]bool{}
	for _, failure := range failures.Recent[:min(len(failures.Recent), int(failures.Consecutive))] {
		if failure.MachineID != 0 {
			machines[failure.MachineID] = true
		}
	}
	return machines
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
