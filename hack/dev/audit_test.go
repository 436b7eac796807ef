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
	again, err := place.auditSalt(dotEnv{}, none)
	if err != nil || again != made {
		t.Errorf("the next run has another salt (%v), and the chain would break", err)
	}
	info, err := os.Stat(filepath.Join(place.run, "audit-salt"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the salt is readable as %v (%v)", info.Mode(), err)
	}
	file := dotEnv{saltVariable: "of .env"}
	given, err := place.auditSalt(file, none)
	if err != nil || given != "of .env" {
		t.Errorf("the salt of .env is not used: %v", err)
	}
	given, err = place.auditSalt(file, environment(map[string]string{saltVariable: "of the environment"}))
	if err != nil || given != "of the environment" {
		t.Errorf("the salt of the environment is not used: %v", err)
	}
}
