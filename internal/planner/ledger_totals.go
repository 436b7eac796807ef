package planner

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/warmpool-dev/warmpool/internal/fleet"
)

const (
	// LedgerRest is the entry of all pools that have none of their own.
	LedgerRest = "*"
	// maxLedgerPools bounds the entries, LedgerRest included.
	maxLedgerPools = 200
	// keptDays is how many days before today are kept: enough to seed a week,
	// and for charges that come late.
	keptDays = 8
	// keptRentals bounds the rentals of a pool that are kept for the charges.
	keptRentals = 100
	// dayFormat names a day.
	dayFormat = "2006-01-02"
)

// ledger puts the charges into the sums.
func (g *integration) ledger() Ledger {
	after := Ledger{Since: g.until, Through: g.until}
	var before Ledger
	if g.in.Ledger != nil {
		before = *g.in.Ledger
		after.Since = before.Since
	}
	g.foldPools(&before)
	after.Account = g.totals(&before.Account, g.charges, g.in.Account)
	byPool, rentals := g.byPool()
	for _, name := range g.names(&before) {
		entry := LedgerTotals{Name: name}
		if existing := before.Of(name); existing != nil {
			entry = *existing
		} else if rest := before.Of(LedgerRest); rest != nil {
			// It was counted in there, nobody knows with how much: at most all of it.
			entry = LedgerTotals{Name: name, Windows: rest.Windows, Days: rest.Days}
		}
		totals := g.totals(&entry, byPool[name], g.in.Pools[name])
		if _, exists := g.in.Pools[name]; !exists && !totals.isInUse() {
			continue
		}
		totals.Rentals = newest(slices.Concat(entry.Rentals, rentals[name]))
		after.Pools = append(after.Pools, totals)
	}
	for k := range after.Pools {
		after.Account.USDPerHour = addUSD(after.Account.USDPerHour, after.Pools[k].USDPerHour)
	}
	return after
}

// byPool sorts the charges, and the rentals that were counted, by pool.
func (g *integration) byPool() (charges map[string][]charge, rentals map[string][]int64) {
	charges, rentals = map[string][]charge{}, map[string][]int64{}
	for k := range g.charges {
		if pool := g.charges[k].pool; pool != "" {
			charges[pool] = append(charges[pool], g.charges[k])
		}
	}
	for id, was := range g.seen {
		if was.pool != "" && was.counted.Equal(g.until) {
			rentals[was.pool] = append(rentals[was.pool], id)
		}
	}
	return charges, rentals
}

// newest keeps the last rentals; their numbers rise.
func newest(ids []int64) []int64 {
	slices.Sort(ids)
	ids = slices.Compact(ids)
	return ids[max(len(ids)-keptRentals, 0):]
}

