package problems

import (
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/planner"
	"github.com/warmpool-dev/warmpool/internal/simulator"
)

// blindness is a way in which a whole pool seems to be dead.
type blindness struct {
	// busy gives every instance work before the way is cut.
	busy bool
	// lagging stops the watch, so that the cache shows a pool in good health.
	lagging bool
	// account cuts the way to Vast.ai as well.
	account  bool
	replicas int32
}

// TestCutOffFromAllInstancesEndsNone: for half an hour the operator reaches
// none of its instances. It ends none: the fault is ours.
func TestCutOffFromAllInstancesEndsNone(t *testing.T) {
	for name, blind := range map[string]blindness{
		"idle":                              {replicas: 5},
		"at work":                           {replicas: 5, busy: true},
		"idle, from a cache that lags":      {replicas: 5, lagging: true},
		"at work, from a cache that lags":   {replicas: 5, busy: true, lagging: true},
		"one instance, and Vast.ai as well": {replicas: 1, account: true},
		"one at work, and Vast.ai as well":  {replicas: 1, busy: true, account: true},
		"a few instances and Vast.ai, idle": {replicas: 3, account: true},
		"a few instances and Vast.ai, busy": {replicas: 3, busy: true, account: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 10)
			w.newPool(blind.replicas, 8)
			w.settle(int(blind.replicas))
			var ids []int64
			for _, instance := range w.instances() {
				ids = append(ids, instance.Status.Rental.ID)
				if blind.busy {
					w.prober.work(comfyAddress(&instance), 3)
				}
			}
			w.pass(4 * pollPeriod)
			if blind.lagging {
				w.cache.lag(w.Context())
			}
			w.prober.cut(true)
			if blind.account {
				w.disturb(simulator.FaultSpec{Name: simulator.FaultHangUp})
			}
			w.pass(30 * time.Minute)
			w.expectKept(ids)
			if got := w.vast.rentCalls(); got != len(ids) {
				t.Errorf("%d rents were sent, want the %d from before", got, len(ids))
			}
			w.cache.catchUp()
			w.prober.cut(false)
			w.calm()
			for _, instance := range w.instances() {
				w.prober.work(comfyAddress(&instance), 0)
			}
			w.settle(int(blind.replicas))
			w.expectKept(ids)
		})
	}
}

// comfyAddress is where the ComfyUI of an instance is.
func comfyAddress(instance *warmpool.WarmInstance) string {
	for _, endpoint := range instance.Status.Endpoints {
		if _, address, found := strings.Cut(endpoint.URL, "://"); found && endpoint.Name == "comfyui" {
			return address
		}
	}
	return ""
}

// TestOneSickInstanceAmongHealthyOnesIsReplaced: the caution about all of them
// at once must not keep a single dead one, at work or idle, for ever.
func TestOneSickInstanceAmongHealthyOnesIsReplaced(t *testing.T) {
	for name, prompts := range map[string]int{"idle": 0, "at work": 3} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 10)
			w.newPool(3, 8)
			w.settle(3)
			sick := w.instances()[0]
			for _, instance := range w.instances() {
				w.prober.work(comfyAddress(&instance), prompts)
			}
			w.pass(4 * pollPeriod)
			w.prober.mu.Lock()
			w.prober.silent[comfyAddress(&sick)] = true
			w.prober.mu.Unlock()
			w.pass(20 * time.Minute)
			if w.exists(&warmpool.WarmInstance{}, sick.Name) || w.ready() != 3 || len(w.live()) != 3 {
				w.dump()
				t.Errorf("the sick one is there or was not replaced: %d ready, %d rentals", w.ready(), len(w.live()))
			}
		})
	}
}

// TestOfflineHostThatReturnsIsEndedWithoutAnExcess: a host goes offline for
// longer than the pool's patience and comes back after its instance was given
// up. At no time does more bill than the ceiling allows; what returned is
// ended, and the pool ends up as it should.
func TestOfflineHostThatReturnsIsEndedWithoutAnExcess(t *testing.T) {
	for name, affordable := range map[string]int32{"with room for a replacement": 2, "without": 1} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 6)
			w.newPool(1, affordable)
			w.settle(1)
			lost := w.instances()[0]
			id := lost.Status.Rental.ID
			w.disturb(simulator.FaultSpec{Name: simulator.FaultOffline, Match: simulator.Match{Rental: id}})
			// While it is offline, Vast.ai takes the request and does nothing.
			w.disturb(simulator.FaultSpec{Name: simulator.FaultDestroyIgnored, Match: simulator.Match{Rental: id}})
			w.prober.mu.Lock()
			w.prober.silent[comfyAddress(&lost)] = true
			w.prober.mu.Unlock()
			w.pass(20 * time.Minute)
			if record := w.instanceOf(id); record == nil || record.DeletionTimestamp.IsZero() {
				w.dump()
				t.Fatalf("the instance of rental %d was not given up, or its object is gone while the rental is there", id)
			}
			if live := len(w.live()); live != int(affordable) {
				t.Errorf("%d rentals live, want %d: the price of the one that is offline stays reserved", live, affordable)
			}
			w.calm()
			w.disturb(simulator.FaultSpec{Name: simulator.FaultOffline, Params: map[string]string{"back": "true"}, Match: simulator.Match{Rental: id}})
			w.pass(20 * time.Minute)
			if w.instanceOf(id) != nil || len(w.live()) != 1 || w.live()[0].ID == id || w.ready() != 1 {
				w.dump()
				t.Errorf("the rental that returned was not ended, or not replaced: %d live", len(w.live()))
			}
			if peak, _ := w.vast.Meter().Peak(ours); peak > int64(affordable)*priceMicros {
				t.Errorf("%d µ$/h were rented at once, the ceiling is %d", peak, int64(affordable)*priceMicros)
			}
		})
	}
}

// instanceOf is the object that records a rental as its own; nil for none.
func (w *world) instanceOf(id int64) *warmpool.WarmInstance {
	w.Helper()
	for _, instance := range w.instances() {
		if instance.Status.Rental != nil && instance.Status.Rental.ID == id {
			return &instance
		}
	}
	return nil
}

// TestAHostOfflineForAMomentIsKept: a host that returns within the pool's
// patience costs nothing and loses nothing.
func TestAHostOfflineForAMomentIsKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 6)
	w.newPool(2, 4)
	w.settle(2)
	instance := w.instances()[0]
	ids := []int64{instance.Status.Rental.ID, w.instances()[1].Status.Rental.ID}
	w.disturb(simulator.FaultSpec{Name: simulator.FaultOffline, Params: map[string]string{"for": "40"}, Match: simulator.Match{Rental: ids[0]}})
	w.prober.mu.Lock()
	w.prober.silent[comfyAddress(&instance)] = true
	w.prober.mu.Unlock()
	w.pass(40 * time.Second)
	w.prober.mu.Lock()
	clear(w.prober.silent)
	w.prober.mu.Unlock()
	w.settle(2)
	w.expectKept(ids)
	after := w.instanceOf(ids[0])
	if after == nil || meta.FindStatusCondition(after.Status.Conditions, warmpool.ConditionReady).Reason == planner.HealthHostOffline {
		t.Errorf("the instance that returned is not ready")
	}
}
