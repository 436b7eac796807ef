package controllers

import (
	"context"
	"errors"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/fleet"
	"github.com/warmpool-dev/warmpool/internal/planner"
)

func TestReconcileRentRentsOnce(t *testing.T) {
	instance := testInstance()
	s := newStage(t, testAccount(), testPool(), instance)
	for range 3 {
		if _, err := s.account.reconcileRent(t.Context(), s.request()); err != nil {
			t.Fatal(err)
		}
	}
	s.get(instance)
	if len(s.provider.rented) != 1 || instance.Status.Rental == nil || instance.Status.Rental.ID != 77 {
		t.Errorf("rented %v, status %+v", s.provider.rented, instance.Status)
	}
}

// TestReconcileRentSpendsNothing lets something come between the decision and
// the call. Whatever it is, nothing is rented, and no attempt stays open for a
// call that was never made.
func TestReconcileRentSpendsNothing(t *testing.T) {
	for name, test := range map[string]struct {
		// before edits what is there from the start, atTurn what changes when the
		// attempt is journaled and waits for its turn.
		before, atTurn func(*stage)
		// passes is how often the renter looks, 1 by default.
		passes int
	}{
		"the finalizer is lost": {before: func(s *stage) {
			change(s, testInstance(), func(i *warmpool.WarmInstance) { i.Finalizers = nil })
		}},
		"the journal cannot be written": {before: func(s *stage) {
			s.beforeStatusWrite = func() { s.beforeStatusWrite, s.failOnce = nil, errors.New("etcd is full") }
		}},
		"somebody else writes first": {before: func(s *stage) {
			s.beforeStatusWrite = func() {
				s.beforeStatusWrite = nil
				change(s, testInstance(), func(i *warmpool.WarmInstance) { i.Annotations = map[string]string{"other": "leader"} })
			}
		}},
		"the offers are old": {before: func(s *stage) {
			query := admissionPool(testPool()).Query
			s.session().rememberSearch(query.Key(), searchAnswer{offers: []fleet.Offer{goodOffer()}, at: s.clock.Now().Add(-searchFresh - time.Second)})
			s.provider.offers = func(fleet.OfferQuery) []fleet.Offer { return nil }
		}},
		// One pass searches once: the second pass asks for the GPUs alone.
		"only a search for another disk finds offers": {passes: 2, before: func(s *stage) {
			wanted := admissionPool(testPool()).Query
			s.provider.offers = func(query fleet.OfferQuery) []fleet.Offer {
				if query.Key() == wanted.Key() {
					return nil
				}
				return []fleet.Offer{goodOffer()}
			}
		}},
		"the lease runs out": {atTurn: func(s *stage) { s.lease.lost = true }},
		"the key is changed": {atTurn: func(s *stage) { s.session().link.fingerprint[0]++ }},
		"the cap is lowered": {atTurn: func(s *stage) {
			change(s, testPool(), func(p *warmpool.WarmPool) { p.Spec.Cost.MaxInstanceUSDPerHour = "0.39" })
		}},
		"the ceiling is lowered": {atTurn: func(s *stage) {
			change(s, testPool(), func(p *warmpool.WarmPool) { p.Spec.Cost.CeilingUSDPerHour = "0.39" })
		}},
		"the pool is paused": {atTurn: func(s *stage) {
			change(s, testPool(), func(p *warmpool.WarmPool) { p.Spec.Mode = warmpool.PoolPaused })
		}},
		"the pool is deleted": {atTurn: func(s *stage) {
			if err := s.client.Delete(s.t.Context(), testPool()); err != nil {
				s.t.Fatal(err)
			}
		}},
		"nobody wants it any more": {atTurn: func(s *stage) {
			change(s, testPool(), func(p *warmpool.WarmPool) { p.Spec.Replicas = new(int32(0)) })
		}},
		"the API server is away": {atTurn: func(s *stage) { s.failOnce = errors.New("connection refused") }},
	} {
		t.Run(name, func(t *testing.T) {
			instance := testInstance()
			s := newStage(t, testAccount(), testPool(), instance)
			if test.before != nil {
				test.before(s)
			}
			journaled := false
			s.provider.atTurn = func() {
				journaled = true
				if test.atTurn != nil {
					test.atTurn(s)
				}
			}
			for range max(test.passes, 1) {
				if _, err := s.account.reconcileRent(t.Context(), s.request()); err != nil {
					t.Fatal(err)
				}
			}
			if len(s.provider.rented) != 0 {
				t.Fatalf("rented %v", s.provider.rented)
			}
			if journaled != (test.atTurn != nil) {
				t.Errorf("the attempt was journaled: %t", journaled)
			}
			s.get(instance)
			for _, attempt := range instance.Status.Attempts {
				if attempt.Outcome != warmpool.AttemptRejected {
					t.Errorf("attempt %d is %s", attempt.Number, attempt.Outcome)
				}
			}
		})
	}
}

