package simulate

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// report is what a worker tells of one schedule, one line each.
type report struct {
	Seed     uint64         `json:"seed"`
	Kinds    map[string]int `json:"kinds,omitempty"`
	Failures []string       `json:"failures,omitempty"`
	Rentals  int            `json:"rentals"`
	Lives    int            `json:"lives"`
	Seconds  int64          `json:"seconds"`
}

// reportMark starts the lines of a worker that are reports.
const reportMark = "@@"

// TestWorker is a worker of make simulate; as a test it is empty.
func TestWorker(t *testing.T) {
	if chosen.worker == 0 {
		return
	}
	shared := newShared(t)
	if chosen.shrink {
		shrinkSeed(t, shared)
		return
	}
	for n := uint64(chosen.worker-1) + chosen.skip*uint64(chosen.workers); n < chosen.schedules; n += uint64(chosen.workers) {
		result := runCase(t, shared, &Case{Seed: chosen.seed + n}, false)
		told := report{Seed: result.Case.Seed, Kinds: map[string]int{}, Rentals: result.Rentals, Lives: result.Lives, Seconds: int64(result.Virtual.Seconds())}
		for _, injection := range result.Injected {
			told.Kinds[injection.Kind]++
		}
		for _, failure := range result.Failures {
			told.Failures = append(told.Failures, failure.String())
		}
		line, err := json.Marshal(&told)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(os.Stdout, "%s%s\n", reportMark, line)
	}
}

// shrinkSeed shrinks one failing schedule, keeps it in a file and prints its log.
func shrinkSeed(t *testing.T, shared *Shared) {
	t.Helper()
	const budget = 400
	failing := runCase(t, shared, &Case{Seed: chosen.seed}, chosen.schedules == 1)
	if len(failing.Failures) == 0 {
		fmt.Fprintf(os.Stdout, "%s\nseed %d breaks nothing\n", strings.Join(failing.Log, "\n"), chosen.seed)
		return
	}
	small := Shrink(&failing, budget, func(c *Case) Result { return runCase(t, shared, c, false) })
	small.Case.Note = small.Failures[0].String()
	shown := runCase(t, shared, &small.Case, true)
	for _, line := range shown.Log {
		fmt.Fprintln(os.Stdout, line)
	}
	text, err := json.MarshalIndent(&small.Case, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(chosen.keep, fmt.Sprintf("simulate-%d.json", chosen.seed))
	if err := os.WriteFile(file, append(text, '\n'), 0o600); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(os.Stdout, "\nseed %d: %s\n%d injections of %d are needed:\n", chosen.seed, small.Failures[0], len(small.Case.Allowed), len(failing.Injected))
	for _, id := range small.Case.Allowed {
		fmt.Fprintf(os.Stdout, "  %s\n", id)
	}
	fmt.Fprintf(os.Stdout, "reproduce: make simulate N=1 SEED=%d\nkeep it as a regression case: cp %s test/simulate/testdata/\n", chosen.seed, file)
}
