package integration

import (
	"context"
	"flag"
	"fmt"
	"os"
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
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/operator"
	"github.com/warmpool-dev/warmpool/internal/options"
	"github.com/warmpool-dev/warmpool/internal/simulator"
	"github.com/warmpool-dev/warmpool/internal/testkit"
)

var shared *testkit.ControlPlane

func TestMain(m *testing.M) {
	// The tests wait most of the time: more of them fit on a core than one.
	const least = 5
	flag.Parse()
	// Libraries would otherwise complain that nobody listens to them.
	ctrl.SetLogger(logr.Discard())
	if asked := flag.Lookup("test.parallel"); asked != nil && runtime.GOMAXPROCS(0) < least && asked.Value.String() == strconv.Itoa(runtime.GOMAXPROCS(0)) {
		if err := asked.Value.Set(strconv.Itoa(least)); err != nil {
			panic(err)
		}
	}
	os.Exit(testkit.Main(m, &shared))
}

const (
	// factor is how much faster than the wall the tests run.
	factor = 20
	// apiKey is the simulator's key.
	apiKey = "integration-key"
)

// world is one namespace with an operator, and the Vast.ai that it rents from.
type world struct {
	*testing.T
	gomega.Gomega
	client    client.Client
	namespace string
	clock     *testkit.ScaledClock
	vast      *simulator.Server
	stop      func()
	log       *log
	// relabels is true in tests in which the operator changes labels.
	relabels bool
}

// log holds the operator's last lines, for a test that fails. The first lines of
// a failure are then what failed, and not what led there.
type log struct {
	sync.Mutex
	lines []string
	// leaked: a line held the API key.
	leaked bool
	// shown: the part of the test that failed has shown them.
	shown bool
}

// keptLines is how many lines of the operator are shown after a failure.
const keptLines = 60

// add keeps a line and lets the oldest go.
func (l *log) add(line string) {
	l.Lock()
	defer l.Unlock()
	l.leaked = l.leaked || strings.Contains(line, apiKey)
	if len(l.lines) == keptLines {
		l.lines = l.lines[1:]
	}
	l.lines = append(l.lines, line)
}

// show prints the lines, once.
func (l *log) show(t *testing.T) {
	t.Helper()
	l.Lock()
	defer l.Unlock()
	if l.shown {
		return
	}
	l.shown = true
	t.Logf("the operator's last lines:\n%s", strings.Join(l.lines, "\n"))
}

// expectNoKey fails the test if the operator ever said the API key (I8).
func (l *log) expectNoKey(t *testing.T) {
	t.Helper()
	l.Lock()
	defer l.Unlock()
	if l.leaked {
		t.Error("the operator's log shows the API key")
	}
}

// newWorld starts a simulator and an operator in a namespace of their own.
func newWorld(t *testing.T, configure func(*simulator.Config)) *world {
	t.Helper()
	t.Parallel()
	scheme, err := operator.Scheme()
	if err != nil {
		t.Fatal(err)
	}
	direct, err := client.New(shared.Config, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{T: t, Gomega: gomega.NewWithT(t), client: direct, namespace: shared.Namespace(t), clock: testkit.NewScaledClock(factor), log: &log{}}
	config := simulator.Config{Clock: w.clock, Keys: []string{apiKey}, Seed: 1, Market: market(0.40, 0.40, 0.41, 0.42, 0.43, 0.44)}
	if configure != nil {
		configure(&config)
	}
	vast, err := simulator.Start(context.WithoutCancel(t.Context()), config)
	if err != nil {
		t.Fatal(err)
	}
	w.vast = vast
	t.Cleanup(func() {
		if err := vast.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { w.log.expectNoKey(t) })
	t.Cleanup(w.dumpOnFailure)
	w.startOperator("1", w.logger(), 0)
	return w
}

// market is a frozen market with one machine per price in dollars.
func market(prices ...float64) simulator.Market {
	m := simulator.Market{Frozen: true, Offers: []simulator.OfferSpec{}}
	for k, price := range prices {
		m.Offers = append(m.Offers, simulator.OfferSpec{MachineID: int64(9000 + k), PriceMicros: int64(price * 1e6), Fields: map[string]any{"disk_space": 500.0}})
	}
	return m
}

// startOperator runs an operator until the test ends or stop is called. The wall
// floor is the least wall time before an instance counts as silent.
func (w *world) startOperator(logLevel string, logger logr.Logger, wallFloor time.Duration) {
	w.Helper()
	settings, err := options.ParseManager([]string{
		"--leader-elect=false", "--metrics-bind-address=0", "--health-probe-bind-address=0",
		"--namespaces=" + w.namespace, "--installation-id=inttest", "--vast-base-url=" + w.vast.URL(), "--log-level=" + logLevel,
	}, func(string) (string, bool) { return "", false })
	if err != nil {
		w.Fatal(err)
	}
	config := managerConfig(w.T)
	ctx, cancel := context.WithCancel(context.WithoutCancel(w.Context()))
	var running sync.WaitGroup
	running.Go(func() {
		err := operator.Run(ctx, settings, operator.Environment{
			RESTConfig: config, Logger: logger, Clock: w.clock, WallFloor: wallFloor,
			Registry: prometheus.NewRegistry(), SkipNameValidation: true,
		})
		if err != nil {
			w.Errorf("the operator ended with %v", err)
		}
	})
	w.stop = sync.OnceFunc(func() { cancel(); running.Wait() })
	w.Cleanup(func() { w.stop() })
}

// manager holds the connection of the manager's user, which is made once: the
// role is the same for every world, and two at a time would collide.
var manager struct {
	sync.Mutex
	config *rest.Config
}

func managerConfig(t *testing.T) *rest.Config {
	t.Helper()
	manager.Lock()
	defer manager.Unlock()
	if manager.config == nil {
		manager.config = shared.ManagerRESTConfig(t)
	}
	return rest.CopyConfig(manager.config)
}

// logger keeps what the operator says.
func (w *world) logger() logr.Logger {
	return funcr.New(func(prefix, args string) {
		w.log.add(fmt.Sprintf("%s %s %s", w.clock.Now().Format("15:04:05"), prefix, args))
	}, funcr.Options{Verbosity: 1})
}

// create makes objects.
func (w *world) create(objects ...client.Object) {
	w.Helper()
	for _, object := range objects {
		object.SetNamespace(w.namespace)
		if err := w.client.Create(w.Context(), object); err != nil {
			w.Fatalf("creating %T %s: %v", object, object.GetName(), err)
		}
	}
}

// account is the default account with its Secret.
func account(change func(*warmpool.VastAccount)) []client.Object {
	va := &warmpool.VastAccount{
		ObjectMeta: metav1.ObjectMeta{Name: "default"},
		Spec:       warmpool.VastAccountSpec{CeilingUSDPerHour: "10"},
	}
	if change != nil {
		change(va)
	}
	return []client.Object{
		&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "warmpool-credentials"}, StringData: map[string]string{"VASTAI_API_KEY": apiKey}},
		va,
	}
}

