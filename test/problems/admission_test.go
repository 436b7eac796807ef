package problems

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/warmpool-dev/warmpool/internal/fleet"
	"github.com/warmpool-dev/warmpool/internal/planner"
)

const (
	manyPools = 20
	affords   = 7
	// interleavings is how many orders of events are tried.
	interleavings = 100_000
)

// crowd is twenty pools that want more than the account's ceiling allows.
type crowd struct {
	random    *rand.Rand
	pools     []planner.AdmissionPool
	instances []planner.Instance
	account   planner.AccountState
	// listing is the last trusted list; real are the rentals that exist.
	listing fleet.Listing
	real    []fleet.Rental
	offer   []fleet.Offer
	now     time.Time
	nextID  int64
	rents   int
}

// newCrowd makes pools with instances that wait, one at least and at most so many.
func newCrowd(seed uint64, most int) *crowd {
	c := &crowd{random: rand.New(rand.NewPCG(seed, 7)), now: epoch(), nextID: 1000}
	for n := range manyPools {
		pool := planner.AdmissionPool{
			Key: fmt.Sprintf("studio/p%02d", n), Mode: planner.ModeActive, Replicas: int32(1 + c.random.IntN(most)), MinReadyReplicas: 1,
			CeilingUSDPerHour: 10 * priceMicros, MaxPerMachine: 1000, Ranking: planner.RankingPrice,
		}
		c.pools = append(c.pools, pool)
		for k := range pool.Replicas {
			c.instances = append(c.instances, planner.Instance{
				UID: fmt.Sprintf("p%02d-%d", n, k), Pool: pool.Key, CreatedAt: epoch().Add(secondsOf(c.random.IntN(100))),
			})
		}
	}
	c.account = planner.AccountState{
		Mode: planner.AccountActive, LeaseFresh: true, CredentialsVerified: true, IdentityStable: true, SeenTrustedSweep: true,
		LastSweep: planner.SweepVerdict{Trusted: true}, LastTrustedSweepAt: c.now, MaxSweepAge: time.Hour,
		BalanceKnown: true, BalanceUSD: 1_000_000_000, CeilingUSDPerHour: affords * priceMicros,
	}
	c.offer = []fleet.Offer{{
		ID: 1, MachineID: 9, GPUName: "RTX 4090", GPUs: 1, GPUMemoryMB: 24564, DiskGB: 500, CPUCoresMilli: 16000, MemoryMB: 64000,
		ReliabilityPPM: 990_000, Verification: "verified", PriceUSDPerHour: priceMicros, RemainingSeconds: 1 << 30, Rentable: true,
	}}
	return c
}

// actor is one process in the middle of a rent: what it read, what it chose, and
// what it has journaled.
type actor struct {
	instances []planner.Instance
	listing   fleet.Listing
	chosen    string
	journaled int32
}

// read is the gather of a rent.
func (c *crowd) read(a *actor) {
	a.instances = make([]planner.Instance, len(c.instances))
	for k := range c.instances {
		a.instances[k] = c.instances[k]
		a.instances[k].Attempts = slices.Clone(c.instances[k].Attempts)
	}
	a.listing, a.chosen, a.journaled = c.listing, "", 0
}

// choose admits the first candidate that fits.
func (c *crowd) choose(a *actor) {
	plan := planner.RankPending(c.pools, a.instances, c.now)
	state := planner.AdmissionState{Instances: a.instances, Listing: &a.listing, Account: c.account, Now: c.now}
	if len(plan.Candidates) == 0 {
		return
	}
	// All offers and ceilings are alike: if the first does not fit, none does.
	if admission := planner.Admit(&plan.Candidates[0], c.offer, &state); admission.Decision == planner.DecisionAdmitted {
		a.chosen = admission.UID
	}
}

// journal writes the attempt, unless the instance was changed since it was read.
func (c *crowd) journal(a *actor) {
	live, read := c.find(c.instances, a.chosen), c.find(a.instances, a.chosen)
	if len(live.Attempts) != len(read.Attempts) || live.Deleting || live.HasRental() {
		a.chosen = "" // a conflict
		return
	}
	a.journaled = live.NextAttemptNumber()
	live.Attempts = append(live.Attempts, planner.Attempt{
		Number: a.journaled, OfferID: 1, MachineID: 9, QuotedUSDPerHour: priceMicros, StartedAt: c.now, Outcome: planner.OutcomePending,
	})
}

