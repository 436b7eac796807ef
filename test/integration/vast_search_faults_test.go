package integration

import (
	"net/http"
	"testing"
	"time"

	"github.com/onsi/gomega"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/simulator"
)

// searchFault is a fault of the search, and what is seen of it.
type searchFault struct {
	spec simulator.FaultSpec
	// reason is that of the pool's conditions and of the event.
	reason string
	// offers is "Status/Reason" of OffersAvailable.
	offers  string
	message string
}

// searchFaults keep a pool from finding an offer.
func searchFaults() map[string]searchFault {
	search := func(name string, params map[string]string) simulator.FaultSpec {
		return faultOn(simulator.EndpointSearch, name, params)
	}
	const failed = "The offers could not be searched; it is tried again."
	return map[string]searchFault{
		"nothing is offered": {
			spec: search(simulator.FaultNoOffers, nil), reason: "NoMatchingOffers", offers: "False/NoMatchingOffers",
			message: "The search found no offer. Widen spec.offers, or wait for the market.",
		},
		"an error": {
			spec: search(simulator.FaultHTTPError, map[string]string{"status": "500"}), reason: "ProviderUnreachable", offers: "Unknown/NotSearched",
			message: failed,
		},
		"an HTML page": {
			spec: search(simulator.FaultHTML, map[string]string{"status": "200"}), reason: "InvalidResponse", offers: "Unknown/NotSearched",
			message: failed,
		},
		"another schema": {
			spec: search(simulator.FaultSchemaDrift, nil), reason: "InvalidResponse", offers: "Unknown/NotSearched",
			message: failed,
		},
		"an empty body": {
			spec: search(simulator.FaultEmptyBody, nil), reason: "InvalidResponse", offers: "Unknown/NotSearched",
			message: failed,
		},
		"too frequent": {
			spec: search(simulator.FaultRateLimit, map[string]string{"body": "detail"}), reason: "RateLimited", offers: "Unknown/NotSearched",
			message: failed,
		},
		"retired": {
			spec: search(simulator.FaultDeprecated, nil), reason: "APIDeprecated", offers: "Unknown/NotSearched",
			message: failed,
		},
		"refused": {
			spec: search(simulator.FaultHTTPError, map[string]string{"status": "400", "error": "invalid_args", "msg": "no such field"}), reason: "SearchRefused",
			offers: "Unknown/NotSearched", message: "no such field",
		},
	}
}

// TestSearchThatFindsNothingIsSaid breaks the search in every way while a pool
// wants its first instance: the pool says so, nothing is rented, and when the
// fault is over it goes on by itself.
func TestSearchThatFindsNothingIsSaid(t *testing.T) {
	w := newVastWorld(t, nil)
	w.create(swiftAccount()...)
	w.create(swiftPool(0, "0.90"))
	w.recovers()
	for name, test := range searchFaults() {
		w.step(name, func(w *world) {
			lift := w.fault(test.spec)
			w.scale(1)
			w.sees(thePool, warmpool.ConditionFullyProvisioned, "False/"+test.reason, "0 of 1 ready, 1 waiting", test.message)
			w.sees(thePool, warmpool.ConditionOffersAvailable, test.offers, test.message)
			w.sees(anyInstance, warmpool.ConditionRented, "False/"+test.reason, test.message)
			w.sawEvent("WarmInstance/"+test.reason, test.message)
			w.Expect(w.alive()).To(gomega.BeEmpty())
			lift()
			w.waitReady(1)
			w.scaleToNothing()
		})
	}
	w.Expect(w.rents()).To(gomega.Equal(len(searchFaults())), "one rent for each")
	w.finish(900_000)
}

// TestOffersThatAreAlwaysGone shows offers that nobody can rent: each is tried
// once under a number of its own, nothing is rented twice, and the pool says
// that it waits.
func TestOffersThatAreAlwaysGone(t *testing.T) {
	w := newVastWorld(t, nil)
	w.create(swiftAccount()...)
	lift := w.fault(simulator.FaultSpec{Name: simulator.FaultStaleOffer})
	w.create(swiftPool(1, "0.50"))
	w.sawEvent("WarmInstance/RentRejected", "OfferGone (HTTP 4", "no_such_ask")
	w.sees(anyInstance, warmpool.ConditionRented, "False/OfferGone", "Not rented: ")
	w.quiet(60 * time.Second)
	w.Expect(w.alive()).To(gomega.BeEmpty())
	lift()
	for machine := range int64(12) {
		w.Expect(w.vast.ChangeMachine(simulator.MachineChange{ID: 9000 + machine, Taken: new(false)})).To(gomega.Succeed())
	}
	w.waitReady(1)
	w.finish(500_000)
}

// TestNoCreditForRents refuses every rent for want of money while the balance
// says otherwise: the calls must become rare, not run at the limit of the API.
func TestNoCreditForRents(t *testing.T) {
	w := newVastWorld(t, nil)
	w.create(swiftAccount()...)
	lift := w.fault(simulator.FaultSpec{Name: simulator.FaultCreateRefused})
	w.create(swiftPool(1, "0.50"))
	w.sawEvent("WarmInstance/RentRejected", "InsufficientCredit (HTTP 400")
	w.sees(anyInstance, warmpool.ConditionRented, "False/InsufficientCredit", "Vast.ai refused the last rent; it is asked again", "lacks credit")
	w.sees(thePool, warmpool.ConditionReady, "False/InsufficientCredit", "0 of 1 ready, 1 waiting. Vast.ai refused the last rent")
	w.quiet(3 * time.Minute)
	const most = 6 // after 15, 30, 60 and 120 seconds, and a little
	w.Expect(w.vast.Requests()[string(simulator.EndpointCreate)][http.StatusBadRequest]).To(gomega.BeNumerically("<=", most))
	lift()
	w.waitReady(1)
	w.finish(500_000)
}
