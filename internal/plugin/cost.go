package plugin

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/controllers"
	"github.com/warmpool-dev/warmpool/internal/fleet"
)

// costReport is what everything costs. Money is in dollars, exact.
type costReport struct {
	Rows    []costRow    `json:"rows"`
	Budgets []budgetRow  `json:"budgets"`
	Checked []chargedRow `json:"charged"`
	// everywhere adds the namespace to the columns.
	everywhere bool
}

// costRow is the money of a pool or an account.
type costRow struct {
	Namespace           string `json:"namespace"`
	Kind                string `json:"kind"`
	Name                string `json:"name"`
	CommittedUSDPerHour string `json:"committedUSDPerHour"`
	ObservedUSDPerHour  string `json:"observedUSDPerHour,omitempty"`
	CeilingUSDPerHour   string `json:"ceilingUSDPerHour"`
	HeadroomUSDPerHour  string `json:"headroomUSDPerHour"`
	SpentTodayUSD       string `json:"spentTodayUSD,omitempty"`
	SpentMonthUSD       string `json:"spentMonthUSD,omitempty"`
	ProjectedMonthUSD   string `json:"projectedMonthUSD,omitempty"`
	BalanceUSD          string `json:"balanceUSD,omitempty"`
	CountedThrough      string `json:"countedThrough,omitempty"`
}

// budgetRow is one budget and what is left of it.
type budgetRow struct {
	Namespace string `json:"namespace"`
	Of        string `json:"of"`
	Name      string `json:"name"`
	Period    string `json:"period"`
	TimeZone  string `json:"timeZone"`
	LimitUSD  string `json:"limitUSD"`
	SpentUSD  string `json:"spentUSD,omitempty"`
	LeftUSD   string `json:"leftUSD,omitempty"`
	Action    string `json:"action"`
}

// chargedRow compares the ledger of an account with what Vast.ai charged.
type chargedRow struct {
	Namespace     string `json:"namespace"`
	Account       string `json:"account"`
	Day           string `json:"day,omitempty"`
	LedgerUSD     string `json:"ledgerUSD,omitempty"`
	ChargedUSD    string `json:"chargedUSD,omitempty"`
	CorrectionUSD string `json:"correctionUSD,omitempty"`
	Problem       string `json:"problem,omitempty"`
}

func newCost(o *options) *cobra.Command {
	var everywhere bool
	command := &cobra.Command{
		Use:   "cost",
		Short: "Show what pools and accounts cost and spent, and what is left of ceilings and budgets",
		Long: "cost shows, in exact dollars, what every pool and account commits per hour, what is left below its ceiling, what was spent today and in\n" +
			"this month (UTC), what the month will cost if everything goes on as it is, what is left of every budget, and how the ledger compared\n" +
			"with what Vast.ai charged.",
		Example: "  kubectl warmpool cost -A",
		Args:    arguments(0, 0, "no arguments"),
		RunE: func(command *cobra.Command, _ []string) error {
			cluster, err := o.connect()
			if err != nil {
				return err
			}
			seen, err := cluster.look(command.Context(), o.env.Clock.Now(), everywhere)
			if err != nil {
				return err
			}
			answer := seen.cost()
			answer.everywhere = everywhere
			if len(answer.Rows) == 0 {
				o.say("There is no pool and no account in namespace %q: -A looks into all namespaces.", cluster.Namespace)
			}
			return o.print(answer)
		},
	}
	command.Flags().BoolVarP(&everywhere, "all-namespaces", "A", false, "look into all namespaces")
	o.addOutput(command, true)
	return command
}

// cost adds everything up. It is pure.
func (w *world) cost() *costReport {
	answer := &costReport{Rows: []costRow{}, Budgets: []budgetRow{}, Checked: []chargedRow{}}
	for k := range w.accounts {
		account := &w.accounts[k]
		status := &account.Status
		ceiling, committed := dollars(account.Spec.CeilingUSDPerHour), dollars(status.CommittedUSDPerHour)
		row := costRow{
			Namespace: account.Namespace, Kind: kindAccount, Name: account.Name,
			CommittedUSDPerHour: committed.String(), ObservedUSDPerHour: string(status.ObservedUSDPerHour),
			CeilingUSDPerHour: string(account.Spec.CeilingUSDPerHour), HeadroomUSDPerHour: (ceiling - committed).String(),
			SpentTodayUSD: string(status.SpentTodayUSD), SpentMonthUSD: string(status.SpentMonthUSD),
			ProjectedMonthUSD: string(status.ProjectedMonthUSD), BalanceUSD: string(status.BalanceUSD),
		}
		if ledger := status.Ledger; ledger != nil {
			row.CountedThrough = ledger.Through.UTC().Format("2006-01-02T15:04:05Z07:00")
			answer.Checked = append(answer.Checked, chargedOf(account))
		}
		answer.Rows = append(answer.Rows, row)
		answer.Budgets = append(answer.Budgets, budgetsOf(account.Namespace, kindAccount+"/"+account.Name, account.Spec.Budgets, ledgerOf(account, ""))...)
	}
	for k := range w.pools {
		pool := &w.pools[k]
		answer.Rows = append(answer.Rows, w.costOfPool(pool))
		account := w.account(pool.Namespace, pool.Spec.AccountRef.Name)
		answer.Budgets = append(answer.Budgets, budgetsOf(pool.Namespace, kindPool+"/"+pool.Name, pool.Spec.Cost.Budgets, ledgerOf(account, pool.Name))...)
	}
	return answer
}

