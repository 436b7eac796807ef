package crash

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/fleet"
	"github.com/warmpool-dev/warmpool/internal/simulator"
	"github.com/warmpool-dev/warmpool/internal/simulator/comfysim"
	"github.com/warmpool-dev/warmpool/internal/testkit"
)

const (
	apiKey       = "crash-test-key"
	installation = "crash"
	// salt signs the audit logs.
	salt = "5f2d1c9b8a7e6034-of-crashes"
	// ours starts the labels of all rentals of the operator.
	ours = "wp1." + installation + "."
	// replicas is one more than the ceiling affords: a reservation that is lost
	// in a crash is spent by the instance that waits.
	replicas, affordable = 3, 2
	// The offers cost 0.40 to 0.42: any two of them fit, no three do.
	ceiling       = warmpool.USD("0.85")
	ceilingMicros = 850_000
	// patience is how long a test waits on the wall.
	patience = 2 * time.Minute
	poll     = 100 * time.Millisecond
)

// roles lets one test at a time write the manager's roles: at the same time
// they would get into each other's way.
var roles sync.Mutex

// asManager connects as the manager's user, who may hold leases in the given
// namespaces.
func asManager(t *testing.T, leaseNamespaces ...string) *rest.Config {
	t.Helper()
	roles.Lock()
	defer roles.Unlock()
	return shared.ManagerRESTConfig(t, leaseNamespaces...)
}

// world is one namespace, the Vast.ai that it rents from, and the operator's lives.
type world struct {
	*testing.T
	gomega.Gomega
	namespace string
	clock     *testkit.ScaledClock
	vast      *simulator.Server
	gate      *gate
	doors     *doors
	output    *transcript
	// mu guards manager: a trap kills it from a request of its own.
	mu      sync.Mutex
	manager *manager
	lives   int
	// pollSeconds is the time between two sweeps.
	pollSeconds int32
	// auditDirectory keeps the audit log of all lives, empty for none.
	auditDirectory string
	// firstLeader is the identity of the operator that led first.
	firstLeader string
}

// newWorld starts a simulator and the proxies. No operator runs yet.
func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{
		T: t, Gomega: gomega.NewWithT(t), namespace: shared.Namespace(t),
		clock: testkit.NewScaledClock(factor), gate: newGate(), output: &transcript{}, pollSeconds: 10,
	}
	vast, err := simulator.Start(context.WithoutCancel(t.Context()), simulator.Config{
		Clock: w.clock, Keys: []string{apiKey}, Seed: 1, Market: market(), Provisioning: quickLife(), Backend: quickComfy(),
		// A millisecond between two processes is 30 on their clock: calls that
		// leave in time would arrive too early.
		RateLimits: simulator.RateLimits{Disabled: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	w.vast = vast
	t.Cleanup(func() {
		if err := vast.Close(); err != nil {
			t.Error(err)
		}
	})
	w.doors = w.open(asManager(t))
	t.Cleanup(w.end)
	return w
}

// open makes proxies that lead to this world.
func (w *world) open(cluster *rest.Config) *doors {
	w.Helper()
	opened, err := newDoors(w.gate, cluster, w.vast.URL())
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(opened.close)
	return opened
}

// end ends the operator and says what there was to see.
func (w *world) end() {
	if w.manager != nil {
		if w.manager.isGone() && !w.manager.ordered.Load() {
			w.Errorf("the operator ended by itself: %v", w.manager.outcome)
		}
		w.manager.kill()
	}
	if w.output.has(apiKey) {
		w.Error("the operator printed the API key")
	}
	if w.output.has("DATA RACE") {
		w.Error("the race detector found something in the operator")
	}
	if w.Failed() {
		w.dump()
	}
}

// market has eight machines; any two offers fit under the ceiling.
func market() simulator.Market {
	m := simulator.Market{Frozen: true}
	for k, price := range []int64{400_000, 400_000, 405_000, 405_000, 410_000, 410_000, 420_000, 420_000} {
		m.Offers = append(m.Offers, simulator.OfferSpec{
			MachineID: int64(9000 + k), PriceMicros: price, Fields: map[string]any{"disk_space": 500.0},
		})
	}
	return m
}

// quickLife shortens what is not the subject here.
func quickLife() *simulator.Provisioning {
	second := simulator.Range{Min: time.Second, Max: time.Second}
	life := simulator.DefaultProvisioning()
	life.Report, life.Create, life.Address, life.Ports, life.Destroy = second, second, second, second, second
	life.Pull = simulator.Range{Min: 3 * time.Second, Max: 3 * time.Second}
	return &life
}

func quickComfy() *simulator.ComfyBackend {
	backend := simulator.NewComfyBackend()
	backend.Timings = comfysim.Timings{
		CaddyUp: time.Second, Provisioning: 2 * time.Second, ComfyStart: 2 * time.Second, DependencyCheck: time.Second,
		FirstCUDA: time.Second, RenderTime: time.Second, ModelLoad: time.Second,
	}
	return backend
}

// startLife starts the operator, again.
func (w *world) startLife() {
	w.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	arguments := []string{"--leader-elect=false", "--namespaces=" + w.namespace}
	if w.auditDirectory != "" {
		arguments = append(arguments, "--audit-dir="+w.auditDirectory, "--audit-head-namespace="+w.namespace)
	}
	life, err := startManager(w.doors, w.clock, w.output, arguments...)
	if err != nil {
		w.Fatal(err)
	}
	w.manager = life
	w.lives++
}

// killAt arms a trap for the life that runs now, or for the next one.
func (w *world) killAt(matches func(*step) bool, after bool) *trap {
	return w.gate.set(&trap{matches: matches, after: after, act: w.kill})
}

// kill is kill -9 of the present life.
func (w *world) kill() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.manager.kill()
}

// wait waits until a trap has sprung.
func (w *world) wait(armed *trap) {
	w.Helper()
	select {
	case <-armed.done:
	case <-time.After(patience):
		w.Fatal("the operator never came to the await point")
	}
}

// create makes the account and the pool.
func (w *world) create() {
	w.Helper()
	meta := func(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Namespace: w.namespace, Name: name} }
	for _, object := range []client.Object{
		&corev1.Secret{ObjectMeta: meta("warmpool-credentials"), StringData: map[string]string{"VASTAI_API_KEY": apiKey}},
		&warmpool.VastAccount{ObjectMeta: meta("default"), Spec: warmpool.VastAccountSpec{CeilingUSDPerHour: ceiling, PollPeriodSeconds: w.pollSeconds}},
		&warmpool.WarmPool{ObjectMeta: meta("sdxl"), Spec: warmpool.WarmPoolSpec{
			Replicas: new(int32(replicas)), Cost: warmpool.PoolCost{CeilingUSDPerHour: ceiling},
		}},
	} {
		if err := shared.Client.Create(w.Context(), object); err != nil {
			w.Fatalf("creating %T %s: %v", object, object.GetName(), err)
		}
	}
}

