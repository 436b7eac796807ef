package controllers

import (
	"context"
	"errors"
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

// charging is a provider that knows nothing but charges.
type charging struct {
	Provider
	charges []fleet.Charge
	err     error
	asked   int
}

func (c *charging) Charges(context.Context, time.Time, time.Time) ([]fleet.Charge, error) {
	c.asked++
	return c.charges, c.err
}

// sweeping is a reconciler over an account and a pool, and a sweep that shows
// one running rental of nobody's at a dollar an hour, since two days.
func sweeping(t *testing.T, provider *charging) (*VastAccountReconciler, *sweepInput, *sweepPlan) {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := warmpool.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	pool, account := budgeted("0", "0")
	account.Namespace, account.Name, account.Status = "default", "default", warmpool.VastAccountStatus{}
	pool.Spec.AccountRef.Name = "default"
	r := &VastAccountReconciler{
		Client: fake.NewClientBuilder().WithScheme(scheme).WithObjects(pool).Build(),
		Clock:  clocktesting.NewFakeClock(budgetNoon), InstallationID: "inst0001",
	}
	in := &sweepInput{account: account, session: &accountSession{}, link: connection{provider: provider}}
	plan := &sweepPlan{sweep: planner.Sweep{Trusted: true, Listing: fleet.Listing{StartedAt: budgetNoon, FinishedAt: budgetNoon, Rentals: []fleet.Rental{{
		ID: 7, PriceUSDPerHour: 1_000_000, ActualStatus: fleet.StatusRunning, StartedAt: budgetNoon.Add(-48 * time.Hour),
	}}}}}
	return r, in, plan
}

// TestLedgerCountsTrustedSweepsOnly: an untrusted list says nothing about money.
func TestLedgerCountsTrustedSweepsOnly(t *testing.T) {
	r, in, plan := sweeping(t, &charging{})
	plan.sweep.Trusted = false
	r.keepLedger(t.Context(), in, plan)()
	if in.account.Status.Ledger != nil {
		t.Errorf("%+v", in.account.Status.Ledger)
	}
}

// TestLedgerIsKeptWithTheSweep counts, and remembers only what was written.
func TestLedgerIsKeptWithTheSweep(t *testing.T) {
	r, in, plan := sweeping(t, &charging{err: &fleet.ProviderError{Kind: fleet.KindForbidden}})
	written := r.keepLedger(t.Context(), in, plan)
	status := &in.account.Status
	if status.SpentTodayUSD != "12.00" || status.SpentMonthUSD != "48.00" || status.ProjectedMonthUSD != "180.00" {
		t.Errorf("today $%s, month $%s, projected $%s", status.SpentTodayUSD, status.SpentMonthUSD, status.ProjectedMonthUSD)
	}
	if len(status.Ledger.Pools) != 1 || status.Ledger.Pools[0].Name != "sdxl" {
		t.Errorf("pools %+v", status.Ledger.Pools)
	}
	if !in.session.ledger.sweptAt.IsZero() {
		t.Error("it was remembered before it was written")
	}
	written()
	if !in.session.ledger.sweptAt.Equal(budgetNoon) {
		t.Error("it was not remembered after it was written")
	}
}

// TestChargesAreComparedOnceADay reads the charges at budgetNoon, and again after an
// hour when they could not be read.
func TestChargesAreComparedOnceADay(t *testing.T) {
	provider := &charging{err: errors.New("no answer")}
	r, in, plan := sweeping(t, provider)
	clock := clocktesting.NewFakeClock(budgetNoon)
	r.Clock = clock
	in.account.Status.Ledger = &warmpool.Ledger{
		Since: metav1.NewTime(budgetNoon.Add(-36 * time.Hour)), Through: metav1.NewMicroTime(budgetNoon.Add(-time.Minute)),
		Account: warmpool.LedgerTotals{
			USDPerHour: "1.00", Days: []warmpool.LedgerDay{{Day: "2026-11-24", SpentUSD: "24.00", CertainUSD: "20.00"}},
			Windows: []warmpool.LedgerWindow{{Period: warmpool.BudgetMonth, TimeZone: "Etc/UTC", Start: metav1.NewTime(budgetNoon.AddDate(0, 0, -24).Add(-12 * time.Hour)), SpentUSD: "36.00"}},
		},
	}
	sweep := func(after time.Duration) *warmpool.Ledger {
		clock.Step(after)
		plan.sweep.Listing.StartedAt, plan.sweep.Listing.FinishedAt = clock.Now(), clock.Now()
		r.keepLedger(t.Context(), in, plan)
		in.session.ledger.triedAt = budgetNoon
		return in.account.Status.Ledger
	}
	if got := sweep(0); got.CorrectionProblem == "" || got.LastCorrection != nil || provider.asked != 1 {
		t.Errorf("%+v after %d calls", got, provider.asked)
	}
	if sweep(59 * time.Minute); provider.asked != 1 {
		t.Error("it asked again within an hour")
	}
	provider.err, provider.charges = nil, []fleet.Charge{{AmountUSD: 23_500_000}}
	got := sweep(time.Minute)
	if got.CorrectionProblem != "" || got.LastCorrection == nil || got.LastCorrection.CorrectionUSD != "-0.50" || got.LastCorrection.Day != "2026-11-24" {
		t.Errorf("%+v", got.LastCorrection)
	}
	asked := provider.asked
	if sweep(2 * time.Hour); provider.asked != asked {
		t.Error("it asked twice for one day")
	}
}
