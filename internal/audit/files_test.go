package audit_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	testclock "k8s.io/utils/clock/testing"

	"github.com/warmpool-dev/warmpool/internal/audit"
)

func TestRotationByAge(t *testing.T) {
	dir := t.TempDir()
	now := onMayDay()
	log := open(t, audit.Options{Dir: dir, MaxAge: time.Hour, Clock: now})
	before := mustAppend(t, log, "before")
	now.SetTime(now.Now().Add(59 * time.Minute))
	mustAppend(t, log, "still")
	if count := len(files(t, dir)); count != 1 {
		t.Fatalf("%d files before the age, want 1", count)
	}
	now.SetTime(now.Now().Add(time.Minute))
	after := mustAppend(t, log, "after")
	if count := len(files(t, dir)); count != 2 {
		t.Fatalf("%d files after the age, want 2", count)
	}
	if after.Sequence != before.Sequence+2 || !strings.HasSuffix(files(t, dir)[1], "-00000000000000000004.jsonl") {
		t.Errorf("record %d begins %s", after.Sequence, files(t, dir)[1])
	}
	if report := verify(t, audit.VerifyOptions{Dir: dir}); report.Broken != nil || report.Files != 2 {
		t.Errorf("%+v", report)
	}
}

func TestRetentionDeletesWholeFilesAndSaysSo(t *testing.T) {
	dir := t.TempDir()
	now := onMayDay()
	log := open(t, audit.Options{Dir: dir, MaxAge: 24 * time.Hour, Retention: 48 * time.Hour, Clock: now})
	for range 5 {
		mustAppend(t, log, "daily")
		now.SetTime(now.Now().Add(24 * time.Hour))
	}
	mustAppend(t, log, "daily")
	report := verify(t, audit.VerifyOptions{Dir: dir})
	if report.Broken != nil {
		t.Fatalf("%+v", report.Broken)
	}
	if report.First == 1 || len(files(t, dir)) > 4 {
		t.Errorf("records from %d in %d files: nothing was let go", report.First, len(files(t, dir)))
	}
	// Three days and more before the last record is older than the retention.
	if age := report.Last.Time.Sub(report.FirstTime); age > 72*time.Hour {
		t.Errorf("the oldest record is %s older than the youngest", age)
	}
	// One file more than what was let go.
	if err := os.Remove(files(t, dir)[0]); err != nil {
		t.Fatal(err)
	}
	if report := verify(t, audit.VerifyOptions{Dir: dir}); report.Broken == nil || report.Broken.Problem != audit.ProblemRemoved {
		t.Errorf("a file that was removed by hand passed for an old one: %+v", report.Broken)
	}
}

func TestTornEndIsSetAside(t *testing.T) {
	const half = `{"v":1,"log":"0123`
	tests := map[string]string{
		"half a line":                  half,
		"a line feed and half a line":  "\n" + half,
		"zeros after a loss of power":  strings.Repeat("\x00", 4096),
		"a whole line without a sense": "half of this was lost\n",
		"an endless line":              strings.Repeat("x", 300_000),
	}
	for name, torn := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			head := written(t, dir)
			paths := files(t, dir)
			last := paths[len(paths)-1]
			file, err := os.OpenFile(last, os.O_APPEND|os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			if _, err = file.WriteString(torn); err != nil {
				t.Fatal(err)
			}
			if err = file.Close(); err != nil {
				t.Fatal(err)
			}
			log := open(t, audit.Options{Dir: dir, Clock: onMayDay()})
			record := mustAppend(t, log, "after")
			if record.Sequence != head.Sequence+2 {
				t.Errorf("record %d after the recovery, want %d behind the log's own", record.Sequence, head.Sequence+2)
			}
			kept, err := os.ReadFile(last + ".torn")
			if err != nil || string(kept) != torn {
				t.Errorf("set aside: %d bytes (%v), want all %d", len(kept), err, len(torn))
			}
			report := verify(t, audit.VerifyOptions{Dir: dir, Head: &head})
			if report.Broken != nil || len(report.TornFiles) != 1 || report.Last.Sequence != record.Sequence {
				t.Errorf("%+v", report)
			}
		})
	}
}

