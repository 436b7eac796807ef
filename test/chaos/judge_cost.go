package main

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/warmpool-dev/warmpool/internal/fleet"
	"github.com/warmpool-dev/warmpool/internal/simulator"
)

// sightLag is how old what the managers know of prices, and of rentals that
// are not theirs, may be when they rent: two poll periods, twice the time of a
// sweep and the slack of the spend gate.
const sightLag = 2*(pollPeriod+sweepTime) + 30*time.Second

// overCeiling is what one ceiling says about one time.
type overCeiling struct {
	seconds float64
	found   []finding
	// peak is the highest sum of prices, whoever is to blame, and limit the
	// highest ceiling that was ever in force.
	peak, limit fleet.USDMicros
}

// group is the rentals under one ceiling.
type group struct {
	name    string
	members []simulator.RentalRecord
	// ceilings returns those that were in force at any moment of a time.
	ceilings func(from, to time.Time) []fleet.USDMicros
}

// groups are the pools and, last, the account with everything in it.
func (e *evidence) groups() []group {
	byPool := map[string][]simulator.RentalRecord{}
	for _, rental := range e.ourRentals() {
		pool := e.book.poolOf(rental.label.InstanceUID)
		byPool[pool] = append(byPool[pool], *rental.RentalRecord)
	}
	var list []group
	for name, members := range byPool {
		list = append(list, group{name: "pool " + name, members: members, ceilings: func(from, to time.Time) []fleet.USDMicros {
			var amounts []fleet.USDMicros
			for _, state := range e.book.poolsIn(name, from, to) {
				amounts = append(amounts, state.ceiling)
			}
			return amounts
		}})
	}
	slices.SortFunc(list, func(x, y group) int { return cmp.Compare(x.name, y.name) })
	return append(list, group{name: "the account", members: e.records, ceilings: func(from, to time.Time) []fleet.USDMicros {
		var amounts []fleet.USDMicros
		for _, state := range e.book.accountsIn(from, to) {
			amounts = append(amounts, state.ceiling)
		}
		return amounts
	}})
}

// judgeCeiling adds up the seconds in which the sum of prices was above the
// ceiling that was in force when the newest rental of ours in that sum was
// rented. A ceiling that was lowered, a price that was raised and what somebody
// rented by hand too short a time ago to be known are not our act.
func (e *evidence) judgeCeiling(g *group) overCeiling {
	result := overCeiling{limit: highest(g.ceilings(time.Time{}, e.now))}
	result.peak = e.peakOf(g)
	for k := range g.members {
		newest := &g.members[k]
		attempt, ok := e.attemptOfRental(newest)
		if !ok {
			continue
		}
		// The last look precedes the call, and the call may be carried out late.
		const slack = time.Second
		ceiling := highest(g.ceilings(attempt.started.Add(-slack), newest.Start))
		sum := e.knownSum(g, newest, &attempt)
		if sum <= ceiling {
			continue
		}
		until := e.fitsAgain(g, newest, &attempt, ceiling)
		result.seconds += until.Sub(newest.Start).Seconds()
		result.found = append(result.found, finding{"over the ceiling", fmt.Sprintf(
			"%s: rental %d at %s made it $%s/h, the ceiling was $%s/h; until %s", g.name, newest.ID, clockTime(newest.Start), sum, ceiling, clockTime(until))})
	}
	return result
}

// attemptOfRental is the journal entry that a rental of ours was made for.
func (e *evidence) attemptOfRental(record *simulator.RentalRecord) (attemptState, bool) {
	label, ok := fleet.ParseLabel(record.Label)
	if !ok || label.Installation != installation || record.Origin != "api" {
		return attemptState{}, false
	}
	return e.book.attemptOf(label.InstanceUID, label.Attempt)
}

// knownSum is the sum of prices that a rent had to reckon with.
func (e *evidence) knownSum(g *group, newest *simulator.RentalRecord, attempt *attemptState) fleet.USDMicros {
	sum := attempt.quote
	for k := range g.members {
		if other := &g.members[k]; other.ID != newest.ID && other.Start.Before(newest.Start) && e.endOf(other).After(newest.Start) {
			sum += e.knownPrice(other, attempt.started)
		}
	}
	return sum
}

// knownPrice is what the managers had to know of a rental's price at a time:
// the price of a while ago, and before that the quote of their own journal.
// What is not theirs is known only after a while.
func (e *evidence) knownPrice(record *simulator.RentalRecord, at time.Time) fleet.USDMicros {
	known := at.Add(-sightLag)
	price := fleet.USDMicros(0)
	for _, point := range record.Prices {
		if !point.At.After(known) {
			price = fleet.USDMicros(point.MicrosPerHour)
		}
	}
	if price > 0 {
		return price
	}
	attempt, ours := e.attemptOfRental(record)
	if !ours {
		return 0
	}
	// A rental that turns out cheaper than its quote may be counted so at once.
	return min(attempt.quote, fleet.USDMicros(record.Prices[0].MicrosPerHour))
}

// fitsAgain is when enough of a sum has ended, or the newest rental has.
func (e *evidence) fitsAgain(g *group, newest *simulator.RentalRecord, attempt *attemptState, ceiling fleet.USDMicros) time.Time {
	ends := []time.Time{e.endOf(newest)}
	for k := range g.members {
		ends = append(ends, e.endOf(&g.members[k]))
	}
	slices.SortFunc(ends, time.Time.Compare)
	for _, end := range ends {
		if !end.After(newest.Start) {
			continue
		}
		left := fleet.USDMicros(0)
		for k := range g.members {
			other := &g.members[k]
			if !other.Start.After(newest.Start) && e.endOf(other).After(end) {
				if other.ID == newest.ID {
					left += attempt.quote
				} else {
					left += e.knownPrice(other, attempt.started)
				}
			}
		}
		if left <= ceiling || !e.endOf(newest).After(end) {
			return end
		}
	}
	return e.now
}

// peakOf is the highest sum of prices of a group.
func (e *evidence) peakOf(g *group) fleet.USDMicros {
	peak, _ := simulator.Meter{Now: e.now, Records: g.members}.Peak("")
	return fleet.USDMicros(peak)
}

func highest(amounts []fleet.USDMicros) fleet.USDMicros {
	if len(amounts) == 0 {
		return 0
	}
	return slices.Max(amounts)
}
