package controllers

import (
	"context"
	"errors"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/fleet"
	"github.com/warmpool-dev/warmpool/internal/planner"
)

// rentInput is everything that one rent is decided on, read from the API
// server a moment ago.
type rentInput struct {
	account   *warmpool.VastAccount
	session   *accountSession
	link      connection
	pools     map[string]*warmpool.WarmPool
	instances map[string]*warmpool.WarmInstance
	state     planner.AdmissionState
	pending   planner.PendingPlan
	// searched is true once this pass has asked the market.
	searched bool
}

// reconcileRent rents at most one instance: gather, plan, journal, execute,
// report. It comes again at once when it has rented.
func (r *VastAccountReconciler) reconcileRent(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	in, err := r.gatherRent(ctx, req.NamespacedName)
	if err != nil || in == nil {
		return ctrl.Result{}, err
	}
	choice := newRentChoice(in)
	if err := r.tryCandidates(ctx, in, &choice); err != nil {
		return ctrl.Result{}, err
	}
	if err := r.reportPending(ctx, in, &choice); err != nil {
		return ctrl.Result{}, err
	}
	return ctrl.Result{RequeueAfter: choice.comeBack(r.Clock.Now())}, nil
}

// gatherRent reads everything live. It returns nil when nothing waits; whether
// something does is asked of the cache first, which calls again when it is late.
func (r *VastAccountReconciler) gatherRent(ctx context.Context, key types.NamespacedName) (*rentInput, error) {
	if waiting, err := r.anyWaits(ctx, key); err != nil || !waiting {
		return nil, err
	}
	var account warmpool.VastAccount
	if err := r.APIReader.Get(ctx, key, &account); err != nil {
		return nil, client.IgnoreNotFound(err)
	}
	session := r.sessions.of(key)
	live, err := r.liveInstances(ctx, key)
	if err != nil {
		return nil, err
	}
	var pools warmpool.WarmPoolList
	if err = r.APIReader.List(ctx, &pools, client.InNamespace(key.Namespace)); err != nil {
		return nil, err
	}
	claims, err := r.liveClaims(ctx, key.Namespace)
	if err != nil {
		return nil, err
	}
	in := &rentInput{
		account: &account, session: session, link: session.connection(),
		pools: map[string]*warmpool.WarmPool{}, instances: map[string]*warmpool.WarmInstance{},
	}
	now := r.Clock.Now()
	var admissionPools []planner.AdmissionPool
	for k := range pools.Items {
		pool := &pools.Items[k]
		if pool.Spec.AccountRef.Name == key.Name {
			in.pools[poolKey(pool.Namespace, pool.Name)] = pool
			converted := withBudgets(admissionPool(pool), pool, &account, now)
			converted.WaitingClaims = int32(waitingOf(pool, &account, claims, live, now)) //nolint:gosec // at most 2000
			admissionPools = append(admissionPools, converted)
		}
	}
	for k := range live {
		in.instances[string(live[k].UID)] = &live[k]
	}
	in.state = planner.AdmissionState{
		Instances: plannerInstances(live, session.isInFlight),
		Listing:   session.lastListing(), Account: r.spendState(ctx, &account, session),
		AccountBudgets: accountBudgets(&account, now),
		Blocked:        plannerBlocked(account.Status.BlockedMachines), Now: now,
	}
	in.pending = planner.RankPending(admissionPools, in.state.Instances, now)
	if len(in.pending.Candidates) == 0 && len(in.pending.Deferrals) == 0 {
		return nil, nil //nolint:nilnil // nothing waits, which is no error
	}
	return in, nil
}

// anyWaits is true when the cache shows an instance that wants a rental.
func (r *VastAccountReconciler) anyWaits(ctx context.Context, key types.NamespacedName) (bool, error) {
	var list warmpool.WarmInstanceList
	if err := r.Client.List(ctx, &list, client.InNamespace(key.Namespace), client.MatchingFields{indexUnrented: key.Name}); err != nil {
		return false, err
	}
	return len(list.Items) > 0, nil
}

