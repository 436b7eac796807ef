package chart

import (
	"maps"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/warmpool-dev/warmpool/internal/options"
	"github.com/warmpool-dev/warmpool/test/deploy/internal/render"
)

// kustomized builds a directory of the repository.
func kustomized(t *testing.T, directory string) []*unstructured.Unstructured {
	t.Helper()
	command := exec.CommandContext(t.Context(), plane.KubectlPath(), "kustomize", filepath.Join(render.Root, directory))
	output, err := command.Output()
	if err != nil {
		t.Fatalf("building %s: %v", directory, err)
	}
	objects, err := render.Parse(string(output))
	if err != nil {
		t.Fatal(err)
	}
	return objects
}

func diff(a, b any) string { return cmp.Diff(a, b) }

// TestTheChartAndKustomizeMakeTheSame compares the defaults of both, object by
// object. These are the differences:
//   - the Namespace: Helm makes it with --create-namespace, kustomize with its labels;
//   - hooks (the test and the end of an uninstall): only Helm has them;
//   - labels and annotations on objects: Helm's say of which release they are;
//   - app.kubernetes.io/instance in selectors: with Helm there may be two releases.
func TestTheChartAndKustomizeMakeTheSame(t *testing.T) {
	chart, overlay := comparable(rendered(t, render.Options{})), comparable(kustomized(t, "config/default"))
	for key := range maps.Keys(chart) {
		if overlay[key] == nil {
			t.Errorf("only the chart makes %s", key)
			continue
		}
		if difference := diff(overlay[key], chart[key]); difference != "" {
			t.Errorf("%s: config/default (-) and the chart (+) differ:\n%s", key, difference)
		}
	}
	for key := range maps.Keys(overlay) {
		if chart[key] == nil {
			t.Errorf("only config/default makes %s", key)
		}
	}
}

// comparable are objects by key without the documented differences.
func comparable(objects []*unstructured.Unstructured) map[string]map[string]any {
	made := map[string]map[string]any{}
	for _, object := range objects {
		_, isHook := object.GetAnnotations()["helm.sh/hook"]
		if isHook || object.GetKind() == "Namespace" {
			continue
		}
		aggregated := map[string]any{}
		for label, value := range object.GetLabels() {
			if strings.HasPrefix(label, "rbac.authorization.k8s.io/") {
				aggregated[label] = value
			}
		}
		stripped := withoutInstance(object.Object).(map[string]any) //nolint:forcetypeassert // a map stays one
		stripped["metadata"] = map[string]any{"name": object.GetName(), "namespace": object.GetNamespace(), "labels": aggregated}
		made[render.Key(object)] = stripped
	}
	return made
}

// withoutInstance is a copy without the label of the release, wherever it is.
func withoutInstance(node any) any {
	switch node := node.(type) {
	case map[string]any:
		copied := map[string]any{}
		for key, value := range node {
			if key != "app.kubernetes.io/instance" {
				copied[key] = withoutInstance(value)
			}
		}
		return copied
	case []any:
		copied := make([]any, 0, len(node))
		for _, value := range node {
			copied = append(copied, withoutInstance(value))
		}
		return copied
	default:
		return node
	}
}

// TestOverlaysAreAccepted lets the API server look at every overlay.
func TestOverlaysAreAccepted(t *testing.T) {
	for _, directory := range []string{"config/default", "config/overlays/namespaced", "config/overlays/simulator"} {
		t.Run(directory, func(t *testing.T) {
			namespace := restrictedNamespace(t)
			for _, object := range kustomized(t, directory) {
				if object.GetNamespace() != "" {
					object.SetNamespace(namespace)
				}
				if err := apply(t.Context(), plane.Client, object, client.DryRunAll); err != nil {
					t.Errorf("%s: %v", render.Key(object), err)
				}
				for _, pod := range podsOf(t, object) {
					pod.Namespace = namespace
					if err := plane.Client.Create(t.Context(), pod, client.DryRunAll); err != nil {
						t.Errorf("its pod is not admitted: %v", err)
					}
				}
			}
		})
	}
}

// TestTheNamespacedOverlayStaysInItsNamespace wants no right outside, and a
// manager that refuses to start before somebody has chosen its id.
func TestTheNamespacedOverlayStaysInItsNamespace(t *testing.T) {
	objects := kustomized(t, "config/overlays/namespaced")
	for _, object := range objects {
		if kind := object.GetKind(); kind == "ClusterRole" || kind == "ClusterRoleBinding" {
			t.Errorf("it makes the %s %s", kind, object.GetName())
		}
	}
	role := convert[rbacv1.Role](t, find(t, objects, "Role", "warmpool-manager"))
	own := convert[rbacv1.ClusterRole](t, find(t, kustomized(t, "config/default"), "ClusterRole", "warmpool-manager"))
	if len(role.Rules) != len(own.Rules)-1 {
		t.Errorf("the Role has %d rules, want the %d of the ClusterRole but the one about namespaces", len(role.Rules), len(own.Rules))
	}
	deployment := convert[appsv1.Deployment](t, find(t, objects, "Deployment", "warmpool-manager"))
	arguments := deployment.Spec.Template.Spec.Containers[0].Args
	nothing := func(string) (string, bool) { return "", false }
	if _, err := options.ParseManager(arguments, nothing); err == nil || !strings.Contains(err.Error(), "installation-id") {
		t.Errorf("with the placeholder the manager says %v, want a complaint about --installation-id", err)
	}
	for k := range arguments {
		arguments[k] = strings.ReplaceAll(arguments[k], "CHANGE-ME", "prod1")
	}
	settings, err := options.ParseManager(arguments, nothing)
	if err != nil || len(settings.Namespaces) != 1 || settings.Namespaces[0] != "warmpool-system" {
		t.Errorf("the manager works in %v (%v), want warmpool-system", settings.Namespaces, err)
	}
}
