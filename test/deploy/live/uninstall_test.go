package live

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/onsi/gomega"
	"github.com/warmpool-dev/warmpool/internal/installation"
	"github.com/warmpool-dev/warmpool/internal/operator"
	"github.com/warmpool-dev/warmpool/internal/options"
	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/warmpool-dev/warmpool/test/deploy/internal/render"
)

// TestUninstallEndsTheBills installs the chart in one namespace, checks it as "helm
// test" does, and ends it as the hook before an uninstall does, each with the rights
// of its own ServiceAccount. It refuses while somebody else's instance would be left.
func TestUninstallEndsTheBills(t *testing.T) {
	t.Parallel()
	namespace := plane.Namespace(t)
	w := newWorld(t, namespace)
	w.config = serviceAccount(namespace, "warmpool-manager")
	chart, err := render.Chart(render.Options{Namespace: namespace, Values: fmt.Sprintf(`
watchNamespaces: [%s]
installationID: hooks
account: {create: true, spec: {ceilingUSDPerHour: "6.00"}}
pools: {sdxl: {replicas: 1, cost: {ceilingUSDPerHour: "1.50"}}}
`, namespace)})
	if err != nil {
		t.Fatal(err)
	}
	objects := slices.DeleteFunc(chart.Objects, func(object *unstructured.Unstructured) bool { return object.GetKind() == "CustomResourceDefinition" })
	w.create(w.secret(), w.pool("by-hand", 1))
	install(t, objects)
	w.startOperatorWith(arguments(t, objects))
	w.waitReady("sdxl", 1)
	w.waitReady("by-hand", 1)

	var said strings.Builder
	if err := installation.Check(t.Context(), w.as("warmpool-manager"), &installation.CheckOptions{
		Namespaces: []string{namespace}, Lease: types.NamespacedName{Namespace: namespace, Name: operator.LeaseName},
		Clock: clock.RealClock{}, Timeout: patience, Out: &said,
	}); err != nil || !strings.Contains(said.String(), "VastAccount "+namespace+"/default is Ready.") {
		t.Errorf("the check says %q (%v)", said.String(), err)
	}

	settings := w.prepareUninstall(objects)
	uninstall := func() error {
		return installation.End(t.Context(), w.as("warmpool-uninstall"), &installation.EndOptions{
			Release: settings.Release, Namespace: settings.ReleaseNamespace, Namespaces: settings.Namespaces,
			Clock: clock.RealClock{}, Timeout: patience, Out: w.Output(),
		})
	}
	if err := uninstall(); err == nil || !strings.Contains(err.Error(), namespace+"/by-hand") {
		t.Errorf("with an instance of another pool it says %v, want a refusal that names the pool", err)
	}
	w.Expect(w.vast.Meter().Live("")).To(gomega.HaveLen(2), "a refusal ends nothing")
	if err := plane.Client.Delete(t.Context(), w.pool("by-hand", 1)); err != nil {
		t.Fatal(err)
	}
	if err := uninstall(); err != nil {
		t.Error(err)
	}
	w.Expect(w.vast.Meter().Live("")).To(gomega.BeEmpty(), "rentals bill after the hook has let the uninstall go on")
	w.Expect(w.objects()).To(gomega.BeEmpty())
}

// as connects as a ServiceAccount of the world.
func (w *world) as(account string) client.Client {
	w.Helper()
	access, err := client.New(serviceAccount(w.namespace, account), client.Options{Scheme: plane.Scheme})
	if err != nil {
		w.Fatal(err)
	}
	return access
}

// prepareUninstall makes what belongs to the hook, and returns what its Job would do.
func (w *world) prepareUninstall(objects []*unstructured.Unstructured) options.Installation {
	w.Helper()
	var settings options.Installation
	for _, object := range objects {
		if object.GetAnnotations()["helm.sh/hook"] != "pre-delete" {
			continue
		}
		if object.GetKind() != "Job" {
			if err := plane.Client.Create(w.Context(), object.DeepCopy()); err != nil {
				w.Fatal(err)
			}
			continue
		}
		var job batchv1.Job
		err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &job)
		if err == nil {
			settings, err = options.ParseUninstall(job.Spec.Template.Spec.Containers[0].Args[1:], func(string) (string, bool) { return "", false })
		}
		if err != nil {
			w.Fatal(err)
		}
	}
	return settings
}
