package main

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestTargetsFollowTheManager(t *testing.T) {
	path := filepath.Join(t.TempDir(), "prometheus.json")
	targets := newScrapeTargets(path)
	for _, address := range []string{"127.0.0.1:1", "127.0.0.1:2"} {
		if err := targets.set("warmpool-manager", address); err != nil {
			t.Fatal(err)
		}
	}
	if err := targets.set("warmpool-sidecar", "127.0.0.1:3"); err != nil {
		t.Fatal(err)
	}
	const want = `[
  {
    "targets": [
      "127.0.0.1:2"
    ],
    "labels": {
      "job": "warmpool-manager",
      "namespace": "default"
    }
  },
  {
    "targets": [
      "127.0.0.1:3"
    ],
    "labels": {
      "job": "warmpool-sidecar",
      "namespace": "default"
    }
  }
]
`
	if got, err := os.ReadFile(path); err != nil || string(got) != want {
		t.Errorf("%v:\n%s", err, got)
	}
	if err := errors.Join(targets.remove(), targets.remove()); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file is still there: %v", err)
	}
}
