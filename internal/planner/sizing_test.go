package planner

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/warmpool-dev/warmpool/internal/fleet"
)

// sized is an instance of the test pool in the given state, at $0.44/h where it
// bills, created at the given second.
func sized(uid string, state InstanceState, createdAt int) SizeInstance {
	var instance SizeInstance
	switch state {
	case StatePending:
		instance.Instance = blank(uid, createdAt)
	case StateUnknown:
		instance.Instance = attempted(uid, OutcomeUnknown, usd(44))
	default:
		instance.Instance = rented(uid, int64(len(uid)), usd(44))
	}
	instance.CreatedAt = moment(createdAt)
	switch state {
	case StateReady:
		instance.Ready, instance.WasReady, instance.Started = true, true, true
	case StateClaimed:
		instance.Ready, instance.WasReady, instance.Started, instance.Claimed = true, true, true, true
	case StateUnhealthy:
		instance.WasReady, instance.Started = true, true
	case StateFailed:
		instance.Failed = true
	case StateTerminating:
		instance.Deleting = true
	default:
	}
	return instance
}

// priced sets quote and price of an instance.
func priced(instance SizeInstance, price fleet.USDMicros) SizeInstance {
	instance.Attempts = slices.Clone(instance.Attempts)
	for k := range instance.Attempts {
		instance.Attempts[k].QuotedUSDPerHour = price
	}
	if instance.Rental != nil {
		rental := *instance.Rental
		rental.ObservedUSDPerHour = price
		instance.Rental = &rental
	}
	return instance
}

// several makes instances of one state, named "<state>0" and so on.
func several(state InstanceState, n int) []SizeInstance {
	var instances []SizeInstance
	for k := range n {
		instances = append(instances, sized(fmt.Sprintf("%s%d", state, k), state, k))
	}
	return instances
}

// wanting is an active pool with room for everything, after a trusted sweep.
func wanting(replicas int, instances ...SizeInstance) SizeInput {
	return SizeInput{
		Pool:      SizePool{Replicas: replicas, Mode: ModeActive, CeilingUSDPerHour: usd(100_000)},
		Instances: instances, Trusted: true,
		HeadroomUSDPerHour: usd(100_000), CheapestUSDPerHour: usd(40), Now: moment(1000),
	}
}

// names lists the victims with their reasons.
func names(victims []Victim) []string {
	var listed []string
	for _, victim := range victims {
		listed = append(listed, victim.Name+" "+victim.Reason)
	}
	return listed
}

func TestComputeSizeCreates(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		in   SizeInput
		want int
	}{
		"an empty pool of none":                     {wanting(0), 0},
		"as many as are missing":                    {wanting(3, several(StateReady, 1)...), 2},
		"pending, provisioning and ready count":     {wanting(4, slices.Concat(several(StatePending, 1), several(StateProvisioning, 1), several(StateReady, 1))...), 1},
		"claimed ones are replaced":                 {wanting(2, slices.Concat(several(StateReady, 1), several(StateClaimed, 1))...), 1},
		"failed and ending ones are replaced":       {wanting(2, slices.Concat(several(StateFailed, 1), several(StateTerminating, 1))...), 2},
		"an unknown outcome has no successor":       {wanting(1, several(StateUnknown, 1)...), 0},
		"an unhealthy one has no successor yet":     {wanting(1, several(StateUnhealthy, 1)...), 0},
		"never more than fifty at once":             {wanting(400), 50},
		"only what the headroom admits":             {withHeadroom(wanting(10), usd(130), usd(40)), 3},
		"those that wait already use the headroom":  {withHeadroom(wanting(10, several(StatePending, 2)...), usd(130), usd(40)), 1},
		"one while short, so that it says why":      {withHeadroom(wanting(10), usd(18), usd(41)), 1},
		"one waits already":                         {withHeadroom(wanting(10, several(StatePending, 1)...), usd(18), usd(41)), 0},
		"one when over the ceiling":                 {withHeadroom(wanting(3), -usd(50), usd(41)), 1},
		"one when the price is not known":           {withHeadroom(wanting(10), usd(1000), 0), 1},
		"500 with a ceiling for 2 make 2":           {withHeadroom(wanting(500), usd(100), usd(44)), 2},
		"and hold 3":                                {withHeadroom(wanting(500, several(StateReady, 2)...), usd(12), usd(44)), 1},
		"maxReplicas counts everything":             {withMax(wanting(5, slices.Concat(several(StateTerminating, 2), several(StateUnknown, 1), several(StateClaimed, 1))...), 5), 1},
		"maxReplicas reached":                       {withMax(wanting(5, several(StateTerminating, 6)...), 5), 0},
		"paused":                                    {withMode(wanting(3), ModePaused), 0},
		"an unknown mode":                           {withMode(wanting(3), "Sideways"), 0},
		"draining":                                  {withMode(wanting(3), ModeDrain), 0},
		"a dry run makes objects, which cost none":  {withMode(wanting(3), ModeDryRun), 3},
		"an untrusted list stops no object either":  {untrusting(wanting(3)), 3},
		"a pool that is deleted":                    {with(wanting(3), func(p *SizePool) { p.Deleting = true }), 0},
		"an account in emergency":                   {with(wanting(3), func(p *SizePool) { p.EmergencyStop = true }), 0},
		"one whose attempts are used up is no help": {wanting(1, exhausted("x")), 1},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			plan := ComputeSize(&tc.in)
			if plan.Create != tc.want {
				t.Errorf("ComputeSize() creates %d, want %d; plan %+v", plan.Create, tc.want, plan)
			}
			if (plan.CreateReason != "") != (plan.Create > 0) || (plan.CreateMessage != "") != (plan.Create > 0) {
				t.Errorf("creating %d is explained by %q, %q", plan.Create, plan.CreateReason, plan.CreateMessage)
			}
		})
	}
}

