package planner

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/warmpool-dev/warmpool/internal/fleet"
)

func TestEmergencyStop(t *testing.T) {
	claimed := rented("a", 3, usd(40))
	claimed.Claimed = true
	listing := fleet.Listing{Rentals: []fleet.Rental{
		row(9, labelOf("leaked", 1), usd(20)), row(3, "renamed by somebody", usd(40)), row(4, "foreign", usd(90)),
		row(5, fleet.Label{Installation: "other000", InstanceUID: "x", Attempt: 1}.String(), usd(90)),
	}}
	ids := func(extras []ExtraRental) []int64 {
		var list []int64
		for _, extra := range extras {
			list = append(list, extra.RentalID)
		}
		return list
	}
	instances := []Instance{claimed, rented("unlisted", 2, usd(40)), blank("c", 0)}
	if diff := cmp.Diff([]int64{2, 3, 9}, ids(EmergencyStop(instances, &listing, testInstallation, Elsewhere{}))); diff != "" {
		t.Errorf("with a list (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]int64{2, 3}, ids(EmergencyStop(instances, nil, testInstallation, Elsewhere{}))); diff != "" {
		t.Errorf("without a list (-want +got):\n%s", diff)
	}
}

// TestEmergencyStopSparesOtherAccounts has two account objects with keys of one
// user: each sees the other's rentals in its list, with our own label.
func TestEmergencyStopSparesOtherAccounts(t *testing.T) {
	listing := fleet.Listing{Rentals: []fleet.Rental{row(1, labelOf("mine", 1), usd(40)), row(2, labelOf("theirs", 1), usd(40))}}
	extras := EmergencyStop(nil, &listing, testInstallation, Elsewhere{UIDs: map[string]bool{"theirs": true}})
	if len(extras) != 1 || extras[0].RentalID != 1 {
		t.Errorf("ends %+v, want rental 1 only", extras)
	}
}
