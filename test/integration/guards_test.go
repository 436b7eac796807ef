package integration

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/fleet"
	"github.com/warmpool-dev/warmpool/internal/simulator"
)

// TestLoweredCeilingFollowsItsPolicy lowers a pool's ceiling below what is rented.
func TestLoweredCeilingFollowsItsPolicy(t *testing.T) {
	w := newVastWorld(t, nil)
	w.create(swiftAccount()...)
	w.create(swiftPool(3, "1.50"))
	w.waitReady(3)
	w.create(newClaim("job", func(spec *warmpool.WarmClaimSpec) { spec.TTLSeconds = new(int32(28800)) }))
	claimed := w.instanceOf(w.bound("job"))
	w.step("Hold ends nothing", func(w *world) {
		w.change(func(spec *warmpool.WarmPoolSpec) {
			spec.Cost.CeilingUSDPerHour, spec.Cost.OverCeilingPolicy = "0.30", warmpool.OverCeilingHold
		})
		w.sees(thePool, warmpool.ConditionWithinCeiling, "False/CeilingLowered", "above the ceiling $0.30/h", "overCeilingPolicy is Hold")
		w.quiet(time.Minute)
	})
	w.step("Paused ends nothing", func(w *world) {
		w.change(func(spec *warmpool.WarmPoolSpec) {
			spec.Mode, spec.Cost.OverCeilingPolicy = warmpool.PoolPaused, warmpool.OverCeilingScaleDownAll
		})
		w.sees(thePool, warmpool.ConditionWithinCeiling, "False/CeilingLowered", "because spec.mode is Paused", "In mode Active these would be")
		w.quiet(time.Minute)
	})
	w.step("ScaleDownUnclaimed leaves the claimed one", func(w *world) {
		w.change(func(spec *warmpool.WarmPoolSpec) {
			spec.Mode, spec.Cost.OverCeilingPolicy = warmpool.PoolActive, warmpool.OverCeilingScaleDownUnclaimed
		})
		w.sawEvent("WarmPool/OverCeiling", "Deleting instance")
		w.eventually(func(g gomega.Gomega) { g.Expect(w.alive()).To(gomega.Equal([]int64{claimed.Status.Rental.ID})) })
		w.sees(thePool, warmpool.ConditionWithinCeiling, "False/CeilingLowered", "Everything that is left is claimed", "ScaleDownAll")
		w.quiet(time.Minute)
	})
	w.step("ScaleDownAll ends it too", func(w *world) {
		w.change(func(spec *warmpool.WarmPoolSpec) { spec.Cost.OverCeilingPolicy = warmpool.OverCeilingScaleDownAll })
		w.eventually(func(g gomega.Gomega) { g.Expect(w.alive()).To(gomega.BeEmpty()) })
		w.sees(thePool, warmpool.ConditionWithinCeiling, "True/WithinCeiling")
		w.claimIs("job", warmpool.ConditionFinished, "True/InstanceLost")
	})
	w.Expect(w.blocked(claimed.Status.Rental.MachineID)).To(gomega.BeFalse(), "no machine is blamed for a lowered ceiling")
	w.finish(1_500_000)
}

// TestPriceAboveTheInstanceCapIsReplaced raises a price above what one instance
// may cost, while the pool's ceiling has room for it.
func TestPriceAboveTheInstanceCapIsReplaced(t *testing.T) {
	w := newVastWorld(t, nil)
	w.create(swiftAccount()...)
	wp := swiftPool(1, "2.00")
	wp.Spec.Cost.MaxInstanceUSDPerHour = "0.45"
	w.create(wp)
	w.waitReady(1)
	machine := w.vast.Meter().Records[0].MachineID
	w.fault(raised())
	w.sawEvent("WarmInstance/PriceRaisedByHost", "costs $0.50/h, its offer said $0.40/h")
	w.sawEvent("WarmPool/AboveInstanceCap", "raised the price above $0.45/h")
	w.eventually(func(g gomega.Gomega) { g.Expect(w.rents()).To(gomega.Equal(2)) })
	w.waitReady(1)
	w.sees(anyInstance, warmpool.ConditionPriceAcceptable, "True/AsQuoted")
	w.Expect(w.blocked(machine)).To(gomega.BeTrue(), "the machine is avoided")
	w.finish(anyPeak)
}

