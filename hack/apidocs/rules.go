package main

import (
	"fmt"
	"strconv"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
)

// fieldRules returns what the API server checks for a field and its items, as Markdown.
func fieldRules(field apiextensionsv1.JSONSchemaProps) []string {
	rules := valueRules(field)
	if field.Items != nil && field.Items.Schema != nil {
		for _, rule := range valueRules(*field.Items.Schema) {
			rules = append(rules, "each "+rule)
		}
		for _, rule := range ruleTexts(*field.Items.Schema) {
			rules = append(rules, "each: "+rule)
		}
	}
	return append(rules, ruleTexts(field)...)
}

// The patterns of amounts of money in the API: what is asked for, and what is reported.
const (
	moneyPattern    = `^(0|[1-9][0-9]{0,5})(\.[0-9]{1,6})?$`
	reportedPattern = `^-?[0-9]{1,15}(\.[0-9]{1,6})?$`
)

// isMoney is true for amounts, whose form the page explains once.
func isMoney(field apiextensionsv1.JSONSchemaProps) bool {
	return field.Pattern == moneyPattern || field.Pattern == reportedPattern
}

// valueRules returns the limits of one value.
func valueRules(field apiextensionsv1.JSONSchemaProps) []string {
	var rules []string
	if isMoney(field) {
		return nil
	}
	if len(field.Enum) > 0 {
		values := make([]string, 0, len(field.Enum))
		for _, value := range field.Enum {
			values = append(values, code(strings.Trim(string(value.Raw), `"`)))
		}
		rules = append(rules, "one of "+strings.Join(values, ", "))
	}
	if bounds := numberBounds(field.Minimum, field.Maximum); bounds != "" {
		rules = append(rules, bounds)
	}
	for _, size := range []struct {
		unit     string
		min, max *int64
	}{
		{"characters", field.MinLength, field.MaxLength},
		{"items", field.MinItems, field.MaxItems},
		{"entries", field.MinProperties, field.MaxProperties},
	} {
		if bounds := sizeBounds(size.min, size.max); bounds != "" {
			rules = append(rules, bounds+" "+size.unit)
		}
	}
	if field.Pattern != "" {
		rules = append(rules, "matches "+code(field.Pattern))
	}
	return rules
}

// ruleTexts returns the messages of CEL rules; they are written for people.
func ruleTexts(field apiextensionsv1.JSONSchemaProps) []string {
	texts := make([]string, 0, len(field.XValidations))
	for _, rule := range field.XValidations {
		text := rule.Message
		switch {
		case text != "":
			text = escape(text)
		case rule.MessageExpression != "":
			text = code(rule.MessageExpression)
		default:
			text = code(rule.Rule)
		}
		texts = append(texts, strings.TrimSuffix(text, "."))
	}
	return texts
}

// numberBounds formats the range of a number, or returns an empty string.
func numberBounds(low, high *float64) string {
	switch {
	case low != nil && high != nil:
		return number(*low) + " to " + number(*high)
	case low != nil:
		return "at least " + number(*low)
	case high != nil:
		return "at most " + number(*high)
	default:
		return ""
	}
}

// sizeBounds formats the range of a length, or returns an empty string.
func sizeBounds(low, high *int64) string {
	switch {
	case low != nil && high != nil && *low == *high:
		return fmt.Sprintf("exactly %d", *low)
	case low != nil && *low > 0 && high != nil:
		return fmt.Sprintf("%d to %d", *low, *high)
	case high != nil:
		return fmt.Sprintf("at most %d", *high)
	case low != nil && *low > 0:
		return fmt.Sprintf("at least %d", *low)
	default:
		return ""
	}
}

// number formats a bound without an exponent.
func number(value float64) string { return strconv.FormatFloat(value, 'f', -1, 64) }

// code quotes text as Markdown code that survives in a table cell.
func code(text string) string {
	fence := "`"
	if strings.Contains(text, "`") {
		fence = "``"
	}
	return fence + strings.ReplaceAll(text, "|", `\|`) + fence
}

// cell puts text into one line of a table.
func cell(text string) string { return escape(strings.Join(strings.Fields(text), " ")) }

// paragraphs keeps empty lines and joins the others.
func paragraphs(text string) string {
	parts := strings.Split(text, "\n\n")
	for i, part := range parts {
		parts[i] = strings.ReplaceAll(strings.Join(strings.Fields(part), " "), "<", "&lt;")
	}
	return strings.Join(parts, "\n\n")
}

// escape keeps Markdown and HTML of a text from breaking a table.
func escape(text string) string {
	return strings.NewReplacer("|", `\|`, "<", "&lt;").Replace(text)
}
