package controllers

import (
	"errors"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/fleet"
	"github.com/warmpool-dev/warmpool/internal/planner"
)

// sweep runs one sweep and fails the test on an error.
func (s *stage) sweep() {
	s.t.Helper()
	if _, err := s.account.reconcileSweep(s.t.Context(), s.request()); err != nil {
		s.t.Fatal(err)
	}
}

// row77 is the row of the instance's rental.
func row77() fleet.Rental {
	return fleet.Rental{ID: 77, MachineID: 700, Label: "wp1.inst0001.uid-a.1", PriceUSDPerHour: 400_000, ActualStatus: fleet.StatusRunning}
}

// TestASweepThatIsNotTrustedChangesNothing: its total is wrong, and it shows the
// rental at another price.
func TestASweepThatIsNotTrustedChangesNothing(t *testing.T) {
	instance := rentedInstance()
	s := newStage(t, testAccount(), testPool(), instance, keySecret("k"))
	s.provider.list = func() (fleet.Listing, error) { return listingOf(row77()), nil }
	s.sweep()
	before := s.account.LastTrustedSweep(accountKey)
	if !before.Equal(noon) {
		t.Fatalf("the good sweep is of %s", before)
	}
	s.provider.list = func() (fleet.Listing, error) {
		listing := listingOf(row77())
		listing.Rentals[0].PriceUSDPerHour = 100_000
		listing.LastTotal, listing.StartedAt, listing.FinishedAt = 9, noon.Add(15*time.Second), noon.Add(16*time.Second)
		return listing, nil
	}
	s.clock.Step(15 * time.Second)
	s.sweep()
	s.get(instance)
	if price := instance.Status.Price.CurrentUSDPerHour; price != "0.40" {
		t.Errorf("the price became %s", price)
	}
	if at := s.account.LastTrustedSweep(accountKey); !at.Equal(before) {
		t.Errorf("the last trusted sweep is of %s", at)
	}
	if listing := s.session().lastListing(); listing.LastTotal != 1 {
		t.Errorf("rents are judged by the list %+v", listing)
	}
}

// TestNothingIsAskedWithARefusedKey: what a refused key shows is nobody's list.
func TestNothingIsAskedWithARefusedKey(t *testing.T) {
	s := newStage(t, testAccount(), testPool(), keySecret("k"))
	s.provider.user = func() (fleet.User, error) { return fleet.User{}, &fleet.ProviderError{Kind: fleet.KindUnauthorized} }
	s.sweep()
	if s.provider.lists != 0 || s.session().connection().verified {
		t.Errorf("%d lists were read; the key counts as verified: %t", s.provider.lists, s.session().connection().verified)
	}
}

func TestConnectBelievesNoKeyBeforeItWasAsked(t *testing.T) {
	down := errors.New("no route to host")
	for name, test := range map[string]struct {
		key   string
		after time.Duration
		user  fleet.User
		err   error
		// verified and user are what is known of the key afterwards.
		verified bool
		want     int64
	}{
		"the same key":                          {"k", 0, fleet.User{ID: 6}, nil, true, 5},
		"the same key, a minute later":          {"k", time.Minute, fleet.User{ID: 6}, nil, true, 6},
		"the same key, the clock was set back":  {"k", -time.Hour, fleet.User{ID: 6}, nil, true, 6},
		"the same key, and Vast.ai is down":     {"k", time.Minute, fleet.User{}, down, true, 5},
		"another key":                           {"other", 0, fleet.User{ID: 6}, nil, true, 6},
		"another key, and Vast.ai is down":      {"other", 0, fleet.User{}, down, false, 0},
		"the key was refused":                   {"k", time.Minute, fleet.User{}, &fleet.ProviderError{Kind: fleet.KindUnauthorized}, false, 5},
		"the key has lost a permission":         {"k", time.Minute, fleet.User{}, &fleet.ProviderError{Kind: fleet.KindForbidden}, false, 5},
		"the Secret was emptied":                {" ", 0, fleet.User{ID: 5}, nil, false, 0},
		"white space around a key is no change": {" k\n", 0, fleet.User{ID: 6}, nil, true, 5},
	} {
		t.Run(name, func(t *testing.T) {
			secret := keySecret("k")
			s := newStage(t, secret)
			session := s.session()
			session.link = connection{}
			if first := s.account.connect(t.Context(), testAccount(), session); !first.verified || first.user.ID != 5 {
				t.Fatalf("the first connection is %+v", first)
			}
			secret.Data["api-key"] = []byte(test.key)
			if err := s.client.Update(t.Context(), secret); err != nil {
				t.Fatal(err)
			}
			s.provider.user = func() (fleet.User, error) { return test.user, test.err }
			s.clock.SetTime(s.clock.Now().Add(test.after))
			got := s.account.connect(t.Context(), testAccount(), session)
			if got.verified != test.verified || got.user.ID != test.want {
				t.Errorf("verified %t for user %d, want %t for %d", got.verified, got.user.ID, test.verified, test.want)
			}
		})
	}
}

