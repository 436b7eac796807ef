package simulator

import (
	"math"
	"time"
)

// Rates of change per machine and hour. They follow from recordings over six
// hours: 78 % of the machines stay listed, 47 % of the offer ids survive, 3 %
// of the offers that stay change their price, 2 % become taken.
const (
	vanishPerHour  = 0.041 // -ln(0.78)/6
	reidPerHour    = 0.084 // -ln(0.47)/6 - vanishPerHour
	repricePerHour = 0.005
	takePerHour    = 0.0034
	// returnPerHour and freePerHour bring machines back after 4 and 10 hours
	// on average, which keeps the market at about its recorded size.
	returnPerHour = 0.25
	freePerHour   = 0.1
	// priceStep is the standard deviation of one price change.
	priceStep                   = 0.06
	leastFactor, greatestFactor = 0.5, 2.5
)

// drift schedules the next change of the market. Every machine is drawn for at
// the sum of the greatest rates and thinned by what applies to it, so the
// sequence depends on the seed alone. Lock held.
func (w *world) drift() {
	if w.cfg.Market.Frozen || len(w.market.ids) == 0 {
		return
	}
	const perMachine = returnPerHour + freePerHour
	perHour := perMachine * float64(len(w.market.ids))
	wait := time.Duration(w.market.draws.ExpFloat64() / perHour * float64(time.Hour))
	w.after(max(wait, time.Millisecond), func() {
		m := w.market
		c := m.machines[m.ids[m.draws.IntN(len(m.ids))]]
		m.change(c, m.draws.Float64()*perMachine)
		w.fireQueued(c)
		w.drift()
	})
}

// change applies the change that a draw between 0 and the sum of the rates selects.
func (m *market) change(c *machine, draw float64) {
	switch {
	case c.absent:
		if draw < returnPerHour {
			c.absent = false
			m.refresh(c)
		}
	case c.taken:
		if draw < freePerHour {
			c.taken = false
			m.relist(c)
		}
	case draw < vanishPerHour:
		c.absent = true
		m.refresh(c)
	case draw < vanishPerHour+reidPerHour:
		m.relist(c)
	case draw < vanishPerHour+reidPerHour+repricePerHour:
		factor := c.factor * math.Exp(m.draws.NormFloat64()*priceStep)
		c.factor = min(max(factor, leastFactor), greatestFactor)
	case draw < vanishPerHour+reidPerHour+repricePerHour+takePerHour:
		c.taken = true
	}
}
