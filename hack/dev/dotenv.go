package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/warmpool-dev/warmpool/internal/dotenv"
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
	pairs, err := dotenv.Parse(string(text))
	if err != nil {
		return nil, fmt.Errorf("reading .env: %w", err)
	}
	values := dotEnv{}
	for _, pair := range pairs {
		values[pair.Name] = pair.Value
	}
	return values, nil
}

// key returns the API key: the environment's, or else .env's.
func (d dotEnv) key(lookup func(string) (string, bool)) string {
	if value, found := lookup(keyVariable); found && value != "" {
		return value
	}
	return d[keyVariable]
}
