package planner

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/warmpool-dev/warmpool/internal/fleet"
)

// waitingClaim is a claim that nobody has served yet.
func waitingClaim(uid string, createdAt int) Claim {
	return Claim{UID: uid, Name: uid, CreatedAt: moment(createdAt), BindTimeoutSeconds: 600, TTLSeconds: 300}
}

// changed is a copy with a change.
func changed[T any](value T, edits ...func(*T)) T {
	for _, edit := range edits {
		edit(&value)
	}
	return value
}

// boundTo is a claim whose status says that it has instance x since a second.
func boundTo(since int) func(*Claim) {
	return func(c *Claim) { c.Told, c.BoundAt = "x", moment(since) }
}

// freeInstance is ready since a second, and nobody holds it.
func freeInstance(uid string, readyAt int) ClaimInstance {
	instance := ClaimInstance{Instance: rented(uid, int64(len(uid)), usd(40)), GPUName: "RTX 4090", GPUMemoryMB: 24564, CurrentTemplate: true}
	instance.Ready, instance.ReadyAt = true, moment(readyAt)
	return instance
}

// heldBy makes a claim hold an instance since a second.
func heldBy(claim string, since int) func(*ClaimInstance) {
	return func(i *ClaimInstance) {
		i.ClaimUID, i.ClaimName, i.BoundAt, i.Claimed = claim, claim, moment(since), true
	}
}

// letGo lets the holder let go of an instance, at moment(90).
func letGo(i *ClaimInstance) { i.RecycleAt = moment(90) }

// claimsAt are a pool's claims at a second.
func claimsAt(second int, claims []Claim, instances ...ClaimInstance) *ClaimsInput {
	return &ClaimsInput{
		Pool: ClaimPool{
			Name: "sdxl", Found: true, Mode: ModeActive, DefaultTTLSeconds: 1800, MaxTTLSeconds: 3600, RecycleDeadlineSeconds: 300,
			MaxPending: 100, GPUNames: []string{"RTX 4090"}, MinGPUMemoryMB: 16000,
		},
		Claims: claims, Instances: instances, Now: moment(second),
	}
}

// shownPlan is a plan in words: bindings, releases and the claims that end.
func shownPlan(plan *ClaimsPlan) []string {
	shown := []string{}
	for _, binding := range plan.Bind {
		shown = append(shown, fmt.Sprintf("%s gets %s", binding.ClaimUID, binding.InstanceUID))
	}
	for _, release := range plan.Release {
		shown = append(shown, fmt.Sprintf("%s %s from %s", release.Action, release.InstanceUID, release.ClaimUID))
	}
	for k := range plan.Verdicts {
		if verdict := &plan.Verdicts[k]; verdict.Ends {
			shown = append(shown, fmt.Sprintf("%s ends: %s", verdict.UID, verdict.Conditions[2].Reason))
		}
	}
	return shown
}

