package apidouble

import (
	"encoding/json"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
)

// The kinds that the store knows.
const (
	KindWarmPool     = "WarmPool"
	KindWarmInstance = "WarmInstance"
	KindVastAccount  = "VastAccount"
	KindWarmClaim    = "WarmClaim"
	KindSecret       = "Secret"
	KindConfigMap    = "ConfigMap"
	KindNamespace    = "Namespace"
)

// KindOf names the kind of an object or of a list; empty for one that the store
// does not know.
func KindOf(object runtime.Object) string {
	switch object.(type) {
	case *warmpool.WarmPool, *warmpool.WarmPoolList:
		return KindWarmPool
	case *warmpool.WarmInstance, *warmpool.WarmInstanceList:
		return KindWarmInstance
	case *warmpool.VastAccount, *warmpool.VastAccountList:
		return KindVastAccount
	case *warmpool.WarmClaim, *warmpool.WarmClaimList:
		return KindWarmClaim
	case *corev1.Secret, *corev1.SecretList:
		return KindSecret
	case *corev1.ConfigMap, *corev1.ConfigMapList:
		return KindConfigMap
	case *corev1.Namespace, *corev1.NamespaceList:
		return KindNamespace
	default:
		return ""
	}
}

// isCustom is true for kinds with a generation and a status of their own.
func isCustom(kind string) bool {
	return kind == KindWarmPool || kind == KindWarmInstance || kind == KindVastAccount || kind == KindWarmClaim
}

// newObject makes an empty object of a kind.
func newObject(kind string) (client.Object, error) {
	switch kind {
	case KindWarmPool:
		return &warmpool.WarmPool{}, nil
	case KindWarmInstance:
		return &warmpool.WarmInstance{}, nil
	case KindVastAccount:
		return &warmpool.VastAccount{}, nil
	case KindWarmClaim:
		return &warmpool.WarmClaim{}, nil
	case KindSecret:
		return &corev1.Secret{}, nil
	case KindConfigMap:
		return &corev1.ConfigMap{}, nil
	case KindNamespace:
		return &corev1.Namespace{}, nil
	default:
		return nil, fmt.Errorf("unknown kind %q", kind)
	}
}

// decode reads an object of a kind.
func decode(kind string, text []byte) (client.Object, error) {
	object, err := newObject(kind)
	if err != nil {
		return nil, err
	}
	return object, json.Unmarshal(text, object)
}

// copyOf is a deep copy that is an object again.
func copyOf(object client.Object) client.Object {
	copied, ok := object.DeepCopyObject().(client.Object)
	if !ok {
		return object // every object is one
	}
	return copied
}

// takeStatus puts the status of one object into another of the same kind.
func takeStatus(into, from client.Object) {
	switch target := into.(type) {
	case *warmpool.WarmPool:
		if source, ok := from.(*warmpool.WarmPool); ok {
			source.Status.DeepCopyInto(&target.Status)
		}
	case *warmpool.WarmInstance:
		if source, ok := from.(*warmpool.WarmInstance); ok {
			source.Status.DeepCopyInto(&target.Status)
		}
	case *warmpool.VastAccount:
		if source, ok := from.(*warmpool.VastAccount); ok {
			source.Status.DeepCopyInto(&target.Status)
		}
	case *warmpool.WarmClaim:
		if source, ok := from.(*warmpool.WarmClaim); ok {
			source.Status.DeepCopyInto(&target.Status)
		}
	}
}

// dropStatus empties the status of a new custom resource.
func dropStatus(object client.Object) {
	switch target := object.(type) {
	case *warmpool.WarmPool:
		target.Status = warmpool.WarmPoolStatus{}
	case *warmpool.WarmInstance:
		target.Status = warmpool.WarmInstanceStatus{}
	case *warmpool.VastAccount:
		target.Status = warmpool.VastAccountStatus{}
	case *warmpool.WarmClaim:
		target.Status = warmpool.WarmClaimStatus{}
	}
}

// specOf is the text of an object's spec, for comparing.
func specOf(object client.Object) string {
	var spec any
	switch source := object.(type) {
	case *warmpool.WarmPool:
		spec = &source.Spec
	case *warmpool.WarmInstance:
		spec = &source.Spec
	case *warmpool.VastAccount:
		spec = &source.Spec
	case *warmpool.WarmClaim:
		spec = &source.Spec
	default:
		return ""
	}
	text := &strings.Builder{}
	if err := json.NewEncoder(text).Encode(spec); err != nil {
		return err.Error()
	}
	return text.String()
}
