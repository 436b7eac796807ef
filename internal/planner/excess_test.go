package planner

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/warmpool-dev/warmpool/internal/fleet"
)

// late adds the rental of an attempt that had been given up.
func late(instance SizeInstance, id int64, price fleet.USDMicros) SizeInstance {
	instance.Attempts = append(slices.Clone(instance.Attempts), Attempt{
		Number: 9, MachineID: 8, QuotedUSDPerHour: price, StartedAt: moment(0), Outcome: OutcomeAbandoned, RentalID: id,
	})
	return instance
}

func TestOverCeilingPolicies(t *testing.T) {
	t.Parallel()
	under := func(policy OverCeilingPolicy, ceiling fleet.USDMicros, instances ...SizeInstance) SizeInput {
		in := wanting(len(instances), instances...)
		in.Pool.CeilingUSDPerHour, in.Pool.OverCeiling = ceiling, policy
		return in
	}
	ready := func(uid string, at int, price int64) SizeInstance {
		return priced(sized(uid, StateReady, at), usd(price))
	}
	claimed := func(uid string, at int, price int64) SizeInstance {
		return priced(sized(uid, StateClaimed, at), usd(price))
	}
	tests := map[string]struct {
		in   SizeInput
		want []string
	}{
		"hold": {under(OverCeilingHold, usd(50), ready("a", 0, 60)), nil},
		"claims stay by default": {
			under("", usd(50), claimed("c", 0, 60), ready("a", 0, 60)), []string{"a OverCeiling"},
		},
		"all: claims go last": {
			under(OverCeilingScaleDownAll, usd(50), claimed("c", 0, 60), ready("a", 0, 60)), []string{"a OverCeiling", "c OverCeiling"},
		},
		"all: a claim stays when the rest is enough": {
			under(OverCeilingScaleDownAll, usd(60), claimed("c", 0, 60), ready("a", 0, 60)), []string{"a OverCeiling"},
		},
		"all: the dearest claim alone when it is enough": {
			under(OverCeilingScaleDownAll, usd(40), claimed("c", 0, 30), claimed("d", 0, 90)), []string{"d OverCeiling"},
		},
		"a cheap one is spared when a dear one has to go": {
			under("", usd(50), priced(sized("p", StateProvisioning, 0), usd(10)), ready("a", 0, 80), ready("b", 0, 40)), []string{"a OverCeiling"},
		},
		"newest first": {
			ordered(under("", usd(100), ready("old", 0, 60), ready("new", 9, 60)), ScaleDownNewest), []string{"new OverCeiling"},
		},
		"oldest first": {
			ordered(under("", usd(100), ready("old", 0, 60), ready("new", 9, 60)), ScaleDownOldest), []string{"old OverCeiling"},
		},
		"idle before busy": {
			under("", usd(100), busy(ready("b", 0, 70)), ready("i", 0, 60)), []string{"i OverCeiling"},
		},
		"a late rental ends anyway, so nothing else does": {
			under("", usd(100), late(ready("a", 0, 60), 99, usd(60)), ready("b", 0, 30)), nil,
		},
		"drain ends the rest by its own rule": {
			withMode(under("", usd(50), ready("a", 0, 60), claimed("c", 0, 60)), ModeDrain), []string{"a PoolDrained"},
		},
		"drain and all": {
			withMode(under(OverCeilingScaleDownAll, usd(50), ready("a", 0, 60), claimed("c", 0, 60)), ModeDrain), []string{"a PoolDrained", "c OverCeiling"},
		},
		"nothing while paused":  {withMode(under(OverCeilingScaleDownAll, usd(50), ready("a", 0, 60)), ModePaused), nil},
		"nothing in a dry run":  {withMode(under(OverCeilingScaleDownAll, usd(50), ready("a", 0, 60)), ModeDryRun), nil},
		"nothing without trust": {untrusting(under(OverCeilingScaleDownAll, usd(50), ready("a", 0, 60))), nil},
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

func TestWithinCeilingSaysWhyAndWhatIsDone(t *testing.T) {
	t.Parallel()
	pair := func() []SizeInstance {
		return []SizeInstance{priced(sized("a", StateReady, 0), usd(60)), raisedTo(sized("b", StateReady, 1), usd(60), usd(100))}
	}
	tests := map[string]struct {
		instances []SizeInstance
		change    func(*PoolVerdictInput)
		want      []string
	}{
		"raised": {pair(), nil, []string{
			"False/PriceRaisedByHost", "$1.60/h is committed, $0.10/h above the ceiling $1.50/h", "b now costs $1.00/h, it was rented at $0.60/h",
			"These are ended for it", "b ($1.00/h); $0.60/h stays",
		}},
		"lowered": {pair(), func(in *PoolVerdictInput) { in.Pool.CeilingUSDPerHour = usd(100) }, []string{
			"False/CeilingLowered", "lowered below what was rented before, which is $1.20/h",
		}},
		"hold":      {pair(), func(in *PoolVerdictInput) { in.Pool.OverCeiling = OverCeilingHold }, []string{"overCeilingPolicy is Hold"}},
		"paused":    {pair(), func(in *PoolVerdictInput) { in.Pool.Mode = ModePaused }, []string{"because spec.mode is Paused", "In mode Active these would be: b"}},
		"untrusted": {pair(), func(in *PoolVerdictInput) { in.Trusted = false }, []string{"Once the list of instances can be trusted"}},
		"drift": {[]SizeInstance{raisedTo(sized("a", StateReady, 0), usd(150), usd(152))}, nil, []string{
			"False/PriceRaisedByHost", "Nothing is ended for a drift",
		}},
		"ending": {append(pair()[:1:1], priced(sized("e", StateTerminating, 0), usd(100))), nil, []string{"False/CeilingLowered", "already brings it down to $0.60/h"}},
		"claims": {[]SizeInstance{priced(sized("c", StateClaimed, 0), usd(160))}, nil, []string{"Everything that is left is claimed", "ScaleDownAll"}},
		"late":   {[]SizeInstance{late(priced(sized("a", StateReady, 0), usd(100)), 77, usd(100))}, nil, []string{"False/LateRental", "rental 77"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := judged(tc.instances...)
			in.Pool.CeilingUSDPerHour, in.Trusted = usd(150), true
			if tc.change != nil {
				tc.change(&in)
			}
			verdict := ComputePoolVerdict(&in)
			condition := verdict.Conditions[2]
			text := condition.Status + "/" + condition.Reason + " " + condition.Message
			for _, part := range tc.want {
				if !strings.Contains(text, part) {
					t.Errorf("%q is missing in: %s", part, text)
				}
			}
		})
	}
}

// TestPropertyOverCeiling: after a plan for a pool over its ceiling, what stays
// fits, or nothing that may be ended is left; no claimed instance is ended but by
// ScaleDownAll and when nothing else is enough; and no victim could be spared.
func TestPropertyOverCeiling(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		in := anySizeInput(t)
		in.Pool.Mode, in.Pool.Deleting, in.Pool.EmergencyStop = ModeActive, false, false
		in.Pool.Replicas, in.Trusted = len(in.Instances), rapid.Float64().Draw(t, "trust") > 0.1
		in.Pool.OverCeiling = rapid.SampledFrom([]OverCeilingPolicy{"", OverCeilingScaleDownUnclaimed, OverCeilingScaleDownAll, OverCeilingHold}).Draw(t, "policy")
		for k := range in.Instances {
			quote := usd(rapid.Int64Range(1, 100).Draw(t, "quote"))
			price := quote + usd(rapid.Int64Range(0, 50).Draw(t, "rise"))
			in.Instances[k] = priced(in.Instances[k], quote)
			if in.Instances[k].Rental != nil {
				in.Instances[k].Rental.ObservedUSDPerHour = price
			}
		}
		in.Pool.CeilingUSDPerHour = usd(rapid.Int64Range(0, 400).Draw(t, "ceiling"))
		plan := ComputeSize(&in)
		checkOverCeiling(t, &in, &plan)
	})
}

