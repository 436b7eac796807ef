package page

import (
	"slices"

	"github.com/warmpool-dev/warmpool/api/v1alpha1"
)

// costView is the money of the pool.
type costView struct {
	Committed, Observed, Ceiling, Headroom rate
	// Percent is how much of the ceiling is committed; Bar is the same, at most 100.
	Percent, Bar int
	// Over is true when more is committed than the ceiling.
	Over bool

	Today, Month, Projected amount
	// Counted is until when spending is counted.
	Counted moment
	// Offer is the price of the cheapest offer that passed, when a search has found one.
	Offer amount
}

func (p *Page) costView(s *snapshot) costView {
	cost := &s.pool.Status.Cost
	v := costView{
		Committed: rateOf(amountOf(cost.CommittedUSDPerHour)), Observed: rateOf(amountOf(cost.ObservedUSDPerHour)),
		Ceiling: rateOf(amountOf(s.pool.Spec.Cost.CeilingUSDPerHour)), Headroom: rateOf(amountOf(cost.HeadroomUSDPerHour)),
		Today: amountOf(cost.SpentTodayUSD), Month: amountOf(cost.SpentMonthUSD), Projected: amountOf(cost.ProjectedMonthUSD),
	}
	if cost.LedgerThrough != nil {
		v.Counted = momentOf(cost.LedgerThrough.Time, s.taken)
	}
	if last := s.pool.Status.LastAdmission; last != nil {
		v.Offer = amountOf(last.CheapestOfferUSDPerHour)
	}
	v.Percent = v.Committed.Hour.percentOf(v.Ceiling.Hour)
	v.Bar, v.Over = bar(v.Percent), v.Committed.Hour.value > v.Ceiling.Hour.value
	return v
}

// bar is a share that fits into a bar.
func bar(percent int) int {
	const whole = 100
	return min(max(percent, 0), whole)
}

// budgetView is one budget of the pool or of its account.
type budgetView struct {
	// Owner is "Pool" or "Account".
	Owner, Name, Period, Zone, Action string
	Spent, Limit, Left                amount
	// Percent is how much is used; Bar is the same, at most 100.
	Percent, Bar int
	Over         bool
	// Counted is false while the ledger does not say what is used.
	Counted bool
}

// budgets compares the budgets with the ledger.
func (p *Page) budgets(s *snapshot) []budgetView {
	var views []budgetView
	var totals, pool *v1alpha1.LedgerTotals
	if s.account != nil && s.account.Status.Ledger != nil {
		totals = &s.account.Status.Ledger.Account
		pool = poolLedger(s)
	}
	for i := range s.pool.Spec.Cost.Budgets {
		views = append(views, p.budgetView("Pool", &s.pool.Spec.Cost.Budgets[i], pool))
	}
	if s.account != nil {
		for i := range s.account.Spec.Budgets {
			views = append(views, p.budgetView("Account", &s.account.Spec.Budgets[i], totals))
		}
	}
	return views
}

// poolLedger is the pool's part of the account's ledger, or nil.
func poolLedger(s *snapshot) *v1alpha1.LedgerTotals {
	if s.account == nil || s.account.Status.Ledger == nil {
		return nil
	}
	pools := s.account.Status.Ledger.Pools
	at := slices.IndexFunc(pools, func(l v1alpha1.PoolLedger) bool { return l.Name == s.pool.Name })
	if at < 0 {
		return nil
	}
	return &pools[at].LedgerTotals
}

func (p *Page) budgetView(owner string, budget *v1alpha1.Budget, totals *v1alpha1.LedgerTotals) budgetView {
	v := budgetView{
		Owner: owner, Name: p.text.line(budget.Name), Period: p.text.line(string(budget.Period)),
		Zone: p.text.line(budget.TimeZone), Action: p.text.line(string(budget.Action)), Limit: amountOf(budget.LimitUSD),
	}
	if totals != nil {
		for i := range totals.Windows {
			if w := &totals.Windows[i]; w.Period == budget.Period && w.TimeZone == budget.TimeZone {
				v.Spent = amountOf(w.SpentUSD)
			}
		}
	}
	v.Left, v.Percent = v.Limit.minus(v.Spent), v.Spent.percentOf(v.Limit)
	v.Counted, v.Bar, v.Over = v.Spent.known, bar(v.Percent), v.Spent.known && v.Spent.value >= v.Limit.value
	return v
}

// dayView is what one day of UTC cost.
type dayView struct {
	Day   string
	Spent amount
	// Bar is its share of the dearest day, 0 to 100.
	Bar int
}

// days are the last days of the pool, newest first.
func (p *Page) days(s *snapshot) []dayView {
	ledger := poolLedger(s)
	if ledger == nil {
		return nil
	}
	views := make([]dayView, 0, len(ledger.Days))
	most := known(0)
	for i := range ledger.Days {
		spent := amountOf(ledger.Days[i].SpentUSD)
		most.value = max(most.value, spent.value)
		views = append(views, dayView{Day: p.text.line(ledger.Days[i].Day), Spent: spent})
	}
	for i := range views {
		views[i].Bar = bar(views[i].Spent.percentOf(most))
	}
	slices.Reverse(views)
	const shownDays = 7
	return views[:min(len(views), shownDays)]
}

// accountView is the account that pays.
type accountView struct {
	Name, Mode             string
	Balance                amount
	Committed, Ceiling     rate
	Ours, Foreign          int32
	Swept                  moment
	Trusted                bool
	TodaySpent, MonthSpent amount
}

func (p *Page) account(s *snapshot) *accountView {
	if s.account == nil {
		return nil
	}
	status := &s.account.Status
	v := &accountView{
		Name: p.text.line(s.account.Name), Mode: p.text.line(string(s.account.Spec.Mode)),
		Balance: amountOf(status.BalanceUSD), Committed: rateOf(amountOf(status.CommittedUSDPerHour)),
		Ceiling: rateOf(amountOf(s.account.Spec.CeilingUSDPerHour)),
		Ours:    status.Instances.Ours, Foreign: status.Instances.Foreign,
		TodaySpent: amountOf(status.SpentTodayUSD), MonthSpent: amountOf(status.SpentMonthUSD),
	}
	if sweep := status.LastSweep; sweep != nil {
		v.Swept, v.Trusted = momentOf(sweep.Time.Time, s.taken), sweep.Trusted
	}
	return v
}
