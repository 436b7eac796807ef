package simulate

import (
	"strconv"
	"strings"

	"github.com/warmpool-dev/warmpool/internal/simulator"
)

// vastFault is a fault of the simulator's registry with the parameters that a
// schedule draws.
type vastFault struct {
	name string
	spec func(w *world, dice *dice) simulator.FaultSpec
}

// vastFaults are those that an operator has to live with. Left out are lies
// that nothing could tell from the truth, such as a list, a look-up and an
// identity that all agree on the wrong account for minutes.
func vastFaults() []vastFault {
	var faults []vastFault
	add := func(name string, params map[string][]string, match simulator.Match, shortest, longest int) {
		faults = append(faults, vastFault{strings.TrimSpace(name + " " + string(match.Endpoint)), func(_ *world, dice *dice) simulator.FaultSpec {
			spec := simulator.FaultSpec{Name: name, Params: map[string]string{}, Match: match}
			for _, key := range sortedKeys(params) {
				spec.Params[key] = pick(dice, params[key]...)
			}
			if longest > 0 {
				spec.Count = 1 + dice.below(3)
				if name == simulator.FaultEmptyList {
					spec.Count = 1 // a second one in a row is a lie like those left out
				}
				spec.DurationSeconds = float64(shortest + dice.below(longest-shortest+1))
			}
			return spec
		}})
	}
	for _, endpoint := range []simulator.Endpoint{"", simulator.EndpointCreate, simulator.EndpointList, simulator.EndpointDestroy, simulator.EndpointGet} {
		match := simulator.Match{Endpoint: endpoint}
		statuses := []string{"500", "502", "503", "429"}
		add(simulator.FaultHTTPError, map[string][]string{"status": statuses, "executed": {"true", "false"}}, match, 5, 60)
		add(simulator.FaultHTML, map[string][]string{"status": {"403", "200", "502"}, "executed": {"true", "false"}}, match, 5, 60)
		add(simulator.FaultEmptyBody, map[string][]string{"executed": {"true", "false"}}, match, 5, 60)
		add(simulator.FaultTruncatedBody, nil, match, 5, 60)
		add(simulator.FaultHangUp, map[string][]string{"executed": {"true", "false"}}, match, 5, 60)
		add(simulator.FaultSlow, map[string][]string{"delay": {"5", "20", "50"}}, match, 5, 60)
		add(simulator.FaultRateLimit, map[string][]string{"body": {"text", "detail", "msg", "error"}, "retryAfter": {"", "5", "20"}}, match, 5, 60)
	}
	none := simulator.Match{}
	add(simulator.FaultAuthError, map[string][]string{"status": {"401", "403", "404"}}, none, 5, 40)
	add(simulator.FaultDeprecated, map[string][]string{"status": {"410", "200"}}, none, 5, 40)
	add(simulator.FaultLostAnswer, map[string][]string{"how": {"hang-up", "timeout", "502", "504"}, "delay": {"30", "100"}}, none, 5, 120)
	add(simulator.FaultSchemaDrift, nil, none, 5, 60)
	add(simulator.FaultOtherAccount, map[string][]string{"identity": {"true"}}, none, 5, 40)
	add(simulator.FaultOfferGone, map[string][]string{"form": {"404", "410", "400", "200"}}, none, 5, 120)
	add(simulator.FaultNoOffers, nil, none, 5, 60)
	add(simulator.FaultStaleOffer, nil, none, 5, 30)
	add(simulator.FaultCreateWithError, map[string][]string{"running": {"true", "false"}}, none, 5, 120)
	add(simulator.FaultCreateLate, map[string][]string{"after": {"10", "60", "150"}, "how": {"hang-up", "502", "504"}}, none, 5, 120)
	add(simulator.FaultCreateNoID, nil, none, 5, 120)
	add(simulator.FaultCreateRefused, map[string][]string{"error": {"insufficient_credit", "invalid_args"}}, none, 5, 60)
	add(simulator.FaultCreateDearer, map[string][]string{"factor": {"1.25", "2"}}, none, 5, 120)
	add(simulator.FaultReadLag, map[string][]string{"delay": {"5", "20", "60"}}, none, 5, 120)
	add(simulator.FaultShortPage, nil, none, 5, 60)
	add(simulator.FaultPageDrop, nil, none, 5, 60)
	add(simulator.FaultWrongTotal, map[string][]string{"delta": {"1", "-1"}}, none, 5, 60)
	add(simulator.FaultEmptyList, nil, none, 5, 40)
	add(simulator.FaultStatusFlicker, nil, none, 10, 60)
	add(simulator.FaultDestroyError, map[string][]string{"status": {"404", "500"}, "executed": {"true", "false"}}, none, 10, 120)
	add(simulator.FaultDestroyLingers, map[string][]string{"for": {"10", "60"}}, none, 10, 120)
	add(simulator.FaultDestroyIgnored, nil, none, 10, 120)
	add(simulator.FaultStuck, map[string][]string{"state": {"pending", "created", "loading"}}, none, 5, 60)
	add(simulator.FaultBootError, map[string][]string{"kind": {"oci", "manifest", "disk"}}, none, 5, 60)
	add(simulator.FaultBadAddress, nil, none, 5, 60)
	return append(faults, rentalFaults()...)
}

// rentalFaults happen to one of our rentals.
func rentalFaults() []vastFault {
	var faults []vastFault
	add := func(name string, params map[string][]string, seconds float64) {
		faults = append(faults, vastFault{name, func(w *world, dice *dice) simulator.FaultSpec {
			spec := simulator.FaultSpec{Name: name, Params: map[string]string{}, DurationSeconds: seconds, Match: simulator.Match{LabelPrefix: ourPrefix}}
			for _, key := range sortedKeys(params) {
				spec.Params[key] = pick(dice, params[key]...)
			}
			if record := w.anyRental(dice); record != nil {
				spec.Match = simulator.Match{Rental: record.ID}
			} else {
				spec.Match = simulator.Match{Rental: 1}
			}
			return spec
		}})
	}
	add(simulator.FaultExited, nil, 0)
	add(simulator.FaultOffline, map[string][]string{"for": {"20", "60", "200"}, "remap": {"true", "false"}}, 0)
	add(simulator.FaultOutbid, map[string][]string{"for": {"0", "30"}}, 0)
	add(simulator.FaultPriceRaise, map[string][]string{"factor": {"1.2", "1.5", "2"}}, 0)
	add(simulator.FaultVanished, nil, 0)
	add(simulator.FaultHiddenRental, nil, hiddenSeconds)
	return faults
}

// hiddenSeconds is shorter than what it takes to believe that a rental is gone.
const hiddenSeconds = 25

func itoa(n int64) string { return strconv.FormatInt(n, 10) }
