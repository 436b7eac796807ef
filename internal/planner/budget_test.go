package planner

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/warmpool-dev/warmpool/internal/fleet"
)

// monthly is a budget of the month of UTC.
func monthly(limit int64, action BudgetAction) SpendBudget {
	return SpendBudget{
		Name: "month", Field: "spec.cost.budgets of the WarmPool", Period: PeriodMonth, ZoneName: ZoneUTC, Zone: time.UTC,
		LimitUSD: usd(limit), Action: action,
	}
}

// spent is the totals of a pool that has spent so much this September.
func spent(cents int64) *LedgerTotals {
	return &LedgerTotals{Windows: []LedgerWindow{{
		Period: PeriodMonth, Zone: ZoneUTC, Start: time.Date(2026, 9, 1, 0, 0, 0, 0, time.UTC), SpentUSD: usd(cents),
	}}}
}

func TestBudgetState(t *testing.T) {
	september, october := time.Date(2026, 9, 1, 0, 0, 0, 0, time.UTC), time.Date(2026, 10, 1, 0, 0, 0, 0, time.UTC)
	billing := spent(990)
	billing.USDPerHour = usd(100)
	for name, tc := range map[string]struct {
		edit         func(*SpendBudget)
		totals       *LedgerTotals
		through, now time.Time
		want         SpendBudgetState
	}{
		"some is left":       {totals: spent(999), through: moment(0), now: moment(0), want: SpendBudgetState{Start: september, End: october, SpentUSD: usd(999)}},
		"nothing is left":    {totals: spent(1000), through: moment(0), now: moment(0), want: SpendBudgetState{Start: september, End: october, SpentUSD: usd(1000), Exhausted: true}},
		"not counted yet":    {totals: billing, through: moment(0), now: moment(360), want: SpendBudgetState{Start: september, End: october, SpentUSD: usd(1000), Exhausted: true}},
		"a limit of nothing": {edit: func(b *SpendBudget) { b.LimitUSD = 0 }, totals: spent(0), through: moment(0), now: moment(0), want: SpendBudgetState{Start: september, End: october, Exhausted: true}},
		"a new month that was not swept yet": {
			totals: billing, through: october.Add(-time.Hour), now: october.Add(36 * time.Second),
			want: SpendBudgetState{Start: october, End: october.AddDate(0, 1, 0), SpentUSD: usd(1)},
		},
		"a clock that is set back to August": {
			totals: spent(1000), through: september.Add(time.Minute), now: september.Add(-4 * time.Minute),
			want: SpendBudgetState{Start: september, End: october, SpentUSD: usd(1000), Exhausted: true},
		},
		"no such zone":  {edit: func(b *SpendBudget) { b.Zone = nil }, totals: spent(0), want: SpendBudgetState{Unknown: ReasonBudgetZoneUnknown}},
		"no ledger":     {want: SpendBudgetState{Unknown: ReasonLedgerUnknown}},
		"not begun yet": {edit: func(b *SpendBudget) { b.Period = PeriodDay }, totals: spent(0), want: SpendBudgetState{Unknown: ReasonLedgerUnknown}},
	} {
		t.Run(name, func(t *testing.T) {
			budget := monthly(1000, BudgetStopRenting)
			if tc.edit != nil {
				tc.edit(&budget)
			}
			got := ComputeBudgets([]SpendBudget{budget}, tc.totals, tc.through, tc.now)[0]
			got.SpendBudget = SpendBudget{}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestBudgetDeferral(t *testing.T) {
	const horizon = time.Hour
	late := time.Date(2026, 9, 30, 23, 30, 0, 0, time.UTC)
	for name, tc := range map[string]struct {
		budget SpendBudget
		totals *LedgerTotals
		rate   fleet.USDMicros
		now    time.Time
		want   string
		says   string
	}{
		"there is enough":                  {monthly(1000, BudgetStopRenting), spent(900), usd(100), moment(0), "", ""},
		"it is used up":                    {monthly(1000, BudgetStopRenting), spent(1000), usd(100), moment(0), ReasonBudgetExhausted, `The month budget "month" is used up: $10.00 of $10.00 is spent since 2026-09-01 00:00 UTC. It begins anew at 2026-10-01 00:00 UTC; raise its limitUSD in spec.cost.budgets of the WarmPool`},
		"it would be used up in an hour":   {monthly(1000, BudgetDrainUnclaimed), spent(901), usd(100), moment(0), ReasonBudgetExhausted, "$9.01 of $10.00 is spent, and at $1.00/h another $1.00 would be within 1h."},
		"in an hour the next month begins": {monthly(1000, BudgetStopRenting), spent(949), usd(100), late, "", ""},
		"half an hour is too long":         {monthly(1000, BudgetStopRenting), spent(951), usd(100), late, ReasonBudgetExhausted, "within 30m"},
		"an alert stops nothing":           {monthly(1000, BudgetAlert), spent(1000), usd(100), moment(0), "", ""},
		"an action that is not known":      {monthly(1000, "Explode"), spent(1000), usd(100), moment(0), ReasonBudgetExhausted, "used up"},
		"the ledger is not there":          {monthly(1000, BudgetStopRenting), nil, usd(1), moment(0), ReasonLedgerUnknown, "not counted yet"},
		"an alert without a ledger":        {monthly(1000, BudgetAlert), nil, usd(1), moment(0), "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			states := ComputeBudgets([]SpendBudget{tc.budget}, tc.totals, tc.now, tc.now)
			got := BudgetDeferral(states, tc.rate, horizon, tc.now)
			switch {
			case got == nil && tc.want != "", got != nil && got.Reason != tc.want:
				t.Fatalf("%+v, want %q", got, tc.want)
			case got != nil && !strings.Contains(got.Message, tc.says):
				t.Errorf("it says %q, not %q", got.Message, tc.says)
			case got != nil && tc.want == ReasonBudgetExhausted && !got.Until.Equal(time.Date(2026, 10, 1, 0, 0, 0, 0, time.UTC)):
				t.Errorf("until %v", got.Until)
			}
		})
	}
}

// TestBudgetZoneUnknownRefuses: a budget that nobody can date must not be ignored.
func TestBudgetZoneUnknownRefuses(t *testing.T) {
	budget := monthly(1000, BudgetTerminateAll)
	budget.Zone, budget.ZoneName = nil, "Europe/Olso"
	states := ComputeBudgets([]SpendBudget{budget}, spent(2000), moment(0), moment(0))
	if got := BudgetDeferral(states, usd(1), time.Hour, moment(0)); got == nil || got.Reason != ReasonBudgetZoneUnknown || !strings.Contains(got.Message, "Europe/Olso") {
		t.Errorf("%+v", got)
	}
	verdict := JudgeBudgets(states)
	if verdict.Worst != nil {
		t.Error("instances would be ended for a budget that nobody can date")
	}
	if got := verdict.Condition(); got.Status != statusFalse || got.Reason != ReasonBudgetZoneUnknown {
		t.Errorf("%+v", got)
	}
}

func TestRentHorizon(t *testing.T) {
	if got := RentHorizon(900, 1800); got != time.Hour {
		t.Errorf("%v with the usual deadlines", got)
	}
	if got := RentHorizon(900, 3600); got != 75*time.Minute {
		t.Errorf("%v with long deadlines", got)
	}
}

// TestAdmitWithinBudgets proves that both the pool's and the account's budgets
// count, at the rate that the rent makes.
func TestAdmitWithinBudgets(t *testing.T) {
	// $0.91 is committed and the offer costs $0.41.
	for name, tc := range map[string]struct {
		edit func(*Candidate, *AdmissionState)
		want string
	}{
		"the pool's is enough": {func(c *Candidate, s *AdmissionState) {
			c.Pool.Budgets = ComputeBudgets([]SpendBudget{monthly(132, BudgetStopRenting)}, spent(0), s.Now, s.Now)
		}, ReasonAdmitted},
		"the pool's is not": {func(c *Candidate, s *AdmissionState) {
			c.Pool.Budgets = ComputeBudgets([]SpendBudget{monthly(131, BudgetStopRenting)}, spent(0), s.Now, s.Now)
		}, ReasonBudgetExhausted},
		"the account's is not": {func(_ *Candidate, s *AdmissionState) {
			s.AccountBudgets = ComputeBudgets([]SpendBudget{monthly(131, BudgetStopRenting)}, spent(0), s.Now, s.Now)
		}, ReasonBudgetExhausted},
	} {
		t.Run(name, func(t *testing.T) {
			candidate, offers, state := admitting()
			candidate.Pool.BudgetHorizon = time.Hour
			tc.edit(&candidate, &state)
			if got := Admit(&candidate, offers, &state); got.Reason != tc.want {
				t.Errorf("%+v, want %s", got, tc.want)
			}
		})
	}
}

// TestBudgetsEndInstances proves what each action ends, and what it needs.
func TestBudgetsEndInstances(t *testing.T) {
	everything := slices.Concat(several(StatePending, 1), several(StateProvisioning, 1), several(StateReady, 1), several(StateClaimed, 1))
	unclaimed := []string{"Pending0", "Provisioning0", "Ready0"}
	for name, tc := range map[string]struct {
		action    BudgetAction
		mode      PoolMode
		untrusted bool
		left      bool
		want      []string
	}{
		"an alert ends nothing":                  {action: BudgetAlert},
		"stopping rents ends nothing":            {action: BudgetStopRenting},
		"draining ends what is not claimed":      {action: BudgetDrainUnclaimed, want: unclaimed},
		"terminating ends what is claimed":       {action: BudgetTerminateAll, want: append(slices.Clone(unclaimed), "Claimed0")},
		"terminating a pool that is drained":     {action: BudgetTerminateAll, mode: ModeDrain, want: append(slices.Clone(unclaimed), "Claimed0")},
		"nothing for a list that is not trusted": {action: BudgetTerminateAll, untrusted: true, want: []string{"Pending0"}},
		"nothing in a dry run":                   {action: BudgetTerminateAll, mode: ModeDryRun, want: []string{"Pending0"}},
		"nothing of a pool that is paused":       {action: BudgetTerminateAll, mode: ModePaused},
		"nothing while some is left":             {action: BudgetTerminateAll, left: true},
	} {
		t.Run(name, func(t *testing.T) {
			budget := monthly(1000, tc.action)
			if tc.left {
				budget.LimitUSD++
			}
			in := SizeInput{
				Pool: SizePool{
					Replicas: 3, Mode: ModeActive, CeilingUSDPerHour: usd(1000),
					Budgets: JudgeBudgets(ComputeBudgets([]SpendBudget{budget}, spent(1000), moment(100), moment(100))),
				},
				Instances: everything, Trusted: !tc.untrusted, HeadroomUSDPerHour: usd(1000), Now: moment(100),
			}
			if tc.mode != "" {
				in.Pool.Mode = tc.mode
			}
			plan := ComputeSize(&in)
			var got []string
			for _, victim := range plan.Delete {
				got = append(got, victim.Name)
				if victim.Reason != VictimBudgetExhausted {
					t.Errorf("%s is ended for %s", victim.Name, victim.Reason)
				}
			}
			slices.Sort(got)
			want := slices.Sorted(slices.Values(tc.want))
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("ended (-want +got):\n%s", diff)
			}
			if plan.Create > 0 {
				t.Errorf("%d would be made", plan.Create)
			}
		})
	}
}

// TestThePoolComesBack: with the next month everything goes on by itself.
func TestThePoolComesBack(t *testing.T) {
	october := time.Date(2026, 10, 1, 0, 0, 0, 0, time.UTC)
	judge := func(now time.Time) SpendVerdict {
		return JudgeBudgets(ComputeBudgets([]SpendBudget{monthly(1000, BudgetTerminateAll)}, spent(1000), now, now))
	}
	pool := SizePool{Replicas: 1, MinReadyReplicas: 1, Mode: ModeActive, CeilingUSDPerHour: usd(1000), Budgets: judge(moment(0))}
	account := VerdictAccount{Found: true, Name: "default", Status: statusTrue}
	got := ComputePoolVerdict(&PoolVerdictInput{Pool: pool, Account: account, Now: moment(0)})
	if got.Reason != ReasonBudgetExhausted || !got.RecheckAt.Equal(october) {
		t.Errorf("%s, looked at again at %v", got.Reason, got.RecheckAt)
	}
	within := got.Conditions[slices.IndexFunc(got.Conditions, func(c PoolCondition) bool { return c.Type == PoolWithinBudget })]
	if within.Status != statusFalse || within.Reason != PoolReasonMonthBudgetExhausted || !strings.Contains(within.Message, "every instance is ended, claimed ones too") {
		t.Errorf("%+v", within)
	}
	pool.Budgets = judge(october)
	plan := ComputeSize(&SizeInput{Pool: pool, Trusted: true, HeadroomUSDPerHour: usd(1000), Now: october})
	if plan.Create != 1 {
		t.Errorf("%+v in the next month", plan)
	}
	if got := pool.Budgets.Condition(); got.Status != statusTrue || !strings.Contains(got.Message, `0 % of $10.00 of the month budget "month"`) {
		t.Errorf("%+v", got)
	}
}
