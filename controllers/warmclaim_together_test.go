package controllers

import (
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/planner"
)

// TestClaimsOfOneSecondAreRecycledOneByOne: the instance proved itself in the very
// second in which it is emptied again. It has to render once more, and does not
// wait for the end of its time to recycle.
func TestClaimsOfOneSecondAreRecycledOneByOne(t *testing.T) {
	instance := readyInstance("sdxl-x")
	s := newStage(t, sweptAccount(), testPool(), instance, passwordOf(instance))
	r := s.instanceReconciler()
	r.Prober, r.Recycler = quietProber{s.clock.Now}, emptier{}
	for _, name := range []string{"first", "second", "third"} {
		change(s, readyInstance("sdxl-x"), func(i *warmpool.WarmInstance) {
			released := metav1.NewTime(s.clock.Now())
			i.Spec.ClaimRef = &warmpool.ClaimReference{Name: name, UID: types.UID("uid-" + name), RecycleTime: &released}
		})
		for range 4 {
			s.clock.Step(50 * time.Millisecond)
			if _, err := r.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(instance)}); err != nil {
				t.Fatal(err)
			}
		}
		s.get(instance)
		if recycle := instance.Status.Recycle; recycle == nil || recycle.ProvenTime == nil {
			t.Fatalf("after the %s claim: %+v", name, recycle)
		}
	}
}

// TestRecyclingIsNoFailure: a pool whose instances are all being recycled goes on
// renting, and says nothing of a fault.
func TestRecyclingIsNoFailure(t *testing.T) {
	var instances []warmpool.WarmInstance
	for _, name := range []string{"sdxl-x", "sdxl-y", "sdxl-z"} {
		instances = append(instances, *readyInstance(name, func(i *warmpool.WarmInstance) {
			at := metav1.NewTime(noon)
			i.Status.ReadyTime = &at
			meta.SetStatusCondition(&i.Status.Conditions, metav1.Condition{Type: warmpool.ConditionReady, Status: metav1.ConditionFalse, Reason: planner.HealthRecycling})
		}))
	}
	pool := testPool()
	pool.Spec.Remediation.MaxUnhealthy = "40%"
	if budget := healthBudget(instances, pool); budget.Suspended || budget.Failing != 0 {
		t.Errorf("%d of %d fail: %s", budget.Failing, budget.Counted, budget.Message)
	}
	for k := range instances {
		instances[k].Status.Conditions[0].Reason = "Unresponsive"
	}
	if budget := healthBudget(instances, pool); !budget.Suspended {
		t.Error("nobody answers, and it passes for recycling")
	}
}

// nobodyMeasures is a ClaimRecorder for several goroutines.
type nobodyMeasures struct{}

func (nobodyMeasures) ClaimBound(time.Duration) {}

// TestClaimsThatComeTogetherAreServedTogether: in one pass, each with an instance of
// its own and its Secret, oldest first. Those for which there is none are told their
// places at once, and new places only now and then.
func TestClaimsThatComeTogetherAreServedTogether(t *testing.T) {
	const served, waiting = 12, 4
	objects := []client.Object{testAccount(), testPool()}
	var claims []*warmpool.WarmClaim
	for k := range served + waiting {
		claims = append(claims, testClaim(fmt.Sprintf("job-%02d", k), func(c *warmpool.WarmClaim) {
			c.CreationTimestamp = metav1.NewTime(noon.Add(time.Duration(k) * time.Second))
		}))
		objects = append(objects, claims[k])
	}
	for k := range served {
		instance := readyInstance(fmt.Sprintf("sdxl-%02d", k))
		objects = append(objects, instance, passwordOf(instance))
	}
	s := newStage(t, objects...)
	r := s.claimReconciler()
	r.Writers, r.Metrics = 8, nobodyMeasures{}
	s.clock.SetTime(noon.Add(30 * time.Second))
	s.serveClaims(r)
	holders := map[string]string{}
	for k, claim := range claims {
		s.get(claim)
		if k >= served {
			if got := claim.Status.QueuePosition; got != int32(k-served+1) {
				t.Errorf("%s has place %d", claim.Name, got)
			}
			continue
		}
		if claim.Status.InstanceRef == nil || claim.Status.CredentialsSecretRef == nil {
			t.Fatalf("%s is not served: %+v", claim.Name, claim.Status)
		}
		if other := holders[claim.Status.InstanceRef.Name]; other != "" {
			t.Errorf("%s and %s hold %s", other, claim.Name, claim.Status.InstanceRef.Name)
		}
		holders[claim.Status.InstanceRef.Name] = claim.Name
		s.get(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "gpu", Name: claim.Status.CredentialsSecretRef.Name}})
	}

	// With each one more that is served the others move up. They are told once, and
	// then not again before the period is over.
	last, moved := claims[len(claims)-1], 0
	for _, want := range []int32{waiting - 1, waiting - 1} {
		late := readyInstance(fmt.Sprintf("sdxl-late-%d", moved))
		for _, object := range []client.Object{late, passwordOf(late)} {
			object.SetResourceVersion("")
			if err := s.client.Create(t.Context(), object); err != nil {
				t.Fatal(err)
			}
		}
		s.clock.Step(newsPeriod / 4)
		s.serveClaims(r)
		s.get(claims[served+moved])
		if s.get(last); claims[served+moved].Status.InstanceRef == nil || last.Status.QueuePosition != want {
			t.Errorf("the next one holds %v, and the last one was told place %d, want %d", claims[served+moved].Status.InstanceRef, last.Status.QueuePosition, want)
		}
		moved++
	}
	result, err := r.Reconcile(t.Context(), poolRequest())
	if err != nil {
		t.Fatal(err)
	}
	if result.RequeueAfter <= 0 || result.RequeueAfter > newsPeriod {
		t.Errorf("the news come in %s", result.RequeueAfter)
	}
	s.clock.Step(newsPeriod)
	s.serveClaims(r)
	if s.get(last); last.Status.QueuePosition != waiting-2 {
		t.Errorf("after the news its place is %d", last.Status.QueuePosition)
	}
}