func TestComputeSizeEnds(t *testing.T) {
	t.Parallel()
	mixed := func() []SizeInstance {
		return []SizeInstance{
			sized("ready", StateReady, 0), sized("claimed", StateClaimed, 0), sized("pending", StatePending, 0),
			sized("provisioning", StateProvisioning, 0), sized("unknown", StateUnknown, 0),
			sized("failed", StateFailed, 0), sized("unhealthy", StateUnhealthy, 0), sized("ending", StateTerminating, 0),
		}
	}
	tests := map[string]struct {
		in             SizeInput
		want, withheld []string
	}{
		"no surplus": {wanting(5, mixed()...), nil, nil},
		"least useful first": {wanting(1, mixed()...), []string{
			"pending ScaledDown", "unhealthy ScaledDown", "provisioning ScaledDown", "unknown ScaledDown",
		}, nil},
		"ready ones last": {wanting(0, mixed()...), []string{
			"pending ScaledDown", "unhealthy ScaledDown", "provisioning ScaledDown", "unknown ScaledDown", "ready ScaledDown",
		}, nil},
		"untrusted: only what costs nothing": {
			untrusting(wanting(0, mixed()...)),
			[]string{"pending ScaledDown"},
			[]string{"unhealthy ScaledDown", "provisioning ScaledDown", "unknown ScaledDown", "ready ScaledDown"},
		},
		"dry run: only what costs nothing": {
			withMode(wanting(3, mixed()...), ModeDryRun), []string{"pending ScaledDown"}, []string{"unhealthy ScaledDown"},
		},
		"paused ends nothing": {withMode(wanting(0, mixed()...), ModePaused), nil, nil},
		"drain ends the unclaimed": {withMode(wanting(5, mixed()...), ModeDrain), []string{
			"pending PoolDrained", "failed PoolDrained", "unhealthy PoolDrained", "provisioning PoolDrained", "unknown PoolDrained", "ready PoolDrained",
		}, nil},
		"drain waits for a trusted list": {untrusting(withMode(wanting(5, mixed()[:3]...), ModeDrain)), []string{"pending PoolDrained"}, []string{"ready PoolDrained"}},
		"a deleted pool ends claims too, trusted or not": {
			untrusting(with(wanting(5, mixed()[:3]...), func(p *SizePool) { p.Deleting = true })),
			[]string{"pending PoolDeleted", "ready PoolDeleted", "claimed PoolDeleted"},
			nil,
		},
		"so does an emergency stop, paused or not": {
			untrusting(with(withMode(wanting(5, mixed()[:3]...), ModePaused), func(p *SizePool) { p.EmergencyStop = true })),
			[]string{"pending EmergencyStop", "ready EmergencyStop", "claimed EmergencyStop"},
			nil,
		},
		"too many wait for the headroom": {
			withHeadroom(wanting(20, several(StatePending, 5)...), usd(90), usd(40)),
			[]string{"Pending4 NotAffordable", "Pending3 NotAffordable", "Pending2 NotAffordable"},
			nil,
		},
		"a few too many may wait":             {withHeadroom(wanting(20, several(StatePending, 4)...), usd(90), usd(40)), nil, nil},
		"without a price nothing is trimmed":  {withHeadroom(wanting(20, several(StatePending, 9)...), usd(90), 0), nil, nil},
		"used up attempts make room":          {wanting(2, exhausted("x"), sized("ready", StateReady, 0)), []string{"x AttemptsExhausted"}, nil},
		"busy ready ones after idle ones":     {wanting(1, busy(sized("a", StateReady, 9)), sized("b", StateReady, 0)), []string{"b ScaledDown"}, nil},
		"the dearest ready one":               {wanting(1, sized("a", StateReady, 9), priced(sized("b", StateReady, 0), usd(45))), []string{"b ScaledDown"}, nil},
		"the newest ready one":                {ordered(wanting(1, sized("a", StateReady, 9), priced(sized("b", StateReady, 0), usd(45))), ScaleDownNewest), []string{"a ScaledDown"}, nil},
		"the oldest ready one":                {ordered(wanting(1, sized("a", StateReady, 9), priced(sized("b", StateReady, 0), usd(40))), ScaleDownOldest), []string{"b ScaledDown"}, nil},
		"equal in all but their names":        {wanting(1, sized("b", StateReady, 0), sized("a", StateReady, 0)), []string{"a ScaledDown"}, nil},
		"the newest of those on their way":    {wanting(1, sized("a", StateProvisioning, 1), sized("b", StateProvisioning, 2)), []string{"b ScaledDown"}, nil},
		"a claim is no surplus":               {wanting(0, several(StateClaimed, 3)...), nil, nil},
		"an ending one is not ended again":    {wanting(0, several(StateTerminating, 3)...), nil, nil},
		"failed ones end themselves":          {wanting(1, slices.Concat(several(StateFailed, 2), several(StateReady, 1))...), nil, nil},
		"one of two is being rented just now": {wanting(1, SizeInstance{Instance: attempted("a", OutcomePending, usd(40))}, sized("b", StateUnknown, 0)), []string{"a ScaledDown"}, nil},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tc.in.Now = moment(30)
			plan := ComputeSize(&tc.in)
			if diff := cmp.Diff(tc.want, names(plan.Delete)); diff != "" {
				t.Errorf("ends (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.withheld, names(plan.Withheld)); diff != "" {
				t.Errorf("withholds (-want +got):\n%s", diff)
			}
			for _, victim := range plan.Delete {
				if victim.UID == "" || victim.Message == "" {
					t.Errorf("victim %+v lacks its UID or an explanation", victim)
				}
			}
		})
	}
}

