package controllers

import (
	"context"
	"errors"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/log"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/planner"
)

// maxClaimWrites bounds the status writes of one pass; the next one goes on.
const maxClaimWrites = 100

// journalClaims writes down the ends of claims, on the version that was decided
// on: whoever extends a claim in that moment wins. It also holds the claims that
// get an instance, so that none goes away without giving it back.
func (r *WarmClaimReconciler) journalClaims(ctx context.Context, in *claimsInput, plan *planner.ClaimsPlan) error {
	var ending []*planner.ClaimVerdict
	for k := range plan.Verdicts {
		if plan.Verdicts[k].Ends {
			ending = append(ending, &plan.Verdicts[k])
		}
	}
	if len(ending) > maxClaimWrites {
		in.comeBack()
		ending = ending[:maxClaimWrites]
	}
	return errors.Join(
		r.forEach(len(ending), func(k int) error { return r.journalEnd(ctx, in, ending[k]) }),
		r.forEach(len(plan.Bind), func(k int) error {
			if claim := in.claim(plan.Bind[k].ClaimUID); claim != nil {
				return r.holdClaim(ctx, in, claim)
			}
			return nil
		}),
	)
}

// forEach writes about several claims, at most Writers at the same time. What
// fails for one of them keeps none of the others waiting.
func (r *WarmClaimReconciler) forEach(count int, write func(k int) error) error {
	failures := make([]error, count)
	if r.Writers <= 1 || count <= 1 {
		for k := range count {
			failures[k] = write(k)
		}
		return errors.Join(failures...)
	}
	var writers errgroup.Group
	writers.SetLimit(r.Writers)
	for k := range count {
		writers.Go(func() error {
			failures[k] = write(k)
			return nil
		})
	}
	return errors.Join(writers.Wait(), errors.Join(failures...))
}

// journalEnd writes down the end of one claim.
func (r *WarmClaimReconciler) journalEnd(ctx context.Context, in *claimsInput, verdict *planner.ClaimVerdict) error {
	claim := in.claim(verdict.UID)
	if claim == nil {
		return nil
	}
	holds, err := r.holdsAfterAll(ctx, in, claim)
	if err != nil {
		return err
	}
	//warmpool:gate lost-is-looked-at-again
	if holds {
		in.comeBack()
		return nil
	}
	before := claim.DeepCopy()
	now := metav1.Time{Time: in.now}
	claim.Status.FinishedTime, claim.Status.QueuePosition, claim.Status.ObservedGeneration = &now, 0, claim.Generation
	claim.Status.Endpoint = ""
	setClaimConditions(claim, verdict.Conditions, now)
	if err := r.Client.Status().Update(ctx, claim); err != nil {
		*claim = *before
		return in.lostTheRace(ctx, err, "Lost the right to end a claim", "claim", claim.Name)
	}
	r.tellClaim(ctx, before, claim)
	return nil
}

// holdsAfterAll looks once more for the instance of a claim that seems to have
// lost it. The claims are read after the instances: a process that was stopped in
// between sees a claim that got its instance meanwhile, and an instance without it.
func (r *WarmClaimReconciler) holdsAfterAll(ctx context.Context, in *claimsInput, claim *warmpool.WarmClaim) (bool, error) {
	if claim.Status.InstanceRef == nil || !claim.DeletionTimestamp.IsZero() || in.isHeldBy(claim) {
		return false, nil
	}
	var instance warmpool.WarmInstance
	err := r.APIReader.Get(ctx, types.NamespacedName{Namespace: claim.Namespace, Name: claim.Status.InstanceRef.Name}, &instance)
	if err != nil {
		return false, client.IgnoreNotFound(err)
	}
	return isHeldBy(&instance, claim), nil
}

// holdClaim sets the finalizer of a claim.
func (r *WarmClaimReconciler) holdClaim(ctx context.Context, in *claimsInput, claim *warmpool.WarmClaim) error {
	if controllerutil.ContainsFinalizer(claim, warmpool.FinalizerClaim) {
		return nil
	}
	before := claim.DeepCopy()
	controllerutil.AddFinalizer(claim, warmpool.FinalizerClaim)
	if err := r.Client.Patch(ctx, claim, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})); err != nil {
		*claim = *before
		return in.lostTheRace(ctx, err, "Lost the right to hold a claim", "claim", claim.Name)
	}
	return nil
}

