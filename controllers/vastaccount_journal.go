package controllers

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/log"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/fleet"
	"github.com/warmpool-dev/warmpool/internal/planner"
)

const (
	// maxMessage bounds what of a provider's text is kept in a status.
	maxMessage = 500
	// recordTimeout is how long the outcome of a rent is tried to be written
	// after a stop signal. What is not written is found again by its label.
	recordTimeout = 20 * time.Second
	// recordPeriod is the pause between two tries.
	recordPeriod = 250 * time.Millisecond
)

// errLeaseLost is why a process that may not be the leader any more makes nothing.
var errLeaseLost = errors.New("the leader lease is not fresh, so another manager may be in charge")

// secretNameFor names the Secret with an instance's own password.
func secretNameFor(instance *warmpool.WarmInstance) string { return instance.Name + "-auth" }

// prepareRent does everything that must be there before the rent: the
// instance's own password, and the environment with the values of Secrets.
func (r *VastAccountReconciler) prepareRent(ctx context.Context, instance *warmpool.WarmInstance, admission *planner.Admission) (fleet.RentRequest, error) {
	//warmpool:gate rent-needs-the-finalizer
	if !controllerutil.ContainsFinalizer(instance, warmpool.FinalizerTerminate) {
		return fleet.RentRequest{}, fmt.Errorf("WarmInstance %s has lost its finalizer %s, so nothing would end its rental; delete it", instance.Name, warmpool.FinalizerTerminate)
	}
	secrets := map[string]*corev1.Secret{}
	for _, name := range secretNames(&instance.Spec.Template) {
		var secret corev1.Secret
		err := r.APIReader.Get(ctx, types.NamespacedName{Namespace: instance.Namespace, Name: name}, &secret)
		if err == nil {
			secrets[name] = &secret
		} else if !apierrors.IsNotFound(err) {
			return fleet.RentRequest{}, err
		}
	}
	if _, err := authorities(ctx, r.APIReader, instance); err != nil {
		return fleet.RentRequest{}, err
	}
	password, err := r.ensurePassword(ctx, instance)
	if err != nil {
		return fleet.RentRequest{}, err
	}
	request, err := renderRent(instance.Spec.Template, secrets, password)
	if err != nil {
		return fleet.RentRequest{}, err
	}
	planned := plannerInstance(instance)
	request.OfferID = admission.Offer.ID
	request.Label = fleet.Label{
		Installation: r.InstallationID, InstanceUID: string(instance.UID), Attempt: planned.NextAttemptNumber(),
	}.String()
	return request, nil
}

// ensurePassword makes the instance's Secret, or reads the one it has.
func (r *VastAccountReconciler) ensurePassword(ctx context.Context, instance *warmpool.WarmInstance) (string, error) {
	key := types.NamespacedName{Namespace: instance.Namespace, Name: secretNameFor(instance)}
	var secret corev1.Secret
	err := r.APIReader.Get(ctx, key, &secret)
	if err == nil {
		//warmpool:gate password-is-its-own
		if password := string(secret.Data[warmpool.SecretKeyWebPassword]); password != "" && metav1.IsControlledBy(&secret, instance) {
			return password, nil
		}
		return "", fmt.Errorf("the Secret %s is in the way, it is not the one of WarmInstance %s; delete it", key.Name, instance.Name)
	}
	if !apierrors.IsNotFound(err) {
		return "", err
	}
	// A process that slept meanwhile would leave a Secret behind for an instance
	// that its successor has let go of.
	//warmpool:gate password-needs-the-lease
	if !r.Lease.IsFresh() {
		return "", errLeaseLost
	}
	password := rand.Text() + rand.Text()
	secret = corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: key.Namespace, Name: key.Name,
			Labels:          map[string]string{warmpool.LabelPool: instance.Spec.PoolRef.Name},
			OwnerReferences: ownedBy(instance, "WarmInstance"),
		},
		Type: corev1.SecretTypeOpaque,
		Data: map[string][]byte{warmpool.SecretKeyWebPassword: []byte(password)},
	}
	return password, r.Client.Create(ctx, &secret)
}

// deletePassword deletes the instance's own Secret, whether or not the status
// names it: a process may have died between the two. One that is in its way
// is not ours to delete.
func (r *VastAccountReconciler) deletePassword(ctx context.Context, instance *warmpool.WarmInstance) error {
	var secret corev1.Secret
	if err := r.APIReader.Get(ctx, types.NamespacedName{Namespace: instance.Namespace, Name: secretNameFor(instance)}, &secret); err != nil {
		return client.IgnoreNotFound(err)
	}
	//warmpool:gate password-delete-its-own
	if !metav1.IsControlledBy(&secret, instance) {
		return nil
	}
	return client.IgnoreNotFound(r.Client.Delete(ctx, &secret, client.Preconditions{UID: &secret.UID}))
}

