package simulate

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/planner"
	"github.com/warmpool-dev/warmpool/internal/testkit/apidouble"
)

// claimChanged follows a claim, and judges what it is told and how it ends (I3).
func (t *witness) claimChanged(event watch.EventType, claim *warmpool.WarmClaim, before client.Object) {
	if event == watch.Deleted {
		delete(t.claims, claim.UID)
		return
	}
	t.claims[claim.UID] = claim
	was, existed := before.(*warmpool.WarmClaim)
	switch {
	case !existed:
	case was.Status.FinishedTime != nil && claim.Status.FinishedTime == nil:
		t.world.fail("I3", "claim %s had ended, and goes on", claim.Name)
	case was.Status.FinishedTime == nil && claim.Status.FinishedTime != nil:
		t.checkClaimEnd(claim)
	case told(claim) != told(was):
		t.checkTold(was, claim)
	}
}

// told is the instance that a claim's holder was told; empty before.
func told(claim *warmpool.WarmClaim) string {
	if claim.Status.InstanceRef == nil {
		return ""
	}
	return claim.Status.InstanceRef.Name
}

// checkTold judges what the holder of a claim is told: one instance and no other
// one after it, which the claim holds, and which no other holder was told.
func (t *witness) checkTold(was, claim *warmpool.WarmClaim) {
	name := told(claim)
	if told(was) != "" {
		t.world.fail("I3", "claim %s was told instance %s, and now instance %s", claim.Name, told(was), name)
	}
	for _, uid := range sortedKeys(t.claims) {
		if other := t.claims[uid]; uid != claim.UID && isOpen(other) && told(other) == name {
			t.world.fail("I3", "claims %s and %s were both told instance %s", claim.Name, other.Name, name)
		}
	}
	for _, uid := range sortedKeys(t.instances) {
		instance := t.instances[uid]
		if holder := instance.Spec.ClaimRef; instance.Name == name && (holder == nil || holder.UID != claim.UID) {
			t.world.fail("I3", "claim %s was told instance %s, which it does not hold", claim.Name, name)
		}
	}
}

// checkHolder judges a change of who holds an instance: only what is ready and
// free is handed out, and never from one claim to the next at once.
func (t *witness) checkHolder(was, instance *warmpool.WarmInstance, actor string) {
	before, after := was.Spec.ClaimRef, instance.Spec.ClaimRef
	switch {
	case before == nil && after == nil:
	case before == nil:
		if instance.DeletionTimestamp != nil || !meta.IsStatusConditionTrue(was.Status.Conditions, warmpool.ConditionReady) {
			t.world.fail("I3", "%s gave claim %s instance %s, which is not ready", actor, after.Name, instance.Name)
		}
	case after != nil && after.UID != before.UID:
		t.world.fail("I3", "%s gave claim %s instance %s, which claim %s has", actor, after.Name, instance.Name, before.Name)
	case after == nil || after.RecycleTime != nil:
		t.checkLetGo(was, after == nil, actor)
	}
}

// checkLetGo judges that an instance is taken from its claim, to be emptied or
// to be free: nothing is taken from a claim that goes on, and nothing is free
// again that has not proved itself since.
func (t *witness) checkLetGo(was *warmpool.WarmInstance, isFree bool, actor string) {
	holder, recycle := was.Spec.ClaimRef, was.Status.Recycle
	switch {
	case t.isRightlyHeld(was):
		t.world.fail("I3", "%s took instance %s from claim %s, which goes on", actor, was.Name, holder.Name)
	case isFree && holder.RecycleTime != nil && (recycle == nil || recycle.ClaimUID != string(holder.UID) || recycle.ProvenTime == nil):
		t.world.fail("I3", "%s freed instance %s, which has not proved itself after claim %s", actor, was.Name, holder.Name)
	}
}

