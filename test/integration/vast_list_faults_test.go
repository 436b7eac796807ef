package integration

import (
	"testing"
	"time"

	"github.com/onsi/gomega"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/simulator"
)

// listFault is a fault of what is read about the account, and what is seen of it.
type listFault struct {
	spec simulator.FaultSpec
	// listTrusted and ready are "Status/Reason" of the account's conditions;
	// message is part of ListTrusted's.
	listTrusted, ready, message string
	// also is a further condition of the account, with its answer.
	also [2]string
}

// listFaults are disturbances of the sweep: none of them may cost an instance.
func listFaults() map[string]listFault {
	list := func(name string, params map[string]string) simulator.FaultSpec {
		return faultOn(simulator.EndpointList, name, params)
	}
	return map[string]listFault{
		"http-error": {
			spec: list(simulator.FaultHTTPError, nil), listTrusted: "False/ProviderUnreachable", ready: "False/ProviderUnreachable",
			message: "Vast.ai did not answer. The list is read again later",
		},
		"html from a wall": {
			spec: list(simulator.FaultHTML, nil), listTrusted: "False/RateLimited", ready: "False/RateLimited",
			message: "Vast.ai asks to slow down.",
		},
		"html with status 200": {
			spec: list(simulator.FaultHTML, map[string]string{"status": "200"}), listTrusted: "False/InvalidResponse", ready: "False/InvalidResponse",
			message: "cannot be read as a list of instances",
		},
		"empty body": {
			spec: list(simulator.FaultEmptyBody, nil), listTrusted: "False/InvalidResponse", ready: "False/InvalidResponse",
			message: "cannot be read as a list of instances",
		},
		"truncated body": {
			spec: list(simulator.FaultTruncatedBody, nil), listTrusted: "False/InvalidResponse", ready: "False/InvalidResponse",
			message: "cannot be read as a list of instances",
		},
		"hang-up": {
			spec: list(simulator.FaultHangUp, nil), listTrusted: "False/ProviderUnreachable", ready: "False/ProviderUnreachable",
			message: "Vast.ai did not answer.",
		},
		"slower than the timeout": {
			spec: list(simulator.FaultSlow, map[string]string{"delay": "45"}), listTrusted: "False/ProviderUnreachable", ready: "False/ProviderUnreachable",
			message: "Vast.ai did not answer.",
		},
		"rate limit": {
			spec: list(simulator.FaultRateLimit, map[string]string{"body": "msg"}), listTrusted: "False/RateLimited", ready: "False/RateLimited",
			message: "Vast.ai asks to slow down.",
		},
		"auth error": {
			spec: list(simulator.FaultAuthError, nil), listTrusted: "False/CredentialsInvalid", ready: "False/CredentialsInvalid",
			message: "Vast.ai does not accept the API key.",
		},
		"retired": {
			spec: list(simulator.FaultDeprecated, nil), listTrusted: "False/APIDeprecated", ready: "False/APIDeprecated",
			message: "Vast.ai has retired the endpoint. Upgrade Warmpool.",
			also:    [2]string{warmpool.ConditionAPICompatible, "False/APIDeprecated"},
		},
		"retired with status 200": {
			spec:        list(simulator.FaultDeprecated, map[string]string{"status": "200"}),
			listTrusted: "False/APIDeprecated", ready: "False/APIDeprecated", message: "Vast.ai has retired the endpoint. Upgrade Warmpool.",
			also: [2]string{warmpool.ConditionAPICompatible, "False/APIDeprecated"},
		},
		"schema drift": {
			spec: list(simulator.FaultSchemaDrift, nil), listTrusted: "False/InvalidResponse", ready: "False/InvalidResponse",
			message: "cannot be read as a list of instances",
		},
		"a row is lost": {
			spec: list(simulator.FaultShortPage, nil), listTrusted: "False/InconsistentList", ready: "False/InconsistentList",
			message: "The list holds 0 instances, but says 1 on its first and 1 on its last page.",
		},
		"wrong total": {
			spec: list(simulator.FaultWrongTotal, nil), listTrusted: "False/InconsistentList", ready: "False/InconsistentList",
			message: "The list holds 1 instance, but says 2 on its first and 2 on its last page.",
		},
		"another account answers": {
			spec: simulator.FaultSpec{Name: simulator.FaultOtherAccount}, listTrusted: "False/AccountIdentityChanged", ready: "False/AccountIdentityChanged",
			message: "The API key belongs to user 7002, not to the pinned user 7001,",
			also:    [2]string{warmpool.ConditionIdentityStable, "False/AccountIdentityChanged"},
		},
		"nobody says whose key it is": {
			spec: faultOn(simulator.EndpointUser, simulator.FaultHTTPError, nil), listTrusted: "False/IdentityUnverified", ready: "False/IdentityUnverified",
			message: "Vast.ai did not say whose account the API key opens.",
		},
		"the key is refused everywhere": {
			spec: simulator.FaultSpec{Name: simulator.FaultAuthError, Params: map[string]string{"status": "401"}},
			// Without a verified key nothing is even asked for.
			listTrusted: "False/CredentialsInvalid", ready: "False/InvalidUserKey", message: "does not accept the API key",
			also: [2]string{warmpool.ConditionCredentialsValid, "False/InvalidUserKey"},
		},
	}
}

// TestBadListIsSaidAndCostsNothing breaks the reading of the account in every
// way while a pool with a ready instance wants one more: the account says what
// is wrong, the pool passes it on, nothing is rented or ended, and when the
// fault is over it goes on by itself.
func TestBadListIsSaidAndCostsNothing(t *testing.T) {
	w := newVastWorld(t, nil)
	w.create(swiftAccount()...)
	w.create(swiftPool(1, "1.50"))
	w.waitReady(1)
	for name, test := range listFaults() {
		w.step(name, func(w *world) {
			lift := w.fault(test.spec)
			defer lift()
			w.sees(theAccount, warmpool.ConditionListTrusted, test.listTrusted, test.message)
			w.sees(theAccount, warmpool.ConditionReady, test.ready)
			w.sees(thePool, warmpool.ConditionAccountReady, test.ready, `VastAccount "default" is not ready: `)
			if test.also[0] != "" {
				w.sees(theAccount, test.also[0], test.also[1])
			}
			w.sawEvent("VastAccount/" + test.ready[len("False/"):])
			w.scale(2)
			w.sees(thePool, warmpool.ConditionFullyProvisioned, test.ready, "1 of 2 ready")
			w.quiet(20 * time.Second)
			w.scale(1)
			lift()
			w.recovers()
			w.sees(thePool, warmpool.ConditionReady, "True/AsDesired")
		})
	}
	w.Expect(w.rents()).To(gomega.Equal(1))
	w.finish(1_500_000)
}