// rentChoice is what one pass has decided: what was rented, and why the others wait.
type rentChoice struct {
	// deferred holds the answer for each pending instance that is not rented.
	deferred map[string]planner.Admission
	// again is true when the pass ended before every candidate was looked at.
	again bool
}

// newRentChoice starts with those that wait whatever is on offer.
func newRentChoice(in *rentInput) rentChoice {
	choice := rentChoice{deferred: map[string]planner.Admission{}}
	for _, pending := range in.pending.Deferrals {
		choice.wait(pending.UID, planner.Admission{
			Decision: planner.DecisionDeferred, Reason: pending.Deferral.Reason,
			Message: pending.Deferral.Message, Until: pending.Deferral.Until,
		})
	}
	return choice
}

// wait notes why an instance is not rented.
func (c *rentChoice) wait(uid string, admission planner.Admission) {
	admission.UID = uid
	c.deferred[uid] = admission
}

// comeBack says when time alone would change the answer. Zero means that the
// next sweep, or a change of an object, comes first.
func (c *rentChoice) comeBack(now time.Time) time.Duration {
	if c.again {
		return time.Millisecond
	}
	var earliest time.Time
	for _, admission := range c.deferred {
		if until := admission.Until; !until.IsZero() && (earliest.IsZero() || until.Before(earliest)) {
			earliest = until
		}
	}
	if earliest.IsZero() {
		return 0
	}
	return max(earliest.Sub(now), time.Second)
}

// tryCandidates goes through the candidates in their order until one is
// rented. What stops one of them, such as a Secret that is not there, does not
// stop those behind it; and one pass makes one new search at most, so that
// pools which find nothing do not hold up the others.
func (r *VastAccountReconciler) tryCandidates(ctx context.Context, in *rentInput, choice *rentChoice) error {
	gate := planner.SpendGate(&in.state.Account, in.state.Now)
	answers := map[string]planner.Admission{}
	for k := range in.pending.Candidates {
		candidate := &in.pending.Candidates[k]
		admission, known := answers[candidate.Pool.Key]
		refused, isRefused := in.session.refused(candidate.Pool.Key, in.state.Now)
		switch {
		case gate != nil:
			admission = planner.Admission{Decision: planner.DecisionDeferred, Reason: gate.Reason, Message: gate.Message, Until: gate.Until}
		case isRefused:
			admission = refused
		case !known:
			if admission, known = r.admit(ctx, in, candidate); !known {
				choice.again = true
				continue
			}
		}
		if admission.Decision == planner.DecisionAdmitted {
			rented, err := r.rentOne(ctx, in, candidate, &admission)
			if err != nil || rented {
				choice.again = rented
				return err
			}
		}
		answers[candidate.Pool.Key] = admission
		choice.wait(candidate.Instance.UID, admission)
	}
	return nil
}

// rentOne journals the attempt, looks once more, sends the rent and records
// what came of it. From the journal on, every way out leaves a recorded
// outcome. It returns false, with the reason in the admission, when nothing was
// journaled.
func (r *VastAccountReconciler) rentOne(ctx context.Context, in *rentInput, candidate *planner.Candidate, admission *planner.Admission) (bool, error) {
	instance := in.instances[candidate.Instance.UID]
	request, err := r.prepareRent(ctx, instance, admission)
	if err != nil {
		// It is this instance's own trouble, and must not stop the others.
		admission.Decision, admission.Reason, admission.Message = planner.DecisionDeferred, reasonPrepareFailed, "The rent cannot be prepared, and it is tried again: "+err.Error()
		if errors.Is(err, errCannotPrepare) {
			admission.Reason, admission.Message = reasonEnvSecretMissing, err.Error()
		}
		return false, nil
	}
	details := rentDetails(instance, admission, &request)
	if !r.recordIntent(ctx, admission, details) {
		return false, nil
	}
	r.sessions.issue(r.Clock.Now(), string(instance.UID))
	done := in.session.beginRent(string(instance.UID), r.Clock.Now)
	defer done()
	attempt, err := r.journalAttempt(ctx, instance, admission, &request)
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		// Somebody else wrote first: the right to rent is lost, nothing was spent.
		log.FromContext(ctx).V(1).Info("Lost the right to rent", "instance", instance.Name)
		r.noteLostRent(details, "LostTheRight")
		return true, r.dropOrphanPassword(ctx, instance)
	}
	//warmpool:gate rent-needs-the-journal
	if err != nil {
		r.noteLostRent(details, reasonPrepareFailed)
		admission.Decision, admission.Reason, admission.Message = planner.DecisionDeferred, reasonPrepareFailed, "The attempt cannot be written into the status, so nothing is rented; it is tried again: "+err.Error()
		return false, nil
	}
	outcome := r.executeRent(ctx, in, instance, &attempt, &request)
	r.noteRentOutcome(details, &outcome)
	in.session.dropOffers(attempt.MachineID)
	in.session.noteRent(candidate.Pool.Key, &outcome, r.Clock.Now())
	return true, r.recordOutcome(ctx, instance, attempt.Number, &outcome)
}

