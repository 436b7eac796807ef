package controllers

import (
	"context"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/events"
	clocktesting "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/fleet"
	"github.com/warmpool-dev/warmpool/internal/planner"
)

// noon is when these tests happen.
var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// scriptedProvider is a Vast.ai account that does what a test says. What a test
// does not say is a quiet success.
type scriptedProvider struct {
	// atTurn happens when a rent's turn has come, before its last look.
	atTurn func()
	// duringRent happens while a rent is on the wire.
	duringRent func()
	offers     func(fleet.OfferQuery) []fleet.Offer
	list       func() (fleet.Listing, error)
	lookup     func() (*fleet.Rental, error)
	user       func() (fleet.User, error)
	log        string

	rented, destroyed []int64
	lists             int
}

func (p *scriptedProvider) SearchOffers(_ context.Context, query fleet.OfferQuery) ([]fleet.Offer, error) {
	if p.offers == nil {
		return []fleet.Offer{goodOffer()}, nil
	}
	return p.offers(query), nil
}

func (p *scriptedProvider) Rent(_ context.Context, request fleet.RentRequest) (int64, error) {
	if p.atTurn != nil {
		p.atTurn()
	}
	if err := request.BeforeSend(); err != nil {
		return 0, &fleet.ProviderError{Kind: fleet.KindNotSent, Definite: true, Err: err}
	}
	p.rented = append(p.rented, request.OfferID)
	if p.duringRent != nil {
		p.duringRent()
	}
	return 77, nil
}

func (p *scriptedProvider) ListRentals(context.Context) (fleet.Listing, error) {
	p.lists++
	if p.list == nil {
		return listingOf(), nil
	}
	return p.list()
}

func (p *scriptedProvider) GetRental(context.Context, int64) (*fleet.Rental, error) {
	if p.lookup == nil {
		return nil, nil
	}
	return p.lookup()
}

func (p *scriptedProvider) CurrentUser(context.Context) (fleet.User, error) {
	if p.user == nil {
		return fleet.User{ID: 5, BalanceUSD: 50_000_000}, nil
	}
	return p.user()
}

func (p *scriptedProvider) DestroyRental(_ context.Context, id int64) error {
	p.destroyed = append(p.destroyed, id)
	return nil
}

func (*scriptedProvider) AttachSSHKey(context.Context, int64, string) error { return nil }

func (*scriptedProvider) SetLabel(context.Context, int64, string) error { return nil }

func (*scriptedProvider) Charges(context.Context, time.Time, time.Time) ([]fleet.Charge, error) {
	return nil, nil
}

func (*scriptedProvider) PendingPriceIncreases(context.Context) ([]fleet.PriceIncrease, error) {
	return nil, nil
}

func (p *scriptedProvider) Logs(context.Context, int64, int) (string, error) { return p.log, nil }

// listingOf is a whole list of one page, read at noon.
func listingOf(rentals ...fleet.Rental) fleet.Listing {
	return fleet.Listing{
		Rentals: rentals, FirstTotal: len(rentals), LastTotal: len(rentals), Pages: 1, StartedAt: noon, FinishedAt: noon.Add(time.Second),
	}
}

// goodOffer is an offer that the pool of these tests accepts, at $0.40/h.
func goodOffer() fleet.Offer {
	return fleet.Offer{
		ID: 9, MachineID: 700, GPUName: "RTX 4090", GPUs: 1, DiskGB: 500, Verification: "verified", Rentable: true,
		PriceUSDPerHour: 400_000, ReliabilityPPM: 990_000, RemainingSeconds: 1 << 30,
	}
}

// scriptedLease is fresh until it is lost.
type scriptedLease struct{ lost bool }

func (l *scriptedLease) IsFresh() bool { return !l.lost }

// noRecorder counts nothing.
type noRecorder struct{}

func (noRecorder) RentOutcome(string)        {}
func (noRecorder) Admission(string, string)  {}
func (noRecorder) RentToReady(time.Duration) {}
func (noRecorder) Ended(string)              {}

