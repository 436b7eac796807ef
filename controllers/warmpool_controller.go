package controllers

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/planner"
)

// WarmPoolReconciler decides how many WarmInstances a pool has and what its
// status says. It makes and deletes objects; it never speaks to Vast.ai.
type WarmPoolReconciler struct {
	// Client reads through the cache and writes.
	Client client.Client
	// APIReader reads from the API server, before anything is made or deleted.
	APIReader client.Reader
	// Events tells people about transitions.
	Events events.EventRecorder
	// Audit records when a budget acts; nil records nothing.
	Audit Auditor
	// LastTrustedSweep says when this process last read the account's instances.
	LastTrustedSweep func(account types.NamespacedName) time.Time
	// Clock is the only clock.
	Clock clock.WithTicker
	// Decorate wraps the reconciler; nil leaves it as it is.
	Decorate Decorate

	clock clockWatch
}

// SetupWithManager registers the controller.
func (r *WarmPoolReconciler) SetupWithManager(mgr ctrl.Manager) error {
	const concurrency = 4
	return ctrl.NewControllerManagedBy(mgr).Named("warmpool").
		For(&warmpool.WarmPool{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&warmpool.WarmInstance{}, handler.EnqueueRequestsFromMapFunc(poolOfInstance)).
		Watches(&warmpool.WarmClaim{}, handler.EnqueueRequestsFromMapFunc(poolOfClaim), builder.WithPredicates(predicate.Funcs{UpdateFunc: claimMoved})).
		Watches(&warmpool.VastAccount{}, handler.EnqueueRequestsFromMapFunc(r.poolsOfAccount)).
		WithOptions(controllerOptions(concurrency, r.Clock)).
		Complete(r.Decorate.apply("warmpool", "WarmPool", r))
}

func poolOfInstance(_ context.Context, object client.Object) []reconcile.Request {
	instance, ok := object.(*warmpool.WarmInstance)
	if !ok {
		return nil
	}
	return requestFor(instance.Namespace, instance.Spec.PoolRef.Name)
}

// claimMoved is true for a change of a claim that may change how many instances
// are wanted: not for the figures and messages of one that waits or holds.
func claimMoved(e event.UpdateEvent) bool {
	before, wasClaim := e.ObjectOld.(*warmpool.WarmClaim)
	after, isClaim := e.ObjectNew.(*warmpool.WarmClaim)
	if !wasClaim || !isClaim {
		return false
	}
	return before.Generation != after.Generation || (before.Status.FinishedTime == nil) != (after.Status.FinishedTime == nil) ||
		(before.Status.BoundTime == nil) != (after.Status.BoundTime == nil)
}

// poolsOfAccount finds the pools that an account pays for.
func (r *WarmPoolReconciler) poolsOfAccount(ctx context.Context, object client.Object) []reconcile.Request {
	var pools warmpool.WarmPoolList
	if err := r.Client.List(ctx, &pools, client.InNamespace(object.GetNamespace())); err != nil {
		log.FromContext(ctx).Error(err, "Listing pools", "account", object.GetName())
		return nil
	}
	var requests []reconcile.Request
	for k := range pools.Items {
		if pools.Items[k].Spec.AccountRef.Name == object.GetName() {
			requests = append(requests, requestFor(object.GetNamespace(), pools.Items[k].Name)...)
		}
	}
	return requests
}

// poolInput is everything that a pool is decided on.
type poolInput struct {
	pool      *warmpool.WarmPool
	account   *warmpool.VastAccount
	instances []warmpool.WarmInstance
	claims    []warmpool.WarmClaim
	// sweptAt is when this process last read the account's instances, zero before.
	sweptAt time.Time
	now     time.Time
	// steps corrects what our clock said before it was set.
	steps planner.ClockSteps
}

// poolPlan is what to do about a pool and what its status says.
type poolPlan struct {
	failures []planner.PoolFailure
	// success is the newest one that still forgives the failures before it.
	success planner.Success
	backoff planner.BackoffState
	size    planner.SizePlan
	verdict planner.PoolVerdict
}

// Reconcile gathers, plans, executes and reports for one pool. A plan that
// acts is made again from a live reading: the cache may not show our own last
// writes yet, and acting on it would make too many instances.
func (r *WarmPoolReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	ctx = log.IntoContext(ctx, log.FromContext(ctx).WithName("WarmPool"))
	in, err := r.gather(ctx, req.NamespacedName, r.Client, client.MatchingFields{indexPool: req.Name})
	if err != nil {
		return ctrl.Result{}, err
	}
	if in == nil {
		return ctrl.Result{}, r.deleteStrays(ctx, req.NamespacedName)
	}
	plan := planPool(in)
	//warmpool:gate pool-acts-on-a-live-reading
	if plan.size.Create > 0 || len(plan.size.Delete) > 0 {
		if in, err = r.gather(ctx, req.NamespacedName, r.APIReader); err != nil || in == nil {
			return ctrl.Result{}, err
		}
		plan = planPool(in)
	}
	if done, err := r.ensurePoolFinalizer(ctx, in); done || err != nil {
		return ctrl.Result{}, quietConflict(err)
	}
	executeErr := quietConflict(r.execute(ctx, in, &plan))
	if executeErr != nil {
		plan.sayWhyNot(executeErr)
	}
	if err := errors.Join(executeErr, client.IgnoreNotFound(r.report(ctx, in, &plan))); err != nil {
		return ctrl.Result{}, err
	}
	if at := plan.verdict.RecheckAt; !at.IsZero() {
		return ctrl.Result{RequeueAfter: max(at.Sub(in.now), time.Second)}, nil
	}
	return ctrl.Result{}, nil
}

// deleteStrays deletes the instances that a manager which was not in charge any
// more made for a pool that is gone, and that were never rented. What may bill is
// left to people, and so is what they made themselves.
func (r *WarmPoolReconciler) deleteStrays(ctx context.Context, pool types.NamespacedName) error {
	instances, err := instancesOfPool(ctx, r.Client, pool, client.MatchingFields{indexPool: pool.Name})
	if err != nil || len(instances) == 0 {
		return err
	}
	if instances, err = instancesOfPool(ctx, r.APIReader, pool); err != nil {
		return err
	}
	// The pool last: one that is made meanwhile keeps what is there.
	if err := r.APIReader.Get(ctx, pool, &warmpool.WarmPool{}); !apierrors.IsNotFound(err) {
		return err
	}
	for k := range instances {
		stray := &instances[k]
		//warmpool:gate stray-was-never-rented
		if metav1.GetControllerOf(stray) == nil || len(stray.Status.Attempts) > 0 || stray.Status.Rental != nil || !stray.DeletionTimestamp.IsZero() {
			continue
		}
		log.FromContext(ctx).Info("Deleting an instance of a pool that is gone", "instance", stray.Name)
		if err := r.Client.Delete(ctx, stray, client.Preconditions{UID: &stray.UID, ResourceVersion: &stray.ResourceVersion}); quietConflict(err) != nil {
			return err
		}
	}
	return nil
}

// quietConflict leaves a conflict to the event of the write that won.
func quietConflict(err error) error {
	if apierrors.IsConflict(err) {
		return nil
	}
	return client.IgnoreNotFound(err)
}

// gather reads the pool, its account and its instances. It returns nil when
// the pool is gone.
func (r *WarmPoolReconciler) gather(ctx context.Context, key types.NamespacedName, reader client.Reader, narrow ...client.ListOption) (*poolInput, error) {
	in := &poolInput{pool: &warmpool.WarmPool{}, now: r.Clock.Now()}
	in.steps = r.clock.look(in.now)
	if err := reader.Get(ctx, key, in.pool); err != nil {
		return nil, client.IgnoreNotFound(err)
	}
	in.sweptAt = r.LastTrustedSweep(types.NamespacedName{Namespace: key.Namespace, Name: in.pool.Spec.AccountRef.Name})
	var account warmpool.VastAccount
	err := reader.Get(ctx, types.NamespacedName{Namespace: key.Namespace, Name: in.pool.Spec.AccountRef.Name}, &account)
	switch {
	case err == nil:
		in.account = &account
	case !apierrors.IsNotFound(err):
		return nil, err
	}
	if in.instances, err = instancesOfPool(ctx, reader, key, narrow...); err != nil {
		return nil, err
	}
	if in.claims, err = claimsOfPool(ctx, reader, key, narrow...); err != nil {
		return nil, err
	}
	return in, nil
}

// ensurePoolFinalizer holds the pool until its last instance is gone. It
// returns true when there is nothing more to do.
func (r *WarmPoolReconciler) ensurePoolFinalizer(ctx context.Context, in *poolInput) (bool, error) {
	held := controllerutil.ContainsFinalizer(in.pool, warmpool.FinalizerPool)
	switch {
	case in.pool.DeletionTimestamp.IsZero() && !held:
		before := in.pool.DeepCopy()
		controllerutil.AddFinalizer(in.pool, warmpool.FinalizerPool)
		return false, r.Client.Patch(ctx, in.pool, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
	case !in.pool.DeletionTimestamp.IsZero() && !held:
		return true, nil
	case !in.pool.DeletionTimestamp.IsZero() && len(in.instances) == 0:
		return true, r.releasePool(ctx, in)
	default:
		return false, nil
	}
}

// releasePool lets the pool go once the API server, not the cache, shows no
// instance of it.
func (r *WarmPoolReconciler) releasePool(ctx context.Context, in *poolInput) error {
	live, err := r.gather(ctx, client.ObjectKeyFromObject(in.pool), r.APIReader)
	//warmpool:gate pool-stays-with-its-instances
	if err != nil || live == nil || len(live.instances) > 0 {
		return err
	}
	before := live.pool.DeepCopy()
	controllerutil.RemoveFinalizer(live.pool, warmpool.FinalizerPool)
	return r.Client.Patch(ctx, live.pool, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
}

// execute makes and deletes WarmInstances. Every object that it makes holds
// its finalizer before the first spend.
func (r *WarmPoolReconciler) execute(ctx context.Context, in *poolInput, plan *poolPlan) error {
	logger := log.FromContext(ctx)
	for k := range plan.size.Delete {
		victim := &plan.size.Delete[k]
		if err := r.recordDearer(ctx, in, victim); err != nil {
			return err
		}
		logger.Info("Deleting instance", "instance", victim.Name, "reason", victim.Reason, "message", victim.Message)
		doomed := &warmpool.WarmInstance{ObjectMeta: metav1.ObjectMeta{Namespace: in.pool.Namespace, Name: victim.Name}}
		uid := types.UID(victim.UID)
		//warmpool:gate scale-down-loses-to-a-claim
		if err := client.IgnoreNotFound(r.Client.Delete(ctx, doomed, client.Preconditions{UID: &uid, ResourceVersion: resourceVersion(in, victim.UID)})); err != nil {
			return err
		}
		r.Events.Eventf(in.pool, nil, corev1.EventTypeNormal, victim.Reason, "Delete", "Deleting instance %s: %s.", victim.Name, victim.Message)
	}
	if !mayPay(in.account) {
		return nil
	}
	for range plan.size.Create {
		instance := newInstance(in.pool)
		if err := r.Client.Create(ctx, instance); err != nil {
			return err
		}
		logger.Info("Created instance", "instance", instance.Name, "reason", plan.size.CreateReason, "message", plan.size.CreateMessage)
	}
	return nil
}

// mayPay is true when the account exists and stays until its last instance is gone.
func mayPay(account *warmpool.VastAccount) bool {
	//warmpool:gate create-for-an-account-that-stays
	//warmpool:gate create-for-an-account-that-is-held
	return account != nil && account.DeletionTimestamp.IsZero() && controllerutil.ContainsFinalizer(account, warmpool.FinalizerAccount)
}

// resourceVersion is the version of the instance that the plan was made from:
// a claim that binds meanwhile makes the deletion fail (I3).
func resourceVersion(in *poolInput, uid string) *string {
	for k := range in.instances {
		if string(in.instances[k].UID) == uid {
			return &in.instances[k].ResourceVersion
		}
	}
	return nil
}

// newInstance is the record of one rental to come.
func newInstance(pool *warmpool.WarmPool) *warmpool.WarmInstance {
	template := pool.Spec.Template.DeepCopy()
	labels := map[string]string{}
	maps.Copy(labels, template.Metadata.Labels)
	labels[warmpool.LabelPool], labels[warmpool.LabelAccount] = pool.Name, pool.Spec.AccountRef.Name
	return &warmpool.WarmInstance{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: pool.Namespace, GenerateName: pool.Name + "-", Labels: labels, Annotations: template.Metadata.Annotations,
			//warmpool:gate instance-is-held
			Finalizers:      []string{warmpool.FinalizerTerminate},
			OwnerReferences: ownedBy(pool, "WarmPool"),
		},
		Spec: warmpool.WarmInstanceSpec{
			PoolRef: warmpool.LocalReference{Name: pool.Name}, AccountRef: pool.Spec.AccountRef, Template: *template,
		},
	}
}

// selectorOf is the selector of a pool's instances, for the scale subresource.
func selectorOf(pool *warmpool.WarmPool) string {
	return fmt.Sprintf("%s=%s", warmpool.LabelPool, pool.Name)
}
