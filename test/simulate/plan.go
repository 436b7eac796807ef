package simulate

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/warmpool-dev/warmpool/internal/simulator"
)

// Case is what a schedule is made from.
type Case struct {
	// Seed decides everything.
	Seed uint64 `json:"seed"`
	// Allowed are the only injections that take place; nil allows all.
	Allowed []string `json:"allowed,omitempty"`
	// Plan is what the seed gives when it is nil. Cases that are kept have theirs,
	// so that they stay what they are when plans are drawn in another way.
	Plan *Plan `json:"plan,omitempty"`
	// Note says what the case is kept for.
	Note string `json:"note,omitempty"`
}

// Plan is what a schedule will be like.
type Plan struct {
	Seed uint64
	// HA has two processes and a lease; without it there is one process.
	HA bool
	// Offers are the prices of the market in micro-dollars per hour.
	Offers []int64
	// Pools are the pools at the start.
	Pools []PoolPlan
	// AccountCeilingMicros bounds the account.
	AccountCeilingMicros int64
	CreditMicros         int64
	PollSeconds          int32
	LeakTerminate        bool
	// Pinned names the user in the account's spec; otherwise the first one counts
	// that is seen, and nobody puts another account's key there.
	Pinned bool
	// PageLimit is the greatest page of the API server; 0 is as asked.
	PageLimit int
	// Peace is how long nothing goes wrong at first, so that something is rented.
	Peace time.Duration
	// Length is how long it is until things stop going wrong. With Calm they then stop, the pools
	// converge, and everything is deleted.
	Length time.Duration
	Calm   bool
	Rates  Rates
	Acts   []Act
}

// PoolPlan is one pool at the start.
type PoolPlan struct {
	Name          string
	Replicas      int32
	CeilingMicros int64
}

// Rates are how likely something goes wrong at each await point, in millionths.
type Rates struct {
	Crash, Pause, Slow                             int
	APIError, LostWrite, SlowWrite                 int
	WatchDropped, WatchSlow, StaleStart            int
	NotSent, LostRequest, LostAnswer, SlowProvider int
}

// Act is something that somebody does at a time; what exactly is drawn when it
// happens, from its ID.
type Act struct {
	ID   string
	Kind string
	At   time.Duration
}

// newPlan draws the plan of a schedule.
func newPlan(d *decider, c *Case, kinds []actKind) *Plan {
	if c.Plan != nil {
		return c.Plan
	}
	dice := d.fixed("plan")
	p := &Plan{
		Seed: c.Seed, HA: dice.chance(400_000), PollSeconds: pick(dice, int32(5), 10, 15), LeakTerminate: dice.chance(250_000),
		Pinned: dice.chance(700_000), PageLimit: pick(dice, 0, 0, 1, 2, 3), Calm: dice.chance(150_000), CreditMicros: 100_000_000,
	}
	p.Length = pick(dice, time.Minute, 90*time.Second, 2*time.Minute, 3*time.Minute, 4*time.Minute)
	if dice.chance(20_000) {
		p.Length = 20 * time.Minute
	}
	p.Peace = pick(dice, 0, 0, 15*time.Second, 35*time.Second)
	for range 2 + dice.below(4) {
		p.Offers = append(p.Offers, int64(200_000+10_000*dice.below(30)))
	}
	for k := range pick(dice, 1, 1, 1, 2, 2, 3) {
		p.Pools = append(p.Pools, PoolPlan{
			Name: fmt.Sprintf("pool%d", k), Replicas: int32(1 + dice.below(3)), //nolint:gosec // at most 3
			CeilingMicros: int64(400_000 + 50_000*dice.below(20)),
		})
	}
	p.AccountCeilingMicros = int64(600_000 + 100_000*dice.below(20))
	p.Rates = newRates(d.fixed("rates"))
	p.Acts = newActs(d.fixed("acts"), p, kinds)
	return p
}

// newRates draws which things go wrong in this schedule, and how often: most
// schedules have a few of them, so that each is seen alone and with others.
func newRates(dice *dice) Rates {
	some := func(often, rare int) int {
		switch dice.below(4) {
		case 0:
			return often
		case 1:
			return rare
		default:
			return 0
		}
	}
	return Rates{
		Crash: some(8_000, 1_500), Pause: some(4_000, 800), Slow: some(30_000, 4_000),
		APIError: some(80_000, 8_000), LostWrite: some(60_000, 8_000), SlowWrite: some(40_000, 5_000),
		WatchDropped: some(80_000, 10_000), WatchSlow: some(300_000, 50_000), StaleStart: some(600_000, 0),
		NotSent: some(60_000, 8_000), LostRequest: some(40_000, 6_000), LostAnswer: some(80_000, 10_000), SlowProvider: some(60_000, 8_000),
	}
}

// newActs draws who does what and when.
func newActs(dice *dice, p *Plan, kinds []actKind) []Act {
	var all, chosen []string
	for _, kind := range kinds {
		for range kind.weight {
			all = append(all, kind.name)
		}
	}
	// A few kinds in each schedule: with all of them in each, hardly anything
	// would be rented, and nothing would be seen with anything else for long.
	for range 1 + dice.below(9) {
		chosen = append(chosen, pick(dice, all...))
	}
	// Without change there is one rent for each instance and then peace.
	chosen = append(chosen, pick(dice, changes()...), pick(dice, changes()...))
	every := pick(dice, 5*time.Second, 8*time.Second, 15*time.Second)
	var acts []Act
	for at := p.Peace + dice.between(time.Second, every); at < p.Length; at += dice.between(time.Second, 2*every) {
		kind := pick(dice, chosen...)
		if isLie(kind) && slices.ContainsFunc(acts, func(act Act) bool { return isLie(act.Kind) }) {
			continue
		}
		// The first user that is seen counts, unless one is named: nobody could
		// know that the very first answer was another's.
		if kind == "vast "+simulator.FaultOtherAccount && !p.Pinned {
			continue
		}
		acts = append(acts, Act{ID: fmt.Sprintf("act %d %s", len(acts), kind), Kind: kind, At: at})
	}
	slices.SortStableFunc(acts, func(a, b Act) int { return cmp.Compare(a.At, b.At) })
	return acts
}

// isLie is true for faults in which what is read is wrong and agrees with itself,
// for less long than it takes to believe it. One follows no other in a
// schedule: together they would last longer, and then nothing could tell them
// from the truth.
func isLie(kind string) bool {
	return kind == "vast "+simulator.FaultEmptyList || kind == "vast "+simulator.FaultHiddenRental || kind == "vast "+simulator.FaultOtherAccount
}

// changes are acts that make the operator rent and end.
func changes() []string {
	return []string{"scale", "scale", "delete instance", "pool ceiling", "account ceiling", "claim", "vast " + simulator.FaultVanished}
}
