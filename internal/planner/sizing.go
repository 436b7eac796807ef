package planner

import (
	"fmt"
	"slices"
	"time"

	"github.com/warmpool-dev/warmpool/internal/fleet"
)

// ScaleDownOrder says which Ready instance is ended first when there are too
// many. The zero value is HighestCost.
type ScaleDownOrder string

// The scale-down orders.
const (
	// ScaleDownHighestCost ends the dearest first.
	ScaleDownHighestCost ScaleDownOrder = "HighestCost"
	// ScaleDownNewest ends the youngest first.
	ScaleDownNewest ScaleDownOrder = "Newest"
	// ScaleDownOldest ends the oldest first.
	ScaleDownOldest ScaleDownOrder = "Oldest"
)

const (
	// maxCreatePerCall bounds the objects that one plan asks for, so that a
	// pool of 500 does not flood the API server; the next call makes more.
	maxCreatePerCall = 50
	// pendingSlack is how many times more instances may wait than could be
	// admitted before the extra ones are removed: offers change their price
	// all the time, and objects must not come and go with them.
	pendingSlack = 2
	// rentAnswerTimeout is how long a Pending attempt passes for a call that
	// is still running; after it the outcome counts as unknown.
	rentAnswerTimeout = 2 * time.Minute
)

// SizePool is what sizing looks at in a pool.
type SizePool struct {
	// Replicas is how many instances shall be Ready and unclaimed.
	Replicas int
	// WaitingClaims is how many more the claims want that wait (WaitingClaims).
	WaitingClaims int
	// MinReadyReplicas is how many of them make the pool Ready (verdict only).
	MinReadyReplicas int
	// MaxReplicas limits all instances of the pool, of whatever state; 0 is no limit.
	MaxReplicas int
	// Mode says what the pool may do. Any but the known ones holds everything.
	Mode PoolMode
	// Deleting is true once the pool has a deletion timestamp.
	Deleting bool
	// EmergencyStop is true when the account ends everything, claims included.
	EmergencyStop bool
	// ScaleDownOrder applies among Ready instances.
	ScaleDownOrder ScaleDownOrder
	// OverCeiling applies when committed cost exceeds the ceiling.
	OverCeiling OverCeilingPolicy
	// MaxInstanceUSDPerHour is what one rental may cost; 0 is no cap of its own.
	MaxInstanceUSDPerHour fleet.USDMicros
	// CeilingUSDPerHour is the pool's ceiling. 0 affords nothing: it ends every
	// unclaimed rental.
	CeilingUSDPerHour fleet.USDMicros
	// Budgets are the pool's and its account's.
	Budgets SpendVerdict
}

// Wanted is how many unclaimed instances there shall be: the replicas, and
// those that claims wait for.
func (p *SizePool) Wanted() int { return p.Replicas + max(p.WaitingClaims, 0) }

// wantedWords says in a message what is wanted.
func (p *SizePool) wantedWords() string {
	if p.WaitingClaims <= 0 {
		return fmt.Sprintf("spec.replicas is %d", p.Replicas)
	}
	return fmt.Sprintf("spec.replicas is %d and %s", p.Replicas, plural(p.WaitingClaims, "is wanted by waiting claims", "are wanted by waiting claims"))
}

// SizeInstance is one WarmInstance of the pool with what sizing adds to it.
type SizeInstance struct {
	Instance
	// WasReady is true once the instance has ever been Ready.
	WasReady bool
	// Busy is true while prompts are queued or running, as far as is known.
	Busy bool
}

// SizeInput is everything that decides the size of a pool.
type SizeInput struct {
	// Pool is the wish.
	Pool SizePool
	// Instances holds every WarmInstance of the pool.
	Instances []SizeInstance
	// Trusted is true after a trusted, fresh sweep. Without it nothing that may
	// cost money is ended voluntarily (I5): the zero value is the safe one.
	Trusted bool
	// HeadroomUSDPerHour is what may still be committed: the smaller of the
	// pool's and the account's. Negative when over.
	HeadroomUSDPerHour fleet.USDMicros
	// CheapestUSDPerHour is the price of the cheapest offer that passes every
	// filter, 0 when unknown.
	CheapestUSDPerHour fleet.USDMicros
	// Now is the time of the decision.
	Now time.Time
}

// The reasons of victims and of creations.
const (
	// VictimScaledDown: more instances are ready or on their way than wanted.
	VictimScaledDown = "ScaledDown"
	// VictimNotAffordable: more instances wait than the ceiling could ever admit.
	VictimNotAffordable = "NotAffordable"
	// VictimAttemptsExhausted: its rent attempts are used up; another takes its place.
	VictimAttemptsExhausted = "AttemptsExhausted"
	// VictimOverCeiling: committed cost is above the ceiling.
	VictimOverCeiling = "OverCeiling"
	// VictimAboveInstanceCap: its price rose above what one instance may cost.
	VictimAboveInstanceCap = "AboveInstanceCap"
	// VictimRentalEnding: its contract ends soon, and another is ready in its place.
	VictimRentalEnding = "RentalEndsSoon"
	// VictimDrained: the pool is in mode Drain.
	VictimDrained = "PoolDrained"
	// VictimBudgetExhausted: a budget whose action ends instances is used up.
	VictimBudgetExhausted = "BudgetExhausted"
	// VictimPoolDeleted: the pool is being deleted.
	VictimPoolDeleted = "PoolDeleted"
	// VictimEmergencyStop: the account is in mode EmergencyStop.
	VictimEmergencyStop = "EmergencyStop"
	// CreateBelowReplicas: fewer instances are ready or on their way than wanted.
	CreateBelowReplicas = "BelowReplicas"
)

