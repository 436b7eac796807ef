package integration

import (
	"testing"
	"time"

	"github.com/onsi/gomega"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/simulator"
)

// rentFault is a fault of one rent, and what is seen of it.
type rentFault struct {
	spec simulator.FaultSpec
	// event and note are what is told about the instance.
	event string
	note  []string
	// rented, when it is set, is "Status/Reason" of the instance's condition Rented.
	rented  string
	message string
	// rentals is how many are made until the pool is ready.
	rentals int
}

// refusedRents are rents that certainly made no rental: the next offer is tried
// under the next number.
func refusedRents() map[string]rentFault {
	create := func(name string, params map[string]string) simulator.FaultSpec {
		return once(faultOn(simulator.EndpointCreate, name, params))
	}
	return map[string]rentFault{
		"the offer is gone, 404": {
			spec: create(simulator.FaultOfferGone, map[string]string{"form": "404"}), rentals: 1,
			event: "WarmInstance/RentRejected", note: []string{"OfferGone (HTTP 404", "no_such_ask"},
		},
		"the offer is gone, 410": {
			spec: create(simulator.FaultOfferGone, map[string]string{"form": "410"}), rentals: 1,
			event: "WarmInstance/RentRejected", note: []string{"OfferGone (HTTP 410", "no longer available"},
		},
		"the offer is gone, 400": {
			spec: create(simulator.FaultOfferGone, map[string]string{"form": "400"}), rentals: 1,
			event: "WarmInstance/RentRejected", note: []string{"OfferGone (HTTP 400", "no_such_ask"},
		},
		"the offer is gone, 200": {
			spec: create(simulator.FaultOfferGone, map[string]string{"form": "200"}), rentals: 1,
			event: "WarmInstance/RentRejected", note: []string{"OfferGone (HTTP 200", "no_such_ask"},
		},
		"no credit": {
			spec: create(simulator.FaultCreateRefused, nil), rentals: 1,
			event: "WarmInstance/RentRejected", note: []string{"InsufficientCredit (HTTP 400", "lacks credit"},
		},
		"spending too fast": {
			spec: create(simulator.FaultCreateRefused, map[string]string{"error": "spend_rate_limit", "status": "403"}), rentals: 1,
			event: "WarmInstance/RentRejected", note: []string{"InsufficientCredit (HTTP 403 spend_rate_limit"},
		},
		"rate limit": {
			spec: create(simulator.FaultRateLimit, map[string]string{"body": "error"}), rentals: 1,
			event: "WarmInstance/RentRejected", note: []string{"RateLimited (HTTP 429", "too frequent"},
		},
		"auth error": {
			spec: create(simulator.FaultAuthError, map[string]string{"status": "403"}), rentals: 1,
			event: "WarmInstance/RentRejected", note: []string{"Unauthorized (HTTP 403 auth_error", "Invalid user key"},
		},
	}
}

// TestRefusedRentIsSaidAndTheNextOneTried refuses the first rent in every
// documented way.
func TestRefusedRentIsSaidAndTheNextOneTried(t *testing.T) {
	w := newVastWorld(t, nil)
	w.create(swiftAccount()...)
	w.create(swiftPool(0, "0.90"))
	w.rentUnder(refusedRents())
	w.finish(900_000)
}

// lostRents are rents whose answer says nothing: the rental may be there.
func lostRents() map[string]rentFault {
	create := func(name string, params map[string]string) simulator.FaultSpec {
		return once(faultOn(simulator.EndpointCreate, name, params))
	}
	lost := func(spec simulator.FaultSpec, note ...string) rentFault {
		return rentFault{
			spec: spec, event: "WarmInstance/RentUnknown", note: note, rentals: 1,
			rented: "Unknown/RentOutcomeUnknown", message: "The price stays reserved",
		}
	}
	executed := map[string]string{"executed": "true"}
	return map[string]rentFault{
		"the connection breaks":    lost(create(simulator.FaultLostAnswer, nil), "Unavailable"),
		"a gateway gives up":       lost(create(simulator.FaultLostAnswer, map[string]string{"how": "504"}), "Unavailable (HTTP 504"),
		"an error after the fact":  lost(create(simulator.FaultHTTPError, executed), "Unavailable (HTTP 503"),
		"a wall answers":           lost(create(simulator.FaultHTML, executed), "RateLimited (HTTP 403"),
		"an empty answer":          lost(create(simulator.FaultEmptyBody, executed), "InvalidResponse (HTTP 200", "the answer is empty"),
		"half an answer":           lost(create(simulator.FaultTruncatedBody, nil), "InvalidResponse (HTTP 200"),
		"another schema":           lost(create(simulator.FaultSchemaDrift, nil), "InvalidResponse", "names no rental"),
		"success without an id":    lost(create(simulator.FaultCreateNoID, nil), "InvalidResponse", "names no rental"),
		"the rental comes later":   lost(create(simulator.FaultCreateLate, nil), "Unavailable (HTTP 504"),
		"a hang-up after the fact": lost(create(simulator.FaultHangUp, executed), "Unavailable"),
		// By the time it is given up, the list shows the rental: nobody sees it unknown.
		"an answer after 3 minutes": {
			spec: create(simulator.FaultSlow, map[string]string{"delay": "180"}), rentals: 1,
			event: "WarmInstance/RentUnknown", note: []string{"Unavailable", "no complete answer within the timeout"},
		},
	}
}