// executeClaims binds and releases. Each act is one write on the version of the
// instance that was decided on: whoever else writes first wins.
func (r *WarmClaimReconciler) executeClaims(ctx context.Context, in *claimsInput, plan *planner.ClaimsPlan) error {
	return errors.Join(
		r.forEach(len(plan.Bind), func(k int) error {
			binding := &plan.Bind[k]
			claim, instance := in.claim(binding.ClaimUID), in.instance(binding.InstanceUID)
			//warmpool:gate binding-needs-the-finalizer
			if claim == nil || instance == nil || !controllerutil.ContainsFinalizer(claim, warmpool.FinalizerClaim) {
				return nil
			}
			return r.bind(ctx, in, claim, instance)
		}),
		r.forEach(len(plan.Release), func(k int) error {
			if instance := in.instance(plan.Release[k].InstanceUID); instance != nil {
				return r.release(ctx, in, instance, &plan.Release[k])
			}
			return nil
		}),
	)
}

// bind gives an instance to a claim. This one write is the binding.
func (r *WarmClaimReconciler) bind(ctx context.Context, in *claimsInput, claim *warmpool.WarmClaim, instance *warmpool.WarmInstance) error {
	now := metav1.Time{Time: in.now}
	log.FromContext(ctx).Info("Binding", "claim", claim.Name, "instance", instance.Name)
	won, err := r.writeClaimRef(ctx, in, instance, &warmpool.ClaimReference{Name: claim.Name, UID: claim.UID, BoundTime: &now})
	if !won || err != nil {
		return err
	}
	r.Metrics.ClaimBound(max(in.now.Sub(claim.CreationTimestamp.Time), 0))
	r.Events.Eventf(instance, nil, corev1.EventTypeNormal, planner.ClaimReasonBound, "Bind", "Claim %s holds it now.", claim.Name)
	return nil
}

// release takes an instance from a claim that has ended.
func (r *WarmClaimReconciler) release(ctx context.Context, in *claimsInput, instance *warmpool.WarmInstance, release *planner.ClaimRelease) error {
	holder := instance.Spec.ClaimRef
	//warmpool:gate release-only-from-its-own-claim
	if holder == nil || string(holder.UID) != release.ClaimUID {
		return nil
	}
	log.FromContext(ctx).Info("Releasing", "instance", instance.Name, "claim", holder.Name, "action", release.Action, "reason", release.Reason, "message", release.Message)
	switch release.Action {
	case planner.ActionFree:
		won, err := r.writeClaimRef(ctx, in, instance, nil)
		if won {
			r.tellRelease(instance, release)
		}
		return err
	case planner.ActionRecycle:
		recycling := holder.DeepCopy()
		recycling.RecycleTime = &metav1.Time{Time: in.now}
		won, err := r.writeClaimRef(ctx, in, instance, recycling)
		if won {
			r.tellRelease(instance, release)
		}
		return err
	default:
		return r.terminate(ctx, in, instance, release)
	}
}

// terminate ends the rental by deleting its record, on the version that the
// ended claim was seen to hold.
func (r *WarmClaimReconciler) terminate(ctx context.Context, in *claimsInput, instance *warmpool.WarmInstance, release *planner.ClaimRelease) error {
	//warmpool:gate release-loses-to-a-successor
	err := r.Client.Delete(ctx, instance.DeepCopy(), client.Preconditions{UID: &instance.UID, ResourceVersion: &instance.ResourceVersion})
	if err != nil {
		return in.lostTheRace(ctx, err, "Lost the right to end an instance", "instance", instance.Name)
	}
	// It is on its way out: nothing more is decided about it in this pass.
	instance.DeletionTimestamp = &metav1.Time{Time: in.now}
	r.tellRelease(instance, release)
	return nil
}

// tellRelease sends the event of a release.
func (r *WarmClaimReconciler) tellRelease(instance *warmpool.WarmInstance, release *planner.ClaimRelease) {
	kind := corev1.EventTypeNormal
	if release.Reason == planner.ClaimReasonRecycleFailed {
		kind = corev1.EventTypeWarning
	}
	r.Events.Eventf(instance, nil, kind, release.Reason, "Release", "Released: %s.", release.Message)
}

// writeClaimRef changes who holds an instance. It returns false when somebody
// else wrote first.
func (r *WarmClaimReconciler) writeClaimRef(ctx context.Context, in *claimsInput, instance *warmpool.WarmInstance, holder *warmpool.ClaimReference) (bool, error) {
	before := instance.DeepCopy()
	instance.Spec.ClaimRef = holder
	//warmpool:gate one-holder-per-instance
	if err := r.Client.Patch(ctx, instance, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})); err != nil {
		*instance = *before
		return false, in.lostTheRace(ctx, err, "Lost the right to an instance", "instance", instance.Name)
	}
	return true, nil
}

// claim finds a claim, nil when there is none.
func (in *claimsInput) claim(uid string) *warmpool.WarmClaim { return in.claimOf[types.UID(uid)] }

// instance finds an instance, nil when there is none.
func (in *claimsInput) instance(uid string) *warmpool.WarmInstance {
	return in.instanceOf[types.UID(uid)]
}
