package testkit_test

import (
	"os"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/testkit"
)

var plane *testkit.ControlPlane

func TestMain(m *testing.M) { os.Exit(testkit.Main(m, &plane)) }

func TestTheKindsOfThisRepositoryAreServed(t *testing.T) {
	namespace := plane.Namespace(t)
	for name, object := range map[string]client.Object{
		"VastAccount": &v1alpha1.VastAccount{Spec: v1alpha1.VastAccountSpec{CeilingUSDPerHour: "6.00"}},
		"WarmPool":    &v1alpha1.WarmPool{Spec: v1alpha1.WarmPoolSpec{Cost: v1alpha1.PoolCost{CeilingUSDPerHour: "1.50"}}},
		"WarmInstance": &v1alpha1.WarmInstance{Spec: v1alpha1.WarmInstanceSpec{
			PoolRef: v1alpha1.LocalReference{Name: "sdxl"}, AccountRef: v1alpha1.LocalReference{Name: "default"},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			object.SetNamespace(namespace)
			object.SetName("sample")
			if err := plane.Client.Create(t.Context(), object); err != nil {
				t.Fatalf("creating the object: %v", err)
			}
			if err := plane.Client.Get(t.Context(), client.ObjectKeyFromObject(object), object); err != nil {
				t.Fatalf("reading it back: %v", err)
			}
		})
	}
}

func TestTheSamplesAreAccepted(t *testing.T) {
	namespace := plane.Namespace(t)
	for name, path := range map[string]string{
		"kustomization":    "../../config/samples/",
		"pool with models": "../../config/samples/warmpool-models.yaml",
		"pools of a guide": "../../docs/examples/pools",
	} {
		t.Run(name, func(t *testing.T) {
			flag := "-f"
			if strings.HasSuffix(path, "/") {
				flag = "-k"
			}
			output := plane.Kubectl(t, "apply", "--namespace", namespace, flag, path)
			if !strings.Contains(output, "created") {
				t.Errorf("kubectl apply printed %q, want an object that was created", output)
			}
		})
	}
}

func TestConfigDefaultIsAccepted(t *testing.T) {
	plane.Kubectl(t, "apply", "--server-side", "-k", "../../config/default")
	output := plane.Kubectl(t, "get", "deployment", "warmpool-manager", "--namespace", "warmpool-system", "-o", "name")
	if !strings.Contains(output, "warmpool-manager") {
		t.Errorf("config/default made %q, want the Deployment of the manager", output)
	}
}

func TestNamespacesDiffer(t *testing.T) {
	if first, second := plane.Namespace(t), plane.Namespace(t); first == second {
		t.Errorf("two namespaces have the name %q", first)
	}
}

func TestManagerHasExactlyTheGeneratedRole(t *testing.T) {
	namespace := plane.Namespace(t)
	manager := clientFor(t, plane.ManagerRESTConfig(t))

	if err := manager.List(t.Context(), &v1alpha1.WarmPoolList{}); err != nil {
		t.Errorf("listing pools, which the role allows: %v", err)
	}
	pool := &v1alpha1.WarmPool{
		ObjectMeta: metav1.ObjectMeta{Name: "forbidden", Namespace: namespace},
		Spec:       v1alpha1.WarmPoolSpec{Cost: v1alpha1.PoolCost{CeilingUSDPerHour: "1.50"}},
	}
	for name, err := range map[string]error{
		"creating a pool":      manager.Create(t.Context(), pool),
		"listing deployments":  manager.List(t.Context(), &appsv1.DeploymentList{}),
		"deleting a namespace": manager.Delete(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}),
	} {
		if !apierrors.IsForbidden(err) {
			t.Errorf("%s gave %v, want it forbidden", name, err)
		}
	}
}

func TestManagerMayHoldALeaseOnlyWhereAsked(t *testing.T) {
	granted, other := plane.Namespace(t), plane.Namespace(t)
	manager := clientFor(t, plane.ManagerRESTConfig(t, granted))

	if err := manager.Create(t.Context(), lease(granted)); err != nil {
		t.Errorf("creating a lease in the granted namespace: %v", err)
	}
	if err := manager.Create(t.Context(), lease(other)); !apierrors.IsForbidden(err) {
		t.Errorf("creating a lease elsewhere gave %v, want it forbidden", err)
	}
}

func lease(namespace string) *coordinationv1.Lease {
	return &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: "warmpool", Namespace: namespace}}
}

func clientFor(t *testing.T, config *rest.Config) client.Client {
	t.Helper()
	made, err := client.New(config, client.Options{Scheme: plane.Scheme})
	if err != nil {
		t.Fatal(err)
	}
	return made
}