// pool is the smallest pool, with as many replicas and this ceiling.
func pool(replicas int32, ceiling warmpool.USD) *warmpool.WarmPool {
	return &warmpool.WarmPool{
		ObjectMeta: metav1.ObjectMeta{Name: "sdxl"},
		Spec:       warmpool.WarmPoolSpec{Replicas: new(replicas), Cost: warmpool.PoolCost{CeilingUSDPerHour: ceiling}},
	}
}

// patience is how long a test waits on the wall.
const patience = 90 * time.Second

// eventually waits until check passes.
func (w *world) eventually(check func(g gomega.Gomega)) {
	w.Helper()
	w.Eventually(check, patience, 100*time.Millisecond).Should(gomega.Succeed())
}

// get reads the pool.
func (w *world) get() *warmpool.WarmPool {
	var wp warmpool.WarmPool
	if err := w.client.Get(context.WithoutCancel(w.Context()), client.ObjectKey{Namespace: w.namespace, Name: "sdxl"}, &wp); err != nil {
		w.Logf("reading the pool: %v", err)
	}
	return &wp
}

// instances reads the WarmInstances.
func (w *world) instances() []warmpool.WarmInstance {
	var list warmpool.WarmInstanceList
	if err := w.client.List(context.WithoutCancel(w.Context()), &list, client.InNamespace(w.namespace)); err != nil {
		w.Logf("listing instances: %v", err)
	}
	return list.Items
}

// condition is "status/reason" of a condition, and its message.
func condition(conditions []metav1.Condition, kind string) (answer, message string) {
	c := meta.FindStatusCondition(conditions, kind)
	if c == nil {
		return "", ""
	}
	return string(c.Status) + "/" + c.Reason, c.Message
}

// waitReady waits until the pool has this many ready instances and is content.
func (w *world) waitReady(ready int32) {
	w.Helper()
	w.eventually(func(g gomega.Gomega) { g.Expect(w.get().Status.ReadyReplicas).To(gomega.Equal(ready)) })
}

// deletePool deletes the pool and waits until it is gone.
func (w *world) deletePool() {
	w.Helper()
	if err := w.client.Delete(w.Context(), w.get()); err != nil {
		w.Fatal(err)
	}
	w.eventually(func(g gomega.Gomega) {
		g.Expect(w.get().Name).To(gomega.BeEmpty())
	})
}

// events reads the reasons of the events of the namespace.
func (w *world) events() []string {
	var list eventsv1.EventList
	if err := w.client.List(context.WithoutCancel(w.Context()), &list, client.InNamespace(w.namespace)); err != nil {
		w.Logf("listing events: %v", err)
	}
	var seen []string
	for _, event := range list.Items {
		seen = append(seen, event.Regarding.Kind+"/"+event.Reason)
	}
	return seen
}

// dumpOnFailure prints what a person would look at, unless a part of the test
// has done so.
func (w *world) dumpOnFailure() {
	if !w.Failed() || w.log.shown {
		return
	}
	wp := w.get()
	wp.ManagedFields = nil
	text, _ := yaml.Marshal(wp.Status)
	w.Logf("pool status:\n%s", text)
	for _, instance := range w.instances() {
		text, _ := yaml.Marshal(instance.Status)
		w.Logf("instance %s (deleting %v):\n%s", instance.Name, instance.DeletionTimestamp, text)
	}
	var va warmpool.VastAccount
	if err := w.client.Get(context.WithoutCancel(w.Context()), client.ObjectKey{Namespace: w.namespace, Name: "default"}, &va); err == nil {
		text, _ := yaml.Marshal(va.Status)
		w.Logf("account status:\n%s", text)
	}
	for _, r := range w.vast.Meter().Records {
		w.Logf("meter: rental %d, machine %d, label %s, from %s to %s %s", r.ID, r.MachineID, r.Label,
			r.Start.Format(time.TimeOnly), r.End.Format(time.TimeOnly), r.EndReason)
	}
	w.Logf("events: %v", w.events())
	w.log.show(w.T)
}
