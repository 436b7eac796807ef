package planner

import (
	"cmp"
	"slices"
	"time"
)

// serve gives the free instances to the claims that wait, and a place in the
// queue to those for which there is none.
func (c *claims) serve() {
	free := c.free()
	position := 0
	for _, claim := range c.waiting {
		verdict := &c.plan.Verdicts[c.verdictOf[claim.UID]]
		if at := c.pick(claim, free); at >= 0 {
			c.bind(claim, free[at])
			verdict.Position, verdict.Conditions = 0, bindingConditions(free[at].Name)
			free = slices.Delete(free, at, at+1)
			continue
		}
		position++
		//warmpool:gate claim-queue-is-bounded
		if position > c.in.Pool.MaxPending && c.in.Pool.Found {
			verdict.Ends, verdict.Conditions = true, finishedConditions(ClaimReasonQueueFull, c.queueFullMessage())
			position--
			continue
		}
		verdict.Position = position
		verdict.Conditions = c.waitingConditions(claim, position, len(free))
	}
}

// free lists the instances that may be handed out. Nothing is handed out by a
// pool that ends everything, or that shall become empty.
func (c *claims) free() []*ClaimInstance {
	pool := &c.in.Pool
	//warmpool:gate no-binding-in-a-pool-that-ends
	if !pool.Found || pool.Deleting || pool.EmergencyStop || pool.EndsAll != "" || (pool.Mode != ModeActive && pool.Mode != ModePaused) {
		return nil
	}
	var free []*ClaimInstance
	for _, instance := range c.instances {
		if instance.isFree(c.in.Now) {
			free = append(free, instance)
		}
	}
	return free
}

// pick chooses the instance for a claim: -1 when none will do. One with the
// template of now goes first, then one that is idle, then one whose contract
// lasts, then the one that has been ready for longest.
func (c *claims) pick(claim *Claim, free []*ClaimInstance) int {
	ttl, _ := c.ttl(claim)
	best := -1
	for k := range free {
		if !claim.accepts(free[k]) {
			continue
		}
		if best < 0 || compareForClaim(free[k], free[best], c.in.Now.Add(ttl)) < 0 {
			best = k
		}
	}
	return best
}

// compareForClaim is the order of choice; it is total.
func compareForClaim(a, b *ClaimInstance, until time.Time) int {
	return cmp.Or(
		falseFirst(!a.CurrentTemplate, !b.CurrentTemplate),
		falseFirst(a.Busy, b.Busy),
		falseFirst(a.endsBefore(until), b.endsBefore(until)),
		a.ReadyAt.Compare(b.ReadyAt),
		cmp.Compare(a.UID, b.UID),
	)
}

// endsBefore is true when the contract ends before a time.
func (i *ClaimInstance) endsBefore(at time.Time) bool {
	return i.Rental != nil && !i.Rental.EndsAt.IsZero() && i.Rental.EndsAt.Before(at)
}

// falseFirst compares two answers.
func falseFirst(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	default:
		return -1
	}
}

// accepts is true when the instance meets the claim's requirements.
func (claim *Claim) accepts(instance *ClaimInstance) bool {
	//warmpool:gate claim-requirements
	return (len(claim.GPUNames) == 0 || slices.Contains(claim.GPUNames, instance.GPUName)) &&
		instance.GPUMemoryMB >= claim.MinGPUMemoryMB &&
		(instance.CurrentTemplate || !claim.CurrentTemplate)
}

func (c *claims) bind(claim *Claim, instance *ClaimInstance) {
	c.plan.Bind = append(c.plan.Bind, ClaimBinding{
		ClaimUID: claim.UID, ClaimName: claim.Name, InstanceUID: instance.UID, InstanceName: instance.Name,
	})
}

// isPromised is true when everything that the pool rents meets the claim's
// requirements. Renting for a claim that would not take the result is a waste.
func (claim *Claim) isPromised(pool *ClaimPool) bool {
	//warmpool:gate rent-only-what-a-claim-takes
	if claim.MinGPUMemoryMB > pool.MinGPUMemoryMB {
		return false
	}
	if len(claim.GPUNames) == 0 {
		return true
	}
	outside := func(name string) bool { return !slices.Contains(claim.GPUNames, name) }
	return len(pool.GPUNames) > 0 && !slices.ContainsFunc(pool.GPUNames, outside)
}

// WaitingClaims is how many instances the claims that wait want on top of
// replicas: one each, and one for each ready instance that none of them takes
// and that replicas does not need either, at most as many again.
func WaitingClaims(in *ClaimsInput, replicas int) int {
	c := newClaims(in)
	for _, claim := range c.inOrder {
		c.judge(claim)
	}
	if !in.Pool.Found {
		return 0
	}
	//warmpool:gate waiting-claims-bounded
	waiting := min(len(c.waiting), in.Pool.MaxPending)
	var wanting []*Claim
	for _, claim := range c.waiting[:waiting] {
		if claim.isPromised(&in.Pool) {
			wanting = append(wanting, claim)
		}
	}
	useless := 0
	for _, instance := range c.instances {
		taken := slices.ContainsFunc(wanting, func(claim *Claim) bool { return claim.accepts(instance) })
		if instance.isFree(in.Now) && !taken {
			useless++
		}
	}
	return len(wanting) + min(max(useless-replicas, 0), len(wanting))
}
