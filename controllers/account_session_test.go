package controllers

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/fleet"
	"github.com/warmpool-dev/warmpool/internal/planner"
)

// TestNothingIsRentedBeforeTheUserIsWrittenDown: a process that rents and dies
// before the account's status names the user leaves rentals that no later
// process can tell from another user's.
func TestNothingIsRentedBeforeTheUserIsWrittenDown(t *testing.T) {
	session := &accountSession{trust: planner.TrustMemory{SeenTrusted: true}}
	session.link = connection{verified: true, user: fleet.User{ID: 7001}}
	for name, test := range map[string]struct {
		written int64
		want    bool
	}{
		"not yet":      {0, false},
		"written down": {7001, true},
	} {
		t.Run(name, func(t *testing.T) {
			account := &warmpool.VastAccount{Status: warmpool.VastAccountStatus{UserID: test.written}}
			if got := session.spendState(account, true).SeenTrustedSweep; got != test.want {
				t.Errorf("counts as read: %v", got)
			}
		})
	}
}

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
