// Package chart tests the chart and the kustomizations: rendered by Helm's own
// library and by kubectl, checked by a real API server, and used by an operator
// with a simulated Vast.ai.
package chart

import (
	"context"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/warmpool-dev/warmpool/internal/testkit"
	"github.com/warmpool-dev/warmpool/test/deploy/internal/render"
)

var plane *testkit.ControlPlane

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(testkit.Main(m, &plane))
}

// valuesFiles are the files in testdata/values, by name.
func valuesFiles(t *testing.T) map[string]string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join("testdata", "values", "*.yaml"))
	if err != nil || len(paths) < 12 {
		t.Fatalf("%d files of values (%v), want a dozen", len(paths), err)
	}
	files := map[string]string{}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		files[strings.TrimSuffix(filepath.Base(path), ".yaml")] = string(text)
	}
	return files
}

// rendered renders the chart or ends the test.
func rendered(t *testing.T, options render.Options) []*unstructured.Unstructured {
	t.Helper()
	chart, err := render.Chart(options)
	if err != nil {
		t.Fatal(err)
	}
	return chart.Objects
}

// restrictedNamespace makes a namespace that admits restricted pods only.
func restrictedNamespace(t *testing.T) string {
	t.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		GenerateName: "restricted-",
		Labels:       map[string]string{"pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/enforce-version": "latest"},
	}}
	if err := plane.Client.Create(t.Context(), namespace); err != nil {
		t.Fatal(err)
	}
	return namespace.Name
}

// isServed is false for kinds of the Prometheus operator.
func isServed(object *unstructured.Unstructured) bool {
	return !strings.HasPrefix(object.GetAPIVersion(), "monitoring.coreos.com/")
}

// apply is a server-side apply in strict mode: an unknown field is an error.
func apply(ctx context.Context, access client.Client, object *unstructured.Unstructured, options ...client.ApplyOption) error {
	config := client.ApplyConfigurationFromUnstructured(object.DeepCopy())
	return access.Apply(ctx, config, append(options, client.FieldOwner("test"), client.ForceOwnership)...)
}

// convert reads an object into its Go type, strictly.
func convert[T any](t *testing.T, object *unstructured.Unstructured) *T {
	t.Helper()
	var into T
	if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(object.Object, &into, true); err != nil {
		t.Fatalf("%s: %v", render.Key(object), err)
	}
	return &into
}

// find returns the object of a kind and a name.
func find(t *testing.T, objects []*unstructured.Unstructured, kind, name string) *unstructured.Unstructured {
	t.Helper()
	for _, object := range objects {
		if object.GetKind() == kind && object.GetName() == name {
			return object
		}
	}
	t.Fatalf("there is no %s %s", kind, name)
	return nil
}
