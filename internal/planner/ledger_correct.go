package planner

import (
	"maps"
	"slices"
	"time"

	"github.com/warmpool-dev/warmpool/internal/fleet"
)

const (
	// chargesLag is how long after the end of a day its charges are awaited:
	// they come hours late.
	chargesLag = 12 * time.Hour
	// correctedDays is how many finished days are compared each time, for
	// charges that come later still.
	correctedDays = 3
)

// LedgerCorrection is the comparison of one day with the charges.
type LedgerCorrection struct {
	// Day is "2006-01-02", of UTC.
	Day string
	// LedgerUSD is what was counted, ChargedUSD what was charged, and
	// CorrectionUSD what is added to the ledger.
	LedgerUSD, ChargedUSD, CorrectionUSD fleet.USDMicros
}

// IsLarge is true when a person should know: more than 2 % and more than $0.10.
func (c *LedgerCorrection) IsLarge() bool {
	const fiftieth, least = 50, 100_000
	off := max(c.CorrectionUSD, -c.CorrectionUSD)
	return off > least && off > c.LedgerUSD/fiftieth
}

// DueCorrection returns the days that are to be compared with the charges now,
// the newest first, as the first moments of them; none when the newest one that
// is old enough was compared already.
func DueCorrection(ledger *Ledger, lastDay string) []time.Time {
	newest := PeriodStart(PeriodDay, time.UTC, ledger.Through.Add(-chargesLag)).Add(-day)
	if newest.Add(day).Before(ledger.Since) || newest.Format(dayFormat) <= lastDay {
		return nil
	}
	var due []time.Time
	for n := range correctedDays {
		if begins := newest.Add(-time.Duration(n) * day); begins.Add(day).After(ledger.Since) {
			due = append(due, begins)
		}
	}
	return due
}

// ChargedDay is what was charged for a day.
type ChargedDay struct {
	// Begins is its first moment.
	Begins time.Time
	// Charges of the account.
	Charges []fleet.Charge
	// Pools names the pools of the rentals that this process remembers
	// (LedgerMemory.Pools); the ledger itself knows the newest ones.
	Pools map[int64]string
	// Installation is the second part of our labels.
	Installation string
}

// CorrectLedger compares one finished day with what was charged for it.
//
// More than was counted is added in full. Less is believed only down to what
// was spent for certain: charges come late, and a day that looks cheap may only
// not be complete. A pool is charged what its rentals were; a charge of ours
// that nobody remembers the pool of could be any pool's, so that none is
// corrected down by it, nor up.
func CorrectLedger(ledger *Ledger, charged *ChargedDay) (Ledger, LedgerCorrection) {
	name := charged.Begins.Format(dayFormat)
	all, byPool, unclear := charged.sum(ledger)
	after := Ledger{Since: ledger.Since, Through: ledger.Through, Pools: slices.Clone(ledger.Pools)}
	for k := range after.Pools {
		entry := &after.Pools[k]
		if own := entry.dayOrNone(name); own.SpentUSD > 0 && entry.Name != LedgerRest {
			known := byPool[entry.Name]
			after.Pools[k] = entry.corrected(charged.Begins, max(known, min(own.SpentUSD, addUSD(known, unclear))))
		}
	}
	was := ledger.Account.dayOrNone(name)
	after.Account = ledger.Account.corrected(charged.Begins, all)
	return after, LedgerCorrection{
		Day: name, LedgerUSD: was.SpentUSD, ChargedUSD: all, CorrectionUSD: after.Account.dayOrNone(name).SpentUSD - was.SpentUSD,
	}
}

// sum adds the charges up: all, those of each pool, and those of our rentals
// whose pool is not remembered.
func (d *ChargedDay) sum(ledger *Ledger) (all fleet.USDMicros, byPool map[string]fleet.USDMicros, unclear fleet.USDMicros) {
	byPool = map[string]fleet.USDMicros{}
	pools := map[int64]string{}
	for k := range ledger.Pools {
		for _, id := range ledger.Pools[k].Rentals {
			pools[id] = ledger.Pools[k].Name
		}
	}
	maps.Copy(pools, d.Pools)
	for k := range d.Charges {
		charge := &d.Charges[k]
		share := chargedWithin(charge, d.Begins)
		all = addUSD(all, share)
		label, labelled := fleet.ParseLabel(charge.Label)
		switch pool, known := pools[charge.RentalID]; {
		case known:
			byPool[pool] = addUSD(byPool[pool], share)
		case labelled && label.Installation == d.Installation:
			unclear = addUSD(unclear, share)
		default:
		}
	}
	return all, byPool, unclear
}

// chargedWithin is the part of a charge that falls on a day; all of it when it
// does not say from when to when it is.
func chargedWithin(charge *fleet.Charge, begins time.Time) fleet.USDMicros {
	length := charge.EndedAt.Sub(charge.StartedAt)
	if charge.StartedAt.IsZero() || charge.EndedAt.IsZero() || length < time.Second {
		return max(charge.AmountUSD, 0)
	}
	from, to := charge.StartedAt, charge.EndedAt
	if from.Before(begins) {
		from = begins
	}
	if end := begins.Add(day); to.After(end) {
		to = end
	}
	return partOf(max(charge.AmountUSD, 0), fleet.USDMicros(to.Sub(from)/time.Second), fleet.USDMicros(length/time.Second))
}

// partOf returns amount × part / whole, a little rounded up. Both are made
// small first, so that the product fits; that errs by a millionth.
func partOf(amount, part, whole fleet.USDMicros) fleet.USDMicros {
	if whole <= 0 || part <= 0 {
		return 0
	}
	const precise = 1 << 20
	for whole > precise {
		whole, part = whole/2, (part+1)/2
	}
	if part >= whole {
		return amount
	}
	return (amount.Times(int64(part)) + whole - 1) / whole
}

// dayOrNone returns a copy of a day.
func (t *LedgerTotals) dayOrNone(name string) LedgerDay {
	for _, one := range t.Days {
		if one.Day == name {
			return one
		}
	}
	return LedgerDay{Day: name}
}

// corrected puts what was charged for a day in place of what was counted.
func (t *LedgerTotals) corrected(begins time.Time, charged fleet.USDMicros) LedgerTotals {
	after := *t
	after.Windows, after.Days = slices.Clone(t.Windows), slices.Clone(t.Days)
	one := after.day(begins.Format(dayFormat))
	//warmpool:gate ledger-keep-what-is-certain
	if charged < one.CertainUSD {
		charged = one.CertainUSD
	}
	more := charged - one.SpentUSD
	one.SpentUSD = charged
	for k := range after.Windows {
		window := &after.Windows[k]
		whole, touched := !begins.Before(window.Start), begins.Add(day).After(window.Start)
		// Of a day that only ends in the window nobody knows which part is too much.
		if whole || (touched && more > 0) {
			window.SpentUSD = max(window.SpentUSD+more, 0)
		}
	}
	return after
}
