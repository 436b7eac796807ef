package planner

import (
	"cmp"
	"slices"
	"time"

	"github.com/warmpool-dev/warmpool/internal/fleet"
)

// verdict is the work sheet of one ComputePoolVerdict.
type verdict struct {
	in  *PoolVerdictInput
	out PoolVerdict
	// waiting are the pending instances, oldest first.
	waiting []*VerdictInstance
	// coming are those on their way, oldest first.
	coming []*VerdictInstance
	// unhealthy are those that were ready, oldest first.
	unhealthy []*VerdictInstance
}

// newVerdict counts instances and money.
func newVerdict(in *PoolVerdictInput) *verdict {
	v := &verdict{in: in}
	for k := range in.Instances {
		v.count(&in.Instances[k])
	}
	slices.SortFunc(v.waiting, oldestFirst)
	slices.SortFunc(v.coming, oldestFirst)
	slices.SortFunc(v.unhealthy, oldestFirst)
	v.out.HeadroomUSDPerHour = in.Pool.CeilingUSDPerHour - v.out.CommittedUSDPerHour
	for _, instance := range v.waiting {
		if instance.Admission != nil {
			v.out.LastAdmission = instance.Admission
			break
		}
	}
	v.out.RecheckAt = v.recheckAt()
	return v
}

// count takes one instance into account.
func (v *verdict) count(instance *VerdictInstance) {
	out := &v.out
	state := StateOf(&instance.SizeInstance, v.in.Now)
	out.Total++
	*out.of(state)++
	if isLive(state) {
		out.Replicas++
	}
	switch state {
	case StatePending:
		if instance.IsAdopting() {
			break // no offer would help it
		}
		v.waiting = append(v.waiting, instance)
	case StateProvisioning:
		v.coming = append(v.coming, instance)
	case StateUnhealthy, StateFailed:
		v.unhealthy = append(v.unhealthy, instance)
	default:
	}
	v.countMoney(instance)
}

// of returns the counter of a state.
func (c *PoolCounts) of(state InstanceState) *int {
	switch state {
	case StateReady:
		return &c.Ready
	case StateClaimed:
		return &c.Claimed
	case StateProvisioning:
		return &c.Provisioning
	case StatePending:
		return &c.Pending
	case StateUnhealthy, StateFailed:
		return &c.Unhealthy
	case StateUnknown:
		return &c.Unknown
	default:
		return &c.Terminating
	}
}

// countMoney takes the price of one instance into account.
func (v *verdict) countMoney(instance *VerdictInstance) {
	v.out.CommittedUSDPerHour = addUSD(v.out.CommittedUSDPerHour, Cost(&instance.Instance))
	if !instance.HasRental() {
		return
	}
	v.out.ObservedUSDPerHour = addUSD(v.out.ObservedUSDPerHour, instance.Rental.ObservedUSDPerHour)
}

// recheckAt is when time alone would change the verdict.
func (v *verdict) recheckAt() time.Time {
	var at time.Time
	consider := func(t time.Time) {
		if t.After(v.in.Now) && (at.IsZero() || t.Before(at)) {
			at = t
		}
	}
	consider(v.in.Backoff.NextAttemptAt)
	consider(v.in.Pool.Budgets.BeginsAnew())
	for k := range v.in.Instances {
		instance := &v.in.Instances[k]
		if instance.Admission != nil && isPending(StateOf(&instance.SizeInstance, v.in.Now)) {
			consider(instance.Admission.Until)
		}
		if attempts := instance.Attempts; len(attempts) > 0 && attempts[len(attempts)-1].Outcome == OutcomePending {
			consider(attempts[len(attempts)-1].StartedAt.Add(rentAnswerTimeout))
		}
	}
	return at
}

// overBy is how much committed cost exceeds the ceiling, 0 when it does not.
func (v *verdict) overBy() fleet.USDMicros { return max(-v.out.HeadroomUSDPerHour, 0) }

// oldestFirst is a total order.
func oldestFirst(a, b *VerdictInstance) int {
	return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.UID, b.UID))
}