// TestTheLastKeyEndsWhatIsDeleted takes the Secret away: the key that was in it is
// used on while the account is being deleted, and only then, and only while Vast.ai
// accepts it.
func TestTheLastKeyEndsWhatIsDeleted(t *testing.T) {
	refused := &fleet.ProviderError{Kind: fleet.KindUnauthorized}
	for name, test := range map[string]struct {
		deleting bool
		after    time.Duration
		err      error
		verified bool
	}{
		"the account stays":              {false, 0, nil, false},
		"the account is deleted":         {true, 0, nil, true},
		"it is deleted for an hour":      {true, time.Hour, nil, true},
		"and Vast.ai does not accept it": {true, time.Hour, refused, false},
	} {
		t.Run(name, func(t *testing.T) {
			secret := keySecret("k")
			s := newStage(t, secret)
			session, account := s.session(), testAccount()
			session.link = connection{}
			if first := s.account.connect(t.Context(), account, session); !first.verified {
				t.Fatalf("the first connection is %+v", first)
			}
			if err := s.client.Delete(t.Context(), secret); err != nil {
				t.Fatal(err)
			}
			// The account is looked at once before it is deleted, too.
			if between := s.account.connect(t.Context(), account, session); between.verified {
				t.Error("the key outlives its Secret although the account stays")
			}
			if test.deleting {
				account.DeletionTimestamp = &metav1.Time{Time: s.clock.Now()}
			}
			s.provider.user = func() (fleet.User, error) { return fleet.User{ID: 5}, test.err }
			s.clock.SetTime(s.clock.Now().Add(test.after))
			if got := s.account.connect(t.Context(), account, session); got.verified != test.verified {
				t.Errorf("verified %t (%s), want %t", got.verified, got.message, test.verified)
			}
		})
	}
}

func TestPinnedUser(t *testing.T) {
	for name, test := range map[string]struct {
		expected *int64
		status   int64
		seen     int64
		want     int64
		stable   bool
	}{
		"the user it always was":               {nil, 5, 5, 5, true},
		"another user":                         {nil, 5, 6, 5, false},
		"the first user":                       {nil, 0, 5, 0, true},
		"the spec names another":               {new(int64(6)), 5, 5, 6, false},
		"the spec names it, the account was 5": {new(int64(6)), 5, 6, 5, false},
		"nobody was asked":                     {nil, 5, 0, 5, false},
	} {
		t.Run(name, func(t *testing.T) {
			account := testAccount()
			account.Spec.ExpectedUserID, account.Status.UserID = test.expected, test.status
			link := connection{user: fleet.User{ID: test.seen}}
			if got, stable := pinnedUser(account, test.seen), link.isStable(account); got != test.want || stable != test.stable {
				t.Errorf("pinned %d, stable %t, want %d, %t", got, stable, test.want, test.stable)
			}
		})
	}
}

// TestAnAccountIsPinnedToTheUserOfItsRentals: objects out of a backup record
// rentals, and a key of another user shows none of them.
func TestAnAccountIsPinnedToTheUserOfItsRentals(t *testing.T) {
	for name, test := range map[string]struct {
		rows     []fleet.Rental
		status   int64
		expected *int64
		want     int64
		trusted  bool
	}{
		"the list shows its rental":               {[]fleet.Rental{row77()}, 0, nil, 5, true},
		"the list does not":                       {nil, 0, nil, 0, false},
		"a new user is named while rentals bill":  {nil, 4, new(int64(5)), 4, false},
		"the user it always was, the list is new": {[]fleet.Rental{row77()}, 5, nil, 5, true},
	} {
		t.Run(name, func(t *testing.T) {
			account := testAccount()
			account.Status.UserID, account.Spec.ExpectedUserID = test.status, test.expected
			s := newStage(t, account, testPool(), rentedInstance(), keySecret("k"))
			session := s.session()
			session.trust, session.lastTrusted, session.counted, session.latest = planner.TrustMemory{}, nil, nil, nil
			s.provider.list = func() (fleet.Listing, error) { return listingOf(test.rows...), nil }
			s.sweep()
			s.get(account)
			if account.Status.UserID != test.want || (session.lastListing() != nil) != test.trusted {
				t.Errorf("pinned to %d, list trusted %t; want %d, %t", account.Status.UserID, session.lastListing() != nil, test.want, test.trusted)
			}
		})
	}
}

// TestAnAccountStaysAsLongAsItsInstances: they need its credentials to end.
func TestAnAccountStaysAsLongAsItsInstances(t *testing.T) {
	account := testAccount()
	deleted := metav1.NewTime(noon)
	account.DeletionTimestamp = &deleted
	s := newStage(t, account, testPool(), rentedInstance(), keySecret("k"))
	s.provider.list = func() (fleet.Listing, error) { return listingOf(row77()), nil }
	s.sweep()
	s.get(account)
	if !controllerutil.ContainsFinalizer(account, warmpool.FinalizerAccount) {
		t.Error("the account was let go of while an instance of it bills")
	}
}
