package audit_test

import (
	"errors"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/warmpool-dev/warmpool/internal/audit"
)

// TestAppendsShareASync: what waits while a sync is under way shares the next
// one, and nobody is answered before its own.
func TestAppendsShareASync(t *testing.T) {
	const appends = 100
	log := open(t, audit.Options{Dir: t.TempDir()})
	entered, release := make(chan struct{}, appends), make(chan struct{})
	log.SetSync(func(file *os.File) error {
		entered <- struct{}{}
		<-release
		return file.Sync()
	})
	var group sync.WaitGroup
	answered := make(chan struct{}, appends)
	for range appends {
		group.Go(func() {
			mustAppend(t, log, "act")
			answered <- struct{}{}
		})
	}
	<-entered
	// All of them have time to line up.
	for deadline := time.Now().Add(10 * time.Second); log.Waiting() < appends-2 && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	if len(answered) != 0 {
		t.Errorf("%d appends were answered before the sync", len(answered))
	}
	close(release)
	group.Wait()
	if syncs := 1 + len(entered); syncs > 3 {
		t.Errorf("%d syncs for %d appends that came at the same time", syncs, appends)
	}
}

// TestNothingIsAcknowledgedWithoutItsSync: after a failed sync nobody knows what
// is on the disk. The caller hears of it, and the log goes on.
func TestNothingIsAcknowledgedWithoutItsSync(t *testing.T) {
	broken := errors.New("input/output error")
	dir := t.TempDir()
	watch := &watcher{}
	log := open(t, audit.Options{Dir: dir, Observer: watch})
	failing := true
	log.SetSync(func(file *os.File) error {
		if failing {
			failing = false
			return broken
		}
		return file.Sync()
	})
	before := log.Head()
	if _, err := log.Append(t.Context(), &audit.Entry{Action: "lost", Outcome: audit.OutcomeOK}); !errors.Is(err, broken) {
		t.Errorf("an append without a sync was answered with %v", err)
	}
	if log.Head() != before || log.Err() == nil || watch.failures() == 0 {
		t.Errorf("head %v, error %v, %d failures told", log.Head(), log.Err(), watch.failures())
	}
	mustAppend(t, log, "after")
	head := log.Head()
	if report := verify(t, audit.VerifyOptions{Dir: dir, Head: &head}); report.Broken != nil || log.Err() != nil {
		t.Errorf("%+v, error %v", report.Broken, log.Err())
	}
}

func TestNoteDoesNotWait(t *testing.T) {
	dir := t.TempDir()
	watch := &watcher{}
	log := open(t, audit.Options{Dir: dir, Observer: watch})
	release := make(chan struct{})
	log.SetSync(func(file *os.File) error {
		<-release
		return file.Sync()
	})
	var busy error
	for range 10_000 {
		if busy = log.Note(&audit.Entry{Action: "act", Outcome: audit.OutcomeOK}); busy != nil {
			break
		}
	}
	if !errors.Is(busy, audit.ErrBusy) || watch.failures() != 1 {
		t.Errorf("after 10,000 notes and no sync: %v, %d failures told", busy, watch.failures())
	}
	close(release)
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	if err := log.Note(&audit.Entry{Action: "late", Outcome: audit.OutcomeOK}); !errors.Is(err, audit.ErrClosed) {
		t.Errorf("a closed log answered %v", err)
	}
}
