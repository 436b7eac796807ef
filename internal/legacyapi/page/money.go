package page

import (
	"github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/fleet"
)

const secondsPerDay = 24 * 3600

// amount is money that may not be known.
type amount struct {
	value fleet.USDMicros
	known bool
}

// known is an amount that is.
func known(value fleet.USDMicros) amount { return amount{value: value, known: true} }

// amountOf reads an amount of the API; an empty or malformed one is not known.
func amountOf[T ~string](text T) amount {
	value, err := fleet.ParseUSD(string(text))
	if text == "" || err != nil {
		return amount{}
	}
	return known(value)
}

// String is "$1.32", rounded up to cents, or a dash when it is not known.
func (a amount) String() string {
	switch {
	case !a.known:
		return "–"
	case a.value < 0:
		return "−$" + (-a.value).Cents()
	default:
		return "$" + a.value.Cents()
	}
}

// perDay is what a rate per hour costs in a day.
func (a amount) perDay() amount {
	return amount{value: a.value.ForSeconds(secondsPerDay), known: a.known}
}

// plus adds; the sum is known when both are.
func (a amount) plus(b amount) amount {
	return amount{value: a.value + b.value, known: a.known && b.known}
}

// times multiplies.
func (a amount) times(n int) amount { return amount{value: a.value.Times(int64(n)), known: a.known} }

// minus subtracts and stops at zero.
func (a amount) minus(b amount) amount {
	return amount{value: max(a.value-b.value, 0), known: a.known && b.known}
}

// atMost is the smaller of the two; what is not known limits nothing.
func (a amount) atMost(limit amount) amount {
	if !a.known || limit.known && limit.value < a.value {
		return limit
	}
	return a
}

// percentOf is the share of a whole, 0 when the whole is nothing or not known.
func (a amount) percentOf(whole amount) int {
	const percent = 100
	if !a.known || !whole.known || whole.value <= 0 {
		return 0
	}
	return int(max(a.value, 0).Times(percent) / whole.value)
}

// rate is a price per hour and what a day of it costs.
type rate struct {
	Hour, Day amount
}

func rateOf(hour amount) rate { return rate{Hour: hour, Day: hour.perDay()} }

// priceOf is what an instance costs in an hour: what Vast.ai reports, the quote
// until then, the quote of a rent whose outcome is not known, or nothing while
// nothing is rented. quoted is true for a quote.
func priceOf(instance *v1alpha1.WarmInstance) (price amount, quoted bool) {
	if current := amountOf(instance.Status.Price.CurrentUSDPerHour); current.known {
		return current, false
	}
	if quote := amountOf(instance.Status.Price.QuotedUSDPerHour); quote.known {
		return quote, true
	}
	if attempts := instance.Status.Attempts; len(attempts) > 0 {
		last := &attempts[len(attempts)-1]
		if last.Outcome != v1alpha1.AttemptRejected && last.Outcome != v1alpha1.AttemptAbandoned {
			return amountOf(last.QuotedUSDPerHour), true
		}
	}
	return amount{}, false
}
