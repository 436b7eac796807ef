package controllers

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/audit"
	"github.com/warmpool-dev/warmpool/internal/fleet"
	"github.com/warmpool-dev/warmpool/internal/planner"
)

// Auditor records who did what; *audit.Log implements it.
type Auditor interface {
	// Append returns when the record is durable.
	Append(ctx context.Context, entry *audit.Entry) (audit.Record, error)
	// Note does not wait. Only the log itself learns, counts and tells of a later failure.
	Note(entry *audit.Entry) error
}

// Actions of the audit log.
const (
	auditRent         = "rent"
	auditRentResolved = "rentResolved"
	auditDestroy      = "destroy"
	auditAdopt        = "adopt"
	auditAbandon      = "abandon"
	auditEmergency    = "emergencyStop"
	auditBudget       = "budget"
)

const (
	// auditTimeout is how long a rent waits for its record to be durable.
	auditTimeout = 10 * time.Second
	// auditRetry is the pause before a rent is tried again whose record could not be written.
	auditRetry = 15 * time.Second
)

// noteAct records what has happened, or what happens in any case: it never waits
// and never stops an act, for the end of a rental must not depend on a disk. A
// nil auditor records nothing.
func noteAct(auditor Auditor, action string, outcome audit.Outcome, details audit.Details) {
	if auditor == nil {
		return
	}
	_ = auditor.Note(&audit.Entry{Action: action, Outcome: outcome, Details: details}) //nolint:errcheck // the log counts it and tells of it
}

// instanceDetails name an instance and who pays for it.
func instanceDetails(instance *warmpool.WarmInstance) audit.Details {
	return audit.Details{
		"namespace": audit.Text(instance.Namespace), "instance": audit.Text(instance.Name), "uid": audit.Text(string(instance.UID)),
		"pool": audit.Text(instance.Spec.PoolRef.Name), "account": audit.Text(instance.Spec.AccountRef.Name),
	}
}

// rentDetails say what is rented.
func rentDetails(instance *warmpool.WarmInstance, admission *planner.Admission, request *fleet.RentRequest) audit.Details {
	details := instanceDetails(instance)
	details["offer"], details["machine"] = audit.Number(admission.Offer.ID), audit.Number(admission.Offer.MachineID)
	details["usdPerHour"], details["label"] = audit.Text(admission.Offer.PriceUSDPerHour.String()), audit.Text(request.Label)
	return details
}

// recordIntent makes the intent to rent durable in the audit log. It returns
// false, with the reason in the admission, when that cannot be done.
func (r *VastAccountReconciler) recordIntent(ctx context.Context, admission *planner.Admission, details audit.Details) bool {
	if r.Audit == nil {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, auditTimeout)
	defer cancel()
	_, err := r.Audit.Append(ctx, &audit.Entry{Action: auditRent, Outcome: audit.OutcomeStarted, Details: details})
	//warmpool:gate rent-needs-the-audit-record
	if err != nil {
		admission.Decision, admission.Reason, admission.Until = planner.DecisionDeferred, reasonAuditUnavailable, r.Clock.Now().Add(auditRetry)
		admission.Message = "The intent to rent cannot be written into the audit log, so nothing is rented; ending goes on, and it is tried again. Look at the volume of --audit-dir: " + err.Error()
		return false
	}
	return true
}

// noteLostRent records that an intent came to nothing before anything was sent.
func (r *VastAccountReconciler) noteLostRent(details audit.Details, reason string) {
	details["reason"] = audit.Text(reason)
	noteAct(r.Audit, auditRent, audit.OutcomeRefused, details)
}

// noteRentOutcome records what became of a rent.
func (r *VastAccountReconciler) noteRentOutcome(details audit.Details, outcome *rentOutcome) {
	details["reason"] = audit.Text(outcome.reason)
	if outcome.message != "" {
		details["message"] = audit.Text(outcome.message)
	}
	if outcome.rentalID != 0 {
		details["rental"] = audit.Number(outcome.rentalID)
	}
	if outcome.httpStatus != 0 {
		details["httpStatus"] = audit.Number(int64(outcome.httpStatus))
	}
	kind := audit.OutcomeUnknown
	switch outcome.outcome {
	case warmpool.AttemptSucceeded:
		kind = audit.OutcomeOK
	case warmpool.AttemptRejected:
		kind = audit.OutcomeRefused
	case warmpool.AttemptPending, warmpool.AttemptUnknown, warmpool.AttemptAbandoned:
	}
	noteAct(r.Audit, auditRent, kind, details)
}