func checkOverCeiling(t *rapid.T, in *SizeInput, plan *SizePlan) {
	victims := map[string]fleet.USDMicros{}
	for _, victim := range plan.Delete {
		if victim.Reason == VictimOverCeiling {
			victims[victim.UID] = 0
		}
	}
	var staying, remaining, leastVictim fleet.USDMicros
	leastVictim = math.MaxInt64
	left, claims := 0, 0
	for k := range in.Instances {
		instance := &in.Instances[k]
		cost := stayingCost(&instance.Instance)
		staying += cost
		if _, ends := victims[instance.UID]; ends {
			leastVictim = min(leastVictim, cost)
			if instance.Claimed {
				claims++
			}
			continue
		}
		remaining += cost
		if !instance.Deleting && cost > 0 && (!instance.Claimed || in.Pool.OverCeiling == OverCeilingScaleDownAll) {
			left++
		}
	}
	ceiling := in.Pool.CeilingUSDPerHour
	switch {
	case len(victims) > 0 && (!in.Trusted || in.Pool.OverCeiling == OverCeilingHold || staying <= ceiling):
		t.Fatalf("ended %v without trust, leave or need", plan.Delete)
	case claims > 0 && in.Pool.OverCeiling != OverCeilingScaleDownAll:
		t.Fatalf("ended a claimed instance under %q", in.Pool.OverCeiling)
	case len(victims) > 0 && remaining > ceiling && left > 0:
		t.Fatalf("%s stays above the ceiling %s although %d more could be ended", remaining, ceiling, left)
	case len(victims) > 0 && remaining+leastVictim <= ceiling:
		t.Fatalf("a victim of %s could be spared: %s of %s stays", leastVictim, remaining, ceiling)
	case len(victims) == 0 && in.Trusted && in.Pool.OverCeiling != OverCeilingHold && left > 0 && staying > ceiling+toleratedRise(ceiling):
		t.Fatalf("nothing is ended although %s stays above %s", staying, ceiling)
	}
}
