package planner

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/warmpool-dev/warmpool/internal/fleet"
)

// PoolMode is spec.mode of a WarmPool.
type PoolMode string

// The modes of a pool.
const (
	// ModeActive: rent and end as needed.
	ModeActive PoolMode = "Active"
	// ModePaused: neither rent nor end voluntarily.
	ModePaused PoolMode = "Paused"
	// ModeDryRun: decide and say so, but write nothing outside.
	ModeDryRun PoolMode = "DryRun"
	// ModeDrain: rent nothing and end what is not claimed.
	ModeDrain PoolMode = "Drain"
)

// AdmissionPool is a WarmPool as admission sees it.
type AdmissionPool struct {
	// Key is "namespace/name".
	Key string
	// Mode is spec.mode. Only Active rents and only DryRun rehearses.
	Mode PoolMode
	// Deleting is true once the object has a deletion timestamp.
	Deleting bool
	// Replicas is how many unclaimed instances the pool wants right now, after
	// schedules and with a rollout's surge.
	Replicas int32
	// WaitingClaims is how many claims wait for an instance; they are wanted on
	// top of Replicas.
	WaitingClaims int32
	// MinReadyReplicas is the floor that goes before everybody's rest.
	MinReadyReplicas int32
	// MaxReplicas bounds everything of the pool that may bill; 0 is no bound.
	MaxReplicas int32
	// CeilingUSDPerHour bounds the pool's committed cost. 0 affords nothing.
	CeilingUSDPerHour fleet.USDMicros
	// MaxInstanceUSDPerHour caps one instance; 0 is no cap but the ceiling.
	MaxInstanceUSDPerHour fleet.USDMicros
	// Budgets are the pool's own; BudgetHorizon is how far a rent looks ahead.
	Budgets       []SpendBudgetState
	BudgetHorizon time.Duration
	// NextAttemptAt is the end of the back-off; zero when there is none.
	NextAttemptAt time.Time
	// OneAtATime is true after failures: one instance under way is enough to
	// find out whether the fault is gone.
	OneAtATime bool
	// FailedOn holds the machines of the failures in a row. Another machine is
	// tried before them: only that tells a fault of the template from one of a
	// machine.
	FailedOn map[int64]bool
	// HealthSuspended is true while too many instances fail at once.
	HealthSuspended bool
	// Query says which offers match.
	Query fleet.OfferQuery
	// MaxPerMachine bounds our rentals on one machine; 0 means 1.
	MaxPerMachine int
	// Ranking orders the matching offers; empty is PriceReliability.
	Ranking Ranking
	// DatacenterPreferred favours data centres that are not much dearer.
	DatacenterPreferred bool
}

// Candidate is a pending instance that may be offered for admission.
type Candidate struct {
	// Instance is the pending instance.
	Instance Instance
	// Pool is its pool.
	Pool AdmissionPool
	// BelowMinimum is true while the pool's floor is not filled before it.
	BelowMinimum bool
	// ForClaim is true when a waiting claim wants it.
	ForClaim bool
	// filled is how many of the pool come before it, for the order.
	filled int64
}

// PendingDeferral says why a pending instance is not a candidate.
type PendingDeferral struct {
	// UID names the instance.
	UID string
	// Deferral says why.
	Deferral Deferral
}

// PendingPlan is RankPending's result.
type PendingPlan struct {
	// Candidates are to be tried in this order. Not more per pool than it
	// needs, so that trying them all still cannot over-rent.
	Candidates []Candidate
	// Deferrals are for the pending instances that need no look at offers,
	// ordered by UID.
	Deferrals []PendingDeferral
}

