package audit_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/warmpool-dev/warmpool/internal/audit"
)

// crashDir is the variable that makes this test program a child which appends
// until it is killed.
const crashDir = "WARMPOOL_AUDIT_CRASH_DIR"

const crashWriters = 16

// TestCrashChild is the child of TestKilledProcessLosesNoAcknowledgedRecord.
func TestCrashChild(t *testing.T) {
	dir := os.Getenv(crashDir)
	if dir == "" {
		t.Skip("it runs as a child of TestKilledProcessLosesNoAcknowledgedRecord")
	}
	log, err := audit.Open(audit.Options{Dir: dir, Component: "manager", Salt: salt, MaxBytes: 64 << 10})
	if err != nil {
		t.Fatal(err)
	}
	var say sync.Mutex
	var writers sync.WaitGroup
	for range crashWriters {
		writers.Go(func() {
			for {
				record, err := log.Append(t.Context(), &audit.Entry{Action: "act", Outcome: audit.OutcomeOK, Details: audit.Details{"more": audit.Text(strings.Repeat("x", 200))}})
				if err != nil {
					return
				}
				say.Lock()
				fmt.Printf("ACK %d %s\n", record.Sequence, record.Hash)
				say.Unlock()
			}
		})
	}
	writers.Wait()
}

// TestKilledProcessLosesNoAcknowledgedRecord kills real processes that append
// under load. What they acknowledged is in the log, whole and in its place.
func TestKilledProcessLosesNoAcknowledgedRecord(t *testing.T) {
	dir := t.TempDir()
	acknowledged := map[uint64]string{}
	for round := range 4 {
		for sequence, hash := range runUntilKilled(t, dir, 200+150*round) {
			if before, twice := acknowledged[sequence]; twice {
				t.Fatalf("record %d was acknowledged twice: %s, %s", sequence, before, hash)
			}
			acknowledged[sequence] = hash
		}
	}
	// What a crash in the middle of a write leaves, which a kill seldom hits.
	paths := files(t, dir)
	last, err := os.OpenFile(paths[len(paths)-1], os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err = last.WriteString(`{"v":1,"log":"`); err != nil {
		t.Fatal(err)
	}
	if err = last.Close(); err != nil {
		t.Fatal(err)
	}
	log := open(t, audit.Options{Dir: dir})
	mustAppend(t, log, "after")
	page, err := log.Query(t.Context(), audit.Query{Limit: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	found := map[uint64]string{}
	for k := range page.Records {
		found[page.Records[k].Sequence] = page.Records[k].Hash
	}
	for sequence, hash := range acknowledged {
		if found[sequence] != hash {
			t.Errorf("record %d was acknowledged as %s, the log has %q", sequence, hash, found[sequence])
		}
	}
	head := log.Head()
	report := verify(t, audit.VerifyOptions{Dir: dir, Head: &head})
	if report.Broken != nil || report.Files < 3 || len(report.TornFiles) == 0 {
		t.Errorf("%+v, broken: %+v", report, report.Broken)
	}
	t.Logf("%d records acknowledged by 4 killed processes, %d in the log", len(acknowledged), report.Records)
}

// runUntilKilled starts a child, kills it after so many acknowledgements, and
// returns all that it gave.
func runUntilKilled(t *testing.T, dir string, acknowledgements int) map[uint64]string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	child := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestCrashChild$", "-test.v")
	child.Env = append(os.Environ(), crashDir+"="+dir)
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	given := map[uint64]string{}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		// The last line may be cut: then nobody has read the acknowledgement.
		if len(fields) != 3 || fields[0] != "ACK" || len(fields[2]) != 64 {
			continue
		}
		sequence, err := strconv.ParseUint(fields[1], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		given[sequence] = fields[2]
		if len(given) == acknowledgements {
			if err := child.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := child.Wait(); err == nil || len(given) < acknowledgements {
		t.Fatalf("the child ended by itself after %d acknowledgements: %v", len(given), err)
	}
	return given
}

// TestConcurrentAppendsAreOneChain is for the race detector, too.
func TestConcurrentAppendsAreOneChain(t *testing.T) {
	const writers, each = 200, 20
	dir := t.TempDir()
	watch := &watcher{}
	log := open(t, audit.Options{Dir: dir, MaxBytes: 256 << 10, Observer: watch})
	var group sync.WaitGroup
	var refused atomic.Int64
	for writer := range writers {
		group.Go(func() {
			var last uint64
			for k := range each {
				entry := &audit.Entry{Action: "act-" + strconv.Itoa(writer), Outcome: audit.OutcomeOK}
				if k%4 == 3 {
					if log.Note(entry) != nil {
						refused.Add(1)
					}
					log.RegisterSecrets("secret-" + strconv.Itoa(writer))
					continue
				}
				record, err := log.Append(t.Context(), entry)
				if err != nil || record.Sequence <= last {
					t.Errorf("record %d after %d: %v", record.Sequence, last, err)
				}
				last = record.Sequence
				if log.Head().Sequence < last {
					t.Errorf("record %d was acknowledged before the head was there", last)
				}
			}
		})
	}
	group.Wait()
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	head := log.Head()
	report := verify(t, audit.VerifyOptions{Dir: dir, Head: &head})
	if want := writers*each + 1 - int(refused.Load()); report.Broken != nil || report.Records != want || len(watch.records) != want {
		t.Errorf("%d records in the log, %d told, want %d; broken: %+v", report.Records, len(watch.records), want, report.Broken)
	}
}

// TestAppendGivesUpWithItsCaller: a disk that hangs does not hold a caller.
func TestAppendGivesUpWithItsCaller(t *testing.T) {
	log := open(t, audit.Options{Dir: t.TempDir()})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 100 {
		if _, err := log.Append(ctx, &audit.Entry{Action: "act", Outcome: audit.OutcomeOK}); err != nil {
			return
		}
	}
	t.Error("100 appends of a caller that had given up waited for the disk")
}
