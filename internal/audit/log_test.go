package audit_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/warmpool-dev/warmpool/internal/audit"
)

const salt = "0123456789abcdef-a-salt-of-the-tests"

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// open opens a log that the test closes at its end.
func open(t *testing.T, options audit.Options) *audit.Log { //nolint:gocritic // a test's options
	t.Helper()
	if options.Component == "" {
		options.Component = "manager"
	}
	if options.Salt == "" {
		options.Salt = salt
	}
	log, err := audit.Open(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = log.Close() })
	return log
}

func mustAppend(t *testing.T, log *audit.Log, action string) audit.Record {
	t.Helper()
	record, err := log.Append(t.Context(), &audit.Entry{Action: action, Outcome: audit.OutcomeOK})
	if err != nil {
		t.Fatal(err)
	}
	return record
}

// files returns the paths of the log files, oldest first.
func files(t *testing.T, dir string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "audit-*.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

func TestFingerprintIsTheLegacyOne(t *testing.T) {
	const want = "34e2bf257f98b22be72de4a4f7cf0a25eddfe776f002767255bc7f909fbc0904"
	if got := audit.FingerprintOf("example-salt", "example-admin-key"); got != want {
		t.Errorf("fingerprint %s, the legacy system wrote %s", got, want)
	}
	if got := audit.FingerprintOf("example-salt", ""); got != "" {
		t.Errorf("without a key the fingerprint is %q, want it empty", got)
	}
}

func TestAppendIsDurableAndChained(t *testing.T) {
	dir := t.TempDir()
	log := open(t, audit.Options{Dir: dir})
	first := mustAppend(t, log, "one")
	second := mustAppend(t, log, "two")
	if second.Sequence != first.Sequence+1 || second.Previous != first.Hash {
		t.Errorf("record %d names %s, want %d to name %s", second.Sequence, second.Previous, first.Sequence+1, first.Hash)
	}
	text, err := os.ReadFile(files(t, dir)[0])
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	if len(lines) != 3 {
		t.Fatalf("%d lines, want the log's own and two:\n%s", len(lines), text)
	}
	decoded, err := audit.DecodeRecord([]byte(lines[2]))
	if err != nil {
		t.Fatal(err)
	}
	if decoded.Hash != second.Hash || decoded.Action != "two" || log.Head().Hash != second.Hash {
		t.Errorf("the file ends with %+v, want %+v", decoded, second)
	}
}

func TestReopenedLogGoesOn(t *testing.T) {
	dir := t.TempDir()
	log := open(t, audit.Options{Dir: dir})
	before := mustAppend(t, log, "before")
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := log.Append(t.Context(), &audit.Entry{Action: "late", Outcome: audit.OutcomeOK}); !errors.Is(err, audit.ErrClosed) {
		t.Errorf("a closed log answered %v", err)
	}
	after := mustAppend(t, open(t, audit.Options{Dir: dir}), "after")
	if after.Previous != before.Hash || after.Sequence != before.Sequence+1 || after.Log != before.Log {
		t.Errorf("%+v does not follow %+v", after, before)
	}
}

func TestOneWriterAtATime(t *testing.T) {
	dir := t.TempDir()
	first := open(t, audit.Options{Dir: dir})
	second := open(t, audit.Options{Dir: dir})
	if _, err := second.Append(t.Context(), &audit.Entry{Action: "two", Outcome: audit.OutcomeOK}); !errors.Is(err, audit.ErrLocked) {
		t.Errorf("a second writer got %v, want ErrLocked", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, second, "two")
}