// stage is an account with a pool and one instance of it, and what the
// reconcilers work on.
type stage struct {
	t        *testing.T
	client   client.WithWatch
	provider *scriptedProvider
	lease    *scriptedLease
	clock    *clocktesting.FakeClock
	account  *VastAccountReconciler
	// failOnce is what the API server answers next, once; mu guards it from
	// reconcilers that write several objects at the same time.
	mu       sync.Mutex
	failOnce error
	// beforeStatusWrite and afterStatusWrite happen around each write of a status.
	beforeStatusWrite, afterStatusWrite func()
}

// newStage builds the stage. The API server of these tests refuses what a real
// one refuses: stale writes, and everything once its caller has given up.
func newStage(t *testing.T, objects ...client.Object) *stage {
	t.Helper()
	s := &stage{t: t, provider: &scriptedProvider{}, lease: &scriptedLease{}, clock: clocktesting.NewFakeClock(noon.Add(2 * time.Second))}
	s.client = interceptor.NewClient(fakeClient(t, objects...), interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
			if err := s.refusal(ctx); err != nil {
				return err
			}
			return c.Get(ctx, key, object, options...)
		},
		SubResourceUpdate: func(ctx context.Context, c client.Client, sub string, object client.Object, options ...client.SubResourceUpdateOption) error {
			if s.beforeStatusWrite != nil {
				s.beforeStatusWrite()
			}
			if err := s.refusal(ctx); err != nil {
				return err
			}
			err := c.SubResource(sub).Update(ctx, object, options...)
			if s.afterStatusWrite != nil {
				s.afterStatusWrite()
			}
			return err
		},
		SubResourcePatch: func(ctx context.Context, c client.Client, sub string, object client.Object, patch client.Patch, options ...client.SubResourcePatchOption) error {
			if s.beforeStatusWrite != nil {
				s.beforeStatusWrite()
			}
			return c.SubResource(sub).Patch(ctx, object, patch, options...)
		},
	})
	s.account = &VastAccountReconciler{
		Client: s.client, APIReader: s.client, Lease: s.lease, Events: events.NewFakeRecorder(100), Metrics: noRecorder{}, Clock: s.clock,
		Connect:        func(string, string) (Provider, error) { return s.provider, nil },
		InstallationID: "inst0001", Concurrency: 1,
	}
	session := s.session()
	session.link = connection{provider: s.provider, verified: true, user: fleet.User{ID: 5, BalanceUSD: 50_000_000}, verifiedAt: noon}
	session.trust = planner.TrustMemory{SeenTrusted: true, LastTrustedAt: noon}
	session.verdict = planner.SweepVerdict{Trusted: true, Reason: planner.ReasonTrusted}
	session.latest = &planner.Sweep{Listing: listingOf(), Trusted: true}
	session.lastTrusted, session.counted = session.latest, &session.latest.Listing
	return s
}

func (s *stage) refusal(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.failOnce
	if s.failOnce = nil; err != nil {
		return err
	}
	return ctx.Err()
}

// fakeClient knows our kinds and the indexes of the cache.
func fakeClient(t *testing.T, objects ...client.Object) client.WithWatch {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, warmpool.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	return fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).
		WithStatusSubresource(&warmpool.VastAccount{}, &warmpool.WarmPool{}, &warmpool.WarmInstance{}, &warmpool.WarmClaim{}).
		WithIndex(&warmpool.WarmClaim{}, indexPool, func(object client.Object) []string {
			claim, _ := object.(*warmpool.WarmClaim)
			return []string{claim.Spec.PoolRef.Name}
		}).
		WithIndex(&warmpool.WarmInstance{}, indexPool, func(object client.Object) []string {
			instance, _ := object.(*warmpool.WarmInstance)
			return []string{instance.Spec.PoolRef.Name}
		}).
		WithIndex(&warmpool.WarmInstance{}, indexUnrented, func(object client.Object) []string {
			instance, _ := object.(*warmpool.WarmInstance)
			if instance.Status.Rental != nil || !instance.DeletionTimestamp.IsZero() {
				return nil
			}
			return []string{instance.Spec.AccountRef.Name}
		}).Build()
}

