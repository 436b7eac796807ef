package schema

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Number is a JSON number kept as its decimal text, so that no digit of a
// price is lost. The empty Number is an absent or null value and encodes as
// null. A JSON string decodes as its text and a boolean as 1 or 0; an array or
// an object is kept as its text, for which every conversion answers false.
type Number string

// Int returns the Number of an integer.
func Int(n int64) Number { return Number(strconv.FormatInt(n, 10)) }

// Micros returns the Number of an amount in millionths: 348301 becomes
// 0.348301 and 1500000 becomes 1.5.
func Micros(millionths int64) Number { return Fixed(millionths, 6) }

// Fixed returns the Number value / 10^decimals, exactly, for 0 to 18 decimals:
// Fixed(1280, 2) is 12.8 and Fixed(1795390000500, 3) is 1795390000.5.
func Fixed(value int64, decimals int) Number {
	digits := strconv.FormatInt(value, 10)
	sign := ""
	if strings.HasPrefix(digits, "-") {
		sign, digits = "-", digits[1:]
	}
	if missing := decimals + 1 - len(digits); missing > 0 {
		digits = strings.Repeat("0", missing) + digits
	}
	at := len(digits) - decimals
	fraction := strings.TrimRight(digits[at:], "0")
	if fraction == "" {
		return Number(sign + digits[:at])
	}
	return Number(sign + digits[:at] + "." + fraction)
}

// IsSet is true unless the value was absent, null or empty.
func (n Number) IsSet() bool { return n != "" }

// Int64 returns the whole part, and false when the text is no number or does
// not fit.
func (n Number) Int64() (int64, bool) { return n.Scaled(0) }

// Scaled returns the value × 10^decimals cut off to an integer (toward zero),
// and false when the text is no number or does not fit into an int64.
func (n Number) Scaled(decimals int) (int64, bool) {
	value, ok := n.parse()
	if !ok {
		return 0, false
	}
	point := value.point + decimals
	if point <= 0 || value.digits == "" {
		return 0, true
	}
	kept := value.digits
	if point < len(kept) {
		kept = kept[:point]
	} else if point > maxInt64Digits {
		return 0, false
	} else {
		kept += strings.Repeat("0", point-len(kept))
	}
	result, err := strconv.ParseInt(value.sign+kept, 10, 64)
	if err != nil {
		return 0, false
	}
	return result, true
}

// Shift returns the Number × 10^exponent with every digit kept. Text that is
// no number is returned as it is.
func (n Number) Shift(exponent int) Number {
	value, ok := n.parse()
	if !ok {
		return n
	}
	if value.digits == "" {
		return "0"
	}
	return Number(value.sign + value.digits + "e" + strconv.Itoa(value.point-len(value.digits)+exponent))
}

// Compare orders two numbers by value, without rounding. It answers false when
// one of the texts is no number.
func (n Number) Compare(other Number) (order int, ok bool) {
	left, leftOK := n.parse()
	right, rightOK := other.parse()
	if !leftOK || !rightOK {
		return 0, false
	}
	if left.signum() != right.signum() {
		return compareInts(left.signum(), right.signum()), true
	}
	return left.compareAbsolute(right) * left.signum(), true
}

// Float returns the nearest float, for what is no money, and false when the
// text is no number or does not fit.
func (n Number) Float() (float64, bool) {
	if _, ok := n.parse(); !ok {
		return 0, false
	}
	value, err := strconv.ParseFloat(string(n), 64)
	if err != nil {
		return 0, false
	}
	return value, true
}

// MarshalJSON writes the digits as they are, null for the empty Number, and
// text that is no JSON number as a string.
func (n Number) MarshalJSON() ([]byte, error) {
	if n == "" {
		return []byte("null"), nil
	}
	if _, ok := n.parse(); ok && json.Valid([]byte(n)) {
		return []byte(n), nil
	}
	return json.Marshal(string(n))
}

// UnmarshalJSON reads any JSON value; it does not fail.
func (n *Number) UnmarshalJSON(data []byte) error {
	text := strings.TrimSpace(scalarText(data))
	switch text {
	case "true":
		text = "1"
	case "false":
		text = "0"
	}
	*n = Number(text)
	return nil
}

// scalarText returns the text of a JSON scalar without quotes, "" for null,
// and the JSON itself for arrays and objects.
func scalarText(data []byte) string {
	data = bytes.TrimSpace(data)
	if string(data) == "null" {
		return ""
	}
	if len(data) > 0 && data[0] == '"' {
		if last := len(data) - 1; last > 0 && data[last] == '"' && isPlain(data[1:last]) {
			return string(data[1:last])
		}
		var text string
		if json.Unmarshal(data, &text) == nil {
			return text
		}
	}
	return strings.ToValidUTF8(string(data), "\ufffd")
}

// isPlain is true for what stands between quotes as it is meant: printable ASCII
// without an escape, as nearly everything on this wire.
func isPlain(data []byte) bool {
	for _, c := range data {
		if c < ' ' || c >= utf8.RuneSelf || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}
