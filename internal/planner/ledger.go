package planner

import (
	"strings"
	"time"

	"github.com/warmpool-dev/warmpool/internal/fleet"
)

// ZoneUTC is the name of the zone in which everybody's days and months are
// counted, whatever budgets there are.
const ZoneUTC = "Etc/UTC"

// LedgerWindow is the running period of one length in one zone.
type LedgerWindow struct {
	// Period and Zone (an IANA name) say which.
	Period SpendPeriod
	Zone   string
	// Start never moves back.
	Start time.Time
	// SpentUSD is what was spent since then, PreviousUSD what the period before cost.
	SpentUSD, PreviousUSD fleet.USDMicros
}

// LedgerDay is one day of UTC.
type LedgerDay struct {
	// Day is "2006-01-02".
	Day string
	// SpentUSD is what was counted or, later, charged.
	SpentUSD fleet.USDMicros
	// CertainUSD is the part that was certainly spent; a correction never goes below.
	CertainUSD fleet.USDMicros
}

// LedgerTotals are the sums of the account or of one pool.
type LedgerTotals struct {
	// Name is the pool's, empty for the account.
	Name string
	// USDPerHour is what was billed at Through.
	USDPerHour fleet.USDMicros
	// Windows and Days are the sums; Days is in order.
	Windows []LedgerWindow
	Days    []LedgerDay
	// Rentals are the newest rentals that were counted for a pool, in order:
	// charges name rentals, not pools.
	Rentals []int64
}

// Ledger is what was spent. It is a value: nothing here changes one in place.
type Ledger struct {
	// Since is when the counting began, Through until when it has come.
	Since, Through time.Time
	// Account is everything, Pools the parts of the pools, by name.
	Account LedgerTotals
	Pools   []LedgerTotals
}

// Of returns the totals of a pool, nil when it has none of its own.
func (l *Ledger) Of(pool string) *LedgerTotals {
	for k := range l.Pools {
		if l.Pools[k].Name == pool {
			return &l.Pools[k]
		}
	}
	return nil
}

// Window returns the running window of a period and zone, nil when there is none.
func (t *LedgerTotals) Window(period SpendPeriod, zone string) *LedgerWindow {
	for k := range t.Windows {
		if t.Windows[k].Period == period && t.Windows[k].Zone == zone {
			return &t.Windows[k]
		}
	}
	return nil
}

// LedgerZone is a window that somebody's budget asks for.
type LedgerZone struct {
	Period SpendPeriod
	// Name is the IANA name, Zone what it stands for.
	Name string
	Zone *time.Location
}

// LedgerMemory is what a process remembers between two sweeps. It may be lost
// at any moment; what follows then counts too much rather than too little.
type LedgerMemory struct {
	// through is where the ledger stood that it belongs to: with any other one
	// it is worth nothing.
	through time.Time
	// since is from when on every rental that was listed is remembered.
	since time.Time
	seen  map[int64]ledgerRental
	// fractions are the parts of a micro-dollar behind the written amounts.
	fractions map[ledgerAmount]exactUSD
}

// Pools maps every rental that is remembered to the name of its pool, which is
// empty for a rental of none.
func (m *LedgerMemory) Pools() map[int64]string {
	pools := make(map[int64]string, len(m.seen))
	for id := range m.seen {
		pools[id] = m.seen[id].pool
	}
	return pools
}

// ledgerRental is a rental as it was last seen.
type ledgerRental struct {
	pool string
	rate billing
	// ran is true once it was seen running.
	ran bool
	// listed is false while trusted lists do not show it; counted is until when
	// it is in the ledger.
	listed  bool
	counted time.Time
}

