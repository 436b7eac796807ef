package planner

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// terminate plans once, ten seconds after the sweep began.
func terminate(memory TerminationMemory, sweep Sweep, lookups map[int64]Lookup, instances ...Instance) TerminationPlan {
	return PlanTerminations(&TerminationInput{
		Instances: instances, Sweep: sweep, Memory: memory, Lookups: lookups, Now: sweep.Listing.StartedAt.Add(10 * time.Second),
	})
}

// destroyed lists the rentals to destroy in order.
func destroyed(plan *TerminationPlan) []int64 {
	ids := []int64{}
	for _, destroy := range plan.Destroys {
		ids = append(ids, destroy.RentalID)
	}
	return ids
}

func TestPlanTerminationsDestroys(t *testing.T) {
	late := attempted("late", OutcomeAbandoned, usd(30))
	late.Attempts[0].RentalID = 9
	letGo := deleting(rented("a", 1, usd(40)), 5)
	letGo.AbandonRentalID = 1
	older := deleting(rented("b", 2, usd(40)), 5)
	older.CreatedAt = moment(-100)
	tests := map[string]struct {
		instances []Instance
		extras    []ExtraRental
		sweep     Sweep
		want      []int64
	}{
		"an instance that stays keeps its rental":      {[]Instance{rented("a", 1, usd(40))}, nil, sweepAt(10), []int64{}},
		"a deleted instance's rental ends":             {[]Instance{deleting(rented("a", 1, usd(40)), 5)}, nil, sweepAt(10), []int64{1}},
		"without a trusted list as well":               {[]Instance{deleting(rented("a", 1, usd(40)), 5)}, nil, untrustedAt(10), []int64{1}},
		"a late rental ends though its instance stays": {[]Instance{late}, nil, sweepAt(10), []int64{9}},
		"a rental that a person lets go of lives on":   {[]Instance{letGo}, nil, sweepAt(10), []int64{}},
		"costliest first, then oldest": {
			[]Instance{deleting(rented("a", 1, usd(40)), 5), older, deleting(rented("c", 3, usd(90)), 5)}, nil, sweepAt(10), []int64{3, 2, 1},
		},
		"the listed price decides when it is higher": {
			[]Instance{deleting(rented("a", 1, usd(40)), 5), deleting(rented("c", 3, usd(90)), 5)},
			nil,
			sweepAt(10, row(1, "", usd(95)), row(3, "", usd(90))),
			[]int64{1, 3},
		},
		"extras queue with the others": {
			[]Instance{deleting(rented("a", 1, usd(40)), 5)},
			[]ExtraRental{{RentalID: 50, USDPerHour: usd(60)}, {RentalID: 1, USDPerHour: usd(40)}},
			sweepAt(10),
			[]int64{50, 1},
		},
		"nothing to end while the outcome is unknown": {[]Instance{deleting(attempted("a", OutcomeUnknown, usd(40)), 5)}, nil, sweepAt(10), []int64{}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			plan := PlanTerminations(&TerminationInput{Instances: tc.instances, Extras: tc.extras, Sweep: tc.sweep, Now: moment(20)})
			if diff := cmp.Diff(tc.want, destroyed(&plan)); diff != "" {
				t.Errorf("destroys (-want +got):\n%s", diff)
			}
		})
	}
}

func TestPlanTerminationsRetriesWithBackOff(t *testing.T) {
	instance := deleting(rented("a", 1, usd(40)), 0)
	var memory TerminationMemory
	var sent []int
	for second := range 1000 {
		plan := PlanTerminations(&TerminationInput{
			Instances: []Instance{instance}, Memory: memory, Sweep: sweepAt(second, row(1, "", usd(40))), Now: moment(second),
		})
		memory = plan.Memory
		if len(plan.Destroys) > 0 {
			sent = append(sent, second)
			memory = RecordDestroy(memory, 1, moment(second))
			continue
		}
		if !plan.NextAt.After(moment(second)) {
			t.Fatalf("at %d s: nothing is due, and NextAt is %s", second, plan.NextAt)
		}
	}
	if diff := cmp.Diff([]int{0, 15, 45, 105, 225, 465, 765}, sent); diff != "" {
		t.Errorf("requests at (-want +got):\n%s", diff)
	}
}

