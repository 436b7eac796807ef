package controllers

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/planner"
)

// maxPoolLogTail bounds the log kept of each failure in a pool's status.
const maxPoolLogTail = 2000

// report writes the pool's status when it changed, and sends events for the
// conditions that turned.
func (r *WarmPoolReconciler) report(ctx context.Context, in *poolInput, plan *poolPlan) error {
	before := in.pool.DeepCopy()
	now := metav1.Time{Time: in.now}
	status, verdict := &in.pool.Status, &plan.verdict
	status.ObservedGeneration, status.Selector = in.pool.Generation, selectorOf(in.pool)
	for target, count := range map[*int32]int{
		&status.Replicas: verdict.Replicas, &status.ReadyReplicas: verdict.Ready, &status.ClaimedReplicas: verdict.Claimed,
		&status.PendingReplicas: verdict.Pending, &status.ProvisioningReplicas: verdict.Provisioning,
		&status.UnhealthyReplicas: verdict.Unhealthy, &status.UnknownReplicas: verdict.Unknown,
		&status.TerminatingReplicas: verdict.Terminating, &status.TotalReplicas: verdict.Total,
	} {
		*target = int32(count) //nolint:gosec // bounded by the number of objects
	}
	status.Cost = warmpool.PoolCostStatus{
		CeilingUSDPerHour:   signedUSD(usdOf(string(in.pool.Spec.Cost.CeilingUSDPerHour))),
		CommittedUSDPerHour: signedUSD(verdict.CommittedUSDPerHour), ObservedUSDPerHour: signedUSD(verdict.ObservedUSDPerHour),
		HeadroomUSDPerHour: signedUSD(verdict.HeadroomUSDPerHour),
	}
	showSpent(in, &before.Status.Cost, &status.Cost)
	status.LastAdmission = shownAdmission(in, verdict, status.LastAdmission)
	status.Failures = failuresStatus(in, plan)
	for _, answer := range verdict.Conditions {
		conditionsAt(&status.Conditions, now).set(answer.Type, metav1.ConditionStatus(answer.Status), answer.Reason, answer.Message)
	}
	if equality.Semantic.DeepEqual(before.Status, in.pool.Status) {
		return nil
	}
	if err := r.Client.Status().Update(ctx, in.pool); err != nil {
		return quietConflict(err)
	}
	r.poolEvents(before, in.pool)
	noteBudget(r.Audit, "WarmPool", in.pool, before.Status.Conditions, in.pool.Status.Conditions)
	return nil
}

// shownAdmission is the answer to the oldest waiting instance, else the newest
// answer of all; the last one stays when no instance has any.
func shownAdmission(in *poolInput, verdict *planner.PoolVerdict, last *warmpool.Admission) *warmpool.Admission {
	var oldest, newest *warmpool.WarmInstance
	for k := range in.instances {
		instance := &in.instances[k]
		if instance.Status.LastAdmission == nil {
			continue
		}
		if newest == nil || newest.Status.LastAdmission.Time.Before(&instance.Status.LastAdmission.Time) {
			newest = instance
		}
		if waits(instance) && (oldest == nil || instance.CreationTimestamp.Before(&oldest.CreationTimestamp)) {
			oldest = instance
		}
	}
	switch {
	case oldest != nil && verdict.LastAdmission != nil:
		return oldest.Status.LastAdmission
	case newest != nil:
		return newest.Status.LastAdmission
	default:
		return last
	}
}

// waits is true for an instance that wants a rental and has none.
func waits(instance *warmpool.WarmInstance) bool {
	return instance.Status.Rental == nil && instance.DeletionTimestamp.IsZero()
}

func failuresStatus(in *poolInput, plan *poolPlan) warmpool.PoolFailures {
	logs := map[string]string{}
	for _, failure := range in.pool.Status.Failures.Recent {
		logs[failure.InstanceUID] = failure.LogTail
	}
	for k := range in.instances {
		if failure := in.instances[k].Status.Failure; failure != nil && failure.LogTail != "" {
			logs[string(in.instances[k].UID)] = lastPart(failure.LogTail, maxPoolLogTail)
		}
	}
	shown := warmpool.PoolFailures{Consecutive: int32(plan.backoff.Consecutive), NextAttemptTime: wholeSecond(plan.backoff.NextAttemptAt)} //nolint:gosec // at most 10
	if plan.success.InstanceUID != "" {
		shown.LastSuccessUID, shown.LastSuccessTime = plan.success.InstanceUID, wholeSecond(plan.success.At)
	}
	for _, failure := range plan.failures {
		shown.Recent = append(shown.Recent, warmpool.PoolFailure{
			InstanceUID: failure.InstanceUID, Instance: failure.InstanceName, MachineID: failure.MachineID,
			Reason: failure.Reason, Message: bounded(failure.Message, maxAdmissionMessage), HostFault: failure.HostFault,
			TemplateHash: failure.TemplateHash, LogTail: logs[failure.InstanceUID], Time: metav1.Time{Time: failure.At},
		})
	}
	return shown
}

// poolEvents tells people when a condition turned or got another reason. One
// fact turns several conditions, and is told once.
func (r *WarmPoolReconciler) poolEvents(before, after *warmpool.WarmPool) {
	said := map[string]bool{}
	for _, now := range after.Status.Conditions {
		was := meta.FindStatusCondition(before.Status.Conditions, now.Type)
		if !isTold(was, &now) || said[now.Reason] {
			continue
		}
		said[now.Reason] = true
		kind := corev1.EventTypeNormal
		if now.Status == metav1.ConditionFalse && now.Reason != planner.PoolReasonProvisioning {
			kind = corev1.EventTypeWarning
		}
		r.Events.Eventf(after, nil, kind, now.Reason, now.Type, "%s", now.Message)
	}
}

// isTold is true for a condition whose turn is worth an event: not kstatus's,
// and not one that begins as it should be.
func isTold(was, now *metav1.Condition) bool {
	if now.Type == warmpool.ConditionReconciling || now.Type == warmpool.ConditionStalled {
		return false
	}
	if was == nil {
		return now.Status != metav1.ConditionTrue || now.Type == warmpool.ConditionReady
	}
	return was.Status != now.Status || was.Reason != now.Reason
}
