package planner

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/warmpool-dev/warmpool/internal/fleet"
)

// book is a ledger that a test lets sweeps write into.
type book struct {
	ledger  *Ledger
	memory  LedgerMemory
	input   LedgerInput
	elapsed time.Duration
}

func newBook(tb testing.TB) *book {
	tb.Helper()
	return &book{input: LedgerInput{
		Installation: testInstallation, LongGap: time.Minute, Pools: map[string][]LedgerZone{"sdxl": nil},
	}}
}

// sweep counts a trusted list.
func (b *book) sweep(at time.Time, rows ...fleet.Rental) {
	b.input.Ledger, b.input.Memory, b.input.Rentals, b.input.At, b.input.Elapsed = b.ledger, b.memory, rows, at, b.elapsed
	ledger, memory := IntegrateLedger(&b.input)
	b.ledger, b.memory = &ledger, memory
}

// month is what the month cost, of the account ("") or a pool.
func (b *book) month(pool string) fleet.USDMicros {
	totals := &b.ledger.Account
	if pool != "" {
		totals = b.ledger.Of(pool)
	}
	if totals == nil {
		return -1
	}
	return totals.Window(PeriodMonth, ZoneUTC).SpentUSD
}

// costing is a running rental of the test pool, since a second, at a dollar
// and a cent of storage.
func costing(id int64, since int) fleet.Rental {
	one := row(id, "", usd(100))
	one.StorageUSDPerHour, one.StartedAt, one.CurrentState = usd(1), moment(since), "running"
	return one
}

func in(state fleet.ActualStatus, one fleet.Rental) fleet.Rental {
	one.ActualStatus = state
	return one
}

// hourly is what a rate costs in some seconds.
func hourly(rate fleet.USDMicros, seconds int64) fleet.USDMicros { return rate.ForSeconds(seconds) }

func TestBillingOf(t *testing.T) {
	stopped := func(one fleet.Rental) fleet.Rental { one.CurrentState = "stopped"; return one }
	for name, tc := range map[string]struct {
		row              fleet.Rental
		ran              bool
		dearest, certain int64
	}{
		"running":                    {costing(1, 0), true, 100, 100},
		"frozen":                     {in(fleet.StatusFrozen, costing(1, 0)), true, 100, 100},
		"not reported":               {in(fleet.StatusUnreported, costing(1, 0)), false, 1, 1},
		"created":                    {in(fleet.StatusCreated, costing(1, 0)), false, 1, 1},
		"loading":                    {in(fleet.StatusLoading, costing(1, 0)), false, 1, 1},
		"loading after it ran":       {in(fleet.StatusLoading, costing(1, 0)), true, 100, 1},
		"exited, it holds its GPU":   {in(fleet.StatusExited, costing(1, 0)), true, 100, 1},
		"exited, the contract stops": {stopped(in(fleet.StatusExited, costing(1, 0))), true, 1, 1},
		"stopped":                    {in(fleet.StatusStopped, costing(1, 0)), true, 1, 1},
		"starts again":               {stopped(in(fleet.StatusLoading, costing(1, 0))), true, 1, 1},
		"stopped and yet running":    {stopped(costing(1, 0)), true, 100, 1},
		"rebooting":                  {in(fleet.StatusRebooting, costing(1, 0)), true, 100, 1},
		"heartbeat lost":             {in(fleet.StatusUnknown, costing(1, 0)), true, 100, 0},
		"offline":                    {in(fleet.StatusOffline, costing(1, 0)), true, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			got := billingOf(&tc.row, tc.ran)
			if want := (billing{usd(tc.dearest), usd(tc.certain), usd(100)}); got != want {
				t.Errorf("%v, want %v", got, want)
			}
		})
	}
}

