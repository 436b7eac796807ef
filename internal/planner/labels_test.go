package planner

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/warmpool-dev/warmpool/internal/fleet"
)

// began sets when a row's contract began.
func began(row fleet.Rental, at int) fleet.Rental {
	row.StartedAt = moment(at)
	return row
}

// labelled gives a rented instance the label that its record remembers.
func labelled(instance Instance, restoredAt int) Instance {
	rental := *instance.Rental
	rental.Label = labelOf(instance.UID, 1)
	if restoredAt > 0 {
		rental.LabelRestoredAt = moment(restoredAt)
	}
	instance.Rental = &rental
	return instance
}

func TestPlanLabels(t *testing.T) {
	t.Parallel()
	ours := func() Instance { return labelled(rented("a", 5, usd(40)), 0) }
	restored := labelled(rented("a", 5, usd(40)), 50)
	for name, tc := range map[string]struct {
		instances []Instance
		sweep     Sweep
		want      []string
	}{
		"intact":                   {[]Instance{ours()}, sweepAt(100, row(5, labelOf("a", 1), usd(40))), nil},
		"renamed":                  {[]Instance{ours()}, sweepAt(100, row(5, "mine", usd(40))), []string{"5 Restore LabelChanged"}},
		"cleared":                  {[]Instance{ours()}, sweepAt(100, row(5, "", usd(40))), []string{"5 Restore LabelChanged"}},
		"changed again":            {[]Instance{restored}, sweepAt(100, row(5, "mine", usd(40))), []string{"5 Leave LabelContested"}},
		"a list from before":       {[]Instance{restored}, sweepAt(50, row(5, "mine", usd(40))), nil},
		"no trust":                 {[]Instance{ours()}, untrustedAt(100, row(5, "mine", usd(40))), nil},
		"ending":                   {[]Instance{deleting(ours(), 90)}, sweepAt(100, row(5, "mine", usd(40))), nil},
		"not shown":                {[]Instance{ours()}, sweepAt(100), nil},
		"a record without a label": {[]Instance{rented("a", 5, usd(40))}, sweepAt(100, row(5, "mine", usd(40))), nil},
		"swapped": {
			[]Instance{ours(), labelled(rented("b", 6, usd(40)), 0)},
			sweepAt(100, row(6, labelOf("a", 1), usd(40)), row(5, labelOf("b", 1), usd(40))),
			[]string{"5 Restore LabelChanged", "6 Restore LabelChanged"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got []string
			for _, plan := range PlanLabels(tc.instances, &tc.sweep) {
				got = append(got, fmt.Sprintf("%d %s %s", plan.RentalID, plan.Action, plan.Reason))
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestACopiedLabelIsNeverAdoptedNorEnded: somebody puts our label on an instance
// of theirs, on the very machine of the attempt. That it began at another time
// shows that the attempt did not make it.
func TestACopiedLabelIsNeverAdoptedNorEnded(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		outcome := rapid.SampledFrom([]AttemptOutcome{OutcomeUnknown, OutcomePending, OutcomeSucceeded, OutcomeAbandoned, OutcomeRejected}).Draw(t, "outcome")
		instance := attempted("a", outcome, usd(40))
		instance.Attempts[0].StartedAt = moment(100_000)
		rows := []fleet.Rental{}
		if outcome == OutcomeSucceeded {
			instance = rented("a", 5, usd(40))
			instance.Attempts[0].StartedAt = moment(100_000)
			rows = append(rows, began(row(5, labelOf("a", 1), usd(40)), 100_000))
		}
		apart := rapid.IntRange(int(attemptReach/time.Second)+1, 90_000).Draw(t, "apart")
		if rapid.Bool().Draw(t, "earlier") {
			apart = -apart
		}
		rows = append(rows, began(row(77, labelOf("a", 1), usd(30)), 100_000+apart))
		sweep := sweepAt(200_000, rows...)
		resolved := ResolveAttempts(&ResolveInput{Instances: []Instance{instance}, Installation: testInstallation, Sweep: sweep, AttemptDeadline: time.Minute})
		for _, resolution := range resolved.Resolutions {
			if resolution.Action == ResolveAdopt {
				t.Fatalf("adopted a copied label: %+v", resolution)
			}
		}
		if len(resolved.Extras) > 0 {
			t.Fatalf("would end somebody's rental: %+v", resolved.Extras)
		}
		memory := LeakMemory{}
		for k := range 3 {
			leaks := FindLeaks(&LeakInput{
				Instances: []Instance{instance}, Installation: testInstallation, Sweep: sweepAt(200_000+60*k, rows...), Memory: memory,
				Policy: LeakPolicy{Action: LeakTerminate, MaxPerHour: 5}, Now: moment(200_000 + 60*k),
			})
			memory = leaks.Memory
			if len(leaks.Terminate) > 0 {
				t.Fatalf("would end somebody's rental as a leak: %+v", leaks.Terminate)
			}
			if k == 2 && len(leaks.Leaks) != 1 {
				t.Fatalf("it is not reported: %+v", leaks.Leaks)
			}
		}
	})
}

// TestALabelOfAnotherTimeIsACopy walks along the edges of what an attempt can
// have made.
func TestALabelOfAnotherTimeIsACopy(t *testing.T) {
	t.Parallel()
	const at, reach = 100_000, int(attemptReach / time.Second)
	attempt := attempted("a", OutcomeUnknown, usd(40)).Attempts[0]
	attempt.StartedAt = moment(at)
	bare := row(5, labelOf("a", 1), usd(40))
	for name, tc := range map[string]struct {
		row  fleet.Rental
		want bool
	}{
		"began with it":        {began(bare, at), true},
		"as early as it may":   {began(bare, at-reach), true},
		"too early":            {began(bare, at-reach-1), false},
		"as late as it may":    {began(bare, at+reach), true},
		"too late":             {began(bare, at+reach+1), false},
		"nobody knows when":    {bare, true},
		"on another machine":   {fleet.Rental{ID: 5, MachineID: bare.MachineID + 1, StartedAt: moment(at)}, false},
		"on another, no clock": {fleet.Rental{ID: 5, MachineID: bare.MachineID + 1}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := attempt.couldHaveMade(&tc.row); got != tc.want {
				t.Errorf("the attempt could have made it: %t, want %t", got, tc.want)
			}
		})
	}
}

func TestFindTwins(t *testing.T) {
	t.Parallel()
	theirs := began(row(9, labelOf("stranger", 1), usd(40)), 150)
	known := map[int64]Twin{9: {RentalID: 9, Label: theirs.Label, StartedAt: theirs.StartedAt, USDPerHour: usd(40)}}
	listed := sweepAt(100)
	for name, tc := range map[string]struct {
		change func(*TwinInput)
		want   []int64
	}{
		"made after our last list":      {nil, []int64{9}},
		"the first list is no evidence": {func(in *TwinInput) { in.Before = nil }, nil},
		"it was there before": {func(in *TwinInput) {
			in.Before = &fleet.Listing{StartedAt: moment(100), Rentals: []fleet.Rental{theirs}}
		}, nil},
		"older than our last list, only hidden":   {func(in *TwinInput) { in.Sweep = sweepAt(200, began(theirs, 10)) }, nil},
		"a clock that is a little behind":         {func(in *TwinInput) { in.Sweep = sweepAt(200, began(theirs, 70)) }, []int64{9}},
		"its beginning is not known":              {func(in *TwinInput) { in.Sweep = sweepAt(200, row(9, labelOf("stranger", 1), usd(40))) }, nil},
		"our own rent in flight":                  {func(in *TwinInput) { in.Instances = []Instance{blank("stranger", 140)} }, nil},
		"an object that was deleted by force":     {func(in *TwinInput) { in.Issued = func(uid string) bool { return uid == "stranger" } }, nil},
		"another account's":                       {func(in *TwinInput) { in.Elsewhere = Elsewhere{UIDs: map[string]bool{"stranger": true}} }, nil},
		"another installation's":                  {func(in *TwinInput) { in.Installation = "other" }, nil},
		"no trust changes nothing":                {func(in *TwinInput) { in.Sweep.Trusted, in.Known = false, known }, []int64{9}},
		"no trust finds nothing":                  {func(in *TwinInput) { in.Sweep.Trusted = false }, nil},
		"it stays found after a restart":          {func(in *TwinInput) { in.Before, in.Known = nil, known }, []int64{9}},
		"it is over when the rental is gone":      {func(in *TwinInput) { in.Sweep, in.Known = sweepAt(200), known }, nil},
		"it is over when the label is changed":    {func(in *TwinInput) { in.Sweep, in.Known = sweepAt(200, row(9, "x", usd(40))), known }, nil},
		"it is over when somebody has adopted it": {func(in *TwinInput) { in.Instances, in.Known = []Instance{rented("a", 9, usd(40))}, known }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := TwinInput{Installation: testInstallation, Sweep: sweepAt(200, theirs), Before: &listed.Listing, Issued: func(string) bool { return false }}
			if tc.change != nil {
				tc.change(&in)
			}
			twins := FindTwins(&in)
			if diff := cmp.Diff(tc.want, slices.Sorted(maps.Keys(twins))); diff != "" {
				t.Error(diff)
			}
			if message := TwinMessage(twins, testInstallation); (message == "") != (len(twins) == 0) || (len(twins) > 0 && !strings.Contains(message, "rental 9")) {
				t.Errorf("it says %q", message)
			}
		})
	}
}

// TestATwinFreezesRentsAndLeaks: while a second writer lives, nothing is rented
// and no leak is ended.
func TestATwinFreezesRentsAndLeaks(t *testing.T) {
	t.Parallel()
	account := goodAccount()
	account.Twin = "A second manager works here."
	if deferral := SpendGate(&account, moment(100)); deferral == nil || deferral.Reason != ReasonDuplicateInstallation {
		t.Errorf("the gate says %+v", deferral)
	}
	in := LeakInput{
		Installation: testInstallation, Policy: LeakPolicy{Action: LeakTerminate, MaxPerHour: 5},
		Twins: map[int64]Twin{9: {RentalID: 9}},
	}
	for k := range 5 {
		in.Sweep, in.Now = sweepAt(1000+60*k, row(8, labelOf("gone", 1), usd(40))), moment(1000+60*k)
		plan := FindLeaks(&in)
		in.Memory = plan.Memory
		if len(plan.Terminate) > 0 {
			t.Fatal("a leak is ended although a second writer lives")
		}
		if k > 1 && len(plan.Leaks) != 1 {
			t.Fatal("the leak is not reported any more")
		}
	}
	in.Twins, in.Sweep, in.Now = nil, sweepAt(2000, row(8, labelOf("gone", 1), usd(40))), moment(2000)
	if plan := FindLeaks(&in); len(plan.Terminate) != 1 {
		t.Error("afterwards it is not ended")
	}
}

func TestSharedUser(t *testing.T) {
	t.Parallel()
	named := func(key string, user int64, second int) AccountIdentity {
		return AccountIdentity{Key: key, UserID: user, CreatedAt: moment(second)}
	}
	old, young, twin := named("a/old", 7, 0), named("a/young", 7, 9), named("a/zwilling", 7, 9)
	other, unknown := named("a/other", 8, -9), named("a/unknown", 0, -9)
	// Another API numbers its users by itself.
	here, there := named("a/here", 9, 0), named("a/there", 9, 9)
	here.BaseURLKnown, there.BaseURLKnown, there.BaseURL = true, true, "http://127.0.0.1:1"
	all := []AccountIdentity{young, unknown, old, other, twin, here, there}
	for self, want := range map[AccountIdentity]string{old: "", young: "a/old", other: "", unknown: "", twin: "a/old", here: "", there: ""} {
		if got := SharedUser(&self, all); got != want {
			t.Errorf("%s shares with %q, want %q", self.Key, got, want)
		}
	}
	if got := SharedUser(&twin, []AccountIdentity{young, twin}); got != "a/young" {
		t.Errorf("of two equally old ones the second shares with %q", got)
	}
	account := goodAccount()
	account.SharedWith = "a/old"
	if deferral := SpendGate(&account, moment(100)); deferral == nil || deferral.Reason != ReasonSharedUser {
		t.Errorf("the gate says %+v", deferral)
	}
}
