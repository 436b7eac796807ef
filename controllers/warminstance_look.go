package controllers

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/uuid"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/fleet"
	"github.com/warmpool-dev/warmpool/internal/planner"
)

// configMapKeyCA holds the accepted authorities in mode CA.
const configMapKeyCA = "ca.crt"

// look takes the one look that the last decision asked for and puts the result
// into the health input.
func (r *WarmInstanceReconciler) look(ctx context.Context, in *instanceInput) {
	if in.memory.next == "" || in.memory.next == planner.ActionNone || comfyAddress(&in.instance.Status) == "" {
		return
	}
	target, err := r.target(ctx, in)
	if err != nil {
		// The deadlines must go on running: what cannot be looked at bills, too.
		log.FromContext(ctx).Info("Looking at the instance is not possible", "error", err.Error())
		in.health.Tried = in.memory.next
		in.health.Probe = &fleet.ProbeResult{
			Signal: fleet.SignalAuthRejected, At: r.Clock.Now(),
			Message: "The instance cannot be asked, because its password or the accepted authorities cannot be read: " + err.Error(),
		}
		return
	}
	if in.health.Recycling && in.health.EmptiedAt.IsZero() && r.recycle(ctx, in, target) {
		return
	}
	in.health.Tried = in.memory.next
	r.take(ctx, in, target)
}

// take is the look itself.
func (r *WarmInstanceReconciler) take(ctx context.Context, in *instanceInput, target InstanceTarget) {
	switch in.memory.next {
	case planner.ActionProbe:
		r.probe(ctx, in, target)
	case planner.ActionPortal:
		r.lookAtPortal(ctx, in, target)
	case planner.ActionQueue:
		if result, err := r.Prober.Queue(ctx, target); err == nil {
			in.health.Queue = &result
		} else {
			log.FromContext(ctx).V(1).Info("Looking at the queue failed", "error", err.Error())
		}
	case planner.ActionVerify:
		result := r.Prober.Verify(ctx, target, r.expectations(in))
		in.health.Verify = &result
	case planner.ActionNone:
	}
}

// probe asks whether ComfyUI answers. A probe without a signal says nothing
// about the instance, such as one that was cut short by a stop.
func (r *WarmInstanceReconciler) probe(ctx context.Context, in *instanceInput, target InstanceTarget) {
	result := r.Prober.Probe(ctx, target, in.memory.busy)
	if result.Signal == "" {
		log.FromContext(ctx).V(1).Info("Probing told nothing", "message", result.Message)
		return
	}
	if result.Signal == fleet.SignalAuthRejected {
		// It is read again: somebody may have replaced the Secret.
		in.memory.password = ""
	}
	in.health.Probe = &result
}

func (r *WarmInstanceReconciler) lookAtPortal(ctx context.Context, in *instanceInput, target InstanceTarget) {
	if target.PortalAddress == "" {
		return
	}
	portal, err := r.Prober.Portal(ctx, target)
	if err != nil {
		log.FromContext(ctx).V(1).Info("Asking the portal failed", "error", err.Error())
		return
	}
	in.health.Portal, in.health.PortalAt = portal, r.Clock.Now()
}

// expectations is what the instance must show before it is Ready.
func (r *WarmInstanceReconciler) expectations(in *instanceInput) fleet.Expectations {
	comfy, rental := in.instance.Spec.Template.Comfy, in.instance.Status.Rental
	want := fleet.Expectations{
		GPUs: int(rental.GPUs), GPUName: rental.GPUName, Nodes: comfy.RequiredNodes,
		Color: freshColor(), PromptID: string(uuid.NewUUID()),
	}
	for _, model := range comfy.RequiredModels {
		want.Models = append(want.Models, fleet.ModelRequirement{Folder: model.Folder, Name: model.Name, MinBytes: model.MinBytes})
	}
	return want
}

// freshColor is a new input for the smoke prompt: the same one twice would be
// answered from ComfyUI's cache and prove nothing.
func freshColor() int {
	var random [4]byte
	_, _ = rand.Read(random[:]) // it never fails
	const colors = 1 << 24
	return int(binary.BigEndian.Uint32(random[:]) % colors)
}

// target says where the instance is and how to speak to it.
func (r *WarmInstanceReconciler) target(ctx context.Context, in *instanceInput) (InstanceTarget, error) {
	template := effectiveTemplate(in.instance.Spec.Template)
	target := InstanceTarget{
		Address: comfyAddress(&in.instance.Status), PortalAddress: addressOf(&in.instance.Status, endpointPortal),
		TLSMode: string(template.TLS.Mode), PinnedSHA256: in.instance.Status.CertificateSHA256,
	}
	if in.memory.password == "" {
		var secret corev1.Secret
		if err := r.APIReader.Get(ctx, types.NamespacedName{Namespace: in.instance.Namespace, Name: passwordSecretOf(in.instance)}, &secret); err != nil {
			return target, fmt.Errorf("reading the password of instance %s: %w", in.instance.Name, err)
		}
		in.memory.password = trimmed(secret.Data[warmpool.SecretKeyWebPassword])
	}
	target.Token = in.memory.password
	if template.TLS.Mode == warmpool.TLSCA && in.memory.authority == nil {
		bundle, err := authorities(ctx, r.APIReader, in.instance)
		if err != nil {
			return target, err
		}
		in.memory.authority = bundle
	}
	target.CAPEM = in.memory.authority
	return target, nil
}

// authorities reads the accepted authorities of an instance, nil when it
// accepts none by a bundle.
func authorities(ctx context.Context, reader client.Reader, instance *warmpool.WarmInstance) ([]byte, error) {
	template := effectiveTemplate(instance.Spec.Template)
	if template.TLS.Mode != warmpool.TLSCA || template.TLS.CAConfigMapRef == nil {
		return nil, nil
	}
	var bundle corev1.ConfigMap
	key := types.NamespacedName{Namespace: instance.Namespace, Name: template.TLS.CAConfigMapRef.Name}
	if err := reader.Get(ctx, key, &bundle); err != nil {
		return nil, fmt.Errorf("reading the authorities for instance %s: %w", instance.Name, err)
	}
	if bundle.Data[configMapKeyCA] == "" {
		return nil, fmt.Errorf("reading the authorities for instance %s: %w: ConfigMap %q has no key %q", instance.Name, errNoAuthorities, key.Name, configMapKeyCA)
	}
	return []byte(bundle.Data[configMapKeyCA]), nil
}

// errNoAuthorities reports a ConfigMap without a bundle.
var errNoAuthorities = errors.New("no authorities")

// comfyAddress is "host:port" of ComfyUI, empty until it is published.
func comfyAddress(status *warmpool.WarmInstanceStatus) string {
	return addressOf(status, endpointComfyUI)
}

func addressOf(status *warmpool.WarmInstanceStatus, name string) string {
	for _, endpoint := range status.Endpoints {
		if endpoint.Name == name {
			_, address, found := strings.Cut(endpoint.URL, "://")
			if !found {
				return endpoint.URL
			}
			return address
		}
	}
	return ""
}
