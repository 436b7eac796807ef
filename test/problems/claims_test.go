package problems

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/planner"
	"github.com/warmpool-dev/warmpool/internal/simulator"
)

// claim binds an instance, as the one commit point of a claim.
func (w *world) claim(name string) {
	w.Helper()
	edit(w, &warmpool.WarmInstance{}, name, func(i *warmpool.WarmInstance) {
		i.Spec.ClaimRef = &warmpool.ClaimReference{Name: "demo", UID: types.UID("claim-" + name)}
	})
}

// TestAClaimThatBindsDuringAScaleDownKeepsItsInstance: the pool has decided which
// instance ends, and a claim binds it before the deletion arrives. The deletion
// fails, and the pool decides anew.
func TestAClaimThatBindsDuringAScaleDownKeepsItsInstance(t *testing.T) {
	for name, change := range map[string]func(*warmpool.WarmPool){
		"scaled down":      func(p *warmpool.WarmPool) { *p.Spec.Replicas = 1 },
		"scaled to zero":   func(p *warmpool.WarmPool) { *p.Spec.Replicas = 0 },
		"drained":          func(p *warmpool.WarmPool) { p.Spec.Mode = warmpool.PoolDrain },
		"over the ceiling": func(p *warmpool.WarmPool) { p.Spec.Cost.CeilingUSDPerHour = "0.45" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 6)
			w.newPool(2, 2)
			w.settle(2)
			edit(w, &warmpool.WarmPool{}, "sdxl", change)
			claimed, deletions := "", 0
			w.cluster.onWrite(func(write write) error {
				if _, ok := write.object.(*warmpool.WarmInstance); !ok || write.verb != "delete" {
					return nil
				}
				deletions++
				if claimed == "" {
					claimed = write.object.GetName()
					w.claim(claimed)
				}
				return nil
			})
			w.sweep()
			w.pools()
			if claimed == "" {
				t.Fatal("nothing was to be deleted")
			}
			var instance warmpool.WarmInstance
			if !w.exists(&instance, claimed) || !instance.DeletionTimestamp.IsZero() {
				t.Fatal("the instance was deleted although a claim had bound it")
			}
			id := instance.Status.Rental.ID
			w.pass(20 * pollPeriod)
			w.expectKept([]int64{id})
			// One that is claimed is not one of the replicas: whether another one ends is decided anew.
			if anew := name != "scaled down"; (deletions > 1) != anew {
				t.Errorf("%d deletions were tried", deletions)
			}
		})
	}
}

// TestAClaimThatBindsWhileItsInstanceIsGivenUpKeepsIt: the same, while the prober
// gives the instance up.
func TestAClaimThatBindsWhileItsInstanceIsGivenUpKeepsIt(t *testing.T) {
	for name, at := range map[string]string{"before the failure is written": "status", "before the deletion": "delete"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 6)
			w.newPool(3, 3)
			w.settle(3)
			sick := w.instances()[0]
			bound := false
			w.cluster.onWrite(func(write write) error {
				instance, ok := write.object.(*warmpool.WarmInstance)
				if !ok || bound || write.verb != at || instance.Name != sick.Name || (at == "status" && instance.Status.Failure == nil) {
					return nil
				}
				bound = true
				w.claim(sick.Name)
				return nil
			})
			w.prober.mu.Lock()
			w.prober.silent[comfyAddress(&sick)] = true
			w.prober.mu.Unlock()
			w.pass(6 * time.Minute)
			var instance warmpool.WarmInstance
			if !bound {
				t.Fatal("it was never given up")
			}
			if !w.exists(&instance, sick.Name) || !instance.DeletionTimestamp.IsZero() {
				t.Error("a claimed instance was deleted")
			}
		})
	}
}

// TestAClaimedInstanceIsNotEndedByAnythingVoluntary: scaling, draining, a lowered
// ceiling, a raised price and a failure of its health leave it alone.
func TestAClaimedInstanceIsNotEndedByAnythingVoluntary(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 6)
	w.newPool(1, 3)
	w.settle(1)
	instance := w.instances()[0]
	id := []int64{instance.Status.Rental.ID}
	w.claim(instance.Name)
	for _, change := range []func(*warmpool.WarmPool){
		func(p *warmpool.WarmPool) { *p.Spec.Replicas = 0 },
		func(p *warmpool.WarmPool) { p.Spec.Cost.CeilingUSDPerHour = "0.10" },
		func(p *warmpool.WarmPool) { p.Spec.Mode = warmpool.PoolDrain },
		func(p *warmpool.WarmPool) { p.Spec.Mode = warmpool.PoolPaused },
	} {
		edit(w, &warmpool.WarmPool{}, "sdxl", change)
		w.pass(4 * pollPeriod)
		w.expectKept(id)
	}
	w.disturb(simulator.FaultSpec{Name: simulator.FaultPriceRaise, Params: map[string]string{"factor": "3"}, Match: simulator.Match{Rental: id[0]}})
	w.prober.cut(true)
	w.pass(10 * time.Minute)
	if record := w.instanceOf(id[0]); record == nil || !record.DeletionTimestamp.IsZero() || len(w.live()) != 1 {
		t.Error("the claimed instance was ended")
	}
}

// held is an API server of one object at a time, with resource versions.
type held struct {
	version  int
	claim    string
	deleting bool
}

// reader is somebody who has read the object and is about to write.
type reader struct {
	version int
	claim   string
	doomed  bool
}

// read is what a reader sees, and what the pool would do about it.
func (h *held) read() reader {
	plan := planner.ComputeSize(&planner.SizeInput{
		Pool: planner.SizePool{Mode: planner.ModeActive, CeilingUSDPerHour: 10}, Trusted: true, Now: epoch(),
		Instances: []planner.SizeInstance{{Instance: planner.Instance{
			UID: "a", Claimed: h.claim != "", Ready: true, Rental: &planner.InstanceRental{ID: 1, ObservedUSDPerHour: 1, PriceKnown: true},
		}}},
	})
	return reader{version: h.version, claim: h.claim, doomed: len(plan.Delete) > 0}
}

// TestBindsAndDeletionsNeverBothWin: in 100,000 orders of reading, binding,
// releasing and deleting, each write with the version that was read, no instance
// is deleted while a claim holds it, and none is held by two.
func TestBindsAndDeletionsNeverBothWin(t *testing.T) {
	t.Parallel()
	const orders, steps = 100_000, 12
	deleted, bound := 0, 0
	for seed := range uint64(orders) {
		random := rand.New(rand.NewPCG(seed, 20))
		object, readers := held{version: 1}, make([]reader, 4)
		for range steps {
			k := random.IntN(len(readers))
			r := readers[k]
			if readers[k] = (reader{}); r.version == 0 {
				readers[k] = object.read()
				continue
			}
			won := r.version == object.version && !object.deleting
			switch me := fmt.Sprint(k); {
			case !won:
			case k == 0 && r.doomed: // the pool
				if object.claim != "" {
					t.Fatalf("seed %d: an instance was deleted while a claim held it", seed)
				}
				object.deleting = true
				deleted++
			case k > 0 && r.claim == "": // a claim that binds
				if object.claim != "" {
					t.Fatalf("seed %d: two claims hold one instance", seed)
				}
				object.claim, object.version = me, object.version+1
				bound++
			case k > 0 && r.claim == me: // one that lets go
				object.claim, object.version = "", object.version+1
			}
		}
	}
	if deleted < orders/100 || bound < orders/100 {
		t.Errorf("%d deletions and %d binds: too little happened to show anything", deleted, bound)
	}
}
