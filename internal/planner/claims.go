package planner

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// ReleasePolicy says what becomes of an instance when its claim ends. The zero
// value is the pool's.
type ReleasePolicy string

// The release policies.
const (
	// ReleaseTerminate ends the rental.
	ReleaseTerminate ReleasePolicy = "Terminate"
	// ReleaseRecycle cleans the instance for the next claim.
	ReleaseRecycle ReleasePolicy = "Recycle"
)

// Claim is one WarmClaim as the planner sees it.
type Claim struct {
	// UID and Name identify the object.
	UID, Name string
	// CreatedAt is its creation: claims are served in this order.
	CreatedAt time.Time
	// Deleting is true once the object has a deletion timestamp.
	Deleting bool
	// Finished is true once its end is written down. There is no way back.
	Finished bool
	// Told is the instance that its status names, by name; empty before it has one.
	Told string
	// BoundAt is when its status says that it got the instance; zero before.
	BoundAt time.Time
	// TTLSeconds is how long it wants to hold it, 0 for the pool's default.
	TTLSeconds int64
	// BindTimeoutSeconds is how long it waits.
	BindTimeoutSeconds int64
	// OnRelease is what becomes of the instance, empty for the pool's choice.
	OnRelease ReleasePolicy
	// GPUNames are the accepted GPUs; empty accepts any.
	GPUNames []string
	// MinGPUMemoryMB is the least memory of each GPU in MB.
	MinGPUMemoryMB int64
	// CurrentTemplate is true when no older template will do.
	CurrentTemplate bool
}

// ClaimInstance is one WarmInstance as its claims see it.
type ClaimInstance struct {
	Instance
	// ClaimUID and ClaimName are those in its spec.claimRef; empty when nobody holds it.
	ClaimUID, ClaimName string
	// BoundAt is when that claim got it; zero when that was not written down.
	BoundAt time.Time
	// RecycleAt is when that claim let go of it and its recycling began; zero
	// while it is held.
	RecycleAt time.Time
	// Recycled is true once it has rendered a test prompt after that.
	Recycled bool
	// Busy is true while work is in its queue, as far as is known.
	Busy bool
	// GPUName and GPUMemoryMB describe the GPUs; 0 MB is not known.
	GPUName     string
	GPUMemoryMB int64
	// CurrentTemplate is true when it was made from the pool's template of now.
	CurrentTemplate bool
	// HealthReason and HealthMessage are those of its Ready condition.
	HealthReason, HealthMessage string
}

// isFree is true for one that a claim may get.
func (i *ClaimInstance) isFree(now time.Time) bool {
	//warmpool:gate claim-takes-what-is-ready
	//warmpool:gate claim-takes-what-nobody-holds
	return i.Ready && i.HasRental() && i.ClaimUID == "" && !i.Deleting && !i.Failed && !i.EndsSoon(now)
}

// ClaimPool is a pool as its claims see it.
type ClaimPool struct {
	// Name is for people.
	Name string
	// Found is false when the object is not there.
	Found bool
	// Deleting and EmergencyStop end everything, what is claimed too.
	Deleting, EmergencyStop bool
	// Mode is the pool's.
	Mode PoolMode
	// DefaultTTLSeconds and MaxTTLSeconds bound how long an instance is held.
	DefaultTTLSeconds, MaxTTLSeconds int64
	// OnRelease is for claims that do not say.
	OnRelease ReleasePolicy
	// RecycleDeadlineSeconds is how long recycling may take.
	RecycleDeadlineSeconds int64
	// MaxPending is how many claims may wait.
	MaxPending int
	// GPUNames and MinGPUMemoryMB are what every rental of the pool has: only
	// what they promise makes the pool rent for a claim.
	GPUNames       []string
	MinGPUMemoryMB int64
	// Reason and Message are those of its condition FullyProvisioned, and
	// empty while that is True.
	Reason, Message string
	// EndsAll says why the pool ends claimed instances, too, such as a budget
	// that is used up; empty when it does not.
	EndsAll string
}