// TestLedgerCounts proves what is counted between a first sweep and the next ones.
func TestLedgerCounts(t *testing.T) {
	late := rented("a", 1, usd(100))
	late.Attempts[0].StartedAt = moment(10)
	for name, tc := range map[string]struct {
		play func(b *book)
		want fleet.USDMicros
	}{
		"what runs": {func(b *book) {
			b.sweep(moment(0))
			b.sweep(moment(30), costing(1, 10))
			b.sweep(moment(60), costing(1, 10))
		}, hourly(usd(100), 50)},
		"the dearer of two sightings": {func(b *book) {
			b.sweep(moment(0))
			b.sweep(moment(30), in(fleet.StatusLoading, costing(1, 30)))
			b.sweep(moment(60), costing(1, 30))
			b.sweep(moment(90), in(fleet.StatusOffline, costing(1, 30)))
			b.sweep(moment(120), in(fleet.StatusOffline, costing(1, 30)))
		}, hourly(usd(100), 60)},
		"a price that rose and fell": {func(b *book) {
			dear := costing(1, 0)
			dear.PriceUSDPerHour = usd(200)
			b.sweep(moment(0), costing(1, 0))
			b.sweep(moment(30), dear)
			b.sweep(moment(60), costing(1, 0))
		}, hourly(usd(200), 60)},
		"what is gone, until the sweep": {func(b *book) {
			b.sweep(moment(0), costing(1, 0))
			b.sweep(moment(30))
			b.sweep(moment(60))
		}, hourly(usd(100), 30)},
		"what was hidden, when it shows again": {func(b *book) {
			b.sweep(moment(0), costing(1, 0))
			b.sweep(moment(30))
			b.sweep(moment(60))
			b.sweep(moment(90), costing(1, 0))
		}, hourly(usd(100), 90)},
		"what was hidden from its start": {func(b *book) {
			b.sweep(moment(0))
			b.sweep(moment(30))
			b.sweep(moment(60), costing(1, 5))
		}, hourly(usd(100), 55)},
		"what came and went between two sweeps": {func(b *book) {
			b.sweep(moment(0))
			b.input.Instances = []Instance{deleting(late, 20)}
			b.sweep(moment(30))
			b.sweep(moment(60))
		}, hourly(usd(100), 20)},
		"what an object stands for and no list shows": {func(b *book) {
			b.sweep(moment(0), costing(1, 0))
			b.input.Instances = []Instance{late}
			b.sweep(moment(30))
			b.sweep(moment(60))
		}, hourly(usd(100), 60)},
		"a long gap at the running price": {func(b *book) {
			b.sweep(moment(0), in(fleet.StatusOffline, costing(1, 0)))
			b.sweep(moment(600), in(fleet.StatusOffline, costing(1, 0)))
		}, hourly(usd(100), 600)},
		"a restart at the running price": {func(b *book) {
			b.input.Instances = []Instance{rented("a", 1, usd(100))}
			b.sweep(moment(0), costing(1, 0))
			b.memory = LedgerMemory{}
			b.sweep(moment(30), in(fleet.StatusOffline, costing(1, 0)))
		}, hourly(usd(100), 30)},
		"a restart with what is gone": {func(b *book) {
			b.sweep(moment(0), costing(1, 0)) // of no pool: no object stands for it
			b.memory = LedgerMemory{}
			b.sweep(moment(30))
		}, hourly(usd(100), 30)},
		"the memory of a ledger that another process wrote": {func(b *book) {
			b.sweep(moment(0), costing(1, 0))
			stale := b.memory
			b.sweep(moment(30), costing(1, 0))
			b.memory = stale
			b.sweep(moment(60), costing(1, 0))
		}, hourly(usd(100), 60) + 1}, // the fraction is forgotten, and rounded up
		"a write that was lost is counted again from where it stood": {func(b *book) {
			b.sweep(moment(0), costing(1, 0))
			ledger, memory := b.ledger, b.memory
			b.sweep(moment(30), costing(1, 0))
			b.ledger, b.memory = ledger, memory
			b.sweep(moment(60), costing(1, 0))
		}, hourly(usd(100), 60)},
		"a clock that is set back by five minutes": {func(b *book) {
			b.sweep(moment(1000), costing(1, 1000))
			b.elapsed = 30 * time.Second
			b.sweep(moment(730), costing(1, 1000))
			b.sweep(moment(760), costing(1, 1000))
			b.sweep(moment(1030), costing(1, 1000))
		}, hourly(usd(100), 90)},
		"a clock that is set forward by five minutes": {func(b *book) {
			b.sweep(moment(0), costing(1, 0))
			b.elapsed = 30 * time.Second
			b.sweep(moment(330), costing(1, 0))
		}, hourly(usd(100), 330)},
		"a start in the future, by another clock": {func(b *book) {
			b.sweep(moment(0))
			b.sweep(moment(30), costing(1, 300))
			b.sweep(moment(60), costing(1, 300))
		}, hourly(usd(100), 60)},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBook(t)
			tc.play(b)
			if got := b.month(""); got != tc.want {
				t.Errorf("$%s, want $%s", got, tc.want)
			}
		})
	}
}

