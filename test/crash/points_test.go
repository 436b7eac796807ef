package crash

import (
	"github.com/onsi/gomega"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/fleet"
	"github.com/warmpool-dev/warmpool/internal/simulator"
)

// occasion brings the operator to an await point. It calls arm when the trap
// is to be set, and leaves the operator running.
type occasion func(w *world, arm func())

// awaitPoints says for every await point on which occasion it is met. A
// request that is not in here fails the test that sees it.
func awaitPoints() map[string]occasion {
	lost := simulator.FaultSpec{Name: simulator.FaultLostAnswer, Count: 1}
	refused := simulator.FaultSpec{Name: simulator.FaultOfferGone, Count: 1}
	refusedAndRented := simulator.FaultSpec{Name: simulator.FaultCreateWithError, Count: 1}
	return map[string]occasion{
		pointIdentity: renting, pointList: renting, pointSearch: renting, pointRent: renting,
		pointReadAccount: renting, pointReadKey: renting, pointReadInstances: renting, pointReadPools: renting, pointReadClaims: renting,
		pointReadPool: renting, pointReadPassword: renting, pointReadOutcome: renting,
		pointRecheckInstances: renting, pointRecheckPool: renting,
		pointHoldPool: renting, pointPoolStatus: renting, pointHoldAccount: renting, pointAccountStatus: renting,
		pointCreateInstance: renting, pointCreateSecret: renting, pointJournal: renting, pointSucceeded: renting,
		pointObserve: renting, pointDefer: renting, pointHealth: renting,

		pointRejected: rentingWith(refused), pointUnknown: rentingWith(lost), pointAdopt: rentingWith(lost),
		pointAbandon: rentingWith(neverArrived()), pointMarkGone: rentingWith(refusedAndRented),
		pointWait: restarted, pointLateRental: rentingLate,
		pointGiveUp: rentingWith(simulator.FaultSpec{Name: simulator.FaultBootError, Count: 1}),
		pointLost:   losing,

		pointDeleteInstance: ending, pointDestroy: ending, pointRecordDestroy: ending, pointLookup: ending,
		pointDeleteSecret: ending, pointReleaseInstance: ending, pointReleasePool: ending,
		pointReleaseAccount: closing,
	}
}

// renting is the start of a pool.
func renting(w *world, arm func()) {
	arm()
	w.startLife()
	w.create()
}

// rentingWith is the start of a pool with faults of Vast.ai.
func rentingWith(faults ...simulator.FaultSpec) occasion {
	return func(w *world, arm func()) {
		w.disturb(faults...)
		renting(w, arm)
	}
}

// rentingLate finds, after a restart, the rental of an attempt that counts as
// never carried out: it was made while no operator ran.
func rentingLate(w *world, arm func()) {
	w.disturb(neverArrived())
	first := w.killAt(at(pointAbandon), true)
	w.startLife()
	w.create()
	w.wait(first)
	for _, instance := range w.instances() {
		for _, attempt := range instance.Status.Attempts {
			if attempt.Outcome != warmpool.AttemptAbandoned {
				continue
			}
			label := fleet.Label{Installation: installation, InstanceUID: string(instance.UID), Attempt: attempt.Number}
			if _, err := w.vast.RentAside(attempt.OfferID, label.String()); err != nil {
				w.Fatal(err)
			}
		}
	}
	arm()
	w.startLife()
}

// neverArrived is a rent that Vast.ai never saw.
func neverArrived() simulator.FaultSpec {
	return simulator.FaultSpec{
		Name: simulator.FaultHangUp, Count: 1, Match: simulator.Match{Endpoint: simulator.EndpointCreate},
	}
}

// restarted is a start that finds an attempt of which nothing is known: it was
// never sent.
func restarted(w *world, arm func()) {
	first := w.killAt(at(pointRent), false)
	w.startLife()
	w.create()
	w.wait(first)
	arm()
	w.startLife()
}

// running brings the pool up without a crash.
func running(w *world) {
	w.startLife()
	w.create()
	w.converge()
}

// losing is a rental that ends without us.
func losing(w *world, arm func()) {
	running(w)
	arm()
	w.disturb(simulator.FaultSpec{Name: simulator.FaultVanished, Count: 1})
}

// ending is the end of a pool.
func ending(w *world, arm func()) {
	running(w)
	arm()
	w.remove(&warmpool.WarmPool{}, "sdxl")
}

// closing is the end of an account.
func closing(w *world, arm func()) {
	ending(w, func() {})
	w.eventually(func(g gomega.Gomega) { g.Expect(w.exists(&warmpool.WarmPool{}, "sdxl")).To(gomega.BeFalse()) })
	arm()
	w.remove(&warmpool.VastAccount{}, "default")
}

// disturb sets faults of Vast.ai.
func (w *world) disturb(faults ...simulator.FaultSpec) {
	w.Helper()
	for _, fault := range faults {
		if _, err := w.vast.AddFault(fault); err != nil {
			w.Fatal(err)
		}
	}
}
