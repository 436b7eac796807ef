package fleet

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// USDMicros is an amount of US dollars, or a rate in US dollars per hour, in
// millionths of a dollar. The name of the variable or field says which of the
// two it is. Zero is no money.
type USDMicros int64

// microsPerUSD converts dollars to USDMicros.
const microsPerUSD = 1_000_000

// maxUSDDigits bounds the integer digits of a parsed amount: nine digits of
// dollars stay far below the int64 limit even when many are summed.
const maxUSDDigits = 9

// ErrMalformedUSD reports text that is not a plain decimal amount of dollars.
var ErrMalformedUSD = errors.New("malformed amount of dollars")

// ParseUSD reads a decimal amount of dollars such as "1.50". Digits beyond the
// sixth decimal round the amount up (away from zero), so that a price is never
// taken for less than it is. Scientific notation ("1e-3") is accepted because
// JSON encoders of prices produce it. It returns ErrMalformedUSD for anything
// else, and for amounts of a billion dollars or more.
func ParseUSD(text string) (USDMicros, error) {
	mantissa, exponent, err := splitExponent(strings.TrimSpace(text))
	if err != nil {
		return 0, fmt.Errorf("%w: %q", ErrMalformedUSD, text)
	}
	negative := strings.HasPrefix(mantissa, "-")
	whole, fraction, _ := strings.Cut(strings.TrimPrefix(mantissa, "-"), ".")
	digits := whole + fraction
	if digits == "" || strings.Trim(digits, "0123456789") != "" {
		return 0, fmt.Errorf("%w: %q", ErrMalformedUSD, text)
	}
	micros, ok := scaleDigits(digits, len(whole)+exponent+len("000000"))
	if !ok {
		return 0, fmt.Errorf("%w: %q is out of range", ErrMalformedUSD, text)
	}
	if negative {
		return -micros, nil
	}
	return micros, nil
}

// splitExponent separates "1.5e-7" into "1.5" and -7.
func splitExponent(text string) (mantissa string, exponent int, err error) {
	at := strings.IndexAny(text, "eE")
	if at < 0 {
		return text, 0, nil
	}
	exponent, err = strconv.Atoi(text[at+1:])
	if err != nil || exponent > maxUSDDigits || exponent < -400 {
		return "", 0, ErrMalformedUSD
	}
	return text[:at], exponent, nil
}

// scaleDigits reads digits with the decimal point after the given number of
// them, as an integer, rounding up what lies behind the point.
func scaleDigits(digits string, point int) (USDMicros, bool) {
	if point <= 0 {
		if strings.Trim(digits, "0") == "" {
			return 0, true
		}
		return 1, true
	}
	kept, dropped := digits, ""
	if point < len(digits) {
		kept, dropped = digits[:point], digits[point:]
	} else {
		kept += strings.Repeat("0", point-len(digits))
	}
	kept = strings.TrimLeft(kept, "0")
	if len(kept) > maxUSDDigits+len("000000") {
		return 0, false
	}
	value := int64(0)
	for _, d := range kept {
		value = value*10 + int64(d-'0')
	}
	//warmpool:gate money-rounds-up
	if strings.Trim(dropped, "0") != "" {
		value++
	}
	return USDMicros(value), true
}

// String prints the amount as a decimal number of dollars with at least two
// and at most six decimals ("1.50", "0.348301"), without a currency sign.
// ParseUSD reads it back unchanged.
func (m USDMicros) String() string {
	sign, abs := "", int64(m)
	if m < 0 {
		sign, abs = "-", -max(abs, -math.MaxInt64)
	}
	fraction := strconv.FormatInt(microsPerUSD+abs%microsPerUSD, 10)[1:] // six digits
	for len(fraction) > 2 && fraction[len(fraction)-1] == '0' {
		fraction = fraction[:len(fraction)-1]
	}
	return sign + strconv.FormatInt(abs/microsPerUSD, 10) + "." + fraction
}

// Cents prints the amount rounded up to whole cents ("1.32"), for tables where
// columns must stay narrow.
func (m USDMicros) Cents() string {
	const microsPerCent = microsPerUSD / 100
	cents := m / microsPerCent
	if m%microsPerCent > 0 {
		cents++
	}
	return (cents * microsPerCent).String()
}

// Times returns the amount multiplied by n, saturating at the largest amount:
// a sum that does not fit must look too expensive, never cheap.
func (m USDMicros) Times(n int64) USDMicros {
	if m == 0 || n == 0 {
		return 0
	}
	product := int64(m) * n
	// The one product whose quotient overflows back is MinInt64 × -1.
	//warmpool:gate money-product-saturates
	if product/n != int64(m) || (m == math.MinInt64 && n == -1) {
		return math.MaxInt64
	}
	return USDMicros(product)
}

// ForSeconds returns what a rate per hour costs in the given number of
// seconds, rounded up.
func (m USDMicros) ForSeconds(seconds int64) USDMicros {
	const secondsPerHour = 3600
	total := m.Times(seconds)
	if total <= 0 || total == math.MaxInt64 {
		return max(total, 0)
	}
	//warmpool:gate money-hours-round-up
	return (total-1)/secondsPerHour + 1
}
