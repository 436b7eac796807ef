package controllers

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/fleet"
	"github.com/warmpool-dev/warmpool/internal/planner"
)

// labeller remembers the labels that it was given.
type labeller struct {
	Provider
	err   error
	given map[int64]string
}

func (l *labeller) SetLabel(_ context.Context, id int64, label string) error {
	if l.err == nil {
		l.given[id] = label
	}
	return l.err
}

// TestAbandonedRentalLosesOurLabel: with a key of this account only, or somebody
// else's rental with the same number would be renamed.
func TestAbandonedRentalLosesOurLabel(t *testing.T) {
	t.Parallel()
	ours := connection{verified: true, user: fleet.User{ID: 7}}
	for name, tc := range map[string]struct {
		link    connection
		err     error
		account bool
		want    string
		says    string
	}{
		"our key":                {link: ours, account: true, want: "abandoned-wp1.inst.a.1", says: `Its label is now "abandoned-wp1.inst.a.1"`},
		"another user's key":     {link: connection{verified: true, user: fleet.User{ID: 8}}, account: true, says: "no key that works"},
		"a key that is refused":  {link: connection{user: fleet.User{ID: 7}}, account: true, says: "no key that works"},
		"no account":             {link: ours, says: "no key that works"},
		"Vast.ai does not do it": {link: ours, account: true, err: errors.New("down"), says: "suspected leak until you change it"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			provider := &labeller{err: tc.err, given: map[int64]string{}}
			in := &terminateInput{link: tc.link, instances: map[string]*warmpool.WarmInstance{"a": {
				Status: warmpool.WarmInstanceStatus{Rental: &warmpool.Rental{ID: 5, Label: "wp1.inst.a.1"}},
			}}}
			in.link.provider = provider
			if tc.account {
				in.account = &warmpool.VastAccount{Status: warmpool.VastAccountStatus{UserID: 7}}
			}
			said := (&VastAccountReconciler{}).disown(t.Context(), in, &planner.Release{UID: "a", RentalID: 5})
			if provider.given[5] != tc.want || !strings.Contains(said, tc.says) {
				t.Errorf("the label is %q, want %q; it says %q", provider.given[5], tc.want, said)
			}
			if label, isOurs := fleet.ParseLabel(provider.given[5]); isOurs {
				t.Errorf("it is still ours: %+v", label)
			}
		})
	}
}

func TestStuckMessage(t *testing.T) {
	t.Parallel()
	since := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	listed := func(status fleet.ActualStatus) *fleet.Listing {
		return &fleet.Listing{Rentals: []fleet.Rental{{ID: 5, ActualStatus: status}}}
	}
	asked := &warmpool.InstanceTermination{Requests: 4, Message: "The request failed.", RequestedTime: &metav1.Time{Time: since}}
	for name, tc := range map[string]struct {
		rental      int64
		listing     *fleet.Listing
		termination *warmpool.InstanceTermination
		want        []string
	}{
		"listed":          {5, listed(fleet.StatusRunning), asked, []string{"Terminating for 14 min", "Vast.ai still lists rental 5.", "was asked 4 times; the last answer: The request failed.", "abandon-rental=5"}},
		"offline":         {5, listed(fleet.StatusOffline), asked, []string{"its host is offline"}},
		"not listed":      {5, &fleet.Listing{}, asked, []string{"does not show rental 5"}},
		"no list":         {5, nil, nil, []string{"could not be read", "could not be asked yet"}},
		"outcome unknown": {0, nil, nil, []string{"It is not known whether a rent succeeded"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			instance := &warmpool.WarmInstance{Status: warmpool.WarmInstanceStatus{Termination: tc.termination}}
			message := stuckMessage(instance, &planner.StuckTermination{RentalID: tc.rental, Since: since, USDPerHour: 400_000}, tc.listing, since.Add(14*time.Minute+20*time.Second))
			for _, part := range tc.want {
				if !strings.Contains(message, part) {
					t.Errorf("%q is missing in %q", part, message)
				}
			}
		})
	}
}
