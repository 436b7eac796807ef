package problems

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/fleet"
	"github.com/warmpool-dev/warmpool/internal/planner"
	"github.com/warmpool-dev/warmpool/internal/simulator"
)

// gcWorld is what the property about leaks draws: the objects of an account,
// those of another account on the same user, and a list with any labels.
type gcWorld struct {
	instances []planner.Instance
	elsewhere []planner.Instance
	listing   fleet.Listing
	recorded  map[int64]bool
}

func drawGC(t *rapid.T) *gcWorld {
	w := &gcWorld{recorded: map[int64]bool{}}
	outcomes := []planner.AttemptOutcome{planner.OutcomePending, planner.OutcomeSucceeded, planner.OutcomeRejected, planner.OutcomeUnknown, planner.OutcomeAbandoned}
	draw := func(prefix string) []planner.Instance {
		var drawn []planner.Instance
		for n := range rapid.IntRange(0, 4).Draw(t, prefix) {
			instance := planner.Instance{UID: fmt.Sprint(prefix, n), Pool: "studio/sdxl", Deleting: rapid.Bool().Draw(t, "deleting")}
			for number := range int32(rapid.IntRange(0, 3).Draw(t, "attempts")) {
				instance.Attempts = append(instance.Attempts, planner.Attempt{
					Number: number + 1, MachineID: int64(rapid.IntRange(1, 3).Draw(t, "machine")),
					Outcome:  rapid.SampledFrom(outcomes).Draw(t, "outcome"),
					RentalID: int64(rapid.IntRange(0, 12).Draw(t, "attempt's rental")), RentalGone: rapid.Bool().Draw(t, "gone"),
				})
			}
			if rapid.Bool().Draw(t, "rented") {
				instance.Rental = &planner.InstanceRental{ID: int64(rapid.IntRange(1, 12).Draw(t, "rental")), MachineID: 1}
			}
			for _, rental := range instance.RecordedRentals() {
				w.recorded[rental.ID] = true
			}
			drawn = append(drawn, instance)
		}
		return drawn
	}
	w.instances, w.elsewhere = draw("here"), draw("there")
	labels := []string{"", "somebody's", "wp1.other.here0.1"}
	for _, uid := range []string{"here0", "here1", "here3", "there0", "there1", "nobody"} {
		for number := int32(1); number <= 3; number++ {
			labels = append(labels, fleet.Label{Installation: installation, InstanceUID: uid, Attempt: number}.String())
		}
	}
	for id := int64(1); id <= 12; id++ {
		if rapid.Bool().Draw(t, "listed") {
			w.listing.Rentals = append(w.listing.Rentals, fleet.Rental{
				ID: id, MachineID: int64(rapid.IntRange(1, 3).Draw(t, "machine")), Label: rapid.SampledFrom(labels).Draw(t, "label"), PriceUSDPerHour: 1,
			})
		}
	}
	return w
}

// TestALeakIsNeverARentalThatAnObjectRecords: whatever labels the rentals carry,
// and whatever the policy allows, nothing is ended as a leak that an object of
// this account or of another one on the same user records.
func TestALeakIsNeverARentalThatAnObjectRecords(t *testing.T) {
	ended := 0
	rapid.Check(t, func(t *rapid.T) {
		w := drawGC(t)
		elsewhere := planner.RecordElsewhere(w.elsewhere)
		var memory planner.LeakMemory
		for n := range 3 {
			w.listing.StartedAt = epoch().Add(time.Duration(n) * time.Hour)
			w.listing.FinishedAt = w.listing.StartedAt.Add(time.Second)
			plan := planner.FindLeaks(&planner.LeakInput{
				Instances: w.instances, Elsewhere: elsewhere, Installation: installation,
				Sweep: planner.Sweep{Listing: w.listing, Trusted: true}, Memory: memory,
				Policy: planner.LeakPolicy{Action: planner.LeakTerminate, MaxPerHour: 100}, Now: w.listing.FinishedAt,
			})
			memory = plan.Memory
			for _, extra := range plan.Terminate {
				ended++
				if w.recorded[extra.RentalID] {
					t.Fatalf("rental %d is recorded and ends as a leak", extra.RentalID)
				}
			}
		}
		stop := planner.EmergencyStop(w.instances, &w.listing, installation, elsewhere)
		for _, extra := range stop {
			for k := range w.elsewhere {
				for _, rental := range w.elsewhere[k].RecordedRentals() {
					mine := slices.ContainsFunc(w.instances, func(i planner.Instance) bool {
						return slices.ContainsFunc(i.RecordedRentals(), func(r planner.RecordedRental) bool { return r.ID == rental.ID })
					})
					if rental.ID == extra.RentalID && !mine {
						t.Fatalf("the emergency stop ends rental %d of another account", extra.RentalID)
					}
				}
			}
		}
	})
	if ended == 0 {
		t.Error("no leak was ever ended, so nothing was shown")
	}
}

