package controllers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/log"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/fleet"
	"github.com/warmpool-dev/warmpool/internal/planner"
)

// attemptDeadline is the longest time after its journal entry in which an
// attempt can still make a rental: the wait for its turn, the client's timeout
// and as much again for the server.
const attemptDeadline = 3 * time.Minute

// errNotConnected stands for a list that could not be asked for.
var errNotConnected = errors.New("no verified key")

// sweepInput is one reading of the account and the objects, the account first:
// an object made meanwhile cannot then be missing from the comparison.
type sweepInput struct {
	account   *warmpool.VastAccount
	session   *accountSession
	link      connection
	listing   fleet.Listing
	listErr   error
	instances []warmpool.WarmInstance
	planned   []planner.Instance
	blockFor  time.Duration
	// elsewhere is what the WarmInstances of other accounts hold.
	elsewhere planner.Elsewhere
	// adoptPools are the pools of the account, while somebody wants a rental adopted.
	adoptPools map[string]planner.AdoptPool
	startedAt  time.Time
}

// sweepPlan is what one sweep says.
type sweepPlan struct {
	sweep    planner.Sweep
	verdict  planner.SweepVerdict
	resolved planner.ResolvePlan
	leaks    planner.LeakPlan
	blocked  []planner.BlockedMachine
	// labels were changed by somebody, adoptions were asked for by somebody.
	labels    []planner.LabelPlan
	adoptions []planner.Adoption
}

// reconcileSweep reads the account, judges the reading, and writes down what it
// shows: outcomes of lost answers, prices, states, leaks.
func (r *VastAccountReconciler) reconcileSweep(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	in, err := r.gatherSweep(ctx, req.NamespacedName)
	if err != nil || in == nil {
		return ctrl.Result{}, err
	}
	plan := r.planSweep(in)
	executeErr := errors.Join(r.adopt(ctx, in, &plan), r.executeSweep(ctx, in, &plan))
	err = r.reportAccount(ctx, in, &plan)
	if apierrors.IsConflict(err) {
		return ctrl.Result{RequeueAfter: time.Second}, nil
	}
	if err = errors.Join(executeErr, err); err != nil {
		return ctrl.Result{}, err
	}
	if plan.verdict.Trusted {
		r.restoreLabels(ctx, in, &plan)
		r.attachKeys(ctx, in)
		r.pollIncreases(ctx, in)
	}
	return ctrl.Result{RequeueAfter: r.untilNextSweep(in, &plan)}, nil
}

// gatherSweep returns nil when the account is gone.
func (r *VastAccountReconciler) gatherSweep(ctx context.Context, key types.NamespacedName) (*sweepInput, error) {
	var account warmpool.VastAccount
	if err := r.APIReader.Get(ctx, key, &account); err != nil {
		if apierrors.IsNotFound(err) {
			r.sessions.forget(key)
			return nil, nil //nolint:nilnil // an account that is gone is no error
		}
		return nil, err
	}
	if err := r.holdAccount(ctx, &account); err != nil {
		return nil, err
	}
	in := &sweepInput{account: &account, session: r.sessions.of(key), startedAt: r.Clock.Now(), listErr: errNotConnected}
	in.link = r.connect(ctx, &account, in.session)
	//warmpool:gate list-with-a-verified-key
	if in.link.provider != nil && in.link.verified {
		in.listing, in.listErr = in.link.provider.ListRentals(ctx)
	}
	live, err := r.liveInstances(ctx, key)
	if err != nil {
		return nil, err
	}
	in.instances = live
	in.planned = plannerInstances(live, in.session.isInFlight)
	steps := r.clock.look(r.Clock.Now())
	steps.CorrectInstances(in.planned)
	if in.elsewhere, err = r.instancesElsewhere(ctx, key); err != nil {
		return nil, err
	}
	if err = r.gatherAdoptions(ctx, key, in); err != nil {
		return nil, err
	}
	in.blockFor, err = r.machineBlock(ctx, key)
	return in, err
}

