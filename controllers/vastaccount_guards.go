package controllers

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/log"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/fleet"
	"github.com/warmpool-dev/warmpool/internal/planner"
)

// reasonLabelIntact is the reason of LabelIntact once a label is right again.
const reasonLabelIntact = "LabelIntact"

// issuedFor is how long a UID is remembered, and issuedMost how many are: a
// rental comes minutes after its object at the latest.
const (
	issuedFor  = 24 * time.Hour
	issuedMost = 20_000
)

// issue remembers UIDs that this process has seen or rented for, so that a rental
// of an object that was deleted by force is not taken for another manager's.
func (s *accountSessions) issue(now time.Time, uids ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.issued == nil {
		s.issued = map[string]time.Time{}
	}
	for _, uid := range uids {
		s.issued[uid] = now
	}
	if len(s.issued) > issuedMost {
		maps.DeleteFunc(s.issued, func(_ string, at time.Time) bool { return now.Sub(at) > issuedFor })
	}
}

// isIssued is true for a UID that this process has seen.
func (s *accountSessions) isIssued(uid string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, known := s.issued[uid]
	return known
}

// peek returns the session of an account, nil when it has none.
func (s *accountSessions) peek(key types.NamespacedName) *accountSession {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.byKey[key]
}

// planGuards looks for a second writer with our id, for labels that were changed
// and for rentals to take over. The session is locked; before is the trusted
// reading before this one.
func (r *VastAccountReconciler) planGuards(in *sweepInput, plan *sweepPlan, before *planner.Sweep) {
	uids := slices.Collect(maps.Keys(in.elsewhere.UIDs))
	for k := range in.planned {
		uids = append(uids, in.planned[k].UID)
	}
	r.sessions.issue(r.Clock.Now(), uids...)
	input := planner.TwinInput{
		Instances: in.planned, Elsewhere: in.elsewhere, Issued: r.sessions.isIssued, Installation: r.InstallationID,
		Sweep: plan.sweep, Known: knownTwins(in),
	}
	if before != nil {
		input.Before = &before.Listing
	}
	in.session.twins = planner.FindTwins(&input)
	plan.labels = planner.PlanLabels(in.planned, &plan.sweep)
	plan.adoptions = planner.PlanAdoptions(&planner.AdoptInput{
		Instances: in.planned, Elsewhere: in.elsewhere, Pools: in.adoptPools, Installation: r.InstallationID,
		Sweep: plan.sweep, EmergencyStop: in.account.Spec.Mode == warmpool.AccountEmergencyStop,
	})
}

// knownTwins are the rentals that this process, or the status that an earlier one
// left behind, holds for a second writer's.
func knownTwins(in *sweepInput) map[int64]planner.Twin {
	known := map[int64]planner.Twin{}
	maps.Copy(known, in.session.twins)
	for _, leak := range in.account.Status.SuspectedLeaks {
		if _, found := known[leak.RentalID]; leak.MadeElsewhere && !found {
			known[leak.RentalID] = planner.Twin{RentalID: leak.RentalID, Label: leak.Label, StartedAt: timeOf(leak.StartTime), USDPerHour: usdOf(string(leak.USDPerHour))}
		}
	}
	return known
}

// leaksWithTwins puts the rentals of a second writer before the other leaks:
// they are reported at once.
func leaksWithTwins(leaks []planner.Leak, twins map[int64]planner.Twin) []planner.Leak {
	all := make([]planner.Leak, 0, len(leaks)+len(twins))
	for _, id := range slices.Sorted(maps.Keys(twins)) {
		twin := twins[id]
		all = append(all, planner.Leak{RentalID: id, Label: twin.Label, USDPerHour: twin.USDPerHour, StartedAt: twin.StartedAt})
	}
	for k := range leaks {
		if _, isTwin := twins[leaks[k].RentalID]; !isTwin {
			all = append(all, leaks[k])
		}
	}
	return all
}

// secondWriter says what there is to say about a second writer; empty for none.
func (a *accountSession) secondWriter(installation string) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return planner.TwinMessage(a.twins, installation)
}

// spendState gathers what spending depends on at the account, other account
// objects included.
func (r *VastAccountReconciler) spendState(ctx context.Context, account *warmpool.VastAccount, session *accountSession) planner.AccountState {
	state := session.spendState(account, r.Lease.IsFresh())
	state.Twin = session.secondWriter(r.InstallationID)
	state.SharedWith = r.sharedWith(ctx, account)
	return state
}

