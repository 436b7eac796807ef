package controllers

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/warmpool-dev/warmpool/internal/fleet"
	"github.com/warmpool-dev/warmpool/internal/planner"
)

// TestOneListAloneMakesNoRoom: a rental that one list does not show any more
// still counts, and one that two do not show does not.
func TestOneListAloneMakesNoRoom(t *testing.T) {
	sweep := func(ids ...int64) *planner.Sweep {
		read := &planner.Sweep{Trusted: true}
		for _, id := range ids {
			read.Listing.Rentals = append(read.Listing.Rentals, fleet.Rental{ID: id, PriceUSDPerHour: 400_000})
		}
		return read
	}
	for name, test := range map[string]struct {
		now, before *planner.Sweep
		want        []int64
	}{
		"the first list":        {sweep(1), nil, []int64{1}},
		"shown by both":         {sweep(1, 2), sweep(1, 2), []int64{1, 2}},
		"missing from one":      {sweep(2), sweep(1, 2), []int64{2, 1}},
		"missing from both":     {sweep(2), sweep(2), []int64{2}},
		"a list that was empty": {sweep(), sweep(1, 2), []int64{1, 2}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []int64
			for _, rental := range countAlso(test.now, test.before).Rentals {
				got = append(got, rental.ID)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("counted (-want +got):\n%s", diff)
			}
			if len(test.now.Listing.Rentals) > len(test.want) {
				t.Error("the reading itself was changed")
			}
		})
	}
}