func TestPlanTerminationsBackOffSurvivesAnUntrustedSweep(t *testing.T) {
	extra := []ExtraRental{{RentalID: 50, USDPerHour: usd(60)}}
	memory := RecordDestroy(nil, 50, moment(0))
	memory = PlanTerminations(&TerminationInput{Sweep: untrustedAt(2), Memory: memory, Now: moment(3)}).Memory
	plan := PlanTerminations(&TerminationInput{Extras: extra, Sweep: sweepAt(5), Memory: memory, Now: moment(6)})
	if len(plan.Destroys) != 0 {
		t.Errorf("destroys = %+v: the request of 6 s ago was forgotten", plan.Destroys)
	}
}

// goneStep is one plan of a story about rental 1.
type goneStep struct {
	sweep Sweep
	// request is the second at which a destroy is recorded before the plan; 0 for none.
	request int
	// asked is the second of a lookup that is known to this plan; 0 for none.
	asked    int
	askedYes bool
	// want is "", "lookup", "destroy" or "gone".
	want string
}

func TestPlanTerminationsConfirmsGone(t *testing.T) {
	shown := row(1, "", usd(40))
	tests := map[string][]goneStep{
		"two lists 30 s apart and a lookup": {
			{sweep: sweepAt(10, shown), want: "destroy"},
			{sweep: sweepAt(20), request: 12},
			{sweep: sweepAt(50), want: "lookup"},
			{sweep: sweepAt(50), asked: 52, askedYes: true, want: "gone"},
		},
		"two lists 29 s apart do not ask yet": {
			{sweep: sweepAt(20), request: 12}, {sweep: sweepAt(49)}, {sweep: sweepAt(50), want: "lookup"},
		},
		"one list never is enough": {
			{sweep: sweepAt(20), request: 12}, {sweep: sweepAt(20)}, {sweep: sweepAt(20), asked: 90, askedYes: true},
		},
		"a lookup from before the absence confirms nothing": {
			{sweep: sweepAt(20), request: 12}, {sweep: sweepAt(50), asked: 49, askedYes: true, want: "lookup"},
		},
		"a lookup that finds it starts anew": {
			{sweep: sweepAt(20), request: 12},
			{sweep: sweepAt(50), want: "lookup"},
			{sweep: sweepAt(50), asked: 52, askedYes: false, want: "destroy"},
			{sweep: sweepAt(65), request: 60},
			{sweep: sweepAt(95), want: "lookup"},
		},
		"a rental that is seen again starts anew": {
			{sweep: sweepAt(20), request: 12},
			{sweep: sweepAt(50), want: "lookup"},
			{sweep: sweepAt(65, shown), asked: 52, askedYes: true, want: "destroy"},
			{sweep: sweepAt(80), asked: 52, askedYes: true},
			{sweep: sweepAt(110), asked: 52, askedYes: true, want: "lookup"},
		},
		"an untrusted list that shows it starts anew": {
			{sweep: sweepAt(20), request: 12}, {sweep: untrustedAt(30, shown), want: "destroy"}, {sweep: sweepAt(50)},
		},
		"a list from before the request does not count": {
			{sweep: sweepAt(20), request: 20}, {sweep: sweepAt(50)}, {sweep: sweepAt(80), want: "lookup"},
		},
		"untrusted lists do not count": {
			{sweep: sweepAt(20), request: 12}, {sweep: untrustedAt(50)}, {sweep: untrustedAt(80)}, {sweep: sweepAt(81), want: "lookup"},
		},
		"an untrusted list lets nothing go": {
			{sweep: sweepAt(20), request: 12},
			{sweep: sweepAt(50), want: "lookup"},
			{sweep: untrustedAt(65), asked: 52, askedYes: true},
			{sweep: sweepAt(80), asked: 52, askedYes: true, want: "gone"},
		},
		"a request is repeated when no list tells for long": {
			{sweep: sweepAt(20), request: 12}, {sweep: untrustedAt(200)}, {sweep: untrustedAt(311), want: "destroy"},
		},
	}
	for name, steps := range tests {
		t.Run(name, func(t *testing.T) {
			var memory TerminationMemory
			for k, step := range steps {
				if step.request != 0 {
					memory = RecordDestroy(memory, 1, moment(step.request))
				}
				lookups := map[int64]Lookup{}
				if step.asked != 0 {
					lookups[1] = Lookup{At: moment(step.asked), Gone: step.askedYes}
				}
				plan := terminate(memory, step.sweep, lookups, deleting(rented("a", 1, usd(40)), 5))
				memory = plan.Memory
				if got := outcomeOf(&plan); got != step.want {
					t.Fatalf("step %d: %q, want %q (%+v)", k, got, step.want, plan)
				}
			}
		})
	}
}