// names lists the pools that have an entry, or get one.
func (g *integration) names(before *Ledger) []string {
	names := map[string]bool{}
	for k := range before.Pools {
		names[before.Pools[k].Name] = true
	}
	for name := range g.in.Pools {
		names[name] = true
	}
	for k := range g.charges {
		if pool := g.charges[k].pool; pool != "" {
			names[pool] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// foldPools moves pools without a place of their own into LedgerRest. Pools
// with budgets keep theirs before others, and those that exist before those
// that are gone.
func (g *integration) foldPools(before *Ledger) {
	names := g.names(before)
	if len(names) <= maxLedgerPools-1 {
		return
	}
	rank := func(name string) int {
		zones, exists := g.in.Pools[name]
		switch {
		case name == LedgerRest:
			return 0
		case len(zones) > 0:
			return 1
		case exists:
			return 2
		default:
			return 3
		}
	}
	slices.SortStableFunc(names, func(a, b string) int { return cmp.Compare(rank(a), rank(b)) })
	folded := map[string]bool{}
	kept := maxLedgerPools - 1
	if names[0] == LedgerRest {
		kept++
	}
	for _, name := range names[kept:] {
		folded[name] = true
	}
	for k := range g.charges {
		if folded[g.charges[k].pool] {
			g.charges[k].pool = LedgerRest
		}
	}
	pools := maps.Clone(g.in.Pools)
	maps.DeleteFunc(pools, func(name string, _ []LedgerZone) bool { return folded[name] })
	shallow := *g.in
	shallow.Pools, g.in = pools, &shallow
	for name := range folded {
		g.rates[LedgerRest] = addUSD(g.rates[LedgerRest], g.rates[name])
		delete(g.rates, name)
	}
	before.Pools = foldTotals(before.Pools, folded)
}

// foldTotals merges entries into LedgerRest.
func foldTotals(pools []LedgerTotals, folded map[string]bool) []LedgerTotals {
	rest := LedgerTotals{Name: LedgerRest}
	var kept []LedgerTotals
	for k := range pools {
		entry := &pools[k]
		if !folded[entry.Name] && entry.Name != LedgerRest {
			kept = append(kept, *entry)
			continue
		}
		rest.USDPerHour = addUSD(rest.USDPerHour, entry.USDPerHour)
		for _, period := range []SpendPeriod{PeriodDay, PeriodMonth} {
			rest.merge(entry.Window(period, ZoneUTC))
		}
		for _, one := range entry.Days {
			at := rest.day(one.Day)
			at.SpentUSD, at.CertainUSD = addUSD(at.SpentUSD, one.SpentUSD), addUSD(at.CertainUSD, one.CertainUSD)
		}
	}
	if rest.Windows == nil {
		return kept
	}
	return append(kept, rest)
}

// merge adds a window of another entry.
func (t *LedgerTotals) merge(other *LedgerWindow) {
	if other == nil {
		return
	}
	own := t.Window(other.Period, other.Zone)
	if own == nil {
		t.Windows = append(t.Windows, *other)
		return
	}
	own.SpentUSD, own.PreviousUSD = addUSD(own.SpentUSD, other.SpentUSD), addUSD(own.PreviousUSD, other.PreviousUSD)
}

// isInUse is true while an entry of a pool that is gone still says something
// about the running month.
func (t *LedgerTotals) isInUse() bool {
	month := t.Window(PeriodMonth, ZoneUTC)
	return t.USDPerHour > 0 || month == nil || month.SpentUSD > 0
}

// totals brings one entry up to date.
func (g *integration) totals(before *LedgerTotals, charges []charge, zones []LedgerZone) LedgerTotals {
	after := LedgerTotals{Name: before.Name, USDPerHour: g.rates[before.Name], Days: slices.Clone(before.Days)}
	g.countDays(&after, charges)
	wanted := []LedgerZone{{PeriodDay, ZoneUTC, time.UTC}, {PeriodMonth, ZoneUTC, time.UTC}}
	for _, zone := range append(wanted, zones...) {
		if after.Window(zone.Period, zone.Name) != nil {
			continue // two budgets may share one
		}
		if existing := before.Window(zone.Period, zone.Name); existing != nil {
			after.Windows = append(after.Windows, g.roll(before.Name, *existing, charges, zone))
		} else {
			after.Windows = append(after.Windows, g.seeded(&after, charges, zone))
		}
	}
	return after
}

// roll adds charges to a window, and begins it anew when its period is over. It
// never begins again at an earlier moment: a clock that is set back opens
// nothing that was closed.
func (g *integration) roll(entry string, window LedgerWindow, charges []charge, zone LedgerZone) LedgerWindow {
	name := ledgerAmount{entry, string(zone.Period), zone.Name}
	start := PeriodStart(zone.Period, zone.Zone, g.until)
	if !start.After(window.Start) {
		window.SpentUSD = g.sum(name, window.SpentUSD, charges, timeSpan{start: window.Start})
		return window
	}
	before := timeSpan{start: PeriodStart(zone.Period, zone.Zone, start.Add(-time.Second)), end: start}
	was := fleet.USDMicros(0)
	if !before.start.After(window.Start) {
		was, before.start = window.SpentUSD, window.Start
	}
	window.PreviousUSD = g.sum(name, was, charges, before)
	window.Start = start
	window.SpentUSD = g.sum(name, 0, charges, timeSpan{start: start})
	return window
}

// seeded begins a window in the middle of its period, with what the days and
// months of UTC say about it: never too little, but up to a day too much.
func (g *integration) seeded(totals *LedgerTotals, charges []charge, zone LedgerZone) LedgerWindow {
	window := LedgerWindow{Period: zone.Period, Zone: zone.Name, Start: PeriodStart(zone.Period, zone.Zone, g.until)}
	month := totals.Window(PeriodMonth, ZoneUTC)
	switch {
	case month == nil && zone.Period == PeriodMonth:
		// The month of UTC itself: all there is.
		window.SpentUSD = g.sum(ledgerAmount{totals.Name, string(zone.Period), zone.Name}, 0, charges, timeSpan{start: window.Start})
	case month == nil || !window.Start.Before(g.oldestDay()):
		window.SpentUSD = totals.daysFrom(window.Start, time.Time{})
	case !window.Start.Before(month.Start):
		window.SpentUSD = month.SpentUSD
	case !window.Start.Before(month.Start.Add(-day)):
		window.SpentUSD = addUSD(month.SpentUSD, totals.daysFrom(window.Start, month.Start))
	default:
		window.SpentUSD = addUSD(month.SpentUSD, month.PreviousUSD)
	}
	return window
}

// daysFrom sums the days that overlap a stretch of time; a zero end is open.
func (t *LedgerTotals) daysFrom(start, end time.Time) fleet.USDMicros {
	var sum fleet.USDMicros
	for _, one := range t.Days {
		begins, err := time.Parse(dayFormat, one.Day)
		if err == nil && begins.Add(day).After(start) && (end.IsZero() || begins.Before(end)) {
			sum = addUSD(sum, one.SpentUSD)
		}
	}
	return sum
}

// oldestDay is the first of the days that are kept without a gap.
func (g *integration) oldestDay() time.Time {
	return PeriodStart(PeriodDay, time.UTC, g.until).Add(-keptDays * day)
}

// countDays adds charges to the days of UTC, and drops those that nobody asks
// for any more. The last day of the month before stays: a month of another zone
// may begin in it.
func (g *integration) countDays(totals *LedgerTotals, charges []charge) {
	today, oldest := PeriodStart(PeriodDay, time.UTC, g.until), g.oldestDay()
	lastOfMonth := PeriodStart(PeriodMonth, time.UTC, g.until).Add(-day).Format(dayFormat)
	totals.Days = slices.DeleteFunc(totals.Days, func(one LedgerDay) bool {
		begins, err := time.Parse(dayFormat, one.Day)
		return err != nil || (begins.Before(oldest) && one.Day != lastOfMonth)
	})
	for begins := today; !begins.Before(oldest); begins = begins.Add(-day) {
		bounds, name := timeSpan{start: begins, end: begins.Add(day)}, begins.Format(dayFormat)
		if begins.Equal(today) {
			bounds.end = time.Time{}
		}
		if !slices.ContainsFunc(charges, func(c charge) bool { return c.within(bounds) > 0 }) {
			continue
		}
		one := totals.day(name)
		one.SpentUSD = g.sum(ledgerAmount{totals.Name, amountDay, name}, one.SpentUSD, charges, bounds)
		one.CertainUSD = g.sum(ledgerAmount{totals.Name, amountCertain, name}, one.CertainUSD, charges, bounds)
	}
}

// day returns the entry of a day, made in its place when there is none.
func (t *LedgerTotals) day(name string) *LedgerDay {
	at, found := slices.BinarySearchFunc(t.Days, name, func(one LedgerDay, name string) int { return cmp.Compare(one.Day, name) })
	if !found {
		t.Days = slices.Insert(t.Days, at, LedgerDay{Day: name})
	}
	return &t.Days[at]
}