// TestRentsAreJudgedByALiveReading: what the cache does not show yet holds its
// price all the same.
func TestRentsAreJudgedByALiveReading(t *testing.T) {
	s := newStage(t, testAccount(), testPool(), rentedInstance())
	s.account.Client = fakeClient(t)
	live, err := s.account.liveInstances(t.Context(), accountKey)
	if err != nil || len(live) != 1 {
		t.Errorf("read %d instances, %v, want the one of the API server", len(live), err)
	}
}

// TestARentIsRecordedWhileTheManagerStops: the answer comes when the manager was
// asked to stop already.
func TestARentIsRecordedWhileTheManagerStops(t *testing.T) {
	instance := testInstance()
	s := newStage(t, testAccount(), testPool(), instance)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	s.provider.duringRent = stop
	if _, err := s.account.reconcileRent(ctx, s.request()); err != nil && !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	s.get(instance)
	if instance.Status.Rental == nil || instance.Status.Rental.ID != 77 {
		t.Errorf("attempts %+v, want rental 77", instance.Status.Attempts)
	}
}

// TestAnOutcomeIsNotRecordedOnANamesake: the instance was deleted by force while
// its rent was on the wire, and another one has its name.
func TestAnOutcomeIsNotRecordedOnANamesake(t *testing.T) {
	namesake := testInstance()
	namesake.UID = "uid-b"
	namesake.Status.Attempts = []warmpool.RentAttempt{{Number: 1, Outcome: warmpool.AttemptPending, StartedTime: metav1.NewTime(noon)}}
	s := newStage(t, testAccount(), testPool(), namesake)
	outcome := rentOutcome{outcome: warmpool.AttemptSucceeded, rentalID: 77}
	if err := s.account.recordOutcome(t.Context(), testInstance(), 1, &outcome); err != nil {
		t.Fatal(err)
	}
	s.get(namesake)
	if namesake.Status.Rental != nil || namesake.Status.Attempts[0].Outcome != warmpool.AttemptPending {
		t.Errorf("status of the namesake: %+v", namesake.Status)
	}
}

func TestARefusedPoolWaits(t *testing.T) {
	s := newStage(t)
	session := s.session()
	session.noteRent("gpu/sdxl", &rentOutcome{outcome: warmpool.AttemptRejected, httpStatus: 400, reason: "InsufficientCredit"}, noon)
	if admission, waits := session.refused("gpu/sdxl", noon.Add(14*time.Second)); !waits || admission.Decision != planner.DecisionDeferred {
		t.Errorf("after 14 s: %+v, %t, want that it waits", admission, waits)
	}
	if _, waits := session.refused("gpu/sdxl", noon.Add(15*time.Second)); waits {
		t.Error("it waits for longer than 15 s")
	}
	for name, outcome := range map[string]rentOutcome{
		"the offer was gone": {outcome: warmpool.AttemptRejected, httpStatus: 410, reason: string(fleet.KindOfferGone)},
		"nothing was sent":   {outcome: warmpool.AttemptRejected, reason: "NotNeeded"},
	} {
		session.noteRent("gpu/other", &outcome, noon)
		if _, waits := session.refused("gpu/other", noon); waits {
			t.Errorf("%s: that says nothing about the next offer", name)
		}
	}
}