// remove deletes an object; that it is gone already is no fault.
func (w *world) remove(object client.Object, name string) {
	w.Helper()
	object.SetNamespace(w.namespace)
	object.SetName(name)
	if err := client.IgnoreNotFound(shared.Client.Delete(w.Context(), object)); err != nil {
		w.Fatal(err)
	}
}

// exists reads an object.
func (w *world) exists(object client.Object, name string) bool {
	return shared.Client.Get(context.WithoutCancel(w.Context()), client.ObjectKey{Namespace: w.namespace, Name: name}, object) == nil
}

// list reads all objects of a kind in the namespace.
func (w *world) list(into client.ObjectList) {
	if err := shared.Client.List(context.WithoutCancel(w.Context()), into, client.InNamespace(w.namespace)); err != nil {
		w.Logf("listing %T: %v", into, err)
	}
}

// instances reads the WarmInstances.
func (w *world) instances() []warmpool.WarmInstance {
	var list warmpool.WarmInstanceList
	w.list(&list)
	return list.Items
}

// passwords reads the names of the instances' Secrets.
func (w *world) passwords() []string {
	var list corev1.SecretList
	w.list(&list)
	var names []string
	for k := range list.Items {
		if strings.HasSuffix(list.Items[k].Name, "-auth") {
			names = append(names, list.Items[k].Name)
		}
	}
	return names
}

// eventually waits until check passes.
func (w *world) eventually(check func(g gomega.Gomega)) {
	w.Helper()
	w.Eventually(check, patience, poll).Should(gomega.Succeed())
}

// converge waits until the pool has what its ceiling affords, and every rental
// that lives is on record.
func (w *world) converge() {
	w.Helper()
	w.eventually(func(g gomega.Gomega) {
		var pool warmpool.WarmPool
		g.Expect(w.exists(&pool, "sdxl")).To(gomega.BeTrue())
		g.Expect(pool.Status.ReadyReplicas).To(gomega.BeEquivalentTo(affordable))
		g.Expect(len(w.instances())).To(gomega.BeNumerically("<=", replicas))
		meter := w.vast.Meter()
		g.Expect(meter.Live(ours)).To(gomega.HaveLen(affordable))
		g.Expect(w.unrecorded(&meter)).To(gomega.BeEmpty())
	})
	w.checkMoney()
}

