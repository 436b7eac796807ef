package controllers

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/planner"
)

// ClaimRecorder measures claims; internal/metrics implements it.
type ClaimRecorder interface {
	// ClaimBound observes how long a claim waited for its instance.
	ClaimBound(waited time.Duration)
}

// WarmClaimReconciler is the binder: it decides which ready instance serves
// which claim, and takes instances back. It is the only writer of a
// WarmInstance's spec.claimRef. One pass serves all claims of one pool, so that
// they are served in their order.
type WarmClaimReconciler struct {
	// Client reads through the cache and writes.
	Client client.Client
	// APIReader reads from the API server, before anything is bound or released.
	APIReader client.Reader
	// Events tells people about transitions.
	Events events.EventRecorder
	// Metrics measures how long claims wait.
	Metrics ClaimRecorder
	// Clock is the only clock.
	Clock clock.WithTicker
	// Decorate wraps the reconciler; nil leaves it as it is.
	Decorate Decorate
	// Writers is how many claims of a pool are written at the same time; 0 is 1.
	Writers int

	queues queueNews
}

// +kubebuilder:rbac:groups=warmpool.dev,resources=warmclaims,verbs=list;watch;patch
// +kubebuilder:rbac:groups=warmpool.dev,resources=warmclaims/status,verbs=update

// SetupWithManager registers the controller. Its requests name pools.
func (r *WarmClaimReconciler) SetupWithManager(mgr ctrl.Manager) error {
	const concurrency = 4
	return ctrl.NewControllerManagedBy(mgr).Named("warmclaim").
		For(&warmpool.WarmPool{}).
		Watches(&warmpool.WarmClaim{}, handler.EnqueueRequestsFromMapFunc(poolOfClaim)).
		Watches(&warmpool.WarmInstance{}, handler.EnqueueRequestsFromMapFunc(poolOfInstance)).
		WithOptions(controllerOptions(concurrency, r.Clock)).
		Complete(r.Decorate.apply("warmclaim", "WarmPool", r))
}

func poolOfClaim(_ context.Context, object client.Object) []reconcile.Request {
	claim, ok := object.(*warmpool.WarmClaim)
	if !ok {
		return nil
	}
	return requestFor(claim.Namespace, claim.Spec.PoolRef.Name)
}

// claimsInput is everything that the claims of one pool are decided on. The
// steps change the objects in it as they write, so that the plan can be made
// again from what is true then.
type claimsInput struct {
	key types.NamespacedName
	// pool and account are nil when they are not there.
	pool      *warmpool.WarmPool
	account   *warmpool.VastAccount
	claims    []warmpool.WarmClaim
	instances []warmpool.WarmInstance
	// claimOf and instanceOf find them by UID without a look into the objects, which
	// others may be writing to.
	claimOf    map[types.UID]*warmpool.WarmClaim
	instanceOf map[types.UID]*warmpool.WarmInstance
	now        time.Time

	// Several claims are written at the same time: mu guards what follows.
	mu sync.Mutex
	// again is true when a write lost a race, or not everything was written.
	again bool
	// lookAgainAt is when claims are looked at once more, zero for never.
	lookAgainAt time.Time
}

// comeBack notes that something is left to do now.
func (in *claimsInput) comeBack() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.again = true
}

// comeBackAt notes that something is left to do then.
func (in *claimsInput) comeBackAt(at time.Time) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.lookAgainAt.IsZero() || at.Before(in.lookAgainAt) {
		in.lookAgainAt = at
	}
}

// Reconcile gathers, plans, journals the ends of claims, executes bindings and
// releases, and reports. A plan that acts is made again from a live reading: the
// cache may not show our own last writes, and a claim would get a second instance.
func (r *WarmClaimReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	in, err := r.gather(ctx, req.NamespacedName, r.Client, client.MatchingFields{indexPool: req.Name})
	if err != nil {
		return ctrl.Result{}, err
	}
	if in.isAboutNobody() {
		r.queues.forget(req.NamespacedName)
		return ctrl.Result{}, nil
	}
	plan := planClaims(in)
	//warmpool:gate claims-act-on-a-live-reading
	if actsOnClaims(&plan) {
		if in, err = r.gather(ctx, req.NamespacedName, r.APIReader); err != nil {
			return ctrl.Result{}, err
		}
		plan = planClaims(in)
	}
	if err := r.journalClaims(ctx, in, &plan); err != nil {
		return ctrl.Result{}, err
	}
	// What has ended is written down by now, and its instance may go.
	plan = planClaims(in)
	executeErr := r.executeClaims(ctx, in, &plan)
	plan = planClaims(in)
	if err := errors.Join(executeErr, r.reportClaims(ctx, in, &plan)); err != nil {
		return ctrl.Result{}, err
	}
	return ctrl.Result{RequeueAfter: comeBackForClaims(in, &plan)}, nil
}

