package problems

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/fleet"
	"github.com/warmpool-dev/warmpool/internal/simulator"
)

// TestADestroyThatSaysYesAndBillsOnKeepsTheObject: Vast.ai answers the destroy
// with success. For as long as the rental lives, or is shown, its object stays
// and counts its full price.
func TestADestroyThatSaysYesAndBillsOnKeepsTheObject(t *testing.T) {
	for name, fault := range map[string]simulator.FaultSpec{
		"it is shown for ten more minutes": {Name: simulator.FaultDestroyLingers, Params: map[string]string{"for": "600"}},
		"nothing happens at all":           {Name: simulator.FaultDestroyIgnored},
		"not found, and it lives":          {Name: simulator.FaultDestroyError, Params: map[string]string{"status": "404", "error": "not_found"}},
		"no such instance, and it lives":   {Name: simulator.FaultDestroyError, Params: map[string]string{"status": "404", "error": "no_such_instance"}},
		"an error, and it is gone":         {Name: simulator.FaultDestroyError, Params: map[string]string{"executed": "true"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 6)
			w.newPool(1, 1)
			w.settle(1)
			id := w.live()[0].ID
			w.disturb(fault)
			w.remove(&warmpool.WarmInstance{}, w.instances()[0].Name)
			for range 36 {
				w.pass(pollPeriod)
				lives := slices.ContainsFunc(w.live(), func(r simulator.RentalRecord) bool { return r.ID == id })
				if lives && w.instanceOf(id) == nil {
					t.Fatalf("rental %d lives and its object is gone", id)
				}
				if peak, _ := w.vast.Meter().Peak(ours); peak > priceMicros {
					t.Fatalf("%d µ$/h are rented at once", peak)
				}
			}
			w.calm()
			w.pass(15 * time.Minute)
			if w.instanceOf(id) != nil || w.ready() != 1 || len(w.live()) != 1 {
				w.dump()
				t.Errorf("after it, %d rentals live and %d are ready", len(w.live()), w.ready())
			}
		})
	}
}

// TestARentalThatReappearsIsNotTakenForGone: a rental on its way out is missing
// from a list, or from several, and is there again. However often that happens,
// its object is not let go of while it lives.
func TestARentalThatReappearsIsNotTakenForGone(t *testing.T) {
	for _, absent := range []int{1, 2, 3, 8} {
		t.Run(fmt.Sprintf("absent from %d lists in a row", absent), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 6)
			w.newPool(1, 1)
			w.settle(1)
			id := w.live()[0].ID
			w.disturb(simulator.FaultSpec{Name: simulator.FaultDestroyIgnored})
			w.remove(&warmpool.WarmPool{}, "sdxl")
			for range 4 {
				w.pass(2 * pollPeriod)
				// The list alone forgets it: a look-up by its number does not.
				hidden, err := w.vast.AddFault(simulator.FaultSpec{Name: simulator.FaultEmptyList})
				if err != nil {
					t.Fatal(err)
				}
				w.pass(time.Duration(absent) * pollPeriod)
				w.vast.RemoveFault(hidden.ID)
			}
			w.pass(2 * pollPeriod)
			if len(w.live()) != 1 || w.instanceOf(id) == nil {
				t.Errorf("rental %d lives and its object is gone", id)
			}
			if requests := len(w.vast.asked()); requests < 2 {
				t.Errorf("its end was asked for %d times; it must be asked for again when it reappears", requests)
			}
			w.calm()
			w.pass(15 * time.Minute)
			if len(w.live()) != 0 || len(w.instances()) != 0 {
				w.dump()
				t.Error("it was not ended after all")
			}
		})
	}
}

// TestEndsAreAskedForCostliestFirst: the dearest rental is the first to end.
func TestEndsAreAskedForCostliestFirst(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 0)
	for k, micros := range []int64{300_000, 700_000, 500_000} {
		if _, err := w.vast.AddOffer(simulator.OfferSpec{MachineID: int64(9100 + k), PriceMicros: micros, Fields: map[string]any{"disk_space": 500.0}}); err != nil {
			t.Fatal(err)
		}
	}
	w.newPool(3, 20)
	w.settle(3)
	edit(w, &warmpool.VastAccount{}, "default", func(a *warmpool.VastAccount) { a.Spec.Mode = warmpool.AccountEmergencyStop })
	w.pass(10 * pollPeriod)
	var prices []int64
	for _, id := range w.vast.asked() {
		for _, record := range w.vast.Meter().Records {
			if record.ID == id {
				prices = append(prices, record.Prices[len(record.Prices)-1].MicrosPerHour)
			}
		}
	}
	if len(prices) < 3 || !slices.IsSortedFunc(prices[:3], func(a, b int64) int { return int(b - a) }) || len(w.live()) != 0 {
		t.Errorf("ended in the order of %v; %d live", prices, len(w.live()))
	}
}

// deletions are what a person can delete, by name.
func deletions() map[string]func(w *world) {
	return map[string]func(w *world){
		"secret":    func(w *world) { w.remove(&corev1.Secret{}, "warmpool-credentials") },
		"account":   func(w *world) { w.remove(&warmpool.VastAccount{}, "default") },
		"pool":      func(w *world) { w.remove(&warmpool.WarmPool{}, "sdxl") },
		"instances": func(w *world) { deleteAll(w) },
	}
}

