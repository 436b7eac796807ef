package controllers

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/fleet"
	"github.com/warmpool-dev/warmpool/internal/planner"
)

// cheapestFresh is how long the price of the cheapest offer is good for sizing.
const cheapestFresh = 10 * time.Minute

// planPool decides everything about one pool. It is pure.
func planPool(in *poolInput) poolPlan {
	verdictInstances := verdictInstances(in.instances)
	sizeInstances := make([]planner.SizeInstance, 0, len(verdictInstances))
	var plan poolPlan
	plan.failures = plannerFailures(in.pool.Status.Failures.Recent)
	var ready []planner.Success
	for k := range verdictInstances {
		instance := &verdictInstances[k]
		sizeInstances = append(sizeInstances, instance.SizeInstance)
		if instance.Failed {
			// Only here: hashing every template of every instance would cost more than the rest.
			instance.TemplateHash = templateHash(&in.instances[k].Spec.Template)
			plan.failures = planner.RecordFailures(plan.failures, poolFailure(&instance.Instance))
		}
		if instance.Ready && !instance.Failed {
			ready = append(ready, planner.Success{InstanceUID: instance.UID, At: instance.ReadyAt})
		}
	}
	remembered := &in.pool.Status.Failures
	plan.success = planner.NewestSuccess(planner.Success{InstanceUID: remembered.LastSuccessUID, At: timeOf(remembered.LastSuccessTime)}, ready, plan.failures)
	backoff := in.pool.Spec.Remediation.Backoff
	plan.backoff = planner.ComputeBackoff(&planner.BackoffInput{
		Failures: correctFailures(plan.failures, &in.steps), LastSuccess: in.steps.Correct(plan.success.At), ReadyNow: len(ready), TemplateHash: templateHash(&in.pool.Spec.Template),
		Policy: planner.BackoffPolicy{
			InitialSeconds: int64(backoff.InitialSeconds), MaxSeconds: int64(backoff.MaxSeconds), ResetAfterSeconds: int64(backoff.ResetAfterSeconds),
		},
		Now: in.now,
	})
	pool := sizePool(in)
	plan.verdict = planner.ComputePoolVerdict(&planner.PoolVerdictInput{
		Pool: pool, Instances: verdictInstances, Account: verdictAccount(in),
		Backoff: plan.backoff, Budget: healthBudget(in.instances, in.pool), Trusted: accountTrusted(in), Now: in.now,
	})
	plan.size = planner.ComputeSize(&planner.SizeInput{
		Pool: pool, Instances: sizeInstances, Trusted: accountTrusted(in),
		HeadroomUSDPerHour: sizeHeadroom(in, plan.verdict.HeadroomUSDPerHour), CheapestUSDPerHour: cheapestOffer(in), Now: in.now,
	})
	return plan
}

// correctFailures returns the failures with the times that the present clock would
// have given them: setting it forward must not end a pause.
func correctFailures(failures []planner.PoolFailure, steps *planner.ClockSteps) []planner.PoolFailure {
	corrected := slices.Clone(failures)
	for k := range corrected {
		corrected[k].At = steps.Correct(corrected[k].At)
	}
	return corrected
}

// sayWhyNot puts an error of the cluster where people look: the pool cannot
// make or delete its instances.
func (p *poolPlan) sayWhyNot(err error) {
	for k := range p.verdict.Conditions {
		if answer := &p.verdict.Conditions[k]; answer.Type == warmpool.ConditionFullyProvisioned && answer.Status != "True" {
			answer.Reason, answer.Message = reasonClusterRefuses, "The cluster refuses to make or delete an instance of the pool; it is tried again. "+err.Error()
		}
	}
}

func sizePool(in *poolInput) planner.SizePool {
	spec := &in.pool.Spec
	return planner.SizePool{
		Replicas: int(int32Of(spec.Replicas)), MinReadyReplicas: int(minReady(in.pool)), MaxReplicas: int(int32Of(spec.MaxReplicas)),
		Mode: planner.PoolMode(spec.Mode), Deleting: !in.pool.DeletionTimestamp.IsZero(),
		EmergencyStop:     in.account != nil && in.account.Spec.Mode == warmpool.AccountEmergencyStop,
		WaitingClaims:     waitingClaims(in.pool, in.account, in.claims, in.instances, in.now),
		ScaleDownOrder:    planner.ScaleDownOrder(spec.ScaleDown.Order),
		CeilingUSDPerHour: usdOf(string(spec.Cost.CeilingUSDPerHour)), MaxInstanceUSDPerHour: usdOf(string(spec.Cost.MaxInstanceUSDPerHour)),
		OverCeiling: planner.OverCeilingPolicy(spec.Cost.OverCeilingPolicy),
		Budgets:     spendVerdict(in),
	}
}

func verdictInstances(instances []warmpool.WarmInstance) []planner.VerdictInstance {
	converted := make([]planner.VerdictInstance, 0, len(instances))
	for k := range instances {
		instance := &instances[k]
		verdict := planner.VerdictInstance{
			SizeInstance: planner.SizeInstance{Instance: plannerInstance(instance), WasReady: instance.Status.ReadyTime != nil, Busy: isBusy(instance)},
			Admission:    verdictAdmission(string(instance.UID), instance.Status.LastAdmission),
		}
		if ready := meta.FindStatusCondition(instance.Status.Conditions, warmpool.ConditionReady); ready != nil {
			verdict.HealthReason, verdict.HealthMessage = ready.Reason, ready.Message
		}
		converted = append(converted, verdict)
	}
	return converted
}