// LedgerInput is one trusted sweep, and what was counted before it.
type LedgerInput struct {
	// Ledger is what the account's status holds; nil when it holds none yet.
	Ledger *Ledger
	// Memory is the one of this process; the zero value after a start.
	Memory LedgerMemory
	// Rentals are the rows of the sweep.
	Rentals []fleet.Rental
	// Instances are all WarmInstances of the account, and Installation is the
	// second part of their labels.
	Instances    []Instance
	Installation string
	// At is when the sweep began, by the clock.
	At time.Time
	// Elapsed is the time since the sweep before, by a clock that is not set;
	// 0 when this process made none.
	Elapsed time.Duration
	// LongGap is the time between two sweeps after which anything may have
	// happened in between: then a rental counts as if it had run all the time.
	LongGap time.Duration
	// Pools holds the account's pools, by name, with the windows that their
	// budgets ask for; Account holds those of the account's.
	Pools   map[string][]LedgerZone
	Account []LedgerZone
}

// IntegrateLedger counts what was spent until a trusted sweep. Nothing is
// counted from one that is not trusted: the next trusted one counts for it.
//
// Between two sweeps the dearer of the two sightings counts. A rental that was
// not there before counts from its start, and one that is not there any more
// until this sweep. After a long gap, or a start of the process, everything
// counts at the price at which it runs. So the ledger is never below what was
// spent but by what changed twice between two sweeps.
func IntegrateLedger(in *LedgerInput) (Ledger, LedgerMemory) {
	g := newIntegration(in)
	pools := poolsByRental(in)
	for k := range in.Rentals {
		row := &in.Rentals[k]
		g.countRow(row, pools.of(row))
	}
	g.countVanished()
	g.countRecorded()
	g.countForeignGone()
	return g.ledger(), LedgerMemory{through: g.until, since: g.since, seen: g.seen, fractions: g.fractions}
}

// charge is what one rental cost over one stretch of time.
type charge struct {
	pool string
	// rate is the dearest possible, certain the cheapest, in dollars per hour.
	rate, certain fleet.USDMicros
	from, to      time.Time
	// extra is time that passed while the clock was set back; it counts at to.
	extra time.Duration
}

// integration is the work sheet of one IntegrateLedger.
type integration struct {
	in *LedgerInput
	// memory is the input's, or nothing when it is of another ledger.
	memory LedgerMemory
	// before is where the ledger stood, until where it comes now.
	before, until time.Time
	extra         time.Duration
	// first is true when there was no ledger, restarted when there was one that
	// another process wrote, long when too much time has passed.
	// brief is true when another process wrote it a moment ago.
	first, restarted, long, brief bool
	since                         time.Time
	seen                          map[int64]ledgerRental
	charges                       []charge
	rates                         map[string]fleet.USDMicros
	// foreign is the rate of rentals of no pool that were there before.
	foreign   fleet.USDMicros
	fractions map[ledgerAmount]exactUSD
}

// newIntegration finds out how much time there is to count.
func newIntegration(in *LedgerInput) *integration {
	now := in.At.Round(0).UTC().Truncate(time.Millisecond)
	g := &integration{
		in: in, memory: in.Memory, before: now, until: now, first: in.Ledger == nil, since: in.Memory.since,
		seen: map[int64]ledgerRental{}, rates: map[string]fleet.USDMicros{}, fractions: map[ledgerAmount]exactUSD{},
	}
	if g.first {
		// What runs already has cost something in this month: at least its
		// present rate since its start, as far as anybody can tell.
		g.since = PeriodStart(PeriodMonth, time.UTC, now)
		return g
	}
	g.before = in.Ledger.Through
	if now.Before(g.before) {
		// The clock was set back. What is counted stays counted.
		g.until = g.before
	}
	span := g.until.Sub(g.before)
	g.extra = max(in.Elapsed-span, 0).Truncate(time.Millisecond)
	//warmpool:gate ledger-memory-of-another-ledger
	if in.Memory.seen == nil || !in.Memory.through.Equal(g.before) {
		g.restarted, g.since, g.memory = true, g.before, LedgerMemory{}
	}
	//warmpool:gate ledger-long-gap
	if g.restarted || max(span, in.Elapsed) > in.LongGap {
		g.long, g.brief = true, g.restarted && span <= in.LongGap
	}
	return g
}