func TestComputeSizeOverCeiling(t *testing.T) {
	t.Parallel()
	raised := func() []SizeInstance {
		return []SizeInstance{priced(sized("cheap", StateReady, 0), usd(60)), priced(sized("raised", StateReady, 1), usd(100))}
	}
	under := func(ceiling fleet.USDMicros, instances ...SizeInstance) SizeInput {
		in := wanting(2, instances...)
		in.Pool.CeilingUSDPerHour = ceiling
		return in
	}
	tests := map[string]struct {
		in   SizeInput
		want []string
	}{
		"within":                         {under(usd(160), raised()...), nil},
		"the dearest ready one ends":     {under(usd(150), raised()...), []string{"raised OverCeiling"}},
		"a small drift ends nothing":     {under(usd(153), priced(sized("cheap", StateReady, 0), usd(60)), raisedTo(sized("raised", StateReady, 1), usd(93), usd(100))), nil},
		"a lowered ceiling has no drift": {under(usd(159), raised()...), []string{"raised OverCeiling"}},
		"as many as it takes":            {under(usd(50), raised()...), []string{"raised OverCeiling", "cheap OverCeiling"}},
		"hold":                           {with(under(usd(50), raised()...), func(p *SizePool) { p.OverCeiling = OverCeilingHold }), nil},
		"claims stay, even over":         {under(usd(100), priced(sized("c", StateClaimed, 0), usd(60)), priced(sized("d", StateClaimed, 0), usd(60))), nil},
		"what is ending already counts":  {under(usd(150), append(raised()[:1:1], priced(sized("e", StateTerminating, 0), usd(100)))...), nil},
		"not ready ones before ready":    {under(usd(150), append(raised()[1:2:2], priced(sized("p", StateProvisioning, 0), usd(60)))...), []string{"p OverCeiling"}},
		"an unknown ends before a ready": {under(usd(50), sized("u", StateUnknown, 0), sized("r", StateReady, 0)), []string{"u OverCeiling"}},
		"nothing on an untrusted list":   {untrusting(under(usd(50), raised()...)), nil},
		"nothing while paused":           {withMode(under(usd(50), raised()...), ModePaused), nil},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			plan := ComputeSize(&tc.in)
			if diff := cmp.Diff(tc.want, names(plan.Delete)); diff != "" {
				t.Errorf("ends (-want +got):\n%s", diff)
			}
		})
	}
}

