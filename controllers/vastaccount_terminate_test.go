package controllers

import (
	"errors"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/fleet"
	"github.com/warmpool-dev/warmpool/internal/planner"
)

// absent is the memory of a rental that two lists did not show.
func absent(id int64) planner.TerminationMemory {
	return planner.TerminationMemory{id: planner.RentalEvidence{
		Requests: 1, LastRequestAt: noon.Add(-time.Minute), AbsentAt: noon,
		Absence: planner.Absence{Sweeps: 2, FirstStartedAt: noon.Add(-40 * time.Second), LastStartedAt: noon},
	}}
}

func TestReconcileTerminateEndsNothingWithoutRight(t *testing.T) {
	for name, test := range map[string]struct {
		edit func(*stage)
		want int
	}{
		"all is well":                   {func(*stage) {}, 1},
		"the key is refused":            {func(s *stage) { s.session().link.verified = false }, 0},
		"the key opens another account": {func(s *stage) { s.session().link.user.ID = 6 }, 0},
		"the lease is not fresh":        {func(s *stage) { s.lease.lost = true }, 0},
		"there is no connection":        {func(s *stage) { s.session().link = connection{} }, 0},
		"the account names another user": {func(s *stage) {
			change(s, testAccount(), func(a *warmpool.VastAccount) { a.Spec.ExpectedUserID = new(int64(6)) })
		}, 0},
		"an old list is enough to end one": {func(s *stage) { s.session().latest.Trusted = false }, 1},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, testAccount(), testPool(), deletedInstance())
			test.edit(s)
			if _, err := s.account.reconcileTerminate(t.Context(), s.request()); err != nil {
				t.Fatal(err)
			}
			if len(s.provider.destroyed) != test.want {
				t.Errorf("destroyed %v, want %d", s.provider.destroyed, test.want)
			}
		})
	}
}

// TestALookupSettlesOnlyWhatIsCertain: the finalizer comes off after an answer
// that says in so many words that the rental is gone, about the right account.
func TestALookupSettlesOnlyWhatIsCertain(t *testing.T) {
	for name, test := range map[string]struct {
		edit func(*scriptedProvider)
		want bool
	}{
		"gone": {func(*scriptedProvider) {}, true},
		"no answer": {func(p *scriptedProvider) {
			p.lookup = func() (*fleet.Rental, error) { return nil, errors.New("timeout") }
		}, false},
		"still there": {func(p *scriptedProvider) {
			p.lookup = func() (*fleet.Rental, error) { return &fleet.Rental{ID: 77}, nil }
		}, false},
		"other account": {func(p *scriptedProvider) { p.user = func() (fleet.User, error) { return fleet.User{ID: 6}, nil } }, false},
		"nobody can say whose account": {func(p *scriptedProvider) {
			p.user = func() (fleet.User, error) { return fleet.User{ID: 5}, errors.New("timeout") }
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, testAccount(), testPool(), deletedInstance())
			s.session().ends = absent(77)
			test.edit(s.provider)
			for range 2 {
				if _, err := s.account.reconcileTerminate(t.Context(), s.request()); err != nil {
					t.Fatal(err)
				}
			}
			err := s.client.Get(t.Context(), client.ObjectKeyFromObject(testInstance()), &warmpool.WarmInstance{})
			if gone := client.IgnoreNotFound(err) == nil && err != nil; gone != test.want {
				t.Errorf("let go: %t (%v), want %t", gone, err, test.want)
			}
		})
	}
}

// TestReleaseLosesToAnAttempt: an attempt was journaled after the cache was read,
// so the object must stay.
func TestReleaseLosesToAnAttempt(t *testing.T) {
	instance := testInstance()
	s := newStage(t, testAccount(), testPool(), instance)
	s.get(instance)
	in := &terminateInput{session: s.session(), instances: map[string]*warmpool.WarmInstance{"uid-a": instance.DeepCopy()}}
	instance.Status.Attempts = []warmpool.RentAttempt{{Number: 1, Outcome: warmpool.AttemptPending, StartedTime: metav1.NewTime(noon)}}
	if err := s.client.Status().Update(t.Context(), instance); err != nil {
		t.Fatal(err)
	}
	err := s.account.release(t.Context(), in, &planner.Release{UID: "uid-a", Reason: planner.ReasonNeverRented})
	s.get(instance)
	if err == nil || !controllerutil.ContainsFinalizer(instance, warmpool.FinalizerTerminate) {
		t.Errorf("error %v, finalizers %v: the object was let go of beside its attempt", err, instance.Finalizers)
	}
}

// TestALogIsKeptOnlyWithoutSecrets: when the secrets of an instance cannot be
// read, nobody can take them out of its log.
func TestALogIsKeptOnlyWithoutSecrets(t *testing.T) {
	const password = "password-of-the-instance"
	own := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: "gpu", Name: "sdxl-a-auth"},
		Data:       map[string][]byte{warmpool.SecretKeyWebPassword: []byte(password)},
	}
	for name, test := range map[string]struct {
		secrets []client.Object
		want    string
	}{
		"with the Secret":    {[]client.Object{own}, "credentials: REDACTED"},
		"without the Secret": {nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			instance := deletedInstance()
			running := metav1.NewTime(noon.Add(-time.Hour))
			instance.Status.Provider.RunningTime = &running
			instance.Status.Failure = &warmpool.InstanceFailure{Reason: "Unresponsive", Time: running}
			s := newStage(t, append(test.secrets, testAccount(), testPool(), instance)...)
			s.provider.log = "credentials: " + password
			if _, err := s.account.reconcileTerminate(t.Context(), s.request()); err != nil {
				t.Fatal(err)
			}
			s.get(instance)
			if got := instance.Status.Failure.LogTail; got != test.want {
				t.Errorf("kept %q, want %q", got, test.want)
			}
		})
	}
}
