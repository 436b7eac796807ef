package live

import (
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
)

// TestTwoManagersDoNotFight has Argo CD apply a pool without replicas, and something
// else scale it, while the operator works on it: nobody takes anything from anybody,
// and applying the same again changes nothing.
func TestTwoManagersDoNotFight(t *testing.T) {
	t.Parallel()
	w := newWorld(t, plane.Namespace(t)).mayWorkInItsNamespace()
	w.create(w.secret(), w.account())
	fromGit := func() {
		w.apply("argocd-controller", map[string]any{"cost": map[string]any{"ceilingUSDPerHour": "1.50"}})
	}
	scaler := func(replicas int64) { w.apply("scaler", map[string]any{"replicas": replicas}) }
	fromGit()
	scaler(1)
	w.startOperator()
	w.waitReady("sdxl", 1)
	generation := w.get("sdxl").Generation
	for range 5 {
		fromGit()
		scaler(1)
	}
	pool := w.get("sdxl")
	if pool.Generation != generation || pool.Spec.Replicas == nil || *pool.Spec.Replicas != 1 {
		t.Errorf("after applying the same again the generation is %d and replicas %v, want %d and 1", pool.Generation, pool.Spec.Replicas, generation)
	}
	if len(pool.Finalizers) == 0 {
		t.Error("applying took the finalizer away")
	}
	scaler(2)
	w.waitReady("sdxl", 2)
	fromGit()
	time.Sleep(time.Second)
	if replicas := w.get("sdxl").Spec.Replicas; replicas == nil || *replicas != 2 {
		t.Errorf("Argo CD's next sync made replicas %v, want the 2 of the scaler", replicas)
	}
	for _, entry := range w.get("sdxl").ManagedFields {
		if entry.Manager != "argocd-controller" && entry.Manager != "scaler" && strings.Contains(entry.FieldsV1.String(), `"f:spec"`) {
			t.Errorf("%s owns a part of the spec: %s", entry.Manager, entry.FieldsV1)
		}
	}
}

// apply applies a pool's spec as a manager, without force: a conflict fails the test.
func (w *world) apply(manager string, spec map[string]any) {
	w.Helper()
	pool := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": warmpool.GroupVersion.String(), "kind": "WarmPool",
		"metadata": map[string]any{"namespace": w.namespace, "name": "sdxl"}, "spec": spec,
	}}
	if err := plane.Client.Apply(w.Context(), client.ApplyConfigurationFromUnstructured(pool), client.FieldOwner(manager)); err != nil {
		w.Fatalf("%s applies: %v", manager, err)
	}
}

// get reads a pool.
func (w *world) get(name string) *warmpool.WarmPool {
	w.Helper()
	var pool warmpool.WarmPool
	if err := plane.Client.Get(w.Context(), client.ObjectKey{Namespace: w.namespace, Name: name}, &pool); err != nil {
		w.Fatal(err)
	}
	return &pool
}
