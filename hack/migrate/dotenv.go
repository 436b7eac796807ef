package main

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// variable is one line of the .env.
type variable struct {
	name, value string
}

var namePattern = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// parse reads a .env as the legacy server did: "export " before a name and one
// pair of quotes around a value are taken off, and what follows " #" behind a
// value without quotes is a comment. Of two lines with one name the last holds.
// An error names the number of the line, never its text, which may be a secret.
func parse(text string) ([]variable, error) {
	var found []variable
	number := 0
	for line := range strings.Lines(strings.TrimPrefix(text, "\ufeff")) {
		number++
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, value, isPair := strings.Cut(line, "=")
		name = strings.TrimSpace(strings.TrimPrefix(name, "export "))
		if !isPair || !namePattern.MatchString(name) {
			return nil, fmt.Errorf("line %d is not NAME=VALUE: mend it", number)
		}
		value, err := valueOf(strings.TrimSpace(value))
		if err != nil {
			return nil, fmt.Errorf("line %d, %s: %w", number, name, err)
		}
		found = slices.DeleteFunc(found, func(v variable) bool { return v.name == name })
		found = append(found, variable{name: name, value: value})
	}
	return found, nil
}

var errOpenQuote = errors.New("the value begins with a quote and does not end with it; values of several lines are not read")

// valueOf takes the quotes or the comment off.
func valueOf(text string) (string, error) {
	if text == "" || !strings.ContainsRune("\"'`", rune(text[0])) {
		text, _, _ = strings.Cut(" "+text, " #")
		return strings.TrimSpace(text), nil
	}
	inside, rest, closed := strings.Cut(text[1:], text[:1])
	if rest = strings.TrimSpace(rest); !closed || (rest != "" && rest[0] != '#') {
		return "", errOpenQuote
	}
	return inside, nil
}