// outcomeOf says in a word what a plan does.
func outcomeOf(plan *TerminationPlan) string {
	switch {
	case len(plan.Releases) > 0:
		return "gone"
	case len(plan.NeedLookup) > 0:
		return "lookup"
	case len(plan.Destroys) > 0:
		return "destroy"
	default:
		return ""
	}
}

func TestPlanTerminationsReleases(t *testing.T) {
	edit := func(instance Instance, change func(*Instance)) Instance {
		change(&instance)
		return instance
	}
	abandoned := func(id int64) Instance {
		return edit(deleting(rented("a", 1, usd(40)), 5), func(i *Instance) { i.AbandonRentalID = id })
	}
	withLate := func(change func(*Instance)) Instance {
		return edit(deleting(rented("a", 1, usd(40)), 5), func(i *Instance) {
			i.Attempts = append(i.Attempts, Attempt{Number: 2, RentalID: 9, Outcome: OutcomeRejected})
			change(i)
		})
	}
	tests := map[string]struct {
		instance Instance
		sweep    Sweep
		want     string
	}{
		"never attempted":                     {deleting(blank("a", 0), 5), sweepAt(10), ReasonNeverRented},
		"never attempted, untrusted list":     {deleting(blank("a", 0), 5), untrustedAt(10), ReasonNeverRented},
		"not deleted":                         {blank("a", 0), sweepAt(10), ""},
		"all attempts rejected":               {deleting(attempted("a", OutcomeRejected, usd(40)), 5), sweepAt(10), ReasonNeverRented},
		"abandoned attempt":                   {deleting(attempted("a", OutcomeAbandoned, usd(40)), 5), sweepAt(10), ReasonNeverRented},
		"abandoned attempt, rental shows up":  {deleting(attempted("a", OutcomeAbandoned, usd(40)), 5), sweepAt(10, row(11, labelOf("a", 1), 0)), ""},
		"abandoned attempt, label was copied": {deleting(attempted("a", OutcomeAbandoned, usd(40)), 5), sweepAt(10, elsewhere(row(11, labelOf("a", 1), 0))), ReasonNeverRented},
		"unknown outcome":                     {deleting(attempted("a", OutcomeUnknown, usd(40)), 5), sweepAt(10), ""},
		"pending after a restart":             {deleting(attempted("a", OutcomePending, usd(40)), 5), sweepAt(10), ""},
		"call in flight":                      {deleting(edit(blank("a", 0), func(i *Instance) { i.InFlight = true }), 5), sweepAt(10), ""},
		"rented":                              {deleting(rented("a", 1, usd(40)), 5), sweepAt(10), ""},
		"person names the rental":             {abandoned(1), sweepAt(10, row(1, labelOf("a", 1), 0)), ReasonAbandoned},
		"person names another id":             {abandoned(2), sweepAt(10), ""},
		"person names nothing":                {abandoned(0), sweepAt(10), ""},
		"person names it, but is not deleted": {edit(rented("a", 1, usd(40)), func(i *Instance) { i.AbandonRentalID = 1 }), sweepAt(10), ""},
		"person names it, outcome unknown": {edit(abandoned(1), func(i *Instance) {
			i.Attempts = append(i.Attempts, Attempt{Number: 2, Outcome: OutcomeUnknown})
		}), sweepAt(10), ""},
		"person names one of two":  {withLate(func(i *Instance) { i.AbandonRentalID = 1 }), sweepAt(10), ""},
		"the other of two is gone": {withLate(func(i *Instance) { i.AbandonRentalID, i.Attempts[1].RentalGone = 1, true }), sweepAt(10), ReasonAbandoned},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			plan := terminate(nil, tc.sweep, nil, tc.instance)
			got := ""
			if len(plan.Releases) > 0 {
				got = plan.Releases[0].Reason
				if plan.Releases[0].Message == "" {
					t.Error("a release needs a message for people")
				}
			}
			if got != tc.want {
				t.Errorf("release = %q, want %q", got, tc.want)
			}
		})
	}
}

