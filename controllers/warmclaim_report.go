package controllers

import (
	"context"
	"errors"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/log"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/planner"
)

// reasonClaimSecret is the reason of a claim whose Secret cannot be made.
const reasonClaimSecret = "SecretConflict"

// reportClaims writes the status of every claim whose status changed, oldest
// first, and lets those go that are deleted and hold nothing any more.
func (r *WarmClaimReconciler) reportClaims(ctx context.Context, in *claimsInput, plan *planner.ClaimsPlan) error {
	written := 0
	var failed []error
	for k := range plan.Verdicts {
		verdict := &plan.Verdicts[k]
		claim := in.claim(verdict.UID)
		if claim == nil || verdict.Ends {
			continue
		}
		if written >= maxClaimWrites {
			in.again = true
			break
		}
		wrote, err := r.reportClaim(ctx, in, claim, verdict)
		if wrote {
			written++
		}
		if err != nil {
			failed = append(failed, in.lostTheRace(ctx, err, "Lost the right to report on a claim", "claim", claim.Name))
		}
	}
	return errors.Join(failed...)
}

// reportClaim is about one claim; it returns true when it wrote something.
func (r *WarmClaimReconciler) reportClaim(ctx context.Context, in *claimsInput, claim *warmpool.WarmClaim, verdict *planner.ClaimVerdict) (bool, error) {
	if isDoneWith(claim) {
		return false, nil
	}
	before := claim.DeepCopy()
	now := metav1.Time{Time: in.now}
	status := &claim.Status
	if status.FinishedTime != nil {
		status.ObservedGeneration = claim.Generation
		return r.cleanUp(ctx, in, before, claim)
	}
	status.ObservedGeneration, status.QueuePosition = claim.Generation, int32(verdict.Position) //nolint:gosec // at most 1000
	setClaimConditions(claim, verdict.Conditions, now)
	if verdict.Instance != "" {
		if err := r.handOver(ctx, in, claim, verdict); err != nil {
			return false, err
		}
	}
	return r.writeClaim(ctx, before, claim)
}

// isDoneWith is true for a finished claim that has let go of everything: most of
// those that there are, when nobody deletes them.
func isDoneWith(claim *warmpool.WarmClaim) bool {
	status := &claim.Status
	return status.FinishedTime != nil && status.CredentialsSecretRef == nil && status.ObservedGeneration == claim.Generation &&
		!controllerutil.ContainsFinalizer(claim, warmpool.FinalizerClaim)
}

// handOver writes down which instance a claim holds, and puts its credentials
// where the holder finds them.
func (r *WarmClaimReconciler) handOver(ctx context.Context, in *claimsInput, claim *warmpool.WarmClaim, verdict *planner.ClaimVerdict) error {
	instance := in.instanceNamed(verdict.Instance)
	if instance == nil {
		return nil
	}
	status := &claim.Status
	url := comfyURL(&instance.Status)
	same := status.InstanceRef != nil && status.InstanceRef.Name == instance.Name && status.Endpoint == url && status.CredentialsSecretRef != nil
	status.InstanceRef, status.Endpoint = &warmpool.LocalReference{Name: instance.Name}, url
	status.BoundTime, status.ExpirationTime = wholeSecond(verdict.BoundAt), wholeSecond(verdict.ExpiresAt)
	if same {
		return nil
	}
	err := r.ensureClaimSecret(ctx, claim, instance, url)
	if errors.Is(err, errClaimSecret) {
		at := conditionsAt(&status.Conditions, metav1.Time{Time: in.now})
		at.set(warmpool.ConditionReady, metav1.ConditionFalse, reasonClaimSecret, err.Error())
		at.set(warmpool.ConditionReconciling, metav1.ConditionFalse, reasonClaimSecret, err.Error())
		at.set(warmpool.ConditionStalled, metav1.ConditionTrue, reasonClaimSecret, err.Error())
		status.CredentialsSecretRef = nil
		return nil
	}
	if err != nil {
		return err
	}
	status.CredentialsSecretRef = &warmpool.LocalReference{Name: claimSecretNameFor(claim)}
	return nil
}

// comfyURL is the URL of an instance's ComfyUI, empty when it is not published.
func comfyURL(status *warmpool.WarmInstanceStatus) string {
	for _, endpoint := range status.Endpoints {
		if endpoint.Name == endpointComfyUI {
			return endpoint.URL
		}
	}
	return ""
}

// lateWrites is how long what a manager that is gone has sent may still arrive.
const lateWrites = time.Minute