func TestClaimsAreServedInTheirOrder(t *testing.T) {
	onlyA100 := func(c *Claim) { c.GPUNames = []string{"A100 PCIE"} }
	for name, test := range map[string]struct {
		in   *ClaimsInput
		want []string
	}{
		"nothing": {claimsAt(100, nil), []string{}},
		"the oldest claim, and the instance that is ready for longest": {
			claimsAt(100, []Claim{waitingClaim("b", 20), waitingClaim("a", 10)}, freeInstance("y", 50), freeInstance("x", 40)),
			[]string{"a gets x", "b gets y"},
		},
		"too few": {claimsAt(100, []Claim{waitingClaim("a", 10), waitingClaim("b", 20)}, freeInstance("x", 40)), []string{"a gets x"}},
		"one that nothing fits does not hold up the next": {
			claimsAt(100, []Claim{changed(waitingClaim("a", 10), onlyA100), waitingClaim("b", 20)}, freeInstance("x", 40)),
			[]string{"b gets x"},
		},
		"the memory is not enough": {
			claimsAt(100, []Claim{changed(waitingClaim("a", 10), func(c *Claim) { c.MinGPUMemoryMB = 40000 })}, freeInstance("x", 40)),
			[]string{},
		},
		"an older template, and another is required": {
			claimsAt(100, []Claim{changed(waitingClaim("a", 10), func(c *Claim) { c.CurrentTemplate = true })}, changed(freeInstance("x", 40), func(i *ClaimInstance) { i.CurrentTemplate = false })),
			[]string{},
		},
		"the template of now first": {
			claimsAt(100, []Claim{waitingClaim("a", 10)}, changed(freeInstance("x", 40), func(i *ClaimInstance) { i.CurrentTemplate = false }), freeInstance("y", 50)),
			[]string{"a gets y"},
		},
		"an idle one first": {
			claimsAt(100, []Claim{waitingClaim("a", 10)}, changed(freeInstance("x", 40), func(i *ClaimInstance) { i.Busy = true }), freeInstance("y", 50)),
			[]string{"a gets y"},
		},
		"one whose contract outlasts the claim first": {
			claimsAt(100, []Claim{changed(waitingClaim("a", 10), func(c *Claim) { c.TTLSeconds = 3600 })},
				changed(freeInstance("x", 40), func(i *ClaimInstance) { i.Rental.StartedAt, i.Rental.EndsAt = moment(0), moment(110+3600) }), freeInstance("y", 50)),
			[]string{"a gets x"},
		},
		"not ready":      {claimsAt(100, []Claim{waitingClaim("a", 10)}, changed(freeInstance("x", 40), func(i *ClaimInstance) { i.Ready = false })), []string{}},
		"given up":       {claimsAt(100, []Claim{waitingClaim("a", 10)}, changed(freeInstance("x", 40), func(i *ClaimInstance) { i.Failed = true })), []string{}},
		"being ended":    {claimsAt(100, []Claim{waitingClaim("a", 10)}, changed(freeInstance("x", 40), func(i *ClaimInstance) { i.Deleting = true })), []string{}},
		"held":           {claimsAt(100, []Claim{waitingClaim("a", 10), changed(waitingClaim("z", 5), boundTo(50))}, changed(freeInstance("x", 40), heldBy("z", 50))), []string{}},
		"being recycled": {claimsAt(100, []Claim{waitingClaim("a", 10)}, changed(freeInstance("x", 40), heldBy("z", 50), letGo)), []string{}},
		"ends within an hour": {
			claimsAt(100, []Claim{waitingClaim("a", 10)}, changed(freeInstance("x", 40), func(i *ClaimInstance) {
				i.Rental.StartedAt, i.Rental.EndsAt = moment(-1_000_000), moment(1000)
			})), []string{},
		},
		"a finished claim gets nothing": {claimsAt(100, []Claim{changed(waitingClaim("a", 10), func(c *Claim) { c.Finished = true })}, freeInstance("x", 40)), []string{}},
		"a deleted claim gets nothing":  {claimsAt(100, []Claim{changed(waitingClaim("a", 10), func(c *Claim) { c.Deleting = true })}, freeInstance("x", 40)), []string{"a ends: Released"}},
		"paused hands out what is there": {
			changed(*claimsAt(100, []Claim{waitingClaim("a", 10)}, freeInstance("x", 40)), func(in *ClaimsInput) { in.Pool.Mode = ModePaused }).self(), []string{"a gets x"},
		},
		"draining does not": {
			changed(*claimsAt(100, []Claim{waitingClaim("a", 10)}, freeInstance("x", 40)), func(in *ClaimsInput) { in.Pool.Mode = ModeDrain }).self(), []string{},
		},
		"a rehearsal does not": {
			changed(*claimsAt(100, []Claim{waitingClaim("a", 10)}, freeInstance("x", 40)), func(in *ClaimsInput) { in.Pool.Mode = ModeDryRun }).self(), []string{},
		},
		"an emergency does not": {
			changed(*claimsAt(100, []Claim{waitingClaim("a", 10)}, freeInstance("x", 40)), func(in *ClaimsInput) { in.Pool.EmergencyStop = true }).self(), []string{},
		},
		"a pool that is deleted does not": {
			changed(*claimsAt(100, []Claim{waitingClaim("a", 10)}, freeInstance("x", 40)), func(in *ClaimsInput) { in.Pool.Deleting = true }).self(), []string{},
		},
		"no pool": {
			changed(*claimsAt(100, []Claim{waitingClaim("a", 10)}), func(in *ClaimsInput) { in.Pool = ClaimPool{Name: "sdxl"} }).self(), []string{},
		},
		"the queue is full": {
			changed(*claimsAt(100, []Claim{waitingClaim("a", 10), waitingClaim("b", 20), waitingClaim("c", 30)}), func(in *ClaimsInput) { in.Pool.MaxPending = 2 }).self(),
			[]string{"c ends: QueueFull"},
		},
		"no queue at all": {
			changed(*claimsAt(100, []Claim{waitingClaim("a", 10), waitingClaim("b", 20)}, freeInstance("x", 40)), func(in *ClaimsInput) { in.Pool.MaxPending = 0 }).self(),
			[]string{"a gets x", "b ends: QueueFull"},
		},
		"it has waited for too long": {claimsAt(610, []Claim{waitingClaim("a", 10)}, freeInstance("x", 40)), []string{"a ends: BindTimeout"}},
	} {
		t.Run(name, func(t *testing.T) {
			plan := ComputeClaims(test.in)
			if diff := cmp.Diff(test.want, shownPlan(&plan)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// self is the address of an input, for tables.
func (in ClaimsInput) self() *ClaimsInput { return &in }

func TestClaimsEnd(t *testing.T) {
	recycle := func(c *Claim) { c.OnRelease = ReleaseRecycle }
	finished := func(c *Claim) { c.Finished = true }
	deleted := func(c *Claim) { c.Deleting = true }
	bound := changed(waitingClaim("a", 10), boundTo(50))
	held := changed(freeInstance("x", 40), heldBy("a", 50))
	for name, test := range map[string]struct {
		in   *ClaimsInput
		want []string
	}{
		"its time runs":    {claimsAt(349, []Claim{bound}, held), []string{}},
		"its time is over": {claimsAt(350, []Claim{bound}, held), []string{"a ends: Expired"}},
		"it was extended": {
			claimsAt(350, []Claim{changed(bound, func(c *Claim) { c.TTLSeconds = 600 })}, held), []string{},
		},
		"beyond what the pool allows": {
			claimsAt(50+3600, []Claim{changed(bound, func(c *Claim) { c.TTLSeconds = 7200 })}, held), []string{"a ends: Expired"},
		},
		"the pool's default":                         {claimsAt(50+1799, []Claim{changed(bound, func(c *Claim) { c.TTLSeconds = 0 })}, held), []string{}},
		"it ended, which is written down":            {claimsAt(400, []Claim{changed(bound, finished)}, held), []string{"Terminate x from a"}},
		"the same, to be recycled":                   {claimsAt(400, []Claim{changed(bound, finished, recycle)}, held), []string{"Recycle x from a"}},
		"it was deleted":                             {claimsAt(100, []Claim{changed(bound, deleted)}, held), []string{"Terminate x from a", "a ends: Released"}},
		"it is gone":                                 {claimsAt(100, nil, held), []string{"Terminate x from a"}},
		"its instance is being ended":                {claimsAt(100, []Claim{bound}, changed(held, func(i *ClaimInstance) { i.Deleting = true })), []string{"a ends: InstanceLost"}},
		"its instance is gone":                       {claimsAt(100, []Claim{bound}), []string{"a ends: InstanceLost"}},
		"its instance fails":                         {claimsAt(100, []Claim{bound}, changed(held, func(i *ClaimInstance) { i.Ready = false })), []string{}},
		"a failed one is not recycled":               {claimsAt(400, []Claim{changed(bound, finished, recycle)}, changed(held, func(i *ClaimInstance) { i.Failed = true })), []string{"Terminate x from a"}},
		"another claim has it since":                 {claimsAt(400, []Claim{changed(bound, finished), changed(waitingClaim("b", 90), boundTo(380))}, changed(freeInstance("x", 40), heldBy("b", 380))), []string{}},
		"a claim is not moved to another instance":   {claimsAt(100, []Claim{bound}, changed(freeInstance("y", 40), heldBy("a", 60))), []string{"Free y from a", "a ends: InstanceLost"}},
		"two instances, and its holder knows one":    {claimsAt(100, []Claim{bound}, changed(freeInstance("w", 40), heldBy("a", 60)), held), []string{"Free w from a"}},
		"two instances, and its holder knows none":   {claimsAt(100, []Claim{waitingClaim("a", 10)}, changed(freeInstance("w", 40), heldBy("a", 60)), held), []string{}},
		"being recycled":                             {claimsAt(100, nil, changed(held, letGo)), []string{}},
		"recycled":                                   {claimsAt(100, nil, changed(held, letGo, func(i *ClaimInstance) { i.Recycled = true })), []string{"Free x from a"}},
		"recycled, and not ready":                    {claimsAt(100, nil, changed(held, letGo, func(i *ClaimInstance) { i.Recycled, i.Ready = true, false })), []string{}},
		"recycling takes too long":                   {claimsAt(390, nil, changed(held, letGo)), []string{"Terminate x from a"}},
		"recycling while its claim is deleted":       {claimsAt(100, []Claim{changed(bound, deleted, finished)}, changed(held, letGo)), []string{}},
		"recycled, and its claim is not gone yet":    {claimsAt(100, []Claim{changed(bound, deleted, finished)}, changed(held, letGo, func(i *ClaimInstance) { i.Recycled = true })), []string{"Free x from a"}},
		"the pool recycles, and the claim is silent": {changed(*claimsAt(400, []Claim{changed(bound, finished)}, held), func(in *ClaimsInput) { in.Pool.OnRelease = ReleaseRecycle }).self(), []string{"Recycle x from a"}},
		"nothing is recycled for a pool that drains": {changed(*claimsAt(400, []Claim{changed(bound, finished, recycle)}, held), func(in *ClaimsInput) { in.Pool.Mode = ModeDrain }).self(), []string{"Terminate x from a"}},
	} {
		t.Run(name, func(t *testing.T) {
			plan := ComputeClaims(test.in)
			if diff := cmp.Diff(test.want, shownPlan(&plan)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestClaimsSayWhy looks at the words: the reason of Bound and Ready, and a part
// of the message.
func TestClaimsSayWhy(t *testing.T) {
	bound := changed(waitingClaim("a", 10), boundTo(50))
	held := changed(freeInstance("x", 40), heldBy("a", 50))
	ceiling := func(in *ClaimsInput) {
		in.Pool.Reason, in.Pool.Message = ReasonCostCeilingReached, "0 of 1 ready; the next instance needs $0.41/h, and $0.18/h is left."
	}
	for name, test := range map[string]struct {
		in                   *ClaimsInput
		bound, ready, phrase string
		position             int
	}{
		"it holds":      {claimsAt(100, []Claim{bound}, held), "True/Bound", "True/Ready", "until 2026-09-01T12:05:50Z", 0},
		"it was capped": {claimsAt(100, []Claim{changed(bound, func(c *Claim) { c.TTLSeconds = 9000 })}, held), "True/Bound", "True/Ready", "maxTTLSeconds", 0},
		"its instance is not ready": {
			claimsAt(100, []Claim{bound}, changed(held, func(i *ClaimInstance) {
				i.Ready, i.HealthReason, i.HealthMessage = false, HealthUnresponsive, "9 probes in a row failed. It is kept, because it is claimed."
			})), "True/Bound", "False/Unresponsive", "9 probes in a row failed", 0,
		},
		"it waits": {claimsAt(100, []Claim{waitingClaim("a", 10)}), "False/Queued", "False/Queued", "number 1", 1},
		"it waits for money": {
			changed(*claimsAt(100, []Claim{waitingClaim("a", 10)}), ceiling).self(), "False/CostCeilingReached", "False/CostCeilingReached", "needs $0.41/h", 1,
		},
		"nothing fits": {
			claimsAt(100, []Claim{changed(waitingClaim("a", 10), func(c *Claim) { c.MinGPUMemoryMB = 48000 })}, freeInstance("x", 40)),
			"False/NoMatchingInstance", "False/NoMatchingInstance", "Nothing is rented for it", 1,
		},
		"no pool": {changed(*claimsAt(100, []Claim{waitingClaim("a", 10)}), func(in *ClaimsInput) { in.Pool = ClaimPool{Name: "sdxl"} }).self(), "False/PoolNotFound", "False/PoolNotFound", `no WarmPool "sdxl"`, 1},
		"it was lost in an emergency": {
			changed(*claimsAt(100, []Claim{bound}), func(in *ClaimsInput) { in.Pool.EmergencyStop = true }).self(), "False/InstanceLost", "False/InstanceLost", "EmergencyStop", 0,
		},
		"it was lost with its pool": {
			changed(*claimsAt(100, []Claim{bound}), func(in *ClaimsInput) { in.Pool.Deleting = true }).self(), "False/InstanceLost", "False/InstanceLost", "pool is being deleted", 0,
		},
		"it was lost for a budget": {
			changed(*claimsAt(100, []Claim{bound}), func(in *ClaimsInput) { in.Pool.EndsAll = "The budget day is used up." }).self(), "False/InstanceLost", "False/InstanceLost", "budget day", 0,
		},
		"its instance failed": {
			claimsAt(100, []Claim{bound}, changed(held, func(i *ClaimInstance) {
				i.Deleting, i.Failed, i.Failure = true, true, fleet.Failure{Reason: HealthInstanceStopped, Message: "Vast.ai reports it stopped."}
			})), "False/InstanceLost", "False/InstanceLost", "InstanceStopped: Vast.ai reports it stopped", 0,
		},
	} {
		t.Run(name, func(t *testing.T) {
			plan := ComputeClaims(test.in)
			verdict := &plan.Verdicts[0]
			shown := map[string]PoolCondition{}
			for _, condition := range verdict.Conditions {
				shown[condition.Type] = condition
			}
			for kind, want := range map[string]string{claimBound: test.bound, claimReady: test.ready} {
				if got := shown[kind].Status + "/" + shown[kind].Reason; got != want {
					t.Errorf("%s is %s, want %s", kind, got, want)
				}
			}
			if !strings.Contains(shown[claimReady].Message+shown[claimBound].Message, test.phrase) {
				t.Errorf("%q is not in %q, nor in %q", test.phrase, shown[claimBound].Message, shown[claimReady].Message)
			}
			if verdict.Position != test.position {
				t.Errorf("position %d, want %d", verdict.Position, test.position)
			}
			if shown[claimReconciling].Status == statusTrue && shown[claimStalled].Status == statusTrue {
				t.Error("both Reconciling and Stalled")
			}
		})
	}
}

func TestClaimsSayWhenToLookAgain(t *testing.T) {
	bound := changed(waitingClaim("b", 10), boundTo(50))
	for name, test := range map[string]struct {
		in   *ClaimsInput
		want time.Time
	}{
		"nothing":    {claimsAt(100, nil), time.Time{}},
		"waiting":    {claimsAt(100, []Claim{waitingClaim("a", 10)}), moment(610)},
		"holding":    {claimsAt(100, []Claim{bound}, changed(freeInstance("x", 40), heldBy("b", 50))), moment(350)},
		"recycling":  {claimsAt(100, nil, changed(freeInstance("x", 40), heldBy("b", 50), letGo)), moment(390)},
		"the sooner": {claimsAt(100, []Claim{waitingClaim("a", 10), bound}, changed(freeInstance("x", 40), heldBy("b", 50))), moment(350)},
	} {
		t.Run(name, func(t *testing.T) {
			if plan := ComputeClaims(test.in); !plan.RecheckAt.Equal(test.want) {
				t.Errorf("look again at %s, want %s", plan.RecheckAt, test.want)
			}
		})
	}
}

func TestWaitingClaims(t *testing.T) {
	current := func(c *Claim) { c.CurrentTemplate = true }
	old := func(i *ClaimInstance) { i.CurrentTemplate = false }
	for name, test := range map[string]struct {
		in       *ClaimsInput
		replicas int
		want     int
	}{
		"none":                         {claimsAt(100, nil), 0, 0},
		"each wants one":               {claimsAt(100, []Claim{waitingClaim("a", 10), waitingClaim("b", 20)}), 0, 2},
		"one that holds wants none":    {claimsAt(100, []Claim{changed(waitingClaim("a", 10), boundTo(50))}, changed(freeInstance("x", 40), heldBy("a", 50))), 0, 0},
		"one that got it just now":     {claimsAt(100, []Claim{waitingClaim("a", 10)}, changed(freeInstance("x", 40), heldBy("a", 99))), 0, 0},
		"one that is finished":         {claimsAt(100, []Claim{changed(waitingClaim("a", 10), func(c *Claim) { c.Finished = true })}), 0, 0},
		"one that is deleted":          {claimsAt(100, []Claim{changed(waitingClaim("a", 10), func(c *Claim) { c.Deleting = true })}), 0, 0},
		"one whose time to wait ended": {claimsAt(610, []Claim{waitingClaim("a", 10)}), 0, 0},
		"more than may wait": {
			changed(*claimsAt(100, []Claim{waitingClaim("a", 10), waitingClaim("b", 20)}), func(in *ClaimsInput) { in.Pool.MaxPending = 1 }).self(), 0, 1,
		},
		"another GPU than the pool rents": {claimsAt(100, []Claim{changed(waitingClaim("a", 10), func(c *Claim) { c.GPUNames = []string{"A100 PCIE"} })}), 0, 0},
		"the GPU that the pool rents":     {claimsAt(100, []Claim{changed(waitingClaim("a", 10), func(c *Claim) { c.GPUNames = []string{"A100 PCIE", "RTX 4090"} })}), 0, 1},
		"a GPU, and the pool rents any": {
			changed(*claimsAt(100, []Claim{changed(waitingClaim("a", 10), func(c *Claim) { c.GPUNames = []string{"RTX 4090"} })}), func(in *ClaimsInput) { in.Pool.GPUNames = nil }).self(), 0, 0,
		},
		"more memory than the pool asks for": {claimsAt(100, []Claim{changed(waitingClaim("a", 10), func(c *Claim) { c.MinGPUMemoryMB = 16001 })}), 0, 0},
		"as much memory":                     {claimsAt(100, []Claim{changed(waitingClaim("a", 10), func(c *Claim) { c.MinGPUMemoryMB = 16000 })}), 0, 1},
		"a ready one that it does not take":  {claimsAt(100, []Claim{changed(waitingClaim("a", 10), current)}, changed(freeInstance("x", 40), old)), 0, 2},
		"the same, and replicas wants that":  {claimsAt(100, []Claim{changed(waitingClaim("a", 10), current)}, changed(freeInstance("x", 40), old)), 1, 1},
		"never more than twice as many": {
			claimsAt(100, []Claim{changed(waitingClaim("a", 10), current)}, changed(freeInstance("x", 40), old), changed(freeInstance("y", 40), old), changed(freeInstance("z", 40), old)), 0, 2,
		},
		"no pool": {changed(*claimsAt(100, []Claim{waitingClaim("a", 10)}), func(in *ClaimsInput) { in.Pool.Found = false }).self(), 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			if got := WaitingClaims(test.in, test.replicas); got != test.want {
				t.Errorf("%d are wanted, want %d", got, test.want)
			}
		})
	}
}

// TestWaitingClaimsAreDemand: what claims wait for is made, and not ended.
func TestWaitingClaimsAreDemand(t *testing.T) {
	demand := func(claims int, in SizeInput) *SizeInput {
		in.Pool.WaitingClaims = claims
		return &in
	}
	for name, test := range map[string]struct {
		in     *SizeInput
		create int
		delete []string
	}{
		"replicas 0, one waits":             {demand(1, wanting(0)), 1, nil},
		"its instance is on the way":        {demand(1, wanting(0, several(StateProvisioning, 1)...)), 0, nil},
		"a ready one is not ended":          {demand(1, wanting(0, several(StateReady, 1)...)), 0, nil},
		"the second is":                     {demand(1, wanting(0, several(StateReady, 2)...)), 0, []string{"Ready1 ScaledDown"}},
		"on top of replicas":                {demand(2, wanting(1, several(StateReady, 1)...)), 2, nil},
		"claimed ones are not for it":       {demand(1, wanting(0, several(StateClaimed, 1)...)), 1, nil},
		"never beyond maxReplicas":          {demand(2, changed(wanting(0, several(StateClaimed, 2)...), func(in *SizeInput) { in.Pool.MaxReplicas = 3 })), 1, nil},
		"never more than could be afforded": {demand(9, changed(wanting(0), func(in *SizeInput) { in.HeadroomUSDPerHour = usd(100) })), 2, nil},
		"not while paused":                  {demand(1, changed(wanting(0), func(in *SizeInput) { in.Pool.Mode = ModePaused })), 0, nil},
		"not while draining":                {demand(1, changed(wanting(0), func(in *SizeInput) { in.Pool.Mode = ModeDrain })), 0, nil},
	} {
		t.Run(name, func(t *testing.T) {
			plan := ComputeSize(test.in)
			if plan.Create != test.create {
				t.Errorf("makes %d, want %d", plan.Create, test.create)
			}
			if diff := cmp.Diff(test.delete, names(plan.Delete)); diff != "" {
				t.Error(diff)
			}
		})
	}
}
