package controllers

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/planner"
)

// plannerLedger converts the ledger of a status, nil for none.
func plannerLedger(ledger *warmpool.Ledger) *planner.Ledger {
	if ledger == nil {
		return nil
	}
	converted := &planner.Ledger{Since: ledger.Since.UTC(), Through: ledger.Through.UTC(), Account: plannerTotals("", &ledger.Account)}
	for k := range ledger.Pools {
		totals := plannerTotals(ledger.Pools[k].Name, &ledger.Pools[k].LedgerTotals)
		totals.Rentals = ledger.Pools[k].Rentals
		converted.Pools = append(converted.Pools, totals)
	}
	return converted
}

func plannerTotals(name string, totals *warmpool.LedgerTotals) planner.LedgerTotals {
	converted := planner.LedgerTotals{Name: name, USDPerHour: usdOf(string(totals.USDPerHour))}
	for _, window := range totals.Windows {
		converted.Windows = append(converted.Windows, planner.LedgerWindow{
			Period: planner.SpendPeriod(window.Period), Zone: window.TimeZone, Start: window.Start.Time,
			SpentUSD: usdOf(string(window.SpentUSD)), PreviousUSD: usdOf(string(window.PreviousUSD)),
		})
	}
	for _, day := range totals.Days {
		converted.Days = append(converted.Days, planner.LedgerDay{
			Day: day.Day, SpentUSD: usdOf(string(day.SpentUSD)), CertainUSD: usdOf(string(day.CertainUSD)),
		})
	}
	return converted
}

// statusLedger converts a ledger for a status; what is about the charges stays
// as it was.
func statusLedger(ledger *planner.Ledger, before *warmpool.Ledger) *warmpool.Ledger {
	converted := &warmpool.Ledger{
		Since: metav1.Time{Time: ledger.Since}, Through: metav1.MicroTime{Time: ledger.Through}, Account: statusTotals(&ledger.Account),
	}
	for k := range ledger.Pools {
		converted.Pools = append(converted.Pools, warmpool.PoolLedger{
			Name: ledger.Pools[k].Name, LedgerTotals: statusTotals(&ledger.Pools[k]), Rentals: ledger.Pools[k].Rentals,
		})
	}
	if before != nil {
		converted.LastCorrection, converted.CorrectionProblem = before.LastCorrection, before.CorrectionProblem
	}
	return converted
}

func statusTotals(totals *planner.LedgerTotals) warmpool.LedgerTotals {
	converted := warmpool.LedgerTotals{USDPerHour: signedUSD(totals.USDPerHour)}
	for k := range totals.Windows {
		window := &totals.Windows[k]
		converted.Windows = append(converted.Windows, warmpool.LedgerWindow{
			Period: warmpool.BudgetPeriod(window.Period), TimeZone: window.Zone, Start: metav1.Time{Time: window.Start},
			SpentUSD: signedUSD(window.SpentUSD), PreviousUSD: signedUSD(window.PreviousUSD),
		})
	}
	for _, day := range totals.Days {
		converted.Days = append(converted.Days, warmpool.LedgerDay{
			Day: day.Day, SpentUSD: signedUSD(day.SpentUSD), CertainUSD: signedUSD(day.CertainUSD),
		})
	}
	return converted
}