// errStopped ends a rent whose last look found a reason against it.
var errStopped = errors.New("the last look before the rent found a reason against it")

// executeRent sends the rent, once. The last look is taken when its turn at
// the rate limit has come, however long that took.
func (r *VastAccountReconciler) executeRent(ctx context.Context, in *rentInput, instance *warmpool.WarmInstance, attempt *warmpool.RentAttempt, request *fleet.RentRequest) rentOutcome {
	ctx, cancel := context.WithTimeout(ctx, turnTimeout)
	defer cancel()
	var stopped *planner.Deferral
	request.BeforeSend = func() error {
		deferral, err := r.recheck(ctx, in, instance, attempt)
		//warmpool:gate rent-stopped-by-the-last-look
		if err == nil && deferral != nil {
			stopped, err = deferral, errStopped
		}
		//warmpool:gate rent-needs-the-last-look
		if err != nil {
			return err
		}
		log.FromContext(ctx).Info("Renting", "instance", instance.Name, "offer", attempt.OfferID,
			"machine", attempt.MachineID, "usdPerHour", attempt.QuotedUSDPerHour, "attempt", attempt.Number)
		return nil
	}
	id, err := in.link.provider.Rent(ctx, *request)
	if stopped != nil {
		return stoppedRent(stopped)
	}
	outcome := outcomeOf(id, err)
	if offer := in.offer(attempt.OfferID); offer != nil {
		outcome.gpuName, outcome.gpus = offer.GPUName, offer.GPUs
	}
	return outcome
}

// turnTimeout is how long a journaled rent waits for its turn at the rate limit.
const turnTimeout = time.Minute

// recheck is the last look before the call: everything is read again, after
// the journal is durable.
func (r *VastAccountReconciler) recheck(ctx context.Context, in *rentInput, instance *warmpool.WarmInstance, attempt *warmpool.RentAttempt) (*planner.Deferral, error) {
	look, err := r.gatherRecheck(ctx, in, instance)
	if err != nil {
		return nil, err
	}
	account, pool := &look.account, &look.pool
	state := r.spendState(ctx, account, in.session)
	//warmpool:gate recheck-spend-gate
	if gate := planner.SpendGate(&state, r.Clock.Now()); gate != nil {
		return gate, nil
	}
	//warmpool:gate recheck-same-key
	if current := in.session.connection(); current.fingerprint != in.link.fingerprint {
		return &planner.Deferral{Reason: planner.ReasonIdentityUnverified, Message: "The API key was changed meanwhile."}, nil
	}
	price := usdOf(string(attempt.QuotedUSDPerHour))
	//warmpool:gate recheck-instance-cap
	if limit := usdOf(string(pool.Spec.Cost.MaxInstanceUSDPerHour)); limit > 0 && price > limit {
		return &planner.Deferral{Reason: planner.ReasonAllAboveCap, Message: "The offer costs more than spec.cost.maxInstanceUSDPerHour now allows."}, nil
	}
	planned := plannerInstances(look.instances, notInFlight)
	wanted := int(int32Of(pool.Spec.Replicas)) + waitingOf(pool, account, look.claims, look.instances, r.Clock.Now())
	//warmpool:gate recheck-pool-active
	//warmpool:gate recheck-pool-stays
	//warmpool:gate recheck-still-wanted
	if pool.Spec.Mode != warmpool.PoolActive || !pool.DeletionTimestamp.IsZero() || servingOf(planned, instance, r.Clock.Now()) > wanted {
		return &planner.Deferral{Reason: planner.ReasonNotNeeded, Message: "The pool does not want another instance any more."}, nil
	}
	//warmpool:gate recheck-budgets
	if deferral := recheckBudgets(account, pool, planned, in.session.lastListing(), r.Clock.Now()); deferral != nil {
		return deferral, nil
	}
	return planner.Recheck(&planner.RecheckInput{
		UID: string(instance.UID), AttemptNumber: attempt.Number,
		PoolKey:                  poolKey(instance.Namespace, instance.Spec.PoolRef.Name),
		PoolCeilingUSDPerHour:    usdOf(string(pool.Spec.Cost.CeilingUSDPerHour)),
		AccountCeilingUSDPerHour: usdOf(string(account.Spec.CeilingUSDPerHour)),
		Instances:                planned, Listing: in.session.lastListing(),
		PriceUSDPerHour: price,
	}), nil
}