// countRow counts a rental that the sweep shows.
func (g *integration) countRow(row *fleet.Rental, owner rentalOwner) {
	was, known := g.memory.seen[row.ID]
	ran := was.ran || owner.ran || row.ActualStatus == fleet.StatusRunning
	if !known && owner.pool == "" {
		ran = ran || g.surelyRan(row)
		g.countForeign(row, ran)
	}
	now := ledgerRental{pool: owner.pool, rate: billingOf(row, ran), ran: ran, listed: true, counted: g.until}
	c := charge{pool: owner.pool, to: g.until}
	switch {
	case known && was.listed && !g.long:
		c.from, c.extra = was.counted, g.extra
		c.rate, c.certain = max(was.rate.dearest, now.rate.dearest), min(was.rate.certain, now.rate.certain)
	case known:
		// After a long gap, or after it was not listed for a while.
		c.from, c.extra, c.rate = was.counted, g.extra, max(was.rate.running, now.rate.running)
	default:
		c.from = g.beginning(row.StartedAt)
		c.rate = g.unseenRate(&now, &owner, c.from)
	}
	g.charges = append(g.charges, c)
	g.seen[row.ID] = now
	g.rates[owner.pool] = addUSD(g.rates[owner.pool], now.rate.dearest)
}

// countForeign notes, after a start, what the rentals of no pool cost that were
// there before it.
func (g *integration) countForeign(row *fleet.Rental, ran bool) {
	if g.restarted && !row.StartedAt.After(g.before) {
		g.foreign = addUSD(g.foreign, billingOf(row, ran).dearest)
	}
}

// surelyRan guesses of a rental that nobody here has seen before: it has
// probably run in its first hour.
func (g *integration) surelyRan(row *fleet.Rental) bool {
	return !row.StartedAt.IsZero() && g.until.Sub(row.StartedAt) > time.Hour
}

// unseenRate is what a rental counts that this process sees for the first time:
// what it costs now when it is new, or when the ledger is, or when its object
// says that it did not run a moment ago; and otherwise as if it had run.
func (g *integration) unseenRate(now *ledgerRental, owner *rentalOwner, from time.Time) fleet.USDMicros {
	isNew := !g.long && !from.Before(g.before)
	if g.first || isNew || (g.brief && owner.idle) {
		return now.rate.dearest
	}
	// The price may have fallen meanwhile: its object has the one from before.
	return max(now.rate.running, owner.usdPerHour)
}

// beginning is from when on a rental counts that nobody remembers. Its start is
// by the clock of Vast.ai: one in the future means that the clocks differ.
func (g *integration) beginning(started time.Time) time.Time {
	started = started.UTC().Truncate(time.Millisecond)
	switch {
	case started.Unix() <= 0 || started.After(g.until):
		return g.before
	case started.Before(g.since):
		return g.since
	default:
		return started
	}
}

// countVanished counts what the sweep does not show any more, until the sweep.
func (g *integration) countVanished() {
	const remembered = 7 * day
	for id, was := range g.memory.seen {
		if _, listed := g.seen[id]; listed {
			continue
		}
		if was.listed {
			// It may have begun to run just before it went.
			g.charges = append(g.charges, charge{pool: was.pool, rate: was.rate.running, from: was.counted, to: g.until, extra: g.extra})
			was.listed, was.counted = false, g.until
		}
		if g.until.Sub(was.counted) < remembered {
			g.seen[id] = was
		}
	}
}

