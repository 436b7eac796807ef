package controllers

import (
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/planner"
)

// Reasons that the controllers add to the planner's.
const (
	reasonRenting          = "Renting"
	reasonRented           = "Rented"
	reasonProvisioning     = "Provisioning"
	reasonEnvSecretMissing = "EnvSecretMissing"
	reasonPrepareFailed    = "PrepareFailed"
	reasonSearchRefused    = "SearchRefused"
	reasonClusterRefuses   = "ClusterRefuses"
	reasonAccountNotFound  = "AccountNotFound"
	reasonAuditUnavailable = "AuditUnavailable"
)

// conditionWriter sets conditions as of one moment.
type conditionWriter struct {
	conditions *[]metav1.Condition
	now        metav1.Time
}

func conditionsAt(conditions *[]metav1.Condition, now metav1.Time) conditionWriter {
	return conditionWriter{conditions: conditions, now: now}
}

// set sets one condition; its transition time changes with the status only.
func (w conditionWriter) set(kind string, status metav1.ConditionStatus, reason, message string) {
	meta.SetStatusCondition(w.conditions, metav1.Condition{
		Type: kind, Status: status, Reason: reason, Message: bounded(message, maxConditionMessage), LastTransitionTime: w.now,
	})
}

// maxConditionMessage is far below the API's limit: messages are for people.
const maxConditionMessage = 2048

// setPendingConditions says of an instance without a rental why it has none.
func setPendingConditions(instance *warmpool.WarmInstance, rented metav1.ConditionStatus, reason, message string, now metav1.Time) {
	conditionsAt(&instance.Status.Conditions, now).set(warmpool.ConditionRented, rented, reason, message)
	conditionsAt(&instance.Status.Conditions, now).set(warmpool.ConditionReady, metav1.ConditionFalse, reason, message)
}

// ownedBy is the reference of an object's owner. It does not block the owner's
// deletion: nothing relies on the garbage collector, and the right to block
// would be one more right.
func ownedBy(owner metav1.Object, kind string) []metav1.OwnerReference {
	reference := metav1.NewControllerRef(owner, warmpool.GroupVersion.WithKind(kind))
	reference.BlockOwnerDeletion = nil
	return []metav1.OwnerReference{*reference}
}

func isConditionFalse(conditions []metav1.Condition, conditionType string) bool {
	return meta.IsStatusConditionFalse(conditions, conditionType)
}

// admissionStatus converts an admission for a status.
func admissionStatus(admission *planner.Admission, now metav1.Time) *warmpool.Admission {
	status := &warmpool.Admission{
		Time: now, Decision: warmpool.AdmissionDecision(admission.Decision),
		Reason: admission.Reason, Message: bounded(admission.Message, maxAdmissionMessage),
		OffersSeen: int32(admission.OffersSeen), //nolint:gosec // at most 64
	}
	if admission.NeededUSDPerHour > 0 {
		status.NeededUSDPerHour = signedUSD(admission.NeededUSDPerHour)
		status.HeadroomUSDPerHour = signedUSD(admission.HeadroomUSDPerHour)
	}
	if admission.CheapestUSDPerHour > 0 {
		status.CheapestOfferUSDPerHour = signedUSD(admission.CheapestUSDPerHour)
	}
	for _, rejected := range admission.RejectedBy {
		status.RejectedBy = append(status.RejectedBy, warmpool.RejectedOffers{
			Reason: string(rejected.Filter), Count: int32(rejected.Count), //nolint:gosec // at most 64
		})
	}
	return status
}

// maxAdmissionMessage is the API's limit.
const maxAdmissionMessage = 1024

// sameAdmission is true when nothing but the time differs.
func sameAdmission(a, b *warmpool.Admission) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Decision == b.Decision && a.Reason == b.Reason && a.Message == b.Message
}
