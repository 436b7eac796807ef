package controllers

import (
	"slices"
	"time"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/fleet"
	"github.com/warmpool-dev/warmpool/internal/planner"
)

// PreviewInput is what a preview of one pool is made from.
type PreviewInput struct {
	// Pool is the pool; Account pays for it, nil when there is none.
	Pool    *warmpool.WarmPool
	Account *warmpool.VastAccount
	// Pools, Instances and Claims are all of the namespace.
	Pools     []warmpool.WarmPool
	Instances []warmpool.WarmInstance
	Claims    []warmpool.WarmClaim
	// Now is the time of the preview.
	Now time.Time
}

// Preview is what the operator would do about a pool at that time.
type Preview struct {
	// Size is which instances it would make and end.
	Size planner.SizePlan
	// MayCreate is false while the account is missing, is not held by its
	// finalizer yet or is being deleted: then nothing is made.
	MayCreate bool
	// Verdict is what the status would say.
	Verdict planner.PoolVerdict
	// Pending is the order in which the waiting instances of all pools of the
	// account would be offered for a rent, and why others are not.
	Pending planner.PendingPlan
}

// PreviewPool computes what the operator would do about a pool, with the
// operator's own decision. It is pure and knows no offers: whether a waiting
// instance is rented depends on the market too. What only the memory of the
// operator's process knows is taken from the status: the last sweep, when it was
// trusted, counts as one of a moment ago.
func PreviewPool(in *PreviewInput) Preview {
	gathered := &poolInput{
		pool: in.Pool, account: in.Account, now: in.Now,
		instances: slices.DeleteFunc(slices.Clone(in.Instances), func(i warmpool.WarmInstance) bool { return i.Spec.PoolRef.Name != in.Pool.Name }),
		claims:    slices.DeleteFunc(slices.Clone(in.Claims), func(c warmpool.WarmClaim) bool { return c.Spec.PoolRef.Name != in.Pool.Name }),
	}
	if in.Account != nil && in.Account.Status.LastSweep != nil {
		gathered.sweptAt = in.Now
	}
	plan := planPool(gathered)
	return Preview{Size: plan.size, MayCreate: mayPay(in.Account), Verdict: plan.verdict, Pending: previewPending(in)}
}

// previewPending ranks what waits for the account of the pool.
func previewPending(in *PreviewInput) planner.PendingPlan {
	if in.Account == nil {
		return planner.PendingPlan{}
	}
	var pools []planner.AdmissionPool
	for k := range in.Pools {
		pool := &in.Pools[k]
		if pool.Spec.AccountRef.Name != in.Account.Name {
			continue
		}
		converted := withBudgets(admissionPool(pool), pool, in.Account, in.Now)
		converted.WaitingClaims = int32(waitingOf(pool, in.Account, in.Claims, in.Instances, in.Now)) //nolint:gosec // at most 2000
		pools = append(pools, converted)
	}
	ofAccount := slices.DeleteFunc(slices.Clone(in.Instances), func(i warmpool.WarmInstance) bool { return i.Spec.AccountRef.Name != in.Account.Name })
	return planner.RankPending(pools, plannerInstances(ofAccount, notInFlight), in.Now)
}

// InstanceCost is what an instance counts in committed cost, in dollars per hour.
func InstanceCost(instance *warmpool.WarmInstance) fleet.USDMicros {
	converted := plannerInstance(instance)
	return planner.Cost(&converted)
}

// SecretsOf names the Secrets whose values the container of an instance was given.
func SecretsOf(instance *warmpool.WarmInstance) []string {
	return append(secretNames(&instance.Spec.Template), passwordSecretOf(instance))
}

// WithoutSecrets replaces every occurrence of the values in a text, as it is
// done with the logs that the operator keeps (I8). Values of fewer than six
// bytes stay: they would only shred the text.
func WithoutSecrets(text string, values []string) string { return withoutSecrets(text, values) }