// planSweep judges the reading and decides what it settles. It changes only
// the session's memory.
func (r *VastAccountReconciler) planSweep(in *sweepInput) sweepPlan {
	observation := r.observation(in)
	in.session.mu.Lock()
	defer in.session.mu.Unlock()
	memory, verdict := planner.JudgeSweep(in.session.trust, observation)
	in.session.trust, in.session.verdict = memory, verdict
	plan := sweepPlan{verdict: verdict, sweep: planner.Sweep{Listing: in.listing, Trusted: verdict.Trusted}}
	before := in.session.lastTrusted
	in.session.latest = &plan.sweep
	//warmpool:gate list-to-judge-by-is-trusted
	if verdict.Trusted {
		in.session.counted = countAlso(&plan.sweep, in.session.lastTrusted)
		in.session.lastTrusted, in.session.sweepTook = &plan.sweep, in.listing.FinishedAt.Sub(in.listing.StartedAt)
	}
	r.planGuards(in, &plan, before)
	now := r.Clock.Now()
	plan.resolved = planner.ResolveAttempts(&planner.ResolveInput{
		Instances: in.planned, Installation: r.InstallationID, Elsewhere: in.elsewhere, Sweep: plan.sweep,
		Memory: in.session.attempts, AttemptDeadline: attemptDeadline,
	})
	in.session.attempts = plan.resolved.Memory
	plan.leaks = planner.FindLeaks(&planner.LeakInput{
		Instances: in.planned, Elsewhere: in.elsewhere, Installation: r.InstallationID, Sweep: plan.sweep, Memory: in.session.leaks,
		Policy: leakPolicy(in.account), Twins: in.session.twins, Now: now,
	})
	in.session.leaks = plan.leaks.Memory
	in.session.elsewhere = in.elsewhere
	if verdict.Trusted {
		in.session.extras = slices.Concat(plan.resolved.Extras, plan.leaks.Terminate)
	}
	plan.blocked = planner.ComputeBlocked(plannerBlocked(in.account.Status.BlockedMachines), failuresOf(in.planned), in.blockFor, now)
	return plan
}

// observation collects the circumstances of the reading.
func (r *VastAccountReconciler) observation(in *sweepInput) *planner.SweepObservation {
	seen := &planner.SweepObservation{
		Listing: in.listing, Err: in.listErr,
		IdentityUserID: in.link.user.ID, IdentityAt: in.link.verifiedAt, IdentityErr: in.link.err,
		PinnedUserID: pinnedUser(in.account, in.link.user.ID), OwnRents: in.session.rentsSince(in.startedAt),
	}
	if in.listErr != nil && errors.Is(in.listErr, errNotConnected) && in.link.err != nil {
		seen.Err = in.link.err
	}
	//warmpool:gate list-of-the-user-of-its-rentals
	if seen.PinnedUserID == 0 && in.maybePinned() {
		// The first user that is seen is the one that is pinned.
		seen.PinnedUserID = in.link.user.ID
	}
	for k := range in.planned {
		instance := &in.planned[k]
		if instance.IsUnresolved() {
			seen.OwnRents++
		}
		for _, rental := range instance.RecordedRentals() {
			switch {
			case instance.Deleting || !rental.Own:
				seen.OwnEnds++
			case rental.RecordedAt.Before(in.startedAt.Add(-time.Second)):
				seen.KnownRunning = append(seen.KnownRunning, rental.ID)
			}
		}
	}
	return seen
}

// executeSweep writes what the sweep shows into the instances' status. An
// object that somebody else changed meanwhile is written by the next sweep.
func (r *VastAccountReconciler) executeSweep(ctx context.Context, in *sweepInput, plan *sweepPlan) error {
	var failures []error
	for k := range in.instances {
		before := &in.instances[k]
		after, happened := r.observeInstance(before, in, plan)
		if after == nil {
			continue
		}
		err := r.Client.Status().Update(ctx, after)
		if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
			log.FromContext(ctx).V(1).Info("Instance changed meanwhile", "instance", before.Name)
			continue
		}
		if err != nil {
			// One object that cannot be written must not blind us to the others.
			failures = append(failures, fmt.Errorf("writing what the sweep shows of %s: %w", before.Name, err))
			continue
		}
		in.instances[k] = *after
		for _, note := range happened {
			r.event(after, note.warning, note.reason, "Sweep", note.message)
			r.noteResolution(after, &note)
		}
	}
	//warmpool:gate scale-down-after-a-trusted-list
	if plan.verdict.Trusted {
		in.session.markObserved(plan.sweep.Listing.StartedAt)
	}
	return errors.Join(failures...)
}

// untilNextSweep keeps the poll period from start to start, and comes back
// soon when the reading contradicted itself: a rent may have come between.
func (r *VastAccountReconciler) untilNextSweep(in *sweepInput, plan *sweepPlan) time.Duration {
	const soon = 2 * time.Second
	period := pollPeriod(in.account)
	switch {
	case plan.verdict.Trusted:
	case plan.verdict.Reason == planner.ReasonInconsistentList, in.link.provider == nil, !in.link.verified:
		period = min(period, 5*time.Second)
	default:
	}
	return max(period-r.Clock.Since(in.startedAt), soon)
}

// failuresOf collects what went wrong on machines.
func failuresOf(instances []planner.Instance) []fleet.Failure {
	var failures []fleet.Failure
	for k := range instances {
		if instances[k].Failed {
			failures = append(failures, instances[k].Failure)
		}
	}
	return failures
}

// SweepOnce makes one sweep of an account at once, as the controller does by
// itself after each poll period, and says after which time the next is due. It
// is for programs that drive the sweeps on a clock of their own.
func (r *VastAccountReconciler) SweepOnce(ctx context.Context, account types.NamespacedName) (time.Duration, error) {
	result, err := r.reconcileSweep(ctx, ctrl.Request{NamespacedName: account})
	return result.RequeueAfter, err
}