// isRightlyHeld is true while a claim that goes on holds an instance, and its
// holder was not told another one.
func (t *witness) isRightlyHeld(instance *warmpool.WarmInstance) bool {
	holder := instance.Spec.ClaimRef
	if holder == nil || holder.RecycleTime != nil {
		return false
	}
	claim := t.claims[holder.UID]
	return isOpen(claim) && (told(claim) == "" || told(claim) == instance.Name)
}

// checkClaimEnd judges the end of a claim by its reason. The times in it are of
// one clock, whatever that shows.
func (t *witness) checkClaimEnd(claim *warmpool.WarmClaim) {
	finished := meta.FindStatusCondition(claim.Status.Conditions, warmpool.ConditionFinished)
	if finished == nil {
		t.world.fail("I3", "claim %s has ended, and does not say why", claim.Name)
		return
	}
	switch finished.Reason {
	case planner.ClaimReasonExpired:
		t.checkExpiry(claim)
	case planner.ClaimReasonInstanceLost:
		if held := t.heldBy(claim.UID); held != nil && held.Name == told(claim) {
			t.world.fail("I3", "claim %s ended as lost, and still holds instance %s", claim.Name, held.Name)
		}
	case planner.ClaimReasonBindTimeout:
		if until := claim.CreationTimestamp.Add(seconds(claim.Spec.BindTimeoutSeconds)); claim.Status.FinishedTime.Time.Before(until) {
			t.world.fail("I3", "claim %s gave up at %s, it was to wait until %s", claim.Name, claim.Status.FinishedTime.UTC(), until.UTC())
		}
	case planner.ClaimReasonReleased:
		if claim.DeletionTimestamp == nil {
			t.world.fail("I3", "claim %s ended as released, and nobody deleted it", claim.Name)
		}
	}
}

// checkExpiry demands that a claim had the time that it asked for, or the most
// that its pool allowed a while ago.
func (t *witness) checkExpiry(claim *warmpool.WarmClaim) {
	bound := claim.Status.BoundTime
	if held := t.heldBy(claim.UID); held != nil && held.Spec.ClaimRef.BoundTime != nil {
		bound = held.Spec.ClaimRef.BoundTime
	}
	if bound == nil {
		return // its instance has gone since, and it was never told of it
	}
	now, allowed := t.world.now(), seconds(*claim.Spec.TTLSeconds)
	for _, m := range t.pools[claim.Spec.PoolRef.Name].within(now.Add(-inFlight), now) {
		allowed = min(allowed, m.maxTTL)
	}
	if until := bound.Add(allowed); claim.Status.FinishedTime.Time.Before(until) {
		t.world.fail("I3", "claim %s expired at %s, it may hold instance %s until %s", claim.Name, claim.Status.FinishedTime.UTC(), told(claim), until.UTC())
	}
}

// heldBy is the instance that a claim holds; nil when there is none.
func (t *witness) heldBy(claim types.UID) *warmpool.WarmInstance {
	for _, instance := range t.instances {
		if held := heldBy(claim, []*warmpool.WarmInstance{instance}); held != nil {
			return held
		}
	}
	return nil
}

func seconds(n int32) time.Duration { return time.Duration(n) * time.Second }

// strayHolder names an instance that nobody holds any more and that is not
// released, or credentials that a claim has left behind; empty when there is none.
func (w *world) strayHolder(claims []*warmpool.WarmClaim, instances []*warmpool.WarmInstance) string {
	open := map[types.UID]bool{}
	for _, claim := range claims {
		open[claim.UID] = isOpen(claim)
		secret, err := w.api.Get(apidouble.KindSecret, types.NamespacedName{Namespace: namespace, Name: claim.Name + "-claim"})
		if err == nil && claim.Status.FinishedTime != nil && metav1.IsControlledBy(secret, claim) {
			return fmt.Sprintf("claim %s has ended, and its Secret is still there", claim.Name)
		}
	}
	for _, instance := range instances {
		if holder := instance.Spec.ClaimRef; holder != nil && heldBy(holder.UID, instances) == instance && !open[holder.UID] {
			return fmt.Sprintf("instance %s is still held by claim %s, which has ended", instance.Name, holder.Name)
		}
	}
	return ""
}