// call looks once more and rents; the answer may be lost.
func (c *crowd) call(a *actor) {
	live := c.find(c.instances, a.chosen)
	attempt := &live.Attempts[slices.IndexFunc(live.Attempts, func(t planner.Attempt) bool { return t.Number == a.journaled })]
	pool := c.pools[slices.IndexFunc(c.pools, func(p planner.AdmissionPool) bool { return p.Key == live.Pool })]
	a.chosen = ""
	deferral := planner.Recheck(&planner.RecheckInput{
		UID: live.UID, AttemptNumber: attempt.Number, PoolKey: live.Pool, PoolCeilingUSDPerHour: pool.CeilingUSDPerHour,
		AccountCeilingUSDPerHour: c.account.CeilingUSDPerHour, Instances: c.instances, Listing: &a.listing, PriceUSDPerHour: priceMicros,
	})
	if deferral != nil {
		attempt.Outcome, attempt.FinishedAt = planner.OutcomeRejected, c.now
		return
	}
	c.rents++
	switch c.random.IntN(4) {
	case 0:
		attempt.Outcome = planner.OutcomeUnknown
		if c.random.IntN(2) == 0 {
			c.make(live, attempt)
		}
	case 1:
		attempt.Outcome, attempt.FinishedAt = planner.OutcomeRejected, c.now
	default:
		attempt.RentalID = c.make(live, attempt)
		attempt.Outcome, attempt.FinishedAt = planner.OutcomeSucceeded, c.now
		live.Rental = &planner.InstanceRental{ID: attempt.RentalID, MachineID: 9, RecordedAt: c.now}
	}
}

func (c *crowd) make(instance *planner.Instance, attempt *planner.Attempt) int64 {
	c.nextID++
	c.real = append(c.real, fleet.Rental{
		ID: c.nextID, MachineID: 9, PriceUSDPerHour: priceMicros, ActualStatus: fleet.StatusRunning,
		Label: fleet.Label{Installation: installation, InstanceUID: instance.UID, Attempt: attempt.Number}.String(),
	})
	return c.nextID
}

// give lets one instance have a rental already.
func (c *crowd) give() {
	live := &c.instances[c.random.IntN(len(c.instances))]
	if live.HasRental() {
		return
	}
	live.Attempts = []planner.Attempt{{Number: 1, MachineID: 9, QuotedUSDPerHour: priceMicros, Outcome: planner.OutcomeSucceeded}}
	id := c.make(live, &live.Attempts[0])
	live.Attempts[0].RentalID, live.Rental = id, &planner.InstanceRental{ID: id, MachineID: 9, RecordedAt: c.now}
}

// sweep reads the account and settles what it can; nothing is abandoned here.
func (c *crowd) sweep() {
	c.now = c.now.Add(pollPeriod)
	c.listing = fleet.Listing{Rentals: slices.Clone(c.real), FirstTotal: len(c.real), LastTotal: len(c.real), Pages: 1, StartedAt: c.now, FinishedAt: c.now}
	c.account.LastTrustedSweepAt = c.now
	plan := planner.ResolveAttempts(&planner.ResolveInput{Instances: c.instances, Installation: installation, Sweep: planner.Sweep{Listing: c.listing, Trusted: true}})
	for _, resolution := range plan.Resolutions {
		if resolution.Action != planner.ResolveAdopt {
			continue
		}
		instance := c.find(c.instances, resolution.UID)
		for k := range instance.Attempts {
			if attempt := &instance.Attempts[k]; attempt.Number == resolution.AttemptNumber {
				attempt.Outcome, attempt.RentalID = planner.OutcomeSucceeded, resolution.RentalID
			}
		}
		instance.Rental = &planner.InstanceRental{ID: resolution.RentalID, MachineID: 9, RecordedAt: c.now}
	}
}

// end ends one rental for good, and its object with it.
func (c *crowd) end() {
	at := slices.IndexFunc(c.instances, func(i planner.Instance) bool { return i.HasRental() })
	if at < 0 {
		return
	}
	id := c.instances[at].Rental.ID
	c.real = slices.DeleteFunc(c.real, func(r fleet.Rental) bool { return r.ID == id })
	c.instances[at] = planner.Instance{UID: c.instances[at].UID + "'", Pool: c.instances[at].Pool, CreatedAt: c.now}
}

func (*crowd) find(instances []planner.Instance, uid string) *planner.Instance {
	return &instances[slices.IndexFunc(instances, func(i planner.Instance) bool { return i.UID == uid })]
}

// billed is what really exists.
func (c *crowd) billed() fleet.USDMicros { return fleet.USDMicros(len(c.real)) * priceMicros }

