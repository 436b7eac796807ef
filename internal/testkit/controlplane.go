package testkit

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/warmpool-dev/warmpool/api/v1alpha1"
)

// ControlPlane is a running etcd and kube-apiserver with the CRDs of this
// repository. Its methods may be called from several tests at once.
type ControlPlane struct {
	// Config connects as the administrator. Copy it before changing it.
	Config *rest.Config
	// Client acts as the administrator, without a cache.
	Client client.Client
	// Scheme knows the built-in kinds and those of this repository.
	Scheme *runtime.Scheme

	root        string
	assets      string
	environment *envtest.Environment
}

// Runner is what Main needs of *testing.M.
type Runner interface {
	// Run runs the tests and returns an exit code.
	Run() int
}

// StartControlPlane starts a control plane that ends with the test. It takes
// about four seconds, so a package with several tests shares one through Main.
// It fails the test when the programs are missing; it never skips.
func StartControlPlane(tb testing.TB) *ControlPlane {
	tb.Helper()
	plane, err := start()
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := plane.stop(); err != nil {
			tb.Error(err)
		}
	})
	return plane
}

// Main starts one control plane for all tests of a package, stores it in shared,
// runs the tests, stops it, and then fails if a goroutine is left over. It
// returns the exit code:
//
//	var plane *testkit.ControlPlane
//
//	func TestMain(m *testing.M) { os.Exit(testkit.Main(m, &plane)) }
func Main(tests Runner, shared **ControlPlane) int {
	plane, err := start()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	*shared = plane
	code := tests.Run()
	if err := plane.stop(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if code != 0 {
		return code
	}
	if err := goleak.Find(); err != nil {
		fmt.Fprintln(os.Stderr, "The tests passed and left goroutines behind:", err)
		return 1
	}
	return 0
}

// Namespace makes a namespace with a name of its own and returns the name. It
// stays until the control plane ends, because nothing here deletes namespaces.
func (p *ControlPlane) Namespace(tb testing.TB) string {
	tb.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"}}
	if err := p.Client.Create(tb.Context(), namespace); err != nil {
		tb.Fatalf("creating a namespace: %v", err)
	}
	return namespace.Name
}

// start brings a control plane up, or leaves nothing behind.
func start() (*ControlPlane, error) {
	root, err := repositoryRoot()
	if err != nil {
		return nil, err
	}
	override, _ := os.LookupEnv(assetsVariable)
	assets, err := assetsDirectory(root, override)
	if err != nil {
		return nil, err
	}
	plane := &ControlPlane{root: root, assets: assets, Scheme: runtime.NewScheme()}
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err = add(plane.Scheme); err != nil {
			return nil, fmt.Errorf("registering kinds: %w", err)
		}
	}
	plane.environment = &envtest.Environment{
		Scheme:                plane.Scheme,
		BinaryAssetsDirectory: assets,
		CRDDirectoryPaths:     []string{filepath.Join(root, "config", "crd")},
		ErrorIfCRDPathMissing: true,
		// Two cores may be busy with the race detector of other packages.
		ControlPlaneStartTimeout: startTimeout,
		ControlPlaneStopTimeout:  startTimeout,
	}
	if plane.Config, err = plane.environment.Start(); err != nil {
		return nil, stopAfter(plane, fmt.Errorf("starting the control plane: %w", err))
	}
	if plane.Client, err = client.New(plane.Config, client.Options{Scheme: plane.Scheme}); err != nil {
		return nil, stopAfter(plane, fmt.Errorf("connecting to the control plane: %w", err))
	}
	return plane, nil
}

// stop ends the API server before etcd: without etcd it would hang in its shutdown.
func (p *ControlPlane) stop() error {
	if err := p.environment.Stop(); err != nil {
		return fmt.Errorf("stopping the control plane: %w", err)
	}
	return nil
}
