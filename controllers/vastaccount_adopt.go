package controllers

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/log"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/fleet"
	"github.com/warmpool-dev/warmpool/internal/planner"
)

// gatherAdoptions reads what adoptions are decided on, live, when there are any.
func (r *VastAccountReconciler) gatherAdoptions(ctx context.Context, key types.NamespacedName, in *sweepInput) error {
	if !slices.ContainsFunc(in.planned, func(i planner.Instance) bool { return i.IsAdopting() }) {
		return nil
	}
	var pools warmpool.WarmPoolList
	if err := r.APIReader.List(ctx, &pools, client.InNamespace(key.Namespace)); err != nil {
		return err
	}
	in.adoptPools = map[string]planner.AdoptPool{}
	for k := range pools.Items {
		if pool := &pools.Items[k]; pool.Spec.AccountRef.Name == key.Name {
			in.adoptPools[poolKey(pool.Namespace, pool.Name)] = planner.AdoptPool{
				CeilingUSDPerHour: usdOf(string(pool.Spec.Cost.CeilingUSDPerHour)), Deleting: !pool.DeletionTimestamp.IsZero(),
			}
		}
	}
	return nil
}

// adopt binds the instances that people made for a rental to it, or says why not.
func (r *VastAccountReconciler) adopt(ctx context.Context, in *sweepInput, plan *sweepPlan) error {
	for k := range plan.adoptions {
		adoption := &plan.adoptions[k]
		at := slices.IndexFunc(in.instances, func(i warmpool.WarmInstance) bool { return string(i.UID) == adoption.UID })
		if at < 0 {
			continue
		}
		var err error
		if adoption.Row != nil {
			err = r.bind(ctx, in, at, adoption)
		} else {
			err = r.sayWhyNotAdopted(ctx, &in.instances[at], adoption.Reason, adoption.Message)
		}
		if err = quietConflict(err); err != nil {
			return fmt.Errorf("adopting rental %d: %w", adoption.RentalID, err)
		}
	}
	return nil
}

// bind records the rental: first the finalizer, which holds the object until the
// rental is gone, then the record, then the label.
func (r *VastAccountReconciler) bind(ctx context.Context, in *sweepInput, at int, adoption *planner.Adoption) error {
	instance := in.instances[at].DeepCopy()
	if problem, err := r.adoptedPassword(ctx, instance); err != nil || problem != "" {
		if err != nil {
			return err
		}
		return r.sayWhyNotAdopted(ctx, instance, reasonEnvSecretMissing, problem)
	}
	log.FromContext(ctx).Info("Adopting", "instance", instance.Name, "rental", adoption.RentalID, "usdPerHour", adoption.Row.PriceUSDPerHour.String())
	before := instance.DeepCopy()
	controllerutil.AddFinalizer(instance, warmpool.FinalizerTerminate)
	if instance.Labels == nil {
		instance.Labels = map[string]string{}
	}
	instance.Labels[warmpool.LabelPool], instance.Labels[warmpool.LabelAccount] = instance.Spec.PoolRef.Name, instance.Spec.AccountRef.Name
	if err := r.Client.Patch(ctx, instance, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})); err != nil {
		return err
	}
	now := metav1.Time{Time: r.Clock.Now()}
	label := fleet.Label{Installation: r.InstallationID, InstanceUID: string(instance.UID), Attempt: 1}.String()
	instance.Status.Rental = &warmpool.Rental{ID: adoption.RentalID, MachineID: adoption.Row.MachineID, RecordedTime: &now, Label: label}
	instance.Status.Price.QuotedUSDPerHour, instance.Status.Price.CurrentUSDPerHour = signedUSD(adoption.Row.PriceUSDPerHour), signedUSD(adoption.Row.PriceUSDPerHour)
	instance.Status.CredentialsSecretRef = &warmpool.LocalReference{Name: instance.Spec.Adopt.CredentialsSecretRef.Name}
	conditionsAt(&instance.Status.Conditions, now).set(warmpool.ConditionRented, metav1.ConditionTrue, reasonRented, adoption.Message)
	conditionsAt(&instance.Status.Conditions, now).set(warmpool.ConditionReady, metav1.ConditionFalse, reasonProvisioning, "Taken over; ComfyUI has to prove itself.")
	if err := r.Client.Status().Update(ctx, instance); err != nil {
		return err
	}
	in.instances[at], in.planned[at] = *instance, plannerInstance(instance)
	r.event(instance, false, planner.ReasonAdopted, "Adopt", adoption.Message)
	r.noteAdoption(instance, adoption)
	// If this fails, a sweep finds the label wrong and puts it right.
	if err := in.link.provider.SetLabel(ctx, adoption.RentalID, label); err != nil {
		log.FromContext(ctx).Info("Labelling an adopted rental failed", "rental", adoption.RentalID, "error", err.Error())
		return nil
	}
	adoption.Row.Label = label
	return nil
}

// passwordSecretOf names the Secret with the password of an instance: its own, or
// the one that a person gave for a rental that was taken over.
func passwordSecretOf(instance *warmpool.WarmInstance) string {
	if instance.Spec.Adopt != nil {
		return instance.Spec.Adopt.CredentialsSecretRef.Name
	}
	return secretNameFor(instance)
}

// adoptedPassword checks that there is a password to ask the instance with. It
// returns what is missing.
func (r *VastAccountReconciler) adoptedPassword(ctx context.Context, instance *warmpool.WarmInstance) (problem string, err error) {
	name := instance.Spec.Adopt.CredentialsSecretRef.Name
	var secret corev1.Secret
	err = r.APIReader.Get(ctx, types.NamespacedName{Namespace: instance.Namespace, Name: name}, &secret)
	if apierrors.IsNotFound(err) || (err == nil && trimmed(secret.Data[warmpool.SecretKeyWebPassword]) == "") {
		return fmt.Sprintf("Rental %d is not adopted: there is no Secret %q with the key %s in namespace %q, so its ComfyUI could not be asked and it would be given up. Create it: kubectl -n %s create secret generic %s --from-literal=%s='<its password>' (it is used at once).",
			instance.Spec.Adopt.RentalID, name, warmpool.SecretKeyWebPassword, instance.Namespace, instance.Namespace, name, warmpool.SecretKeyWebPassword), nil
	}
	return "", err
}

// sayWhyNotAdopted writes the answer down when it changed.
func (r *VastAccountReconciler) sayWhyNotAdopted(ctx context.Context, instance *warmpool.WarmInstance, reason, message string) error {
	was := meta.FindStatusCondition(instance.Status.Conditions, warmpool.ConditionRented)
	if was != nil && was.Reason == reason && was.Message == bounded(message, maxConditionMessage) {
		return nil
	}
	tell := was == nil || was.Reason != reason
	setPendingConditions(instance, metav1.ConditionFalse, reason, message, metav1.Time{Time: r.Clock.Now()})
	if err := r.Client.Status().Update(ctx, instance); err != nil {
		return err
	}
	if tell && reason != planner.ReasonAwaitingAdoption {
		r.event(instance, true, reason, "Adopt", message)
	}
	return nil
}