func TestPlanTerminationsReportsLostAndLate(t *testing.T) {
	late := attempted("late", OutcomeAbandoned, usd(30))
	late.Attempts[0].RentalID = 9
	other := rented("0", 2, usd(40))
	instances := []Instance{rented("a", 1, usd(40)), late, other}
	memory := RecordDestroy(nil, 9, moment(3))
	plan := terminate(memory, sweepAt(10), nil, instances...)
	plan = terminate(plan.Memory, sweepAt(40), nil, instances...)
	if diff := cmp.Diff([]int64{1, 2, 9}, plan.NeedLookup); diff != "" {
		t.Fatalf("NeedLookup (-want +got):\n%s", diff)
	}
	gone := map[int64]Lookup{1: {At: moment(45), Gone: true}, 2: {At: moment(45), Gone: true}, 9: {At: moment(45), Gone: true}}
	plan = terminate(plan.Memory, sweepAt(55), gone, instances...)
	want := []GoneRental{{UID: "0", AttemptNumber: 1, RentalID: 2}, {UID: "a", AttemptNumber: 1, RentalID: 1}}
	if diff := cmp.Diff(want, plan.Lost, cmpopts.IgnoreFields(GoneRental{}, "Message")); diff != "" {
		t.Errorf("Lost (-want +got):\n%s", diff)
	}
	if len(plan.GoneExtras) != 1 || plan.GoneExtras[0].UID != "late" || plan.GoneExtras[0].RentalID != 9 {
		t.Errorf("GoneExtras = %+v, want rental 9 of late", plan.GoneExtras)
	}
	if len(plan.Releases) != 0 || len(plan.Destroys) != 0 {
		t.Errorf("plan = %+v, want neither a release nor a destroy", plan)
	}
}

func TestPlanTerminationsNewRentalIsNotLost(t *testing.T) {
	instance := rented("a", 1, usd(40))
	instance.Rental.RecordedAt = moment(30)
	memory := TerminationMemory{}
	// The lists at 0, 20, 30 and 31 s began before the rental was recorded for certain.
	for _, second := range []int{0, 20, 30, 31} {
		memory = terminate(memory, sweepAt(second), nil, instance).Memory
	}
	if got := memory[1].Absence; got.Sweeps != 0 {
		t.Errorf("absence = %+v, want none", got)
	}
}

// TestPlanTerminationsUnlistedRentalIsNotGoneSoon: reads may not show a new
// rental for a minute. One that was never seen is not taken for gone as fast as
// one that was seen and went.
func TestPlanTerminationsUnlistedRentalIsNotGoneSoon(t *testing.T) {
	for name, tc := range map[string]struct {
		listed bool
		gone   int
	}{
		"was seen before": {true, 30},
		"was never seen":  {false, 120},
	} {
		t.Run(name, func(t *testing.T) {
			instance := rented("a", 1, usd(40))
			if !tc.listed {
				instance.Rental.ObservedUSDPerHour, instance.Rental.PriceKnown = 0, false
			}
			var memory TerminationMemory
			asked := -1
			for second := 10; second <= 200 && asked < 0; second += 10 {
				plan := terminate(memory, sweepAt(second), nil, instance)
				memory = plan.Memory
				if len(plan.NeedLookup) > 0 {
					asked = second - 10
				}
			}
			if asked != tc.gone {
				t.Errorf("a look-up was asked for after %d s of absence, not %d", asked, tc.gone)
			}
		})
	}
}