func (w *world) costOfPool(pool *warmpool.WarmPool) costRow {
	committed := fleet.USDMicros(0)
	for _, instance := range w.ofPool(pool) {
		committed += controllers.InstanceCost(instance)
	}
	cost := &pool.Status.Cost
	return costRow{
		Namespace: pool.Namespace, Kind: kindPool, Name: pool.Name,
		CommittedUSDPerHour: committed.String(), ObservedUSDPerHour: string(cost.ObservedUSDPerHour),
		CeilingUSDPerHour: string(pool.Spec.Cost.CeilingUSDPerHour), HeadroomUSDPerHour: (dollars(pool.Spec.Cost.CeilingUSDPerHour) - committed).String(),
		SpentTodayUSD: string(cost.SpentTodayUSD), SpentMonthUSD: string(cost.SpentMonthUSD), ProjectedMonthUSD: string(cost.ProjectedMonthUSD),
		CountedThrough: strings.TrimPrefix(moment(cost.LedgerThrough), "-"),
	}
}

// ledgerOf finds the running periods of an account, or of one pool of it.
func ledgerOf(account *warmpool.VastAccount, pool string) []warmpool.LedgerWindow {
	if account == nil || account.Status.Ledger == nil {
		return nil
	}
	if pool == "" {
		return account.Status.Ledger.Account.Windows
	}
	for k := range account.Status.Ledger.Pools {
		if one := &account.Status.Ledger.Pools[k]; one.Name == pool {
			return one.Windows
		}
	}
	return nil
}

func budgetsOf(namespace, of string, budgets []warmpool.Budget, windows []warmpool.LedgerWindow) []budgetRow {
	var rows []budgetRow
	for _, budget := range budgets {
		row := budgetRow{
			Namespace: namespace, Of: of, Name: budget.Name, Period: string(budget.Period), TimeZone: budget.TimeZone,
			LimitUSD: string(budget.LimitUSD), Action: string(budget.Action),
		}
		for _, window := range windows {
			if window.Period == budget.Period && window.TimeZone == budget.TimeZone {
				row.SpentUSD, row.LeftUSD = string(window.SpentUSD), (dollars(budget.LimitUSD) - dollars(window.SpentUSD)).String()
			}
		}
		rows = append(rows, row)
	}
	return rows
}

func chargedOf(account *warmpool.VastAccount) chargedRow {
	ledger := account.Status.Ledger
	row := chargedRow{Namespace: account.Namespace, Account: account.Name, Problem: ledger.CorrectionProblem}
	if last := ledger.LastCorrection; last != nil {
		row.Day, row.LedgerUSD, row.ChargedUSD, row.CorrectionUSD = last.Day, string(last.LedgerUSD), string(last.ChargedUSD), string(last.CorrectionUSD)
	}
	return row
}

// write implements report.
func (r *costReport) write(out io.Writer, wide bool) error {
	if len(r.Rows) == 0 {
		return nil
	}
	titles := []string{"NAME", "$/H", "CEILING", "HEADROOM", "TODAY", "MONTH", "PROJECTED", "BALANCE"}
	if wide {
		titles = append(titles, "OBSERVED $/H", "COUNTED THROUGH")
	}
	money := r.tableOf(titles)
	for k := range r.Rows {
		row := &r.Rows[k]
		cells := []string{row.Kind + "/" + row.Name, row.CommittedUSDPerHour, row.CeilingUSDPerHour, row.HeadroomUSDPerHour, row.SpentTodayUSD, row.SpentMonthUSD, row.ProjectedMonthUSD, row.BalanceUSD}
		if wide {
			cells = append(cells, row.ObservedUSDPerHour, row.CountedThrough)
		}
		r.addTo(money, row.Namespace, cells)
	}
	var text strings.Builder
	text.WriteString(money.text(""))
	if len(r.Budgets) > 0 {
		budgets := r.tableOf([]string{"BUDGET", "OF", "PERIOD", "ZONE", "LIMIT", "SPENT", "LEFT", "ACTION"})
		for k := range r.Budgets {
			row := &r.Budgets[k]
			r.addTo(budgets, row.Namespace, []string{row.Name, row.Of, row.Period, row.TimeZone, row.LimitUSD, row.SpentUSD, row.LeftUSD, row.Action})
		}
		text.WriteString("\n" + budgets.text(""))
	}
	for k := range r.Checked {
		row := &r.Checked[k]
		switch {
		case row.Problem != "":
			fmt.Fprintf(&text, "\n%s/%s: what Vast.ai charged cannot be compared: %s\n", kindAccount, row.Account, plainLines(row.Problem))
		case row.Day != "":
			fmt.Fprintf(&text, "\n%s/%s: for %s Vast.ai charged $%s, and $%s was counted (correction $%s).\n", kindAccount, row.Account, row.Day, row.ChargedUSD, row.LedgerUSD, row.CorrectionUSD)
		}
	}
	_, err := io.WriteString(out, text.String())
	return err
}

// tableOf makes a table, with the namespace when several are shown.
func (r *costReport) tableOf(titles []string) *table {
	if r.everywhere {
		titles = append([]string{"NAMESPACE"}, titles...)
	}
	return newTable(titles...)
}

func (r *costReport) addTo(t *table, namespace string, cells []string) {
	if r.everywhere {
		cells = append([]string{namespace}, cells...)
	}
	t.add(cells...)
}
