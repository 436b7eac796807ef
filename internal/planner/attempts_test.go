package planner

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/warmpool-dev/warmpool/internal/fleet"
)

// testDeadline is the attempt deadline of these tests.
const testDeadline = 60 * time.Second

// resolve runs one sweep.
func resolve(memory map[AttemptKey]Absence, sweep Sweep, instances ...Instance) ResolvePlan {
	return ResolveAttempts(&ResolveInput{
		Instances: instances, Installation: testInstallation, Sweep: sweep, Memory: memory, AttemptDeadline: testDeadline,
	})
}

// elsewhere moves a row to another machine.
func elsewhere(rental fleet.Rental) fleet.Rental {
	rental.MachineID = 8
	return rental
}

func TestResolveAttemptsMatches(t *testing.T) {
	type verdict struct {
		Action ResolveAction
		Rental int64
		Reason string
	}
	mine := labelOf("a", 1)
	unknown := attempted("a", OutcomeUnknown, usd(40))
	inFlight := attempted("a", OutcomePending, usd(40))
	inFlight.InFlight = true
	second := rented("a", 1, usd(40))
	second.Attempts = append(second.Attempts, Attempt{Number: 2, MachineID: 7, Outcome: OutcomeUnknown})
	half := rented("a", 1, usd(40)) // the rental was recorded, its outcome was not
	half.Attempts[0].Outcome, half.Attempts[0].RentalID = OutcomePending, 0
	both := attempted("a", OutcomeUnknown, usd(40))
	both.Attempts = append(both.Attempts, Attempt{Number: 2, MachineID: 7, Outcome: OutcomeUnknown})
	named := attempted("a", OutcomeUnknown, usd(40))
	named.Attempts[0].RentalID = 12
	remembered := attempted("a", OutcomeAbandoned, usd(40))
	remembered.Attempts[0].RentalID = 11
	tests := map[string]struct {
		instances []Instance
		sweep     Sweep
		want      []verdict
		extras    []int64
		copied    []int64
	}{
		"one match is adopted":            {[]Instance{unknown}, sweepAt(5, row(11, mine, 0)), []verdict{{ResolveAdopt, 11, ReasonLabelMatched}}, nil, nil},
		"pending after a restart as well": {[]Instance{attempted("a", OutcomePending, usd(40))}, sweepAt(5, row(11, mine, 0)), []verdict{{ResolveAdopt, 11, ReasonLabelMatched}}, nil, nil},
		"a call in flight is left alone":  {[]Instance{inFlight}, sweepAt(900, row(11, mine, 0)), nil, nil, nil},
		"the lowest id of several is adopted, the rest ends": {
			[]Instance{unknown},
			sweepAt(5, row(13, mine, 0), row(11, mine, 0), row(12, mine, 0)),
			[]verdict{{ResolveAdopt, 11, ReasonLabelMatched}},
			[]int64{12, 13},
			nil,
		},
		"the recorded one of several is kept": {
			[]Instance{named}, sweepAt(5, row(11, mine, 0), row(12, mine, 0)), []verdict{{ResolveAdopt, 12, ReasonLabelMatched}}, []int64{11}, nil,
		},
		"a recorded rental without an outcome is adopted, not ended": {
			[]Instance{half}, sweepAt(5, row(1, mine, 0)), []verdict{{ResolveAdopt, 1, ReasonLabelMatched}}, nil, nil,
		},
		"a match beside the instance's rental ends": {
			[]Instance{second},
			sweepAt(5, row(1, mine, 0), row(12, labelOf("a", 2), 0)),
			[]verdict{{ResolveWait, 12, ReasonExtraRental}},
			[]int64{12},
			nil,
		},
		"of two open attempts one is adopted": {
			[]Instance{both},
			sweepAt(5, row(11, mine, 0), row(12, labelOf("a", 2), 0)),
			[]verdict{{ResolveAdopt, 11, ReasonLabelMatched}, {ResolveWait, 12, ReasonExtraRental}},
			[]int64{12},
			nil,
		},
		"a label on another machine was copied": {
			[]Instance{unknown}, sweepAt(5, elsewhere(row(11, mine, 0))), []verdict{{ResolveWait, 11, ReasonLabelCopied}}, nil, []int64{11},
		},
		"the copy does not hide the real one": {
			[]Instance{unknown}, sweepAt(5, elsewhere(row(11, mine, 0)), row(12, mine, 0)), []verdict{{ResolveAdopt, 12, ReasonLabelMatched}}, nil, []int64{11},
		},
		"a rental that another instance records is not adopted": {
			[]Instance{unknown, rented("b", 11, usd(40))}, sweepAt(5, row(11, mine, 0)), []verdict{{ResolveWait, 11, ReasonLabelCopied}}, nil, []int64{11},
		},
		"another installation's label is not ours": {
			[]Instance{unknown},
			sweepAt(5, row(11, fleet.Label{Installation: "other000", InstanceUID: "a", Attempt: 1}.String(), 0)),
			[]verdict{{ResolveWait, 0, ReasonAwaitingSweeps}},
			nil, nil,
		},
		"another attempt's label is not this one's": {
			[]Instance{unknown}, sweepAt(5, row(11, labelOf("a", 2), 0)), []verdict{{ResolveWait, 0, ReasonAwaitingSweeps}}, nil, nil,
		},
		"an untrusted list adopts nothing and ends nothing": {
			[]Instance{unknown, attempted("b", OutcomeAbandoned, usd(40))},
			untrustedAt(5, row(11, mine, 0), row(12, labelOf("b", 1), 0)),
			[]verdict{{ResolveWait, 0, ReasonAwaitingSweeps}},
			nil, nil,
		},
		"a late rental of an abandoned attempt ends":           {[]Instance{attempted("a", OutcomeAbandoned, usd(40))}, sweepAt(5, row(11, mine, 0)), nil, []int64{11}, nil},
		"a rental of a rejected attempt ends":                  {[]Instance{attempted("a", OutcomeRejected, usd(40))}, sweepAt(5, row(11, mine, 0)), nil, []int64{11}, nil},
		"a late rental that is recorded is left to its record": {[]Instance{remembered}, sweepAt(5, row(11, mine, 0)), nil, nil, nil},
		"a copied label of an abandoned attempt is not touched": {
			[]Instance{attempted("a", OutcomeAbandoned, usd(40))}, sweepAt(5, elsewhere(row(11, mine, 0))), nil, nil, []int64{11},
		},
		"the instance's own rental is left alone": {[]Instance{rented("a", 11, usd(40))}, sweepAt(5, row(11, mine, 0)), nil, nil, nil},
		"a second rental of a settled attempt ends": {
			[]Instance{rented("a", 11, usd(40))}, sweepAt(5, row(11, mine, 0), row(10, mine, 0)), nil, []int64{10}, nil,
		},
		"swapped labels touch nobody": {
			[]Instance{rented("a", 11, usd(40)), rented("b", 12, usd(40))},
			sweepAt(5, row(12, mine, 0), row(11, labelOf("b", 1), 0)), nil, nil,
			[]int64{11, 12},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			plan := resolve(nil, tc.sweep, tc.instances...)
			var got []verdict
			for _, resolution := range plan.Resolutions {
				got = append(got, verdict{resolution.Action, resolution.RentalID, resolution.Reason})
				if resolution.Message == "" {
					t.Errorf("resolution %+v has no message", resolution)
				}
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("resolutions (-want +got):\n%s", diff)
			}
			var extras []int64
			for _, extra := range plan.Extras {
				extras = append(extras, extra.RentalID)
			}
			if diff := cmp.Diff(tc.extras, extras); diff != "" {
				t.Errorf("extras (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.copied, plan.Copied); diff != "" {
				t.Errorf("copied (-want +got):\n%s", diff)
			}
		})
	}
}

