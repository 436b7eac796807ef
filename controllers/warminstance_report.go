package controllers

import (
	"context"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/fleet"
	"github.com/warmpool-dev/warmpool/internal/planner"
)

func isConditionTrue(conditions []metav1.Condition, conditionType string) bool {
	return meta.IsStatusConditionTrue(conditions, conditionType)
}

// reportSurely reports, and when the account's sweep wrote at the same moment,
// once more onto the newest version: a proof or a pin that was just seen is not
// seen again soon, and would be lost with the write.
func (r *WarmInstanceReconciler) reportSurely(ctx context.Context, in *instanceInput, decision *planner.HealthDecision) error {
	err := r.report(ctx, in, decision)
	if !apierrors.IsConflict(err) {
		return err
	}
	var live warmpool.WarmInstance
	if getErr := r.APIReader.Get(ctx, client.ObjectKeyFromObject(in.instance), &live); getErr != nil {
		return getErr
	}
	sameRental := live.UID == in.instance.UID && live.Status.Rental != nil && live.Status.Rental.ID == in.health.Rental.ID
	if !sameRental || !live.DeletionTimestamp.IsZero() {
		return nil
	}
	in.instance = &live
	return r.report(ctx, in, decision)
}

// report writes the health half of the status when it changed, and gives the
// instance up when it has failed and may be ended for it.
func (r *WarmInstanceReconciler) report(ctx context.Context, in *instanceInput, decision *planner.HealthDecision) error {
	before, after := in.instance, in.instance.DeepCopy()
	now := metav1.Time{Time: in.health.Now}
	// In a fixed order, which is the one in which new conditions stay.
	for _, answer := range []struct {
		kind string
		planner.HealthCondition
	}{
		{warmpool.ConditionRunning, decision.Running}, {warmpool.ConditionStarted, decision.Started}, {warmpool.ConditionReady, shownReady(decision)},
	} {
		conditionsAt(&after.Status.Conditions, now).set(answer.kind, metav1.ConditionStatus(answer.Status), answer.Reason, answer.Message)
	}
	r.reportProof(in, after, now)
	reportRecycle(in, after, now)
	if after.Status.ReadyTime == nil && isConditionTrue(after.Status.Conditions, warmpool.ConditionReady) {
		after.Status.ReadyTime = &now
	}
	givenUp, kept, err := r.giveUp(ctx, in, after, decision.Failure)
	if err != nil {
		return err
	}
	if kept != "" {
		ready := shownReady(decision)
		conditionsAt(&after.Status.Conditions, now).set(
			warmpool.ConditionReady, metav1.ConditionStatus(ready.Status), ready.Reason, strings.TrimSuffix(ready.Message, replacedSuffix)+" "+kept)
	}
	if !equality.Semantic.DeepEqual(before.Status, after.Status) {
		if err := r.Client.Status().Update(ctx, after); err != nil {
			return err
		}
		r.tell(ctx, before, after)
	}
	if !givenUp {
		return nil
	}
	//warmpool:gate give-up-loses-to-a-claim
	return r.Client.Delete(ctx, after, client.Preconditions{UID: &after.UID, ResourceVersion: &after.ResourceVersion})
}

// reasonBusy is the reason of an instance that is Ready and has work in its queue.
const reasonBusy = string(planner.StageBusy)

// shownReady tells an instance at work from an idle one: both are Ready, and
// the pool ends the idle one first.
func shownReady(decision *planner.HealthDecision) planner.HealthCondition {
	if decision.Busy && decision.Stage == planner.StageBusy && decision.Ready.Reason == planner.HealthReady {
		return planner.HealthCondition{
			Status: decision.Ready.Status, Reason: reasonBusy, Message: "It rendered a test prompt, answers, and has work in its queue.",
		}
	}
	return decision.Ready
}