func withHeadroom(in SizeInput, headroom, cheapest fleet.USDMicros) SizeInput {
	in.HeadroomUSDPerHour, in.CheapestUSDPerHour = headroom, cheapest
	return in
}

func withMax(in SizeInput, most int) SizeInput {
	return with(in, func(p *SizePool) { p.MaxReplicas = most })
}

func withMode(in SizeInput, mode PoolMode) SizeInput {
	return with(in, func(p *SizePool) { p.Mode = mode })
}

func ordered(in SizeInput, order ScaleDownOrder) SizeInput {
	return with(in, func(p *SizePool) { p.ScaleDownOrder = order })
}

func with(in SizeInput, change func(*SizePool)) SizeInput {
	change(&in.Pool)
	return in
}

func untrusting(in SizeInput) SizeInput {
	in.Trusted = false
	return in
}

func busy(instance SizeInstance) SizeInstance {
	instance.Busy = true
	return instance
}

// exhausted is a waiting instance whose attempts were all refused.
func exhausted(uid string) SizeInstance {
	instance := sized(uid, StatePending, 0)
	for k := range MaxAttempts {
		instance.Attempts = append(instance.Attempts, Attempt{Number: int32(k + 1), Outcome: OutcomeRejected})
	}
	return instance
}

// anyState draws a state of an instance.
func anyState() *rapid.Generator[InstanceState] {
	return rapid.SampledFrom([]InstanceState{
		StateTerminating, StateClaimed, StateFailed, StatePending, StateUnknown, StateProvisioning, StateUnhealthy, StateReady,
	})
}

// anySizeInput draws a pool with up to 12 instances.
func anySizeInput(t *rapid.T) SizeInput {
	var instances []SizeInstance
	for k := range rapid.IntRange(0, 12).Draw(t, "instances") {
		instance := sized(fmt.Sprintf("i%02d", k), anyState().Draw(t, "state"), rapid.IntRange(0, 5).Draw(t, "created"))
		instance.Busy = rapid.Bool().Draw(t, "busy")
		instances = append(instances, priced(instance, usd(rapid.Int64Range(1, 120).Draw(t, "price"))))
	}
	return SizeInput{
		Pool: SizePool{
			Replicas: rapid.IntRange(0, 12).Draw(t, "replicas"), MaxReplicas: rapid.IntRange(0, 14).Draw(t, "max"),
			Mode:              rapid.SampledFrom([]PoolMode{ModeActive, ModePaused, ModeDryRun, ModeDrain}).Draw(t, "mode"),
			ScaleDownOrder:    rapid.SampledFrom([]ScaleDownOrder{"", ScaleDownNewest, ScaleDownOldest}).Draw(t, "order"),
			CeilingUSDPerHour: usd(rapid.Int64Range(0, 600).Draw(t, "ceiling")),
			Deleting:          rapid.IntRange(0, 9).Draw(t, "deleting") == 0,
			EmergencyStop:     rapid.IntRange(0, 9).Draw(t, "emergency") == 0,
		},
		Instances: instances, Trusted: rapid.Bool().Draw(t, "trusted"),
		HeadroomUSDPerHour: usd(rapid.Int64Range(-100, 600).Draw(t, "headroom")),
		CheapestUSDPerHour: usd(rapid.Int64Range(0, 100).Draw(t, "cheapest")),
		Now:                moment(1000),
	}
}

func TestComputeSizeProperties(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		in := anySizeInput(t)
		plan := ComputeSize(&in)
		byUID := map[string]*SizeInstance{}
		for k := range in.Instances {
			byUID[in.Instances[k].UID] = &in.Instances[k]
		}
		everything := in.Pool.Deleting || in.Pool.EmergencyStop
		for _, victim := range plan.Delete {
			instance := byUID[victim.UID]
			if instance == nil || instance.Deleting {
				t.Fatalf("victim %v is unknown, named twice, or ending already", victim)
			}
			if instance.Claimed && !everything {
				t.Fatalf("I3: victim %v is claimed", victim)
			}
			if instance.IsBilling() && !in.Trusted && !everything {
				t.Fatalf("I5: victim %v bills and the list is not trusted", victim)
			}
			if instance.IsBilling() && in.Pool.Mode == ModeDryRun && !everything {
				t.Fatalf("victim %v ends in a dry run", victim)
			}
			delete(byUID, victim.UID)
		}
		fenced := everything || in.Pool.Mode == ModePaused || in.Pool.Mode == ModeDrain
		if fenced && plan.Create > 0 {
			t.Fatalf("creates %d while fenced", plan.Create)
		}
		if most := in.Pool.MaxReplicas; most > 0 && plan.Create > 0 && len(in.Instances)-len(plan.Delete)+plan.Create > most {
			t.Fatalf("creates %d beyond maxReplicas %d", plan.Create, most)
		}
		shuffled := in
		shuffled.Instances = rapid.Permutation(in.Instances).Draw(t, "order")
		if diff := cmp.Diff(plan, ComputeSize(&shuffled)); diff != "" {
			t.Fatalf("the order of the instances matters:\n%s", diff)
		}
	})
}