// dropOrphanPassword takes the Secret back when the instance was deleted while
// its rent was prepared: it may have been released before the Secret was there.
func (r *VastAccountReconciler) dropOrphanPassword(ctx context.Context, instance *warmpool.WarmInstance) error {
	var live warmpool.WarmInstance
	err := r.APIReader.Get(ctx, client.ObjectKeyFromObject(instance), &live)
	if client.IgnoreNotFound(err) != nil {
		return err
	}
	if err == nil && live.UID == instance.UID && live.DeletionTimestamp.IsZero() {
		return nil
	}
	return r.deletePassword(ctx, instance)
}

// journalAttempt writes the intent before the call. Losing the write to
// somebody else means losing the right to rent.
func (r *VastAccountReconciler) journalAttempt(ctx context.Context, instance *warmpool.WarmInstance, admission *planner.Admission, request *fleet.RentRequest) (warmpool.RentAttempt, error) {
	label, _ := fleet.ParseLabel(request.Label)
	now := metav1.Time{Time: r.Clock.Now()}
	attempt := warmpool.RentAttempt{
		Number: label.Attempt, OfferID: admission.Offer.ID, MachineID: admission.Offer.MachineID,
		QuotedUSDPerHour: warmpool.USD(admission.Offer.PriceUSDPerHour.String()),
		StartedTime:      now, Outcome: warmpool.AttemptPending,
	}
	journaled := instance.DeepCopy()
	journaled.Status.Attempts = append(forgetRejected(journaled.Status.Attempts), attempt)
	journaled.Status.CredentialsSecretRef = &warmpool.LocalReference{Name: secretNameFor(instance)}
	journaled.Status.LastAdmission = admissionStatus(admission, now)
	setPendingConditions(journaled, metav1.ConditionUnknown, reasonRenting,
		fmt.Sprintf("Renting offer %d at $%s/h.", admission.Offer.ID, admission.Offer.PriceUSDPerHour), now)
	//warmpool:gate journal-optimistic-lock
	err := r.Client.Status().Update(ctx, journaled)
	if err != nil {
		// The instance stays as it was: whoever writes it next must not write an
		// attempt that nobody makes.
		return attempt, err
	}
	*instance = *journaled
	return attempt, nil
}

// forgetRejected makes room in a full journal by dropping the oldest attempt
// that certainly rented nothing. Its label is never used again.
func forgetRejected(attempts []warmpool.RentAttempt) []warmpool.RentAttempt {
	if len(attempts) < planner.MaxAttempts {
		return attempts
	}
	// Not the newest: its number keeps the next one from being the same.
	//warmpool:gate journal-keeps-the-newest
	at := slices.IndexFunc(attempts[:len(attempts)-1], func(a warmpool.RentAttempt) bool {
		//warmpool:gate journal-keeps-what-may-have-rented
		//warmpool:gate journal-keeps-what-still-bills
		return a.Outcome == warmpool.AttemptRejected && (a.RentalID == 0 || a.RentalGone)
	})
	if at < 0 {
		return attempts
	}
	return slices.Delete(slices.Clone(attempts), at, at+1)
}

// rentOutcome is what became of a call.
type rentOutcome struct {
	outcome    warmpool.AttemptOutcome
	rentalID   int64
	httpStatus int
	reason     string
	message    string
	gpuName    string
	gpus       int
}

// outcomeOf sorts the answer of a rent: a rental, a definite refusal, or
// nobody knows.
func outcomeOf(id int64, err error) rentOutcome {
	if err == nil {
		return rentOutcome{outcome: warmpool.AttemptSucceeded, rentalID: id, reason: planner.ReasonAdmitted}
	}
	outcome := rentOutcome{outcome: warmpool.AttemptUnknown, reason: string(fleet.KindUnavailable), message: bounded(err.Error(), maxMessage)}
	if provider, ok := errors.AsType[*fleet.ProviderError](err); ok {
		outcome.reason, outcome.httpStatus, outcome.rentalID = string(provider.Kind), provider.Status, provider.RentalID
		//warmpool:gate outcome-definite-or-unknown
		if provider.Definite || provider.RentalID != 0 {
			// A rental named in a refusal exists: it is known, and it will be ended.
			outcome.outcome = warmpool.AttemptRejected
		}
	}
	return outcome
}

// stoppedRent is the outcome of an attempt that was journaled and, for the
// given reason, never sent.
func stoppedRent(deferral *planner.Deferral) rentOutcome {
	return rentOutcome{outcome: warmpool.AttemptRejected, reason: deferral.Reason, message: bounded(deferral.Message, maxMessage)}
}