// TestPendingPriceIncreaseIsTold lets a host propose a higher price: nothing
// changes, and the instance says what is coming.
func TestPendingPriceIncreaseIsTold(t *testing.T) {
	w := newVastWorld(t, nil)
	w.create(swiftAccount()...)
	w.create(swiftPool(1, "0.90"))
	w.waitReady(1)
	w.fault(simulator.FaultSpec{Name: simulator.FaultPriceRaise, Params: map[string]string{"factor": "2", "pending": "true"}})
	w.sawEvent("WarmInstance/PriceIncreasePending", "Warmpool does not accept it")
	w.sees(anyInstance, warmpool.ConditionPriceAcceptable, "False/PriceIncreasePending", "for the GPU instead of")
	w.sees(thePool, warmpool.ConditionWithinCeiling, "True/WithinCeiling", "$0.40/h of $0.90/h")
	w.Expect(w.rents()).To(gomega.Equal(1))
	w.finish(900_000)
}

// orphan lets go of an instance by force, as a restore of an older backup does:
// the rental lives on and no object knows it. It returns what was.
func (w *world) orphan() (warmpool.WarmInstance, string) {
	w.Helper()
	w.change(func(spec *warmpool.WarmPoolSpec) { spec.Mode = warmpool.PoolPaused })
	instance := w.instances()[0]
	var password corev1.Secret
	key := client.ObjectKey{Namespace: w.namespace, Name: instance.Status.CredentialsSecretRef.Name}
	if err := w.client.Get(w.Context(), key, &password); err != nil {
		w.Fatal(err)
	}
	w.eventually(func(g gomega.Gomega) {
		live := w.instances()[0]
		live.Finalizers = nil
		g.Expect(w.client.Update(w.Context(), &live)).To(gomega.Succeed())
		g.Expect(w.client.Delete(w.Context(), &live)).To(gomega.Succeed())
	})
	return instance, string(password.Data[warmpool.SecretKeyWebPassword])
}

// adoption is an instance that takes a rental over.
func adoption(name string, rentalID int64) *warmpool.WarmInstance {
	return &warmpool.WarmInstance{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: warmpool.WarmInstanceSpec{
			PoolRef: warmpool.LocalReference{Name: "sdxl"}, AccountRef: warmpool.LocalReference{Name: "default"},
			Adopt: &warmpool.RentalAdoption{RentalID: rentalID, CredentialsSecretRef: warmpool.LocalReference{Name: "old-password"}},
		},
	}
}

// TestARentalIsAdoptedByHand orphans a rental, which is then a leak and no second
// writer's, and takes it over again.
func TestARentalIsAdoptedByHand(t *testing.T) {
	w := newVastWorld(t, nil)
	w.relabels = true
	w.create(swiftAccount()...)
	w.create(swiftPool(1, "0.90"))
	w.waitReady(1)
	lost, password := w.orphan()
	rental := lost.Status.Rental.ID
	w.sees(theAccount, warmpool.ConditionNoLeaks, "False/SuspectedLeak", strconv.FormatInt(rental, 10))
	w.sees(theAccount, warmpool.ConditionIdentityStable, "True/SameUser")
	w.step("what cannot be adopted says why", func(w *world) {
		w.create(adoption("nobody", 1))
		w.sees(anyInstance, warmpool.ConditionRented, "False/RentalNotFound", "Rental 1 is not adopted", "Vast.ai console")
		w.sawEvent("WarmInstance/RentalNotFound")
		gone := adoption("nobody", 1)
		gone.Namespace = w.namespace
		if err := w.client.Delete(w.Context(), gone); err != nil {
			w.Fatal(err)
		}
		w.eventually(func(g gomega.Gomega) { g.Expect(w.instances()).To(gomega.BeEmpty()) })
	})
	w.step("a password is needed", func(w *world) {
		w.create(adoption("again", rental))
		w.sees(anyInstance, warmpool.ConditionRented, "False/EnvSecretMissing", "kubectl -n "+w.namespace+" create secret generic old-password")
	})
	w.step("then it is taken over", func(w *world) {
		w.create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "old-password"}, StringData: map[string]string{warmpool.SecretKeyWebPassword: password}})
		w.sawEvent("WarmInstance/Adopted", "is taken over. Deleting this WarmInstance ends it.")
		w.change(func(spec *warmpool.WarmPoolSpec) { spec.Mode = warmpool.PoolActive })
		w.waitReady(1)
		w.sees(theAccount, warmpool.ConditionNoLeaks, "True/AsExpected")
		w.Expect(w.rents()).To(gomega.Equal(1), "nothing was rented for it")
		w.Expect(w.instances()[0].Status.Rental.ID).To(gomega.Equal(rental))
		w.Expect(w.instances()[0].Finalizers).To(gomega.ContainElement(warmpool.FinalizerTerminate))
	})
	w.step("a second one is refused", func(w *world) {
		w.create(adoption("twice", rental))
		w.sees(anyInstance, warmpool.ConditionRented, "False/RentalRecorded", "WarmInstance again records it already")
		w.quiet(30 * time.Second)
	})
	w.step("what it adopts cannot be changed", func(w *world) {
		var twice warmpool.WarmInstance
		if err := w.client.Get(w.Context(), client.ObjectKey{Namespace: w.namespace, Name: "twice"}, &twice); err != nil {
			w.Fatal(err)
		}
		twice.Spec.Adopt.RentalID = 5
		w.Expect(w.client.Update(w.Context(), &twice)).To(gomega.MatchError(gomega.ContainSubstring("cannot be changed")))
		twice.Spec.Adopt = nil
		w.Expect(w.client.Update(w.Context(), &twice)).To(gomega.MatchError(gomega.ContainSubstring("cannot be changed")))
	})
	w.finish(900_000)
}

