package problems

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/controllers"
)

// TestACacheThatHidesOurOwnWritesMakesNoExtraInstances: for ten minutes the
// cache shows the pool as it was before its first instance. Each look at it
// would make them all again.
func TestACacheThatHidesOurOwnWritesMakesNoExtraInstances(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 10)
	w.sweep()
	w.heldPool(3, 8)
	w.cache.lag(w.Context())
	made := 0
	w.cluster.onWrite(func(write write) error {
		if _, isInstance := write.object.(*warmpool.WarmInstance); isInstance && write.verb == "create" {
			made++
		}
		return nil
	})
	w.pass(10 * time.Minute)
	if made == 0 || made > 3 {
		t.Errorf("%d instances were made for 3 replicas", made)
	}
	w.cache.catchUp()
	w.settle(3)
	if made != 3 || len(w.vast.Meter().Select(ours)) != 3 {
		t.Errorf("%d instances and %d rents for 3 replicas", made, len(w.vast.Meter().Select(ours)))
	}
}

// heldPool makes a pool that has its finalizer and no instance yet.
func (w *world) heldPool(replicas, affordable int32) {
	w.Helper()
	w.newPool(replicas, affordable)
	edit(w, &warmpool.WarmPool{}, "sdxl", func(p *warmpool.WarmPool) { p.Spec.Mode = warmpool.PoolPaused })
	w.pools()
	edit(w, &warmpool.WarmPool{}, "sdxl", func(p *warmpool.WarmPool) { p.Spec.Mode = warmpool.PoolActive })
	if len(w.instances()) != 0 {
		w.Fatal("the pool has made instances already")
	}
}

// TestFiftyWorkersOnACacheThatLagsMakeNoExtraInstances: fifty events of one
// pool, one after the other as the queue hands them out, from a cache that never
// shows what they did.
func TestFiftyWorkersOnACacheThatLagsMakeNoExtraInstances(t *testing.T) {
	t.Parallel()
	const workers = 50
	w := newWorld(t, 10)
	w.sweep()
	w.heldPool(4, 8)
	w.cache.lag(w.Context())
	var queue sync.Mutex // one pool is never reconciled twice at the same time
	var wait sync.WaitGroup
	for range workers {
		wait.Go(func() {
			queue.Lock()
			defer queue.Unlock()
			_, _ = w.pool.Reconcile(w.Context(), reconcile.Request{NamespacedName: keyOf("sdxl")})
		})
	}
	wait.Wait()
	if made := len(w.instances()); made == 0 || made > 4 {
		t.Errorf("%d instances were made for 4 replicas", made)
	}
	w.cache.catchUp()
	w.settle(4)
	if rents := len(w.vast.Meter().Select(ours)); rents != 4 {
		t.Errorf("%d rents for 4 replicas", rents)
	}
}

// TestTooManyObjectsAreNeverTooManyRentals: objects cost nothing, and two
// operators at the same moment can make too many. What is rented is counted
// again, live, before each rent; the surplus goes away.
func TestTooManyObjectsAreNeverTooManyRentals(t *testing.T) {
	t.Parallel()
	const operators = 8
	w := newWorld(t, 20)
	w.sweep()
	w.newPool(2, 16)
	var wait sync.WaitGroup
	for range operators {
		process := w.newDesk()
		wait.Go(func() { _, _ = process.pool.Reconcile(w.Context(), reconcile.Request{NamespacedName: keyOf("sdxl")}) })
	}
	wait.Wait()
	made := len(w.instances())
	for len(w.instances()) < 2*operators {
		w.create(extra(w, "sdxl"))
	}
	t.Logf("%d operators made %d objects at once; %d are there", operators, made, len(w.instances()))
	w.settle(2)
	w.pass(4 * pollPeriod)
	if rents := len(w.vast.Meter().Select(ours)); rents != 2 {
		t.Errorf("%d rents for 2 replicas", rents)
	}
	if left := len(w.instances()); left != 2 {
		t.Errorf("%d objects are left for 2 replicas", left)
	}
}

