package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"sync"
)

// scrapeTargets is a file that a Prometheus beside the run finds the metrics
// with (file_sd_configs): the manager has another port after each start.
type scrapeTargets struct {
	path string

	mu        sync.Mutex
	addresses map[string]string
}

// targetGroup is one entry of the file.
type targetGroup struct {
	Targets []string          `json:"targets"`
	Labels  map[string]string `json:"labels"`
}

func newScrapeTargets(path string) *scrapeTargets {
	return &scrapeTargets{path: path, addresses: map[string]string{}}
}

// set writes the address ("host:port") of a job, and the others that are known.
func (t *scrapeTargets) set(job, address string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.addresses[job] = address
	groups := []targetGroup{}
	for _, name := range slices.Sorted(maps.Keys(t.addresses)) {
		groups = append(groups, targetGroup{
			Targets: []string{t.addresses[name]},
			Labels:  map[string]string{"job": name, "namespace": namespace},
		})
	}
	text, err := json.MarshalIndent(groups, "", "  ")
	if err != nil {
		return fmt.Errorf("writing the targets of Prometheus: %w", err)
	}
	// Prometheus reads the file when it changes, and must not find half of one.
	next := t.path + ".next"
	if err := os.WriteFile(next, append(text, '\n'), 0o600); err != nil {
		return fmt.Errorf("writing the targets of Prometheus: %w", err)
	}
	if err := os.Rename(next, t.path); err != nil {
		return fmt.Errorf("writing the targets of Prometheus: %w", err)
	}
	return nil
}

// remove takes the file away; it is no error when there is none.
func (t *scrapeTargets) remove() error { return os.RemoveAll(t.path) }