// step lets an actor do its next step.
func (c *crowd) step(a *actor) {
	switch {
	case a.chosen == "":
		c.read(a)
		c.choose(a)
	case a.journaled == 0:
		c.journal(a)
	default:
		c.call(a)
	}
}

// TestTwentyPoolsOnOneAccountNeverExceedItsCeiling: twenty pools, a ceiling for
// seven, and 100,000 orders in which two processes that both think they lead
// read, choose, journal, look again, call, lose answers, sweep, end and crash.
// With one process not even what is committed, reservations included, exceeds
// the ceiling; with two, what is rented does not.
func TestTwentyPoolsOnOneAccountNeverExceedItsCeiling(t *testing.T) {
	t.Parallel()
	const shards = 4
	var wait sync.WaitGroup
	tallies := make([]tally, shards)
	for shard := range uint64(shards) {
		wait.Go(func() {
			for seed := shard; seed < interleavings; seed += shards {
				if problem := interleave(seed, &tallies[shard]); problem != "" {
					t.Errorf("seed %d: %s", seed, problem)
					return
				}
			}
		})
	}
	wait.Wait()
	var total tally
	for _, part := range tallies {
		total.rents, total.full, total.refused = total.rents+part.rents, total.full+part.full, total.refused+part.refused
	}
	t.Logf("%d interleavings, %d rents, %d refused by the last look, the ceiling was reached in %d", interleavings, total.rents, total.refused, total.full)
	if total.rents < interleavings/2 || total.full < interleavings/100 || total.refused == 0 {
		t.Error("too little happened to show anything")
	}
}

// tally counts what happened, to know that something did.
type tally struct{ rents, full, refused int }

// interleave plays one order of events and says what went wrong.
func interleave(seed uint64, tally *tally) string {
	const steps = 12
	c := newCrowd(seed, 1)
	for range affords - 1 {
		c.give()
	}
	c.sweep()
	actors := make([]actor, 1+seed%2)
	for range steps {
		a := &actors[c.random.IntN(len(actors))]
		switch c.random.IntN(12) {
		case 0:
			c.sweep()
		case 1:
			*a = actor{} // a crash: what it journaled stays
		case 2:
			c.end()
			for k := range actors {
				if actors[k].journaled == 0 {
					actors[k].chosen = "" // its object may be another one now
				}
			}
		default:
			before, calls := c.rents, a.chosen != "" && a.journaled != 0
			c.step(a)
			if calls && c.rents == before {
				tally.refused++
			}
		}
		committed, ceiling := planner.AccountCommitted(c.instances, nil), c.account.CeilingUSDPerHour
		switch billed := c.billed(); {
		case len(actors) == 1 && committed > ceiling:
			return fmt.Sprintf("%s is committed, the ceiling is %s", committed, ceiling)
		case billed > ceiling, billed > committed:
			return fmt.Sprintf("%s is rented, %s committed, the ceiling is %s", billed, committed, ceiling)
		}
	}
	tally.rents += c.rents
	if c.billed() == c.account.CeilingUSDPerHour {
		tally.full++
	}
	return ""
}

// TestTwentyPoolsOnOneAccountAreServedInAFairOrder: a ceiling for seven serves
// seven different pools, those that have waited longest, before any pool gets a
// second instance.
func TestTwentyPoolsOnOneAccountAreServedInAFairOrder(t *testing.T) {
	for seed := range uint64(300) {
		c := newCrowd(seed, 3)
		c.sweep()
		oldest := map[string]time.Time{}
		for _, instance := range c.instances {
			if first, known := oldest[instance.Pool]; !known || instance.CreatedAt.Before(first) {
				oldest[instance.Pool] = instance.CreatedAt
			}
		}
		var served []string
		for {
			var a actor
			c.read(&a)
			c.choose(&a)
			if a.chosen == "" {
				break
			}
			instance := c.find(c.instances, a.chosen)
			if slices.Contains(served, instance.Pool) {
				t.Fatalf("seed %d: pool %s is served twice while others wait: %v", seed, instance.Pool, served)
			}
			served = append(served, instance.Pool)
			instance.Rental = &planner.InstanceRental{ID: int64(len(served)), ObservedUSDPerHour: priceMicros, PriceKnown: true}
		}
		if len(served) != affords {
			t.Fatalf("seed %d: %d pools are served, the ceiling is for %d", seed, len(served), affords)
		}
		for k := 1; k < len(served); k++ {
			if oldest[served[k]].Before(oldest[served[k-1]]) {
				t.Fatalf("seed %d: pool %s waited longer than %s and is served later", seed, served[k], served[k-1])
			}
		}
	}
}
