package controllers

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/retry"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/log"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/audit"
	"github.com/warmpool-dev/warmpool/internal/fleet"
	"github.com/warmpool-dev/warmpool/internal/planner"
)

// terminateInput is what the ends of rentals are decided on. The objects come
// from the cache: whatever is written is refused when they are stale.
type terminateInput struct {
	account   *warmpool.VastAccount
	session   *accountSession
	link      connection
	instances map[string]*warmpool.WarmInstance
	planned   []planner.Instance
}

// reconcileTerminate ends rentals, one request per pass and the costliest
// first, confirms what is gone, and lets go of the objects.
func (r *VastAccountReconciler) reconcileTerminate(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	in, err := r.gatherTerminate(ctx, req.NamespacedName)
	if err != nil || in == nil {
		return ctrl.Result{}, err
	}
	plan := r.planTerminate(in)
	// What bills comes first: an object that cannot be written, for whatever
	// reason, must not hold up the end of a rental.
	more, executeErr := r.executeTerminate(ctx, in, &plan)
	writeErr := r.writeEnds(ctx, in, &plan)
	if err = errors.Join(executeErr, writeErr); err != nil {
		if !more {
			return ctrl.Result{}, err
		}
		log.FromContext(ctx).Error(err, "Ending rentals; more are waiting, so it goes on")
	}
	switch now := r.Clock.Now(); {
	case more:
		return ctrl.Result{RequeueAfter: time.Millisecond}, nil
	case len(plan.NeedLookup) > 0:
		return ctrl.Result{RequeueAfter: lookupRetry}, nil
	case !plan.NextAt.IsZero():
		return ctrl.Result{RequeueAfter: max(plan.NextAt.Sub(now), time.Second)}, nil
	default:
		return ctrl.Result{}, nil
	}
}

func (r *VastAccountReconciler) gatherTerminate(ctx context.Context, key types.NamespacedName) (*terminateInput, error) {
	account := &warmpool.VastAccount{}
	if err := r.Client.Get(ctx, key, account); apierrors.IsNotFound(err) {
		// Without its account nothing can be ended, but what was never rented,
		// or what a person let go of, is released all the same.
		account = nil
	} else if err != nil {
		return nil, err
	}
	var list warmpool.WarmInstanceList
	if err := r.Client.List(ctx, &list, client.InNamespace(key.Namespace)); err != nil {
		return nil, err
	}
	in := &terminateInput{account: account, session: r.sessions.of(key), instances: map[string]*warmpool.WarmInstance{}}
	if account != nil {
		in.link = in.session.connection()
	}
	for k := range list.Items {
		instance := &list.Items[k]
		if instance.Spec.AccountRef.Name != key.Name {
			continue
		}
		in.instances[string(instance.UID)] = instance
		planned := plannerInstance(instance)
		planned.InFlight = in.session.isInFlight(planned.UID)
		if planned.Deleting {
			planned.EndingSince = in.session.sawEnding(instance, r.Clock.Now())
		}
		in.planned = append(in.planned, planned)
	}
	steps := r.clock.look(r.Clock.Now())
	steps.CorrectInstances(in.planned)
	in.session.forgetEnding(in.instances)
	return in, nil
}

// planTerminate decides, and keeps the evidence in the session.
func (r *VastAccountReconciler) planTerminate(in *terminateInput) planner.TerminationPlan {
	in.session.mu.Lock()
	defer in.session.mu.Unlock()
	input := &planner.TerminationInput{
		Instances: in.planned, Extras: in.session.extras, Memory: in.session.ends,
		Lookups: in.session.lookups, Now: r.Clock.Now(),
	}
	if in.account == nil {
		// Nothing is evidence without an account, not even an old sweep.
		return planner.PlanTerminations(&planner.TerminationInput{Instances: in.planned, Now: input.Now})
	}
	if in.session.latest != nil {
		input.Sweep = *in.session.latest
	}
	r.noteEmergency(in)
	if in.account.Spec.Mode == warmpool.AccountEmergencyStop {
		var listing *fleet.Listing
		if in.session.lastTrusted != nil {
			listing = &in.session.lastTrusted.Listing
		}
		input.Extras = planner.EmergencyStop(in.planned, listing, r.InstallationID, in.session.elsewhere)
	}
	plan := planner.PlanTerminations(input)
	in.session.ends, in.session.stuck = plan.Memory, plan.Stuck
	maps.DeleteFunc(in.session.lookups, func(id int64, _ planner.Lookup) bool {
		_, remembered := plan.Memory[id]
		return !remembered
	})
	maps.DeleteFunc(in.session.lookupFails, func(id int64, _ int) bool {
		_, remembered := plan.Memory[id]
		return !remembered
	})
	return plan
}

