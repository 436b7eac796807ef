package planner

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestRankPendingDeferrals(t *testing.T) {
	ofPool := func(instance Instance, pool string) Instance {
		instance.Pool = pool
		return instance
	}
	claimed := rented("ready-claimed", 3, usd(40))
	claimed.Claimed = true
	inFlight := blank("a", 0) // the attempt may not have reached this reading
	inFlight.InFlight = true
	late := attempted("a", OutcomeAbandoned, usd(40))
	late.Attempts[0].RentalID = 9
	exhausted, nearly := blank("a", 0), blank("a", 0)
	for n := range int32(MaxAttempts) {
		exhausted.Attempts = append(exhausted.Attempts, Attempt{Number: n + 1, Outcome: OutcomeRejected})
	}
	nearly.Attempts = exhausted.Attempts[:MaxAttempts-1]
	tests := map[string]struct {
		pool      func(*AdmissionPool)
		instance  Instance
		others    []Instance
		want      string
		wantUntil time.Time
	}{
		"a plain one is a candidate":        {nil, blank("a", 0), nil, "", time.Time{}},
		"dry run is a candidate":            {func(p *AdmissionPool) { p.Mode = ModeDryRun }, blank("a", 0), nil, "", time.Time{}},
		"paused":                            {func(p *AdmissionPool) { p.Mode = ModePaused }, blank("a", 0), nil, ReasonPaused, time.Time{}},
		"unknown mode is no leave":          {func(p *AdmissionPool) { p.Mode = "" }, blank("a", 0), nil, ReasonPaused, time.Time{}},
		"draining":                          {func(p *AdmissionPool) { p.Mode = ModeDrain }, blank("a", 0), nil, ReasonDraining, time.Time{}},
		"pool deleting":                     {func(p *AdmissionPool) { p.Deleting = true }, blank("a", 0), nil, ReasonPoolDeleting, time.Time{}},
		"pool not there":                    {nil, ofPool(blank("a", 0), "x/y"), nil, ReasonPoolNotFound, time.Time{}},
		"backing off":                       {func(p *AdmissionPool) { p.NextAttemptAt = moment(101) }, blank("a", 0), nil, ReasonBackingOff, moment(101)},
		"back-off over":                     {func(p *AdmissionPool) { p.NextAttemptAt = moment(100) }, blank("a", 0), nil, "", time.Time{}},
		"health suspended":                  {func(p *AdmissionPool) { p.HealthSuspended = true }, blank("a", 0), nil, ReasonHealthSuspended, time.Time{}},
		"outcome unknown":                   {nil, attempted("a", OutcomeUnknown, usd(40)), nil, ReasonRentOutcomeUnknown, time.Time{}},
		"outcome pending after a restart":   {nil, attempted("a", OutcomePending, usd(40)), nil, ReasonRentOutcomeUnknown, time.Time{}},
		"call in flight":                    {nil, inFlight, nil, ReasonRentOutcomeUnknown, time.Time{}},
		"unknown goes before paused":        {func(p *AdmissionPool) { p.Mode = ModePaused }, attempted("a", OutcomeUnknown, usd(40)), nil, ReasonRentOutcomeUnknown, time.Time{}},
		"rejected tries again":              {nil, attempted("a", OutcomeRejected, usd(40)), nil, "", time.Time{}},
		"late rental is ending":             {nil, late, nil, ReasonPreviousRentalEnding, time.Time{}},
		"attempts exhausted":                {nil, exhausted, nil, ReasonAttemptsExhausted, time.Time{}},
		"one attempt left":                  {nil, nearly, nil, "", time.Time{}},
		"enough are rented":                 {func(p *AdmissionPool) { p.Replicas = 1 }, blank("a", 0), []Instance{rented("b", 1, usd(40))}, ReasonNotNeeded, time.Time{}},
		"unknown outcomes count as rented":  {func(p *AdmissionPool) { p.Replicas = 1 }, blank("a", 0), []Instance{attempted("b", OutcomeUnknown, usd(40))}, ReasonNotNeeded, time.Time{}},
		"claimed ones do not count":         {func(p *AdmissionPool) { p.Replicas = 1 }, blank("a", 0), []Instance{claimed}, "", time.Time{}},
		"terminating ones do not count":     {func(p *AdmissionPool) { p.Replicas = 1 }, blank("a", 0), []Instance{deleting(rented("b", 1, usd(40)), 0)}, "", time.Time{}},
		"rejected ones do not count":        {func(p *AdmissionPool) { p.Replicas = 2 }, blank("a", 0), []Instance{attempted("b", OutcomeRejected, usd(40))}, "", time.Time{}},
		"other pools do not count":          {func(p *AdmissionPool) { p.Replicas = 1 }, blank("a", 0), []Instance{ofPool(rented("b", 1, usd(40)), "x/y")}, "", time.Time{}},
		"a waiting claim wants one more":    {func(p *AdmissionPool) { p.Replicas, p.WaitingClaims = 1, 1 }, blank("a", 0), []Instance{rented("b", 1, usd(40))}, "", time.Time{}},
		"all replicas taken by claims":      {func(p *AdmissionPool) { p.MaxReplicas = 1 }, blank("a", 0), []Instance{claimed}, ReasonMaxReplicasReached, time.Time{}},
		"terminating ones fill maxReplicas": {func(p *AdmissionPool) { p.MaxReplicas = 1 }, blank("a", 0), []Instance{deleting(rented("b", 1, usd(40)), 0)}, ReasonMaxReplicasReached, time.Time{}},
		"maxReplicas leaves one":            {func(p *AdmissionPool) { p.MaxReplicas = 2 }, blank("a", 0), []Instance{claimed}, "", time.Time{}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			pool := activePool()
			if tc.pool != nil {
				tc.pool(&pool)
			}
			plan := RankPending([]AdmissionPool{pool}, append(tc.others, tc.instance), moment(100))
			if tc.want == "" {
				if !slices.Contains(uids(plan.Candidates), "a") {
					t.Errorf("deferrals %v, want a candidate", plan.Deferrals)
				}
				return
			}
			at := slices.IndexFunc(plan.Deferrals, func(d PendingDeferral) bool { return d.UID == "a" })
			if at < 0 || slices.Contains(uids(plan.Candidates), "a") {
				t.Fatalf("candidates %v, deferrals %v, want %s", uids(plan.Candidates), plan.Deferrals, tc.want)
			}
			got := plan.Deferrals[at].Deferral
			if got.Reason != tc.want || got.Message == "" || !got.Until.Equal(tc.wantUntil) {
				t.Errorf("deferral = %+v, want %s until %s", got, tc.want, tc.wantUntil)
			}
		})
	}
}