// TestALeakThatWasAdoptedMeanwhileIsNotEnded: between the sweep that found a leak
// and the pass that ends it, an object took it over.
func TestALeakThatWasAdoptedMeanwhileIsNotEnded(t *testing.T) {
	leak := planner.ExtraRental{RentalID: 50, UID: "gone", Reason: planner.ReasonSuspectedLeak, USDPerHour: 1}
	adopted := planner.Instance{UID: "a", Pool: "studio/sdxl", Rental: &planner.InstanceRental{ID: 50, MachineID: 1}}
	plan := planner.PlanTerminations(&planner.TerminationInput{Instances: []planner.Instance{adopted}, Extras: []planner.ExtraRental{leak}, Now: epoch()})
	if len(plan.Destroys) != 0 {
		t.Errorf("it is ended: %+v", plan.Destroys)
	}
	plan = planner.PlanTerminations(&planner.TerminationInput{Extras: []planner.ExtraRental{leak}, Now: epoch()})
	if len(plan.Destroys) != 1 {
		t.Error("a leak that nobody records is not ended")
	}
	stop := leak
	stop.Reason = planner.ReasonEmergencyStop
	plan = planner.PlanTerminations(&planner.TerminationInput{Instances: []planner.Instance{adopted}, Extras: []planner.ExtraRental{stop}, Now: epoch()})
	if len(plan.Destroys) != 1 {
		t.Error("the emergency stop spares what an object records")
	}
}

// relabel changes the labels of live rentals: where labels is empty, to none.
func (w *world) relabel(labels map[int64]string) {
	w.Helper()
	for id, label := range labels {
		w.disturb(simulator.FaultSpec{Name: simulator.FaultLabelChanged, Params: map[string]string{"label": label}, Match: simulator.Match{Rental: id}})
	}
}

// TestALabelThatIsLostChangedSwappedOrCopiedMovesNoMoney: whatever somebody does
// to labels in the console, with leaks to be ended and a rent that is unsettled,
// nothing is rented, ended, given up or taken over for it.
func TestALabelThatIsLostChangedSwappedOrCopiedMovesNoMoney(t *testing.T) {
	for name, change := range map[string]func(w *world, ids []int64, labels []string){
		"lost": func(w *world, ids []int64, _ []string) { w.relabel(map[int64]string{ids[0]: "", ids[1]: ""}) },
		"changed": func(w *world, ids []int64, _ []string) {
			w.relabel(map[int64]string{ids[0]: "my favourite", ids[1]: "wp1"})
		},
		"swapped": func(w *world, ids []int64, labels []string) {
			w.relabel(map[int64]string{ids[0]: labels[1], ids[1]: labels[0]})
		},
		"given twice": func(w *world, ids []int64, labels []string) { w.relabel(map[int64]string{ids[0]: labels[1]}) },
		"of an instance that never was": func(w *world, ids []int64, _ []string) {
			w.relabel(map[int64]string{ids[0]: ours + "00000000-dead-4000-8000-000000000000.1"})
		},
		"copied onto somebody else's": func(w *world, _ []int64, labels []string) {
			offer, err := w.vast.AddOffer(simulator.OfferSpec{MachineID: 9500, PriceMicros: priceMicros})
			if err != nil {
				w.Fatal(err)
			}
			if _, err := w.vast.RentAside(offer, labels[0]); err != nil {
				w.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 8)
			edit(w, &warmpool.VastAccount{}, "default", func(a *warmpool.VastAccount) {
				a.Spec.LeakPolicy = warmpool.LeakPolicy{Action: warmpool.LeakTerminate, MinAgeSeconds: 120, MaxPerHour: 100}
			})
			w.newPool(2, 4)
			w.settle(2)
			var ids []int64
			var labels []string
			for _, instance := range w.instances() {
				ids, labels = append(ids, instance.Status.Rental.ID), append(labels, instance.Status.Rental.Label)
			}
			change(w, ids, labels)
			before := len(w.vast.Meter().Records)
			w.restart()
			w.pass(20 * time.Minute)
			w.expectKept(ids)
			if got := len(w.vast.Meter().Records); got != before || len(w.vast.asked()) > 0 {
				t.Errorf("%d rents, ends of %v", got-before, w.vast.asked())
			}
		})
	}
}

// rotation is a new key at some moment.
type rotation struct {
	other   bool // it belongs to another account
	revoked bool // the old one ends
}

