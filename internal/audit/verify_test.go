package audit_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	testclock "k8s.io/utils/clock/testing"

	"github.com/warmpool-dev/warmpool/internal/audit"
)

const otherSalt = "another salt, fedcba9876543210"

// onMayDay is a clock that stands still.
func onMayDay() *testclock.FakePassiveClock {
	return testclock.NewFakePassiveClock(time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC))
}

// written makes a closed log with the log's own record and nine others, three in
// each file, and returns its head.
func written(t *testing.T, dir string) audit.Head {
	t.Helper()
	log := open(t, audit.Options{Dir: dir, MaxBytes: 900, Clock: onMayDay()})
	for k := range 9 {
		mustAppend(t, log, fmt.Sprintf("act-%d", k+2))
	}
	head := log.Head()
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	return head
}

func verify(t *testing.T, options audit.VerifyOptions) audit.Report { //nolint:gocritic // a test's options
	t.Helper()
	if options.Salts == nil {
		options.Salts = []string{salt}
	}
	report, err := audit.Verify(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// edit changes the lines of a file.
func edit(t *testing.T, path string, change func(lines []string) []string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := change(strings.SplitAfter(strings.TrimSuffix(string(text), "\n")+"\n", "\n"))
	if err := os.WriteFile(path, []byte(strings.Join(lines, "")), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestVerifyReportsWhatIsWhole(t *testing.T) {
	dir := t.TempDir()
	head := written(t, dir)
	report := verify(t, audit.VerifyOptions{Dir: dir, Head: &head})
	want := audit.Report{
		Component: "manager", Log: head.Log, Files: len(files(t, dir)), Records: 10, Chains: 1, First: 1,
		FirstTime: time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC), Last: head,
	}
	if diff := cmp.Diff(want, report); diff != "" {
		t.Errorf("report (-want +got):\n%s", diff)
	}
	if report.Files < 3 {
		t.Errorf("%d files: the log was to rotate", report.Files)
	}
}

func TestVerifyNamesWhatIsBroken(t *testing.T) {
	type place struct {
		File     int
		Line     int
		Sequence uint64
		Problem  audit.Problem
	}
	first := func(change func([]string) []string) func(*testing.T, []string) {
		return func(t *testing.T, paths []string) {
			t.Helper()
			edit(t, paths[0], change)
		}
	}
	tests := map[string]struct {
		change func(*testing.T, []string)
		want   place
	}{
		"a flipped bit in a text": {first(func(lines []string) []string {
			lines[1] = strings.Replace(lines[1], "act-2", "act-3", 1)
			return lines
		}), place{0, 2, 2, audit.ProblemAltered}},
		"a flipped bit in a signature": {first(func(lines []string) []string {
			at := strings.Index(lines[1], `"mac":"`) + len(`"mac":"`)
			digit := byte('0')
			if lines[1][at] == '0' {
				digit = '1'
			}
			lines[1] = lines[1][:at] + string(digit) + lines[1][at+1:]
			return lines
		}), place{0, 2, 2, audit.ProblemAltered}},
		"a flipped bit that breaks the JSON": {first(func(lines []string) []string {
			lines[1] = strings.Replace(lines[1], `"action"`, `"action`, 1)
			return lines
		}), place{0, 2, 2, audit.ProblemAltered}},
		"a flipped bit in the name of the key": {first(func(lines []string) []string {
			record, err := audit.DecodeRecord([]byte(strings.TrimSuffix(lines[1], "\n")))
			if err != nil {
				panic(err)
			}
			lines[1] = strings.Replace(lines[1], record.Key, strings.Repeat("0", 16), 1)
			return lines
		}), place{0, 2, 2, audit.ProblemAltered}},
		"a line that was put in": {first(func(lines []string) []string {
			return append([]string{lines[0], "\n"}, lines[1:]...)
		}), place{0, 2, 2, audit.ProblemAltered}},
		"a removed line": {first(func(lines []string) []string {
			return append(lines[:1], lines[2:]...)
		}), place{0, 2, 3, audit.ProblemRemoved}},
		"a removed first line": {first(func(lines []string) []string {
			return lines[1:]
		}), place{0, 1, 2, audit.ProblemRemoved}},
		"a swapped pair": {first(func(lines []string) []string {
			lines[0], lines[1] = lines[1], lines[0]
			return lines
		}), place{0, 1, 2, audit.ProblemReordered}},
		"a line that was copied": {first(func(lines []string) []string {
			return append([]string{lines[0], lines[1], lines[1]}, lines[2:]...)
		}), place{0, 3, 2, audit.ProblemReordered}},
		"a removed file in the middle": {func(t *testing.T, paths []string) {
			t.Helper()
			if err := os.Remove(paths[1]); err != nil {
				t.Fatal(err)
			}
		}, place{2, 1, 7, audit.ProblemRemoved}},
		"a removed first file": {func(t *testing.T, paths []string) {
			t.Helper()
			if err := os.Remove(paths[0]); err != nil {
				t.Fatal(err)
			}
		}, place{1, 1, 4, audit.ProblemRemoved}},
		"a removed end": {func(t *testing.T, paths []string) {
			t.Helper()
			edit(t, paths[len(paths)-1], func(lines []string) []string { return lines[:0] })
		}, place{2, 3, 9, audit.ProblemTailRemoved}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			head := written(t, dir)
			paths := files(t, dir)
			test.change(t, paths)
			report := verify(t, audit.VerifyOptions{Dir: dir, Head: &head})
			if report.Broken == nil {
				t.Fatal("the log passed")
			}
			got := place{-1, report.Broken.Line, report.Broken.Sequence, report.Broken.Problem}
			for k, path := range paths {
				if path == report.Broken.File {
					got.File = k
				}
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("broken (-want +got):\n%s\n%s", diff, report.Broken.Message)
			}
		})
	}
}

func TestRemovedEndShowsOnlyAgainstThePublishedHead(t *testing.T) {
	dir := t.TempDir()
	head := written(t, dir)
	paths := files(t, dir)
	if err := os.Remove(paths[len(paths)-1]); err != nil {
		t.Fatal(err)
	}
	if report := verify(t, audit.VerifyOptions{Dir: dir}); report.Broken != nil {
		t.Errorf("without a head nobody can tell, but: %+v", report.Broken)
	}
	report := verify(t, audit.VerifyOptions{Dir: dir, Head: &head})
	if report.Broken == nil || report.Broken.Problem != audit.ProblemTailRemoved {
		t.Errorf("with the head: %+v, want a removed tail", report.Broken)
	}
	// Somebody with the salt, or the operator itself, goes on after the cut.
	log := open(t, audit.Options{Dir: dir, Clock: onMayDay()})
	for range 20 {
		mustAppend(t, log, "later")
	}
	report = verify(t, audit.VerifyOptions{Dir: dir, Head: &head})
	if report.Broken == nil || report.Broken.Problem != audit.ProblemHeadMismatch || report.Broken.Sequence != head.Sequence {
		t.Errorf("after the log went on: %+v, want a mismatch at record %d", report.Broken, head.Sequence)
	}
}

func TestAnotherLogUnderThePublishedHead(t *testing.T) {
	head := written(t, t.TempDir())
	dir := t.TempDir()
	written(t, dir)
	report := verify(t, audit.VerifyOptions{Dir: dir, Head: &head})
	if report.Broken == nil || report.Broken.Problem != audit.ProblemTailRemoved {
		t.Errorf("got %+v, want the published log to be missed", report.Broken)
	}
}

func TestChangedSaltStartsANewChain(t *testing.T) {
	dir := t.TempDir()
	old := written(t, dir)
	log := open(t, audit.Options{Dir: dir, Salt: otherSalt, Clock: onMayDay()})
	record := mustAppend(t, log, "under-the-new-salt")
	head := log.Head()
	if record.Sequence != old.Sequence+2 || record.Log != old.Log {
		t.Errorf("record %d of log %s, want %d of %s", record.Sequence, record.Log, old.Sequence+2, old.Log)
	}
	both := verify(t, audit.VerifyOptions{Dir: dir, Salts: []string{otherSalt, salt}, Head: &head})
	if both.Broken != nil || both.Chains != 2 || both.Records != 12 {
		t.Errorf("with both salts: %+v", both)
	}
	newest := verify(t, audit.VerifyOptions{Dir: dir, Salts: []string{otherSalt}})
	if newest.Broken == nil || newest.Broken.Problem != audit.ProblemUnknownSalt || newest.Broken.Sequence != 1 {
		t.Errorf("with the new salt: %+v, want an unknown salt at record 1", newest.Broken)
	}
	oldest := verify(t, audit.VerifyOptions{Dir: dir, Salts: []string{salt}})
	if oldest.Broken == nil || oldest.Broken.Problem != audit.ProblemUnknownSalt || oldest.Broken.Sequence != old.Sequence+1 {
		t.Errorf("with the old salt: %+v, want an unknown salt at record %d", oldest.Broken, old.Sequence+1)
	}
	vouched := verify(t, audit.VerifyOptions{Dir: dir, Salts: []string{otherSalt}, AcceptUnknownSalts: true})
	if vouched.Broken != nil || vouched.UnknownSalts != 10 {
		t.Errorf("accepting what a later record vouches for: %+v", vouched)
	}
	nobody := verify(t, audit.VerifyOptions{Dir: dir, Salts: []string{salt}, AcceptUnknownSalts: true})
	if nobody.Broken == nil || nobody.Broken.Sequence != old.Sequence+1 {
		t.Errorf("nobody vouches for the end, but: %+v", nobody.Broken)
	}
	edit(t, files(t, dir)[0], func(lines []string) []string {
		lines[1] = strings.Replace(lines[1], "act-2", "act-3", 1)
		return lines
	})
	altered := verify(t, audit.VerifyOptions{Dir: dir, Salts: []string{otherSalt}, AcceptUnknownSalts: true})
	if altered.Broken == nil || altered.Broken.Problem != audit.ProblemChain || altered.Broken.Sequence != 3 {
		t.Errorf("an altered record under an unknown salt: %+v, want a broken chain at record 3", altered.Broken)
	}
}

// A stranger chooses what is fingerprinted, and sees the fingerprints.
func TestFingerprintsDoNotSign(t *testing.T) {
	dir := t.TempDir()
	written(t, dir)
	edit(t, files(t, dir)[0], func(lines []string) []string {
		at := strings.Index(lines[1], `,"mac":"`)
		forged := strings.Replace(lines[1][:at], "act-2", "act-3", 1)
		lines[1] = forged + `,"mac":"` + string(audit.FingerprintOf(salt, forged)) + "\"}\n"
		return lines
	})
	if report := verify(t, audit.VerifyOptions{Dir: dir}); report.Broken == nil || report.Broken.Sequence != 2 {
		t.Errorf("a record signed with a fingerprint passed: %+v", report.Broken)
	}
}

func TestVerifyCommand(t *testing.T) {
	dir := t.TempDir()
	head := written(t, dir)
	headFile := filepath.Join(t.TempDir(), "head.json")
	headText := fmt.Sprintf(`{"log":%q,"sequence":%d,"hash":%q,"time":%q}`, head.Log, head.Sequence, head.Hash, head.Time.Format(time.RFC3339Nano))
	if err := os.WriteFile(headFile, []byte(headText), 0o600); err != nil {
		t.Fatal(err)
	}
	environment := func(name string) (string, bool) { return salt, name == "AUDIT_SALT" }
	run := func(arguments ...string) (string, error) {
		var out bytes.Buffer
		err := audit.VerifyCommand(context.WithoutCancel(t.Context()), &out, arguments, environment)
		return out.String(), err
	}
	if out, err := run("--dir", dir); err != nil || !strings.Contains(out, "records 1 to 10") || !strings.Contains(out, "10 records in") {
		t.Errorf("error %v, output:\n%s", err, out)
	}
	for _, given := range []string{headText, headFile} {
		if out, err := run("--dir", dir, "--head", given); err != nil || !strings.Contains(out, "the published head is in the log") {
			t.Errorf("--head %s: error %v, output:\n%s", given, err, out)
		}
	}
	if _, err := run(); err == nil || !strings.Contains(err.Error(), "--dir") {
		t.Errorf("without --dir: %v", err)
	}
	if _, err := run("--dir", t.TempDir()); !errors.Is(err, audit.ErrNoLog) {
		t.Errorf("an empty directory: %v", err)
	}
	edit(t, files(t, dir)[1], func(lines []string) []string { return lines[1:] })
	out, err := run("--dir", dir, "--component", "manager")
	if !errors.Is(err, audit.ErrBroken) || !strings.Contains(out, "BROKEN (Removed)") || !strings.Contains(out, "Record 4 was removed") {
		t.Errorf("a broken log: error %v, output:\n%s", err, out)
	}
	if strings.Contains(out, salt) {
		t.Errorf("the output shows the salt:\n%s", out)
	}
}
