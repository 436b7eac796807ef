package planner

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/warmpool-dev/warmpool/internal/fleet"
)

// admitting is a candidate, offers and a state in which the $0.41 offer fits.
func admitting() (Candidate, []fleet.Offer, AdmissionState) {
	candidate := Candidate{Instance: blank("a", 0), Pool: activePool()}
	state := AdmissionState{
		Instances: []Instance{rented("b", 1, usd(91)), blank("a", 0)},
		Listing:   &fleet.Listing{Rentals: []fleet.Rental{row(1, labelOf("b", 1), usd(91))}},
		Account:   goodAccount(), Now: moment(100),
	}
	return candidate, []fleet.Offer{offerAt(812, usd(41)), offerAt(813, usd(59)), offerAt(814, usd(60))}, state
}

func TestAdmitTakesTheFirstThatFits(t *testing.T) {
	candidate, offers, state := admitting()
	tests := map[string]struct {
		edit func(*Candidate, *AdmissionState)
		want int64
	}{
		"cheapest by price":                             {func(*Candidate, *AdmissionState) {}, 812},
		"the best by score does not fit, the next does": {func(c *Candidate, _ *AdmissionState) { c.Pool.Ranking = RankingScore }, 813},
		"exactly the headroom fits": {func(_ *Candidate, s *AdmissionState) {
			s.Blocked = []BlockedMachine{{MachineID: 1812, Until: moment(101)}}
		}, 813},
		"another machine before one that just failed": {func(c *Candidate, _ *AdmissionState) {
			c.Pool.FailedOn = map[int64]bool{1812: true}
		}, 813},
		"one that just failed rather than none": {func(c *Candidate, _ *AdmissionState) {
			c.Pool.FailedOn = map[int64]bool{1812: true, 1813: true}
			c.Pool.MaxInstanceUSDPerHour = usd(41)
		}, 812},
	}
	offers[2].ScoreMilli, offers[1].ScoreMilli = 900_000, 800_000
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			c, s := candidate, state
			tc.edit(&c, &s)
			got := Admit(&c, offers, &s)
			if got.Decision != DecisionAdmitted || got.Offer == nil || got.Offer.ID != tc.want || got.Reason != ReasonAdmitted {
				t.Fatalf("Admit = %+v, want offer %d", got, tc.want)
			}
			if got.NeededUSDPerHour != got.Offer.PriceUSDPerHour || got.HeadroomUSDPerHour != usd(59) || got.OffersSeen != 3 {
				t.Errorf("figures of %+v are wrong", got)
			}
		})
	}
}

func TestAdmitDryRunRentsNothing(t *testing.T) {
	candidate, offers, state := admitting()
	candidate.Pool.Mode = ModeDryRun
	got := Admit(&candidate, offers, &state)
	if got.Decision != DecisionDryRun || got.Offer.ID != 812 || !strings.HasPrefix(got.Message, "Dry run, nothing is rented.") {
		t.Errorf("Admit = %+v, want a dry run of offer 812", got)
	}
}