// recordOutcome writes what became of the call. It outlives a cancelled
// context: the answer must not be lost because the process is asked to stop.
func (r *VastAccountReconciler) recordOutcome(ctx context.Context, instance *warmpool.WarmInstance, number int32, outcome *rentOutcome) error {
	r.Metrics.RentOutcome(string(outcome.outcome))
	logger := log.FromContext(ctx)
	logger.Info("Rent answered", "instance", instance.Name, "attempt", number, "outcome", outcome.outcome,
		"rental", outcome.rentalID, "reason", outcome.reason)
	//warmpool:gate outcome-outlives-the-manager
	writeCtx := context.WithoutCancel(ctx)
	var recorded warmpool.WarmInstance
	settled := false
	err := wait.PollUntilContextTimeout(writeCtx, recordPeriod, recordTimeout, true, func(ctx context.Context) (bool, error) {
		if err := r.APIReader.Get(ctx, client.ObjectKeyFromObject(instance), &recorded); err != nil {
			return apierrors.IsNotFound(err), nil
		}
		//warmpool:gate outcome-of-this-instance
		if recorded.UID != instance.UID {
			return true, nil
		}
		now := metav1.Time{Time: r.Clock.Now()}
		if !applyOutcome(&recorded, number, outcome, now, r.InstallationID) {
			return true, nil
		}
		settled = r.Client.Status().Update(ctx, &recorded) == nil
		return settled, nil
	})
	if err != nil {
		return fmt.Errorf("recording the outcome of attempt %d of %s: %w", number, instance.Name, err)
	}
	if !settled {
		// A sweep was faster, or the object is gone by force: then the rental is
		// found by its label and reported.
		logger.Info("Outcome was not recorded", "instance", instance.Name, "attempt", number, "rental", outcome.rentalID)
		return nil
	}
	if outcome.outcome == warmpool.AttemptSucceeded {
		r.event(&recorded, false, "Rented", "Rent", fmt.Sprintf("Rented instance %d (%s) at $%s/h.",
			outcome.rentalID, outcome.gpuName, quoteOf(&recorded, number)))
	} else {
		r.event(&recorded, true, "Rent"+string(outcome.outcome), "Rent", outcome.message)
	}
	return nil
}

// applyOutcome changes the status for an outcome. It returns false when the
// attempt is settled already: a sweep was faster.
func applyOutcome(instance *warmpool.WarmInstance, number int32, outcome *rentOutcome, now metav1.Time, installation string) bool {
	at := slices.IndexFunc(instance.Status.Attempts, func(a warmpool.RentAttempt) bool { return a.Number == number })
	//warmpool:gate outcome-settles-once
	if at < 0 || instance.Status.Attempts[at].Outcome != warmpool.AttemptPending {
		return false
	}
	attempt := &instance.Status.Attempts[at]
	attempt.Outcome, attempt.FinishedTime, attempt.RentalID = outcome.outcome, &now, outcome.rentalID
	attempt.HTTPStatus, attempt.Reason, attempt.Message = int32(outcome.httpStatus), outcome.reason, outcome.message //nolint:gosec // an HTTP status has three digits
	switch outcome.outcome {
	case warmpool.AttemptSucceeded:
		instance.Status.Rental = &warmpool.Rental{
			ID: outcome.rentalID, MachineID: attempt.MachineID, RecordedTime: &now,
			GPUName: outcome.gpuName, GPUs: int32(outcome.gpus), //nolint:gosec // at most 16
			Label: fleet.Label{Installation: installation, InstanceUID: string(instance.UID), Attempt: number}.String(),
		}
		instance.Status.Price.QuotedUSDPerHour = warmpool.SignedUSD(attempt.QuotedUSDPerHour)
		conditionsAt(&instance.Status.Conditions, now).set(warmpool.ConditionRented, metav1.ConditionTrue, reasonRented,
			fmt.Sprintf("Rental %d at $%s/h.", outcome.rentalID, attempt.QuotedUSDPerHour))
		conditionsAt(&instance.Status.Conditions, now).set(warmpool.ConditionReady, metav1.ConditionFalse, reasonProvisioning,
			"Rented; Vast.ai is preparing the container.")
	case warmpool.AttemptUnknown:
		setPendingConditions(instance, metav1.ConditionUnknown, planner.ReasonRentOutcomeUnknown,
			"It is not known whether the rent succeeded, because the answer was lost ("+outcome.message+"). Its price stays reserved and nothing is rented in its place until the list of instances tells.", now)
	case warmpool.AttemptPending, warmpool.AttemptRejected, warmpool.AttemptAbandoned:
		setPendingConditions(instance, metav1.ConditionFalse, outcome.reason, "Not rented: "+outcome.message, now)
	}
	return true
}

// quoteOf finds the quote of an attempt, for people.
func quoteOf(instance *warmpool.WarmInstance, number int32) warmpool.USD {
	for _, attempt := range instance.Status.Attempts {
		if attempt.Number == number {
			return attempt.QuotedUSDPerHour
		}
	}
	return ""
}

// bounded cuts a text for a status field, at a rune.
func bounded(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	return strings.ToValidUTF8(text[:limit-3], "") + "..."
}

func trimmed(value []byte) string { return strings.TrimSpace(string(value)) }
