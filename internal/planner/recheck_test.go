package planner

import (
	"testing"

	"github.com/warmpool-dev/warmpool/internal/fleet"
)

func TestRecheck(t *testing.T) {
	tests := map[string]struct {
		edit func(*RecheckInput)
		want string
	}{
		"everything fits exactly": {func(*RecheckInput) {}, ""},
		"pool ceiling":            {func(in *RecheckInput) { in.PoolCeilingUSDPerHour-- }, ReasonCostCeilingReached},
		"account ceiling":         {func(in *RecheckInput) { in.AccountCeilingUSDPerHour-- }, ReasonAccountCeilingReached},
		"another rental appeared in the list": {func(in *RecheckInput) {
			in.Listing.Rentals = append(in.Listing.Rentals, row(51, "", 1))
		}, ReasonAccountCeilingReached},
		"another instance has an unknown outcome": {func(in *RecheckInput) {
			in.Instances = append(in.Instances, attempted("c", OutcomeUnknown, 1))
		}, ReasonCostCeilingReached},
		"no trusted list":            {func(in *RecheckInput) { in.Listing = nil }, ReasonAwaitingFirstSweep},
		"no price":                   {func(in *RecheckInput) { in.PriceUSDPerHour = 0 }, ReasonNoMatchingOffers},
		"instance gone":              {func(in *RecheckInput) { in.UID = "z" }, ReasonNotPending},
		"instance deleting":          {func(in *RecheckInput) { in.Instances[0].Deleting = true }, ReasonNotPending},
		"instance failed":            {func(in *RecheckInput) { in.Instances[0].Failed = true }, ReasonNotPending},
		"instance of another pool":   {func(in *RecheckInput) { in.PoolKey = "x/y" }, ReasonNotPending},
		"attempt not journaled":      {func(in *RecheckInput) { in.AttemptNumber = 2 }, ReasonRentOutcomeUnknown},
		"attempt settled by another": {func(in *RecheckInput) { in.Instances[0].Attempts[0].Outcome = OutcomeAbandoned }, ReasonNotPending},
		"nothing journaled at all":   {func(in *RecheckInput) { in.Instances[0].Attempts = nil }, ReasonNotPending},
		"instance has a rental":      {func(in *RecheckInput) { in.Instances[0].Rental = &InstanceRental{ID: 5} }, ReasonPreviousRentalEnding},
		"second open attempt": {func(in *RecheckInput) {
			in.Instances[0].Attempts = append(in.Instances[0].Attempts, Attempt{Number: 2, Outcome: OutcomeUnknown})
		}, ReasonRentOutcomeUnknown},
		"the number is there twice": {func(in *RecheckInput) {
			in.Instances[0].Attempts = append(in.Instances[0].Attempts, in.Instances[0].Attempts[0])
		}, ReasonRentOutcomeUnknown},
		"a late rental that is gone costs nothing": {func(in *RecheckInput) {
			in.Instances[1].Attempts = append(in.Instances[1].Attempts, Attempt{Number: 2, RentalID: 77, RentalGone: true, QuotedUSDPerHour: 1})
		}, ""},
		"a late rental that is not gone costs its quote": {func(in *RecheckInput) {
			in.Instances[1].Attempts = append(in.Instances[1].Attempts, Attempt{Number: 2, RentalID: 77, QuotedUSDPerHour: 1})
		}, ReasonCostCeilingReached},
		"an own rental is not gone, whatever its attempt says": {func(in *RecheckInput) {
			in.Instances[1].Attempts[0].RentalGone = true
			in.Instances[1].Attempts[0].QuotedUSDPerHour = usd(61)
			in.Instances[1].Rental.PriceKnown = false
		}, ReasonCostCeilingReached},
		"the account shows a forgotten rental": {func(in *RecheckInput) {
			in.AccountCeilingUSDPerHour *= 2
			in.Listing.Rentals = append(in.Listing.Rentals, row(51, labelOf("a", 1), 1))
		}, ReasonUnrecordedRental},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			in := RecheckInput{
				UID: "a", AttemptNumber: 1, PoolKey: testPool, PriceUSDPerHour: usd(41),
				PoolCeilingUSDPerHour: usd(101), AccountCeilingUSDPerHour: usd(121),
				Instances: []Instance{attempted("a", OutcomePending, usd(41)), rented("b", 1, usd(60))},
				Listing:   &fleet.Listing{Rentals: []fleet.Rental{row(1, labelOf("b", 1), usd(60)), row(50, "foreign", usd(20))}},
			}
			tc.edit(&in)
			got := ""
			if deferral := Recheck(&in); deferral != nil {
				got = deferral.Reason
			}
			if got != tc.want {
				t.Errorf("Recheck = %q, want %q", got, tc.want)
			}
		})
	}
}
