package controllers

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
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
	newsAt := r.queues.due(in.key, in.now)
	var due []*claimReport
	for k := range plan.Verdicts {
		verdict := &plan.Verdicts[k]
		claim := in.claim(verdict.UID)
		if claim == nil || verdict.Ends || isDoneWith(claim) {
			continue
		}
		report := draftReport(in, claim, verdict)
		switch {
		case !report.hasWork(in):
			in.lookAgainAtFinished(claim)
		case !report.isOnlyNews():
			due = append(due, report)
		case in.now.Before(newsAt):
			in.comeBackAt(newsAt)
		default:
			r.queues.told(in.key, in.now)
			due = append(due, report)
		}
	}
	if len(due) > maxClaimWrites {
		in.comeBack()
		due = due[:maxClaimWrites]
	}
	return r.forEach(len(due), func(k int) error {
		err := r.reportClaim(ctx, in, due[k])
		return in.lostTheRace(ctx, err, "Lost the right to report on a claim", "claim", due[k].claim.Name)
	})
}

// claimReport is what shall be written about one claim.
type claimReport struct {
	before, claim *warmpool.WarmClaim
	verdict       *planner.ClaimVerdict
	// instance is whose credentials have to be handed over, nil when they are
	// where the holder finds them.
	instance *warmpool.WarmInstance
}

// draftReport puts the verdict into the claim's status.
func draftReport(in *claimsInput, claim *warmpool.WarmClaim, verdict *planner.ClaimVerdict) *claimReport {
	report := &claimReport{before: claim.DeepCopy(), claim: claim, verdict: verdict}
	status := &claim.Status
	status.ObservedGeneration = claim.Generation
	if status.FinishedTime != nil {
		return report
	}
	status.QueuePosition = int32(verdict.Position) //nolint:gosec // at most 1000
	setClaimConditions(claim, verdict.Conditions, metav1.Time{Time: in.now})
	instance := in.instanceNamed(verdict.Instance)
	if instance == nil {
		return report
	}
	url := comfyURL(&instance.Status)
	if status.InstanceRef == nil || status.InstanceRef.Name != instance.Name || status.Endpoint != url || status.CredentialsSecretRef == nil {
		report.instance = instance
	}
	status.InstanceRef, status.Endpoint = &warmpool.LocalReference{Name: instance.Name}, url
	status.BoundTime, status.ExpirationTime = wholeSecond(verdict.BoundAt), wholeSecond(verdict.ExpiresAt)
	return report
}

// hasWork is true when there is anything to write, to hand over or to take back.
func (c *claimReport) hasWork(in *claimsInput) bool {
	mayLetGo := c.claim.Status.FinishedTime != nil && controllerutil.ContainsFinalizer(c.claim, warmpool.FinalizerClaim) && !in.isEarly(c.claim)
	mayTakeBack := c.claim.Status.FinishedTime != nil && c.claim.Status.CredentialsSecretRef != nil
	return c.instance != nil || mayLetGo || mayTakeBack || !equality.Semantic.DeepEqual(c.before.Status, c.claim.Status)
}

// isOnlyNews is true for a claim that waits as before, for the same reason: its
// place in the queue or the words of its pool have changed. With every claim
// that is served all that wait move up by one.
func (c *claimReport) isOnlyNews() bool {
	if c.verdict.Position == 0 || c.before.Status.QueuePosition == 0 || c.before.Status.ObservedGeneration != c.claim.Generation {
		return false
	}
	was := meta.FindStatusCondition(c.before.Status.Conditions, warmpool.ConditionBound)
	now := meta.FindStatusCondition(c.claim.Status.Conditions, warmpool.ConditionBound)
	return was != nil && now != nil && was.Reason == now.Reason
}

// newsPeriod is the least time between two rounds of news for all that wait for
// one pool: writing to a hundred claims for each one that is served would keep
// the rest waiting.
const newsPeriod = 2 * time.Second

// queueNews remembers when those who wait were last told their places. Losing it
// costs a few writes. The zero value is ready.
type queueNews struct {
	mu   sync.Mutex
	last map[types.NamespacedName]time.Time
}

// due is when those who wait for a pool may be told again.
func (q *queueNews) due(pool types.NamespacedName, now time.Time) time.Time {
	q.mu.Lock()
	defer q.mu.Unlock()
	last, found := q.last[pool]
	// A clock that was set back must not keep the news for long.
	if !found || last.After(now) {
		return now
	}
	return last.Add(newsPeriod)
}

