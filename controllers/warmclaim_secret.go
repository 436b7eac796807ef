package controllers

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
)

// claimUsername is what the front of Vast.ai's own image expects with HTTP Basic.
const claimUsername = "vastai"

// errClaimSecret reports credentials that cannot be handed over; only a person
// can mend it.
var errClaimSecret = errors.New("the credentials cannot be handed over")

// claimSecretNameFor names the Secret of a claim, so that a Pod can name it
// before it is there.
func claimSecretNameFor(claim *warmpool.WarmClaim) string { return claim.Name + "-claim" }

// ensureClaimSecret hands the credentials of an instance over to its claim. It
// is idempotent.
func (r *WarmClaimReconciler) ensureClaimSecret(ctx context.Context, claim *warmpool.WarmClaim, instance *warmpool.WarmInstance, url string) error {
	var password corev1.Secret
	source := types.NamespacedName{Namespace: instance.Namespace, Name: passwordSecretOf(instance)}
	if err := r.APIReader.Get(ctx, source, &password); err != nil {
		if apierrors.IsNotFound(err) {
			return fmt.Errorf("%w: the Secret %s with the password of instance %s is not there; delete the claim, and make a new one", errClaimSecret, source.Name, instance.Name)
		}
		return err
	}
	data := map[string][]byte{
		warmpool.SecretKeyClaimURL: []byte(url), warmpool.SecretKeyClaimUsername: []byte(claimUsername),
		warmpool.SecretKeyClaimToken: []byte(trimmed(password.Data[warmpool.SecretKeyWebPassword])),
	}
	if fingerprint := instance.Status.CertificateSHA256; fingerprint != "" {
		data[warmpool.SecretKeyClaimCertificate] = []byte(fingerprint)
	}
	wanted := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: claim.Namespace, Name: claimSecretNameFor(claim),
			Labels:          map[string]string{warmpool.LabelPool: claim.Spec.PoolRef.Name, warmpool.LabelClaim: claim.Name},
			OwnerReferences: ownedBy(claim, "WarmClaim"),
		},
		Type: corev1.SecretTypeOpaque, Data: data,
	}
	// Almost always there is none, and looking first would be one more call.
	if err := r.Client.Create(ctx, wanted.DeepCopy()); !apierrors.IsAlreadyExists(err) {
		return err
	}
	var there corev1.Secret
	switch err := r.APIReader.Get(ctx, client.ObjectKeyFromObject(wanted), &there); {
	case apierrors.IsNotFound(err):
		return r.Client.Create(ctx, wanted)
	case err != nil:
		return err
	case metav1.IsControlledBy(&there, claim) && sameData(there.Data, data):
		return nil
	//warmpool:gate claim-secret-is-its-own
	case there.Labels[warmpool.LabelClaim] != claim.Name:
		return fmt.Errorf("%w: there is a Secret %s that is not the claim's; delete it, or make a claim with another name", errClaimSecret, wanted.Name)
	}
	// It is of an older claim with this name, or the address has changed.
	if err := client.IgnoreNotFound(r.Client.Delete(ctx, &there, client.Preconditions{UID: &there.UID})); err != nil {
		return err
	}
	return r.Client.Create(ctx, wanted)
}

// deleteClaimSecret takes the credentials back. A Secret that is not the claim's
// stays.
func (r *WarmClaimReconciler) deleteClaimSecret(ctx context.Context, claim *warmpool.WarmClaim) error {
	var there corev1.Secret
	key := types.NamespacedName{Namespace: claim.Namespace, Name: claimSecretNameFor(claim)}
	if err := r.APIReader.Get(ctx, key, &there); err != nil {
		return client.IgnoreNotFound(err)
	}
	if !metav1.IsControlledBy(&there, claim) {
		return nil
	}
	return client.IgnoreNotFound(r.Client.Delete(ctx, &there, client.Preconditions{UID: &there.UID}))
}

func sameData(a, b map[string][]byte) bool {
	if len(a) != len(b) {
		return false
	}
	for key, value := range a {
		if !bytes.Equal(value, b[key]) {
			return false
		}
	}
	return true
}