func TestRankPendingIgnoresWhatDoesNotWait(t *testing.T) {
	failed := blank("failed", 0)
	failed.Failed = true
	plan := RankPending([]AdmissionPool{activePool()}, []Instance{
		rented("rented", 1, usd(40)), deleting(blank("deleting", 0), 1), failed,
		deleting(attempted("unknown", OutcomeUnknown, usd(40)), 1),
	}, moment(100))
	if len(plan.Candidates) != 0 || len(plan.Deferrals) != 0 {
		t.Errorf("candidates %v, deferrals %v, want none", uids(plan.Candidates), plan.Deferrals)
	}
}

func TestRankPendingOrder(t *testing.T) {
	pool := func(key string, floor, replicas, claims int32) AdmissionPool {
		p := activePool()
		p.Key, p.MinReadyReplicas, p.Replicas, p.WaitingClaims = key, floor, replicas, claims
		return p
	}
	in := func(key string, instance Instance) Instance {
		instance.Pool = key
		return instance
	}
	tests := map[string]struct {
		pools     []AdmissionPool
		instances []Instance
		want      []string
	}{
		"oldest first": {
			[]AdmissionPool{pool("p", 0, 3, 0)},
			[]Instance{in("p", blank("young", 20)), in("p", blank("old", 10))},
			[]string{"old", "young"},
		},
		"equal ages go by uid": {
			[]AdmissionPool{pool("p", 0, 3, 0)},
			[]Instance{in("p", blank("b", 10)), in("p", blank("a", 10))},
			[]string{"a", "b"},
		},
		"below the floor before an older one": {
			[]AdmissionPool{pool("p", 0, 3, 0), pool("q", 1, 3, 0)},
			[]Instance{in("p", blank("old", 10)), in("q", blank("needed", 20))},
			[]string{"needed", "old"},
		},
		"least filled floor first": {
			[]AdmissionPool{pool("half", 2, 2, 0), pool("third", 3, 3, 0)},
			[]Instance{
				in("half", rented("h1", 1, usd(40))), in("third", rented("t1", 2, usd(40))),
				in("half", blank("h2", 10)), in("third", blank("t2", 20)),
			},
			[]string{"t2", "h2"},
		},
		"one under way fills the floor": {
			[]AdmissionPool{pool("p", 1, 3, 0), pool("q", 1, 3, 0)},
			[]Instance{in("p", attempted("p1", OutcomeUnknown, usd(40))), in("p", blank("p2", 10)), in("q", blank("q1", 20))},
			[]string{"q1", "p2"},
		},
		"pools take turns below their floors": {
			[]AdmissionPool{pool("p", 2, 2, 0), pool("q", 2, 2, 0)},
			[]Instance{in("p", blank("p1", 10)), in("p", blank("p2", 11)), in("q", blank("q1", 20)), in("q", blank("q2", 21))},
			[]string{"p1", "q1", "p2", "q2"},
		},
		"waiting claims before the rest": {
			[]AdmissionPool{pool("p", 0, 3, 0), pool("q", 0, 0, 1)},
			[]Instance{in("p", blank("old", 10)), in("q", blank("wanted", 20))},
			[]string{"wanted", "old"},
		},
		"floors before waiting claims": {
			[]AdmissionPool{pool("p", 1, 3, 0), pool("q", 0, 0, 1)},
			[]Instance{in("p", blank("floor", 20)), in("q", blank("wanted", 10))},
			[]string{"floor", "wanted"},
		},
		"never more candidates than wanted": {
			[]AdmissionPool{pool("p", 0, 2, 0)},
			[]Instance{in("p", blank("a", 1)), in("p", blank("b", 2)), in("p", blank("c", 3))},
			[]string{"a", "b"},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			plan := RankPending(tc.pools, tc.instances, moment(100))
			if diff := cmp.Diff(tc.want, uids(plan.Candidates)); diff != "" {
				t.Errorf("order (-want +got):\n%s", diff)
			}
			slices.Reverse(tc.instances)
			if diff := cmp.Diff(tc.want, uids(RankPending(tc.pools, tc.instances, moment(100)).Candidates)); diff != "" {
				t.Errorf("the order depends on the order of the input (-want +got):\n%s", diff)
			}
		})
	}
}