// reportProof records what a probe or a verification found out.
func (r *WarmInstanceReconciler) reportProof(in *instanceInput, after *warmpool.WarmInstance, now metav1.Time) {
	//warmpool:gate certificate-pinned-once
	//warmpool:gate certificate-of-what-serves
	if probe := in.health.Probe; probe != nil && after.Status.CertificateSHA256 == "" && probe.Signal == fleet.SignalServing {
		// Trust on first use: the first certificate that let our password
		// through to a ComfyUI is the one that counts from now on.
		after.Status.CertificateSHA256 = probe.CertificateSHA256
	}
	verify := in.health.Verify
	if verify == nil || verify.Fault != fleet.VerifyPassed {
		return
	}
	after.Status.LastProofTime = &now
	const maxVersion = 64
	if verify.ComfyUIVersion != "" {
		after.Status.ComfyUIVersion = bounded(verify.ComfyUIVersion, maxVersion)
	}
}

// replacedSuffix ends the messages of failures; it is not true of one that is kept.
const replacedSuffix = " It is replaced."

// giveUp records a failure in the status, unless the instance is kept in spite
// of it: then it says why.
func (r *WarmInstanceReconciler) giveUp(ctx context.Context, in *instanceInput, after *warmpool.WarmInstance, failure *fleet.Failure) (givenUp bool, kept string, err error) {
	if failure == nil && after.Status.Failure == nil {
		return false, "", nil
	}
	switch {
	//warmpool:gate give-up-not-while-paused
	case in.pool.Spec.Mode == warmpool.PoolPaused || in.pool.Spec.Mode == warmpool.PoolDryRun:
		return false, "It is kept, because the pool's spec.mode is " + string(in.pool.Spec.Mode) + ".", nil
	//warmpool:gate give-up-spares-claims
	case isHeld(in.instance):
		// Whoever claimed it decides when to let go (I3).
		return false, "It is kept, because it is claimed.", nil
	case after.Status.Failure != nil:
		return true, "", nil
	}
	if kept, err := r.sparedFor(ctx, in, after, failure); err != nil || kept != "" {
		return false, kept, err
	}
	after.Status.Failure = &warmpool.InstanceFailure{
		Reason: failure.Reason, Message: bounded(failure.Message, maxAdmissionMessage), HostFault: failure.HostFault,
		Time: metav1.Time{Time: in.health.Now},
	}
	return true, "", nil
}

// tell logs, counts and sends events for transitions.
func (r *WarmInstanceReconciler) tell(ctx context.Context, before, after *warmpool.WarmInstance) {
	logger := log.FromContext(ctx)
	if failure := after.Status.Failure; failure != nil && before.Status.Failure == nil {
		logger.Info("Giving up", "reason", failure.Reason, "machine", after.Status.Rental.MachineID, "hostFault", failure.HostFault)
		r.Events.Eventf(after, nil, corev1.EventTypeWarning, failure.Reason, "Replace", "Giving up rental %d on %s: %s",
			after.Status.Rental.ID, machineName(after.Status.Rental.MachineID), failure.Message)
		return
	}
	was := meta.FindStatusCondition(before.Status.Conditions, warmpool.ConditionReady)
	now := meta.FindStatusCondition(after.Status.Conditions, warmpool.ConditionReady)
	if !isNews(was, now) {
		return
	}
	logger.Info("Health changed", "ready", now.Status, "reason", now.Reason)
	if after.Status.ReadyTime != nil && before.Status.ReadyTime == nil {
		if rented := after.Status.Rental.RecordedTime; rented != nil {
			r.Metrics.RentToReady(after.Status.ReadyTime.Sub(rented.Time))
		}
		r.Events.Eventf(after, nil, corev1.EventTypeNormal, "Ready", "Probe", "Ready at $%s/h: %s", after.Status.Price.CurrentUSDPerHour, now.Message)
		return
	}
	kind := corev1.EventTypeNormal
	if now.Status == metav1.ConditionFalse && before.Status.ReadyTime != nil {
		kind = corev1.EventTypeWarning
	}
	r.Events.Eventf(after, nil, kind, now.Reason, "Probe", "%s", now.Message)
}

// isNews is true when a condition turned or has another reason. That work
// comes and goes is no news.
func isNews(was, now *metav1.Condition) bool {
	switch {
	case now == nil:
		return false
	case was == nil:
		return true
	default:
		workOnly := isAtWorkOrIdle(was.Reason) && isAtWorkOrIdle(now.Reason)
		return (was.Status != now.Status || was.Reason != now.Reason) && !workOnly
	}
}

func isAtWorkOrIdle(reason string) bool { return reason == reasonBusy || reason == planner.HealthReady }