// writeEnds writes down what is settled: what was lost, what is gone, and lets
// go of objects whose rental is gone (I6).
func (r *VastAccountReconciler) writeEnds(ctx context.Context, in *terminateInput, plan *planner.TerminationPlan) error {
	var failures []error
	for k := range plan.GoneExtras {
		failures = append(failures, quietConflict(r.markGone(ctx, in.instances[plan.GoneExtras[k].UID], &plan.GoneExtras[k])))
	}
	for k := range plan.Lost {
		failures = append(failures, quietConflict(r.giveUpLost(ctx, in.instances[plan.Lost[k].UID], &plan.Lost[k])))
	}
	for k := range plan.Stuck {
		failures = append(failures, quietConflict(r.tellStuck(ctx, in, &plan.Stuck[k])))
	}
	for k := range plan.Releases {
		failures = append(failures, quietConflict(r.release(ctx, in, &plan.Releases[k])))
	}
	return errors.Join(failures...)
}

// markGone records that a rental which only an attempt remembers is gone.
func (r *VastAccountReconciler) markGone(ctx context.Context, instance *warmpool.WarmInstance, gone *planner.GoneRental) error {
	updated := instance.DeepCopy()
	for k := range updated.Status.Attempts {
		if updated.Status.Attempts[k].RentalID == gone.RentalID {
			updated.Status.Attempts[k].RentalGone = true
		}
	}
	return client.IgnoreNotFound(r.Client.Status().Update(ctx, updated))
}

// giveUpLost gives up an instance whose rental ended without us. The machine
// is not blamed: its host, the credit or a person may have ended it.
func (r *VastAccountReconciler) giveUpLost(ctx context.Context, instance *warmpool.WarmInstance, lost *planner.GoneRental) error {
	updated := instance.DeepCopy()
	now := metav1.Time{Time: r.Clock.Now()}
	if updated.Status.Failure == nil {
		updated.Status.Failure = &warmpool.InstanceFailure{Reason: planner.ReasonInstanceLost, Message: bounded(lost.Message, maxAdmissionMessage), Time: now}
		conditionsAt(&updated.Status.Conditions, now).set(warmpool.ConditionReady, metav1.ConditionFalse, planner.ReasonInstanceLost, lost.Message)
		if err := r.Client.Status().Update(ctx, updated); err != nil {
			return client.IgnoreNotFound(err)
		}
		r.Metrics.Ended(planner.ReasonInstanceLost)
		r.event(updated, true, planner.ReasonInstanceLost, "Terminate", lost.Message)
	}
	return client.IgnoreNotFound(r.Client.Delete(ctx, updated, client.Preconditions{UID: &updated.UID}))
}

// release takes the finalizer off, after the instance's Secret: nothing relies
// on the garbage collector.
func (r *VastAccountReconciler) release(ctx context.Context, in *terminateInput, release *planner.Release) error {
	instance := in.instances[release.UID]
	if !controllerutil.ContainsFinalizer(instance, warmpool.FinalizerTerminate) {
		return nil
	}
	if err := r.deletePassword(ctx, instance); err != nil {
		return err
	}
	message := release.Message
	if release.Reason == planner.ReasonAbandoned {
		message += r.disown(ctx, in, release)
	}
	updated := instance.DeepCopy()
	controllerutil.RemoveFinalizer(updated, warmpool.FinalizerTerminate)
	log.FromContext(ctx).Info("Releasing", "instance", instance.Name, "rental", release.RentalID, "reason", release.Reason)
	// With the resource version: an attempt that was journaled since the cache
	// was read makes this write fail.
	//warmpool:gate release-optimistic-lock
	err := r.Client.Patch(ctx, updated, client.MergeFromWithOptions(instance, client.MergeFromWithOptimisticLock{}))
	if err != nil {
		return client.IgnoreNotFound(err)
	}
	if release.Reason == planner.ReasonAbandoned {
		r.noteAbandonment(updated, release, message)
	}
	if release.Reason != planner.ReasonNeverRented {
		r.event(updated, release.Reason == planner.ReasonAbandoned, release.Reason, "Terminate", message)
	}
	return nil
}

