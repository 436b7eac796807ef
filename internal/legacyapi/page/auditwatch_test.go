package page_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/warmpool-dev/warmpool/internal/audit"
	"github.com/warmpool-dev/warmpool/internal/legacyapi/page"
)

// source is a log that counts how often it is read.
type source struct {
	head  audit.Head
	reads int
	err   error
}

func (s *source) Head() audit.Head { return s.head }

func (s *source) Query(context.Context, audit.Query) (audit.Page, error) {
	s.reads++
	return audit.Page{Records: []audit.Record{{Sequence: s.head.Sequence}, {Sequence: s.head.Sequence - 1}}}, s.err
}

func TestTheLogIsReadOnlyWhenItHasGrown(t *testing.T) {
	clock := clocktesting.NewFakeClock(time.Now())
	log := &source{head: audit.Head{Sequence: 7, Hash: "a"}}
	watch := page.NewAuditWatch(log, nil, clock, logr.Discard())
	look := func(reads int, sequence uint64) {
		t.Helper()
		records, err := watch.Recent(t.Context(), 1)
		if err != nil || len(records) != 1 || records[0].Sequence != sequence || log.reads != reads {
			t.Errorf("%v, %v after %d readings; want record %d after %d", records, err, log.reads, sequence, reads)
		}
	}
	look(1, 7)
	look(1, 7)
	log.head = audit.Head{Sequence: 8, Hash: "b"}
	look(1, 7)
	clock.Step(5 * time.Second)
	look(2, 8)
	clock.Step(time.Hour)
	look(2, 8)
	log.head, log.err = audit.Head{Sequence: 9, Hash: "c"}, errors.New("gone")
	if _, err := watch.Recent(t.Context(), 1); err == nil {
		t.Error("a log that cannot be read shows no error")
	}
}

func TestTheVerificationIsToldAndRepeated(t *testing.T) {
	clock := clocktesting.NewFakeClock(time.Now())
	reports := make(chan audit.Report)
	failures := make(chan error, 1)
	watch := page.NewAuditWatch(&source{}, func(context.Context) (audit.Report, error) {
		select {
		case report := <-reports:
			return report, nil
		case err := <-failures:
			return audit.Report{}, err
		}
	}, clock, logr.Discard())
	if !watch.Verification().Time.IsZero() {
		t.Error("it was verified before it was")
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- watch.Start(ctx) }()
	next := func(intact bool, text string) {
		t.Helper()
		for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
			found := watch.Verification()
			if found.Time.Equal(clock.Now()) && found.Intact == intact && strings.Contains(found.Message, text) && clock.HasWaiters() {
				clock.Step(10 * time.Minute)
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("found %+v, want intact %t with %q", found, intact, text)
			}
		}
	}
	reports <- audit.Report{Records: 3}
	next(true, "Every record is signed")
	reports <- audit.Report{Records: 3, UnknownSalts: 2}
	next(true, "2 records are from before AUDIT_SALT changed")
	reports <- audit.Report{Records: 2, Broken: &audit.Broken{File: "sidecar-1.jsonl", Line: 3, Problem: audit.ProblemAltered, Message: "It is not what was written."}}
	next(false, "Altered at sidecar-1.jsonl line 3")
	failures <- errors.New("permission denied")
	next(false, "permission denied")
	cancel()
	failures <- ctx.Err()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
