package integration

import (
	"testing"
	"time"

	"github.com/onsi/gomega"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/simulator"
)

// raised raises the price of every rental by a quarter.
func raised() simulator.FaultSpec {
	return simulator.FaultSpec{Name: simulator.FaultPriceRaise, Params: map[string]string{"factor": "1.25"}}
}

// TestPriceRaiseWithinTheCeilingIsCounted raises the price of a rental; the
// ceiling has room for it.
func TestPriceRaiseWithinTheCeilingIsCounted(t *testing.T) {
	w := newVastWorld(t, nil)
	w.create(swiftAccount()...)
	w.create(swiftPool(1, "0.80"))
	w.waitReady(1)
	w.fault(raised())
	w.sees(thePool, warmpool.ConditionWithinCeiling, "True/WithinCeiling", "$0.50/h of $0.80/h")
	w.sees(theAccount, warmpool.ConditionWithinCeiling, "True/AsExpected", "$0.50/h of $10.00/h")
	w.scale(2)
	w.sees(thePool, warmpool.ConditionFullyProvisioned, "False/CostCeilingReached", "1 of 2 ready", "the next instance needs $0.40/h", "$0.30/h", "$0.80/h")
	w.quiet(time.Minute)
	w.finish(800_000)
}

// TestPriceRaiseAboveTheCeilingEndsTheInstance raises the price of a rental
// above the ceiling: no rent of ours did it, the pool says who did, ends the
// instance and rents another.
func TestPriceRaiseAboveTheCeilingEndsTheInstance(t *testing.T) {
	w := newVastWorld(t, nil)
	w.create(swiftAccount()...)
	w.create(swiftPool(1, "0.45"))
	w.waitReady(1)
	machine := w.vast.Meter().Records[0].MachineID
	w.fault(raised())
	w.sawEvent("WarmPool/PriceRaisedByHost", "$0.50/h is committed, $0.05/h above the ceiling $0.45/h", "now costs $0.50/h, it was rented at $0.40/h")
	w.sawEvent("WarmPool/OverCeiling", "Deleting instance")
	w.eventually(func(g gomega.Gomega) { g.Expect(w.rents()).To(gomega.Equal(2)) })
	w.waitReady(1)
	w.sees(thePool, warmpool.ConditionWithinCeiling, "True/WithinCeiling", "$0.40/h of $0.45/h")
	w.Expect(w.blocked(machine)).To(gomega.BeTrue(), "the machine is avoided")
	w.finish(anyPeak)
}

// TestRentalsThatAreDearerThanTheirOffer makes every rental dearer than its
// offer said, so that none fits the ceiling. Ending and renting for ever would
// burn money for nothing (I7).
func TestRentalsThatAreDearerThanTheirOffer(t *testing.T) {
	w := newVastWorld(t, nil)
	w.create(swiftAccount()...)
	lift := w.fault(simulator.FaultSpec{Name: simulator.FaultCreateDearer})
	wp := swiftPool(1, "0.45")
	wp.Spec.Remediation.Backoff.MaxSeconds = 600
	w.create(wp)
	w.sawEvent("WarmPool/PriceRaisedByHost", "now costs $0.50/h, it was rented at $0.40/h")
	w.sawEvent("WarmPool/OverCeiling", "Deleting instance")
	w.eventually(func(g gomega.Gomega) {
		g.Expect(w.rents()).To(gomega.Equal(2), "it is tried on another machine")
		g.Expect(w.alive()).To(gomega.BeEmpty())
	})
	w.sees(thePool, warmpool.ConditionFullyProvisioned, "False/TemplateFailing", "PriceRaisedByHost on machines ", "The rental costs $0.50/h, its offer said $0.40/h", "raise spec.cost.ceilingUSDPerHour")
	w.quiet(5 * time.Minute)
	lift()
	w.waitReady(1)
	w.sees(thePool, warmpool.ConditionWithinCeiling, "True/WithinCeiling")
	w.finish(anyPeak)
}

// TestCreditRunsOut takes the credit away: Vast.ai stops everything, nothing is
// rented, the account says what is missing, and when there is credit again the
// pool goes on by itself.
func TestCreditRunsOut(t *testing.T) {
	w := newVastWorld(t, nil)
	w.create(swiftAccount()...)
	w.create(swiftPool(1, "0.90"))
	w.waitReady(1)
	w.fault(simulator.FaultSpec{Name: simulator.FaultCredit})
	w.sees(theAccount, warmpool.ConditionBalanceSufficient, "False/BalanceLow", "The credit", "Nothing more is rented", "Add credit at Vast.ai")
	w.sees(theAccount, warmpool.ConditionReady, "False/BalanceLow", "spec.minBalanceUSD", "$5.00", "Add credit")
	w.sees(thePool, warmpool.ConditionAccountReady, "False/BalanceLow", "Add credit")
	w.sawEvent("VastAccount/BalanceLow", "Add credit")
	w.sawEvent("WarmInstance/InstanceStopped", "the credit ran out")
	w.sees(thePool, warmpool.ConditionReady, "False/BalanceLow", "0 of 1 ready")
	w.sees(thePool, warmpool.ConditionStalled, "True/BalanceLow")
	w.Expect(w.rents()).To(gomega.Equal(1))
	w.fault(simulator.FaultSpec{Name: simulator.FaultCredit, Params: map[string]string{"usd": "50"}})
	w.recovers()
	w.waitReady(1)
	w.Expect(w.rents()).To(gomega.Equal(2))
	w.finish(900_000)
}

// TestCreditRunsOutForSeveral is the same for a pool of three: all stop at
// once, which is Vast.ai's doing and not a fault of our sight.
func TestCreditRunsOutForSeveral(t *testing.T) {
	w := newVastWorld(t, nil)
	w.create(swiftAccount()...)
	w.create(swiftPool(3, "1.50"))
	w.waitReady(3)
	w.fault(simulator.FaultSpec{Name: simulator.FaultCredit})
	w.sees(theAccount, warmpool.ConditionBalanceSufficient, "False/BalanceLow", "Add credit at Vast.ai.")
	w.eventually(func(g gomega.Gomega) { g.Expect(w.get().Status.ReadyReplicas).To(gomega.BeZero()) })
	w.fault(simulator.FaultSpec{Name: simulator.FaultCredit, Params: map[string]string{"usd": "50"}})
	w.recovers()
	w.waitReady(3)
	w.Expect(w.rents()).To(gomega.Equal(6))
	w.finish(1_500_000)
}
