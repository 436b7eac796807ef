package planner

import (
	"time"

	"github.com/warmpool-dev/warmpool/internal/fleet"
)

// The condition types of a pool, in the order in which they are reported.
const (
	// PoolReady: readyReplicas ≥ minReadyReplicas.
	PoolReady = "Ready"
	// PoolFullyProvisioned: readyReplicas ≥ replicas.
	PoolFullyProvisioned = "FullyProvisioned"
	// PoolWithinCeiling: committed cost does not exceed the ceiling.
	PoolWithinCeiling = "WithinCeiling"
	// PoolWithinBudget: no budget of the pool or its account is used up.
	PoolWithinBudget = "WithinBudget"
	// PoolAccountReady: the pool's account can rent.
	PoolAccountReady = "AccountReady"
	// PoolOffersAvailable: the last search had an offer that passes every filter.
	PoolOffersAvailable = "OffersAvailable"
	// PoolHealthBudgetOK: no more than maxUnhealthy of the pool fail at once.
	PoolHealthBudgetOK = "HealthBudgetOK"
	// PoolReconciling is kstatus's: the controllers are at work.
	PoolReconciling = "Reconciling"
	// PoolStalled is kstatus's: the pool is not Ready and only a person can mend it.
	PoolStalled = "Stalled"
)

// PoolCondition is one condition of a pool.
type PoolCondition struct {
	// Type is one of the condition types of a pool.
	Type string
	// Status is True, False or Unknown.
	Status string
	// Reason is a CamelCase constant, Message a sentence for people.
	Reason, Message string
}

// VerdictInstance is one WarmInstance of the pool with what its status says.
type VerdictInstance struct {
	SizeInstance
	// Admission is the last answer it got, as its status records it; nil when
	// nobody has looked yet.
	Admission *Admission
	// HealthReason and HealthMessage are those of its Ready condition.
	HealthReason, HealthMessage string
}

// VerdictAccount is the pool's account.
type VerdictAccount struct {
	// Found is false when the object is not there.
	Found bool
	// Name is for people.
	Name string
	// Status, Reason and Message are those of its Ready condition; an empty
	// Status counts as Unknown.
	Status, Reason, Message string
}

// PoolVerdictInput is everything that a pool's status is computed from.
type PoolVerdictInput struct {
	// Pool is the wish.
	Pool SizePool
	// Instances holds every WarmInstance of the pool.
	Instances []VerdictInstance
	// Account is the pool's account.
	Account VerdictAccount
	// Backoff is ComputeBackoff's answer.
	Backoff BackoffState
	// Budget is ComputeHealthBudget's answer.
	Budget BudgetVerdict
	// Trusted is true after a trusted, fresh sweep; without it nothing is ended.
	Trusted bool
	// Now is the time of the verdict.
	Now time.Time
}

// PoolCounts counts the instances of a pool. Every instance is in exactly one of
// Ready, Claimed, Provisioning, Pending, Unhealthy, Unknown and Terminating.
type PoolCounts struct {
	// Replicas are live and unclaimed: Pending, Provisioning, Unknown, Ready and
	// those of Unhealthy that are not given up.
	Replicas int
	// Ready are Ready and unclaimed, Claimed in exclusive use.
	Ready, Claimed int
	// Provisioning are rented and on their way, Pending wait and cost nothing.
	Provisioning, Pending int
	// Unhealthy were Ready and are not any more, or were given up.
	Unhealthy int
	// Unknown have a rent of unknown outcome.
	Unknown int
	// Terminating are being ended and still count under the ceiling.
	Terminating int
	// Total is all of them.
	Total int
}

// PoolVerdict is what a pool's status says.
type PoolVerdict struct {
	PoolCounts
	// CommittedUSDPerHour is what all instances may cost (Committed);
	// ObservedUSDPerHour the prices read back from the provider;
	// HeadroomUSDPerHour the ceiling less what is committed, negative when over.
	CommittedUSDPerHour, ObservedUSDPerHour, HeadroomUSDPerHour fleet.USDMicros
	// Conditions always holds all nine, in the order of the constants.
	Conditions []PoolCondition
	// Reason is the one word for the table: FullyProvisioned's.
	Reason string
	// LastAdmission is the answer to the oldest waiting instance that has one.
	LastAdmission *Admission
	// RecheckAt is when time alone would change the verdict; zero when it would not.
	RecheckAt time.Time
}

// ComputePoolVerdict computes a pool's status. Every condition is always
// present; Ready False comes with exactly one of Reconciling and Stalled, and
// the two are never True together.
func ComputePoolVerdict(in *PoolVerdictInput) PoolVerdict {
	v := newVerdict(in)
	obstacle := v.findObstacle()
	ready := v.readyCondition(obstacle)
	full := v.fullyProvisionedCondition(obstacle)
	reconciling, stalled := v.progressConditions(ready, obstacle)
	v.out.Conditions = []PoolCondition{
		ready, full, v.withinCeilingCondition(), in.Pool.Budgets.Condition(), v.accountCondition(), v.offersCondition(),
		v.healthBudgetCondition(), reconciling, stalled,
	}
	v.out.Reason = full.Reason
	return v.out
}