// TestASecondManagerFreezesTheAccount lets somebody rent with our installation id
// for an object that this manager never had.
func TestASecondManagerFreezesTheAccount(t *testing.T) {
	w := newVastWorld(t, nil)
	w.create(account(func(va *warmpool.VastAccount) {
		va.Spec.PollPeriodSeconds = 5
		va.Spec.LeakPolicy = warmpool.LeakPolicy{Action: warmpool.LeakTerminate, MinAgeSeconds: 120, MaxPerHour: 5}
	})...)
	w.create(swiftPool(1, "1.50"))
	w.waitReady(1)
	offer, ok := w.vast.Offers(10)[3]["id"].(int64)
	if !ok {
		t.Fatal("an offer without an id")
	}
	twin, err := w.vast.RentAside(offer, fleet.Label{Installation: "inttest", InstanceUID: "7d1c0000-0000-4000-8000-000000000001", Attempt: 1}.String())
	if err != nil {
		t.Fatal(err)
	}
	w.sees(theAccount, warmpool.ConditionIdentityStable, "False/DuplicateInstallation", "rental "+strconv.FormatInt(twin, 10), "--installation-id")
	w.sees(theAccount, warmpool.ConditionReady, "False/DuplicateInstallation")
	w.scale(2)
	w.sees(thePool, warmpool.ConditionFullyProvisioned, "False/DuplicateInstallation", "A second manager works in this Vast.ai account")
	w.sawEvent("VastAccount/DuplicateInstallation")
	w.quiet(4 * time.Minute)
	w.stop()
	w.startOperator("1", w.logger(), 0)
	w.step("a restart does not forget", func(w *world) {
		w.sees(theAccount, warmpool.ConditionListTrusted, "True/Trusted")
		w.quiet(time.Minute)
		w.sees(theAccount, warmpool.ConditionIdentityStable, "False/DuplicateInstallation")
	})
	w.step("it is over when the rental has another label", func(w *world) {
		w.fault(simulator.FaultSpec{Name: simulator.FaultLabelChanged, Match: simulator.Match{Rental: twin}, Params: map[string]string{"label": "theirs"}})
		w.sees(theAccount, warmpool.ConditionIdentityStable, "True/SameUser")
		w.waitReady(2)
	})
	w.Expect(w.alive()).To(gomega.ContainElement(twin), "the other's rental is not touched")
}

// TestAnEndThatTakesTooLongIsTold ignores every destroy for ten minutes, then a
// person lets go of the rental by naming it: nobody reports it as a leak.
func TestAnEndThatTakesTooLongIsTold(t *testing.T) {
	w := newVastWorld(t, nil)
	w.relabels = true
	w.create(swiftAccount()...)
	w.create(swiftPool(1, "0.90"))
	w.waitReady(1)
	rental := w.alive()[0]
	w.fault(faultOn(simulator.EndpointDestroy, simulator.FaultDestroyIgnored, nil))
	w.scale(0)
	w.sawEvent("WarmInstance/TerminationStuck", "Terminating for 10 min, and $0.40/h counts until it is confirmed gone. Vast.ai still lists rental "+strconv.FormatInt(rental, 10))
	w.sees(anyInstance, warmpool.ConditionTerminated, "False/TerminationStuck", "was asked", "abandon-rental="+strconv.FormatInt(rental, 10))
	w.sees(theAccount, warmpool.ConditionTerminationsProgressing, "False/TerminationStuck", "$0.40/h", "rental "+strconv.FormatInt(rental, 10))
	w.sawEvent("VastAccount/TerminationStuck")
	w.eventually(func(g gomega.Gomega) {
		live := w.instances()[0]
		live.Annotations = map[string]string{warmpool.AnnotationAbandonRental: strconv.FormatInt(rental, 10)}
		g.Expect(w.client.Update(context.WithoutCancel(w.Context()), &live)).To(gomega.Succeed())
	})
	w.sawEvent("WarmInstance/Abandoned", "A person let go of rental", `Its label is now "abandoned-wp1.inttest.`)
	w.eventually(func(g gomega.Gomega) { g.Expect(w.instances()).To(gomega.BeEmpty()) })
	w.sees(theAccount, warmpool.ConditionTerminationsProgressing, "True/AsExpected")
	w.quiet(time.Minute)
	w.sees(theAccount, warmpool.ConditionNoLeaks, "True/AsExpected")
	w.Expect(w.vastAccount().Status.Instances.Foreign).To(gomega.BeEquivalentTo(1))
	w.Expect(w.alive()).To(gomega.Equal([]int64{rental}), "nobody but its person ends it")
}