// ClaimsInput is everything that decides about the claims of one pool.
type ClaimsInput struct {
	// Pool is the pool that the claims name.
	Pool ClaimPool
	// Claims holds every claim of the pool, finished ones too.
	Claims []Claim
	// Instances holds every WarmInstance of the pool.
	Instances []ClaimInstance
	// Now is the time of the decision.
	Now time.Time
}

// ClaimBinding gives an instance to a claim.
type ClaimBinding struct {
	// ClaimUID and ClaimName name the claim.
	ClaimUID, ClaimName string
	// InstanceUID and InstanceName name the instance: write spec.claimRef on the
	// version that the plan was made from.
	InstanceUID, InstanceName string
}

// ClaimReleaseAction is what to do with an instance whose claim has ended.
type ClaimReleaseAction string

// The actions of a release.
const (
	// ActionTerminate deletes the WarmInstance.
	ActionTerminate ClaimReleaseAction = "Terminate"
	// ActionRecycle begins to recycle it: spec.claimRef stays, with the time.
	ActionRecycle ClaimReleaseAction = "Recycle"
	// ActionFree takes spec.claimRef away: the next claim may have it.
	ActionFree ClaimReleaseAction = "Free"
)

// ClaimRelease takes an instance from a claim that has ended. It is for the
// version that the plan was made from, and for the claim with this UID only: an
// expired claim must not free its successor.
type ClaimRelease struct {
	// InstanceUID and InstanceName name the instance, ClaimUID whom it is taken from.
	InstanceUID, InstanceName, ClaimUID string
	// Action is what to do.
	Action ClaimReleaseAction
	// Reason is a ClaimReason… constant, Message says it in a sentence.
	Reason, Message string
}

// ClaimVerdict is what the status of one claim says.
type ClaimVerdict struct {
	// UID names the claim.
	UID string
	// Ends is true when the claim ends now. That has to be written down, on the
	// version that the plan was made from, before its instance is released.
	Ends bool
	// Instance is the one that it holds, by name; empty when it holds none.
	Instance string
	// BoundAt and ExpiresAt are when it got the instance and when it ends.
	BoundAt, ExpiresAt time.Time
	// Position is its place among those that wait, 1 for the next; 0 when it
	// does not wait.
	Position int
	// Conditions are Bound, Ready, Finished, Reconciling and Stalled; none for a
	// claim whose end is written down already.
	Conditions []PoolCondition
}

// ClaimsPlan is what to do about the claims of one pool. Its order is total: it
// depends on nothing but the input.
type ClaimsPlan struct {
	// Bind gives instances to claims that wait, first come, first served.
	Bind []ClaimBinding
	// Release takes instances from claims that have ended.
	Release []ClaimRelease
	// Verdicts holds one for each claim, oldest first.
	Verdicts []ClaimVerdict
	// RecheckAt is when time alone would change the plan; zero when it would not.
	RecheckAt time.Time
}

// ComputeClaims decides which claim gets which instance, which claims have
// ended, and which instances are released. A claim holds an instance when, and
// only when, the instance's spec.claimRef has its UID: that one write is the
// binding, and everything else follows from it.
//
// Both lists must be fresh from the API server when the plan is acted upon.
func ComputeClaims(in *ClaimsInput) ClaimsPlan {
	c := newClaims(in)
	for _, claim := range c.inOrder {
		c.judge(claim)
	}
	c.serve()
	for k := range c.instances {
		c.release(c.instances[k])
	}
	return c.plan
}

// claims is the work sheet of one ComputeClaims.
type claims struct {
	in *ClaimsInput
	// inOrder are the claims, oldest first, byUID the same by their UID.
	inOrder []*Claim
	byUID   map[string]*Claim
	// instances are sorted by UID; holds is the one that a claim holds.
	instances []*ClaimInstance
	holds     map[string]*ClaimInstance
	// waiting are the claims that want an instance, oldest first.
	waiting []*Claim
	// verdictOf is where the verdict of a claim is in the plan.
	verdictOf map[string]int
	plan      ClaimsPlan
}

