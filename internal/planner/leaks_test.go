package planner

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/warmpool-dev/warmpool/internal/fleet"
)

// leakSweep runs FindLeaks at the sweep's time.
func leakSweep(memory LeakMemory, sweep Sweep, policy LeakPolicy, instances ...Instance) LeakPlan {
	return FindLeaks(&LeakInput{
		Instances: instances, Installation: testInstallation, Sweep: sweep, Memory: memory, Policy: policy, Now: sweep.Listing.StartedAt,
	})
}

// leakIDs lists reported leaks.
func leakIDs(plan *LeakPlan) []int64 {
	ids := []int64{}
	for _, leak := range plan.Leaks {
		ids = append(ids, leak.RentalID)
	}
	return ids
}

// endedIDs lists leaks to end.
func endedIDs(plan *LeakPlan) []int64 {
	ids := []int64{}
	for _, extra := range plan.Terminate {
		ids = append(ids, extra.RentalID)
	}
	return ids
}

func TestFindLeaks(t *testing.T) {
	orphan := row(50, labelOf("gone", 1), usd(40))
	tests := map[string]struct {
		instances []Instance
		sweeps    []Sweep
		want      []int64
	}{
		"reported by the second list":            {nil, []Sweep{sweepAt(0, orphan), sweepAt(15, orphan)}, []int64{50}},
		"not by the first":                       {nil, []Sweep{sweepAt(0, orphan)}, []int64{}},
		"not by the same list twice":             {nil, []Sweep{sweepAt(0, orphan), sweepAt(0, orphan)}, []int64{}},
		"not by untrusted lists":                 {nil, []Sweep{untrustedAt(0, orphan), untrustedAt(15, orphan)}, []int64{}},
		"a gap starts anew":                      {nil, []Sweep{sweepAt(0, orphan), sweepAt(15), sweepAt(30, orphan)}, []int64{}},
		"an untrusted list is no gap":            {nil, []Sweep{sweepAt(0, orphan), untrustedAt(15), sweepAt(30, orphan)}, []int64{50}},
		"an untrusted list repeats the report":   {nil, []Sweep{sweepAt(0, orphan), sweepAt(15, orphan), untrustedAt(30)}, []int64{50}},
		"a leak that ended is reported no more":  {nil, []Sweep{sweepAt(0, orphan), sweepAt(15, orphan), sweepAt(30)}, []int64{}},
		"a recorded rental is no leak":           {[]Instance{rented("a", 50, usd(40))}, []Sweep{sweepAt(0, orphan), sweepAt(15, orphan)}, []int64{}},
		"an unresolved attempt's is no leak":     {[]Instance{attempted("gone", OutcomeUnknown, usd(40))}, []Sweep{sweepAt(0, orphan), sweepAt(15, orphan)}, []int64{}},
		"an attempt's on another machine is one": {[]Instance{attempted("gone", OutcomeUnknown, usd(40))}, []Sweep{sweepAt(0, elsewhere(orphan)), sweepAt(15, elsewhere(orphan))}, []int64{50}},
		"one the restored object forgot is one":  {[]Instance{blank("gone", 0)}, []Sweep{sweepAt(0, orphan), sweepAt(15, orphan)}, []int64{50}},
		"foreign rentals are not ours to report": {nil, []Sweep{sweepAt(0, row(50, "x", 0), row(51, "", 0)), sweepAt(15, row(50, "x", 0), row(51, "", 0))}, []int64{}},
		"another installation's are foreign": {nil, []Sweep{
			sweepAt(0, row(50, fleet.Label{Installation: "other000", InstanceUID: "x", Attempt: 1}.String(), 0)),
			sweepAt(15, row(50, fleet.Label{Installation: "other000", InstanceUID: "x", Attempt: 1}.String(), 0)),
		}, []int64{}},
		"dearest first": {nil, []Sweep{
			sweepAt(0, orphan, row(51, labelOf("gone", 2), usd(90))), sweepAt(15, orphan, row(51, labelOf("gone", 2), usd(90))),
		}, []int64{51, 50}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			var plan LeakPlan
			for _, sweep := range tc.sweeps {
				plan = leakSweep(plan.Memory, sweep, LeakPolicy{}, tc.instances...)
			}
			if diff := cmp.Diff(tc.want, leakIDs(&plan)); diff != "" {
				t.Errorf("leaks (-want +got):\n%s", diff)
			}
			if len(plan.Terminate) != 0 {
				t.Errorf("the zero policy ends %v", endedIDs(&plan))
			}
		})
	}
}