// lastLook is what is read again right before a rent.
type lastLook struct {
	account   warmpool.VastAccount
	pool      warmpool.WarmPool
	instances []warmpool.WarmInstance
	claims    []warmpool.WarmClaim
}

// gatherRecheck reads it all from the API server.
func (r *VastAccountReconciler) gatherRecheck(ctx context.Context, in *rentInput, instance *warmpool.WarmInstance) (*lastLook, error) {
	key := client.ObjectKeyFromObject(in.account)
	look := &lastLook{}
	err := r.APIReader.Get(ctx, key, &look.account)
	if err != nil {
		return nil, err
	}
	if look.instances, err = r.liveInstances(ctx, key); err != nil {
		return nil, err
	}
	if err = r.APIReader.Get(ctx, types.NamespacedName{Namespace: instance.Namespace, Name: instance.Spec.PoolRef.Name}, &look.pool); err != nil {
		return nil, err
	}
	if look.claims, err = r.liveClaims(ctx, key.Namespace); err != nil {
		return nil, err
	}
	return look, nil
}

// servingOf counts the unclaimed instances of a pool that are rented or being
// rented, the given one included. Those whose contract ends soon are being replaced.
func servingOf(planned []planner.Instance, instance *warmpool.WarmInstance, now time.Time) int {
	serving := 0
	for k := range planned {
		other := &planned[k]
		if other.Pool == poolKey(instance.Namespace, instance.Spec.PoolRef.Name) && other.IsBilling() && !other.Deleting && !other.Failed && !other.Claimed && !other.EndsSoon(now) {
			serving++
		}
	}
	return serving
}

// liveClaims reads the claims of a namespace from the API server: what nobody
// waits for any more is not rented.
func (r *VastAccountReconciler) liveClaims(ctx context.Context, namespace string) ([]warmpool.WarmClaim, error) {
	var list warmpool.WarmClaimList
	if err := r.APIReader.List(ctx, &list, client.InNamespace(namespace)); err != nil {
		return nil, err
	}
	return list.Items, nil
}

// waitingOf is how many instances the claims that wait for a pool want, given
// the claims and the instances of all pools.
func waitingOf(pool *warmpool.WarmPool, account *warmpool.VastAccount, claims []warmpool.WarmClaim, instances []warmpool.WarmInstance, now time.Time) int {
	var own []warmpool.WarmClaim
	for k := range claims {
		if claims[k].Spec.PoolRef.Name == pool.Name {
			own = append(own, claims[k])
		}
	}
	if len(own) == 0 {
		return 0
	}
	var members []warmpool.WarmInstance
	for k := range instances {
		if instances[k].Spec.PoolRef.Name == pool.Name {
			members = append(members, instances[k])
		}
	}
	return waitingClaims(pool, account, own, members, now)
}
