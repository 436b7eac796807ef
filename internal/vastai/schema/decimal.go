package schema

import (
	"cmp"
	"strconv"
	"strings"
)

const (
	// maxInt64Digits is the number of digits of the largest int64.
	maxInt64Digits = 19
	// maxExponent bounds exponents: nothing measured or priced comes near it.
	maxExponent = 400
	// maxNumberLength bounds the text that is read as a number; the longest
	// float64 in plain decimal notation has about 1,100 characters.
	maxNumberLength = 1200
)

// decimal is sign × 0.digits × 10^point, with no zeros at either end of the
// digits; zero has no digits.
type decimal struct {
	sign, digits string
	point        int
}

// parse reads plain and scientific decimal text.
func (n Number) parse() (decimal, bool) {
	if len(n) > maxNumberLength {
		return decimal{}, false
	}
	mantissa, exponentText, hasExponent := strings.Cut(strings.ToLower(string(n)), "e")
	exponent := 0
	if hasExponent {
		var err error
		exponent, err = strconv.Atoi(exponentText)
		if err != nil || exponent > maxExponent || exponent < -maxExponent {
			return decimal{}, false
		}
	}
	result := decimal{}
	if unsigned, negative := strings.CutPrefix(mantissa, "-"); negative {
		result.sign, mantissa = "-", unsigned
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	digits := whole + fraction
	if digits == "" || strings.Trim(digits, "0123456789") != "" {
		return decimal{}, false
	}
	trimmed := strings.TrimLeft(digits, "0")
	result.point = len(whole) + exponent - (len(digits) - len(trimmed))
	result.digits = strings.TrimRight(trimmed, "0")
	if result.digits == "" {
		return decimal{}, true
	}
	return result, true
}

// signum is -1, 0 or 1.
func (d decimal) signum() int {
	switch {
	case d.digits == "":
		return 0
	case d.sign == "-":
		return -1
	default:
		return 1
	}
}

// compareAbsolute orders by distance from zero; both sides are not zero, or
// both are.
func (d decimal) compareAbsolute(other decimal) int {
	if d.point != other.point {
		return compareInts(d.point, other.point)
	}
	return strings.Compare(d.digits, other.digits)
}

// compareInts is cmp.Compare for int.
func compareInts(a, b int) int { return cmp.Compare(a, b) }