// executeTerminate sends the first destroy and asks the first lookup at the
// same time; their rate limits are separate. It returns whether more is due.
func (r *VastAccountReconciler) executeTerminate(ctx context.Context, in *terminateInput, plan *planner.TerminationPlan) (bool, error) {
	//warmpool:gate end-with-a-verified-key
	//warmpool:gate end-in-the-same-account
	//warmpool:gate end-with-a-fresh-lease
	if in.account == nil || in.link.provider == nil || !in.link.verified || !in.link.isStable(in.account) || !r.Lease.IsFresh() {
		// A key that is refused, or another account's, must end nothing.
		return false, nil
	}
	group, groupCtx := errgroup.WithContext(ctx)
	if len(plan.Destroys) > 0 {
		group.Go(func() error { return r.destroy(groupCtx, in, &plan.Destroys[0]) })
	}
	answered := false
	if len(plan.NeedLookup) > 0 {
		group.Go(func() error {
			answered = r.lookup(groupCtx, in, in.session.nextLookup(plan.NeedLookup))
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return false, err
	}
	return len(plan.Destroys) > 1 || answered, nil
}

// lookupRetry is the pause after a look-up that told nothing.
const lookupRetry = 5 * time.Second

// lookup asks for one rental by its number. It returns false when that told nothing.
func (r *VastAccountReconciler) lookup(ctx context.Context, in *terminateInput, id int64) bool {
	at := r.Clock.Now()
	rental, err := in.link.provider.GetRental(ctx, id)
	//warmpool:gate lookup-was-answered
	if err != nil {
		log.FromContext(ctx).V(1).Info("Looking up failed", "rental", id, "error", err.Error())
		in.session.putLookupLast(id)
		return false
	}
	//warmpool:gate lookup-in-the-same-account
	if rental == nil && !r.isStillOurAccount(ctx, in) {
		return false
	}
	in.session.mu.Lock()
	defer in.session.mu.Unlock()
	delete(in.session.lookupFails, id)
	in.session.lookups[id] = planner.Lookup{At: at, Gone: rental == nil}
	return true
}

// isStillOurAccount asks whose key it is, after a look-up found nothing: a key
// that opens another account since a moment ago finds nothing of ours either,
// and would make every rental look as if it were gone (I6).
func (r *VastAccountReconciler) isStillOurAccount(ctx context.Context, in *terminateInput) bool {
	user, err := in.link.provider.CurrentUser(ctx)
	//warmpool:gate lookup-account-is-certain
	if err == nil && user.ID == in.link.user.ID {
		return true
	}
	log.FromContext(ctx).Info("Nothing is taken for gone: it is not certain whose account was asked", "user", user.ID)
	in.session.mu.Lock()
	defer in.session.mu.Unlock()
	if in.session.link.fingerprint == in.link.fingerprint {
		// The next sweep asks again before it reads anything.
		in.session.link.verifiedAt = time.Time{}
	}
	return false
}

// destroy asks for the end of one rental and writes down that it did.
func (r *VastAccountReconciler) destroy(ctx context.Context, in *terminateInput, destroy *planner.Destroy) error {
	instance := in.instances[destroy.UID]
	if instance != nil && instance.Status.Rental != nil && instance.Status.Rental.ID == destroy.RentalID {
		r.saveLog(ctx, in, instance)
	}
	log.FromContext(ctx).Info("Destroying", "rental", destroy.RentalID, "usdPerHour", destroy.USDPerHour.String(),
		"reason", destroy.Reason, "request", destroy.Request)
	details := destroyDetails(in, destroy)
	noteAct(r.Audit, auditDestroy, audit.OutcomeStarted, details)
	err := in.link.provider.DestroyRental(ctx, destroy.RentalID)
	r.noteDestroyOutcome(details, err)
	if fleet.KindOf(err) == fleet.KindNotSent {
		return err
	}
	in.session.mu.Lock()
	in.session.ends = planner.RecordDestroy(in.session.ends, destroy.RentalID, r.Clock.Now())
	if err == nil || fleet.KindOf(err) == fleet.KindNotFound {
		in.session.ends = planner.RecordAccepted(in.session.ends, destroy.RentalID)
	}
	in.session.mu.Unlock()
	message := "Vast.ai accepted the request; waiting until the rental is confirmed gone."
	if err != nil {
		message = "The request failed and is repeated until it succeeds: " + err.Error()
		log.FromContext(ctx).Info("Destroying failed", "rental", destroy.RentalID, "error", err.Error())
	}
	if instance == nil {
		r.event(in.account, true, destroy.Reason, "Terminate", fmt.Sprintf("Destroying rental %d ($%s/h), which no WarmInstance records. %s", destroy.RentalID, destroy.USDPerHour, message))
		return nil
	}
	if own := instance.Status.Rental; instance.DeletionTimestamp.IsZero() && own != nil && own.ID != destroy.RentalID {
		r.event(instance, true, destroy.Reason, "Terminate", fmt.Sprintf("Destroying rental %d ($%s/h), a second one beside rental %d of this instance, which goes on. %s",
			destroy.RentalID, destroy.USDPerHour, own.ID, message))
		return nil
	}
	return r.recordDestroy(ctx, instance, destroy, message)
}

// recordDestroy shows people how far the end has come. The request may have
// taken long, and the instance changed meanwhile: then it is read again, for
// there may be no further request.
func (r *VastAccountReconciler) recordDestroy(ctx context.Context, instance *warmpool.WarmInstance, destroy *planner.Destroy, message string) error {
	updated, now := instance.DeepCopy(), metav1.Time{Time: r.Clock.Now()}
	text := showDestroy(updated, destroy, message, now)
	err := r.Client.Status().Update(ctx, updated)
	if apierrors.IsConflict(err) {
		err = retry.RetryOnConflict(retry.DefaultRetry, func() error {
			if getErr := r.APIReader.Get(ctx, client.ObjectKeyFromObject(instance), updated); getErr != nil {
				return getErr
			}
			if updated.UID != instance.UID {
				return nil
			}
			text = showDestroy(updated, destroy, message, now)
			return r.Client.Status().Update(ctx, updated)
		})
	}
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		return nil
	}
	if err == nil && destroy.Request == 1 {
		r.Metrics.Ended(endedReason(updated, destroy))
		r.event(updated, false, "Destroying", "Terminate", text)
	}
	return err
}

// showDestroy puts a destroy request into an instance's status and returns the
// sentence that says so.
func showDestroy(instance *warmpool.WarmInstance, destroy *planner.Destroy, message string, now metav1.Time) string {
	if instance.Status.Termination == nil {
		instance.Status.Termination = &warmpool.InstanceTermination{RequestedTime: &now}
	}
	termination := instance.Status.Termination
	termination.LastRequestTime, termination.Message = &now, bounded(message, maxMessage)
	termination.Requests++
	why := "this WarmInstance was deleted"
	if instance.Status.Failure != nil {
		why = "it failed with " + instance.Status.Failure.Reason + " (see status.failure)"
	}
	text := fmt.Sprintf("Rental %d ($%s/h) is being destroyed, because %s. %s", destroy.RentalID, destroy.USDPerHour, why, message)
	if was := meta.FindStatusCondition(instance.Status.Conditions, warmpool.ConditionTerminated); was == nil || was.Reason != planner.ReasonTerminationStuck {
		conditionsAt(&instance.Status.Conditions, now).set(warmpool.ConditionTerminated, metav1.ConditionFalse, "Destroying", text)
	}
	conditionsAt(&instance.Status.Conditions, now).set(warmpool.ConditionReady, metav1.ConditionFalse, "Terminating", text)
	return text
}

// endedReason is why an instance ends: its failure, or that it was deleted.
func endedReason(instance *warmpool.WarmInstance, destroy *planner.Destroy) string {
	if instance.Status.Failure != nil {
		return instance.Status.Failure.Reason
	}
	return destroy.Reason
}