// A pool on a provider that behaves gets min(replicas, what the ceiling
// affords) ready instances from any start, and then rests (I7).
func TestComputeSizeConverges(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		price := usd(rapid.Int64Range(10, 90).Draw(t, "price"))
		in := anySizeInput(t)
		in.Pool.Mode, in.Pool.Deleting, in.Pool.EmergencyStop, in.Pool.MaxReplicas = ModeActive, false, false, 0
		in.Trusted, in.CheapestUSDPerHour = true, price
		for k := range in.Instances {
			in.Instances[k] = priced(in.Instances[k], price)
		}
		claimed := 0
		for k := range in.Instances {
			if in.Instances[k].Claimed {
				claimed++
			}
		}
		var made int
		for range 40 {
			made = stepSizing(&in, price, made)
		}
		affordable := max(int(in.Pool.CeilingUSDPerHour/price)-claimed, 0)
		ready := 0
		for k := range in.Instances {
			if StateOf(&in.Instances[k], in.Now) == StateReady {
				ready++
			}
		}
		want := min(in.Pool.Replicas, affordable)
		// A start above the ceiling may stay within its tolerance.
		drift := int(toleratedRise(in.Pool.CeilingUSDPerHour)/price) + 1
		if ready < want || ready > in.Pool.Replicas || ready > want+drift {
			t.Fatalf("ready %d, want %d of %d at %s under %s with %d claimed", ready, want, in.Pool.Replicas, price, in.Pool.CeilingUSDPerHour, claimed)
		}
		if plan := ComputeSize(&in); plan.Create != 0 || len(plan.Delete) != 0 {
			t.Fatalf("does not come to rest: %+v", plan)
		}
	})
}

// stepSizing carries out one plan, and lets a provider that behaves do its part:
// what ends is gone, what may be afforded is rented, what is rented gets ready.
func stepSizing(in *SizeInput, price fleet.USDMicros, made int) int {
	in.HeadroomUSDPerHour = in.Pool.CeilingUSDPerHour - committedOf(in.Instances)
	plan := ComputeSize(in)
	in.Instances = slices.DeleteFunc(slices.Clone(in.Instances), func(i SizeInstance) bool {
		return i.Deleting || i.Failed || slices.ContainsFunc(plan.Delete, func(v Victim) bool { return v.UID == i.UID })
	})
	for range plan.Create {
		made++
		in.Instances = append(in.Instances, sized(fmt.Sprintf("new%03d", made), StatePending, 100+made))
	}
	for k := range in.Instances {
		instance := &in.Instances[k]
		switch StateOf(instance, in.Now) {
		case StatePending:
			if committedOf(in.Instances)+price <= in.Pool.CeilingUSDPerHour {
				*instance = priced(sized(instance.UID, StateProvisioning, 100), price)
			}
		case StateProvisioning, StateUnknown, StateUnhealthy:
			*instance = priced(sized(instance.UID, StateReady, 100), price)
		default:
		}
	}
	return made
}

// committedOf is the committed cost of a pool's instances.
func committedOf(instances []SizeInstance) fleet.USDMicros {
	var total fleet.USDMicros
	for k := range instances {
		total += Cost(&instances[k].Instance)
	}
	return total
}

func TestStateOfARunningCall(t *testing.T) {
	t.Parallel()
	instance := SizeInstance{Instance: attempted("a", OutcomePending, usd(40))}
	if got := StateOf(&instance, moment(30)); got != StateProvisioning {
		t.Errorf("a call of half a minute ago is %s, want Provisioning", got)
	}
	if got := StateOf(&instance, moment(0).Add(rentAnswerTimeout)); got != StateUnknown {
		t.Errorf("a call that was never answered is %s, want Unknown", got)
	}
	instance.InFlight = true
	if got := StateOf(&instance, moment(0).Add(time.Hour)); got != StateProvisioning {
		t.Errorf("a call of this process is %s, want Provisioning", got)
	}
}
