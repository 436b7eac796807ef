package planner

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/warmpool-dev/warmpool/internal/fleet"
)

// wants is an instance that a person made to take a rental over.
func wants(uid string, createdAt int, rentalID int64) Instance {
	instance := blank(uid, createdAt)
	instance.AdoptRentalID = rentalID
	return instance
}

func adoptInput(instances ...Instance) AdoptInput {
	return AdoptInput{
		Instances: instances, Installation: testInstallation,
		Pools: map[string]AdoptPool{testPool: {CeilingUSDPerHour: usd(100)}},
		Sweep: sweepAt(100, row(9, "", usd(40))),
	}
}

func TestPlanAdoptions(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		in   AdoptInput
		want []string
	}{
		"without a label":      {adoptInput(wants("a", 0, 9)), []string{"a Adopted"}},
		"a suspected leak":     {showing(adoptInput(wants("a", 0, 9)), row(9, labelOf("gone", 1), usd(40))), []string{"a Adopted"}},
		"a foreign label":      {showing(adoptInput(wants("a", 0, 9)), row(9, "mine", usd(40))), []string{"a Adopted"}},
		"not in the account":   {showing(adoptInput(wants("a", 0, 9))), []string{"a RentalNotFound"}},
		"no trust":             {distrusting(adoptInput(wants("a", 0, 9))), []string{"a AwaitingAdoption"}},
		"recorded already":     {adoptInput(wants("a", 0, 9), rented("b", 9, usd(40))), []string{"a RentalRecorded"}},
		"a late rental of b":   {adoptInput(wants("a", 0, 9), late(SizeInstance{Instance: blank("b", 0)}, 9, usd(1)).Instance), []string{"a RentalRecorded"}},
		"recorded elsewhere":   {heldElsewhere(adoptInput(wants("a", 0, 9))), []string{"a RentalRecorded"}},
		"the older one of two": {adoptInput(wants("b", 0, 9), wants("a", 5, 9)), []string{"a RentalRecorded", "b Adopted"}},
		"another installation's": {
			showing(adoptInput(wants("a", 0, 9)), row(9, fleet.Label{Installation: "other", InstanceUID: "x", Attempt: 1}.String(), usd(40))),
			[]string{"a RentalOfOtherInstallation"},
		},
		"of an attempt that is being settled": {
			showing(adoptInput(wants("a", 0, 9), attempted("b", OutcomeUnknown, usd(40))), row(9, labelOf("b", 1), usd(40))),
			[]string{"a RentalOfAttempt"},
		},
		"too dear for the ceiling": {adoptInput(wants("a", 0, 9), rented("b", 5, usd(61))), []string{"a CostCeilingReached"}},
		"two that fit only alone": {
			showing(adoptInput(wants("a", 0, 9), wants("b", 1, 8)), row(9, "", usd(60)), row(8, "", usd(60))),
			[]string{"a Adopted", "b CostCeilingReached"},
		},
		"no pool":               {withPools(adoptInput(wants("a", 0, 9)), nil), []string{"a PoolNotFound"}},
		"a pool on its way out": {withPools(adoptInput(wants("a", 0, 9)), map[string]AdoptPool{testPool: {CeilingUSDPerHour: usd(100), Deleting: true}}), []string{"a PoolDeleting"}},
		"emergency stop":        {stopping(adoptInput(wants("a", 0, 9))), []string{"a EmergencyStop"}},
		"deleted":               {adoptInput(deleting(wants("a", 0, 9), 10)), nil},
		"to be rented":          {adoptInput(blank("a", 0)), nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got []string
			for _, adoption := range PlanAdoptions(&tc.in) {
				got = append(got, adoption.UID+" "+adoption.Reason)
				if (adoption.Row != nil) != (adoption.Reason == ReasonAdopted) || !strings.HasSuffix(adoption.Message, ".") {
					t.Errorf("%+v", adoption)
				}
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func showing(in AdoptInput, rows ...fleet.Rental) AdoptInput {
	in.Sweep = sweepAt(100, rows...)
	return in
}

func distrusting(in AdoptInput) AdoptInput {
	in.Sweep.Trusted = false
	return in
}

func heldElsewhere(in AdoptInput) AdoptInput {
	in.Elsewhere = Elsewhere{Rentals: map[int64]string{9: "other/b"}}
	return in
}

func withPools(in AdoptInput, pools map[string]AdoptPool) AdoptInput {
	in.Pools = pools
	return in
}

func stopping(in AdoptInput) AdoptInput {
	in.EmergencyStop = true
	return in
}

// TestPropertyAdoption: no rental has two owners, no pool is put over its ceiling
// and nothing is adopted without a trusted list that shows it.
func TestPropertyAdoption(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		in := adoptInput()
		in.Sweep = Sweep{Trusted: rapid.Float64().Draw(t, "trust") > 0.2}
		for k := range rapid.IntRange(0, 6).Draw(t, "rows") {
			price := usd(rapid.Int64Range(1, 60).Draw(t, "price"))
			label := rapid.SampledFrom([]string{"", "mine", labelOf("gone", 1), labelOf("i0", 1)}).Draw(t, "label")
			in.Sweep.Listing.Rentals = append(in.Sweep.Listing.Rentals, row(int64(k), label, price))
		}
		for k := range rapid.IntRange(0, 6).Draw(t, "instances") {
			uid := "i" + string(rune('0'+k))
			if rapid.Bool().Draw(t, "rented") {
				in.Instances = append(in.Instances, rented(uid, rapid.Int64Range(0, 6).Draw(t, "rental"), usd(20)))
				continue
			}
			in.Instances = append(in.Instances, wants(uid, rapid.IntRange(0, 3).Draw(t, "created"), rapid.Int64Range(0, 6).Draw(t, "wanted")))
		}
		committed := CommittedOfPool(in.Instances, testPool)
		owners := recordedBy(in.Instances)
		adopted := fleet.USDMicros(0)
		for _, adoption := range PlanAdoptions(&in) {
			if adoption.Row == nil {
				continue
			}
			if owner, recorded := owners[adoption.RentalID]; recorded || !in.Sweep.Trusted {
				t.Fatalf("rental %d is adopted; owned by %q, trusted %v", adoption.RentalID, owner, in.Sweep.Trusted)
			}
			owners[adoption.RentalID] = adoption.UID
			adopted += adoption.Row.PriceUSDPerHour
		}
		if adopted > 0 && committed+adopted > usd(100) {
			t.Fatalf("adoptions of %s put the pool with %s over its ceiling", adopted, committed)
		}
	})
}

// TestNothingIsRentedForAnAdoption: neither the ranking nor the last look before
// the call lets such an instance through.
func TestNothingIsRentedForAnAdoption(t *testing.T) {
	t.Parallel()
	plan := RankPending([]AdmissionPool{activePool()}, []Instance{wants("a", 0, 9)}, moment(100))
	if len(plan.Candidates)+len(plan.Deferrals) > 0 {
		t.Errorf("it waits for a rent: %+v", plan)
	}
	journaled := attempted("a", OutcomePending, usd(40))
	journaled.AdoptRentalID = 9
	listing := sweepAt(90).Listing
	deferral := Recheck(&RecheckInput{
		UID: "a", AttemptNumber: 1, PoolKey: testPool, PoolCeilingUSDPerHour: usd(100), AccountCeilingUSDPerHour: usd(100),
		Instances: []Instance{journaled}, Listing: &listing, PriceUSDPerHour: usd(40),
	})
	if deferral == nil || deferral.Reason != ReasonNotPending {
		t.Errorf("the last look says %+v", deferral)
	}
}

// TestSizingLeavesAnAdoptionAlone: an object that waits for its rental is neither
// a victim nor a reason to rent less, until the pool goes.
func TestSizingLeavesAnAdoptionAlone(t *testing.T) {
	t.Parallel()
	adopt := SizeInstance{Instance: wants("a", 50, 9)}
	in := wanting(1, sized("r", StateReady, 0), adopt)
	if plan := ComputeSize(&in); plan.Create != 0 || len(plan.Delete) != 0 {
		t.Errorf("got %+v", plan)
	}
	in = wanting(1, adopt)
	if plan := ComputeSize(&in); plan.Create != 1 || len(plan.Delete) != 0 {
		t.Errorf("got %+v", plan)
	}
	in.Pool.Deleting = true
	if plan := ComputeSize(&in); len(plan.Delete) != 1 {
		t.Errorf("the pool could never go: %+v", plan)
	}
}

// TestALeakThatSomebodyAdoptsIsNotEnded: the policy must not end what a person is
// taking over.
func TestALeakThatSomebodyAdoptsIsNotEnded(t *testing.T) {
	t.Parallel()
	in := LeakInput{Installation: testInstallation, Policy: LeakPolicy{Action: LeakTerminate, MaxPerHour: 5}, Instances: []Instance{wants("a", 0, 8)}}
	for k := range 4 {
		in.Sweep, in.Now = sweepAt(1000+60*k, row(8, labelOf("gone", 1), usd(40))), moment(1000+60*k)
		plan := FindLeaks(&in)
		if in.Memory = plan.Memory; len(plan.Terminate) > 0 {
			t.Fatal("it is ended")
		}
	}
}
