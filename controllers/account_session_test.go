package controllers

import (
	"testing"

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