func newClaims(in *ClaimsInput) *claims {
	c := &claims{in: in, byUID: map[string]*Claim{}, holds: map[string]*ClaimInstance{}, verdictOf: map[string]int{}}
	for k := range in.Claims {
		claim := &in.Claims[k]
		c.inOrder, c.byUID[claim.UID] = append(c.inOrder, claim), claim
	}
	slices.SortFunc(c.inOrder, func(a, b *Claim) int {
		return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.UID, b.UID))
	})
	for k := range in.Instances {
		c.instances = append(c.instances, &in.Instances[k])
	}
	slices.SortFunc(c.instances, func(a, b *ClaimInstance) int { return cmp.Compare(a.UID, b.UID) })
	for _, instance := range c.instances {
		c.noteHolder(instance)
	}
	return c
}

// noteHolder finds out which instance a claim holds. Two can carry its UID when
// an old leader was late: the one that its status names counts, or else the
// first. A claim never moves to another one than its status names, because its
// holder was told that one.
func (c *claims) noteHolder(instance *ClaimInstance) {
	claim := c.byUID[instance.ClaimUID]
	if claim == nil || instance.Deleting || !instance.RecycleAt.IsZero() {
		return
	}
	//warmpool:gate claim-stays-with-its-instance
	if claim.Told != "" && claim.Told != instance.Name {
		return
	}
	if c.holds[claim.UID] == nil {
		c.holds[claim.UID] = instance
	}
}

// judge says what a claim is worth now, but for those that wait.
func (c *claims) judge(claim *Claim) {
	held := c.holds[claim.UID]
	switch {
	case claim.Finished:
		c.verdict(claim, &ClaimVerdict{})
	case claim.Deleting:
		c.finish(claim, ClaimReasonReleased, "It was deleted, and its instance is released.")
	case held != nil:
		c.judgeHolder(claim, held)
	//warmpool:gate lost-claim-is-not-served-again
	case !claim.BoundAt.IsZero():
		c.finish(claim, ClaimReasonInstanceLost, c.lostMessage(claim))
	case c.timedOut(claim):
		c.finish(claim, ClaimReasonBindTimeout, fmt.Sprintf(
			"No instance was free within %d s (spec.bindTimeoutSeconds).%s Make a new claim, and allow it more time.", claim.BindTimeoutSeconds, c.poolWords()))
	default:
		c.recheckAt(claim.CreatedAt.Add(seconds(claim.BindTimeoutSeconds)))
		c.waiting = append(c.waiting, claim)
		c.verdict(claim, &ClaimVerdict{})
	}
}

// judgeHolder is about a claim that holds an instance.
func (c *claims) judgeHolder(claim *Claim, held *ClaimInstance) {
	boundAt := c.boundAt(claim, held)
	ttl, capped := c.ttl(claim)
	expires := boundAt.Add(ttl)
	//warmpool:gate claim-expires
	if !c.in.Now.Before(expires) {
		c.finish(claim, ClaimReasonExpired, fmt.Sprintf("Its time of %s was over at %s, and instance %s is released.", ttl, expires.UTC().Format(time.RFC3339), held.Name))
		return
	}
	c.recheckAt(expires)
	verdict := ClaimVerdict{Instance: held.Name, BoundAt: boundAt, ExpiresAt: expires}
	verdict.Conditions = c.heldConditions(held, expires, capped)
	c.verdict(claim, &verdict)
}

// boundAt is when a claim got its instance: as the binding says, else as its
// status does, else now.
func (c *claims) boundAt(claim *Claim, held *ClaimInstance) time.Time {
	for _, at := range []time.Time{held.BoundAt, claim.BoundAt} {
		if !at.IsZero() {
			return at
		}
	}
	return c.in.Now
}

// ttl is how long a claim may hold its instance, and whether the pool's maximum
// makes that less than it asks for.
func (c *claims) ttl(claim *Claim) (time.Duration, bool) {
	asked := claim.TTLSeconds
	if asked == 0 {
		asked = orDefault(c.in.Pool.DefaultTTLSeconds, 1800)
	}
	//warmpool:gate claim-time-is-capped
	if limit := orDefault(c.in.Pool.MaxTTLSeconds, 28800); asked > limit {
		return seconds(limit), true
	}
	return seconds(asked), false
}