// noteResolution records what a sweep found out about a rent whose answer was lost.
func (r *VastAccountReconciler) noteResolution(instance *warmpool.WarmInstance, what *note) {
	details := instanceDetails(instance)
	details["reason"], details["message"] = audit.Text(what.reason), audit.Text(what.message)
	switch what.reason {
	case reasonAttemptAdopted:
		details["rental"] = audit.Number(instance.Status.Rental.ID)
		noteAct(r.Audit, auditRentResolved, audit.OutcomeOK, details)
	case reasonAttemptAbandoned:
		noteAct(r.Audit, auditRentResolved, audit.OutcomeRefused, details)
	}
}

// destroyDetails say what is destroyed and why. The instance is nil for a rental
// that no object records.
func destroyDetails(in *terminateInput, destroy *planner.Destroy) audit.Details {
	details := audit.Details{}
	if instance := in.instances[destroy.UID]; instance != nil {
		details = instanceDetails(instance)
	} else {
		details["namespace"], details["account"] = audit.Text(in.account.Namespace), audit.Text(in.account.Name)
	}
	details["rental"], details["usdPerHour"] = audit.Number(destroy.RentalID), audit.Text(destroy.USDPerHour.String())
	details["reason"], details["request"] = audit.Text(destroy.Reason), audit.Number(int64(destroy.Request))
	return details
}

// noteDestroyOutcome records what Vast.ai said to the end of a rental.
func (r *VastAccountReconciler) noteDestroyOutcome(details audit.Details, err error) {
	outcome := audit.OutcomeOK
	if err != nil {
		outcome = audit.OutcomeError
		details["message"] = audit.Text(err.Error())
	}
	noteAct(r.Audit, auditDestroy, outcome, details)
}

// noteEmergency records that a person stopped the account, or let it go on, when
// this process sees it first. The session is locked.
func (r *VastAccountReconciler) noteEmergency(in *terminateInput) {
	stopped := in.account.Spec.Mode == warmpool.AccountEmergencyStop
	if stopped == in.session.emergency {
		return
	}
	in.session.emergency = stopped
	noteAct(r.Audit, auditEmergency, audit.OutcomeOK, audit.Details{
		"namespace": audit.Text(in.account.Namespace), "account": audit.Text(in.account.Name),
		"mode": audit.Text(string(in.account.Spec.Mode)), "instances": audit.Number(int64(len(in.planned))),
	})
}

// noteAdoption records that a rental was taken over because a person named it.
func (r *VastAccountReconciler) noteAdoption(instance *warmpool.WarmInstance, adoption *planner.Adoption) {
	details := instanceDetails(instance)
	details["rental"], details["usdPerHour"] = audit.Number(adoption.RentalID), audit.Text(adoption.Row.PriceUSDPerHour.String())
	noteAct(r.Audit, auditAdopt, audit.OutcomeOK, details)
}

// noteAbandonment records that a person let go of a rental, which may bill on.
func (r *VastAccountReconciler) noteAbandonment(instance *warmpool.WarmInstance, release *planner.Release, message string) {
	details := instanceDetails(instance)
	details["rental"], details["message"] = audit.Number(release.RentalID), audit.Text(message)
	noteAct(r.Audit, auditAbandon, audit.OutcomeOK, details)
}

// noteBudget records that a budget stopped renting, ended something or let go again.
func noteBudget(auditor Auditor, kind string, object client.Object, before, after []metav1.Condition) {
	now := meta.FindStatusCondition(after, warmpool.ConditionWithinBudget)
	was := meta.FindStatusCondition(before, warmpool.ConditionWithinBudget)
	if now == nil || (was == nil && now.Status == metav1.ConditionTrue) || (was != nil && was.Status == now.Status && was.Reason == now.Reason) {
		return
	}
	noteAct(auditor, auditBudget, audit.OutcomeOK, audit.Details{
		"kind": audit.Text(kind), "namespace": audit.Text(object.GetNamespace()), "name": audit.Text(object.GetName()),
		"withinBudget": audit.Text(string(now.Status)), "reason": audit.Text(now.Reason), "message": audit.Text(now.Message),
	})
}