func TestAdmitDeferrals(t *testing.T) {
	type input struct {
		candidate *Candidate
		offers    *[]fleet.Offer
		state     *AdmissionState
	}
	inFlight := attempted("a", OutcomePending, usd(40))
	inFlight.InFlight = true
	tests := map[string]struct {
		edit func(input)
		want string
	}{
		"account frozen":    {func(in input) { in.state.Account.Mode = AccountFrozen }, ReasonAccountFrozen},
		"untrusted sweep":   {func(in input) { in.state.Account.LastSweep.Trusted = false }, ReasonProviderUntrusted},
		"no listing":        {func(in input) { in.state.Listing = nil }, ReasonAwaitingFirstSweep},
		"deleting instance": {func(in input) { in.candidate.Instance.Deleting = true }, ReasonNotPending},
		"rented instance":   {func(in input) { in.candidate.Instance = rented("a", 5, usd(1)) }, ReasonPreviousRentalEnding},
		"unknown outcome":   {func(in input) { in.candidate.Instance = attempted("a", OutcomeUnknown, usd(1)) }, ReasonRentOutcomeUnknown},
		"call in flight":    {func(in input) { in.candidate.Instance = inFlight }, ReasonRentOutcomeUnknown},
		"paused pool":       {func(in input) { in.candidate.Pool.Mode = ModePaused }, ReasonPaused},
		"backing off":       {func(in input) { in.candidate.Pool.NextAttemptAt = moment(101) }, ReasonBackingOff},
		"the account shows a forgotten rental": {func(in input) {
			in.state.Listing.Rentals = append(in.state.Listing.Rentals, row(99, labelOf("a", 1), usd(1)))
		}, ReasonUnrecordedRental},
		"no offers":         {func(in input) { *in.offers = nil }, ReasonNoMatchingOffers},
		"no offer passes":   {func(in input) { in.candidate.Pool.Query.MinGPUMemoryMB = 99_000 }, ReasonNoMatchingOffers},
		"all above the cap": {func(in input) { in.candidate.Pool.MaxInstanceUSDPerHour = usd(40) }, ReasonAllAboveCap},
		"all blocked": {func(in input) {
			*in.offers = (*in.offers)[:1]
			in.state.Blocked = []BlockedMachine{{MachineID: 1812, Until: moment(101)}}
		}, ReasonAllBlocked},
		"machine in use":                  {func(in input) { *in.offers = (*in.offers)[:1]; (*in.offers)[0].MachineID = 7 }, ReasonAllBlocked},
		"pool ceiling":                    {func(in input) { in.candidate.Pool.CeilingUSDPerHour = usd(132) - 1 }, ReasonCostCeilingReached},
		"no pool ceiling affords nothing": {func(in input) { in.candidate.Pool.CeilingUSDPerHour = 0 }, ReasonCostCeilingReached},
		"account ceiling":                 {func(in input) { in.state.Account.CeilingUSDPerHour = usd(132) - 1 }, ReasonAccountCeilingReached},
		"foreign rentals count for the account": {func(in input) {
			in.state.Account.CeilingUSDPerHour = usd(132)
			in.state.Listing.Rentals = append(in.state.Listing.Rentals, row(99, "somebody's", 1))
		}, ReasonAccountCeilingReached},
		"pool goes before account": {func(in input) {
			in.candidate.Pool.CeilingUSDPerHour, in.state.Account.CeilingUSDPerHour = 0, 0
		}, ReasonCostCeilingReached},
		// 2 h at $1.32/h cost $2.64; $5.00 must remain.
		"balance too low": {func(in input) { in.state.Account.BalanceUSD = usd(764) - 1 }, ReasonBalanceLow},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			candidate, offers, state := admitting()
			tc.edit(input{&candidate, &offers, &state})
			got := Admit(&candidate, offers, &state)
			if got.Decision != DecisionDeferred || got.Offer != nil || got.Reason != tc.want || got.Message == "" {
				t.Errorf("Admit = %+v, want a deferral with %s", got, tc.want)
			}
		})
	}
}

func TestAdmitAtTheLimits(t *testing.T) {
	candidate, offers, state := admitting()
	candidate.Pool.CeilingUSDPerHour = usd(132)
	candidate.Pool.MaxInstanceUSDPerHour = usd(41)
	state.Account.CeilingUSDPerHour = usd(132)
	state.Account.BalanceUSD = usd(764)
	if got := Admit(&candidate, offers, &state); got.Decision != DecisionAdmitted {
		t.Errorf("Admit = %+v, want admission: every limit is met exactly", got)
	}
}

// TestAdmissionChecks tests every named limit alone, so that one that is lost
// or weakened is seen even where an earlier stage would have caught the case.
func TestAdmissionChecks(t *testing.T) {
	tests := map[string]struct {
		edit func(*admissionCase)
		want string
	}{
		"InstanceCap":     {func(c *admissionCase) { c.candidate.Pool.MaxInstanceUSDPerHour = usd(41) - 1 }, ReasonAllAboveCap},
		"PoolHeadroom":    {func(c *admissionCase) { c.poolCommitted = usd(109) + 1 }, ReasonCostCeilingReached},
		"AccountHeadroom": {func(c *admissionCase) { c.accountCommitted = usd(959) + 1 }, ReasonAccountCeilingReached},
		"Budgets": {func(c *admissionCase) {
			c.candidate.Pool.Budgets = []SpendBudgetState{{Unknown: ReasonLedgerUnknown, SpendBudget: SpendBudget{Action: BudgetStopRenting}}}
		}, ReasonLedgerUnknown},
		"BalanceRunway": {func(c *admissionCase) {
			// So long a runway saturates; what is left of a debt must not wrap around.
			c.state.Account.RunwaySeconds, c.state.Account.BalanceUSD = 1<<62, -usd(1)
		}, ReasonBalanceLow},
		"BlockedMachine": {func(c *admissionCase) { c.state.Blocked = []BlockedMachine{{MachineID: 1812, Until: moment(101)}} }, ReasonAllBlocked},
		"BackOff":        {func(c *admissionCase) { c.candidate.Pool.NextAttemptAt = moment(101) }, ReasonBackingOff},
	}
	var names []string
	for _, limit := range admissionChecks() {
		names = append(names, limit.name)
		tc, ok := tests[limit.name]
		if !ok {
			t.Errorf("limit %s has no test", limit.name)
			continue
		}
		t.Run(limit.name, func(t *testing.T) {
			candidate, offers, state := admitting()
			subject := &admissionCase{candidate: &candidate, offer: &offers[0], state: &state, poolCommitted: usd(109), accountCommitted: usd(959)}
			if deferral := limit.check(subject); deferral != nil {
				t.Fatalf("deferred with %+v, want a fit", deferral)
			}
			tc.edit(subject)
			if deferral := limit.check(subject); deferral == nil || deferral.Reason != tc.want {
				t.Errorf("deferral = %+v, want %s", deferral, tc.want)
			}
		})
	}
	want := []string{"InstanceCap", "PoolHeadroom", "AccountHeadroom", "Budgets", "BalanceRunway", "BlockedMachine", "BackOff"}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("limits (-want +got):\n%s", diff)
	}
}