// TestLedgerBegins counts what runs already from its start, in this month.
func TestLedgerBegins(t *testing.T) {
	b := newBook(t)
	old := costing(1, 0)
	old.StartedAt = moment(0).AddDate(0, -3, 0)
	b.sweep(moment(0), old, in(fleet.StatusLoading, costing(2, -3600)))
	if want := hourly(usd(100), 12*3600) + usd(1); b.month("") != want {
		t.Errorf("$%s since the first of the month, want $%s", b.month(""), want)
	}
	if b.ledger.Account.USDPerHour != usd(101) || !b.ledger.Since.Equal(moment(0)) {
		t.Errorf("%v since %v", b.ledger.Account.USDPerHour, b.ledger.Since)
	}
}

// TestLedgerOwners proves whose a rental is.
func TestLedgerOwners(t *testing.T) {
	b := newBook(t)
	b.input.Instances = []Instance{rented("recorded", 1, usd(100)), attempted("asked", OutcomeUnknown, usd(100))}
	labelled := costing(2, 0)
	labelled.Label = labelOf("asked", 1)
	foreign := costing(3, 0)
	leaked := costing(4, 0)
	leaked.Label = labelOf("nobody", 1)
	b.sweep(moment(0))
	b.sweep(moment(36), costing(1, 0), labelled, foreign, leaked)
	if b.month("sdxl") != usd(2) || b.month("") != usd(4) {
		t.Errorf("pool $%s, account $%s", b.month("sdxl"), b.month(""))
	}
	if diff := cmp.Diff([]int64{1, 2}, b.ledger.Of("sdxl").Rentals); diff != "" {
		t.Error(diff)
	}
}

// TestLedgerWindows proves that windows begin anew, and never twice.
func TestLedgerWindows(t *testing.T) {
	b := newBook(t)
	oslo := LedgerZone{PeriodDay, "Europe/Oslo", zone(t, "Europe/Oslo")}
	b.input.LongGap = time.Hour
	b.input.Account = []LedgerZone{oslo}
	begin := time.Date(2026, 3, 28, 22, 30, 0, 0, time.UTC) // half an hour before Sunday in Oslo
	b.sweep(begin)
	one := costing(1, 0)
	one.StartedAt = begin
	b.sweep(begin.Add(time.Hour), one)
	window := b.ledger.Account.Window(PeriodDay, "Europe/Oslo")
	if window.SpentUSD != usd(50) || window.PreviousUSD != usd(50) || !window.Start.Equal(begin.Add(30*time.Minute)) {
		t.Errorf("after midnight in Oslo: %+v", window)
	}
	if day := b.ledger.Account.Window(PeriodDay, ZoneUTC); day.SpentUSD != usd(100) {
		t.Errorf("the day of UTC: %+v", day)
	}
	// The clock is set back to before midnight: nothing begins again.
	b.elapsed = time.Minute
	b.sweep(begin.Add(10*time.Minute), one)
	if again := b.ledger.Account.Window(PeriodDay, "Europe/Oslo"); !again.Start.Equal(window.Start) || again.SpentUSD < window.SpentUSD {
		t.Errorf("after the clock was set back: %+v", again)
	}
	b.elapsed = 0
	b.sweep(begin.Add(100*time.Minute), one)
	days := b.ledger.Account.Days
	if len(days) != 2 || days[0].Day != "2026-03-28" || days[1].Day != "2026-03-29" {
		t.Fatalf("days %v", days)
	}
	if total := days[0].SpentUSD + days[1].SpentUSD; total != b.month("") {
		t.Errorf("the days come to $%s, the month to $%s", total, b.month(""))
	}
}

