// Package v1alpha1 holds the Warmpool API: WarmPool, WarmInstance,
// VastAccount and WarmClaim, their conditions with all reasons, and the names of labels,
// annotations and finalizers.
//
// It imports apimachinery only, nothing else of this project, so that clients
// can use it alone.
//
// +kubebuilder:object:generate=true
// +groupName=warmpool.dev
package v1alpha1