// TestTheOwnPasswordIsNobodyElses: a Secret of the same name that is not the
// instance's is neither used as its password nor deleted with it.
func TestTheOwnPasswordIsNobodyElses(t *testing.T) {
	foreign := keySecret("x")
	foreign.Name, foreign.Data = "sdxl-a-auth", map[string][]byte{warmpool.SecretKeyWebPassword: []byte("somebody's")}
	instance := testInstance()
	s := newStage(t, instance, foreign)
	s.get(instance)
	if password, err := s.account.ensurePassword(t.Context(), instance); err == nil {
		t.Errorf("took %q for the instance's own", password)
	}
	if err := s.account.deletePassword(t.Context(), instance); err != nil {
		t.Fatal(err)
	}
	if err := s.client.Get(t.Context(), client.ObjectKeyFromObject(foreign), foreign); err != nil {
		t.Errorf("the foreign Secret: %v", err)
	}
}

// TestNoPasswordWithoutTheLease: a process that slept through the end of an
// instance makes no Secret for it, which nothing would take away again.
func TestNoPasswordWithoutTheLease(t *testing.T) {
	instance := testInstance()
	s := newStage(t, instance)
	s.get(instance)
	s.lease.lost = true
	if _, err := s.account.ensurePassword(t.Context(), instance); !errors.Is(err, errLeaseLost) {
		t.Errorf("made a password: %v", err)
	}
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: instance.Namespace, Name: secretNameFor(instance)}}
	if err := s.client.Get(t.Context(), client.ObjectKeyFromObject(secret), secret); !apierrors.IsNotFound(err) {
		t.Errorf("the Secret: %v", err)
	}
}

// TestNothingIsRentedBeforeTheUserIsWrittenDown: a trusted list says whose
// rentals ours are, but only what the API server keeps tells the next process.
func TestNothingIsRentedBeforeTheUserIsWrittenDown(t *testing.T) {
	account := testAccount()
	account.Status.UserID = 0
	s := newStage(t, account, testPool(), testInstance())
	pass := func() int {
		t.Helper()
		if _, err := s.account.reconcileRent(t.Context(), s.request()); err != nil {
			t.Fatal(err)
		}
		return len(s.provider.rented)
	}
	if rents := pass(); rents != 0 {
		t.Errorf("made %d rents before the user was written down", rents)
	}
	s.get(account)
	account.Status.UserID = 5
	if err := s.client.Status().Update(t.Context(), account); err != nil {
		t.Fatal(err)
	}
	if rents := pass(); rents != 1 {
		t.Errorf("made %d rents afterwards, want one", rents)
	}
}

// TestPoolsThatRehearseDoNotHoldUpOthers: a pass searches once. A dry run that
// asked for fresh prices in each pass would take that search from pools that rent.
func TestPoolsThatRehearseDoNotHoldUpOthers(t *testing.T) {
	rehearsing, waiting, instance := testPool(), testInstance(), testInstance()
	rehearsing.Name, rehearsing.UID, rehearsing.Spec.Mode = "try", "try", warmpool.PoolDryRun
	rehearsing.Spec.Offers.GPUNames = []string{"RTX 4090"}
	waiting.Name, waiting.UID, waiting.Spec.PoolRef.Name = "try-a", "uid-try", "try"
	waiting.CreationTimestamp = metav1.NewTime(noon.Add(-time.Hour))
	s := newStage(t, testAccount(), testPool(), rehearsing, waiting, instance)
	query := admissionPool(rehearsing).Query
	s.session().rememberSearch(query.Key(), searchAnswer{offers: []fleet.Offer{goodOffer()}, at: s.clock.Now().Add(-searchFresh - time.Second)})
	if _, err := s.account.reconcileRent(t.Context(), s.request()); err != nil {
		t.Fatal(err)
	}
	s.get(instance)
	s.get(waiting)
	if instance.Status.Rental == nil {
		t.Errorf("the pool that rents got nothing: %+v", instance.Status)
	}
	if admission := waiting.Status.LastAdmission; admission == nil || admission.Decision != warmpool.DecisionDryRun || waiting.Status.Rental != nil {
		t.Errorf("the pool that rehearses: %+v, want a dry run", admission)
	}
}