func TestResolveAttemptsAbandon(t *testing.T) {
	mine := row(11, labelOf("a", 1), 0)
	tests := map[string]struct {
		sweeps []Sweep
		want   ResolveAction
	}{
		// The attempt began at 0 s and may succeed until 60 s; a second for the grain of its time.
		"three trusted lists over 120 s":            {[]Sweep{sweepAt(62), sweepAt(100), sweepAt(182)}, ResolveAbandon},
		"two lists are not enough":                  {[]Sweep{sweepAt(62), sweepAt(400)}, ResolveWait},
		"three lists over 119 s are not enough":     {[]Sweep{sweepAt(62), sweepAt(100), sweepAt(181)}, ResolveWait},
		"a list before the deadline does not count": {[]Sweep{sweepAt(61), sweepAt(100), sweepAt(182)}, ResolveWait},
		"an untrusted list does not count":          {[]Sweep{sweepAt(62), untrustedAt(100), sweepAt(182)}, ResolveWait},
		"an untrusted list does not reset":          {[]Sweep{sweepAt(62), sweepAt(100), untrustedAt(150), sweepAt(182)}, ResolveAbandon},
		"an untrusted list concludes nothing":       {[]Sweep{sweepAt(62), sweepAt(100), sweepAt(182), untrustedAt(197)}, ResolveWait},
		"the same list counts once":                 {[]Sweep{sweepAt(62), sweepAt(182), sweepAt(182)}, ResolveWait},
		"an older list does not count":              {[]Sweep{sweepAt(62), sweepAt(182), sweepAt(100)}, ResolveWait},
		"a copied label resets":                     {[]Sweep{sweepAt(62), onlyCopied(100), sweepAt(182), sweepAt(197)}, ResolveWait},
		"even an untrusted list that shows the rental resets": {
			[]Sweep{sweepAt(62), sweepAt(100), untrustedAt(150, mine), sweepAt(182)}, ResolveWait,
		},
		"a list that shows the rental adopts": {[]Sweep{sweepAt(62), sweepAt(100), sweepAt(182, mine)}, ResolveAdopt},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			var memory map[AttemptKey]Absence
			var plan ResolvePlan
			for _, sweep := range tc.sweeps {
				plan = resolve(memory, sweep, attempted("a", OutcomeUnknown, usd(40)))
				memory = plan.Memory
			}
			if len(plan.Resolutions) != 1 || plan.Resolutions[0].Action != tc.want {
				t.Errorf("resolutions = %+v, want %s", plan.Resolutions, tc.want)
			}
		})
	}
}

// onlyCopied is a sweep that shows the label of attempt a/1 on another machine.
func onlyCopied(seconds int) Sweep { return sweepAt(seconds, elsewhere(row(11, labelOf("a", 1), 0))) }

func TestResolveAttemptsForgetsSettledAttempts(t *testing.T) {
	plan := resolve(nil, sweepAt(62), attempted("a", OutcomeUnknown, usd(40)), attempted("b", OutcomeUnknown, usd(40)))
	before := plan.Memory
	plan = resolve(before, sweepAt(80), attempted("a", OutcomeUnknown, usd(40)))
	want := map[AttemptKey]Absence{{UID: "a", Number: 1}: {Sweeps: 2, FirstStartedAt: moment(62), LastStartedAt: moment(80)}}
	if diff := cmp.Diff(want, plan.Memory); diff != "" {
		t.Errorf("memory (-want +got):\n%s", diff)
	}
	if before[AttemptKey{UID: "a", Number: 1}].Sweeps != 1 {
		t.Error("the memory that was passed in changed")
	}
}