func TestUnfinishedLineIsNoBreakage(t *testing.T) {
	dir := t.TempDir()
	head := written(t, dir)
	paths := files(t, dir)
	file, err := os.OpenFile(paths[len(paths)-1], os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = file.WriteString(`{"v":1,`)
	if err = errors.Join(err, file.Close()); err != nil {
		t.Fatal(err)
	}
	report := verify(t, audit.VerifyOptions{Dir: dir, Head: &head})
	if report.Broken != nil || report.TornBytes != int64(len(`{"v":1,`)) {
		t.Errorf("%+v", report)
	}
}

// A record in the middle that was altered is evidence, not a torn end.
func TestAlteredLineIsLeftWhereItIs(t *testing.T) {
	dir := t.TempDir()
	written(t, dir)
	paths := files(t, dir)
	last := paths[len(paths)-1]
	if err := os.Remove(paths[0]); err != nil {
		t.Fatal(err)
	}
	edit(t, paths[1], func(lines []string) []string {
		lines[0] = strings.Replace(lines[0], "act", "pct", 1)
		return lines
	})
	mustAppend(t, open(t, audit.Options{Dir: dir, Clock: onMayDay()}), "after")
	for _, path := range []string{paths[1], last} {
		if _, err := os.Stat(path + ".torn"); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s.torn: %v", path, err)
		}
	}
	if report := verify(t, audit.VerifyOptions{Dir: dir}); report.Broken == nil || report.Broken.Sequence != 4 || report.Broken.Problem != audit.ProblemAltered {
		t.Errorf("%+v, want record 4 altered", report.Broken)
	}
}

func TestDeletedFileIsNoticedWhileTheLogIsOpen(t *testing.T) {
	dir := t.TempDir()
	watch := &watcher{}
	log := open(t, audit.Options{Dir: dir, Observer: watch})
	gone := mustAppend(t, log, "gone")
	if err := os.Remove(files(t, dir)[0]); err != nil {
		t.Fatal(err)
	}
	after := mustAppend(t, log, "after")
	if after.Sequence != gone.Sequence+1 || after.Previous != gone.Hash {
		t.Errorf("%+v does not follow %+v", after, gone)
	}
	if watch.failures() == 0 {
		t.Error("nobody was told")
	}
	if report := verify(t, audit.VerifyOptions{Dir: dir}); report.Broken == nil || report.Broken.Problem != audit.ProblemRemoved {
		t.Errorf("%+v, want the records before missed", report.Broken)
	}
}

func TestForeignLinesAreNoticedWhileTheLogIsOpen(t *testing.T) {
	for name, foreign := range map[string]string{"a line": "not of ours\n", "half a line": "not of ours"} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			watch := &watcher{}
			log := open(t, audit.Options{Dir: dir, Observer: watch})
			mustAppend(t, log, "before")
			path := files(t, dir)[0]
			file, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			_, err = file.WriteString(foreign)
			if err = errors.Join(err, file.Close()); err != nil {
				t.Fatal(err)
			}
			mustAppend(t, log, "after")
			head := log.Head()
			if report := verify(t, audit.VerifyOptions{Dir: dir, Head: &head}); report.Broken != nil || len(report.TornFiles) != 1 || watch.failures() != 1 {
				t.Errorf("%+v, broken: %+v, %d failures told", report, report.Broken, watch.failures())
			}
		})
	}
}

func TestCutWhileTheLogIsOpen(t *testing.T) {
	dir := t.TempDir()
	watch := &watcher{}
	log := open(t, audit.Options{Dir: dir, Observer: watch})
	mustAppend(t, log, "before")
	edit(t, files(t, dir)[0], func(lines []string) []string { return lines[:1] })
	mustAppend(t, log, "after")
	report := verify(t, audit.VerifyOptions{Dir: dir})
	if report.Broken == nil || report.Broken.Problem != audit.ProblemRemoved || report.Broken.Sequence != 3 || watch.failures() == 0 {
		t.Errorf("%+v, %d failures told", report.Broken, watch.failures())
	}
}

func TestDirectoryThatCannotBeWrittenIsTriedAgain(t *testing.T) {
	parent := t.TempDir()
	dir := filepath.Join(parent, "log")
	if err := os.WriteFile(dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	watch := &watcher{}
	log := open(t, audit.Options{Dir: dir, Observer: watch})
	if log.Err() == nil {
		t.Error("the log does not say that it cannot be written")
	}
	if _, err := log.Append(t.Context(), &audit.Entry{Action: "no", Outcome: audit.OutcomeOK}); err == nil {
		t.Error("an append into a file in place of the directory succeeded")
	}
	if watch.failures() == 0 {
		t.Error("nobody was told")
	}
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	if record := mustAppend(t, log, "yes"); record.Sequence != 2 || log.Err() != nil {
		t.Errorf("record %d, err %v", record.Sequence, log.Err())
	}
	if report := verify(t, audit.VerifyOptions{Dir: dir}); report.Broken != nil || report.Records != 2 {
		t.Errorf("%+v", report)
	}
}

func TestTimeNeverGoesBack(t *testing.T) {
	now := testclock.NewFakePassiveClock(time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC))
	log := open(t, audit.Options{Dir: t.TempDir(), Clock: now})
	before := mustAppend(t, log, "before")
	now.SetTime(now.Now().Add(-time.Hour))
	if after := mustAppend(t, log, "after"); after.Time.Before(before.Time) {
		t.Errorf("%s after %s", after.Time, before.Time)
	}
}
