package planner

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/warmpool-dev/warmpool/internal/fleet"
)

// bookOfADay is a ledger of the second of September, at noon of the third: a
// pool that certainly spent $20 and perhaps $24, and an account with $30.
func bookOfADay() *Ledger {
	windows := func(cents int64) []LedgerWindow {
		return []LedgerWindow{
			{Period: PeriodDay, Zone: ZoneUTC, Start: time.Date(2026, 9, 3, 0, 0, 0, 0, time.UTC), SpentUSD: usd(100)},
			{Period: PeriodMonth, Zone: ZoneUTC, Start: time.Date(2026, 9, 1, 0, 0, 0, 0, time.UTC), SpentUSD: usd(cents)},
			// It began in the middle of the day.
			{Period: PeriodWeek, Zone: "Pacific/Auckland", Start: time.Date(2026, 9, 2, 12, 0, 0, 0, time.UTC), SpentUSD: usd(cents)},
		}
	}
	return &Ledger{
		Since: time.Date(2026, 8, 1, 0, 0, 0, 0, time.UTC), Through: time.Date(2026, 9, 3, 12, 0, 0, 0, time.UTC),
		Account: LedgerTotals{Windows: windows(10_000), Days: []LedgerDay{{"2026-09-02", usd(3000), usd(2500)}}},
		Pools:   []LedgerTotals{{Name: "sdxl", Windows: windows(5000), Days: []LedgerDay{{"2026-09-02", usd(2400), usd(2000)}}, Rentals: []int64{1, 2}}},
	}
}

func TestCorrectLedger(t *testing.T) {
	day := time.Date(2026, 9, 2, 0, 0, 0, 0, time.UTC)
	charge := func(id int64, label string, cents int64) fleet.Charge {
		return fleet.Charge{RentalID: id, Label: label, AmountUSD: usd(cents), StartedAt: day, EndedAt: day.Add(24 * time.Hour)}
	}
	ours := labelOf("x", 1)
	spread := charge(1, ours, 5200)
	spread.StartedAt = day.Add(-24 * time.Hour)
	for name, tc := range map[string]struct {
		charges       []fleet.Charge
		account, pool int64 // the month afterwards
		week          int64 // the account's week that began at noon
		correction    int64
	}{
		"just what was counted":             {[]fleet.Charge{charge(1, ours, 2400), charge(9, "", 600)}, 10_000, 5000, 10_000, 0},
		"more, traffic for example":         {[]fleet.Charge{charge(1, ours, 2500), charge(9, "", 600)}, 10_100, 5100, 10_100, 100},
		"less":                              {[]fleet.Charge{charge(1, ours, 2200), charge(9, "", 500)}, 9700, 4800, 10_000, -300},
		"less than is certain":              {[]fleet.Charge{charge(1, ours, 100)}, 9500, 4600, 10_000, -500},
		"nothing yet":                       {nil, 9500, 4600, 10_000, -500},
		"a charge whose pool is forgotten":  {[]fleet.Charge{charge(1, ours, 2100), charge(7, ours, 600)}, 9700, 5000, 10_000, -300},
		"a charge that spreads over a day":  {[]fleet.Charge{spread, charge(9, "", 600)}, 10_200, 5200, 10_200, 200},
		"a charge without a time":           {[]fleet.Charge{{RentalID: 2, Label: ours, AmountUSD: usd(2600)}, charge(9, "", 600)}, 10_200, 5200, 10_200, 200},
		"a rental that the process knows":   {[]fleet.Charge{charge(5, ours, 2500), charge(9, "", 600)}, 10_100, 5100, 10_100, 100},
		"another installation in there too": {[]fleet.Charge{charge(1, ours, 2400), charge(8, "wp1.other.x.1", 700)}, 10_100, 5000, 10_100, 100},
	} {
		t.Run(name, func(t *testing.T) {
			before := bookOfADay()
			got, correction := CorrectLedger(before, &ChargedDay{Begins: day, Charges: tc.charges, Pools: map[int64]string{5: "sdxl"}, Installation: testInstallation})
			if diff := cmp.Diff(bookOfADay(), before); diff != "" {
				t.Errorf("the ledger was changed in place:\n%s", diff)
			}
			if month := got.Account.Window(PeriodMonth, ZoneUTC).SpentUSD; month != usd(tc.account) {
				t.Errorf("account $%s, want $%s", month, usd(tc.account))
			}
			if month := got.Of("sdxl").Window(PeriodMonth, ZoneUTC).SpentUSD; month != usd(tc.pool) {
				t.Errorf("pool $%s, want $%s", month, usd(tc.pool))
			}
			if week := got.Account.Window(PeriodWeek, "Pacific/Auckland").SpentUSD; week != usd(tc.week) {
				t.Errorf("week $%s, want $%s", week, usd(tc.week))
			}
			if today := got.Account.Window(PeriodDay, ZoneUTC).SpentUSD; today != usd(100) {
				t.Errorf("today $%s", today)
			}
			if correction.CorrectionUSD != usd(tc.correction) || correction.LedgerUSD != usd(3000) {
				t.Errorf("%+v, want a correction by $%s", correction, usd(tc.correction))
			}
			again, second := CorrectLedger(&got, &ChargedDay{Begins: day, Charges: tc.charges, Pools: map[int64]string{5: "sdxl"}, Installation: testInstallation})
			if diff := cmp.Diff(got, again); diff != "" || second.CorrectionUSD != 0 {
				t.Errorf("the same charges correct twice:\n%s", diff)
			}
		})
	}
}

func TestDueCorrection(t *testing.T) {
	ledger := bookOfADay()
	days := func(last string) (named []string) {
		for _, begins := range DueCorrection(ledger, last) {
			named = append(named, begins.Format(dayFormat))
		}
		return named
	}
	if diff := cmp.Diff([]string{"2026-09-02", "2026-09-01", "2026-08-31"}, days("")); diff != "" {
		t.Error(diff)
	}
	if got := days("2026-09-02"); got != nil {
		t.Errorf("%v on the same day again", got)
	}
	ledger.Through = ledger.Through.Add(-time.Second)
	if diff := cmp.Diff([]string{"2026-09-01", "2026-08-31", "2026-08-30"}, days("2026-08-31")); diff != "" {
		t.Errorf("before noon the charges of yesterday are not awaited yet:\n%s", diff)
	}
	ledger.Since = time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC)
	if diff := cmp.Diff([]string{"2026-09-01"}, days("")); diff != "" {
		t.Error(diff)
	}
}

func TestCorrectionIsLarge(t *testing.T) {
	for name, tc := range map[string]struct {
		ledger, by int64
		want       bool
	}{
		"2 % and a bit":              {1000, 21, true},
		"2 %":                        {1000, 20, false},
		"a bit less than was noted":  {1000, -21, true},
		"half of next to nothing":    {10, 5, false},
		"much of what was not noted": {0, 11, true},
	} {
		t.Run(name, func(t *testing.T) {
			if got := (&LedgerCorrection{LedgerUSD: usd(tc.ledger), CorrectionUSD: usd(tc.by)}).IsLarge(); got != tc.want {
				t.Errorf("%t", got)
			}
		})
	}
}
