package controllers

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/fleet"
	"github.com/warmpool-dev/warmpool/internal/planner"
)

// Bounds of the lists in an account's status.
const (
	maxLeaksShown = 50
	reasonAsIs    = "AsExpected"
)

// reportAccount writes the account's status, once, and sends events for what
// changed.
func (r *VastAccountReconciler) reportAccount(ctx context.Context, in *sweepInput, plan *sweepPlan) error {
	account := in.account
	//warmpool:gate account-stays-with-its-instances
	if !account.DeletionTimestamp.IsZero() && len(in.instances) == 0 {
		return r.letAccountGo(ctx, account)
	}
	before := account.DeepCopy()
	now := metav1.Time{Time: r.Clock.Now()}
	status := &account.Status
	status.ObservedGeneration, status.InstallationID = account.Generation, r.InstallationID
	pinUser(in)
	if in.link.verified && in.link.isStable(account) {
		status.BalanceUSD = signedUSD(in.link.user.BalanceUSD)
	}
	status.CommittedUSDPerHour = signedUSD(planner.AccountCommitted(in.planned, in.session.lastListing()))
	reportSweep(status, in, plan, now)
	written := r.keepLedger(ctx, in, plan)
	status.BlockedMachines = blockedStatus(plan.blocked)
	r.setAccountConditions(ctx, in, plan, now)
	if err := r.Client.Status().Update(ctx, account); err != nil {
		return err
	}
	written()
	r.accountEvents(before, account)
	noteBudget(r.Audit, "VastAccount", account, before.Status.Conditions, account.Status.Conditions)
	return nil
}

// pinUser remembers the user that the account is: the first one that is seen,
// and another one that the spec names once nothing of the old one bills.
func pinUser(in *sweepInput) {
	status, user := &in.account.Status, in.link.user.ID
	if !in.link.verified || status.UserID == user {
		return
	}
	expected := in.account.Spec.ExpectedUserID
	named := expected != nil && *expected == user
	//warmpool:gate pin-the-user-of-its-rentals
	//warmpool:gate pin-another-when-nothing-bills
	if (status.UserID == 0 && in.maybePinned()) || (named && !in.anyBills()) {
		status.UserID = user
	}
}

// anyBills is true while an instance of the account may cost money.
func (in *sweepInput) anyBills() bool {
	return slices.ContainsFunc(in.planned, func(i planner.Instance) bool { return i.IsBilling() })
}

// maybePinned is false when the objects record rentals and the list shows none
// of them: then it is another user's list, and this user must not be pinned.
func (in *sweepInput) maybePinned() bool {
	recorded := false
	for k := range in.planned {
		for _, rental := range in.planned[k].RecordedRentals() {
			recorded = true
			if slices.ContainsFunc(in.listing.Rentals, func(row fleet.Rental) bool { return row.ID == rental.ID }) {
				return true
			}
		}
	}
	return !recorded
}

// holdAccount puts the finalizer on before anything is asked or rented: while
// instances need its credentials, the account stays.
func (r *VastAccountReconciler) holdAccount(ctx context.Context, account *warmpool.VastAccount) error {
	if !account.DeletionTimestamp.IsZero() || !controllerutil.AddFinalizer(account, warmpool.FinalizerAccount) {
		return nil
	}
	return r.Client.Update(ctx, account)
}

// letAccountGo takes the finalizer off when the last instance is gone.
func (r *VastAccountReconciler) letAccountGo(ctx context.Context, account *warmpool.VastAccount) error {
	if !controllerutil.RemoveFinalizer(account, warmpool.FinalizerAccount) {
		return nil
	}
	return client.IgnoreNotFound(r.Client.Update(ctx, account))
}

func reportSweep(status *warmpool.VastAccountStatus, in *sweepInput, plan *sweepPlan, now metav1.Time) {
	sweep := &warmpool.SweepStatus{
		Time: now, Total: int32(plan.sweep.Listing.LastTotal), Pages: int32(plan.sweep.Listing.Pages), //nolint:gosec // small counts
		Trusted: plan.verdict.Trusted,
	}
	if status.LastSweep != nil {
		sweep.LastTrustedTime = status.LastSweep.LastTrustedTime
	}
	if plan.verdict.Trusted {
		sweep.LastTrustedTime = &now
		foreign := int32(plan.leaks.Foreign) //nolint:gosec // a small count
		status.Instances = warmpool.AccountInstances{Ours: sweep.Total - foreign, Foreign: foreign}
		var observed fleet.USDMicros
		for k := range plan.sweep.Listing.Rentals {
			observed += plan.sweep.Listing.Rentals[k].PriceUSDPerHour
		}
		status.ObservedUSDPerHour = signedUSD(observed)
		status.SuspectedLeaks = leaksStatus(leaksWithTwins(plan.leaks.Leaks, in.session.twins), status.SuspectedLeaks, now)
		for k := range status.SuspectedLeaks {
			_, status.SuspectedLeaks[k].MadeElsewhere = in.session.twins[status.SuspectedLeaks[k].RentalID]
		}
	}
	status.LastSweep = sweep
}