// countRecorded counts the rentals that objects record and that lists do not
// show: they came and went between two sweeps, or reads lag behind, or somebody
// hides them. Nobody asked for their end, so they may well live, and count on
// for as long as the object stands for them. One that is being ended does not:
// its object stays for two sweeps in any case. After that it counts as well.
func (g *integration) countRecorded() {
	for k := range g.in.Instances {
		instance := &g.in.Instances[k]
		for _, rental := range instance.RecordedRentals() {
			was, known := g.seen[rental.ID]
			if was.listed || (known && instance.Deleting && g.until.Sub(was.counted) <= g.in.LongGap) {
				continue
			}
			from := was.counted
			if !known {
				from = g.beginning(instance.startOf(&rental))
				was = ledgerRental{pool: poolName(instance.Pool), rate: billing{running: rental.USDPerHour}}
			}
			was.counted = g.until
			g.charges = append(g.charges, charge{pool: was.pool, rate: was.rate.running, from: from, to: g.until})
			g.seen[rental.ID] = was
		}
	}
}

// startOf is the earliest time at which a recorded rental can have begun.
func (i *Instance) startOf(rental *RecordedRental) time.Time {
	for k := range i.Attempts {
		if i.Attempts[k].RentalID == rental.ID {
			return i.Attempts[k].StartedAt
		}
	}
	return rental.RecordedAt
}

// countForeignGone counts, after a start, rentals of no pool that ended while
// no process looked: no object records them, and only their sum is known.
func (g *integration) countForeignGone() {
	if !g.restarted {
		return
	}
	gone := g.in.Ledger.Account.USDPerHour - g.foreign
	for k := range g.in.Ledger.Pools {
		gone -= g.in.Ledger.Pools[k].USDPerHour
	}
	if gone > 0 {
		g.charges = append(g.charges, charge{rate: gone, from: g.before, to: g.until})
	}
}

// rentalOwner is whose rental a row is.
type rentalOwner struct {
	// pool is the name of the pool, empty for a rental of none.
	pool string
	// ran is true when its object knows that it ran; idle when the last sweep
	// showed it in a state in which the GPU does not bill.
	ran, idle bool
	// usdPerHour is the price that its object records.
	usdPerHour fleet.USDMicros
}

// rentalOwners finds the pools of rows.
type rentalOwners struct {
	installation    string
	byRental, byUID map[string]rentalOwner
}

// poolsByRental indexes the objects.
func poolsByRental(in *LedgerInput) rentalOwners {
	owners := rentalOwners{installation: in.Installation, byRental: map[string]rentalOwner{}, byUID: map[string]rentalOwner{}}
	for k := range in.Instances {
		instance := &in.Instances[k]
		owner := rentalOwner{pool: poolName(instance.Pool)}
		owners.byUID[instance.UID] = owner
		for _, rental := range instance.RecordedRentals() {
			owner.usdPerHour = rental.USDPerHour
			if rental.Own {
				owner.ran, owner.idle = instance.Rental.PriceKnown, isIdle(instance.Rental.ActualStatus)
			}
			owners.byRental[rentalEntry(rental.ID)] = owner
		}
	}
	return owners
}

// of returns the owner of a row: whoever records it, else whose label it carries.
func (o *rentalOwners) of(row *fleet.Rental) rentalOwner {
	if owner, recorded := o.byRental[rentalEntry(row.ID)]; recorded {
		return owner
	}
	if label, ok := fleet.ParseLabel(row.Label); ok && label.Installation == o.installation {
		return o.byUID[label.InstanceUID]
	}
	// Of rentals of no pool the sum is known: see countForeignGone.
	return rentalOwner{idle: true}
}

// isIdle is true for a state in which the GPU does not bill.
func isIdle(status fleet.ActualStatus) bool {
	switch status {
	case fleet.StatusUnreported, fleet.StatusCreated, fleet.StatusLoading, fleet.StatusStopped, fleet.StatusExited, fleet.StatusOffline:
		return true
	default:
		return false
	}
}

// poolName cuts the namespace off a pool's key: a ledger is of one namespace.
func poolName(key string) string {
	if _, name, found := strings.Cut(key, "/"); found {
		return name
	}
	return key
}