// TestAKeyRotatedDuringARentLosesNoRental: between the journal and the call, and
// between the call and its outcome, the Secret gets another key, of the same
// account or of another one. Each time: no second rental, none that nobody
// records, and with another account's key nothing more is rented or ended.
func TestAKeyRotatedDuringARentLosesNoRental(t *testing.T) {
	for name, kind := range map[string]rotation{
		"same account": {}, "same account, old one revoked": {revoked: true},
		"another account": {other: true}, "another account, old one revoked": {other: true, revoked: true},
	} {
		for _, moment := range []string{"rent", "rented"} {
			for _, noticed := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, at %s, noticed %v", name, moment, noticed), func(t *testing.T) {
					t.Parallel()
					w := newWorld(t, 8)
					w.newPool(2, 4)
					w.sweep()
					w.pools()
					if err := w.vast.SetKey(simulator.KeyAdd, "new-key", ""); err != nil {
						t.Fatal(err)
					}
					if kind.other {
						if err := w.vast.SetKey(simulator.KeyOtherAccount, "new-key", ""); err != nil {
							t.Fatal(err)
						}
					}
					rotated := false
					w.vast.when(moment, func() {
						rotated = true
						w.key("new-key")
						if kind.revoked {
							if err := w.vast.SetKey(simulator.KeyRevoke, testKey, ""); err != nil {
								t.Error(err)
							}
						}
						if noticed {
							w.sweep()
						}
					})
					w.rents()
					w.pass(12 * pollPeriod)
					if !rotated {
						t.Fatal("the rent never came to the moment")
					}
					w.expectRemembered()
					if kind.other {
						w.expectFrozen()
						w.key("old-again")
						if err := w.vast.SetKey(simulator.KeyAdd, "old-again", ""); err != nil {
							t.Fatal(err)
						}
					}
					w.settle(2)
					w.expectRemembered()
					if live := len(w.live()); live != 2 {
						t.Errorf("%d rentals live, want 2", live)
					}
				})
			}
		}
	}
}

// expectFrozen wants the account to say that the key is another user's, and
// nothing to happen in either account.
func (w *world) expectFrozen() {
	w.Helper()
	if got, message := w.answer(warmpool.ConditionIdentityStable); got != "False/"+planner.ReasonAccountIdentityChanged || !strings.Contains(message, "bill on") {
		w.Errorf("IdentityStable = %s (%s)", got, message)
	}
	rents, ends := w.vast.rentCalls(), len(w.vast.asked())
	for _, instance := range w.instances() {
		if instance.Status.Rental != nil {
			w.remove(&warmpool.WarmInstance{}, instance.Name)
			break
		}
	}
	w.pass(10 * pollPeriod)
	if w.vast.rentCalls() != rents || len(w.vast.asked()) != ends {
		w.Errorf("with another account's key %d rents and %d ends were sent", w.vast.rentCalls()-rents, len(w.vast.asked())-ends)
	}
	w.expectRemembered()
	for _, key := range w.vast.keys[max(rents-1, 0):] {
		if key == "new-key" {
			w.Error("a rent was sent with the other account's key")
		}
	}
}

// TestARentalOfAnotherAccountObjectIsNotALeakWhenItsLabelIsEdited: two accounts
// of one cluster hold keys of one user. Somebody gives a rental of the second one
// a label of ours that names nobody; the first one ends leaks.
func TestARentalOfAnotherAccountObjectIsNotALeakWhenItsLabelIsEdited(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 8)
	edit(w, &warmpool.VastAccount{}, "default", func(a *warmpool.VastAccount) {
		a.Spec.LeakPolicy = warmpool.LeakPolicy{Action: warmpool.LeakTerminate, MinAgeSeconds: 120, MaxPerHour: 100}
	})
	offer, err := w.vast.AddOffer(simulator.OfferSpec{MachineID: 9500, PriceMicros: priceMicros})
	if err != nil {
		t.Fatal(err)
	}
	id, err := w.vast.RentAside(offer, ours+"00000000-dead-4000-8000-000000000000.1")
	if err != nil {
		t.Fatal(err)
	}
	other := &warmpool.WarmInstance{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "other", Finalizers: []string{warmpool.FinalizerTerminate}},
		Spec:       warmpool.WarmInstanceSpec{PoolRef: warmpool.LocalReference{Name: "flux"}, AccountRef: warmpool.LocalReference{Name: "second"}},
	}
	w.create(other)
	other.Status.Rental = &warmpool.Rental{ID: id, MachineID: 9500}
	if err := w.cluster.store.Status().Update(w.Context(), other); err != nil {
		t.Fatal(err)
	}
	w.pass(15 * time.Minute)
	if asked := w.vast.asked(); len(asked) > 0 {
		t.Errorf("the ends of %v were asked for; rental %d is recorded by another account's object", asked, id)
	}
	edit(w, &warmpool.WarmInstance{}, "other", func(i *warmpool.WarmInstance) { i.Finalizers = nil })
	w.remove(&warmpool.WarmInstance{}, "other")
	w.pass(15 * time.Minute)
	if len(w.live()) != 0 {
		t.Error("once no object records it, it is a leak, and ended")
	}
}
