package planner

import (
	"fmt"
	"strings"
	"time"

	"github.com/warmpool-dev/warmpool/internal/fleet"
)

// BudgetAction says what happens when a budget is used up. The zero value is
// none; each of the others includes those before it.
type BudgetAction string

// The actions.
const (
	// BudgetAlert only says so.
	BudgetAlert BudgetAction = "Alert"
	// BudgetStopRenting rents nothing more.
	BudgetStopRenting BudgetAction = "StopRenting"
	// BudgetDrainUnclaimed also ends what is not claimed.
	BudgetDrainUnclaimed BudgetAction = "DrainUnclaimed"
	// BudgetTerminateAll ends claimed instances too.
	BudgetTerminateAll BudgetAction = "TerminateAll"
)

// strength orders the actions. One that is not known stops renting and no more:
// money is not spent, and nothing is ended, on a misunderstanding.
func (a BudgetAction) strength() int {
	switch a {
	case "":
		return 0
	case BudgetAlert:
		return 1
	case BudgetDrainUnclaimed:
		return 3
	case BudgetTerminateAll:
		return 4
	default:
		return 2
	}
}

// Includes is true when the action does at least what the other one does.
func (a BudgetAction) Includes(other BudgetAction) bool { return a.strength() >= other.strength() }

// SpendBudget is an amount of money for a day, a week or a month.
type SpendBudget struct {
	// Name is the budget's own, Field the field that it stands in, for people:
	// "spec.cost.budgets of the WarmPool".
	Name, Field string
	// Period, ZoneName and Zone say when it begins anew. Zone is nil when the
	// name is not that of a zone.
	Period   SpendPeriod
	ZoneName string
	Zone     *time.Location
	// LimitUSD is the amount in dollars; 0 allows nothing.
	LimitUSD fleet.USDMicros
	// Action is what happens when it is used up.
	Action BudgetAction
}

// SpendBudgetState is a budget at a moment.
type SpendBudgetState struct {
	SpendBudget
	// Start and End bound the running period.
	Start, End time.Time
	// SpentUSD is what was spent in it until now, what is not counted yet included.
	SpentUSD fleet.USDMicros
	// Exhausted is true when nothing of it is left.
	Exhausted bool
	// Unknown is a reason when it cannot be told: ReasonBudgetZoneUnknown or
	// ReasonLedgerUnknown. Then nothing is rented, and nothing is ended either.
	Unknown string
}

// ComputeBudgets says how budgets stand against the totals of their pool or
// account; nil totals are not known. Through is until when those are counted.
func ComputeBudgets(budgets []SpendBudget, totals *LedgerTotals, through, now time.Time) []SpendBudgetState {
	states := make([]SpendBudgetState, 0, len(budgets))
	for k := range budgets {
		states = append(states, budgetState(&budgets[k], totals, through, now))
	}
	return states
}

func budgetState(budget *SpendBudget, totals *LedgerTotals, through, now time.Time) SpendBudgetState {
	state := SpendBudgetState{SpendBudget: *budget}
	//warmpool:gate budget-zone-unknown
	if budget.Zone == nil {
		state.Unknown = ReasonBudgetZoneUnknown
		return state
	}
	var window *LedgerWindow
	if totals != nil {
		window = totals.Window(budget.Period, budget.ZoneName)
	}
	//warmpool:gate budget-ledger-unknown
	if window == nil {
		state.Unknown = ReasonLedgerUnknown
		return state
	}
	state.Start, state.SpentUSD = window.Start, window.SpentUSD
	// A clock that was set back does not open a window again that is closed.
	if start := PeriodStart(budget.Period, budget.Zone, now); start.After(window.Start) {
		state.Start, state.SpentUSD = start, 0
	}
	state.End = PeriodEnd(budget.Period, budget.Zone, state.Start)
	from := through
	if state.Start.After(from) {
		from = state.Start
	}
	if tail := now.Sub(from); tail > 0 {
		state.SpentUSD = addUSD(state.SpentUSD, totals.USDPerHour.ForSeconds(int64((tail+time.Second-1)/time.Second)))
	}
	state.Exhausted = state.SpentUSD >= state.LimitUSD
	return state
}

// BudgetDeferral returns why a rent is refused that makes a pool or an account
// cost the given rate: a budget is used up, or would be within the horizon.
// What falls into the next period counts there. It returns nil for none.
func BudgetDeferral(states []SpendBudgetState, usdPerHour fleet.USDMicros, horizon time.Duration, now time.Time) *Deferral {
	for k := range states {
		state := &states[k]
		if !state.Action.Includes(BudgetStopRenting) {
			continue
		}
		//warmpool:gate budget-unknown-refuses
		if state.Unknown != "" {
			return &Deferral{Reason: state.Unknown, Message: state.unknownMessage()}
		}
		//warmpool:gate budget-exhausted-refuses
		if state.Exhausted {
			return &Deferral{Reason: ReasonBudgetExhausted, Message: state.exhaustedMessage() + " " + state.remedy(), Until: state.End}
		}
		ahead := min(horizon, state.End.Sub(now))
		would := addUSD(state.SpentUSD, usdPerHour.ForSeconds(int64((ahead+time.Second-1)/time.Second)))
		//warmpool:gate budget-soon-exhausted-refuses
		if would > state.LimitUSD {
			return &Deferral{
				Reason: ReasonBudgetExhausted, Until: state.End,
				Message: fmt.Sprintf("The %s budget %q would not last: $%s of $%s is spent, and at %s another $%s would be within %s. %s",
					state.periodWord(), state.Name, state.SpentUSD.Cents(), state.LimitUSD.Cents(), perHour(usdPerHour),
					(would - state.SpentUSD).Cents(), shortDuration(ahead.Round(time.Second)), state.remedy()),
			}
		}
	}
	return nil
}