// accountKey names the account of these tests.
var accountKey = types.NamespacedName{Namespace: "gpu", Name: "default"}

func (s *stage) session() *accountSession { return s.account.sessions.of(accountKey) }

func (s *stage) request() ctrl.Request { return ctrl.Request{NamespacedName: accountKey} }

// get reads an object again.
func (s *stage) get(object client.Object) {
	s.t.Helper()
	if err := s.client.Get(s.t.Context(), client.ObjectKeyFromObject(object), object); err != nil {
		s.t.Fatal(err)
	}
}

// change edits an object as somebody else would.
func change[T client.Object](s *stage, object T, edit func(T)) {
	s.t.Helper()
	s.get(object)
	edit(object)
	if err := s.client.Update(s.t.Context(), object); err != nil {
		s.t.Fatal(err)
	}
}

func testAccount() *warmpool.VastAccount {
	return &warmpool.VastAccount{
		ObjectMeta: metav1.ObjectMeta{Namespace: "gpu", Name: "default", UID: "account", Finalizers: []string{warmpool.FinalizerAccount}},
		Spec: warmpool.VastAccountSpec{
			Mode: warmpool.AccountActive, CeilingUSDPerHour: "10", MinBalanceUSD: "5", RunwaySeconds: new(int32(3600)), PollPeriodSeconds: 15,
			CredentialsSecretRef: warmpool.CredentialsReference{Name: "vast", Key: "api-key"},
		},
		Status: warmpool.VastAccountStatus{UserID: 5},
	}
}

func testPool() *warmpool.WarmPool {
	return &warmpool.WarmPool{
		ObjectMeta: metav1.ObjectMeta{Namespace: "gpu", Name: "sdxl", UID: "pool", Finalizers: []string{warmpool.FinalizerPool}},
		Spec: warmpool.WarmPoolSpec{
			Replicas: new(int32(1)), Mode: warmpool.PoolActive, AccountRef: warmpool.LocalReference{Name: "default"},
			Cost: warmpool.PoolCost{CeilingUSDPerHour: "1.50"},
		},
	}
}

// testInstance waits for a rental.
func testInstance() *warmpool.WarmInstance {
	return &warmpool.WarmInstance{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "gpu", Name: "sdxl-a", UID: "uid-a", Finalizers: []string{warmpool.FinalizerTerminate}, CreationTimestamp: metav1.NewTime(noon),
		},
		Spec: warmpool.WarmInstanceSpec{PoolRef: warmpool.LocalReference{Name: "sdxl"}, AccountRef: warmpool.LocalReference{Name: "default"}},
	}
}

// rentedInstance has rental 77 since a while.
func rentedInstance() *warmpool.WarmInstance {
	instance := testInstance()
	since := metav1.NewTime(noon.Add(-time.Hour))
	instance.Status = warmpool.WarmInstanceStatus{
		Attempts: []warmpool.RentAttempt{{
			Number: 1, OfferID: 9, MachineID: 700, QuotedUSDPerHour: "0.40", StartedTime: since, FinishedTime: &since,
			Outcome: warmpool.AttemptSucceeded, RentalID: 77,
		}},
		Rental:    &warmpool.Rental{ID: 77, MachineID: 700, RecordedTime: &since},
		Price:     warmpool.InstancePrice{QuotedUSDPerHour: "0.40", CurrentUSDPerHour: "0.40", ObservedTime: &since},
		ReadyTime: &since,
	}
	return instance
}

// deletedInstance is a rented one on its way out.
func deletedInstance() *warmpool.WarmInstance {
	instance := rentedInstance()
	deleted := metav1.NewTime(noon.Add(-time.Minute))
	instance.DeletionTimestamp = &deleted
	return instance
}

func keySecret(key string) *corev1.Secret {
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: "gpu", Name: "vast"}, Data: map[string][]byte{"api-key": []byte(key)},
	}
}