// TestLedgerSeedsWindows proves that a budget that is new in the middle of a
// period begins with no less than was spent.
func TestLedgerSeedsWindows(t *testing.T) {
	for _, name := range []string{"Etc/UTC", "Europe/Oslo", "America/Sao_Paulo", "Pacific/Auckland", "Pacific/Pago_Pago"} {
		for _, period := range []SpendPeriod{PeriodDay, PeriodWeek, PeriodMonth} {
			for _, days := range []int{1, 9, 29, 30, 31, 45} {
				t.Run(fmt.Sprintf("%s %s after %d days", name, period, days), func(t *testing.T) {
					b := newBook(t)
					b.input.LongGap = 7 * time.Hour
					begin := time.Date(2026, 10, 2, 0, 0, 0, 0, time.UTC)
					one := costing(1, 0)
					one.StartedAt = begin
					for n := range days*4 + 1 {
						b.sweep(begin.Add(time.Duration(n)*6*time.Hour), one)
					}
					until := begin.AddDate(0, 0, days).Add(3 * time.Hour)
					b.input.Account = []LedgerZone{{period, name, zone(t, name)}}
					b.sweep(until, one)
					window := b.ledger.Account.Window(period, name)
					from := PeriodStart(period, zone(t, name), until)
					if from.Before(begin) {
						from = begin
					}
					least := hourly(usd(100), int64(until.Sub(from)/time.Second))
					if window.SpentUSD < least {
						t.Errorf("begins with $%s, at least $%s was spent", window.SpentUSD, least)
					}
					if most := least + hourly(usd(100), 48*3600); period != PeriodMonth && window.SpentUSD > most {
						t.Errorf("begins with $%s, $%s was spent", window.SpentUSD, least)
					}
				})
			}
		}
	}
}

// TestLedgerIsBounded proves that many pools and many days do not grow it.
func TestLedgerIsBounded(t *testing.T) {
	b := newBook(t)
	b.input.LongGap = 48 * time.Hour
	b.input.Pools = map[string][]LedgerZone{}
	for n := range 300 {
		b.input.Pools[fmt.Sprintf("pool%03d", n)] = nil
	}
	b.input.Pools["pool299"] = []LedgerZone{{PeriodDay, ZoneUTC, time.UTC}}
	var rows []fleet.Rental
	for n := range 300 {
		one := rented(fmt.Sprintf("uid%d", n), int64(n+1), usd(100))
		one.Pool = fmt.Sprintf("default/pool%03d", n)
		b.input.Instances = append(b.input.Instances, one)
		rows = append(rows, costing(int64(n+1), 0))
	}
	for n := range 60 {
		b.sweep(moment(0).AddDate(0, 0, n), rows...)
	}
	if len(b.ledger.Pools) > maxLedgerPools {
		t.Errorf("%d pools", len(b.ledger.Pools))
	}
	if b.ledger.Of("pool299") == nil {
		t.Error("a pool with a budget has no entry of its own")
	}
	var sum fleet.USDMicros
	for k := range b.ledger.Pools {
		entry := &b.ledger.Pools[k]
		sum += entry.Window(PeriodMonth, ZoneUTC).SpentUSD
		if len(entry.Days) > keptDays+2 || len(entry.Windows) > 2 {
			t.Fatalf("%s has %d days and %d windows", entry.Name, len(entry.Days), len(entry.Windows))
		}
	}
	if sum != b.month("") {
		t.Errorf("the pools come to $%s, the account to $%s", sum, b.month(""))
	}
	// The pools go, and with the next month their entries.
	b.input.Pools, b.input.Instances = map[string][]LedgerZone{"sdxl": nil}, nil
	b.sweep(moment(0).AddDate(0, 0, 60))
	if len(b.ledger.Pools) < 100 {
		t.Error("entries of pools that are gone went before their month")
	}
	b.sweep(moment(0).AddDate(0, 0, 92))
	b.sweep(moment(0).AddDate(0, 0, 93))
	if len(b.ledger.Pools) != 1 {
		t.Errorf("%d entries are left", len(b.ledger.Pools))
	}
}

