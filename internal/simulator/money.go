package simulator

import (
	"math"
	"strconv"
	"time"
)

// microsPerUSD is micro-dollars in a dollar; msPerHour is milliseconds in an hour.
const (
	microsPerUSD = 1_000_000
	msPerHour    = 3_600_000
	// hoursPerMonth is what Vast.ai divides a monthly storage price by.
	hoursPerMonth = 720
)

// toMicros converts an amount as it stands in JSON, rounding up, by its decimal
// text: 0.35 is 350000, not the 350001 that float arithmetic may give.
func toMicros(usd float64) int64 {
	text := strconv.FormatFloat(math.Abs(usd), 'f', -1, 64)
	whole, fraction := text, ""
	for i, c := range text {
		if c == '.' {
			whole, fraction = text[:i], text[i+1:]
			break
		}
	}
	const decimals = 6
	up := int64(0)
	for len(fraction) < decimals {
		fraction += "0"
	}
	for _, c := range fraction[decimals:] {
		if c != '0' {
			up = 1
		}
	}
	value, err := strconv.ParseInt(whole+fraction[:decimals], 10, 64)
	if err != nil {
		return math.MaxInt64
	}
	if usd < 0 {
		return -value
	}
	return value + up
}

// toUSD converts micro-dollars to the number that goes on the wire.
func toUSD(micros int64) float64 { return float64(micros) / microsPerUSD }

// cost is an exact amount: whole micro-dollars and the rest in
// micro-dollar-milliseconds per hour.
type cost struct {
	micros int64
	rest   int64
}

// after returns the amount with what a rate costs over a time added, exactly.
func (c cost) after(microsPerHour int64, d time.Duration) cost {
	total := c.rest + microsPerHour*d.Milliseconds()
	return cost{c.micros + total/msPerHour, total % msPerHour}
}

// plus returns the exact sum.
func (c cost) plus(other cost) cost {
	sum := cost{c.micros + other.micros, c.rest + other.rest}
	sum.micros += sum.rest / msPerHour
	sum.rest %= msPerHour
	return sum
}

// up returns whole micro-dollars, rounded up.
func (c cost) up() int64 {
	if c.rest > 0 {
		return c.micros + 1
	}
	return c.micros
}

// exhausts returns how long a rate takes to use up a balance, rounded up to a
// millisecond, and false when it never does.
func exhausts(balance cost, microsPerHour int64) (time.Duration, bool) {
	const longest = 10 * 365 * 24 * time.Hour
	if microsPerHour <= 0 {
		return 0, false
	}
	if balance.micros > math.MaxInt64/msPerHour-1 {
		return 0, false
	}
	hours := float64(balance.micros) / float64(microsPerHour)
	if hours > longest.Hours() {
		return 0, false
	}
	left := balance.micros*msPerHour + balance.rest
	return time.Duration((left+microsPerHour-1)/microsPerHour) * time.Millisecond, true
}