// extra is one more object of a pool, as a second operator would make it.
func extra(w *world, pool string) *warmpool.WarmInstance {
	w.Helper()
	var owner warmpool.WarmPool
	if !w.exists(&owner, pool) {
		w.Fatal("the pool is gone")
	}
	return &warmpool.WarmInstance{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, GenerateName: pool + "-", Finalizers: []string{warmpool.FinalizerTerminate},
			Labels: map[string]string{warmpool.LabelPool: pool, warmpool.LabelAccount: "default"},
		},
		Spec: warmpool.WarmInstanceSpec{
			PoolRef: warmpool.LocalReference{Name: pool}, AccountRef: owner.Spec.AccountRef, Template: *owner.Spec.Template.DeepCopy(),
		},
	}
}

// TestTheRentPathReadsLiveNotFromTheCache: the cache shows instances that wait
// and a ceiling with room, while both have changed. Nothing is rented.
func TestTheRentPathReadsLiveNotFromTheCache(t *testing.T) {
	for name, change := range map[string]func(w *world){
		"the ceiling was lowered": func(w *world) {
			edit(w, &warmpool.WarmPool{}, "sdxl", func(p *warmpool.WarmPool) { p.Spec.Cost.CeilingUSDPerHour = "0.10" })
		},
		"the account's ceiling was lowered": func(w *world) {
			edit(w, &warmpool.VastAccount{}, "default", func(a *warmpool.VastAccount) { a.Spec.CeilingUSDPerHour = "0.10" })
		},
		"the pool was paused": func(w *world) {
			edit(w, &warmpool.WarmPool{}, "sdxl", func(p *warmpool.WarmPool) { p.Spec.Mode = warmpool.PoolPaused })
		},
		"the pool was deleted":    func(w *world) { w.remove(&warmpool.WarmPool{}, "sdxl") },
		"the account was deleted": func(w *world) { w.remove(&warmpool.VastAccount{}, "default") },
		"the account was stopped": func(w *world) {
			edit(w, &warmpool.VastAccount{}, "default", func(a *warmpool.VastAccount) { a.Spec.Mode = warmpool.AccountEmergencyStop })
		},
		"the instances were deleted": func(w *world) {
			for _, instance := range w.instances() {
				w.remove(&warmpool.WarmInstance{}, instance.Name)
			}
		},
		"nothing is wanted any more": func(w *world) {
			edit(w, &warmpool.WarmPool{}, "sdxl", func(p *warmpool.WarmPool) { *p.Spec.Replicas = 0 })
		},
	} {
		for when, operation := range map[string]string{"before the pass": "", "between the journal and the call": "rent"} {
			t.Run(name+" "+when, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, 6)
				w.sweep()
				w.newPool(2, 4)
				w.pools()
				w.cache.lag(w.Context())
				if operation == "" {
					change(w)
				} else {
					w.vast.when(operation, func() { change(w) })
				}
				w.rents()
				if rents := len(w.vast.Meter().Select(ours)); rents > 0 {
					t.Errorf("%d rents from a stale cache", rents)
				}
				for _, instance := range w.instances() {
					for _, attempt := range instance.Status.Attempts {
						if attempt.Outcome != warmpool.AttemptRejected {
							t.Errorf("attempt %d of %s is %s", attempt.Number, instance.Name, attempt.Outcome)
						}
					}
				}
			})
		}
	}
}

