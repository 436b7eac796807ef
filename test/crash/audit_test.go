package crash

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/warmpool-dev/warmpool/internal/audit"
	"github.com/warmpool-dev/warmpool/internal/simulator"
)

// auditLine is a record as it stands in the file.
type auditLine struct {
	Sequence uint64         `json:"seq"`
	Action   string         `json:"action"`
	Outcome  audit.Outcome  `json:"outcome"`
	Details  map[string]any `json:"details"`
}

// auditLines reads the log of all lives, oldest record first.
func (w *world) auditLines() []auditLine {
	w.Helper()
	files, err := filepath.Glob(filepath.Join(w.auditDirectory, "audit-manager-*.jsonl"))
	if err != nil || len(files) == 0 {
		w.Fatalf("there is no audit log: %v, %v", files, err)
	}
	slices.Sort(files)
	var lines []auditLine
	for _, name := range files {
		file, err := os.Open(name)
		if err != nil {
			w.Fatal(err)
		}
		reader := bufio.NewScanner(file)
		const longest = 1 << 20
		reader.Buffer(nil, longest)
		for reader.Scan() {
			var line auditLine
			if err := json.Unmarshal(reader.Bytes(), &line); err != nil {
				w.Fatalf("%s: %v: %s", name, err, reader.Text())
			}
			lines = append(lines, line)
		}
		if err := reader.Err(); err != nil {
			w.Fatal(err)
		}
		if err := file.Close(); err != nil {
			w.Fatal(err)
		}
	}
	return lines
}

// checkAudit verifies the log, and compares it with what Vast.ai has seen: each
// rental was intended on record before it was ordered.
func (w *world) checkAudit() {
	w.Helper()
	report, err := audit.Verify(w.Context(), audit.VerifyOptions{Dir: w.auditDirectory, Component: "manager", Salts: []string{salt}})
	if err != nil || report.Broken != nil {
		w.Fatalf("the audit log of %d lives is broken at %+v: %v", w.lives, report.Broken, err)
	}
	lines := w.auditLines()
	if len(lines) != report.Records {
		w.Errorf("%d of %d records are verified", report.Records, len(lines))
	}
	intended, ordered := map[any]int{}, w.vast.Meter().Select(ours)
	for k := range lines {
		if lines[k].Action == "rent" && lines[k].Outcome == audit.OutcomeStarted {
			intended[lines[k].Details["label"]]++
		}
	}
	for k := range ordered {
		// A life that was killed before the cluster knew of its intent leaves one
		// record more: the next one intends the same again.
		if intended[ordered[k].Label] == 0 {
			w.Errorf("rental %d with the label %s was ordered without a record", ordered[k].ID, ordered[k].Label)
		}
	}
	known := func(id float64) bool {
		return slices.ContainsFunc(ordered, func(r simulator.RentalRecord) bool { return float64(r.ID) == id })
	}
	for k := range lines {
		if id, names := lines[k].Details["rental"].(float64); names && !known(id) {
			w.Errorf("record %d (%s %s) is about rental %.0f, which nobody ordered", lines[k].Sequence, lines[k].Action, lines[k].Outcome, id)
		}
	}
	w.Logf("%d lives, %d rentals, %d records, the chain is whole", w.lives, len(ordered), len(lines))
}

// TestTheAuditLogOutlivesEveryKill: managers that rent and destroy without a pause
// are killed with SIGKILL, at the moments that matter for money and at others.
// What they have recorded is there in the next life, and the chain goes on.
func TestTheAuditLogOutlivesEveryKill(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.auditDirectory = t.TempDir()
	running(w)
	for _, moment := range []struct {
		point string
		after bool
	}{{pointJournal, false}, {pointRent, false}, {pointRent, true}, {pointDestroy, true}} {
		armed := w.killAt(at(moment.point), moment.after)
		w.churn()
		w.wait(armed)
		w.checkAudit()
		w.startLife()
		w.converge()
	}
	// No moment in particular: whatever is being written then is torn.
	const kills, apart = 4, 300 * time.Millisecond
	for k := range kills {
		w.churn()
		time.Sleep(apart * time.Duration(k) / 2)
		w.kill()
		w.checkAudit()
		w.startLife()
		w.converge()
	}
	w.kill()
	w.checkAudit()
}

// churn ends all instances, so that they are destroyed and others are rented.
func (w *world) churn() {
	w.Helper()
	for _, instance := range w.instances() {
		if err := client.IgnoreNotFound(shared.Client.Delete(w.Context(), &instance)); err != nil {
			w.Fatal(err)
		}
	}
}