func leaksStatus(leaks []planner.Leak, before []warmpool.SuspectedLeak, now metav1.Time) []warmpool.SuspectedLeak {
	firstSeen := map[int64]metav1.Time{}
	for _, leak := range before {
		firstSeen[leak.RentalID] = leak.FirstSeenTime
	}
	var shown []warmpool.SuspectedLeak
	for _, leak := range leaks[:min(len(leaks), maxLeaksShown)] {
		since, known := firstSeen[leak.RentalID]
		if !known {
			since = now
		}
		shown = append(shown, warmpool.SuspectedLeak{
			RentalID: leak.RentalID, Label: bounded(leak.Label, maxLabel), USDPerHour: signedUSD(leak.USDPerHour),
			StartTime: wholeSecond(leak.StartedAt), FirstSeenTime: since,
		})
	}
	return shown
}

func blockedStatus(blocked []planner.BlockedMachine) []warmpool.BlockedMachine {
	var shown []warmpool.BlockedMachine
	for _, machine := range blocked {
		shown = append(shown, warmpool.BlockedMachine{
			MachineID: machine.MachineID, Reason: machine.Reason, Failures: machine.Strikes,
			Until: metav1.Time{Time: machine.Until}, LastFailureTime: metav1.Time{Time: machine.LastFailureAt},
		})
	}
	return shown
}

// condition is one answer of the account.
type condition struct {
	kind            string
	ok              bool
	reason, message string
}

// setAccountConditions sets all conditions of the account.
func (r *VastAccountReconciler) setAccountConditions(ctx context.Context, in *sweepInput, plan *sweepPlan, now metav1.Time) {
	account := in.account
	state := r.spendState(ctx, account, in.session)
	answers := []condition{
		{warmpool.ConditionCredentialsValid, in.link.verified, in.link.reason, in.link.message},
		identityCondition(in, account, state.Twin),
		{warmpool.ConditionListTrusted, plan.verdict.Trusted, plan.verdict.Reason, plan.verdict.Message},
		ceilingCondition(account, planner.Committed(in.planned)),
		budgetCondition(account, now.Time),
		balanceCondition(account, &state),
		leaksCondition(account),
		stuckCondition(in), clockCondition(in.link.provider),
		{warmpool.ConditionAPICompatible, plan.verdict.Reason != planner.ReasonAPIDeprecated, reasonAsIs, "No call that Warmpool needs has been retired by Vast.ai."},
	}
	if plan.verdict.Reason == planner.ReasonAPIDeprecated {
		answers[len(answers)-1].reason, answers[len(answers)-1].message = plan.verdict.Reason, plan.verdict.Message
	}
	ready := readyCondition(in, plan, &state, now.Time)
	answers = append(answers, ready)
	answers = append(answers, progressConditions(&ready)...)
	for _, answer := range answers {
		status := metav1.ConditionFalse
		if answer.ok {
			status = metav1.ConditionTrue
		}
		conditionsAt(&account.Status.Conditions, now).set(answer.kind, status, answer.reason, answer.message)
	}
}

func identityCondition(in *sweepInput, account *warmpool.VastAccount, twin string) condition {
	answer := condition{kind: warmpool.ConditionIdentityStable, ok: in.link.isStable(account), reason: "SameUser"}
	answer.message = fmt.Sprintf("The key belongs to Vast.ai user %d, as it always did.", in.link.user.ID)
	switch {
	case answer.ok && twin != "":
		answer.ok, answer.reason, answer.message = false, planner.ReasonDuplicateInstallation, twin
	case answer.ok:
	case in.link.user.ID == 0:
		answer.reason, answer.message = planner.ReasonIdentityUnverified, "It is not known whose key it is: Vast.ai says so when it accepts the key."
	default:
		answer.reason = planner.ReasonAccountIdentityChanged
		answer.message = fmt.Sprintf("The key belongs to Vast.ai user %d, but this account was user %d. Nothing is rented or ended: the rentals of user %d are out of reach and bill on. Put a key of that user back into the Secret. If user %d is the right one, name it in spec.expectedUserID: it is taken as soon as no instance of this account may bill.",
			in.link.user.ID, pinnedUser(account, in.link.user.ID), pinnedUser(account, in.link.user.ID), in.link.user.ID)
	}
	return answer
}

// ceilingCondition is about everything in the account; recorded is the part of it
// that WarmInstances account for. Nothing is ended for it: which pool would have to
// give, only a person can say.
func ceilingCondition(account *warmpool.VastAccount, recorded fleet.USDMicros) condition {
	committed, ceiling := usdOf(string(account.Status.CommittedUSDPerHour)), usdOf(string(account.Spec.CeilingUSDPerHour))
	if committed <= ceiling {
		return condition{warmpool.ConditionWithinCeiling, true, reasonAsIs, fmt.Sprintf("$%s/h of $%s/h is committed.", committed, ceiling)}
	}
	return condition{warmpool.ConditionWithinCeiling, false, planner.ReasonAccountCeilingReached, fmt.Sprintf(
		"$%s/h is committed, $%s/h more than the ceiling $%s/h; $%s/h of it is for instances that no WarmInstance records. The ceiling was lowered, a price rose, or something else was rented in the account. Nothing more is rented, and nothing is ended for it. "+
			"Raise spec.ceilingUSDPerHour, end what others rented, or lower spec.cost.ceilingUSDPerHour of a pool, which then ends its own.",
		committed, committed-ceiling, ceiling, max(committed-recorded, 0))}
}

