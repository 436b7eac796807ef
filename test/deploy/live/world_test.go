// Package live tests what installs Warmpool with an operator that runs: against a
// real API server, a simulated Vast.ai, and with the rights of one namespace.
package live

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"github.com/onsi/gomega"
	"github.com/prometheus/client_golang/prometheus"
	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/operator"
	"github.com/warmpool-dev/warmpool/internal/options"
	"github.com/warmpool-dev/warmpool/internal/simulator"
	"github.com/warmpool-dev/warmpool/internal/testkit"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/warmpool-dev/warmpool/test/deploy/internal/render"
)

var plane *testkit.ControlPlane

func TestMain(m *testing.M) {
	// The tests wait most of the time: more of them fit on a core than one.
	const least = 6
	flag.Parse()
	if asked := flag.Lookup("test.parallel"); asked != nil && runtime.GOMAXPROCS(0) < least && asked.Value.String() == strconv.Itoa(runtime.GOMAXPROCS(0)) {
		if err := asked.Value.Set(strconv.Itoa(least)); err != nil {
			panic(err)
		}
	}
	code := testkit.Main(m, &plane)
	// Rights are used by all tests together.
	if code == 0 && flag.Lookup("test.run").Value.String() == "" {
		if unused, err := unusedRights(); err != nil || len(unused) > 0 {
			fmt.Fprintf(os.Stderr, "No test uses these rights of the manager (%v):\n%s\n", err, strings.Join(unused, "\n"))
			code = 1
		}
	}
	os.Exit(code)
}

const (
	// factor is how much faster than the wall the tests run.
	factor = 20
	// patience is how long a test waits on the wall.
	patience = 8 * time.Minute
	// apiKey is the simulator's key.
	apiKey = "deploy-key"
)

// world is a namespace with a Vast.ai of its own; operators come and go.
type world struct {
	*testing.T
	gomega.Gomega
	namespace string
	clock     *testkit.ScaledClock
	vast      *simulator.Server
	config    *rest.Config
	// oldKinds is true while the kinds are those of an older version, which does not
	// say of a new object that nobody has looked at it.
	oldKinds bool

	mu    sync.Mutex
	ended bool
}

