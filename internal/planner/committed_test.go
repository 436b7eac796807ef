package planner

import (
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/warmpool-dev/warmpool/internal/fleet"
)

func TestCost(t *testing.T) {
	change := func(instance Instance, edit func(*Instance)) Instance {
		edit(&instance)
		return instance
	}
	tests := map[string]struct {
		instance Instance
		want     fleet.USDMicros
	}{
		"never attempted counts nothing":        {blank("a", 0), 0},
		"pending attempt at its quote":          {attempted("a", OutcomePending, usd(60)), usd(60)},
		"unknown attempt at its quote":          {attempted("a", OutcomeUnknown, usd(60)), usd(60)},
		"rejected attempt counts nothing":       {attempted("a", OutcomeRejected, usd(60)), 0},
		"abandoned attempt counts nothing":      {attempted("a", OutcomeAbandoned, usd(60)), 0},
		"recorded rental at its observed price": {rented("a", 1, usd(60)), usd(60)},
		"observed price below the quote counts once known": {change(rented("a", 1, usd(60)), func(i *Instance) {
			i.Rental.ObservedUSDPerHour = usd(50)
		}), usd(50)},
		"the larger counts until the price is known": {change(rented("a", 1, usd(60)), func(i *Instance) {
			i.Rental.ObservedUSDPerHour, i.Rental.PriceKnown = usd(50), false
		}), usd(60)},
		"observed above the quote counts before it is known": {change(rented("a", 1, usd(60)), func(i *Instance) {
			i.Rental.ObservedUSDPerHour, i.Rental.PriceKnown = usd(70), false
		}), usd(70)},
		"no observed price counts the quote": {change(rented("a", 1, usd(60)), func(i *Instance) {
			i.Rental.ObservedUSDPerHour = 0
		}), usd(60)},
		"stopped counts what it would cost if it resumed": {change(rented("a", 1, usd(60)), func(i *Instance) {
			i.Rental.ActualStatus = fleet.StatusStopped
		}), usd(60)},
		"offline counts its last price": {change(rented("a", 1, usd(60)), func(i *Instance) {
			i.Rental.ActualStatus = fleet.StatusOffline
		}), usd(60)},
		"terminating counts in full": {deleting(rented("a", 1, usd(60)), 5), usd(60)},
		"late rental of an abandoned attempt counts once recorded": {change(attempted("a", OutcomeAbandoned, usd(60)), func(i *Instance) {
			i.Attempts[0].RentalID = 9
		}), usd(60)},
		"late rental counts no more when it is gone": {change(attempted("a", OutcomeAbandoned, usd(60)), func(i *Instance) {
			i.Attempts[0].RentalID, i.Attempts[0].RentalGone = 9, true
		}), 0},
		"open attempt beside a rental counts as well": {change(rented("a", 1, usd(60)), func(i *Instance) {
			i.Attempts = append(i.Attempts, Attempt{Number: 2, QuotedUSDPerHour: usd(30), Outcome: OutcomeUnknown})
		}), usd(90)},
		"open attempt that names the rental counts once": {change(rented("a", 1, usd(60)), func(i *Instance) {
			i.Attempts[0].Outcome = OutcomePending
		}), usd(60)},
		"rental that no attempt remembers counts the dearest quote": {change(rented("a", 1, usd(60)), func(i *Instance) {
			i.Attempts[0].RentalID, i.Rental.ObservedUSDPerHour = 0, 0
		}), usd(60)},
		"negative quote counts nothing": {attempted("a", OutcomeUnknown, -usd(60)), 0},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, Cost(&tc.instance)); diff != "" {
				t.Errorf("Cost (-want +got):\n%s", diff)
			}
		})
	}
}

func TestCommittedSaturates(t *testing.T) {
	instances := []Instance{rented("a", 1, math.MaxInt64-5), rented("b", 2, 10)}
	if got := Committed(instances); got != math.MaxInt64 {
		t.Errorf("Committed = %d, want the largest amount: a sum that does not fit must look too expensive", got)
	}
}

func TestCommittedOfPoolCountsOnlyThePool(t *testing.T) {
	other := rented("b", 2, usd(40))
	other.Pool = "default/flux"
	instances := []Instance{rented("a", 1, usd(60)), other}
	got := map[string]fleet.USDMicros{
		"pool": CommittedOfPool(instances, testPool), "all": Committed(instances), "none": CommittedOfPool(instances, "x/y"),
	}
	want := map[string]fleet.USDMicros{"pool": usd(60), "all": usd(100), "none": 0}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("committed (-want +got):\n%s", diff)
	}
}

func TestAccountCommitted(t *testing.T) {
	tests := map[string]struct {
		rows []fleet.Rental
		want fleet.USDMicros
	}{
		"nothing listed counts what is recorded":    {nil, usd(100)},
		"recorded and listed counts once":           {[]fleet.Rental{row(1, "", usd(60))}, usd(100)},
		"recorded and listed dearer counts dearer":  {[]fleet.Rental{row(1, "", usd(80))}, usd(120)},
		"recorded and listed cheaper counts dearer": {[]fleet.Rental{row(1, "", usd(20))}, usd(100)},
		"foreign rental counts":                     {[]fleet.Rental{row(50, "somebody's", usd(33))}, usd(133)},
		"leaked rental of ours counts":              {[]fleet.Rental{row(50, labelOf("zz", 1), usd(33))}, usd(133)},
		"lost answer counts beside its quote":       {[]fleet.Rental{row(50, labelOf("b", 1), usd(40))}, usd(140)},
	}
	instances := []Instance{rented("a", 1, usd(60)), attempted("b", OutcomeUnknown, usd(40)), blank("c", 0)}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got := AccountCommitted(instances, &fleet.Listing{Rentals: tc.rows})
			if got != tc.want {
				t.Errorf("AccountCommitted = %s, want %s", got, tc.want)
			}
		})
	}
	if got := AccountCommitted(instances, nil); got != usd(100) {
		t.Errorf("AccountCommitted without a listing = %s, want 1.00", got)
	}
}

func TestObservePrice(t *testing.T) {
	tests := map[string]struct {
		recorded  InstanceRental
		status    fleet.ActualStatus
		price     fleet.USDMicros
		wantPrice fleet.USDMicros
		wantKnown bool
	}{
		"running price is known":                  {InstanceRental{}, fleet.StatusRunning, usd(60), usd(60), true},
		"running price may fall":                  {InstanceRental{ObservedUSDPerHour: usd(90), PriceKnown: true}, fleet.StatusRunning, usd(60), usd(60), true},
		"loading price is not known yet":          {InstanceRental{}, fleet.StatusLoading, usd(60), usd(60), false},
		"stopped keeps the price of running":      {InstanceRental{ObservedUSDPerHour: usd(60), PriceKnown: true}, fleet.StatusStopped, usd(2), usd(60), true},
		"offline without a price keeps the last":  {InstanceRental{ObservedUSDPerHour: usd(60), PriceKnown: true}, fleet.StatusOffline, 0, usd(60), true},
		"running without a price changes nothing": {InstanceRental{}, fleet.StatusRunning, 0, 0, false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			price, known := ObservePrice(&tc.recorded, &fleet.Rental{ActualStatus: tc.status, PriceUSDPerHour: tc.price})
			if price != tc.wantPrice || known != tc.wantKnown {
				t.Errorf("ObservePrice = %s, %t, want %s, %t", price, known, tc.wantPrice, tc.wantKnown)
			}
		})
	}
}