// RentHorizon is how far a rent looks ahead: an instance that becomes ready
// must not be ended at once for lack of money.
func RentHorizon(provisioningSeconds, startupSeconds int64) time.Duration {
	return max(time.Hour, time.Duration(provisioningSeconds+startupSeconds)*time.Second)
}

// periodWord is for messages.
func (s *SpendBudgetState) periodWord() string {
	switch s.Period {
	case PeriodMonth:
		return "month"
	case PeriodWeek:
		return "week"
	default:
		return "day"
	}
}

// exhaustedReason is the reason of the condition WithinBudget.
func (s *SpendBudgetState) exhaustedReason() string {
	switch s.Period {
	case PeriodMonth:
		return PoolReasonMonthBudgetExhausted
	case PeriodWeek:
		return PoolReasonWeekBudgetExhausted
	default:
		return PoolReasonDayBudgetExhausted
	}
}

func (s *SpendBudgetState) exhaustedMessage() string {
	return fmt.Sprintf("The %s budget %q is used up: $%s of $%s is spent since %s.",
		s.periodWord(), s.Name, s.SpentUSD.Cents(), s.LimitUSD.Cents(), s.Start.In(s.Zone).Format(budgetTime))
}

// budgetTime is how a moment is shown in the zone of a budget.
const budgetTime = "2006-01-02 15:04 MST"

func (s *SpendBudgetState) remedy() string {
	return fmt.Sprintf("It begins anew at %s; raise its limitUSD in %s to go on before.", s.End.In(s.Zone).Format(budgetTime), s.Field)
}

func (s *SpendBudgetState) unknownMessage() string {
	if s.Unknown == ReasonBudgetZoneUnknown {
		return fmt.Sprintf("The budget %q names the time zone %q, which is not known, so nobody can say when it begins. Nothing is rented until %s names one of the IANA database, such as Europe/Oslo.", s.Name, s.ZoneName, s.Field)
	}
	return fmt.Sprintf("What was spent of the budget %q (%s) is not counted yet. Nothing is rented until the next trusted list of the account's instances.", s.Name, s.Field)
}

// doing says what an action that is in force does.
func (a BudgetAction) doing() string {
	switch a {
	case BudgetAlert:
		return "Its action is Alert: everything goes on."
	case BudgetDrainUnclaimed:
		return "Nothing is rented, and instances that are not claimed are ended."
	case BudgetTerminateAll:
		return "Nothing is rented, and every instance is ended, claimed ones too."
	default:
		return "Nothing is rented; what runs stays."
	}
}

// SpendVerdict is what all budgets of a pool, its account's included, come to.
type SpendVerdict struct {
	// States are all of them.
	States []SpendBudgetState
	// Worst is the used-up budget with the strongest action, nil when none is used up.
	Worst *SpendBudgetState
}

// JudgeBudgets finds the budget that counts.
func JudgeBudgets(states []SpendBudgetState) SpendVerdict {
	verdict := SpendVerdict{States: states}
	for k := range states {
		state := &states[k]
		if state.Exhausted && state.Unknown == "" && (verdict.Worst == nil || state.Action.strength() > verdict.Worst.Action.strength()) {
			verdict.Worst = state
		}
	}
	return verdict
}

// Action is the strongest action in force; empty for none.
func (v *SpendVerdict) Action() BudgetAction {
	if v.Worst == nil {
		return ""
	}
	return v.Worst.Action
}

// Message says what is used up, what is done about it, and what to do.
func (v *SpendVerdict) Message() string {
	return v.Worst.exhaustedMessage() + " " + v.Worst.Action.doing() + " " + v.Worst.remedy()
}

// BeginsAnew is when the used-up budget begins anew; zero when none is used up.
func (v *SpendVerdict) BeginsAnew() time.Time {
	if v.Worst == nil {
		return time.Time{}
	}
	return v.Worst.End
}

// Condition is the condition WithinBudget.
func (v *SpendVerdict) Condition() PoolCondition {
	if v.Worst != nil {
		return PoolCondition{PoolWithinBudget, statusFalse, v.Worst.exhaustedReason(), v.Message()}
	}
	for k := range v.States {
		switch state := &v.States[k]; state.Unknown {
		case "":
		case ReasonBudgetZoneUnknown:
			return PoolCondition{PoolWithinBudget, statusFalse, state.Unknown, state.unknownMessage()}
		default:
			return PoolCondition{PoolWithinBudget, statusUnknown, state.Unknown, state.unknownMessage()}
		}
	}
	if len(v.States) == 0 {
		return PoolCondition{PoolWithinBudget, statusTrue, PoolReasonNoBudget, "There is no budget."}
	}
	var shares []string
	for k := range v.States {
		shares = append(shares, v.States[k].share())
	}
	return PoolCondition{PoolWithinBudget, statusTrue, PoolReasonWithinBudget, "Spent so far: " + strings.Join(shares, ", ") + "."}
}

// share is rough on purpose: a message that changes with every cent would be
// written all the time.
func (s *SpendBudgetState) share() string {
	const hundred = 100
	percent := s.SpentUSD.Times(hundred) / max(s.LimitUSD, 1)
	return fmt.Sprintf("%d %% of $%s of the %s budget %q", percent, s.LimitUSD.Cents(), s.periodWord(), s.Name)
}