// told notes that those who wait are told now.
func (q *queueNews) told(pool types.NamespacedName, now time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.last == nil {
		q.last = map[types.NamespacedName]time.Time{}
	}
	q.last[pool] = now
}

// forget drops a pool that nobody waits for.
func (q *queueNews) forget(pool types.NamespacedName) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.last, pool)
}

// reportClaim is about one claim.
func (r *WarmClaimReconciler) reportClaim(ctx context.Context, in *claimsInput, report *claimReport) error {
	if report.claim.Status.FinishedTime != nil {
		return r.cleanUp(ctx, in, report.before, report.claim)
	}
	if report.instance != nil {
		if err := r.handOver(ctx, in, report); err != nil {
			return err
		}
	}
	return r.writeClaim(ctx, report.before, report.claim)
}

// isDoneWith is true for a finished claim that has let go of everything: most of
// those that there are, when nobody deletes them.
func isDoneWith(claim *warmpool.WarmClaim) bool {
	status := &claim.Status
	return status.FinishedTime != nil && status.CredentialsSecretRef == nil && status.ObservedGeneration == claim.Generation &&
		!controllerutil.ContainsFinalizer(claim, warmpool.FinalizerClaim)
}

// handOver puts the credentials of an instance where the holder of its claim
// finds them.
func (r *WarmClaimReconciler) handOver(ctx context.Context, in *claimsInput, report *claimReport) error {
	status := &report.claim.Status
	err := r.ensureClaimSecret(ctx, report.claim, report.instance, status.Endpoint)
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
	status.CredentialsSecretRef = &warmpool.LocalReference{Name: claimSecretNameFor(report.claim)}
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

// isEarly is true while credentials of a finished claim may still arrive. A claim
// that is deleted does not wait for that: its Secret belongs to it.
func (in *claimsInput) isEarly(claim *warmpool.WarmClaim) bool {
	//warmpool:gate claim-secret-that-comes-late
	return claim.DeletionTimestamp.IsZero() && in.now.Before(claim.Status.FinishedTime.Add(lateWrites))
}

// lookAgainAtFinished notes when a finished claim that has nothing to write now
// can be let go of.
func (in *claimsInput) lookAgainAtFinished(claim *warmpool.WarmClaim) {
	switch {
	case claim.Status.FinishedTime == nil || !controllerutil.ContainsFinalizer(claim, warmpool.FinalizerClaim):
	case in.isHeldBy(claim):
		in.comeBack()
	default:
		in.comeBackAt(claim.Status.FinishedTime.Add(lateWrites))
	}
}

// cleanUp takes the credentials of a finished claim back, and lets it go. The
// finalizer is older than anything that the claim got: as long as it is there,
// there may be a Secret that the status does not name yet, or one on its way.
func (r *WarmClaimReconciler) cleanUp(ctx context.Context, in *claimsInput, before, claim *warmpool.WarmClaim) error {
	mayHold, early := controllerutil.ContainsFinalizer(claim, warmpool.FinalizerClaim), in.isEarly(claim)
	//warmpool:gate claim-secret-goes-with-the-claim
	if (mayHold && !early) || claim.Status.CredentialsSecretRef != nil {
		if err := r.deleteClaimSecret(ctx, claim); err != nil {
			return err
		}
		claim.Status.CredentialsSecretRef = nil
	}
	if err := r.writeClaim(ctx, before, claim); err != nil || !mayHold {
		return err
	}
	//warmpool:gate claim-stays-until-it-has-let-go
	if in.isHeldBy(claim) {
		in.comeBack()
		return nil
	}
	if early {
		in.lookAgainAtFinished(claim)
		return nil
	}
	held := claim.DeepCopy()
	controllerutil.RemoveFinalizer(claim, warmpool.FinalizerClaim)
	return client.IgnoreNotFound(r.Client.Patch(ctx, claim, client.MergeFromWithOptions(held, client.MergeFromWithOptimisticLock{})))
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
func (r *WarmClaimReconciler) writeClaim(ctx context.Context, before, claim *warmpool.WarmClaim) error {
	if equality.Semantic.DeepEqual(before.Status, claim.Status) {
		return nil
	}
	if err := r.Client.Status().Update(ctx, claim); err != nil {
		return err
	}
	r.tellClaim(ctx, before, claim)
	return nil
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
