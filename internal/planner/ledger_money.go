package planner

import (
	"math"
	"time"

	"github.com/warmpool-dev/warmpool/internal/fleet"
)

// billing is what one sighting of a rental says about its cost, in dollars per hour.
type billing struct {
	// dearest is what it costs now, as far as anybody can be sure; certain is
	// what it costs at least.
	dearest, certain fleet.USDMicros
	// running is what it costs while it runs.
	running fleet.USDMicros
}

// billingOf says what a rental costs in the state that a row shows. The GPU
// bills while the container runs or is frozen, the storage from the creation to
// the end, and nothing while the host is offline.
//
// The status lags and flickers. One that has run and seems to load again most
// likely runs on, and an exited container holds its GPU: both count in full,
// but not for certain.
func billingOf(row *fleet.Rental, ran bool) billing {
	full := max(row.PriceUSDPerHour, 0)
	storage := min(max(row.StorageUSDPerHour, 0), full)
	seen := billing{dearest: full, certain: storage, running: full}
	stopped := row.CurrentState == "stopped" || row.ActualStatus == fleet.StatusStopped
	switch row.ActualStatus {
	case fleet.StatusOffline:
		seen.dearest, seen.certain = 0, 0
	case fleet.StatusUnknown:
		seen.certain = 0
	case fleet.StatusRunning, fleet.StatusFrozen:
		if !stopped {
			seen.certain = full
		}
	case fleet.StatusUnreported, fleet.StatusCreated, fleet.StatusLoading:
		if stopped || !ran {
			seen.dearest = storage
		}
	default:
		if stopped {
			seen.dearest = storage
		}
	}
	return seen
}

// msPerHour converts a rate per hour to milliseconds.
const msPerHour = int64(time.Hour / time.Millisecond)

// exactUSD is an amount without rounding: whole micro-dollars, and a rest in
// micro-dollar-milliseconds per hour. Sums of many small amounts would drift by
// a micro-dollar each otherwise, which is half a cent a day.
type exactUSD struct {
	micros fleet.USDMicros
	rest   int64
}

// after adds what a rate costs in a time.
func (e exactUSD) after(rate fleet.USDMicros, d time.Duration) exactUSD {
	if rate <= 0 || d <= 0 {
		return e
	}
	product := int64(rate.Times(d.Milliseconds()))
	if product > math.MaxInt64-msPerHour {
		return exactUSD{micros: math.MaxInt64} // absurd, and it must look too much
	}
	product += e.rest
	return exactUSD{micros: addUSD(e.micros, fleet.USDMicros(product/msPerHour)), rest: product % msPerHour}
}

// up rounds up, for what must not be too low; down the other way.
func (e exactUSD) up() fleet.USDMicros {
	if e.rest > 0 {
		return e.micros + 1
	}
	return e.micros
}

func (e exactUSD) down() fleet.USDMicros { return e.micros }

// ledgerAmount names one amount of the ledger.
type ledgerAmount struct {
	entry, kind, at string
}

// sum adds charges to an amount that was written before, and remembers the
// fraction. cheapest takes the certain rates, and rounds down.
func (g *integration) sum(name ledgerAmount, written fleet.USDMicros, charges []charge, bounds timeSpan) fleet.USDMicros {
	cheapest := name.kind == amountCertain
	total := g.memory.fractions[name]
	// Another process has written, or a correction: its amount is the truth.
	if known := total.up(); (cheapest && total.down() != written) || (!cheapest && known != written) {
		total = exactUSD{micros: written}
	}
	for k := range charges {
		c := &charges[k]
		rate := c.rate
		if cheapest {
			rate = c.certain
		}
		total = total.after(rate, c.within(bounds))
	}
	g.fractions[name] = total
	if cheapest {
		return total.down()
	}
	return total.up()
}

// The kinds of amounts beside the periods.
const (
	amountDay     = "day"
	amountCertain = "certain"
)

// timeSpan is a stretch of time; a zero end is open.
type timeSpan struct{ start, end time.Time }

// within is how much of a charge's time lies in a span.
func (c *charge) within(bounds timeSpan) time.Duration {
	from, to := c.from, c.to
	if from.Before(bounds.start) {
		from = bounds.start
	}
	passed := c.extra
	if !bounds.end.IsZero() && !to.Before(bounds.end) {
		to, passed = bounds.end, 0
	}
	if to.Before(bounds.start) {
		return 0
	}
	return max(to.Sub(from), 0) + passed
}