// deleteAll deletes the WarmInstances and their Secrets, as the end of a namespace does.
func deleteAll(w *world) {
	w.Helper()
	for _, instance := range w.instances() {
		w.remove(&corev1.Secret{}, instance.Name+"-auth")
		w.remove(&warmpool.WarmInstance{}, instance.Name)
	}
}

// permutations lists every order of the names.
func permutations(names []string) [][]string {
	if len(names) < 2 {
		return [][]string{slices.Clone(names)}
	}
	var all [][]string
	for k, first := range names {
		for _, rest := range permutations(slices.Delete(slices.Clone(names), k, k+1)) {
			all = append(all, append([]string{first}, rest...))
		}
	}
	return all
}

// TestDeletedInAnyOrderNothingIsForgotten: the Secret, the account, the pool and
// the instances are deleted in every order, as when a namespace ends, with two
// rentals alive. Whatever the order: no rental outlives its object, and the
// account says which command brings the key back. With the key back everything ends.
func TestDeletedInAnyOrderNothingIsForgotten(t *testing.T) {
	orders := permutations([]string{"secret", "account", "pool", "instances"})
	for _, order := range orders {
		for name, between := range map[string]time.Duration{"at once": 0, "one by one": 2 * pollPeriod} {
			t.Run(strings.Join(order, " ")+" "+name, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, 6)
				w.newPool(2, 2)
				w.settle(2)
				for _, what := range order {
					deletions()[what](w)
					w.pass(between)
					w.expectRemembered()
				}
				w.pass(20 * pollPeriod)
				w.expectRemembered()
				if len(w.instances()) > 0 {
					_, message := w.answer(warmpool.ConditionCredentialsValid)
					if !strings.Contains(message, "kubectl -n "+namespace+" create secret generic warmpool-credentials --from-literal=VASTAI_API_KEY=") {
						t.Errorf("the account does not say how to go on: %q", message)
					}
					w.key(testKey)
				}
				w.pass(20 * pollPeriod)
				if len(w.live()) != 0 || len(w.instances()) != 0 || w.exists(&warmpool.VastAccount{}, "default") || w.exists(&warmpool.WarmPool{}, "sdxl") {
					w.dump()
					t.Errorf("%d rentals and %d objects are left", len(w.live()), len(w.instances()))
				}
				if rents := len(w.vast.Meter().Select(ours)); rents > 4 {
					t.Errorf("%d rents: what is being deleted went on renting", rents)
				}
			})
		}
	}
}

// expectRemembered wants every live rental to be recorded by an object.
func (w *world) expectRemembered() {
	w.Helper()
	recorded := w.recorded()
	for _, record := range w.live() {
		if !recorded[record.ID] {
			w.dump()
			w.Fatalf("rental %d lives and no object records it", record.ID)
		}
	}
}

// TestAnAccountThatWasForcedAwayEndsNothingAndForgetsNothing: somebody takes the
// account's finalizer off by force. Its objects stay, and end when it is back.
func TestAnAccountThatWasForcedAwayEndsNothingAndForgetsNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 6)
	w.newPool(2, 2)
	w.settle(2)
	w.remove(&warmpool.VastAccount{}, "default")
	edit(w, &warmpool.VastAccount{}, "default", func(a *warmpool.VastAccount) { a.Finalizers = nil })
	w.remove(&warmpool.WarmPool{}, "sdxl")
	w.pass(20 * pollPeriod)
	w.expectRemembered()
	if len(w.live()) != 2 || len(w.instances()) != 2 {
		t.Fatalf("%d rentals and %d objects without an account", len(w.live()), len(w.instances()))
	}
	w.create(&warmpool.VastAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "default"}, Spec: warmpool.VastAccountSpec{CeilingUSDPerHour: "10"}})
	w.pass(20 * pollPeriod)
	if len(w.live()) != 0 || len(w.instances()) != 0 {
		w.dump()
		t.Errorf("%d rentals and %d objects are left", len(w.live()), len(w.instances()))
	}
}

// TestOnlyThePersonWhoNamesARentalLetsGoOfIt: the annotation abandons the rental
// that it names, and no other.
func TestOnlyThePersonWhoNamesARentalLetsGoOfIt(t *testing.T) {
	for name, test := range map[string]struct {
		text func(id int64) string
		gone bool
	}{
		"its number":      {func(id int64) string { return fmt.Sprint(id) }, true},
		"another number":  {func(id int64) string { return fmt.Sprint(id + 1) }, false},
		"a word":          {func(int64) string { return "yes" }, false},
		"number and more": {func(id int64) string { return fmt.Sprint(id) + " " }, false},
		"zero":            {func(int64) string { return "0" }, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 6)
			w.newPool(1, 1)
			w.settle(1)
			instance := w.instances()[0]
			id := instance.Status.Rental.ID
			w.disturb(simulator.FaultSpec{Name: simulator.FaultDestroyIgnored})
			w.remove(&warmpool.WarmPool{}, "sdxl")
			w.pools()
			edit(w, &warmpool.WarmInstance{}, instance.Name, func(i *warmpool.WarmInstance) {
				i.Annotations = map[string]string{warmpool.AnnotationAbandonRental: test.text(id)}
			})
			w.pass(10 * pollPeriod)
			if got := w.instanceOf(id) == nil; got != test.gone {
				t.Errorf("let go of: %v, want %v", got, test.gone)
			}
		})
	}
}