// isAboutNobody is true for a pool without claims, of whose instances none is
// held or recycled: the usual case, and there is nothing to plan.
func (in *claimsInput) isAboutNobody() bool {
	isHeldOrRecycled := func(instance warmpool.WarmInstance) bool { return instance.Spec.ClaimRef != nil }
	return len(in.claims) == 0 && !slices.ContainsFunc(in.instances, isHeldOrRecycled)
}

// actsOnClaims is true for a plan that changes who holds what.
func actsOnClaims(plan *planner.ClaimsPlan) bool {
	if len(plan.Bind) > 0 || len(plan.Release) > 0 {
		return true
	}
	for k := range plan.Verdicts {
		if plan.Verdicts[k].Ends {
			return true
		}
	}
	return false
}

// comeBackForClaims says when time alone changes the plan. Zero means that a
// change of an object comes first.
func comeBackForClaims(in *claimsInput, plan *planner.ClaimsPlan) time.Duration {
	at := plan.RecheckAt
	if !in.lookAgainAt.IsZero() && (at.IsZero() || in.lookAgainAt.Before(at)) {
		at = in.lookAgainAt
	}
	switch {
	case in.again:
		return firstRetry
	case at.IsZero():
		return 0
	default:
		return max(at.Sub(in.now), time.Millisecond)
	}
}

// gather reads the pool, its account, its claims and its instances.
func (r *WarmClaimReconciler) gather(ctx context.Context, key types.NamespacedName, reader client.Reader, narrow ...client.ListOption) (*claimsInput, error) {
	in := &claimsInput{key: key, now: r.Clock.Now()}
	var pool warmpool.WarmPool
	switch err := reader.Get(ctx, key, &pool); {
	case err == nil:
		in.pool = &pool
	case !apierrors.IsNotFound(err):
		return nil, err
	}
	// The instances first: a claim that one of them names is then older than the
	// list of claims, and is gone if it is not there.
	var err error
	if in.instances, err = instancesOfPool(ctx, reader, key, narrow...); err != nil {
		return nil, err
	}
	if in.claims, err = claimsOfPool(ctx, reader, key, narrow...); err != nil {
		return nil, err
	}
	in.index()
	if in.pool == nil || len(in.claims) == 0 {
		return in, nil
	}
	var account warmpool.VastAccount
	switch err := reader.Get(ctx, types.NamespacedName{Namespace: key.Namespace, Name: in.pool.Spec.AccountRef.Name}, &account); {
	case err == nil:
		in.account = &account
	case !apierrors.IsNotFound(err):
		return nil, err
	}
	return in, nil
}

// index notes where each claim and each instance is.
func (in *claimsInput) index() {
	in.claimOf, in.instanceOf = map[types.UID]*warmpool.WarmClaim{}, map[types.UID]*warmpool.WarmInstance{}
	for k := range in.claims {
		in.claimOf[in.claims[k].UID] = &in.claims[k]
	}
	for k := range in.instances {
		in.instanceOf[in.instances[k].UID] = &in.instances[k]
	}
}

// claimsOfPool reads the claims of a pool.
func claimsOfPool(ctx context.Context, reader client.Reader, pool types.NamespacedName, narrow ...client.ListOption) ([]warmpool.WarmClaim, error) {
	var list warmpool.WarmClaimList
	if err := reader.List(ctx, &list, append(narrow, client.InNamespace(pool.Namespace))...); err != nil {
		return nil, err
	}
	var claims []warmpool.WarmClaim
	for k := range list.Items {
		if list.Items[k].Spec.PoolRef.Name == pool.Name {
			claims = append(claims, list.Items[k])
		}
	}
	return claims, nil
}

// instancesOfPool reads the WarmInstances of a pool.
func instancesOfPool(ctx context.Context, reader client.Reader, pool types.NamespacedName, narrow ...client.ListOption) ([]warmpool.WarmInstance, error) {
	var list warmpool.WarmInstanceList
	if err := reader.List(ctx, &list, append(narrow, client.InNamespace(pool.Namespace))...); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(list.Items, func(instance warmpool.WarmInstance) bool { return instance.Spec.PoolRef.Name != pool.Name }), nil
}

// lostTheRace notes a write that came too late, because the object has changed
// or is gone: what is true now is read and decided upon again.
func (in *claimsInput) lostTheRace(ctx context.Context, err error, what string, values ...any) error {
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		log.FromContext(ctx).V(1).Info(what, values...)
		in.comeBack()
		return nil
	}
	return err
}