// isBusy is true while prompts are queued or running, as far as is known.
func isBusy(instance *warmpool.WarmInstance) bool {
	ready := meta.FindStatusCondition(instance.Status.Conditions, warmpool.ConditionReady)
	return ready != nil && ready.Reason == string(planner.StageBusy)
}

func verdictAdmission(uid string, admission *warmpool.Admission) *planner.Admission {
	if admission == nil {
		return nil
	}
	converted := &planner.Admission{
		UID: uid, Decision: planner.Decision(admission.Decision), Reason: admission.Reason, Message: admission.Message,
		NeededUSDPerHour: usdOf(string(admission.NeededUSDPerHour)), HeadroomUSDPerHour: usdOf(string(admission.HeadroomUSDPerHour)),
		CheapestUSDPerHour: usdOf(string(admission.CheapestOfferUSDPerHour)), OffersSeen: int(admission.OffersSeen),
	}
	for _, rejected := range admission.RejectedBy {
		converted.RejectedBy = append(converted.RejectedBy, planner.RejectionCount{Filter: planner.OfferFilter(rejected.Reason), Count: int(rejected.Count)})
	}
	return converted
}

func verdictAccount(in *poolInput) planner.VerdictAccount {
	answer := planner.VerdictAccount{Name: in.pool.Spec.AccountRef.Name}
	if in.account == nil {
		return answer
	}
	answer.Found = true
	if ready := meta.FindStatusCondition(in.account.Status.Conditions, warmpool.ConditionReady); ready != nil {
		answer.Status, answer.Reason, answer.Message = string(ready.Status), ready.Reason, ready.Message
	}
	return answer
}

// accountTrusted is true after a trusted sweep that is not too old (I5).
func accountTrusted(in *poolInput) bool { return isTrusted(in.account, in.sweptAt, in.now) }

// isTrusted is true when this process has read the account in good order, and
// not too long ago.
func isTrusted(account *warmpool.VastAccount, sweptAt, now time.Time) bool {
	//warmpool:gate scale-down-trusted-list
	if account == nil || account.Status.LastSweep == nil || !account.Status.LastSweep.Trusted || sweptAt.IsZero() {
		// What an earlier process saw is not enough: it may have been long ago by now.
		return false
	}
	age := now.Sub(sweptAt)
	const slack = time.Minute
	//warmpool:gate scale-down-fresh-list
	//warmpool:gate scale-down-clock-set-back
	return age >= -time.Second && age <= 2*pollPeriod(account)+slack
}

// sizeHeadroom is the smaller of the pool's and the account's headroom.
func sizeHeadroom(in *poolInput, pool fleet.USDMicros) fleet.USDMicros {
	if in.account == nil {
		return 0
	}
	return min(pool, usdOf(string(in.account.Spec.CeilingUSDPerHour))-usdOf(string(in.account.Status.CommittedUSDPerHour)))
}

// cheapestOffer is the price of the cheapest offer as the newest admission of
// an instance of the pool saw it; 0 when nobody looked lately.
func cheapestOffer(in *poolInput) fleet.USDMicros {
	var newest *warmpool.Admission
	for k := range in.instances {
		admission := in.instances[k].Status.LastAdmission
		if admission != nil && admission.CheapestOfferUSDPerHour != "" && (newest == nil || newest.Time.Before(&admission.Time)) {
			newest = admission
		}
	}
	if newest == nil || in.now.Sub(newest.Time.Time) > cheapestFresh {
		return 0
	}
	return usdOf(string(newest.CheapestOfferUSDPerHour))
}

// healthBudget says whether instances of the pool may be ended for their health.
func healthBudget(instances []warmpool.WarmInstance, pool *warmpool.WarmPool) planner.BudgetVerdict {
	counted := make([]planner.BudgetInstance, 0, len(instances))
	for k := range instances {
		counted = append(counted, budgetInstance(&instances[k]))
	}
	return planner.ComputeHealthBudget(counted, percentOf(pool.Spec.Remediation.MaxUnhealthy))
}

// budgetInstance is an instance as the health budget sees it. One that is being
// recycled answers, and is not ready on purpose: it does not fail.
func budgetInstance(instance *warmpool.WarmInstance) planner.BudgetInstance {
	ready := meta.FindStatusCondition(instance.Status.Conditions, warmpool.ConditionReady)
	return planner.BudgetInstance{
		Name: instance.Name, WasReady: instance.Status.ReadyTime != nil, Deleting: !instance.DeletionTimestamp.IsZero(),
		Healthy: ready != nil && (ready.Status == metav1.ConditionTrue || ready.Reason == planner.HealthRecycling),
	}
}

// percentOf reads "40%"; the API server has checked the form.
func percentOf(text string) int {
	percent, err := strconv.Atoi(strings.TrimSuffix(text, "%"))
	if err != nil {
		return 0
	}
	return percent
}

func poolFailure(instance *planner.Instance) planner.PoolFailure {
	return planner.PoolFailure{
		InstanceUID: instance.UID, InstanceName: instance.Name, MachineID: instance.Failure.MachineID,
		Reason: instance.Failure.Reason, Message: instance.Failure.Message, HostFault: instance.Failure.HostFault,
		TemplateHash: instance.TemplateHash, At: instance.Failure.At,
	}
}

func plannerFailures(recent []warmpool.PoolFailure) []planner.PoolFailure {
	var converted []planner.PoolFailure
	for _, failure := range recent {
		converted = append(converted, planner.PoolFailure{
			InstanceUID: failure.InstanceUID, InstanceName: failure.Instance, MachineID: failure.MachineID,
			Reason: failure.Reason, Message: failure.Message, HostFault: failure.HostFault,
			TemplateHash: failure.TemplateHash, At: failure.Time.Time,
		})
	}
	return converted
}
