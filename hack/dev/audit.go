package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/warmpool-dev/warmpool/internal/audit"
	"github.com/warmpool-dev/warmpool/internal/audithead"
)

// auditComponent is the manager's name in its audit log.
const auditComponent = "manager"

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

// checksAudit verifies the audit log against the head that the manager published,
// as a person would.
func (p *proof) checksAudit(ctx context.Context) (string, error) {
	salt, err := p.place.auditSalt(p.secrets, os.LookupEnv)
	if err != nil {
		return "", err
	}
	var object corev1.ConfigMap
	if err = p.cluster.Get(ctx, types.NamespacedName{Namespace: namespace, Name: audithead.Name(auditComponent)}, &object); err != nil {
		return "", fmt.Errorf("reading the published head of the audit log: %w", err)
	}
	head, err := audit.ParseHead([]byte(object.Data["head"]))
	if err != nil {
		return "", fmt.Errorf("reading the published head of the audit log: %w", err)
	}
	report, err := audit.Verify(ctx, audit.VerifyOptions{Dir: p.place.audit(), Component: auditComponent, Salts: []string{salt}, Head: &head})
	if err != nil {
		return "", err
	}
	if broken := report.Broken; broken != nil {
		return "", fmt.Errorf("the audit log is broken at %s line %d: %s", broken.File, broken.Line, broken.Message)
	}
	return fmt.Sprintf("%d records are whole, the published head is record %d", report.Records, head.Sequence), nil
}