func TestAdmitMessages(t *testing.T) {
	tests := map[string]struct {
		edit func(*Candidate, *AdmissionState)
		want string
	}{
		"pool ceiling": {
			func(_ *Candidate, s *AdmissionState) { s.Instances[0].Rental.ObservedUSDPerHour = usd(132) },
			"This instance needs $0.41/h, the price of the cheapest offer that matches (offer 812, RTX 4090), and $0.18/h is left under the pool's ceiling of $1.50/h. Raise spec.cost.ceilingUSDPerHour of the WarmPool, lower its spec.replicas, or widen its spec.offers.",
		},
		"no match": {
			func(c *Candidate, _ *AdmissionState) { c.Pool.Query.MinGPUMemoryMB = 48_000 },
			"No offer matches. Widen the filter in spec.offers that turns most of them away, or wait for the market. Of 3 offers, by the first filter that each fails: 3 with too little GPU memory (minGPUMemoryMB).",
		},
		"above the cap": {
			func(c *Candidate, _ *AdmissionState) { c.Pool.MaxInstanceUSDPerHour = usd(30) },
			"The cheapest offer that matches otherwise costs $0.41/h (offer 812), and one instance may cost $0.30/h. Raise spec.cost.maxInstanceUSDPerHour, or wait for the market. Of 3 offers, by the first filter that each fails: 3 too dear for one instance (spec.cost.maxInstanceUSDPerHour).",
		},
		"balance": {
			func(_ *Candidate, s *AdmissionState) { s.Account.BalanceUSD = usd(700) },
			"The credit of $7.00 would not last: with this instance $1.32/h is committed, which costs $2.64 in 2h (spec.runwaySeconds), and $5.00 must remain (spec.minBalanceUSD). Add credit at Vast.ai, or change these fields of the VastAccount.",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			candidate, offers, state := admitting()
			tc.edit(&candidate, &state)
			if diff := cmp.Diff(tc.want, Admit(&candidate, offers, &state).Message); diff != "" {
				t.Errorf("message (-want +got):\n%s", diff)
			}
		})
	}
}

// TestAdmitWorkedCases are the worked cases of the design: ceiling $1.50, three wanted.
func TestAdmitWorkedCases(t *testing.T) {
	tests := map[string]struct {
		price fleet.USDMicros
		want  int
	}{
		"offers at $0.44 fit three times": {usd(44), 3},
		"offers at $0.60 fit twice":       {usd(60), 2},
		"offers at $0.80 fit once":        {usd(80), 1},
		"offers at $1.51 never fit":       {usd(151), 0},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			pool, rentedCount := activePool(), 0
			instances := []Instance{blank("a", 1), blank("b", 2), blank("c", 3)}
			for round := range 10 {
				plan := RankPending([]AdmissionPool{pool}, instances, moment(100))
				if len(plan.Candidates) == 0 {
					break
				}
				state := AdmissionState{Instances: instances, Listing: &fleet.Listing{}, Account: goodAccount(), Now: moment(100)}
				got := Admit(&plan.Candidates[0], []fleet.Offer{offerAt(int64(round+1), tc.price)}, &state)
				if got.Decision != DecisionAdmitted {
					break
				}
				rentedCount++
				for k := range instances {
					if instances[k].UID == got.UID {
						created := instances[k].CreatedAt
						instances[k] = rented(got.UID, int64(100+round), got.Offer.PriceUSDPerHour)
						instances[k].CreatedAt = created
					}
				}
			}
			if rentedCount != tc.want {
				t.Errorf("%d rented, want %d", rentedCount, tc.want)
			}
		})
	}
}
