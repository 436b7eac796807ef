package crash

import (
	"slices"
	"testing"
	"time"

	"github.com/onsi/gomega"
	coordinationv1 "k8s.io/api/coordination/v1"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/simulator"
)

// frozenPoints are where the leader is stopped, and on which side. Where the
// request was on its way already, it arrives only when the next leader is done.
func frozenPoints() map[string]bool {
	return map[string]bool{
		pointJournal: false, pointRecheckInstances: true, pointRecheckPool: true,
		pointRent: true, pointSucceeded: false, pointDestroy: true,
	}
}

// TestLeaderFrozenLongerThanItsLease stops the leader in the middle of a rent.
// Another operator takes over and finishes; then the first one wakes up in the
// middle of its step, certain that it leads.
func TestLeaderFrozenLongerThanItsLease(t *testing.T) {
	for point, after := range frozenPoints() {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			first, armed, wake := w.freezeLeader(point, after)
			w.create()
			if point == pointDestroy {
				w.converge()
				w.remove(&warmpool.WarmPool{}, "sdxl")
			}
			w.awaitNextLeader(armed)
			w.reserveJournaledMachines(true)
			if point == pointDestroy {
				w.eventually(func(g gomega.Gomega) { g.Expect(w.instances()).To(gomega.BeEmpty()) })
			} else {
				w.converge()
			}
			w.reserveJournaledMachines(false)
			wake()
			<-first.exited // it finds out that it does not lead
			w.finish()
		})
	}
}

// TestLeaderThatWakesUpSpendsNothing wakes the frozen leader while its last
// sweep is still fresh: only the age of its lease can tell it to hold still.
func TestLeaderThatWakesUpSpendsNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.pollSeconds = 300
	first, armed, wake := w.freezeLeader(pointRecheckPool, true)
	w.create()
	w.awaitNextLeader(armed)
	// The trap may have sprung on the look before its second rent.
	whileItLed := len(w.rentsThrough(w.doors))
	wake()
	<-first.exited
	for _, s := range w.rentsThrough(w.doors)[whileItLed:] {
		t.Errorf("the operator that had lost its lease sent %s", s.line)
	}
	w.sweepEvery(10)
	w.finish()
}

// rentsThrough returns the rents that came through the given doors.
func (w *world) rentsThrough(through *doors) []step {
	return slices.DeleteFunc(w.gate.passed(pointRent), func(s step) bool { return s.from != through })
}

// freezeLeader starts two operators and arms a trap in which the one that leads
// is stopped. What it was doing goes on when wake is called.
func (w *world) freezeLeader(point string, after bool) (leader *manager, armed *trap, wake func()) {
	w.Helper()
	election := asManager(w.T, w.namespace)
	leader = w.startCandidate(w.doors)
	w.eventually(func(g gomega.Gomega) { g.Expect(w.leader()).NotTo(gomega.BeEmpty()) })
	w.firstLeader = w.leader()
	w.manager = w.startCandidate(w.open(election))
	goOn := make(chan struct{})
	armed = w.gate.set(&trap{
		matches: func(s *step) bool { return s.point == point && s.from == w.doors },
		after:   after, answer: true, held: make(chan struct{}), act: func() { leader.freeze(); <-goOn },
	})
	return leader, armed, func() {
		leader.ordered.Store(true)
		close(goOn)
		leader.thaw()
		w.wait(armed)
	}
}

// awaitNextLeader waits until the leader is frozen and another one leads.
func (w *world) awaitNextLeader(armed *trap) {
	w.Helper()
	select {
	case <-armed.held:
	case <-time.After(patience):
		w.Fatal("the leader never came to the await point")
	}
	w.eventually(func(g gomega.Gomega) { g.Expect(w.leader()).NotTo(gomega.Equal(w.firstLeader)) })
}

// sweepEvery changes how often the account is read.
func (w *world) sweepEvery(seconds int32) {
	w.Helper()
	var account warmpool.VastAccount
	w.eventually(func(g gomega.Gomega) {
		g.Expect(w.exists(&account, "default")).To(gomega.BeTrue())
		account.Spec.PollPeriodSeconds = seconds
		g.Expect(shared.Client.Update(w.Context(), &account)).To(gomega.Succeed())
	})
}

// startCandidate starts an operator that works only while it leads.
func (w *world) startCandidate(through *doors) *manager {
	w.Helper()
	life, err := startManager(through, w.clock, w.output, "--namespaces="+w.namespace,
		"--leader-elect=true", "--leader-election-namespace="+w.namespace, "--leader-election-lease-duration=6s",
		"--leader-election-renew-deadline=4s", "--leader-election-retry-period=500ms", "--shutdown-timeout=5s")
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(life.kill)
	w.lives++
	return life
}

// leader is who holds the lease; empty for nobody.
func (w *world) leader() string {
	var leases coordinationv1.LeaseList
	w.list(&leases)
	for k := range leases.Items {
		if holder := leases.Items[k].Spec.HolderIdentity; holder != nil {
			return *holder
		}
	}
	return ""
}

// reserveJournaledMachines takes the machines of attempts that may be unsent
// off the market, so that the next leader rents others, and puts them back: a
// call that the first leader sends in spite of all would then find its offer.
func (w *world) reserveJournaledMachines(taken bool) {
	w.Helper()
	for _, instance := range w.instances() {
		for _, attempt := range instance.Status.Attempts {
			if attempt.Outcome == warmpool.AttemptSucceeded || attempt.Outcome == warmpool.AttemptRejected {
				continue
			}
			if err := w.vast.ChangeMachine(simulator.MachineChange{ID: attempt.MachineID, Taken: &taken}); err != nil {
				w.Fatal(err)
			}
		}
	}
}
