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
