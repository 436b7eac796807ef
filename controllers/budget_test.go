package controllers

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/fleet"
	"github.com/warmpool-dev/warmpool/internal/planner"
)

var budgetNoon = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

// budgeted is a pool with a daily budget of $10, and an account whose ledger
// says what both spent today.
func budgeted(pool, account warmpool.SignedUSD) (*warmpool.WarmPool, *warmpool.VastAccount) {
	today := func(spent warmpool.SignedUSD) warmpool.LedgerTotals {
		return warmpool.LedgerTotals{Windows: []warmpool.LedgerWindow{{
			Period: warmpool.BudgetDay, TimeZone: "Etc/UTC", Start: metav1.NewTime(budgetNoon.Add(-12 * time.Hour)), SpentUSD: spent,
		}}}
	}
	daily := []warmpool.Budget{{Name: "day", Period: warmpool.BudgetDay, LimitUSD: "10"}}
	made := &warmpool.WarmPool{Spec: warmpool.WarmPoolSpec{Mode: warmpool.PoolActive, Cost: warmpool.PoolCost{CeilingUSDPerHour: "9", Budgets: daily}}}
	made.Namespace, made.Name = "default", "sdxl"
	return made, &warmpool.VastAccount{
		Spec: warmpool.VastAccountSpec{CeilingUSDPerHour: "9", Budgets: daily},
		Status: warmpool.VastAccountStatus{Ledger: &warmpool.Ledger{
			Through: metav1.NewMicroTime(budgetNoon), Account: today(account),
			Pools: []warmpool.PoolLedger{{Name: "sdxl", LedgerTotals: today(pool)}},
		}},
	}
}

// TestRecheckBudgets is the last look before a rent: one instance at a dollar
// an hour is journaled, and somebody else's rental costs another dollar.
func TestRecheckBudgets(t *testing.T) {
	planned := []planner.Instance{{
		UID: "a", Pool: "default/sdxl", Attempts: []planner.Attempt{{Number: 1, QuotedUSDPerHour: 1_000_000, Outcome: planner.OutcomePending}},
	}}
	listing := &fleet.Listing{Rentals: []fleet.Rental{{ID: 9, PriceUSDPerHour: 1_000_000}}}
	for name, tc := range map[string]struct {
		pool, account warmpool.SignedUSD
		edit          func(*warmpool.WarmPool, *warmpool.VastAccount)
		want          string
	}{
		"both have enough":             {"9.00", "8.00", nil, ""},
		"the pool's would not last":    {"9.01", "1.00", nil, planner.ReasonBudgetExhausted},
		"the account's would not last": {"1.00", "8.01", nil, planner.ReasonBudgetExhausted},
		"there is no ledger": {"1.00", "1.00", func(_ *warmpool.WarmPool, a *warmpool.VastAccount) {
			a.Status.Ledger = nil
		}, planner.ReasonLedgerUnknown},
		"the pool has no entry": {"1.00", "1.00", func(_ *warmpool.WarmPool, a *warmpool.VastAccount) {
			a.Status.Ledger.Pools = nil
		}, planner.ReasonLedgerUnknown},
		"no ledger and no budgets": {"1.00", "1.00", func(p *warmpool.WarmPool, a *warmpool.VastAccount) {
			p.Spec.Cost.Budgets, a.Spec.Budgets, a.Status.Ledger = nil, nil, nil
		}, ""},
		"a zone that is none": {"1.00", "1.00", func(p *warmpool.WarmPool, _ *warmpool.VastAccount) {
			p.Spec.Cost.Budgets = []warmpool.Budget{{Name: "day", Period: warmpool.BudgetDay, LimitUSD: "10", TimeZone: "Europe/Olso"}}
		}, planner.ReasonBudgetZoneUnknown},
		"the zone of the machine": {"1.00", "1.00", func(p *warmpool.WarmPool, _ *warmpool.VastAccount) {
			p.Spec.Cost.Budgets = []warmpool.Budget{{Name: "day", Period: warmpool.BudgetDay, LimitUSD: "10", TimeZone: "Local"}}
		}, planner.ReasonBudgetZoneUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			pool, account := budgeted(tc.pool, tc.account)
			if tc.edit != nil {
				tc.edit(pool, account)
			}
			got := recheckBudgets(account, pool, planned, listing, budgetNoon)
			if (got == nil) != (tc.want == "") || (got != nil && got.Reason != tc.want) {
				t.Errorf("%+v, want %q", got, tc.want)
			}
		})
	}
}

// TestPoolShowsWhatItSpent proves that a quiet pool is not written with every sweep.
func TestPoolShowsWhatItSpent(t *testing.T) {
	pool, account := budgeted("9.00", "9.00")
	totals := &account.Status.Ledger.Pools[0].LedgerTotals
	totals.USDPerHour = "1.00"
	totals.Windows = append(totals.Windows, warmpool.LedgerWindow{
		Period: warmpool.BudgetMonth, TimeZone: "Etc/UTC", Start: metav1.NewTime(budgetNoon.AddDate(0, 0, -24)), SpentUSD: "212.40",
	})
	in := &poolInput{pool: pool, account: account, now: budgetNoon}
	var before, first, second warmpool.PoolCostStatus
	showSpent(in, &before, &first)
	if first.SpentTodayUSD != "9.00" || first.SpentMonthUSD != "212.40" || !first.LedgerThrough.Time.Equal(budgetNoon) {
		t.Errorf("%+v", first)
	}
	// 5.5 days are left of November, at a dollar an hour.
	if first.ProjectedMonthUSD != "344.40" {
		t.Errorf("projected $%s", first.ProjectedMonthUSD)
	}
	totals.Windows[0].SpentUSD = "9.10"
	account.Status.Ledger.Through = metav1.NewMicroTime(budgetNoon.Add(59 * time.Second))
	showSpent(in, &first, &second)
	if second.SpentTodayUSD != "9.00" {
		t.Error("the figures are written anew within a minute")
	}
	account.Status.Ledger.Through = metav1.NewMicroTime(budgetNoon.Add(time.Minute))
	showSpent(in, &first, &second)
	if second.SpentTodayUSD != "9.10" {
		t.Error("the figures are not written anew after a minute")
	}
}

// TestAccountWithinBudget is the account's own condition.
func TestAccountWithinBudget(t *testing.T) {
	_, account := budgeted("0", "9.99")
	if got := budgetCondition(account, budgetNoon); !got.ok || got.reason != planner.PoolReasonWithinBudget {
		t.Errorf("%+v", got)
	}
	_, account = budgeted("0", "10.00")
	if got := budgetCondition(account, budgetNoon); got.ok || got.reason != planner.PoolReasonDayBudgetExhausted {
		t.Errorf("%+v", got)
	}
}