// TestARestoredBackupNeitherRentsNorEndsBeforeItHasLooked: the cluster comes back
// as it was before the last three rents: they live, and no object knows them.
// Until the first trusted list nothing is rented and nothing is ended; then the
// three are reported, and their price counts under the account's ceiling.
func TestARestoredBackupNeitherRentsNorEndsBeforeItHasLooked(t *testing.T) {
	for name, status := range map[string]bool{"with their status": true, "without a status, under new UIDs": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 12)
			w.newPool(2, 8)
			w.settle(2)
			backup := w.instances()
			edit(w, &warmpool.WarmPool{}, "sdxl", func(p *warmpool.WarmPool) { *p.Spec.Replicas = 5 })
			w.settle(5)
			w.restore(backup, status)
			// One rented instance too many, or two that wait and room for them all:
			// there is something to end, or to rent.
			wanted := map[bool]int32{true: 1, false: 2}[status]
			edit(w, &warmpool.WarmPool{}, "sdxl", func(p *warmpool.WarmPool) { *p.Spec.Replicas = wanted })
			w.restart()
			rents := w.vast.rentCalls()
			w.disturb(simulator.FaultSpec{Name: simulator.FaultTruncatedBody, Match: simulator.Match{Endpoint: simulator.EndpointList}})
			w.pass(10 * pollPeriod)
			if w.vast.rentCalls() != rents || len(w.vast.asked()) != 0 || len(w.live()) != 5 {
				t.Fatalf("before the first trusted list: %d rents, ends of %v", w.vast.rentCalls()-rents, w.vast.asked())
			}
			// Now the pool has what it wants, and the account has room for what lives and nothing else.
			edit(w, &warmpool.WarmPool{}, "sdxl", func(p *warmpool.WarmPool) { *p.Spec.Replicas = 2 })
			edit(w, &warmpool.VastAccount{}, "default", func(a *warmpool.VastAccount) { a.Spec.CeilingUSDPerHour = "2.10" })
			w.calm()
			w.pass(4 * pollPeriod)
			want := 3
			if !status {
				want = 5
			}
			var account warmpool.VastAccount
			if !w.exists(&account, "default") || len(account.Status.SuspectedLeaks) != want {
				t.Errorf("%d leaks are reported, want %d: %+v", len(account.Status.SuspectedLeaks), want, account.Status.SuspectedLeaks)
			}
			if w.vast.rentCalls() != rents || len(w.live()) != 5 || len(w.vast.asked()) != 0 {
				t.Errorf("%d more rents, %d live, ends of %v: the account had no room, and nobody asked for an end", w.vast.rentCalls()-rents, len(w.live()), w.vast.asked())
			}
		})
	}
}

// restore puts the given objects in the place of all that is there.
func (w *world) restore(backup []warmpool.WarmInstance, withStatus bool) {
	w.Helper()
	for _, instance := range w.instances() {
		instance.Finalizers = nil
		if err := w.cluster.store.Update(w.Context(), &instance); err != nil {
			w.Fatal(err)
		}
		w.remove(&warmpool.WarmInstance{}, instance.Name)
	}
	for _, instance := range backup {
		status := instance.Status
		instance.Status = warmpool.WarmInstanceStatus{}
		if !withStatus {
			instance.UID = types.UID("")
			w.create(&instance)
			continue
		}
		w.create(&instance)
		instance.Status = status
		if err := w.cluster.store.Status().Update(w.Context(), &instance); err != nil {
			w.Fatal(err)
		}
	}
}

// TestAnObjectThatARestoreTookBackRentsNothingNew: the object of a rental comes
// back from a backup in which it had not rented yet. Its rental carries its own
// label: nothing else is rented for it.
func TestAnObjectThatARestoreTookBackRentsNothingNew(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 12)
	w.newPool(1, 8)
	w.sweep()
	w.pools()
	backup := w.instances()
	w.settle(1)
	w.restore(backup, true)
	w.restart()
	w.pass(20 * pollPeriod)
	if rents := len(w.vast.Meter().Select(ours)); rents != 1 {
		t.Errorf("%d rents for one instance", rents)
	}
	var account warmpool.VastAccount
	if !w.exists(&account, "default") || len(account.Status.SuspectedLeaks) != 1 {
		t.Errorf("its rental is not reported: %+v", account.Status.SuspectedLeaks)
	}
	for _, instance := range w.instances() {
		label := fleet.Label{Installation: installation, InstanceUID: string(instance.UID), Attempt: 1}.String()
		if admission := instance.Status.LastAdmission; admission == nil || !strings.Contains(admission.Message, label) {
			t.Errorf("it does not say why it waits: %+v", admission)
		}
	}
}
