package main

import (
	"cmp"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// saltVariable holds the salt of the audit log in .env and in the environment.
const saltVariable = "AUDIT_SALT"

func (l *layout) audit() string { return filepath.Join(l.run, "audit") }

// auditSalt returns the salt of the environment, or of .env, or one that was made
// for earlier runs in this directory: the log outlives a run, and goes on.
func (l *layout) auditSalt(secrets dotEnv, lookup func(string) (string, bool)) (string, error) {
	given, _ := lookup(saltVariable)
	if given = cmp.Or(given, secrets[saltVariable]); given != "" {
		return given, nil
	}
	const saltBytes = 32
	path := filepath.Join(l.run, "audit-salt")
	kept, err := os.ReadFile(path) //nolint:gosec // a file of the run
	if err == nil {
		return strings.TrimSpace(string(kept)), nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("reading the salt of the audit log: %w", err)
	}
	made := make([]byte, saltBytes)
	_, _ = rand.Read(made)
	salt := hex.EncodeToString(made)
	if err := os.WriteFile(path, []byte(salt+"\n"), 0o600); err != nil {
		return "", fmt.Errorf("keeping the salt of the audit log: %w", err)
	}
	return salt, nil
}
