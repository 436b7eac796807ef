package live

import (
	"compress/gzip"
	"context"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/test/deploy/internal/render"
)

// upgradeValues are those that testdata/previous.yaml.gz was rendered with. At a
// release it is rendered anew, from the chart of that release.
const upgradeValues = `
watchNamespaces: [warmpool-system]
installationID: upgrade
account: {create: true, spec: {ceilingUSDPerHour: "6.00"}}
pools: {sdxl: {replicas: 2, cost: {ceilingUSDPerHour: "1.50"}}}
`

// TestUpgradeRentsAndEndsNothing installs what the previous chart made, lets its
// pool rent, replaces everything by what the chart makes now, and restarts the
// operator: the instances stay, and Vast.ai sees not one call that changes anything.
// Each operator has the arguments of its Deployment and the rights of its
// ServiceAccount, and no others.
func TestUpgradeRentsAndEndsNothing(t *testing.T) {
	const namespace = "warmpool-system"
	if err := plane.Client.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}); err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, namespace)
	w.config = rest.CopyConfig(plane.Config)
	w.config.Impersonate = rest.ImpersonationConfig{
		UserName: "system:serviceaccount:" + namespace + ":warmpool-manager",
		Groups:   []string{"system:serviceaccounts", "system:serviceaccounts:" + namespace, "system:authenticated"},
	}
	chart, err := render.Chart(render.Options{Values: upgradeValues})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { install(t, kinds(chart.Objects)) })
	w.oldKinds = true
	w.create(w.secret())
	old := previous(t)
	install(t, old)
	stop := w.startOperatorWith(arguments(t, old))
	w.waitReady("sdxl", 2)
	stop()
	before, rented := w.writes(), w.rentals()
	if before["create"] != 2 {
		t.Fatalf("the old version made the calls %v, want two rents", before)
	}

	install(t, chart.Objects)
	w.oldKinds = false
	w.startOperatorWith(arguments(t, chart.Objects))
	// Long enough for whatever the new version might have against the old instances.
	first := w.sweptAfter(w.clock.Now())
	w.sweptAfter(first.Add(3 * time.Minute))
	w.waitReady("sdxl", 2)
	if difference := cmp.Diff(before, w.writes()); difference != "" {
		t.Errorf("calls that change something, before (-) and after (+) the upgrade:\n%s", difference)
	}
	if difference := cmp.Diff(rented, w.rentals()); difference != "" {
		t.Errorf("instances before (-) and after (+) the upgrade:\n%s", difference)
	}
}

// sweptAfter waits for a trusted list later than a time, and returns when it was.
func (w *world) sweptAfter(earlier time.Time) time.Time {
	w.Helper()
	var swept time.Time
	w.eventually(func(g gomega.Gomega) {
		var account warmpool.VastAccount
		g.Expect(plane.Client.Get(w.Context(), client.ObjectKey{Namespace: w.namespace, Name: "default"}, &account)).To(gomega.Succeed())
		g.Expect(account.Status.LastSweep).NotTo(gomega.BeNil())
		g.Expect(account.Status.LastSweep.LastTrustedTime).NotTo(gomega.BeNil())
		swept = account.Status.LastSweep.LastTrustedTime.Time
		g.Expect(swept).To(gomega.BeTemporally(">", earlier))
	})
	return swept
}

// arguments are those of the manager in a Deployment, what it would know in a pod,
// and a lease that ends sooner.
func arguments(t *testing.T, objects []*unstructured.Unstructured) []string {
	t.Helper()
	for _, object := range objects {
		if object.GetKind() != "Deployment" {
			continue
		}
		var deployment appsv1.Deployment
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &deployment); err != nil {
			t.Fatal(err)
		}
		return append(deployment.Spec.Template.Spec.Containers[0].Args, "--leader-election-namespace="+object.GetNamespace(),
			"--leader-election-lease-duration=10s", "--leader-election-renew-deadline=8s", "--leader-election-retry-period=1s")
	}
	t.Fatal("there is no Deployment")
	return nil
}

// kinds are the CustomResourceDefinitions.
func kinds(objects []*unstructured.Unstructured) []*unstructured.Unstructured {
	return slices.DeleteFunc(slices.Clone(objects), func(object *unstructured.Unstructured) bool {
		return object.GetKind() != "CustomResourceDefinition"
	})
}

// rentals are the instances with their rentals.
func (w *world) rentals() map[string]int64 {
	w.Helper()
	var list warmpool.WarmInstanceList
	if err := plane.Client.List(w.Context(), &list, client.InNamespace(w.namespace)); err != nil {
		w.Fatal(err)
	}
	rentals := map[string]int64{}
	for k := range list.Items {
		if rental := list.Items[k].Status.Rental; rental != nil {
			rentals[string(list.Items[k].UID)] = rental.ID
		}
	}
	return rentals
}

// previous are the objects that the chart before made.
func previous(t *testing.T) []*unstructured.Unstructured {
	t.Helper()
	file, err := os.Open(filepath.Join("testdata", "previous.yaml.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	plain, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(plain)
	if err != nil {
		t.Fatal(err)
	}
	objects, err := render.Parse(string(text))
	if err != nil {
		t.Fatal(err)
	}
	return objects
}

// install does what Helm does with objects: the kinds first, hooks not at all.
func install(t *testing.T, objects []*unstructured.Unstructured) {
	t.Helper()
	for _, kindsFirst := range []bool{true, false} {
		for _, object := range objects {
			_, isHook := object.GetAnnotations()["helm.sh/hook"]
			isKind := object.GetKind() == "CustomResourceDefinition"
			if isHook || isKind != kindsFirst {
				continue
			}
			if isKind {
				replace(t, object)
				continue
			}
			applied := func() error {
				return plane.Client.Apply(context.WithoutCancel(t.Context()), client.ApplyConfigurationFromUnstructured(object.DeepCopy()), client.FieldOwner("helm"))
			}
			g := gomega.NewWithT(t)
			// A kind that has just changed is served a moment later.
			g.Eventually(applied, 30*time.Second, 200*time.Millisecond).Should(gomega.Succeed(), render.Key(object))
		}
	}
}

// replace makes a kind what it is in the chart, and nothing of what it was before:
// the control plane has the kinds of the repository already.
func replace(t *testing.T, object *unstructured.Unstructured) {
	t.Helper()
	current := &unstructured.Unstructured{}
	current.SetGroupVersionKind(object.GroupVersionKind())
	if err := plane.Client.Get(context.WithoutCancel(t.Context()), client.ObjectKeyFromObject(object), current); err != nil {
		t.Fatal(err)
	}
	changed := object.DeepCopy()
	changed.SetResourceVersion(current.GetResourceVersion())
	if err := plane.Client.Update(context.WithoutCancel(t.Context()), changed); err != nil {
		t.Fatal(err)
	}
}