// TestLedgerDoesNotDrift: a rental that costs next to nothing, for a day, in
// sweeps of 15 s.
func TestLedgerDoesNotDrift(t *testing.T) {
	b := newBook(t)
	small := costing(1, 0)
	small.PriceUSDPerHour, small.StorageUSDPerHour = 1_000, 0 // a tenth of a cent
	const sweeps = 5760
	for n := range sweeps + 1 {
		b.sweep(moment(15*n), small)
	}
	if want := fleet.USDMicros(24_000); b.month("") != want {
		t.Errorf("$%s after a day, want $%s", b.month(""), want)
	}
}

// TestLedgerIsNeverBelow draws lives, sweeps, gaps and restarts, with one change
// at most between two trusted sweeps: then the ledger is never below what was
// spent, by not even a micro-dollar.
func TestLedgerIsNeverBelow(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		b := newBook(t)
		const poll = 30
		b.input.LongGap = 3 * poll * time.Second
		states := []fleet.ActualStatus{fleet.StatusLoading, fleet.StatusRunning, fleet.StatusRunning, fleet.StatusOffline, fleet.StatusExited}
		one, spent, price := fleet.Rental{}, int64(0), int64(0)
		alive, changed := false, false
		now := 0
		b.sweep(moment(0))
		for range rapid.IntRange(1, 60).Draw(r, "sweeps") {
			pause := rapid.IntRange(1, poll).Draw(r, "pause")
			at := rapid.IntRange(0, pause).Draw(r, "at")
			change := rapid.SampledFrom([]string{"", "", "", "state", "price", "end", "begin"}).Draw(r, "change")
			if changed {
				change = ""
			}
			changed = changed || change != ""
			for second := range pause {
				if second == at {
					switch {
					case change == "begin" && !alive:
						one = in(fleet.StatusLoading, costing(one.ID+1, now+second))
						price, alive = rapid.Int64Range(1, 1000).Draw(r, "price"), true
						b.input.Instances = append(b.input.Instances, rented(fmt.Sprint(one.ID), one.ID, usd(price)))
						b.input.Instances[len(b.input.Instances)-1].Attempts[0].StartedAt = moment(now + second)
					case change == "end" && alive:
						alive = false
						last := &b.input.Instances[len(b.input.Instances)-1]
						*last = deleting(*last, now+second)
					case change == "state":
						one.ActualStatus = rapid.SampledFrom(states).Draw(r, "state")
					case change == "price" && alive:
						price = rapid.Int64Range(1, 1000).Draw(r, "new price")
					}
				}
				if !alive {
					continue
				}
				switch one.ActualStatus {
				case fleet.StatusRunning, fleet.StatusExited:
					spent += price * 10_000
				case fleet.StatusLoading:
					spent += 10_000
				default:
				}
			}
			now += pause
			one.PriceUSDPerHour, one.StorageUSDPerHour = usd(price), usd(1)
			if rapid.IntRange(0, 9).Draw(r, "untrusted") == 0 {
				continue
			}
			changed = false
			if rapid.IntRange(0, 9).Draw(r, "restart") == 0 {
				b.memory = LedgerMemory{}
			}
			if alive {
				b.sweep(moment(now), one)
				// The sweep writes the price into the object.
				last := &b.input.Instances[len(b.input.Instances)-1]
				*last = rented(last.UID, one.ID, usd(price))
				last.Attempts[0].StartedAt = one.StartedAt
			} else {
				b.sweep(moment(now))
			}
			b.forgetEnded()
			if int64(b.month(""))*3600 < spent {
				r.Fatalf("after %d s: $%s counted, $%.6f spent", now, b.month(""), float64(spent)/3600e6)
			}
		}
	})
}

// forgetEnded drops instances that were ended some sweeps ago.
func (b *book) forgetEnded() {
	if n := len(b.input.Instances); n > 2 {
		b.input.Instances = b.input.Instances[n-2:]
	}
}