// unrecorded are the live rentals with our label that neither an instance nor
// the list of suspected leaks names (I4).
func (w *world) unrecorded(meter *simulator.Meter) []int64 {
	known := map[int64]bool{}
	for _, instance := range w.instances() {
		if instance.Status.Rental != nil {
			known[instance.Status.Rental.ID] = true
		}
		for k := range instance.Status.Attempts {
			known[instance.Status.Attempts[k].RentalID] = true
		}
	}
	var account warmpool.VastAccount
	if w.exists(&account, "default") {
		for _, leak := range account.Status.SuspectedLeaks {
			known[leak.RentalID] = true
		}
	}
	var missing []int64
	for _, record := range meter.Live(ours) {
		if !known[record.ID] {
			missing = append(missing, record.ID)
		}
	}
	return missing
}

// checkMoney asks the witness about the whole history.
func (w *world) checkMoney() {
	w.Helper()
	meter := w.vast.Meter()
	if double := meter.DoubleRents(ours); len(double) > 0 {
		w.Errorf("rented more than once under one label: %v", double)
	}
	if peak, at := meter.Peak(""); peak > ceilingMicros {
		w.Errorf("at %s rentals of %d µ$/h lived at the same time; the ceiling is %d (I1)", at.Format(time.TimeOnly), peak, ceilingMicros)
	}
	for uid, records := range byInstance(meter.Select(ours)) {
		for k := 1; k < len(records); k++ {
			if before := &records[k-1]; before.Live() || before.End.After(records[k].Start) {
				w.Errorf("instance %s had the rentals %d and %d at the same time (I2)", uid, before.ID, records[k].ID)
			}
		}
	}
}

// byInstance groups rentals by the instance in their label, oldest first.
func byInstance(records []simulator.RentalRecord) map[string][]simulator.RentalRecord {
	groups := map[string][]simulator.RentalRecord{}
	for _, record := range records {
		label, _ := fleet.ParseLabel(record.Label)
		groups[label.InstanceUID] = append(groups[label.InstanceUID], record)
	}
	for _, group := range groups {
		slices.SortFunc(group, func(a, b simulator.RentalRecord) int {
			return cmp.Or(a.Start.Compare(b.Start), cmp.Compare(a.ID, b.ID))
		})
	}
	return groups
}

// expectNothingLeft waits until the pool is gone, then deletes the account, and
// looks for what was left behind.
func (w *world) expectNothingLeft() {
	w.Helper()
	w.eventually(func(g gomega.Gomega) { g.Expect(w.exists(&warmpool.WarmPool{}, "sdxl")).To(gomega.BeFalse()) })
	w.remove(&warmpool.VastAccount{}, "default")
	w.eventually(func(g gomega.Gomega) { g.Expect(w.exists(&warmpool.VastAccount{}, "default")).To(gomega.BeFalse()) })
	w.Expect(w.vast.Meter().Live("")).To(gomega.BeEmpty(), "rentals that live on")
	w.Expect(w.instances()).To(gomega.BeEmpty(), "WarmInstances left")
	w.Expect(w.passwords()).To(gomega.BeEmpty(), "Secrets left")
	w.checkMoney()
	w.checkCovered()
}

// checkCovered fails for a request that is no await point of the table.
func (w *world) checkCovered() {
	w.Helper()
	points, strange := w.gate.seen()
	for _, line := range strange {
		w.Errorf("a request that nobody recognises, so nothing is known of a crash there: %s", line)
	}
	for point := range points {
		if _, covered := awaitPoints()[point]; !covered {
			w.Errorf("the operator came to the await point %q, and no case kills it there", point)
		}
	}
}

// dump prints what a person would look at.
func (w *world) dump() {
	const steps, lines = 120, 150
	var pool warmpool.WarmPool
	if w.exists(&pool, "sdxl") {
		text, _ := yaml.Marshal(pool.Status)
		w.Logf("pool status:\n%s", text)
	}
	for _, instance := range w.instances() {
		text, _ := yaml.Marshal(instance.Status)
		w.Logf("instance %s %s (deleting %v):\n%s", instance.Name, instance.UID, instance.DeletionTimestamp, text)
	}
	var account warmpool.VastAccount
	if w.exists(&account, "default") {
		text, _ := yaml.Marshal(account.Status)
		w.Logf("account status:\n%s", text)
	}
	w.Logf("meter: %+v", w.vast.Meter())
	w.Logf("the last requests:\n%s", w.gate.story(steps))
	w.Logf("the operator said:\n%s", w.output.tail(lines))
}
