package main

import (
	"os"
	"path/filepath"
	"testing"
)

func TestAuditSalt(t *testing.T) {
	place := &layout{run: t.TempDir()}
	none := environment(nil)
	made, err := place.auditSalt(dotEnv{}, none)
	if err != nil || len(made) != 64 {
		t.Fatalf("made %d characters, %v", len(made), err)
	}
	if again, err := place.auditSalt(dotEnv{}, none); err != nil || again != made {
		t.Errorf("the next run has another salt (%v), and the chain would break", err)
	}
	info, err := os.Stat(filepath.Join(place.run, "audit-salt"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the salt is readable as %v (%v)", info.Mode(), err)
	}
	if given, err := place.auditSalt(dotEnv{saltVariable: "of .env"}, none); err != nil || given != "of .env" {
		t.Errorf("the salt of .env is not used: %v", err)
	}
	if given, err := place.auditSalt(dotEnv{saltVariable: "of .env"}, environment(map[string]string{saltVariable: "of the environment"})); err != nil || given != "of the environment" {
		t.Errorf("the salt of the environment is not used: %v", err)
	}
}
