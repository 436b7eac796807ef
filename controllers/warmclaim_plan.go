package controllers

import (
	"cmp"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/planner"
)

// planClaims decides everything about the claims of one pool. It is pure.
func planClaims(in *claimsInput) planner.ClaimsPlan {
	return planner.ComputeClaims(plannerClaims(in))
}

// waitingClaims is how many instances the claims that wait want on top of the
// pool's replicas.
func waitingClaims(pool *warmpool.WarmPool, account *warmpool.VastAccount, claims []warmpool.WarmClaim, instances []warmpool.WarmInstance, now time.Time) int {
	if len(claims) == 0 {
		return 0
	}
	in := &claimsInput{pool: pool, account: account, claims: claims, instances: instances, now: now}
	return planner.WaitingClaims(plannerClaims(in), int(int32Of(pool.Spec.Replicas)))
}

// plannerClaims converts what was gathered.
func plannerClaims(in *claimsInput) *planner.ClaimsInput {
	converted := &planner.ClaimsInput{Pool: claimPool(in), Now: in.now}
	for k := range in.claims {
		converted.Claims = append(converted.Claims, plannerClaim(&in.claims[k]))
	}
	hash := ""
	if in.pool != nil {
		hash = templateHash(&in.pool.Spec.Template)
	}
	for k := range in.instances {
		instance := claimInstance(&in.instances[k])
		// Hashing costs more than the rest: only for those that may be handed out.
		if instance.Ready && instance.ClaimUID == "" && len(in.claims) > 0 {
			instance.CurrentTemplate = templateHash(&in.instances[k].Spec.Template) == hash
		}
		converted.Instances = append(converted.Instances, instance)
	}
	return converted
}

func claimPool(in *claimsInput) planner.ClaimPool {
	if in.pool == nil {
		return planner.ClaimPool{Name: in.key.Name}
	}
	spec, policy := &in.pool.Spec, &in.pool.Spec.ClaimPolicy
	const maxPending = 100
	converted := planner.ClaimPool{
		Name: in.pool.Name, Found: true, Deleting: !in.pool.DeletionTimestamp.IsZero(),
		EmergencyStop: in.account != nil && in.account.Spec.Mode == warmpool.AccountEmergencyStop,
		Mode:          planner.PoolMode(cmp.Or(spec.Mode, warmpool.PoolActive)), DefaultTTLSeconds: int64(policy.DefaultTTLSeconds), MaxTTLSeconds: int64(policy.MaxTTLSeconds),
		OnRelease: planner.ReleasePolicy(policy.OnRelease), RecycleDeadlineSeconds: int64(policy.RecycleDeadlineSeconds),
		MaxPending: maxPending, GPUNames: spec.Offers.GPUNames, MinGPUMemoryMB: int64Of(spec.Offers.MinGPUMemoryMB),
	}
	if policy.MaxPending != nil {
		converted.MaxPending = int(*policy.MaxPending)
	}
	if full := meta.FindStatusCondition(in.pool.Status.Conditions, warmpool.ConditionFullyProvisioned); full != nil && full.Status != metav1.ConditionTrue {
		converted.Reason, converted.Message = full.Reason, full.Message
	}
	budgets := spendVerdict(&poolInput{pool: in.pool, account: in.account, now: in.now})
	switch action := budgets.Action(); {
	case action.Includes(planner.BudgetTerminateAll):
		converted.EndsAll = budgets.Message()
	case action.Includes(planner.BudgetDrainUnclaimed):
		// What is free is about to be ended; what is handed out would be spared.
		converted.Mode = planner.ModeDrain
	default:
	}
	return converted
}

func plannerClaim(claim *warmpool.WarmClaim) planner.Claim {
	const bindTimeout = 600
	spec := &claim.Spec
	converted := planner.Claim{
		UID: string(claim.UID), Name: claim.Name, CreatedAt: claim.CreationTimestamp.Time,
		Deleting: !claim.DeletionTimestamp.IsZero(), Finished: claim.Status.FinishedTime != nil,
		BoundAt: timeOf(claim.Status.BoundTime), TTLSeconds: int64Of(spec.TTLSeconds),
		BindTimeoutSeconds: int64(cmp.Or(spec.BindTimeoutSeconds, bindTimeout)), OnRelease: planner.ReleasePolicy(spec.OnRelease),
		GPUNames: spec.Requirements.GPUNames, MinGPUMemoryMB: int64(spec.Requirements.MinGPUMemoryMB),
		CurrentTemplate: spec.Requirements.TemplateCurrent == warmpool.TemplateRequired,
	}
	if claim.Status.InstanceRef != nil {
		converted.Told = claim.Status.InstanceRef.Name
	}
	return converted
}

func claimInstance(instance *warmpool.WarmInstance) planner.ClaimInstance {
	converted := planner.ClaimInstance{Instance: plannerInstance(instance), Busy: isBusy(instance)}
	if rental := instance.Status.Rental; rental != nil {
		converted.GPUName, converted.GPUMemoryMB = rental.GPUName, rental.GPUMemoryMB
	}
	if ready := meta.FindStatusCondition(instance.Status.Conditions, warmpool.ConditionReady); ready != nil {
		converted.HealthReason, converted.HealthMessage = ready.Reason, ready.Message
	}
	if holder := instance.Spec.ClaimRef; holder != nil {
		converted.ClaimUID, converted.ClaimName = string(holder.UID), holder.Name
		converted.BoundAt, converted.RecycleAt = timeOf(holder.BoundTime), timeOf(holder.RecycleTime)
		recycle := instance.Status.Recycle
		converted.Recycled = recycle != nil && recycle.ClaimUID == string(holder.UID) && recycle.ProvenTime != nil
	}
	return converted
}
