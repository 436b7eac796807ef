package main

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"time"
)

// act is one fault, or one deed of a user, that is planned.
type act struct {
	// At is when it begins, counted from the start of its round.
	At time.Duration
	// Round counts from 0. After each round everything has to converge.
	Round int
	// Group is what it is counted as, Kind what is done.
	Group, Kind string
	// Target is a process or a pair of hosts; empty when the act chooses itself.
	Target string
	// Length is how long it lasts, or how long a killed process stays away.
	Length time.Duration
	// Pick chooses among what is there when it happens.
	Pick uint64
}

// The groups of acts.
const (
	groupKill     = "kill"
	groupPause    = "pause"
	groupCut      = "cut"
	groupProvider = "provider"
	groupRental   = "rental"
	groupUser     = "user"
)

const (
	// roundLength bounds the time between two proofs of convergence.
	roundLength = 10 * time.Minute
	// In each calmPeriod the last calmTime is free of new kills, cuts and faults of Vast.ai: what
	// never gets to work cannot go wrong.
	calmPeriod = time.Minute
	calmTime   = 22 * time.Second
)

// recipe is one kind of act with its share among those of a track.
type recipe struct {
	group, kind string
	targets     []string
	share       int
	// The length is drawn between the two.
	shortest, longest time.Duration
}

// track is a sequence of acts that is independent of the others.
type track struct {
	meanGap time.Duration
	calm    bool
	recipes []recipe
}

// planActs draws everything that will happen. The same seed and duration make
// the same plan.
func planActs(seed uint64, length time.Duration) []act {
	var plan []act
	for round, from := 0, time.Duration(0); from < length; round, from = round+1, from+roundLength {
		for number, one := range tracks() {
			draws := rand.New(rand.NewPCG(seed, uint64(round)<<8|uint64(number))) //nolint:gosec // a plan that can be repeated is the point
			plan = append(plan, one.acts(draws, round, min(roundLength, length-from))...)
		}
	}
	slices.SortStableFunc(plan, func(x, y act) int { return cmp.Or(cmp.Compare(x.Round, y.Round), cmp.Compare(x.At, y.At)) })
	return plan
}

// rounds is how many rounds a duration has.
func rounds(length time.Duration) int { return int((length + roundLength - 1) / roundLength) }

func (t *track) acts(draws *rand.Rand, round int, length time.Duration) []act {
	var made []act
	at := t.gap(draws)
	for ; at < length; at += t.gap(draws) {
		if t.calm && at%calmPeriod > calmPeriod-calmTime {
			continue
		}
		one := t.pick(draws)
		planned := act{At: at, Round: round, Group: one.group, Kind: one.kind, Length: one.shortest, Pick: draws.Uint64()}
		if len(one.targets) > 0 {
			planned.Target = one.targets[draws.IntN(len(one.targets))]
		}
		if one.longest > one.shortest {
			planned.Length += time.Duration(draws.Int64N(int64(one.longest - one.shortest))).Round(time.Millisecond)
		}
		made = append(made, planned)
	}
	return made
}

// gap draws the time to the next act, with a floor.
func (t *track) gap(draws *rand.Rand) time.Duration {
	const floor = 300 * time.Millisecond
	return floor + time.Duration(draws.ExpFloat64()*float64(t.meanGap-floor)).Round(time.Millisecond)
}

func (t *track) pick(draws *rand.Rand) *recipe {
	sum := 0
	for k := range t.recipes {
		sum += t.recipes[k].share
	}
	at := draws.IntN(sum)
	for k := range t.recipes {
		if at -= t.recipes[k].share; at < 0 {
			return &t.recipes[k]
		}
	}
	return &t.recipes[0]
}

// counts returns how many acts of each kind a group has; all groups when it is empty.
func counts(plan []act, group string) map[string]int {
	sums := map[string]int{}
	for k := range plan {
		if group == "" || plan[k].Group == group {
			sums[plan[k].Kind]++
		}
	}
	return sums
}
