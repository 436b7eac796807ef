package planner

import (
	"cmp"
	"slices"
	"time"

	"github.com/warmpool-dev/warmpool/internal/fleet"
)

// InstanceState is where a WarmInstance is, for counting and for choosing
// victims. Every instance is in exactly one.
type InstanceState string

// The states of an instance.
const (
	// StateTerminating: deleted, and not yet confirmed gone.
	StateTerminating InstanceState = "Terminating"
	// StateClaimed: in exclusive use.
	StateClaimed InstanceState = "Claimed"
	// StateFailed: given up; about to be deleted.
	StateFailed InstanceState = "Failed"
	// StatePending: waits for money or for an offer; costs nothing.
	StatePending InstanceState = "Pending"
	// StateUnknown: a rent whose outcome is not known, or a rental that a
	// refused attempt left behind. Its price stays reserved (I2).
	StateUnknown InstanceState = "Unknown"
	// StateProvisioning: being rented, or rented and on the way to its first Ready.
	StateProvisioning InstanceState = "Provisioning"
	// StateUnhealthy: was Ready and is not any more.
	StateUnhealthy InstanceState = "Unhealthy"
	// StateReady: Ready and unclaimed.
	StateReady InstanceState = "Ready"
)

// StateOf says where an instance is. A rent call that was journaled a moment
// ago counts as provisioning, not as unknown, so that the figures do not
// flicker with each rent.
func StateOf(instance *SizeInstance, now time.Time) InstanceState {
	switch {
	case instance.Deleting:
		return StateTerminating
	//warmpool:gate claimed-is-no-candidate
	case instance.Claimed:
		return StateClaimed
	case instance.Failed:
		return StateFailed
	case !instance.IsBilling():
		return StatePending
	case instance.HasRental() && instance.Ready:
		return StateReady
	case instance.HasRental() && instance.WasReady:
		return StateUnhealthy
	case instance.HasRental(), isBeingRented(&instance.Instance, now):
		return StateProvisioning
	default:
		return StateUnknown
	}
}

// isBeingRented is true while the newest attempt is a call that may still answer.
func isBeingRented(instance *Instance, now time.Time) bool {
	if instance.InFlight {
		return true
	}
	if len(instance.Attempts) == 0 {
		return false
	}
	last := &instance.Attempts[len(instance.Attempts)-1]
	return last.Outcome == OutcomePending && now.Sub(last.StartedAt) < rentAnswerTimeout
}

// isLive is true for what counts towards replicas: unclaimed, not given up, not
// ending.
func isLive(state InstanceState) bool {
	switch state {
	//warmpool:gate surplus-spares-claims
	case StatePending, StateUnknown, StateProvisioning, StateUnhealthy, StateReady:
		return true
	default:
		return false
	}
}

// isPending is true for what waits and costs nothing.
func isPending(state InstanceState) bool { return state == StatePending }

// candidate is one instance that could be ended.
type candidate struct {
	instance *SizeInstance
	state    InstanceState
	cost     fleet.USDMicros
	// endsSoon is true for an unclaimed one whose contract ends soon.
	endsSoon bool
}

// victim names the candidate in a plan.
func (c *candidate) victim(reason, message string) Victim {
	return Victim{UID: c.instance.UID, Name: c.instance.Name, Reason: reason, Message: message}
}

// rank orders the states by how little is lost when an instance ends: what
// costs nothing, what is broken, what is not ready yet, what may not even exist
// (ending it frees nothing until its outcome is known, but no Ready instance is
// ended in its place), then the Ready ones, idle before busy. Claimed ones come
// last; only endAll and the policy ScaleDownAll reach them.
func (c *candidate) rank() int {
	const readyRank, busyRank, claimedRank = 5, 6, 7
	switch c.state {
	case StatePending:
		return 0
	case StateFailed:
		return 1
	case StateUnhealthy:
		return 2
	case StateProvisioning:
		return 3
	case StateUnknown:
		return 4
	case StateReady:
		if c.instance.Busy {
			return busyRank
		}
		return readyRank
	default:
		return claimedRank
	}
}

// victimOrder lists every instance that is not yet ending, first victim first.
// The order is total: it depends on nothing but the instances.
func victimOrder(in *SizeInput) []candidate {
	order := make([]candidate, 0, len(in.Instances))
	for k := range in.Instances {
		instance := &in.Instances[k]
		if instance.IsAdopting() && !endsAll(&in.Pool) {
			continue // it is a person's, costs nothing, and counts once it has its rental
		}
		if state := StateOf(instance, in.Now); state != StateTerminating {
			order = append(order, candidate{
				instance: instance, state: state, cost: Cost(&instance.Instance),
				endsSoon: isLive(state) && instance.EndsSoon(in.Now),
			})
		}
	}
	slices.SortFunc(order, func(a, b candidate) int {
		return cmp.Or(
			cmp.Compare(a.rank(), b.rank()),
			compareWithinRank(&a, &b, in.Pool.ScaleDownOrder),
			// Newest first: least was waited for it, and the oldest waiting
			// instance is the next to be rented.
			b.instance.CreatedAt.Compare(a.instance.CreatedAt),
			cmp.Compare(a.instance.UID, b.instance.UID),
		)
	})
	return order
}

// endsAll is true for a pool that keeps nothing.
func endsAll(pool *SizePool) bool {
	return pool.EmergencyStop || pool.Deleting || pool.Mode == ModeDrain
}

// compareWithinRank applies the pool's order among Ready instances, and puts
// the dearest of the broken ones first.
func compareWithinRank(a, b *candidate, order ScaleDownOrder) int {
	switch a.state {
	case StateReady, StateClaimed:
		switch order {
		case ScaleDownNewest:
			return b.instance.CreatedAt.Compare(a.instance.CreatedAt)
		case ScaleDownOldest:
			return a.instance.CreatedAt.Compare(b.instance.CreatedAt)
		default:
			return cmp.Compare(b.cost, a.cost)
		}
	case StateFailed, StateUnhealthy:
		return cmp.Compare(b.cost, a.cost)
	default:
		return 0
	}
}
