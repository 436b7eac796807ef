package controllers

import (
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/planner"
)

// poolReconciler works on the stage, after a sweep at noon.
func (s *stage) poolReconciler() *WarmPoolReconciler {
	return &WarmPoolReconciler{
		Client: s.client, APIReader: s.client, Events: events.NewFakeRecorder(100), Clock: s.clock,
		LastTrustedSweep: func(types.NamespacedName) time.Time { return noon },
	}
}

func poolRequest() ctrl.Request {
	return ctrl.Request{NamespacedName: types.NamespacedName{Namespace: "gpu", Name: "sdxl"}}
}

// count is how many instances there are.
func count(t *testing.T, reader client.Reader) int {
	t.Helper()
	var list warmpool.WarmInstanceList
	if err := reader.List(t.Context(), &list); err != nil {
		t.Fatal(err)
	}
	return len(list.Items)
}

// TestAPoolActsOnALiveReading: the cache does not show yet what was made a
// moment ago.
func TestAPoolActsOnALiveReading(t *testing.T) {
	s := newStage(t, testAccount(), testPool(), testInstance())
	r := s.poolReconciler()
	r.Client = fakeClient(t, testAccount(), testPool())
	if _, err := r.Reconcile(t.Context(), poolRequest()); err != nil {
		t.Fatal(err)
	}
	if made := count(t, r.Client); made != 0 {
		t.Errorf("%d instances were made beside the one that the cache does not show", made)
	}
}

// TestNothingIsMadeForAnAccountThatCannotPay: nothing would end what is rented.
func TestNothingIsMadeForAnAccountThatCannotPay(t *testing.T) {
	deleted := metav1.NewTime(noon)
	for name, test := range map[string]struct {
		edit func(*warmpool.VastAccount)
		want int
	}{
		"it can":                       {func(*warmpool.VastAccount) {}, 1},
		"it is being deleted":          {func(a *warmpool.VastAccount) { a.DeletionTimestamp = &deleted }, 0},
		"nothing holds it yet":         {func(a *warmpool.VastAccount) { a.Finalizers = nil }, 0},
		"the account is another one's": {func(a *warmpool.VastAccount) { a.Name = "other" }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			account := testAccount()
			test.edit(account)
			s := newStage(t, account, testPool())
			if _, err := s.poolReconciler().Reconcile(t.Context(), poolRequest()); err != nil {
				t.Fatal(err)
			}
			if made := count(t, s.client); made != test.want {
				t.Errorf("%d instances were made, want %d", made, test.want)
			}
		})
	}
}

// TestAnInstanceIsHeldBeforeItIsRented: the finalizer is there from the start.
func TestAnInstanceIsHeldBeforeItIsRented(t *testing.T) {
	if instance := newInstance(testPool()); !controllerutil.ContainsFinalizer(instance, warmpool.FinalizerTerminate) {
		t.Errorf("finalizers are %v", instance.Finalizers)
	}
}

// TestAClaimWinsAgainstScaleDown: a claim binds between the decision and the
// deletion.
func TestAClaimWinsAgainstScaleDown(t *testing.T) {
	instance := rentedInstance()
	s := newStage(t, testAccount(), testPool(), instance)
	r := s.poolReconciler()
	in, err := r.gather(t.Context(), poolRequest().NamespacedName, s.client)
	if err != nil {
		t.Fatal(err)
	}
	change(s, instance, func(i *warmpool.WarmInstance) {
		i.Spec.ClaimRef = &warmpool.ClaimReference{Name: "claim", UID: "claim"}
	})
	plan := &poolPlan{size: planner.SizePlan{Delete: []planner.Victim{{UID: "uid-a", Name: "sdxl-a", Reason: planner.VictimScaledDown}}}}
	if err := r.execute(t.Context(), in, plan); !apierrors.IsConflict(err) {
		t.Errorf("error %v, want a conflict", err)
	}
	s.get(instance)
	if !instance.DeletionTimestamp.IsZero() {
		t.Error("a claimed instance was deleted")
	}
}

// TestAPoolStaysAsLongAsItsInstances: the cache shows none, and there is one.
func TestAPoolStaysAsLongAsItsInstances(t *testing.T) {
	pool := testPool()
	deleted := metav1.NewTime(noon)
	pool.DeletionTimestamp = &deleted
	s := newStage(t, testAccount(), pool, rentedInstance())
	r := s.poolReconciler()
	s.get(pool)
	if err := r.releasePool(t.Context(), &poolInput{pool: pool, now: noon}); err != nil {
		t.Fatal(err)
	}
	s.get(pool)
	if !controllerutil.ContainsFinalizer(pool, warmpool.FinalizerPool) {
		t.Error("the pool was let go of while an instance of it bills")
	}
}

// TestScaleDownWaitsForAList: only a fresh and trusted list of this process is
// enough to end something.
func TestScaleDownWaitsForAList(t *testing.T) {
	for name, test := range map[string]struct {
		trusted bool
		sweptAt time.Time
		want    bool
	}{
		"a trusted list":                        {true, noon, true},
		"the last list is not trusted":          {false, noon, false},
		"this process has read none":            {true, time.Time{}, false},
		"two polls and a minute ago":            {true, noon.Add(-90 * time.Second), true},
		"longer ago":                            {true, noon.Add(-91 * time.Second), false},
		"in the future: the clock was set back": {true, noon.Add(2 * time.Second), false},
	} {
		t.Run(name, func(t *testing.T) {
			account := testAccount()
			account.Status.LastSweep = &warmpool.SweepStatus{Trusted: test.trusted}
			in := &poolInput{pool: testPool(), account: account, sweptAt: test.sweptAt, now: noon}
			if got := accountTrusted(in); got != test.want {
				t.Errorf("trusted %t, want %t", got, test.want)
			}
		})
	}
}

// TestAnInstanceWhosePoolIsGone: what a late manager made for it goes, unless it
// may bill or a person made it.
func TestAnInstanceWhosePoolIsGone(t *testing.T) {
	made := func(i *warmpool.WarmInstance) { i.OwnerReferences = ownedBy(testPool(), "WarmPool") }
	for name, test := range map[string]struct {
		instance *warmpool.WarmInstance
		edit     func(*warmpool.WarmInstance)
		goes     bool
	}{
		"it was never rented":    {testInstance(), made, true},
		"a person made it":       {testInstance(), func(*warmpool.WarmInstance) {}, false},
		"it has a rental":        {rentedInstance(), made, false},
		"a rent is on its way":   {testInstance(), func(i *warmpool.WarmInstance) { made(i); i.Status.Attempts = []warmpool.RentAttempt{{Number: 1}} }, false},
		"it records a rental":    {testInstance(), func(i *warmpool.WarmInstance) { made(i); i.Status.Rental = &warmpool.Rental{ID: 1} }, false},
		"it is adopting by hand": {testInstance(), func(i *warmpool.WarmInstance) { i.Spec.Adopt = &warmpool.RentalAdoption{RentalID: 78} }, false},
	} {
		t.Run(name, func(t *testing.T) {
			test.edit(test.instance)
			s := newStage(t, testAccount(), test.instance)
			if _, err := s.poolReconciler().Reconcile(t.Context(), poolRequest()); err != nil {
				t.Fatal(err)
			}
			s.get(test.instance)
			if got := !test.instance.DeletionTimestamp.IsZero(); got != test.goes {
				t.Errorf("deleted: %t", got)
			}
		})
	}
}
