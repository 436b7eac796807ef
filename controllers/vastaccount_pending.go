package controllers

import (
	"context"
	"maps"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/warmpool-dev/warmpool/internal/planner"
)

// reportPending writes down, for every instance that waits, why it does. An
// answer that did not change is not written again.
func (r *VastAccountReconciler) reportPending(ctx context.Context, in *rentInput, choice *rentChoice) error {
	now := metav1.Time{Time: r.Clock.Now()}
	// In a fixed order, so that a run can be repeated step by step.
	for _, uid := range slices.Sorted(maps.Keys(choice.deferred)) {
		admission := choice.deferred[uid]
		instance, found := in.instances[uid]
		if !found || !instance.DeletionTimestamp.IsZero() {
			continue
		}
		status := admissionStatus(&admission, now)
		if sameAdmission(status, instance.Status.LastAdmission) {
			continue
		}
		changed := instance.Status.LastAdmission == nil || instance.Status.LastAdmission.Reason != status.Reason
		instance.Status.LastAdmission = status
		if admission.Reason != planner.ReasonRentOutcomeUnknown {
			setPendingConditions(instance, metav1.ConditionFalse, admission.Reason, admission.Message, now)
		}
		if err := r.Client.Status().Update(ctx, instance); err != nil {
			if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
				continue
			}
			return err
		}
		if changed {
			r.Metrics.Admission(string(admission.Decision), admission.Reason)
			r.event(instance, admission.Decision == planner.DecisionDeferred, admission.Reason, "Admit", admission.Message)
		}
	}
	return nil
}
