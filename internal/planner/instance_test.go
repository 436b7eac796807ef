package planner

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestInstanceStates(t *testing.T) {
	type states struct{ Rental, Attempted, Unresolved, Billing, Pending bool }
	inFlight := attempted("a", OutcomePending, usd(40))
	inFlight.InFlight = true
	failed := blank("a", 0)
	failed.Failed = true
	late := attempted("a", OutcomeAbandoned, usd(40))
	late.Attempts[0].RentalID = 9
	lateGone := attempted("a", OutcomeRejected, usd(40))
	lateGone.Attempts[0].RentalID, lateGone.Attempts[0].RentalGone = 9, true
	tests := map[string]struct {
		instance Instance
		want     states
	}{
		"blank":                             {blank("a", 0), states{Pending: true}},
		"blank deleting":                    {deleting(blank("a", 0), 1), states{}},
		"blank failed":                      {failed, states{}},
		"call in flight":                    {inFlight, states{Attempted: true, Billing: true}},
		"pending after a restart":           {attempted("a", OutcomePending, usd(40)), states{Attempted: true, Unresolved: true, Billing: true}},
		"unknown":                           {attempted("a", OutcomeUnknown, usd(40)), states{Attempted: true, Unresolved: true, Billing: true}},
		"rejected may try again":            {attempted("a", OutcomeRejected, usd(40)), states{Attempted: true, Pending: true}},
		"abandoned may try again":           {attempted("a", OutcomeAbandoned, usd(40)), states{Attempted: true, Pending: true}},
		"rented":                            {rented("a", 1, usd(40)), states{Rental: true, Attempted: true, Billing: true}},
		"late rental blocks the next":       {late, states{Attempted: true, Billing: true}},
		"late rental that is gone does not": {lateGone, states{Attempted: true, Pending: true}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			i := &tc.instance
			got := states{i.HasRental(), i.WasAttempted(), i.IsUnresolved(), i.IsBilling(), i.IsPending()}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("states (-want +got):\n%s", diff)
			}
		})
	}
}

func TestNextAttemptNumberNeverRepeats(t *testing.T) {
	instance := blank("a", 0)
	if got := instance.NextAttemptNumber(); got != 1 {
		t.Errorf("first number = %d, want 1", got)
	}
	// The list may be cut or out of order; the highest number decides.
	instance.Attempts = []Attempt{{Number: 5}, {Number: 4}}
	if got := instance.NextAttemptNumber(); got != 6 {
		t.Errorf("next number = %d, want 6", got)
	}
}

func TestRecordedRentals(t *testing.T) {
	instance := rented("a", 1, usd(40))
	instance.Attempts = append(instance.Attempts,
		Attempt{Number: 2, RentalID: 8, QuotedUSDPerHour: usd(30), FinishedAt: moment(9), Outcome: OutcomeAbandoned},
		Attempt{Number: 3, RentalID: 9, RentalGone: true, Outcome: OutcomeRejected},
	)
	want := []RecordedRental{
		{ID: 1, USDPerHour: usd(40), RecordedAt: moment(1), Own: true, Attempt: 1, Listed: true},
		{ID: 8, USDPerHour: usd(30), RecordedAt: moment(9), Attempt: 2, Listed: true},
	}
	if diff := cmp.Diff(want, instance.RecordedRentals()); diff != "" {
		t.Errorf("RecordedRentals (-want +got):\n%s", diff)
	}
}
