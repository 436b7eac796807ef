package ledger

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/fleet"
	"github.com/warmpool-dev/warmpool/internal/simulator"
)

// maxBelow is what the ledger promises: never below by more than so many poll periods.
const maxBelow = 1.0

// TestLedgerAgainstMeter lives through thirty days with the longest poll period
// that an account may have, and through six days with a third of it and with
// charges that can never be read: then trouble makes the ledger count too much,
// and nothing takes it back.
func TestLedgerAgainstMeter(t *testing.T) {
	for name, run := range map[string]struct {
		seed    uint64
		days    int
		poll    time.Duration
		charges bool
		percent float64 // the largest error
	}{
		"corrected daily": {seed: 1, days: 30, poll: 300 * time.Second, charges: true, percent: 1},
		"never corrected": {seed: 2, days: 6, poll: 100 * time.Second, percent: 4},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, run.seed, run.poll)
			w.store.conflicts, w.store.lost = 0.01, 0.005
			if !run.charges {
				w.fault(simulator.FaultHTTPError, 0, simulator.Match{Endpoint: simulator.EndpointCharges})
			}
			worst := newWitness(w)
			for w.clock.Since(monthStart) < time.Duration(run.days)*24*time.Hour-run.poll {
				w.pollPeriod()
				worst.compare()
			}
			worst.verdict(run.days, run.charges, run.percent)
		})
	}
}

// witness compares the ledger with the meter.
type witness struct {
	*world
	// below is the worst shortfall in poll periods, of the account or a pool.
	below float64
	// through is the last moment that was compared.
	through time.Time
	sweeps  int
	// sighted is what rentals had cost when a list last showed them.
	sighted map[int64]int64
}

func newWitness(w *world) *witness { return &witness{world: w, sighted: map[int64]int64{}} }

// bill is what the meter says, in micro-dollars: in all and by pool, and what
// would be billed in an hour if everything ran.
type bill struct{ spent, perHour map[string]int64 }

// bill sums the meter up; "" is the account. What a rental costs that Vast.ai
// hides can be counted only when it shows again, and is not demanded before.
func (w *witness) bill(hidden bool) bill {
	sum := bill{map[string]int64{}, map[string]int64{}}
	for k := range w.meter.Records {
		record := &w.meter.Records[k]
		owners := []string{""}
		if label, ok := fleet.ParseLabel(record.Label); ok {
			owners = append(owners, w.pools[label.InstanceUID])
		}
		for _, owner := range owners {
			spent := record.CostMicros
			if record.Live() && !w.listed[record.ID] && !hidden {
				spent = w.sighted[record.ID]
			}
			sum.spent[owner] += spent
			if w.sighted[record.ID] = spent; record.Live() {
				sum.perHour[owner] += record.Prices[len(record.Prices)-1].MicrosPerHour
			}
		}
	}
	return sum
}

// counted is what the ledger says of the month, by owner.
func counted(ledger *warmpool.Ledger) map[string]int64 {
	month := func(totals *warmpool.LedgerTotals) int64 {
		for _, window := range totals.Windows {
			if window.Period == warmpool.BudgetMonth {
				if amount, err := fleet.ParseUSD(string(window.SpentUSD)); err == nil {
					return int64(amount)
				}
			}
		}
		return 0
	}
	sums := map[string]int64{"": month(&ledger.Account)}
	for k := range ledger.Pools {
		sums[ledger.Pools[k].Name] = month(&ledger.Pools[k].LedgerTotals)
	}
	return sums
}

// compare looks whether the ledger is below the meter, whenever it has just
// been brought up to the present moment.
func (w *witness) compare() {
	ledger := w.ledger()
	if ledger == nil || !ledger.Through.Time.Equal(w.clock.Now()) {
		return
	}
	if ledger.Through.Time.Before(w.through) {
		w.t.Fatalf("the ledger went back from %v to %v", w.through, ledger.Through)
	}
	w.through, w.sweeps = ledger.Through.Time, w.sweeps+1
	meter, sums := w.bill(false), counted(ledger)
	for owner, spent := range meter.spent {
		short := spent - sums[owner]
		if short <= 1 { // the meter rounds each rental up
			continue
		}
		onePoll := float64(meter.perHour[owner]) * w.poll.Hours()
		periods := math.Inf(1)
		if onePoll > 0 {
			periods = float64(short) / onePoll
		}
		if w.below = max(w.below, periods); periods > maxBelow {
			w.t.Fatalf("%v: the ledger of %q is $%.6f below the meter, %.2f poll periods", w.through, owner, float64(short)/1e6, periods)
		}
	}
}

// verdict compares the sums at the end.
func (w *witness) verdict(days int, corrected bool, most float64) {
	ledger := w.ledger()
	meter, sums := w.bill(true), counted(ledger)
	shown := ""
	for _, owner := range slices.Sorted(maps.Keys(meter.spent)) {
		percent := 100 * float64(sums[owner]-meter.spent[owner]) / float64(meter.spent[owner])
		if math.Abs(percent) > most {
			w.t.Errorf("%q: the meter says $%.2f, the ledger $%.2f: %.3f %%", owner, float64(meter.spent[owner])/1e6, float64(sums[owner])/1e6, percent)
		}
		if owner == "" {
			shown = fmt.Sprintf("ledger days=%d meter_usd=%.6f ledger_usd=%.6f error_percent=%.4f max_below_poll_periods=%.4f",
				days, float64(meter.spent[owner])/1e6, float64(sums[owner])/1e6, percent, w.below)
		} else {
			shown += fmt.Sprintf(" %s_error_percent=%.4f", owner, percent)
		}
	}
	fmt.Printf("%s corrected=%t poll_seconds=%d rentals=%d sweeps=%d\n", shown, corrected, int(w.poll/time.Second), w.made, w.sweeps)
	var faults []string
	for _, name := range slices.Sorted(maps.Keys(w.faults)) {
		faults = append(faults, fmt.Sprintf("%s: %d", name, w.faults[name]))
	}
	w.t.Logf("happened: %s; conflicts: %d, lost answers of the API server: %d", strings.Join(faults, ", "), w.store.conflicted, w.store.unanswered)
	w.demand(ledger, days, corrected)
}

// demand looks whether enough happened for the comparison to mean something.
func (w *witness) demand(ledger *warmpool.Ledger, days int, corrected bool) {
	const rentalsPerDay = 5
	most := time.Duration(days) * 24 * time.Hour / w.poll
	if w.made < rentalsPerDay*days || w.sweeps < int(most)*3/4 {
		w.t.Errorf("%d rentals and %d sweeps: too few", w.made, w.sweeps)
	}
	for _, name := range []string{
		simulator.FaultOffline, simulator.FaultOutbid, simulator.FaultPriceRaise, simulator.FaultVanished, simulator.FaultStatusFlicker,
		simulator.FaultHTTPError, simulator.FaultEmptyList, simulator.FaultHiddenRental, "a restart", "a new leader", "an outage of the manager", "a lost answer",
	} {
		if corrected && w.faults[name] == 0 {
			w.t.Errorf("%s never happened", name)
		}
	}
	if has := ledger.LastCorrection != nil; has != corrected {
		w.t.Errorf("last correction %v, want one: %t", ledger.LastCorrection, corrected)
	}
	if problem := ledger.CorrectionProblem != ""; problem == corrected {
		w.t.Errorf("correction problem %q", ledger.CorrectionProblem)
	}
}