// Victim is one WarmInstance to delete.
type Victim struct {
	// UID and Name identify the object; delete with the UID as a precondition.
	UID, Name string
	// Reason is a Victim… constant.
	Reason string
	// Message says it in a sentence.
	Message string
}

// SizePlan is what to do about the size of a pool. The zero value is "nothing".
type SizePlan struct {
	// Create is the number of WarmInstances to make, at most 50 per plan.
	Create int
	// CreateReason and CreateMessage say why, empty when Create is 0.
	CreateReason, CreateMessage string
	// Delete lists the WarmInstances to delete, in this order.
	Delete []Victim
	// Withheld lists those that would be deleted, were the sweep trusted and
	// the mode not DryRun. They are for events and logs, never for action.
	Withheld []Victim
}

// ComputeSize decides how many WarmInstances to make and which to delete. Its
// answer does not depend on the order of Instances.
//
// Claimed instances are never chosen (I3), except when the pool is deleted or
// the account is stopped, which are a person's decision about everything, and
// last of all by the policy ScaleDownAll of a pool over its ceiling. An
// instance that is not rented costs nothing and may be deleted at any time; any
// other only on the strength of a trusted sweep (I5), again with those two
// exceptions.
func ComputeSize(in *SizeInput) SizePlan {
	s := newSizing(in)
	switch {
	case in.Pool.EmergencyStop:
		s.endAll(VictimEmergencyStop, "the account's mode is EmergencyStop: everything of this installation is ended, claims included")
	case in.Pool.Deleting:
		s.endAll(VictimPoolDeleted, "the pool is being deleted: its instances are ended first, claimed ones too")
	case s.endForBudget():
	case in.Pool.Mode == ModeDrain:
		s.drain()
		s.endOverCeiling()
	//warmpool:gate size-known-mode
	case in.Pool.Mode == ModeActive, in.Pool.Mode == ModeDryRun:
		s.replaceExhausted()
		s.endAboveCap()
		s.endOverCeiling()
		s.endSurplus()
		s.endReplaced()
		s.trimPending()
		s.create()
	default:
		// Paused, or a mode that is not known: neither money nor machines
		// move, and what waits may wait.
	}
	return s.plan
}

// sizing is the work sheet of one ComputeSize.
type sizing struct {
	in *SizeInput
	// order holds the candidates, first victim first; chosen ones leave it.
	order []candidate
	plan  SizePlan
}

// newSizing puts every instance that is not yet ending into victim order.
func newSizing(in *SizeInput) *sizing {
	return &sizing{in: in, order: victimOrder(in)}
}

// endAll ends everything, claims and trust notwithstanding.
func (s *sizing) endAll(reason, message string) {
	for k := range s.order {
		s.plan.Delete = append(s.plan.Delete, s.order[k].victim(reason, message))
	}
	s.order = nil
}

// drain ends everything that is not claimed.
func (s *sizing) drain() {
	//warmpool:gate drain-spares-claims
	s.endWhere(func(c *candidate) bool { return c.state != StateClaimed },
		VictimDrained, "the pool's mode is Drain: everything that is not claimed is ended")
}

// endForBudget ends instances when a budget is used up whose action says so, on
// the strength of a trusted sweep only (I5): all of them, or those that are not
// claimed (I3). It returns true when nothing else is to be decided. A pool that
// is paused stays as it is.
func (s *sizing) endForBudget() bool {
	pool := &s.in.Pool
	if pool.Mode != ModeActive && pool.Mode != ModeDryRun && pool.Mode != ModeDrain {
		return false
	}
	action := pool.Budgets.Action()
	all := action.Includes(BudgetTerminateAll)
	//warmpool:gate budget-ends-instances
	if all || action.Includes(BudgetDrainUnclaimed) {
		s.endWhere(func(c *candidate) bool { return all || c.state != StateClaimed },
			VictimBudgetExhausted, sentencePart(pool.Budgets.Worst.exhaustedMessage()))
		return true
	}
	return false
}

// replaceExhausted ends waiting instances that may not try again: nothing is
// lost with them, and as long as they count nothing takes their place.
func (s *sizing) replaceExhausted() {
	s.endWhere(func(c *candidate) bool { return isPending(c.state) && len(c.instance.Attempts) >= MaxAttempts },
		VictimAttemptsExhausted, fmt.Sprintf("all %d rent attempts were used; another instance takes its place", MaxAttempts))
}

