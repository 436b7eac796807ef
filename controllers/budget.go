package controllers

import (
	"cmp"
	"slices"
	"time"
	_ "time/tzdata" // budgets name zones, and the image has no database of its own

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/fleet"
	"github.com/warmpool-dev/warmpool/internal/planner"
)

// Where budgets stand, for people.
const (
	poolBudgetField    = "spec.cost.budgets of the WarmPool"
	accountBudgetField = "spec.budgets of the VastAccount"
)

// zoneOf returns the zone of an IANA name, nil for a name that is none. "Local"
// is none: it would be another zone in every process.
func zoneOf(name string) *time.Location {
	if name == "Local" {
		return nil
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return nil
	}
	return zone
}

// spendBudgets converts budgets; the field is where a person finds them.
func spendBudgets(budgets []warmpool.Budget, field string) []planner.SpendBudget {
	converted := make([]planner.SpendBudget, 0, len(budgets))
	for k := range budgets {
		budget := &budgets[k]
		name := cmp.Or(budget.TimeZone, planner.ZoneUTC)
		converted = append(converted, planner.SpendBudget{
			Name: budget.Name, Field: field, Period: planner.SpendPeriod(budget.Period), ZoneName: name, Zone: zoneOf(name),
			LimitUSD: usdOf(string(budget.LimitUSD)), Action: planner.BudgetAction(cmp.Or(budget.Action, warmpool.BudgetStopRenting)),
		})
	}
	return converted
}

// ledgerZones are the windows that budgets ask for. A zone that is not known has none.
func ledgerZones(budgets []warmpool.Budget) []planner.LedgerZone {
	var zones []planner.LedgerZone
	for _, budget := range spendBudgets(budgets, "") {
		if budget.Zone != nil {
			zones = append(zones, planner.LedgerZone{Period: budget.Period, Name: budget.ZoneName, Zone: budget.Zone})
		}
	}
	return zones
}

// poolBudgets says how the pool's own budgets stand. Without an account, or
// without an entry in its ledger, that is not known.
func poolBudgets(pool *warmpool.WarmPool, account *warmpool.VastAccount, now time.Time) []planner.SpendBudgetState {
	budgets := spendBudgets(pool.Spec.Cost.Budgets, poolBudgetField)
	if len(budgets) == 0 {
		return nil
	}
	if account != nil && account.Status.Ledger != nil {
		ledger := account.Status.Ledger
		for k := range ledger.Pools {
			if ledger.Pools[k].Name == pool.Name {
				totals := plannerTotals(pool.Name, &ledger.Pools[k].LedgerTotals)
				return planner.ComputeBudgets(budgets, &totals, ledger.Through.Time, now)
			}
		}
	}
	return planner.ComputeBudgets(budgets, nil, time.Time{}, now)
}

// accountBudgets says how the account's budgets stand.
func accountBudgets(account *warmpool.VastAccount, now time.Time) []planner.SpendBudgetState {
	budgets := spendBudgets(account.Spec.Budgets, accountBudgetField)
	if len(budgets) == 0 {
		return nil
	}
	if account.Status.Ledger == nil {
		return planner.ComputeBudgets(budgets, nil, time.Time{}, now)
	}
	totals := plannerTotals("", &account.Status.Ledger.Account)
	return planner.ComputeBudgets(budgets, &totals, account.Status.Ledger.Through.Time, now)
}

// spendVerdict is what the pool's budgets and its account's come to.
func spendVerdict(in *poolInput) planner.SpendVerdict {
	states := poolBudgets(in.pool, in.account, in.now)
	if in.account != nil {
		states = slices.Concat(states, accountBudgets(in.account, in.now))
	}
	return planner.JudgeBudgets(states)
}

// withBudgets adds the pool's budgets to what its admission looks at.
func withBudgets(converted planner.AdmissionPool, pool *warmpool.WarmPool, account *warmpool.VastAccount, now time.Time) planner.AdmissionPool {
	converted.Budgets, converted.BudgetHorizon = poolBudgets(pool, account, now), rentHorizon(pool)
	return converted
}

func rentHorizon(pool *warmpool.WarmPool) time.Duration {
	return planner.RentHorizon(int64(pool.Spec.Lifecycle.ProvisioningDeadlineSeconds), int64(pool.Spec.Lifecycle.StartupDeadlineSeconds))
}

// recheckBudgets looks at the budgets once more before the call. The journaled
// attempt is among the instances, so its price is in both sums.
func recheckBudgets(account *warmpool.VastAccount, pool *warmpool.WarmPool, planned []planner.Instance, listing *fleet.Listing, now time.Time) *planner.Deferral {
	key := poolKey(pool.Namespace, pool.Name)
	if deferral := planner.BudgetDeferral(poolBudgets(pool, account, now), planner.CommittedOfPool(planned, key), rentHorizon(pool), now); deferral != nil {
		return deferral
	}
	return planner.BudgetDeferral(accountBudgets(account, now), planner.AccountCommitted(planned, listing), rentHorizon(pool), now)
}

// budgetCondition is the account's own condition WithinBudget.
func budgetCondition(account *warmpool.VastAccount, now time.Time) condition {
	verdict := planner.JudgeBudgets(accountBudgets(account, now))
	answer := verdict.Condition()
	return condition{warmpool.ConditionWithinBudget, answer.Status == "True", answer.Reason, answer.Message}
}
