package integration

import (
	"net/http"
	"testing"
	"time"

	"github.com/onsi/gomega"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/simulator"
)

// endFault is a fault of a destroy.
type endFault struct {
	spec simulator.FaultSpec
	// message is what the instance says while it ends.
	message string
	// stays is true when the rental lives on until the fault is lifted.
	stays bool
}

// endFaults are the ways in which the end of a rental goes wrong.
func endFaults() map[string]endFault {
	destroy := func(name string, params map[string]string) simulator.FaultSpec {
		return faultOn(simulator.EndpointDestroy, name, params)
	}
	return map[string]endFault{
		"it fails": {spec: destroy(simulator.FaultDestroyError, nil), stays: true, message: "vast.ai destroy: "},
		"it knows no such instance": {
			spec:  destroy(simulator.FaultDestroyError, map[string]string{"status": "404", "error": "no_such_instance"}),
			stays: true, message: "vast.ai destroy: NotFound (HTTP 404",
		},
		"it fails after the fact": {
			spec:    destroy(simulator.FaultDestroyError, map[string]string{"executed": "true"}),
			message: "vast.ai destroy: ",
		},
		"it is ignored": {spec: destroy(simulator.FaultDestroyIgnored, nil), stays: true, message: "confirmed gone"},
		"the list lags": {spec: destroy(simulator.FaultDestroyLingers, nil), message: "confirmed gone"},
		"the answer is lost": {
			spec: destroy(simulator.FaultLostAnswer, nil), message: "vast.ai destroy: ",
		},
		"a wall answers": {spec: destroy(simulator.FaultHTML, nil), stays: true, message: "vast.ai destroy: RateLimited (HTTP 403"},
	}
}

// TestEndThatGoesWrongIsRepeated breaks the destroy in every way: the instance
// says so and stays, its price stays counted, it is asked for again, and the
// object goes only when the rental is confirmed gone (I6).
func TestEndThatGoesWrongIsRepeated(t *testing.T) {
	w := newVastWorld(t, nil)
	w.create(swiftAccount()...)
	w.create(swiftPool(0, "0.90"))
	for name, test := range endFaults() {
		w.step(name, func(w *world) {
			w.scale(1)
			w.waitReady(1)
			lift := w.fault(test.spec)
			// Without lookups nothing is confirmed gone before the test has looked.
			confirm := w.fault(faultOn(simulator.EndpointGet, simulator.FaultHTTPError, nil))
			w.scale(0)
			w.sees(anyInstance, warmpool.ConditionTerminated, "False/Destroying", "($0.40/h) is being destroyed", test.message)
			w.sawEvent("WarmInstance/Destroying", "($0.40/h) is being destroyed")
			w.eventually(func(g gomega.Gomega) {
				status := w.get().Status
				g.Expect(status.TerminatingReplicas).To(gomega.BeEquivalentTo(1))
				g.Expect(status.Cost.CommittedUSDPerHour).To(gomega.Equal(warmpool.SignedUSD("0.40")), "what ends is still counted")
			})
			confirm()
			if test.stays {
				w.quiet(time.Minute)
				w.eventually(func(g gomega.Gomega) {
					g.Expect(w.instances()).To(gomega.HaveLen(1), "it is not let go of")
					g.Expect(w.instances()[0].Status.Termination.Requests).To(gomega.BeNumerically(">=", 2), "it is asked for again")
				})
			}
			lift()
			w.eventually(func(g gomega.Gomega) { g.Expect(w.instances()).To(gomega.BeEmpty()) })
			w.Expect(w.alive()).To(gomega.BeEmpty())
			w.sawEvent("WarmInstance/ConfirmedGone", "is absent from the account, and a lookup confirms it.")
		})
	}
	w.finish(900_000)
}

// TestLookupThatLiesDoesNotLetGo answers the point lookup with what it must
// not be believed for: only the explicit word that there is no such instance
// confirms an end.
func TestLookupThatLiesDoesNotLetGo(t *testing.T) {
	w := newVastWorld(t, nil)
	w.create(swiftAccount()...)
	w.create(swiftPool(1, "0.90"))
	w.waitReady(1)
	lift := w.fault(faultOn(simulator.EndpointGet, simulator.FaultHTTPError, map[string]string{"status": "404", "error": "no_such_instance", "msg": "No such instance"}))
	w.scale(0)
	w.eventually(func(g gomega.Gomega) { g.Expect(w.alive()).To(gomega.BeEmpty()) })
	w.eventually(func(g gomega.Gomega) {
		g.Expect(w.vast.Requests()[string(simulator.EndpointGet)][http.StatusNotFound]).To(gomega.BeNumerically(">=", 3), "lookups")
	})
	w.Expect(w.instances()).To(gomega.HaveLen(1), "a 404 is not an answer")
	w.sees(thePool, warmpool.ConditionReady, "True/AsDesired", "0 of 0 ready, 1 ending")
	lift()
	w.eventually(func(g gomega.Gomega) { g.Expect(w.instances()).To(gomega.BeEmpty()) })
	w.finish(900_000)
}

// TestLogThatNeverComesHoldsUpNoEnd gives up an instance whose log is never
// uploaded: the pool's memory has no log then, and the rental ends all the same.
func TestLogThatNeverComesHoldsUpNoEnd(t *testing.T) {
	w := newVastWorld(t, nil)
	w.create(swiftAccount()...)
	w.fault(simulator.FaultSpec{Name: simulator.FaultNoLogs})
	w.create(swiftPool(1, "0.90"))
	w.waitReady(1)
	w.fault(simulator.FaultSpec{Name: simulator.FaultExited})
	w.sawEvent("WarmInstance/ContainerExited", "It is replaced")
	w.eventually(func(g gomega.Gomega) { g.Expect(w.rents()).To(gomega.Equal(2)) })
	w.waitReady(1)
	w.Expect(w.vast.Requests()[string(simulator.EndpointLogs)][http.StatusOK]).To(gomega.Equal(1), "the log was asked for once")
	w.Expect(w.vast.Requests()[string(simulator.EndpointLogsResult)][http.StatusForbidden]).To(gomega.BeNumerically(">", 3), "and waited for")
	recent := w.get().Status.Failures.Recent
	w.Expect(recent[0].Reason).To(gomega.Equal("ContainerExited"))
	w.Expect(recent[0].LogTail).To(gomega.BeEmpty())
	w.finish(900_000)
}
