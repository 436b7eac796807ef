package audit_test

import (
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"testing"

	"github.com/warmpool-dev/warmpool/internal/audit"
)

const fullDiskDir = "WARMPOOL_AUDIT_FULL_DISK_DIR"

// TestFullDiskTakesBackWhatItWrote runs in a child, whose files the kernel does
// not let grow: a write then succeeds in part, as on a full disk.
func TestFullDiskTakesBackWhatItWrote(t *testing.T) {
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestFullDiskChild$", "-test.v")
	child.Env = append(os.Environ(), fullDiskDir+"="+t.TempDir())
	if out, err := child.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestFullDiskChild is the child of TestFullDiskTakesBackWhatItWrote.
func TestFullDiskChild(t *testing.T) {
	dir := os.Getenv(fullDiskDir)
	if dir == "" {
		t.Skip("it runs as a child of TestFullDiskTakesBackWhatItWrote")
	}
	signal.Ignore(syscall.SIGXFSZ)
	log := open(t, audit.Options{Dir: dir})
	before := mustAppend(t, log, "before")
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(files(t, dir)[0])
	if err != nil {
		t.Fatal(err)
	}
	// There is room for half a record.
	full := syscall.Rlimit{Cur: uint64(info.Size()) + 150, Max: limit.Max}
	if err = syscall.Setrlimit(syscall.RLIMIT_FSIZE, &full); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err = log.Append(t.Context(), &audit.Entry{Action: "lost", Outcome: audit.OutcomeOK}); !errors.Is(err, syscall.EFBIG) {
			t.Errorf("an append to a full disk was answered with %v", err)
		}
		if after, statErr := os.Stat(files(t, dir)[0]); statErr != nil || after.Size() != info.Size() {
			t.Errorf("the file has %d bytes (%v), want the %d before", after.Size(), statErr, info.Size())
		}
	}
	if log.Err() == nil {
		t.Error("the log does not say that it cannot be written")
	}
	if err = syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
	after := mustAppend(t, log, "after")
	report := verify(t, audit.VerifyOptions{Dir: dir})
	if report.Broken != nil || report.Records != 3 || after.Previous != before.Hash || log.Err() != nil {
		t.Errorf("%+v, broken: %+v", report, report.Broken)
	}
}
