package planner

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// endingAt sets the contract of an instance, which began a day ago, to end in so long.
func endingIn(instance SizeInstance, left time.Duration) SizeInstance {
	rental := *instance.Rental
	rental.StartedAt, rental.EndsAt = moment(1000).Add(-24*time.Hour), moment(1000).Add(left)
	instance.Rental = &rental
	return instance
}

func TestPriceRose(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		instance SizeInstance
		want     bool
	}{
		"as quoted":        {sized("a", StateReady, 0), false},
		"five percent":     {raisedTo(sized("a", StateReady, 0), usd(100), usd(105)), false},
		"more":             {raisedTo(sized("a", StateReady, 0), usd(100), usd(106)), true},
		"cheaper":          {raisedTo(sized("a", StateReady, 0), usd(100), usd(50)), false},
		"nothing rented":   {sized("a", StatePending, 0), false},
		"no quote is told": {raisedTo(sized("a", StateReady, 0), 0, usd(50)), false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, _, rose := tc.instance.PriceRose(); rose != tc.want {
				t.Errorf("rose is %v", rose)
			}
		})
	}
}

func TestAPriceAboveTheCapIsReplaced(t *testing.T) {
	t.Parallel()
	capped := func(instances ...SizeInstance) SizeInput {
		return with(wanting(2, instances...), func(p *SizePool) { p.MaxInstanceUSDPerHour = usd(70) })
	}
	raised := func(state InstanceState) SizeInstance { return raisedTo(sized("r", state, 0), usd(60), usd(100)) }
	for name, tc := range map[string]struct {
		in   SizeInput
		want []string
	}{
		"ready":               {capped(raised(StateReady)), []string{"r AboveInstanceCap"}},
		"on its way":          {capped(raised(StateProvisioning)), []string{"r AboveInstanceCap"}},
		"claimed stays":       {capped(raised(StateClaimed)), nil},
		"below the cap stays": {capped(raisedTo(sized("r", StateReady, 0), usd(60), usd(70))), nil},
		"a lowered cap ends nothing": {
			capped(priced(sized("r", StateReady, 0), usd(100))), nil,
		},
		"no cap":   {wanting(2, raised(StateReady)), nil},
		"no trust": {untrusting(capped(raised(StateReady))), nil},
		"dry run":  {withMode(capped(raised(StateReady)), ModeDryRun), nil},
		"paused":   {withMode(capped(raised(StateReady)), ModePaused), nil},
		"its end is enough for the ceiling": {
			with(capped(raised(StateReady), priced(sized("p", StateProvisioning, 0), usd(60))), func(p *SizePool) { p.CeilingUSDPerHour = usd(120) }),
			[]string{"r AboveInstanceCap"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			plan := ComputeSize(&tc.in)
			if diff := cmp.Diff(tc.want, names(plan.Delete)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestAContractThatEndsSoonIsReplacedAheadOfTime(t *testing.T) {
	t.Parallel()
	soon := func(uid string) SizeInstance { return endingIn(sized(uid, StateReady, 0), RentalEndLead-time.Minute) }
	short := soon("short")
	short.Rental.StartedAt = moment(0)
	for name, tc := range map[string]struct {
		in     SizeInput
		create int
		want   []string
	}{
		"another is made":                     {wanting(1, soon("e")), 1, nil},
		"one on its way is enough":            {wanting(1, soon("e"), sized("p", StateProvisioning, 0)), 0, nil},
		"it ends when the other is ready":     {wanting(1, soon("e"), sized("r", StateReady, 0)), 0, []string{"e RentalEndsSoon"}},
		"one of two ends when one is ready":   {wanting(2, soon("e"), soon("f"), sized("r", StateReady, 0)), 1, []string{"e RentalEndsSoon"}},
		"not before":                          {wanting(1, endingIn(sized("e", StateReady, 0), RentalEndLead+time.Minute)), 0, nil},
		"nobody knows when":                   {wanting(1, sized("e", StateReady, 0)), 0, nil},
		"a claimed one is its user's":         {wanting(0, endingIn(sized("c", StateClaimed, 0), time.Minute)), 0, nil},
		"a short contract is left alone":      {wanting(1, short), 0, nil},
		"nothing ends without trust":          {untrusting(wanting(1, soon("e"), sized("r", StateReady, 0))), 0, nil},
		"fewer are wanted, so it simply ends": {wanting(0, soon("e")), 0, []string{"e RentalEndsSoon"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			plan := ComputeSize(&tc.in)
			if diff := cmp.Diff(tc.want, names(plan.Delete)); diff != "" || plan.Create != tc.create {
				t.Errorf("creates %d, want %d; ends (-want +got):\n%s", plan.Create, tc.create, diff)
			}
		})
	}
}

// TestAReplacementMayBeRentedBesideWhatEndsSoon: the guard against too many
// rentals must let the replacement through, and not a second one.
func TestAReplacementMayBeRentedBesideWhatEndsSoon(t *testing.T) {
	t.Parallel()
	pool := activePool()
	pool.Replicas = 1
	ending := endingIn(sized("e", StateReady, 0), time.Minute).Instance
	plan := RankPending([]AdmissionPool{pool}, []Instance{ending, blank("n", 1), blank("m", 2)}, moment(1000))
	if diff := cmp.Diff([]string{"n"}, uids(plan.Candidates)); diff != "" {
		t.Error(diff)
	}
}
