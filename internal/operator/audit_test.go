package operator

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"k8s.io/utils/clock"

	"github.com/warmpool-dev/warmpool/internal/audit"
	"github.com/warmpool-dev/warmpool/internal/metrics"
	"github.com/warmpool-dev/warmpool/internal/options"
)

const testSalt = "0123456789abcdef of the tests"

// openTestAudit opens a log and returns what the program logs and counts.
func openTestAudit(t *testing.T, settings *options.Audit) (*auditing, *prometheus.Registry, func() string, error) {
	t.Helper()
	registry := prometheus.NewRegistry()
	recorder, err := metrics.NewRecorder(registry)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	logger := funcr.New(func(_, text string) { lines = append(lines, text) }, funcr.Options{})
	trail, err := openAudit(settings, &Environment{Logger: logger, Clock: clock.RealClock{}}, recorder)
	return trail, registry, func() string { return strings.Join(lines, "\n") }, err
}

func TestManagerNeedsASaltForItsAuditLog(t *testing.T) {
	for name, salt := range map[string]string{"none": "", "weak": "changeme"} {
		_, _, _, err := openTestAudit(t, &options.Audit{Dir: t.TempDir(), Salt: salt})
		if !errors.Is(err, audit.ErrWeakSalt) || !strings.Contains(err.Error(), "openssl rand -hex 32") {
			t.Errorf("%s: %v, want a refusal that says how to make one", name, err)
		}
	}
}

func TestAuditWithoutADirectoryIsLogged(t *testing.T) {
	trail, registry, logged, err := openTestAudit(t, &options.Audit{})
	if err != nil {
		t.Fatal(err)
	}
	entry := &audit.Entry{Action: "rent", Outcome: audit.OutcomeStarted, Details: audit.Details{"offer": audit.Number(9)}}
	if _, err := trail.Append(t.Context(), entry); err != nil {
		t.Fatal(err)
	}
	if text := logged(); !strings.Contains(text, `"action"="rent"`) || !strings.Contains(text, `"offer"="9"`) {
		t.Errorf("logged %q", text)
	}
	trail.close(logr.Discard())
	const want = "# HELP warmpool_audit_records_total Audit records that are durable, by outcome.\n# TYPE warmpool_audit_records_total counter\nwarmpool_audit_records_total{outcome=\"started\"} 1\n"
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "warmpool_audit_records_total"); err != nil {
		t.Error(err)
	}
}

func TestAuditIsCountedAndItsFailuresAreTold(t *testing.T) {
	dir := t.TempDir()
	standby, _, _, err := openTestAudit(t, &options.Audit{Dir: dir, Salt: testSalt})
	if err != nil {
		t.Fatal(err)
	}
	defer standby.close(logr.Discard())
	first, _, _, err := openTestAudit(t, &options.Audit{Dir: dir, Salt: testSalt})
	if err != nil {
		t.Fatal(err)
	}
	entry := &audit.Entry{Action: "rent", Outcome: "made up"}
	if _, err = first.Append(t.Context(), entry); err != nil {
		t.Errorf("a manager that stands by holds the log: %v", err)
	}
	second, registry, logged, err := openTestAudit(t, &options.Audit{Dir: dir, Salt: testSalt})
	if err != nil {
		t.Fatalf("a log that cannot be written now keeps the manager from starting: %v", err)
	}
	told := &strings.Builder{}
	second.ready(t.Context(), funcr.New(func(_, text string) { told.WriteString(text) }, funcr.Options{}))
	if !strings.Contains(told.String(), "nothing is rented") {
		t.Errorf("told %q", told)
	}
	if _, err := second.Append(t.Context(), entry); !errors.Is(err, audit.ErrLocked) {
		t.Errorf("appended beside another process: %v", err)
	}
	first.close(logr.Discard())
	if _, err := second.Append(t.Context(), entry); err != nil {
		t.Error(err)
	}
	second.close(logr.Discard())
	if text := logged(); !strings.Contains(text, "An act is not in the audit log") {
		t.Errorf("logged %q", text)
	}
	const want = `# HELP warmpool_audit_failures_total Failures of the audit log: record (an act that could not be recorded) or upkeep (rotation, retention, publishing the head).
# TYPE warmpool_audit_failures_total counter
warmpool_audit_failures_total{what="record"} 1
warmpool_audit_failures_total{what="upkeep"} 0
# HELP warmpool_audit_records_total Audit records that are durable, by outcome.
# TYPE warmpool_audit_records_total counter
warmpool_audit_records_total{outcome="other"} 1
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want),
		"warmpool_audit_failures_total", "warmpool_audit_records_total"); err != nil {
		t.Error(err)
	}
}

// heads remembers what was published.
type heads struct {
	err  error
	seen []uint64
}

func (h *heads) PublishHead(_ context.Context, head audit.Head) error {
	h.seen = append(h.seen, head.Sequence)
	return h.err
}

func TestHeadIsPublishedWhenItChanged(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		trail, _, _, err := openTestAudit(t, &options.Audit{Dir: dir, Salt: testSalt})
		if err != nil {
			t.Fatal(err)
		}
		defer trail.close(logr.Discard())
		ctx, cancel := context.WithCancel(t.Context())
		published := &heads{}
		run := &headRunnable{trail: trail, logger: logr.Discard(), publisher: published, period: time.Minute}
		done := make(chan error)
		go func() { done <- run.Start(ctx) }()
		for range 3 {
			time.Sleep(10 * time.Minute)
			if _, err := trail.Append(ctx, &audit.Entry{Action: "act", Outcome: audit.OutcomeOK}); err != nil {
				t.Error(err)
			}
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if len(published.seen) != 4 || published.seen[3] != 4 {
			t.Errorf("published %v, want each head once and the last at the end", published.seen)
		}
	})
}
