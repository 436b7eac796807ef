package controllers

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/fleet"
	"github.com/warmpool-dev/warmpool/internal/planner"
)

// fresh is a lease that was just renewed.
type fresh struct{}

func (fresh) IsFresh() bool { return true }

// TestTheLastLookReadsBudgetsLive: the budget was used up after the rent was
// admitted, and the last look before the call stops it.
func TestTheLastLookReadsBudgetsLive(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := warmpool.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		spent warmpool.SignedUSD
		want  string
	}{
		"some is left":    {"1.00", ""},
		"nothing is left": {"10.00", planner.ReasonBudgetExhausted},
	} {
		t.Run(name, func(t *testing.T) {
			pool, account := budgeted(tc.spent, "0")
			pool.Spec.Replicas = new(int32(1))
			account.Namespace, account.Name, account.Spec.Mode = "default", "default", warmpool.AccountActive
			account.Status.UserID = 1
			attempt := warmpool.RentAttempt{Number: 1, OfferID: 1, QuotedUSDPerHour: "1", StartedTime: metav1.NewTime(budgetNoon), Outcome: warmpool.AttemptPending}
			instance := &warmpool.WarmInstance{
				ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "sdxl-a", UID: "a"},
				Spec:       warmpool.WarmInstanceSpec{PoolRef: warmpool.LocalReference{Name: "sdxl"}, AccountRef: warmpool.LocalReference{Name: "default"}},
				Status:     warmpool.WarmInstanceStatus{Attempts: []warmpool.RentAttempt{attempt}},
			}
			session := &accountSession{
				link:    connection{verified: true, user: fleet.User{ID: 1, BalanceUSD: 100_000_000}},
				verdict: planner.SweepVerdict{Trusted: true}, trust: planner.TrustMemory{SeenTrusted: true, LastTrustedAt: budgetNoon},
				lastTrusted: &planner.Sweep{Trusted: true}, counted: &fleet.Listing{}, rents: map[string]bool{},
			}
			objects := fake.NewClientBuilder().WithScheme(scheme).WithObjects(pool, account, instance).Build()
			r := &VastAccountReconciler{
				Client: objects, APIReader: objects,
				Lease: fresh{}, Clock: clocktesting.NewFakeClock(budgetNoon.Add(time.Second)),
			}
			got, err := r.recheck(t.Context(), &rentInput{account: account, session: session, link: session.link}, instance, &attempt)
			if err != nil || (got == nil) != (tc.want == "") || (got != nil && got.Reason != tc.want) {
				t.Errorf("%+v, %v, want %q", got, err, tc.want)
			}
		})
	}
}