func newWorld(t *testing.T, namespace string) *world {
	t.Helper()
	w := &world{T: t, Gomega: gomega.NewWithT(t), namespace: namespace, clock: testkit.NewScaledClock(factor)}
	market := simulator.Market{Frozen: true}
	for k := range int64(6) {
		market.Offers = append(market.Offers, simulator.OfferSpec{MachineID: 9000 + k, PriceMicros: 400_000 + 10_000*k, Fields: map[string]any{"disk_space": 500.0}})
	}
	vast, err := simulator.Start(context.WithoutCancel(t.Context()), simulator.Config{Clock: w.clock, Keys: []string{apiKey}, Seed: 1, Market: market})
	if err != nil {
		t.Fatal(err)
	}
	w.vast = vast
	t.Cleanup(func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.ended = true
		if err := vast.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

// mayWorkInItsNamespace gives operators the Role of config/rbac/namespaced.
func (w *world) mayWorkInItsNamespace() *world {
	w.Helper()
	w.config = plane.RoleRESTConfig(w.T, "manager-of-"+w.namespace, map[string]string{filepath.Join("config", "rbac", "namespaced", "role.yaml"): w.namespace})
	return w
}

// startOperator runs an operator in the namespace of the world until the test ends.
func (w *world) startOperator() {
	w.Helper()
	w.startOperatorWith([]string{"--leader-elect=false", "--namespaces=" + w.namespace, "--installation-id=deploy"})
}

// startOperatorWith is the same with arguments of the caller's, and until stop is called.
func (w *world) startOperatorWith(arguments []string) (stop func()) {
	w.Helper()
	settings, err := options.ParseManager(append(arguments,
		"--metrics-bind-address=0", "--health-probe-bind-address=0", "--log-level=1", "--vast-base-url="+w.vast.URL(),
	), func(string) (string, bool) { return "", false })
	if err != nil {
		w.Fatal(err)
	}
	config := rest.CopyConfig(w.config)
	config.Wrap(recordRights)
	ctx, cancel := context.WithCancel(context.WithoutCancel(w.Context()))
	var running sync.WaitGroup
	running.Go(func() {
		err := operator.Run(ctx, settings, operator.Environment{
			RESTConfig: config, Logger: w.logger(), Clock: w.clock, WallFloor: 10 * time.Second,
			Registry: prometheus.NewRegistry(), SkipNameValidation: true,
		})
		if err != nil {
			w.Errorf("the operator ended with %v", err)
		}
	})
	stop = sync.OnceFunc(func() { cancel(); running.Wait() })
	w.Cleanup(stop)
	return stop
}

// logger writes into the test's log while the test runs.
func (w *world) logger() logr.Logger {
	return funcr.New(func(prefix, text string) {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.ended {
			return
		}
		if strings.Contains(text, apiKey) {
			w.Errorf("the log shows the API key")
		}
		if strings.Contains(text, "forbidden") {
			w.Errorf("the role of one namespace does not suffice: %s", text)
		}
		fmt.Fprintln(w.Output(), w.clock.Now().Format("15:04:05"), prefix, text)
	}, funcr.Options{Verbosity: 1})
}

// secret, account and pool are what a person would apply.
func (w *world) secret() client.Object {
	return &corev1.Secret{ObjectMeta: w.named("warmpool-credentials"), StringData: map[string]string{"VASTAI_API_KEY": apiKey}}
}

func (w *world) account() client.Object {
	return &warmpool.VastAccount{ObjectMeta: w.named("default"), Spec: warmpool.VastAccountSpec{CeilingUSDPerHour: "6.00"}}
}

func (w *world) pool(name string, replicas int32) *warmpool.WarmPool {
	return &warmpool.WarmPool{ObjectMeta: w.named(name), Spec: warmpool.WarmPoolSpec{Replicas: new(replicas), Cost: warmpool.PoolCost{CeilingUSDPerHour: "1.50"}}}
}

func (w *world) named(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: w.namespace, Name: name}
}

func (w *world) create(objects ...client.Object) {
	w.Helper()
	for _, object := range objects {
		if err := plane.Client.Create(w.Context(), object); err != nil {
			w.Fatalf("creating %T %s: %v", object, object.GetName(), err)
		}
	}
}

func (w *world) eventually(check func(g gomega.Gomega)) {
	w.Helper()
	w.Eventually(check, patience, 100*time.Millisecond).Should(gomega.Succeed())
}

// waitReady waits until a pool has this many ready instances.
func (w *world) waitReady(name string, ready int32) {
	w.Helper()
	w.eventually(func(g gomega.Gomega) {
		w.agree()
		var pool warmpool.WarmPool
		g.Expect(plane.Client.Get(w.Context(), client.ObjectKey{Namespace: w.namespace, Name: name}, &pool)).To(gomega.Succeed())
		g.Expect(pool.Status.ReadyReplicas).To(gomega.Equal(ready))
	})
}

// objects are all objects of ours.
func (w *world) objects() []unstructured.Unstructured {
	w.Helper()
	var all []unstructured.Unstructured
	for _, kind := range []string{"VastAccount", "WarmClaim", "WarmInstance", "WarmPool"} {
		var list unstructured.UnstructuredList
		list.SetAPIVersion(warmpool.GroupVersion.String())
		list.SetKind(kind + "List")
		if err := plane.Client.List(w.Context(), &list, client.InNamespace(w.namespace)); err != nil {
			w.Fatal(err)
		}
		all = append(all, list.Items...)
	}
	return all
}

// agree fails when Argo CD and kstatus do not mean the same of an object as it is
// now. An instance that says nothing yet, or was given up, is an exception.
func (w *world) agree() {
	w.Helper()
	if w.oldKinds {
		return
	}
	for _, object := range w.objects() {
		_, failed, _ := unstructured.NestedMap(object.Object, "status", "failure")
		_, told, _ := unstructured.NestedSlice(object.Object, "status", "conditions")
		if object.GetKind() == "WarmInstance" && (failed || !told) {
			continue
		}
		if _, err := render.Agree(&object); err != nil {
			w.Error(err)
		}
	}
}

// writes counts the calls that change something at Vast.ai, answered or not.
func (w *world) writes() map[string]int {
	// Our client reads the announced price increases, and accepts or rejects none.
	reads := []simulator.Endpoint{
		simulator.EndpointSearch, simulator.EndpointList, simulator.EndpointListMeta, simulator.EndpointGet, simulator.EndpointUser,
		simulator.EndpointCharges, simulator.EndpointInvoices, simulator.EndpointPriceIncreases,
	}
	counts := map[string]int{}
	for endpoint, byStatus := range w.vast.Requests() {
		for _, count := range byStatus {
			counts[endpoint] += count
		}
	}
	for _, read := range reads {
		delete(counts, string(read))
	}
	return maps.Clone(counts)
}
