package simulator

import (
	"cmp"
	"encoding/json"
	"strconv"
	"strings"
)

// The operators of filters, as searches and lists use them.
const (
	opEq, opNeq         = "eq", "neq"
	opGt, opGte         = "gt", "gte"
	opLt, opLte         = "lt", "lte"
	opIn, opNotIn       = "in", "notin"
	trueText, falseText = "true", "false"
)

// matchesAll is true when a value passes every operator. Operands are coerced:
// the command line sends numbers as strings.
func matchesAll[M ~map[string]json.RawMessage](value any, operators M) bool {
	for operator, raw := range operators {
		var operand any
		if json.Unmarshal(raw, &operand) != nil || !matches(value, operator, operand) {
			return false
		}
	}
	return true
}

// matches applies one operator. Null is equal to null only and passes no comparison.
func matches(value any, operator string, operand any) bool {
	switch operator {
	case opEq:
		return sameValue(value, operand)
	case opNeq:
		return !sameValue(value, operand)
	case opIn, opNotIn:
		list, ok := operand.([]any)
		if !ok {
			list = []any{operand}
		}
		found := false
		for _, item := range list {
			found = found || sameValue(value, item)
		}
		return found == (operator == opIn)
	default:
		return compares(value, operator, operand)
	}
}

// compares applies an ordering operator; an unknown operator matches nothing.
func compares(value any, operator string, operand any) bool {
	if value == nil || operand == nil {
		return false
	}
	order := compareValues(value, operand)
	switch operator {
	case opGt:
		return order > 0
	case opGte:
		return order >= 0
	case opLt:
		return order < 0
	case opLte:
		return order <= 0
	default:
		return false
	}
}

// sameValue compares with coercion; texts compare without case, and "_" is a space.
func sameValue(a, b any) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return compareValues(a, b) == 0
}

// compareValues orders two values as numbers when both read as numbers, else as texts.
func compareValues(a, b any) int {
	x, okX := asNumber(a)
	y, okY := asNumber(b)
	if okX && okY {
		return cmp.Compare(x, y)
	}
	return cmp.Compare(asText(a), asText(b))
}

// asNumber reads numbers, texts of numbers and booleans.
func asNumber(value any) (float64, bool) {
	switch v := value.(type) {
	case bool:
		if v {
			return 1, true
		}
		return 0, true
	case string:
		switch strings.ToLower(v) {
		case trueText:
			return 1, true
		case falseText:
			return 0, true
		}
		parsed, err := strconv.ParseFloat(strings.TrimSpace(v), 64)
		return parsed, err == nil
	case float64, int, int64:
		return number(v), true
	default:
		return 0, false
	}
}

// asText is the form in which texts are compared.
func asText(value any) string {
	text, ok := value.(string)
	if !ok {
		encoded, err := json.Marshal(value)
		if err != nil {
			return ""
		}
		text = string(encoded)
	}
	return strings.ToLower(strings.ReplaceAll(text, "_", " "))
}