func balanceCondition(account *warmpool.VastAccount, state *planner.AccountState) condition {
	if !state.BalanceKnown {
		return condition{warmpool.ConditionBalanceSufficient, false, planner.ReasonBalanceUnknown, "The credit is not known: Vast.ai says it once it accepts the key."}
	}
	committed := usdOf(string(account.Status.CommittedUSDPerHour))
	needed := committed.ForSeconds(state.RunwaySeconds) + state.MinBalanceUSD
	runway := shortDuration(time.Duration(state.RunwaySeconds) * time.Second)
	if state.BalanceUSD >= needed {
		return condition{warmpool.ConditionBalanceSufficient, true, reasonAsIs, fmt.Sprintf("The credit of $%s is enough: $%s is needed for %s at $%s/h (spec.runwaySeconds) and spec.minBalanceUSD.", state.BalanceUSD.Cents(), needed.Cents(), runway, committed)}
	}
	return condition{warmpool.ConditionBalanceSufficient, false, planner.ReasonBalanceLow, fmt.Sprintf(
		"The credit is $%s, and $%s is needed for %s at $%s/h (spec.runwaySeconds) and spec.minBalanceUSD. Nothing more is rented, and at $0 Vast.ai stops everything. Add credit at Vast.ai.",
		state.BalanceUSD.Cents(), needed.Cents(), runway, committed)}
}

// shortDuration prints a duration without the zeros that time.Duration adds:
// "2h", not "2h0m0s".
func shortDuration(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

func leaksCondition(account *warmpool.VastAccount) condition {
	leaks := account.Status.SuspectedLeaks
	if len(leaks) == 0 {
		return condition{warmpool.ConditionNoLeaks, true, reasonAsIs, "Every rental seen with our label is recorded by a WarmInstance."}
	}
	return condition{warmpool.ConditionNoLeaks, false, planner.ReasonSuspectedLeak, fmt.Sprintf(
		"Rentals that carry our label and that no WarmInstance records: %d, the first is %d at $%s/h. They bill. See status.suspectedLeaks; destroy them at Vast.ai, or set spec.leakPolicy.action to Terminate.",
		len(leaks), leaks[0].RentalID, leaks[0].USDPerHour)}
}

// readyCondition says whether the account can rent, and if not, the first reason why.
func readyCondition(in *sweepInput, plan *sweepPlan, state *planner.AccountState, now time.Time) condition {
	deferral := planner.SpendGate(state, now)
	switch {
	case deferral == nil:
		return condition{warmpool.ConditionReady, true, "Ready", "Instances can be rented."}
	case deferral.Reason == planner.ReasonCredentialsInvalid:
		return condition{warmpool.ConditionReady, false, in.link.reason, in.link.message}
	case deferral.Reason == planner.ReasonProviderUntrusted, deferral.Reason == planner.ReasonAwaitingFirstSweep:
		return condition{warmpool.ConditionReady, false, plan.verdict.Reason, plan.verdict.Message}
	default:
		return condition{warmpool.ConditionReady, false, deferral.Reason, deferral.Message}
	}
}

// progressConditions are kstatus's. An account that is not Ready has exactly one
// of them.
func progressConditions(ready *condition) []condition {
	reconciling := condition{warmpool.ConditionReconciling, false, ready.reason, ready.message}
	stalled := condition{warmpool.ConditionStalled, false, planner.PoolReasonNotStalled, "Nobody needs to do anything."}
	switch {
	case ready.ok:
	case planner.NeedsSomeone(ready.reason):
		stalled.ok, stalled.reason, stalled.message = true, ready.reason, ready.message
	default:
		reconciling.ok = true
	}
	return []condition{reconciling, stalled}
}

// accountEvents tells people when a condition turned: not kstatus's, which say the
// same as Ready.
func (r *VastAccountReconciler) accountEvents(before, after *warmpool.VastAccount) {
	for _, now := range after.Status.Conditions {
		if now.Type == warmpool.ConditionReconciling || now.Type == warmpool.ConditionStalled {
			continue
		}
		was := meta.FindStatusCondition(before.Status.Conditions, now.Type)
		if was != nil && was.Status == now.Status && was.Reason == now.Reason {
			continue
		}
		if was == nil && now.Status == metav1.ConditionTrue && now.Type != warmpool.ConditionReady {
			continue
		}
		r.event(after, now.Status != metav1.ConditionTrue, now.Reason, now.Type, now.Message)
	}
}
