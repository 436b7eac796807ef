package integration

import (
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/onsi/gomega"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/simulator"
)

// TestEmptyListOfManyTripsTheBreaker shows a list that is whole, consistent and
// empty, then one of another account that its identity probe does not give
// away. Three ready instances are gone at once: nobody believes it.
func TestEmptyListOfManyTripsTheBreaker(t *testing.T) {
	w := newVastWorld(t, nil)
	w.create(swiftAccount()...)
	w.create(swiftPool(3, "1.80"))
	w.waitReady(3)
	for name, spec := range map[string]simulator.FaultSpec{
		"empty": {Name: simulator.FaultEmptyList},
		// Lookups tell the truth; with those mixed up as well, only a person could tell.
		"another account's": faultOn(simulator.EndpointList, simulator.FaultOtherAccount, map[string]string{"identity": "false"}),
	} {
		w.step(name, func(w *world) {
			lift := w.fault(spec)
			w.sawEvent("VastAccount/SuspiciousDrop", "3 of 3 known rentals vanished from the list at once. Nothing is rented or given up until 3 further lists agree.")
			// The lists agree in time, but every lookup finds its rental.
			w.eventually(func(g gomega.Gomega) {
				g.Expect(w.vast.Requests()[string(simulator.EndpointGet)][http.StatusOK]).To(gomega.BeNumerically(">=", 3), "lookups")
			})
			w.quiet(time.Minute)
			lift()
			w.recovers()
			w.sees(thePool, warmpool.ConditionReady, "True/AsDesired", "3 of 3 ready")
		})
	}
	w.Expect(w.rents()).To(gomega.Equal(3))
	w.finish(1_800_000)
}

// TestMixedUpKeyLosesNoInstance lets the key open another account from just
// after it was verified: the lists are believed for a while, but no rental is
// called gone before it was asked once more whose key it is.
func TestMixedUpKeyLosesNoInstance(t *testing.T) {
	w := newVastWorld(t, nil)
	w.create(swiftAccount()...)
	w.create(swiftPool(1, "0.90"))
	w.waitReady(1)
	asked := func() int { return w.vast.Requests()[string(simulator.EndpointUser)][http.StatusOK] }
	before := asked()
	w.eventually(func(g gomega.Gomega) { g.Expect(asked()).To(gomega.BeNumerically(">", before)) })
	lift := w.fault(simulator.FaultSpec{Name: simulator.FaultOtherAccount})
	w.sees(theAccount, warmpool.ConditionIdentityStable, "False/AccountIdentityChanged", "user 7002", "user 7001")
	w.quiet(time.Minute)
	lift()
	w.recovers()
	w.sees(thePool, warmpool.ConditionReady, "True/AsDesired", "1 of 1 ready")
	w.Expect(w.rents()).To(gomega.Equal(1))
	w.finish(900_000)
}

// TestPageThatIsMissingIsNoticed lets a list of two pages end after the first.
func TestPageThatIsMissingIsNoticed(t *testing.T) {
	const others = 30
	w := newVastWorld(t, func(config *simulator.Config) {
		prices := []float64{0.40, 0.41, 0.42}
		for range others {
			prices = append(prices, 0.10)
		}
		config.Market = market(prices...)
	})
	for _, row := range w.vast.Offers(10)[:others] {
		id, ok := row["id"].(int64)
		if !ok {
			t.Fatalf("the id of an offer is a %T", row["id"])
		}
		if _, err := w.vast.RentAside(id, "somebody-else"); err != nil {
			t.Fatal(err)
		}
	}
	w.create(swiftAccount()...)
	w.create(swiftPool(1, "0.90"))
	w.waitReady(1)
	w.Expect(w.vastAccount().Status.Instances).To(gomega.Equal(warmpool.AccountInstances{Ours: 1, Foreign: others}))
	w.Expect(w.vastAccount().Status.LastSweep.Pages).To(gomega.BeEquivalentTo(2))
	lift := w.fault(simulator.FaultSpec{Name: simulator.FaultPageDrop})
	w.sees(theAccount, warmpool.ConditionListTrusted, "False/InconsistentList", "The list holds 25 instances, but says 31 on its first and 31 on its last page.")
	w.sawEvent("VastAccount/InconsistentList", "The list holds 25 instances")
	w.quiet(90 * time.Second)
	lift()
	w.recovers()
	w.sees(thePool, warmpool.ConditionReady, "True/AsDesired")
	w.finish(900_000)
	w.Expect(w.vast.Meter().Live("somebody-else")).To(gomega.HaveLen(others), "nobody else's rental is touched")
}

// TestRentalThatNobodyShowsIsReplacedAndReportedAsALeak hides a rental from
// lists and lookups alike, which nobody can tell from its end: the pool says
// that it is lost and replaces it. When it comes to light again it is reported
// within two sweeps (I4), and the leak policy ends it.
func TestRentalThatNobodyShowsIsReplacedAndReportedAsALeak(t *testing.T) {
	w := newVastWorld(t, nil)
	w.create(account(func(va *warmpool.VastAccount) {
		va.Spec.PollPeriodSeconds, va.Spec.CeilingUSDPerHour = 5, "10"
		va.Spec.LeakPolicy = warmpool.LeakPolicy{Action: warmpool.LeakTerminate, MinAgeSeconds: 600, MaxPerHour: 5}
	})...)
	w.create(swiftPool(1, "0.90"))
	w.waitReady(1)
	hidden := w.alive()[0]
	lift := w.fault(simulator.FaultSpec{Name: simulator.FaultHiddenRental, Match: simulator.Match{Rental: hidden}})
	w.sawEvent("WarmInstance/InstanceLost", "has ended without Warmpool: it is absent from the account, and a lookup confirms it.")
	w.eventually(func(g gomega.Gomega) { g.Expect(w.rents()).To(gomega.Equal(2), "another is rented") })
	w.waitReady(1)
	lift()
	w.sees(theAccount, warmpool.ConditionNoLeaks, "False/SuspectedLeak", strconv.FormatInt(hidden, 10)+" at $0.40/h", "They bill.")
	w.sawEvent("VastAccount/SuspectedLeak", "status.suspectedLeaks")
	w.Expect(w.vastAccount().Status.SuspectedLeaks[0].RentalID).To(gomega.Equal(hidden))
	w.eventually(func(g gomega.Gomega) {
		g.Expect(w.alive()).NotTo(gomega.ContainElement(hidden), "the leak policy ends it")
	})
	w.sees(theAccount, warmpool.ConditionNoLeaks, "True/AsExpected")
	w.finish(900_000)
}

// TestReadsThatLagLoseNothing hides every new rental from reads for half a
// minute: it is waited for, not given up.
func TestReadsThatLagLoseNothing(t *testing.T) {
	w := newVastWorld(t, nil)
	w.create(swiftAccount()...)
	w.fault(simulator.FaultSpec{Name: simulator.FaultReadLag})
	w.create(swiftPool(2, "0.90"))
	w.sees(anyInstance, warmpool.ConditionRented, "True/Rented", "at $0.40/h")
	w.waitReady(2)
	w.Expect(w.rents()).To(gomega.Equal(2))
	w.finish(900_000)
}