// cleanUp takes the credentials of a finished claim back, and lets it go. The
// finalizer is older than anything that the claim got: as long as it is there,
// there may be a Secret that the status does not name yet, or one on its way. A
// claim that is deleted does not wait for that: its Secret belongs to it.
func (r *WarmClaimReconciler) cleanUp(ctx context.Context, in *claimsInput, before, claim *warmpool.WarmClaim) (bool, error) {
	mayHold := controllerutil.ContainsFinalizer(claim, warmpool.FinalizerClaim)
	//warmpool:gate claim-secret-that-comes-late
	early := claim.DeletionTimestamp.IsZero() && in.now.Before(claim.Status.FinishedTime.Add(lateWrites))
	//warmpool:gate claim-secret-goes-with-the-claim
	if (mayHold && !early) || claim.Status.CredentialsSecretRef != nil {
		if err := r.deleteClaimSecret(ctx, claim); err != nil {
			return false, err
		}
		claim.Status.CredentialsSecretRef = nil
	}
	wrote, err := r.writeClaim(ctx, before, claim)
	if err != nil || !mayHold {
		return wrote, err
	}
	//warmpool:gate claim-stays-until-it-has-let-go
	if in.isHeldBy(claim) {
		in.again = true
		return wrote, nil
	}
	if early {
		if until := claim.Status.FinishedTime.Add(lateWrites); in.lookAgainAt.IsZero() || until.Before(in.lookAgainAt) {
			in.lookAgainAt = until
		}
		return wrote, nil
	}
	held := claim.DeepCopy()
	controllerutil.RemoveFinalizer(claim, warmpool.FinalizerClaim)
	return true, client.IgnoreNotFound(r.Client.Patch(ctx, claim, client.MergeFromWithOptions(held, client.MergeFromWithOptimisticLock{})))
}

// isHeldBy is true while an instance is held by the claim: not one that is being
// recycled, and not one that is being ended.
func (in *claimsInput) isHeldBy(claim *warmpool.WarmClaim) bool {
	return slices.ContainsFunc(in.instances, func(instance warmpool.WarmInstance) bool { return isHeldBy(&instance, claim) })
}

func isHeldBy(instance *warmpool.WarmInstance, claim *warmpool.WarmClaim) bool {
	return isHeld(instance) && instance.Spec.ClaimRef.UID == claim.UID && instance.DeletionTimestamp.IsZero()
}

// writeClaim writes the status when it changed, and tells about it.
func (r *WarmClaimReconciler) writeClaim(ctx context.Context, before, claim *warmpool.WarmClaim) (bool, error) {
	if equality.Semantic.DeepEqual(before.Status, claim.Status) {
		return false, nil
	}
	if err := r.Client.Status().Update(ctx, claim); err != nil {
		return true, err
	}
	r.tellClaim(ctx, before, claim)
	return true, nil
}

// tellClaim sends events for what people wait for: that a claim is served, ready
// or not any more, and finished; and once why it waits.
func (r *WarmClaimReconciler) tellClaim(ctx context.Context, before, after *warmpool.WarmClaim) {
	kind := warmpool.ConditionReady
	if after.Status.FinishedTime != nil {
		kind = warmpool.ConditionFinished
	}
	was := meta.FindStatusCondition(before.Status.Conditions, kind)
	now := meta.FindStatusCondition(after.Status.Conditions, kind)
	if now == nil || (was != nil && was.Status == now.Status && was.Reason == now.Reason) {
		return
	}
	log.FromContext(ctx).Info("Claim changed", "claim", after.Name, "reason", now.Reason)
	eventType := corev1.EventTypeNormal
	switch now.Reason {
	case planner.ClaimReasonInstanceLost, planner.ClaimReasonBindTimeout, planner.ClaimReasonQueueFull, planner.ReasonPoolNotFound, reasonClaimSecret:
		eventType = corev1.EventTypeWarning
	default:
	}
	r.Events.Eventf(after, nil, eventType, now.Reason, "Claim", "%s", now.Message)
}

// setClaimConditions writes the conditions of a verdict into a claim's status.
func setClaimConditions(claim *warmpool.WarmClaim, conditions []planner.PoolCondition, now metav1.Time) {
	for _, answer := range conditions {
		meta.SetStatusCondition(&claim.Status.Conditions, metav1.Condition{
			Type: answer.Type, Status: metav1.ConditionStatus(answer.Status), Reason: answer.Reason,
			Message: bounded(answer.Message, maxConditionMessage), LastTransitionTime: now, ObservedGeneration: claim.Generation,
		})
	}
}

// instanceNamed finds an instance by its name, nil when there is none.
func (in *claimsInput) instanceNamed(name string) *warmpool.WarmInstance {
	for k := range in.instances {
		if in.instances[k].Name == name {
			return &in.instances[k]
		}
	}
	return nil
}