// TestTwoAccountsOfOneUserDoNotBothRent makes a second account object with the
// same key.
func TestTwoAccountsOfOneUserDoNotBothRent(t *testing.T) {
	w := newVastWorld(t, nil)
	w.create(swiftAccount()...)
	w.create(swiftPool(1, "0.90"))
	w.waitReady(1)
	second := account(nil)[1]
	second.SetName("second")
	other := swiftPool(1, "0.90")
	other.Name, other.Spec.AccountRef.Name = "other", "second"
	w.create(second, other)
	w.eventually(func(g gomega.Gomega) {
		var wp warmpool.WarmPool
		g.Expect(w.client.Get(w.Context(), client.ObjectKeyFromObject(other), &wp)).To(gomega.Succeed())
		answer, message := condition(wp.Status.Conditions, warmpool.ConditionFullyProvisioned)
		g.Expect(answer).To(gomega.Equal("False/SharedUser"))
		g.Expect(message).To(gomega.ContainSubstring(w.namespace + "/default has a key of the same Vast.ai user"))
	})
	w.quiet(time.Minute)
	w.Expect(w.rents()).To(gomega.Equal(1))
	w.sees(theAccount, warmpool.ConditionReady, "True/Ready")
}

// TestAccountCeilingCoversWhatOthersRent lets somebody rent by hand: it counts
// under the account's ceiling, and it is never touched, not even when everything
// of ours is ended.
func TestAccountCeilingCoversWhatOthersRent(t *testing.T) {
	w := newVastWorld(t, nil)
	offers := w.vast.Offers(10)
	w.create(account(func(va *warmpool.VastAccount) { va.Spec.PollPeriodSeconds, va.Spec.CeilingUSDPerHour = 5, "1.25" })...)
	w.create(swiftPool(3, "2.00"))
	others := []int64{}
	for _, row := range offers[len(offers)-2:] {
		id, ok := row["id"].(int64)
		if !ok {
			t.Fatal("an offer without an id")
		}
		if len(others) == 1 {
			w.eventually(func(g gomega.Gomega) { g.Expect(w.get().Status.ReadyReplicas).To(gomega.BeNumerically(">=", 1)) })
		}
		rental, err := w.vast.RentAside(id, "somebody-else")
		if err != nil {
			t.Fatal(err)
		}
		others = append(others, rental)
	}
	w.step("over by what others rented", func(w *world) {
		w.sees(theAccount, warmpool.ConditionWithinCeiling, "False/AccountCeilingReached", "more than the ceiling $1.25/h", "of it is for instances that no WarmInstance records", "nothing is ended for it")
		w.quiet(time.Minute)
	})
	w.step("claimed", func(w *world) {
		w.create(newClaim("job", func(spec *warmpool.WarmClaimSpec) { spec.TTLSeconds = new(int32(28800)) }))
		w.bound("job")
	})
	w.step("EmergencyStop", func(w *world) {
		w.eventually(func(g gomega.Gomega) {
			va := w.vastAccount()
			va.Spec.Mode = warmpool.AccountEmergencyStop
			g.Expect(w.client.Update(w.Context(), va)).To(gomega.Succeed())
		})
		w.eventually(func(g gomega.Gomega) { g.Expect(w.alive()).To(gomega.ConsistOf(others), "ours end, claimed ones too") })
		w.sees(thePool, warmpool.ConditionReady, "False/EmergencyStop")
		w.claimIs("job", warmpool.ConditionFinished, "True/InstanceLost", "EmergencyStop")
		w.quiet(time.Minute)
	})
}