// TestALostJournalWriteLosesTheRightToRent: the API server refuses the journal,
// for whatever reason. Then nothing is sent.
func TestALostJournalWriteLosesTheRightToRent(t *testing.T) {
	resource := schema.GroupResource{Group: "warmpool.dev", Resource: "warminstances"}
	for name, refusal := range map[string]error{
		"a conflict":             apierrors.NewConflict(resource, "x", errors.New("somebody was faster")),
		"not found":              apierrors.NewNotFound(resource, "x"),
		"forbidden":              apierrors.NewForbidden(resource, "x", errors.New("no")),
		"an outage":              apierrors.NewServiceUnavailable("down"),
		"an answer that is lost": context.DeadlineExceeded,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 6)
			w.sweep()
			w.newPool(2, 4)
			w.pools()
			w.cluster.onWrite(func(write write) error {
				if instance, ok := write.object.(*warmpool.WarmInstance); ok && write.verb == "status" && len(instance.Status.Attempts) > 0 {
					return refusal
				}
				return nil
			})
			for range 3 {
				w.quietly("rent", w.account.Loops()[controllers.LoopRent], keyOf("default"))
			}
			if w.vast.rentCalls() != 0 {
				t.Errorf("%d rents were sent without a journal", w.vast.rentCalls())
			}
			w.cluster.onWrite(nil)
			w.settle(2)
		})
	}
}

// TestTwoLeadersRentOneInstanceOnce: another operator rents for the same
// instance while the first one is stopped, before its journal or after it.
func TestTwoLeadersRentOneInstanceOnce(t *testing.T) {
	t.Run("stopped before its journal", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, 6)
		w.newPool(1, 4)
		w.sweep()
		w.pools()
		first, second := w.desk, w.newDesk()
		done := false
		w.cluster.onWrite(func(write write) error {
			instance, ok := write.object.(*warmpool.WarmInstance)
			if !ok || done || write.verb != "status" || len(instance.Status.Attempts) == 0 {
				return nil
			}
			done = true // SIGSTOP, and the second one leads
			w.desk = second
			w.sweep()
			w.rents()
			w.desk = first
			return nil
		})
		w.rents()
		if rents := len(w.vast.Meter().Select(ours)); rents != 1 || !done {
			t.Errorf("%d rents for one instance", rents)
		}
	})
	t.Run("stopped after its journal", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, 6)
		w.newPool(1, 4)
		w.sweep()
		w.pools()
		first, second := w.desk, w.newDesk()
		w.vast.when("rent", func() { // SIGSTOP for a minute
			first.leads.Store(false)
			w.desk = second
			w.clock.Step(time.Minute)
			w.sweep()
			w.rents()
			w.desk = first
		})
		w.rents()
		if rents := len(w.vast.Meter().Select(ours)); rents != 0 {
			t.Errorf("the operator that had lost its lease sent a rent, or the other one did not wait: %d rents", rents)
		}
		w.desk = second
		w.settle(1)
		if peak, _ := w.vast.Meter().Peak(ours); peak > priceMicros {
			t.Errorf("two rentals lived at once")
		}
	})
}

// TestALeaderStoppedAtEachProviderWriteSendsNothing: a process that wakes up
// without a fresh lease rents nothing and ends nothing, whatever it was about to do.
func TestALeaderStoppedAtEachProviderWriteSendsNothing(t *testing.T) {
	for _, operation := range []string{"rent", "destroy"} {
		t.Run(operation, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 6)
			w.newPool(2, 4)
			if operation == "destroy" {
				w.settle(2)
				w.remove(&warmpool.WarmPool{}, "sdxl")
			}
			w.sweep()
			w.pools()
			stopped := false
			w.vast.when(operation, func() {
				stopped = true
				w.leads.Store(false)
				w.clock.Step(time.Minute)
			})
			before := len(w.live())
			w.rents()
			w.ends()
			w.rents()
			w.ends()
			if !stopped {
				t.Fatal("it never came to the write")
			}
			if got := w.vast.Requests(); got["create"][200] != before || got["destroy"][200] != 0 || len(w.live()) != before {
				t.Errorf("requests %v, %d rentals, want %d", got, len(w.live()), before)
			}
			if message := strings.Join(w.events.all(), "\n"); operation == "destroy" && strings.Contains(message, "Vast.ai accepted") {
				t.Error("an end that was not sent was reported")
			}
		})
	}
}