// sharedWith names an older account object with a key of the same user. An
// account that works has a session, whose user is the present key's; the status
// tells of those that have not been swept yet.
func (r *VastAccountReconciler) sharedWith(ctx context.Context, account *warmpool.VastAccount) string {
	var list warmpool.VastAccountList
	if err := r.Client.List(ctx, &list); err != nil {
		log.FromContext(ctx).Error(err, "Listing accounts")
		return "whose name cannot be read, because the accounts cannot be listed,"
	}
	identities := make([]planner.AccountIdentity, 0, len(list.Items))
	for k := range list.Items {
		identities = append(identities, r.identityOf(&list.Items[k]))
	}
	self := r.identityOf(account)
	return planner.SharedUser(&self, identities)
}

func (r *VastAccountReconciler) identityOf(account *warmpool.VastAccount) planner.AccountIdentity {
	key := types.NamespacedName{Namespace: account.Namespace, Name: account.Name}
	identity := planner.AccountIdentity{Key: key.String(), UserID: account.Status.UserID, CreatedAt: account.CreationTimestamp.Time}
	if session := r.sessions.peek(key); session != nil {
		if link := session.connection(); link.verified {
			identity.UserID, identity.BaseURL, identity.BaseURLKnown = link.user.ID, link.baseURL, true
		}
	}
	return identity
}

// judgeLabel says of a rental whose label was changed what is done about it.
func judgeLabel(before, after *warmpool.WarmInstance, plan *sweepPlan, now metav1.Time) []note {
	was := meta.FindStatusCondition(before.Status.Conditions, warmpool.ConditionLabelIntact)
	conditions := conditionsAt(&after.Status.Conditions, now)
	for k := range plan.labels {
		label := &plan.labels[k]
		if label.UID != string(after.UID) {
			continue
		}
		conditions.set(warmpool.ConditionLabelIntact, metav1.ConditionFalse, label.Reason, label.Message)
		if was == nil || was.Reason != label.Reason {
			return []note{{warning: true, reason: label.Reason, message: label.Message}}
		}
		return nil
	}
	if was != nil && after.Status.Rental.Label != "" {
		conditions.set(warmpool.ConditionLabelIntact, metav1.ConditionTrue, reasonLabelIntact, "The rental carries the label that ties it to this WarmInstance.")
	}
	return nil
}

// restoreLabels puts one changed label back. It comes late in a sweep and serves
// one rental at a time: labels do not hold up what money depends on.
func (r *VastAccountReconciler) restoreLabels(ctx context.Context, in *sweepInput, plan *sweepPlan) {
	at := slices.IndexFunc(plan.labels, func(l planner.LabelPlan) bool { return l.Action == planner.LabelRestore })
	if at < 0 {
		return
	}
	label := &plan.labels[at]
	log.FromContext(ctx).Info("Putting a label back", "rental", label.RentalID)
	if err := in.link.provider.SetLabel(ctx, label.RentalID, label.Label); err != nil {
		log.FromContext(ctx).Info("Putting a label back failed", "rental", label.RentalID, "error", err.Error())
		return
	}
	for k := range in.instances {
		instance := &in.instances[k]
		if string(instance.UID) != label.UID || instance.Status.Rental == nil {
			continue
		}
		instance.Status.Rental.LabelRestoredTime = &metav1.Time{Time: r.Clock.Now()}
		if err := r.Client.Status().Update(ctx, instance); err != nil {
			log.FromContext(ctx).V(1).Info("Instance changed meanwhile", "instance", instance.Name)
		}
		return
	}
}

// stuckCondition tells of ends that take too long.
func stuckCondition(in *sweepInput) condition {
	in.session.mu.Lock()
	defer in.session.mu.Unlock()
	stuck := in.session.stuck
	if len(stuck) == 0 {
		return condition{warmpool.ConditionTerminationsProgressing, true, reasonAsIs, "No rental has been ending for more than ten minutes."}
	}
	var bills fleet.USDMicros
	oldest := stuck[0]
	for _, each := range stuck {
		bills += each.USDPerHour
		if each.Since.Before(oldest.Since) {
			oldest = each
		}
	}
	return condition{warmpool.ConditionTerminationsProgressing, false, planner.ReasonTerminationStuck, fmt.Sprintf(
		"Instances that have been ending for more than ten minutes: %d, which count $%s/h until they are confirmed gone. The oldest has been deleted since %s (rental %d). Warmpool goes on asking. Look for it in the Vast.ai console; kubectl describe wi says what the answers were.",
		len(stuck), bills, oldest.Since.UTC().Format(time.RFC3339), oldest.RentalID)}
}