// endSurplus ends what is live beyond replicas, least useful first.
func (s *sizing) endSurplus() {
	//warmpool:gate surplus-keeps-what-claims-wait-for
	surplus := s.count(isLive) - s.in.Pool.Wanted()
	if surplus <= 0 {
		return
	}
	message := fmt.Sprintf("%d unclaimed instances exist or are on their way, %s", s.count(isLive), s.in.Pool.wantedWords())
	s.endWhere(func(c *candidate) bool {
		if surplus <= 0 || !isLive(c.state) || c.endsSoon {
			return false
		}
		surplus--
		return true
	}, VictimScaledDown, message)
}

// endOverCeiling ends what is over the ceiling; see computeExcess.
func (s *sizing) endOverCeiling() {
	over := computeExcess(&s.in.Pool, s.withoutVictims(), s.in.Now)
	if len(over.victims) == 0 {
		return
	}
	s.endWhere(func(c *candidate) bool {
		return slices.ContainsFunc(over.victims, func(v candidate) bool { return v.instance.UID == c.instance.UID })
	}, VictimOverCeiling, fmt.Sprintf(
		"$%s/h is committed without what is already ending, the ceiling is $%s/h", over.staying, s.in.Pool.CeilingUSDPerHour))
}

// withoutVictims returns the instances with those that the plan ends already
// marked as ending, so that no second one ends for the same excess.
func (s *sizing) withoutVictims() []SizeInstance {
	instances := slices.Clone(s.in.Instances)
	for k := range instances {
		if slices.ContainsFunc(s.plan.Delete, func(v Victim) bool { return v.UID == instances[k].UID }) {
			instances[k].Deleting = true
		}
	}
	return instances
}

// trimPending removes waiting instances that the ceiling could not admit soon,
// with some slack. Without a known price nothing is removed: one search that
// failed must not empty the queue.
func (s *sizing) trimPending() {
	if s.in.CheapestUSDPerHour <= 0 {
		return
	}
	affordable, pending := max(s.affordable(), 1), s.count(isPending)
	if pending <= pendingSlack*affordable {
		return
	}
	extra := pending - affordable
	s.endWhere(func(c *candidate) bool {
		if extra <= 0 || !isPending(c.state) {
			return false
		}
		extra--
		return true
	}, VictimNotAffordable, fmt.Sprintf("%d instances wait, and the headroom of $%s/h admits %d at $%s/h each",
		pending, max(s.in.HeadroomUSDPerHour, 0), affordable, s.in.CheapestUSDPerHour))
}

// create asks for what is missing, as far as it could be admitted soon.
func (s *sizing) create() {
	pool := &s.in.Pool
	live, pending := s.count(isLive), s.count(isPending)
	missing := pool.Wanted() - live
	if missing <= 0 {
		return
	}
	//warmpool:gate create-what-is-affordable
	create := min(missing, max(s.affordable(), 1)-pending, maxCreatePerCall)
	//warmpool:gate create-max-replicas
	if pool.MaxReplicas > 0 {
		create = min(create, pool.MaxReplicas-(len(s.in.Instances)-len(s.plan.Delete)))
	}
	if create <= 0 {
		return
	}
	s.plan.Create = create
	s.plan.CreateReason = CreateBelowReplicas
	s.plan.CreateMessage = fmt.Sprintf("%d of %d instances are ready or on their way", live, pool.Wanted())
}

// affordable is how many more of the cheapest offer fit under the ceiling; 1
// when the price is not known.
func (s *sizing) affordable() int {
	if s.in.CheapestUSDPerHour <= 0 {
		return 1
	}
	return int(max(s.in.HeadroomUSDPerHour, 0) / s.in.CheapestUSDPerHour)
}

// count returns how many candidates are in a state. Those whose contract ends
// soon do not count: others take their place while there is time.
func (s *sizing) count(is func(InstanceState) bool) int {
	n := 0
	for k := range s.order {
		if is(s.order[k].state) && !s.order[k].endsSoon {
			n++
		}
	}
	return n
}

// endWhere moves the candidates that pick accepts, in order, to the plan. One
// that may not be ended now is reported as withheld and stays a candidate.
func (s *sizing) endWhere(pick func(*candidate) bool, reason, message string) {
	var rest []candidate
	for k := range s.order {
		c := &s.order[k]
		switch {
		case !pick(c):
			rest = append(rest, *c)
		case s.mayEnd(c):
			s.plan.Delete = append(s.plan.Delete, c.victim(reason, message))
		default:
			s.plan.Withheld = append(s.plan.Withheld, c.victim(reason, message))
			rest = append(rest, *c)
		}
	}
	s.order = rest
}

// mayEnd is true for what costs nothing, and for the rest after a trusted sweep
// (I5) in a mode that acts.
func (s *sizing) mayEnd(c *candidate) bool {
	//warmpool:gate scale-down-needs-trust
	//warmpool:gate scale-down-not-in-dry-run
	return c.state == StatePending || (s.in.Trusted && s.in.Pool.Mode != ModeDryRun)
}
