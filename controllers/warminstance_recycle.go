package controllers

import (
	"context"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/log"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/fleet"
	"github.com/warmpool-dev/warmpool/internal/planner"
)

// recycleStep is what one look did about the recycling of an instance.
type recycleStep struct {
	// emptied is true when nothing of the last claim is left; message says what
	// is in the way otherwise.
	emptied bool
	message string
}

// isHeld is true while a claim holds the instance: not when it is only being
// recycled.
func isHeld(instance *warmpool.WarmInstance) bool {
	return instance.Spec.ClaimRef != nil && instance.Spec.ClaimRef.RecycleTime == nil
}

// recycleOf is how far the recycling after the last claim has come; nil before
// its first step.
func recycleOf(instance *warmpool.WarmInstance) *warmpool.InstanceRecycle {
	holder, recycle := instance.Spec.ClaimRef, instance.Status.Recycle
	if holder == nil || holder.RecycleTime == nil || recycle == nil || recycle.ClaimUID != string(holder.UID) {
		return nil
	}
	return recycle
}

// emptiedAt is when nothing of the last claim was left, zero before.
func (in *instanceInput) emptiedAt() time.Time {
	recycle := recycleOf(in.instance)
	switch {
	case recycle == nil || recycle.EmptiedTime == nil:
		return time.Time{}
	case in.memory.emptiedFor == in.instance.Spec.ClaimRef.UID:
		return in.memory.emptiedAt
	default:
		return recycle.EmptiedTime.Time
	}
}

// isRecycled is true once it has proved itself after its last claim.
func isRecycled(instance *warmpool.WarmInstance) bool {
	recycle := recycleOf(instance)
	return recycle != nil && recycle.ProvenTime != nil
}

// recycle empties an instance whose claim has ended, and looks at it again: what
// it says of its queue is the base of the proof. It returns false when something
// is left; then the look that was due is taken as usual.
func (r *WarmInstanceReconciler) recycle(ctx context.Context, in *instanceInput, target InstanceTarget) bool {
	log.FromContext(ctx).Info("Emptying after a claim", "claim", in.instance.Spec.ClaimRef.Name)
	if err := r.Recycler.Recycle(ctx, target); err != nil {
		log.FromContext(ctx).V(1).Info("Emptying after a claim failed", "error", err.Error())
		in.recycle = &recycleStep{message: err.Error()}
		return false
	}
	in.recycle = &recycleStep{emptied: true}
	in.health.EmptiedAt = r.Clock.Now()
	in.memory.emptiedFor, in.memory.emptiedAt = in.instance.Spec.ClaimRef.UID, in.health.EmptiedAt
	in.health.Tried = planner.ActionProbe
	r.probe(ctx, in, target)
	return true
}

// reportRecycle writes down how far the recycling has come.
func reportRecycle(in *instanceInput, after *warmpool.WarmInstance, now metav1.Time) {
	holder := after.Spec.ClaimRef
	if holder == nil || holder.RecycleTime == nil {
		after.Status.Recycle = nil
		return
	}
	recycle := recycleOf(after)
	if recycle == nil {
		recycle = &warmpool.InstanceRecycle{ClaimUID: string(holder.UID)}
		after.Status.Recycle = recycle
	}
	switch verify := in.health.Verify; {
	case in.recycle != nil && in.recycle.emptied:
		recycle.EmptiedTime, recycle.Message = &metav1.Time{Time: in.health.EmptiedAt}, ""
	case in.recycle != nil:
		recycle.Message = bounded(in.recycle.message, maxMessage)
	//warmpool:gate recycle-proof-after-emptying
	case recycle.EmptiedTime != nil && recycle.ProvenTime == nil && verify != nil && verify.Fault == fleet.VerifyPassed:
		recycle.ProvenTime = &now
	}
}
