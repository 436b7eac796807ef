package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// keyVariable holds the API key of Vast.ai in .env, in the environment and in
// the account's Secret.
const keyVariable = "VASTAI_API_KEY"

// baseURLVariable is the key of the Secret with the address of Vast.ai, where it is
// another than the real one.
const baseURLVariable = "VASTAI_BASE_URL"

// dotEnv holds the pairs of .env. They are secrets: no error, log or screen
// shows a value or a part of one.
type dotEnv map[string]string

// String keeps the values out of every message that formats the map by mistake.
func (d dotEnv) String() string { return fmt.Sprintf("%d values of .env", len(d)) }

// GoString does the same for %#v.
func (d dotEnv) GoString() string { return d.String() }

// readDotEnv reads .env in a directory; one that is not there holds nothing.
func readDotEnv(directory string) (dotEnv, error) {
	text, err := os.ReadFile(filepath.Join(directory, ".env")) //nolint:gosec // .env of the repository
	if errors.Is(err, fs.ErrNotExist) {
		return dotEnv{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading .env: %w", err)
	}
	return parseDotEnv(string(text))
}

// namePattern is what a shell takes for the name of a variable.
var namePattern = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// parseDotEnv reads KEY=VALUE lines. Empty lines and lines that start with #
// are skipped, "export " before a name and one pair of quotes around a value
// are taken off, and nothing is expanded: a $ in a key is a $. The last of two
// lines with one name holds. An error names the line's number, never its text.
func parseDotEnv(text string) (dotEnv, error) {
	values := dotEnv{}
	number := 0
	for line := range strings.Lines(strings.TrimPrefix(text, "\ufeff")) {
		number++
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, value, found := strings.Cut(line, "=")
		name = strings.TrimSpace(strings.TrimPrefix(name, "export "))
		if !found || !namePattern.MatchString(name) {
			return nil, fmt.Errorf("reading .env: line %d is not KEY=VALUE; see .env.example", number)
		}
		value, err := unquote(strings.TrimSpace(value))
		if err != nil {
			return nil, fmt.Errorf("reading .env: line %d: %w", number, err)
		}
		values[name] = value
	}
	return values, nil
}

var errOpenQuote = errors.New("the value begins with a quote and does not end with it")

// unquote takes one pair of quotes off.
func unquote(value string) (string, error) {
	if value == "" || (value[0] != '"' && value[0] != '\'') {
		return value, nil
	}
	quote := value[:1]
	if len(value) < 2 || !strings.HasSuffix(value, quote) {
		return "", errOpenQuote
	}
	return value[1 : len(value)-1], nil
}

// key returns the API key: the environment's, or else .env's.
func (d dotEnv) key(lookup func(string) (string, bool)) string {
	if value, found := lookup(keyVariable); found && value != "" {
		return value
	}
	return d[keyVariable]
}