// RankPending decides which pending instances may be offered for admission and
// in which order: pools that are below their floor first (the least filled of
// them before the others), then instances that a claim waits for, then the
// rest; oldest first. An instance under way counts as filled, for it will be
// ready without another rent. The order is total.
//
// Instances must be those of all given pools, fresh from the API server.
func RankPending(pools []AdmissionPool, instances []Instance, now time.Time) PendingPlan {
	byKey := make(map[string]*pendingPool, len(pools))
	for k := range pools {
		byKey[pools[k].Key] = &pendingPool{pool: &pools[k]}
	}
	for k := range instances {
		if p, ok := byKey[instances[k].Pool]; ok {
			p.count(&instances[k], now)
		}
	}
	var plan PendingPlan
	for _, instance := range waiting(instances) {
		candidate, deferral := byKey[instance.Pool].place(instance, now)
		if deferral != nil {
			plan.Deferrals = append(plan.Deferrals, PendingDeferral{UID: instance.UID, Deferral: *deferral})
			continue
		}
		plan.Candidates = append(plan.Candidates, *candidate)
	}
	slices.SortFunc(plan.Candidates, compareCandidates)
	slices.SortFunc(plan.Deferrals, func(a, b PendingDeferral) int { return cmp.Compare(a.UID, b.UID) })
	return plan
}

// waiting returns the instances that have no rental and still want one, or
// might: oldest first.
func waiting(instances []Instance) []*Instance {
	var found []*Instance
	for k := range instances {
		instance := &instances[k]
		//warmpool:gate adopting-never-rents
		if instance.IsAdopting() {
			continue
		}
		if !instance.Deleting && !instance.Failed && !instance.HasRental() {
			found = append(found, instance)
		}
	}
	slices.SortFunc(found, func(a, b *Instance) int {
		return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.UID, b.UID))
	})
	return found
}

// pendingPool counts what a pool has while its pending instances are placed.
type pendingPool struct {
	pool *AdmissionPool
	// serving counts unclaimed instances that are ready or under way.
	serving int64
	// starting counts those of them that were never ready.
	starting int64
	// billing counts everything that may cost money.
	billing int64
	// placed counts the candidates so far.
	placed int64
}

// count takes an instance into account. One whose contract ends soon bills, and
// does not serve: its replacement may be rented beside it.
func (p *pendingPool) count(instance *Instance, now time.Time) {
	if !instance.IsBilling() {
		return
	}
	p.billing++
	if !instance.Deleting && !instance.Failed && !instance.Claimed && !instance.EndsSoon(now) {
		p.serving++
		if !instance.Started {
			p.starting++
		}
	}
}

// place makes an instance a candidate or says why not.
func (p *pendingPool) place(instance *Instance, now time.Time) (*Candidate, *Deferral) {
	if deferral := ownDeferral(instance); deferral != nil {
		return nil, deferral
	}
	if p == nil {
		return nil, &Deferral{Reason: ReasonPoolNotFound, Message: fmt.Sprintf("The WarmPool %s is not there, so nothing is rented for it. Delete this WarmInstance.", instance.Pool)}
	}
	if deferral := poolDeferral(p.pool, now); deferral != nil {
		return nil, deferral
	}
	if deferral := p.roomDeferral(); deferral != nil {
		return nil, deferral
	}
	filled := p.serving + p.placed
	floor := int64(p.pool.MinReadyReplicas)
	p.placed++
	return &Candidate{
		Instance: *instance, Pool: *p.pool, filled: filled,
		BelowMinimum: filled < floor,
		ForClaim:     filled >= floor && filled < floor+int64(p.pool.WaitingClaims),
	}, nil
}

// ownDeferral is what the instance itself stands in the way with (I2).
func ownDeferral(instance *Instance) *Deferral {
	switch {
	//warmpool:gate pending-not-in-flight
	case instance.InFlight:
		return &Deferral{Reason: ReasonRentOutcomeUnknown, Message: "It is being rented at this moment. Its price is reserved."}
	//warmpool:gate pending-no-open-attempt
	case instance.hasOpenAttempt():
		return &Deferral{Reason: ReasonRentOutcomeUnknown, Message: "It is not known whether the last rent made a rental. Its price stays reserved, and nothing else is rented for this instance, until the list of instances has settled it."}
	//warmpool:gate pending-no-rental
	case len(instance.RecordedRentals()) > 0:
		return &Deferral{Reason: ReasonPreviousRentalEnding, Message: "An earlier rental of this instance is not confirmed gone. Nothing else is rented until it is."}
	//warmpool:gate pending-attempts-left
	case len(instance.Attempts) >= MaxAttempts:
		return &Deferral{Reason: ReasonAttemptsExhausted, Message: fmt.Sprintf("All %d rent attempts of this instance were used; the pool replaces it with a new one.", MaxAttempts)}
	default:
		return nil
	}
}

