package operator

import (
	"context"
	"errors"
	"testing"
	"time"

	"k8s.io/client-go/tools/leaderelection/resourcelock"
	clocktesting "k8s.io/utils/clock/testing"
)

// fakeLock is a lock whose writes succeed or fail as told.
type fakeLock struct {
	resourcelock.Interface
	err     error
	onWrite func()
}

func (l *fakeLock) Identity() string { return "me" }

func (l *fakeLock) Create(context.Context, resourcelock.LeaderElectionRecord) error { return l.write() }

func (l *fakeLock) Update(context.Context, resourcelock.LeaderElectionRecord) error { return l.write() }

func (l *fakeLock) write() error {
	if l.onWrite != nil {
		l.onWrite()
	}
	return l.err
}

func TestLeaseIsFreshOnlyAfterARenewalOfOurOwn(t *testing.T) {
	mine := resourcelock.LeaderElectionRecord{HolderIdentity: "me"}
	for name, test := range map[string]struct {
		record resourcelock.LeaderElectionRecord
		err    error
		wait   time.Duration
		want   bool
	}{
		"renewed just now":               {record: mine, want: true},
		"renewed, then paused too long":  {record: mine, wait: 20 * time.Second, want: false},
		"almost too long":                {record: mine, wait: 19 * time.Second, want: true},
		"the renewal failed":             {record: mine, err: errors.New("conflict"), want: false},
		"released to nobody":             {record: resourcelock.LeaderElectionRecord{}, want: false},
		"somebody else is the holder":    {record: resourcelock.LeaderElectionRecord{HolderIdentity: "other"}, want: false},
		"the clock was set back a while": {record: mine, wait: -time.Minute, want: false},
	} {
		t.Run(name, func(t *testing.T) {
			now := clocktesting.NewFakeClock(time.Unix(1_800_000_000, 0))
			guard := newLeaseGuard(now, true, 20*time.Second)
			if guard.IsFresh() {
				t.Fatal("fresh before any renewal")
			}
			lock := &guardedLock{Interface: &fakeLock{err: test.err}, guard: guard}
			if err := lock.Update(t.Context(), test.record); !errors.Is(err, test.err) {
				t.Fatal(err)
			}
			now.SetTime(now.Now().Add(test.wait))
			if got := guard.IsFresh(); got != test.want {
				t.Errorf("fresh = %v", got)
			}
		})
	}
}

// TestLeaseCountsFromTheRequest: a renewal whose answer took long is as old as
// its request, for the lease's time began to run there.
func TestLeaseCountsFromTheRequest(t *testing.T) {
	now := clocktesting.NewFakeClock(time.Unix(1_800_000_000, 0))
	guard := newLeaseGuard(now, true, 20*time.Second)
	lock := &guardedLock{Interface: &fakeLock{onWrite: func() { now.Step(25 * time.Second) }}, guard: guard}
	if err := lock.Create(t.Context(), resourcelock.LeaderElectionRecord{HolderIdentity: "me"}); err != nil {
		t.Fatal(err)
	}
	if guard.IsFresh() {
		t.Error("fresh 25 s after the request")
	}
}

func TestLeaseIsAlwaysFreshWithoutLeaderElection(t *testing.T) {
	if !newLeaseGuard(clocktesting.NewFakeClock(time.Unix(0, 0)), false, time.Second).IsFresh() {
		t.Error("not fresh")
	}
}