func (c *claims) timedOut(claim *Claim) bool {
	return !c.in.Now.Before(claim.CreatedAt.Add(seconds(claim.BindTimeoutSeconds)))
}

// release decides about an instance with a claimRef.
func (c *claims) release(instance *ClaimInstance) {
	if instance.ClaimUID == "" || instance.Deleting {
		return
	}
	claim := c.byUID[instance.ClaimUID]
	switch {
	case !instance.RecycleAt.IsZero():
		c.goOnRecycling(instance)
	//warmpool:gate release-of-a-claim-that-is-gone
	case claim == nil:
		c.letGo(instance, "", ClaimReasonReleased, fmt.Sprintf("claim %s is gone", instance.ClaimName))
	case claim.Deleting:
		c.letGo(instance, claim.OnRelease, ClaimReasonReleased, fmt.Sprintf("claim %s was deleted", claim.Name))
	//warmpool:gate release-only-what-has-ended
	case claim.Finished:
		c.letGo(instance, claim.OnRelease, ClaimReasonExpired, fmt.Sprintf("claim %s has ended", claim.Name))
	//warmpool:gate free-only-what-nobody-was-told
	case claim.Told != "" && claim.Told != instance.Name:
		c.add(instance, ActionFree, ClaimReasonReleased, fmt.Sprintf("claim %s holds another instance, and never got this one", claim.Name))
	default:
	}
}

// letGo follows the policy. What cannot be of use to another claim is ended.
func (c *claims) letGo(instance *ClaimInstance, policy ReleasePolicy, reason, why string) {
	pool := &c.in.Pool
	recycle := cmp.Or(policy, pool.OnRelease, ReleaseTerminate) == ReleaseRecycle
	useful := pool.Found && !pool.Deleting && !pool.EmergencyStop && pool.Mode != ModeDrain && !instance.Failed && !instance.EndsSoon(c.in.Now)
	if recycle && useful {
		c.add(instance, ActionRecycle, ClaimReasonRecycling, why+"; it is recycled")
		return
	}
	c.add(instance, ActionTerminate, reason, why+"; its rental is ended")
}

// goOnRecycling frees an instance that has proved itself, and ends one that
// does not within its time.
func (c *claims) goOnRecycling(instance *ClaimInstance) {
	limit := seconds(orDefault(c.in.Pool.RecycleDeadlineSeconds, 300))
	deadline := instance.RecycleAt.Add(limit)
	switch {
	//warmpool:gate recycled-instance-proves-itself
	case instance.Recycled && instance.Ready:
		c.add(instance, ActionFree, ClaimReasonRecycled, "it was emptied and has rendered a test prompt since")
	case !c.in.Now.Before(deadline) || instance.Failed:
		c.add(instance, ActionTerminate, ClaimReasonRecycleFailed, fmt.Sprintf("it was not recycled within %s (spec.claimPolicy.recycleDeadlineSeconds); its rental is ended", limit))
	default:
		c.recheckAt(deadline)
	}
}

func (c *claims) add(instance *ClaimInstance, action ClaimReleaseAction, reason, message string) {
	c.plan.Release = append(c.plan.Release, ClaimRelease{
		InstanceUID: instance.UID, InstanceName: instance.Name, ClaimUID: instance.ClaimUID, Action: action, Reason: reason, Message: message,
	})
}

// verdict appends the verdict of a claim.
func (c *claims) verdict(claim *Claim, verdict *ClaimVerdict) {
	verdict.UID = claim.UID
	c.verdictOf[claim.UID] = len(c.plan.Verdicts)
	c.plan.Verdicts = append(c.plan.Verdicts, *verdict)
}

// finish ends a claim.
func (c *claims) finish(claim *Claim, reason, message string) {
	c.verdict(claim, &ClaimVerdict{Ends: true, Conditions: finishedConditions(reason, message)})
}

// recheckAt notes when time alone changes something.
func (c *claims) recheckAt(at time.Time) {
	if c.plan.RecheckAt.IsZero() || at.Before(c.plan.RecheckAt) {
		c.plan.RecheckAt = at
	}
}