// poolDeferral is what the pool stands in the way with.
func poolDeferral(pool *AdmissionPool, now time.Time) *Deferral {
	switch {
	//warmpool:gate pending-pool-stays
	case pool.Deleting:
		return &Deferral{Reason: ReasonPoolDeleting, Message: "The pool is being deleted, so nothing is rented for it."}
	case pool.Mode == ModeDrain:
		return &Deferral{Reason: ReasonDraining, Message: "The pool's spec.mode is Drain, so nothing is rented for it. Set it to Active to resume."}
	//warmpool:gate pending-pool-active
	case pool.Mode != ModeActive && pool.Mode != ModeDryRun:
		return &Deferral{Reason: ReasonPaused, Message: "The pool's spec.mode is Paused, so nothing is rented for it. Set it to Active to resume."}
	//warmpool:gate pending-back-off
	case pool.NextAttemptAt.After(now):
		return &Deferral{
			Reason: ReasonBackingOff, Until: pool.NextAttemptAt,
			Message: fmt.Sprintf("Earlier instances of the pool failed, as its conditions say. The next one is rented after %s.", pool.NextAttemptAt.UTC().Format(time.RFC3339)),
		}
	//warmpool:gate pending-health-budget
	case pool.HealthSuspended:
		return &Deferral{Reason: ReasonHealthSuspended, Message: "Too many instances of the pool fail at once, which its condition HealthBudgetOK explains. Nothing is rented until they recover or are deleted."}
	default:
		return nil
	}
}

// roomDeferral is about numbers: the bound on all instances, and the guard that
// too many objects never become too many rentals.
func (p *pendingPool) roomDeferral() *Deferral {
	//warmpool:gate pending-one-at-a-time
	if p.pool.OneAtATime && p.starting+p.placed > 0 {
		return &Deferral{Reason: ReasonBackingOff, Message: "Earlier instances of the pool failed, so one is rented at a time until one becomes ready. Another is on its way."}
	}
	//warmpool:gate pending-max-replicas
	if limit := int64(p.pool.MaxReplicas); limit > 0 && p.billing+p.placed >= limit {
		return &Deferral{Reason: ReasonMaxReplicasReached, Message: fmt.Sprintf("%d of at most %d instances are in use or on their way. Raise spec.maxReplicas, or wait until one has ended.", p.billing+p.placed, limit)}
	}
	//warmpool:gate pending-wanted
	if wanted := int64(p.pool.Replicas) + int64(p.pool.WaitingClaims); p.serving+p.placed >= wanted {
		return &Deferral{Reason: ReasonNotNeeded, Message: fmt.Sprintf("%d of %d wanted instances are ready or on their way already.", p.serving+p.placed, wanted)}
	}
	return nil
}

// compareCandidates is the order of admission.
func compareCandidates(a, b Candidate) int {
	byTier := cmp.Compare(a.tier(), b.tier())
	if byTier == 0 && a.BelowMinimum {
		// filled/minimum as fractions, multiplied crosswise; the floors are positive here.
		byTier = cmp.Compare(a.filled*int64(b.Pool.MinReadyReplicas), b.filled*int64(a.Pool.MinReadyReplicas))
	}
	return cmp.Or(byTier, a.Instance.CreatedAt.Compare(b.Instance.CreatedAt), cmp.Compare(a.Instance.UID, b.Instance.UID))
}

// tier is the first key of the order.
func (c *Candidate) tier() int {
	switch {
	case c.BelowMinimum:
		return 0
	case c.ForClaim:
		return 1
	default:
		return 2
	}
}