func TestPlanTerminationsStuck(t *testing.T) {
	tests := map[string]struct {
		instance Instance
		now      int
		want     []StuckTermination
	}{
		"ten minutes": {deleting(rented("a", 1, usd(40)), 0), 600, []StuckTermination{{UID: "a", RentalID: 1, Since: moment(0), USDPerHour: usd(40)}}},
		"less":        {deleting(rented("a", 1, usd(40)), 0), 599, nil},
		"unknown":     {deleting(attempted("a", OutcomeUnknown, usd(40)), 0), 600, []StuckTermination{{UID: "a", Since: moment(0), USDPerHour: usd(40)}}},
		"released":    {deleting(blank("a", 0), 0), 600, nil},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			plan := PlanTerminations(&TerminationInput{Instances: []Instance{tc.instance}, Now: moment(tc.now)})
			if diff := cmp.Diff(tc.want, plan.Stuck); diff != "" {
				t.Errorf("stuck (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRecordDestroyLeavesItsArgumentAlone(t *testing.T) {
	before := TerminationMemory{1: {Absence: Absence{Sweeps: 1}, AbsentAt: moment(9)}}
	after := RecordDestroy(before, 1, moment(10))
	if before[1].Requests != 0 {
		t.Error("the argument changed")
	}
	if diff := cmp.Diff(TerminationMemory{1: {Requests: 1, LastRequestAt: moment(10)}}, after); diff != "" {
		t.Errorf("a new request takes the evidence away (-want +got):\n%s", diff)
	}
}

// TestAcceptedDestroysDoNotHoldUpOthers repeats the destroys of the two
// costliest rentals, which the sweep still shows. The one that was
// accepted waits behind a rental that was never asked for; the one that failed
// keeps its turn.
func TestAcceptedDestroysDoNotHoldUpOthers(t *testing.T) {
	accepted, failed := deleting(rented("a", 1, usd(90)), 5), deleting(rented("b", 2, usd(80)), 5)
	fresh := deleting(rented("c", 3, usd(10)), 5)
	memory := RecordDestroy(RecordDestroy(nil, 1, moment(6)), 2, moment(9))
	plan := terminate(RecordAccepted(memory, 1), sweepAt(30, row(1, "", usd(90)), row(2, "", usd(80)), row(3, "", usd(10))), nil, accepted, failed, fresh)
	if diff := cmp.Diff([]int64{2, 3, 1}, destroyed(&plan)); diff != "" {
		t.Errorf("destroys (-want +got):\n%s", diff)
	}
	if memory[1].Accepted {
		t.Error("RecordAccepted changed its argument")
	}
}

// TestAListThatWasHeldUpIsNotOlderThanItsAnswer: the process was stopped before
// it asked for the first of three lists, which all show the same ten seconds.
func TestAListThatWasHeldUpIsNotOlderThanItsAnswer(t *testing.T) {
	instance := deleting(rented("a", 1, usd(40)), 5)
	heldUp := sweepAt(20)
	heldUp.Listing.FinishedAt = moment(47)
	plan := terminate(RecordDestroy(nil, 1, moment(12)), heldUp, nil, instance)
	for _, at := range []int{50, 60, 70} {
		plan = terminate(plan.Memory, sweepAt(at), nil, instance)
		if len(plan.NeedLookup) > 0 {
			t.Fatalf("a look-up was asked for at %d s, the first list was answered at 47 s", at)
		}
	}
	if plan = terminate(plan.Memory, sweepAt(78), nil, instance); len(plan.NeedLookup) == 0 {
		t.Error("no look-up was asked for after half a minute")
	}
}
