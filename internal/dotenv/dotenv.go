package dotenv

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Pair is one line of a file.
type Pair struct {
	// Name is what a shell takes for the name of a variable; Value may be empty.
	Name, Value string
}

// namePattern is what a shell takes for the name of a variable.
var namePattern = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// Parse reads NAME=VALUE lines, in their order. Empty lines and lines that start
// with # are skipped. "export " before a name and one pair of quotes around a
// value are taken off, and so is a comment: what follows " #" behind a value
// without quotes, and # behind the quotes of another. Nothing is expanded: a $ in
// a key is a $. The last of two lines with one name holds. An error names the
// line's number, never its text.
func Parse(text string) ([]Pair, error) {
	pairs := []Pair{}
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
			return nil, fmt.Errorf("line %d is not NAME=VALUE; see .env.example", number)
		}
		value, err := valueOf(strings.TrimSpace(value))
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
		pairs = slices.DeleteFunc(pairs, func(p Pair) bool { return p.Name == name })
		pairs = append(pairs, Pair{Name: name, Value: value})
	}
	return pairs, nil
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
