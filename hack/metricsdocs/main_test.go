package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/warmpool-dev/warmpool/internal/legacyapi"
	"github.com/warmpool-dev/warmpool/internal/metrics"
)

func TestEveryMetricIsInTheReference(t *testing.T) {
	out := filepath.Join(t.TempDir(), "reference", "metrics.md")
	if err := run(out); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	for _, metric := range metrics.Descriptions() {
		row := "| `" + metric.Name + "` | " + metric.Type + " |"
		if strings.Count(string(page), row) != 1 {
			t.Errorf("the reference has no row, or more than one, that starts with %q", row)
		}
	}
	for _, metric := range legacyapi.Metrics() {
		if row := "| `" + metric.Name + "` | " + metric.Type + " |"; strings.Count(string(page), row) != 1 {
			t.Errorf("the reference has no row, or more than one, that starts with %q", row)
		}
	}
}