// TestLostAnswerOfARentIsFoundByItsLabel loses the answer of a rent in every
// way, the rental being there: it is found by its label and nothing else is
// rented in its place.
func TestLostAnswerOfARentIsFoundByItsLabel(t *testing.T) {
	w := newVastWorld(t, nil)
	w.create(swiftAccount()...)
	w.create(swiftPool(0, "0.90"))
	w.rentUnder(lostRents())
	w.sawEvent("WarmInstance/Adopted", "whose answer was lost, and recorded it")
	w.finish(900_000)
}

// rentUnder lets a pool of nothing rent one instance under each fault, and end it.
func (w *world) rentUnder(faults map[string]rentFault) {
	w.Helper()
	for name, test := range faults {
		w.step(name, func(w *world) {
			before := w.rents()
			w.fault(test.spec)
			reveal := func() {}
			if test.rented != "" {
				// Nobody finds the rental before the test has looked.
				reveal = w.fault(simulator.FaultSpec{Name: simulator.FaultHiddenRental})
			}
			w.scale(1)
			if test.rented != "" {
				w.sees(anyInstance, warmpool.ConditionRented, test.rented, test.message)
				w.sees(thePool, warmpool.ConditionFullyProvisioned, "False/RentOutcomeUnknown", "1 of unknown outcome", "the price stays reserved")
				w.Expect(w.get().Status.Cost.CommittedUSDPerHour).NotTo(gomega.Equal(warmpool.SignedUSD("0.00")), "the price stays reserved")
			}
			reveal()
			w.sawEvent(test.event, test.note...)
			w.waitReady(1)
			w.Expect(w.rents()-before).To(gomega.Equal(test.rentals), "rentals")
			w.scaleToNothing()
		})
	}
}

// TestRentThatMadeNothingIsAbandoned loses a rent that was never carried out:
// after three trusted lists over two minutes the attempt is given up, and only
// then is another made.
func TestRentThatMadeNothingIsAbandoned(t *testing.T) {
	w := newVastWorld(t, nil)
	w.create(swiftAccount()...)
	lift := w.fault(faultOn(simulator.EndpointCreate, simulator.FaultHTTPError, map[string]string{"status": "502", "msg": "Bad gateway"}))
	w.create(swiftPool(1, "0.50"))
	w.sawEvent("WarmInstance/RentUnknown", "Unavailable (HTTP 502): Bad gateway")
	w.sees(anyInstance, warmpool.ConditionRented, "Unknown/RentOutcomeUnknown", "It is not known whether attempt 1 made a rental", "The price stays reserved")
	w.sees(thePool, warmpool.ConditionReady, "False/RentOutcomeUnknown", "0 of 1 ready, 1 of unknown outcome")
	lift()
	w.quiet(100 * time.Second)
	w.sawEvent("WarmInstance/AttemptAbandoned", "trusted lists over", "show no rental of attempt 1, so it made none")
	w.waitReady(1)
	w.Expect(w.instances()[0].Status.Attempts).To(gomega.HaveLen(2))
	w.Expect(w.rents()).To(gomega.Equal(1))
	w.finish(500_000)
}

// TestRefusalThatNamesARentalIsEnded answers a rent with an error that carries
// the number of a rental: it is recorded and ended before anything else is rented.
func TestRefusalThatNamesARentalIsEnded(t *testing.T) {
	w := newVastWorld(t, nil)
	w.create(swiftAccount()...)
	w.fault(once(simulator.FaultSpec{Name: simulator.FaultCreateWithError, Params: map[string]string{"running": "true"}}))
	// Without lookups nothing is confirmed gone before the test has looked.
	confirm := w.fault(faultOn(simulator.EndpointGet, simulator.FaultHTTPError, nil))
	w.create(swiftPool(1, "0.50"))
	w.sawEvent("WarmInstance/RentRejected", "start_failed", "created but could not be started")
	w.sees(anyInstance, warmpool.ConditionRented, "False/PreviousRentalEnding", "An earlier rental of this instance is not confirmed gone.")
	w.Expect(w.get().Status.Cost.CommittedUSDPerHour).To(gomega.Equal(warmpool.SignedUSD("0.40")), "what ends is still counted")
	confirm()
	w.waitReady(1)
	records := w.vast.Meter().Records
	w.Expect(records).To(gomega.HaveLen(2))
	w.Expect(records[0].EndReason).To(gomega.Equal("destroyed"))
	w.finish(500_000)
}