func TestFindLeaksTerminate(t *testing.T) {
	policy := LeakPolicy{Action: LeakTerminate, MinAge: 10 * time.Minute, MaxPerHour: 2}
	aged := func(id int64, startedAt int, cents int64) fleet.Rental {
		rental := row(id, labelOf("gone", int32(id)), usd(cents))
		rental.StartedAt = moment(startedAt)
		return rental
	}
	tests := map[string]struct {
		policy LeakPolicy
		last   Sweep
		owners []Instance
		want   []int64
	}{
		"old enough":                            {policy, sweepAt(600, aged(50, 0, 40)), nil, []int64{50}},
		"too young":                             {policy, sweepAt(599, aged(50, 0, 40)), nil, []int64{}},
		"of unknown age since seen":             {policy, sweepAt(600, row(50, labelOf("gone", 1), usd(40))), nil, []int64{50}},
		"unknown age, seen too lately":          {policy, sweepAt(599, row(50, labelOf("gone", 1), usd(40))), nil, []int64{}},
		"report only":                           {LeakPolicy{Action: LeakReport, MaxPerHour: 2}, sweepAt(600, aged(50, 0, 40)), nil, []int64{}},
		"not without trust":                     {policy, untrustedAt(600, aged(50, 0, 40)), nil, []int64{}},
		"not while the object exists":           {policy, sweepAt(600, aged(50, 0, 40)), []Instance{blank("gone", 0)}, []int64{}},
		"at most two in an hour, dearest first": {policy, sweepAt(600, aged(50, 0, 40), aged(51, 0, 90), aged(52, 0, 60)), nil, []int64{51, 52}},
		"none an hour":                          {LeakPolicy{Action: LeakTerminate}, sweepAt(600, aged(50, 0, 40)), nil, []int64{}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			first := tc.last
			first.Trusted, first.Listing.StartedAt, first.Listing.FinishedAt = true, moment(0), moment(1)
			second := first
			second.Listing.StartedAt = moment(15)
			plan := leakSweep(LeakMemory{}, first, tc.policy, tc.owners...)
			plan = leakSweep(plan.Memory, second, LeakPolicy{}, tc.owners...)
			plan = leakSweep(plan.Memory, tc.last, tc.policy, tc.owners...)
			if diff := cmp.Diff(tc.want, endedIDs(&plan)); diff != "" {
				t.Errorf("ended (-want +got):\n%s", diff)
			}
		})
	}
}

func TestFindLeaksKeepsItsPacePerHour(t *testing.T) {
	policy := LeakPolicy{Action: LeakTerminate, MaxPerHour: 1}
	a, b := row(50, labelOf("gone", 1), usd(90)), row(51, labelOf("gone", 2), usd(40))
	var plan LeakPlan
	got := map[int][]int64{}
	for _, second := range []int{0, 15, 30, 3614, 3615} {
		plan = leakSweep(plan.Memory, sweepAt(second, a, b), policy)
		got[second] = endedIDs(&plan)
	}
	// The one that was decided is asked for again until it is gone; the next one waits its hour.
	want := map[int][]int64{0: {}, 15: {50}, 30: {50}, 3614: {50}, 3615: {50}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("ended (-want +got):\n%s", diff)
	}
	plan = leakSweep(plan.Memory, sweepAt(3630, b), policy)
	plan = leakSweep(plan.Memory, sweepAt(3615+3600, b), policy)
	if diff := cmp.Diff([]int64{51}, endedIDs(&plan)); diff != "" {
		t.Errorf("an hour later (-want +got):\n%s", diff)
	}
}

func TestFindLeaksDescribes(t *testing.T) {
	orphan := row(50, labelOf("gone", 3), usd(40))
	orphan.StartedAt = moment(-100)
	plan := leakSweep(LeakMemory{}, sweepAt(0, orphan, row(51, "x", 0)), LeakPolicy{})
	plan = leakSweep(plan.Memory, sweepAt(15, orphan, row(51, "x", 0)), LeakPolicy{})
	want := []Leak{{
		RentalID: 50, Label: labelOf("gone", 3), UID: "gone", AttemptNumber: 3, USDPerHour: usd(40),
		StartedAt: moment(-100), Age: 115 * time.Second,
	}}
	if diff := cmp.Diff(want, plan.Leaks); diff != "" || plan.Foreign != 1 {
		t.Errorf("%d foreign, leaks (-want +got):\n%s", plan.Foreign, diff)
	}
}

// TestFindLeaksSparesOtherAccounts has two account objects with keys of one
// user: what the other one records is no leak, however old it is.
func TestFindLeaksSparesOtherAccounts(t *testing.T) {
	theirs := row(50, labelOf("theirs", 1), usd(40))
	policy := LeakPolicy{Action: LeakTerminate, MaxPerHour: 2}
	var plan LeakPlan
	for _, second := range []int{0, 15, 30} {
		plan = FindLeaks(&LeakInput{
			Elsewhere: Elsewhere{UIDs: map[string]bool{"theirs": true}}, Installation: testInstallation, Sweep: sweepAt(second, theirs),
			Memory: plan.Memory, Policy: policy, Now: moment(second),
		})
	}
	if len(plan.Leaks) != 0 || len(plan.Terminate) != 0 {
		t.Errorf("leaks %v, ended %v, want none", leakIDs(&plan), endedIDs(&plan))
	}
}
