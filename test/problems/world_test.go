package problems

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/controllers"
	"github.com/warmpool-dev/warmpool/internal/fleet"
	"github.com/warmpool-dev/warmpool/internal/simulator"
)

const (
	testKey      = "problems-key"
	installation = "problems"
	namespace    = "studio"
	// ours starts the labels of all rentals of the operator.
	ours = "wp1." + installation + "."
	// price is what every offer costs; pollPeriod is the time between two sweeps.
	priceMicros = 400_000
	pollPeriod  = 15 * time.Second
)

// world is an account at Vast.ai, a cluster, and one operator.
type world struct {
	*testing.T
	clock   *clocktesting.FakeClock
	cluster *cluster
	vast    *vast
	*desk
}

// desk is one operator process: its controllers and all that they remember.
type desk struct {
	clock   *deskClock
	cache   *cached
	account *controllers.VastAccountReconciler
	pool    *controllers.WarmPoolReconciler
	health  *controllers.WarmInstanceReconciler
	// leads is false while the process may have lost its leadership.
	leads atomic.Bool
	// silent holds the addresses that do not answer the process.
	prober *prober
	events *diary
}

// quickLife shortens what is not the subject here.
func quickLife() *simulator.Provisioning {
	second := simulator.Range{Min: time.Second, Max: time.Second}
	return &simulator.Provisioning{Report: second, Create: second, Pull: second, Address: second, Ports: second, Stop: second, Start: second, Reboot: second, Destroy: second}
}

// idle is a container in which nothing runs.
type idle struct{}

func (idle) Start(context.Context, simulator.BackendSpec) (simulator.BackendInstance, error) {
	return idle{}, nil
}
func (idle) SetFault(string, map[string]string) error { return nil }
func (idle) ClearFault(string)                        {}
func (idle) Stop()                                    {}
func (idle) Logs(int) []string                        { return nil }

// newWorld starts a world with an account and no pool. The market has machines
// of $0.40/h each.
func newWorld(t *testing.T, machines int) *world {
	t.Helper()
	w := &world{T: t, clock: clocktesting.NewFakeClock(epoch()), cluster: newCluster(t)}
	market := simulator.Market{Frozen: true}
	for n := range machines {
		market.Offers = append(market.Offers, simulator.OfferSpec{
			MachineID: int64(9000 + n), PriceMicros: priceMicros, Fields: map[string]any{"disk_space": 500.0},
		})
	}
	server, err := simulator.Start(context.WithoutCancel(t.Context()), simulator.Config{
		Clock: w.clock, Keys: []string{testKey}, Seed: 1, Market: market, Provisioning: quickLife(), Backend: idle{},
		CreditMicros: 1_000_000_000, RateLimits: simulator.RateLimits{Disabled: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	w.vast = &vast{Server: server, clock: &deskClock{FakeClock: w.clock}, at: map[string]func(){}}
	w.desk = w.newDesk()
	w.key(testKey)
	w.create(&warmpool.VastAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "default"}, Spec: warmpool.VastAccountSpec{CeilingUSDPerHour: "10"}})
	return w
}

// newDesk starts an operator process that remembers nothing.
func (w *world) newDesk() *desk {
	w.Helper()
	d := &desk{clock: w.vast.clock, cache: &cached{Client: w.cluster.store, cluster: w.cluster}, prober: &prober{clock: w.vast.clock, silent: map[string]bool{}, queue: map[string]int{}}, events: &diary{}}
	d.leads.Store(true)
	guard := func(context.Context) error {
		if !d.IsFresh() {
			return errors.New("another process may lead")
		}
		return nil
	}
	d.account = &controllers.VastAccountReconciler{
		Client: d.cache, APIReader: w.cluster.store, Connect: w.vast.connect(guard), Lease: d, Events: d.events, Metrics: nobody{},
		Clock: d.clock, InstallationID: installation, Concurrency: 1,
	}
	d.pool = &controllers.WarmPoolReconciler{
		Client: d.cache, APIReader: w.cluster.store, Events: d.events, LastTrustedSweep: d.account.LastTrustedSweep, Clock: d.clock,
	}
	d.health = &controllers.WarmInstanceReconciler{
		Client: d.cache, APIReader: w.cluster.store, Prober: d.prober, LastTrustedSweep: d.account.LastTrustedSweep,
		Events: d.events, Metrics: nobody{}, Clock: d.clock, Concurrency: 1,
	}
	return d
}

// IsFresh implements controllers.Lease.
func (d *desk) IsFresh() bool { return d.leads.Load() }

// restart ends the process and starts another.
func (w *world) restart() { w.desk = w.newDesk() }

// key puts an API key into the account's Secret.
func (w *world) key(value string) {
	w.Helper()
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "warmpool-credentials"}}
	if err := client.IgnoreNotFound(w.cluster.store.Delete(w.Context(), secret)); err != nil {
		w.Fatal(err)
	}
	w.create(&corev1.Secret{ObjectMeta: secret.ObjectMeta, Data: map[string][]byte{"VASTAI_API_KEY": []byte(value)}})
}

func (w *world) create(object client.Object) {
	w.Helper()
	object.SetResourceVersion("")
	if err := w.cluster.store.Create(w.Context(), object); err != nil {
		w.Fatalf("creating %T %s: %v", object, object.GetName(), err)
	}
}

// newPool makes the pool sdxl with a ceiling for the given number of instances.
func (w *world) newPool(replicas, affordable int32) {
	w.Helper()
	w.create(&warmpool.WarmPool{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "sdxl"},
		Spec: warmpool.WarmPoolSpec{Replicas: &replicas, Cost: warmpool.PoolCost{
			CeilingUSDPerHour: warmpool.USD((fleet.USDMicros(priceMicros) * fleet.USDMicros(affordable)).String()),
		}},
	})
}

// edit changes an object.
func edit[T client.Object](w *world, object T, name string, change func(T)) {
	w.Helper()
	if err := w.cluster.store.Get(w.Context(), keyOf(name), object); err != nil {
		w.Fatal(err)
	}
	change(object)
	object.SetGeneration(object.GetGeneration() + 1)
	if err := w.cluster.store.Update(w.Context(), object); err != nil {
		w.Fatal(err)
	}
}

// remove deletes an object, as kubectl does.
func (w *world) remove(object client.Object, name string) {
	w.Helper()
	object.SetNamespace(namespace)
	object.SetName(name)
	if err := client.IgnoreNotFound(w.cluster.store.Delete(w.Context(), object)); err != nil {
		w.Fatal(err)
	}
}

// exists is true while the API server has the object.
func (w *world) exists(object client.Object, name string) bool {
	return w.cluster.store.Get(w.Context(), keyOf(name), object) == nil
}

func keyOf(name string) types.NamespacedName {
	return types.NamespacedName{Namespace: namespace, Name: name}
}

// instances reads the WarmInstances from the API server.
func (w *world) instances() []warmpool.WarmInstance {
	w.Helper()
	var list warmpool.WarmInstanceList
	if err := w.cluster.store.List(w.Context(), &list, client.InNamespace(namespace)); err != nil {
		w.Fatal(err)
	}
	return list.Items
}

// recorded are the rentals that the objects record and that are not known to be gone.
func (w *world) recorded() map[int64]bool {
	w.Helper()
	ids := map[int64]bool{}
	for _, instance := range w.instances() {
		if instance.Status.Rental != nil {
			ids[instance.Status.Rental.ID] = true
		}
		for _, attempt := range instance.Status.Attempts {
			if attempt.RentalID != 0 && !attempt.RentalGone {
				ids[attempt.RentalID] = true
			}
		}
	}
	return ids
}

// live are the operator's rentals that nobody ended, as the witness saw them.
func (w *world) live() []simulator.RentalRecord { return w.vast.Meter().Live(ours) }

// quietly calls a reconcile; an error is logged, as the queue would log it.
func (w *world) quietly(name string, reconciler reconcile.Func, key types.NamespacedName) reconcile.Result {
	w.Helper()
	result, err := reconciler(w.Context(), reconcile.Request{NamespacedName: key})
	if err != nil {
		w.Logf("%s %s: %v", name, key.Name, err)
	}
	return result
}

// pools lets every pool look at its size.
func (w *world) pools() {
	w.Helper()
	var list warmpool.WarmPoolList
	if err := w.cluster.store.List(w.Context(), &list); err != nil {
		w.Fatal(err)
	}
	for k := range list.Items {
		w.quietly("pool", w.pool.Reconcile, client.ObjectKeyFromObject(&list.Items[k]))
	}
}

// sweep reads the account once.
func (w *world) sweep() {
	w.Helper()
	w.quietly("sweep", w.account.Loops()[controllers.LoopSweep], keyOf("default"))
}

// rents lets the renter go on until it has nothing to do.
func (w *world) rents() {
	w.Helper()
	w.repeat("rent", w.account.Loops()[controllers.LoopRent])
}

// ends lets the terminator go on until it has nothing to do.
func (w *world) ends() {
	w.Helper()
	w.repeat("terminate", w.account.Loops()[controllers.LoopTerminate])
}

func (w *world) repeat(name string, loop reconcile.Func) {
	w.Helper()
	const most = 200
	for range most {
		if result := w.quietly(name, loop, keyOf("default")); result.RequeueAfter != time.Millisecond {
			return
		}
	}
	w.Fatalf("%s does not come to an end", name)
}

// probes lets every instance be looked at as often as it is due now.
func (w *world) probes() {
	w.Helper()
	const most = 20
	for _, instance := range w.instances() {
		for range most {
			if result := w.quietly("probe", w.health.Reconcile, client.ObjectKeyFromObject(&instance)); result.RequeueAfter != time.Millisecond {
				break
			}
		}
	}
}

// round is one of everything.
func (w *world) round() {
	w.Helper()
	w.sweep()
	w.probes()
	w.pools()
	w.rents()
	w.ends()
}

// pass lets time go by, with a round in every poll period, and with probes in
// between unless it is long.
func (w *world) pass(d time.Duration) {
	w.Helper()
	const long = 5 * time.Minute
	step := 5 * time.Second
	if d >= long {
		step = pollPeriod
	}
	for end := w.clock.Now().Add(d); w.clock.Now().Before(end); {
		w.round()
		for next := w.clock.Now().Add(pollPeriod); w.clock.Now().Before(next); {
			w.clock.Step(step)
			w.probes()
		}
	}
}

// settle lets time go by until so many instances are ready.
func (w *world) settle(ready int) {
	w.Helper()
	const most = 20
	for range most {
		if w.ready() == ready {
			return
		}
		w.pass(pollPeriod)
	}
	w.dump()
	w.Fatalf("%d instances are ready, want %d", w.ready(), ready)
}

// ready counts the instances that are Ready.
func (w *world) ready() int {
	w.Helper()
	count := 0
	for _, instance := range w.instances() {
		if instance.DeletionTimestamp.IsZero() && meta.IsStatusConditionTrue(instance.Status.Conditions, warmpool.ConditionReady) {
			count++
		}
	}
	return count
}

// answer reads a condition of the account: "False/Reason" and its message.
func (w *world) answer(kind string) (answer, message string) {
	w.Helper()
	var account warmpool.VastAccount
	if !w.exists(&account, "default") {
		w.Fatal("the account is gone")
	}
	found := meta.FindStatusCondition(account.Status.Conditions, kind)
	if found == nil {
		return "", ""
	}
	return string(found.Status) + "/" + found.Reason, found.Message
}

// disturb sets a fault of the simulator.
func (w *world) disturb(spec simulator.FaultSpec) {
	w.Helper()
	if _, err := w.vast.AddFault(spec); err != nil {
		w.Fatal(err)
	}
}

// calm ends all faults.
func (w *world) calm() { w.vast.RemoveFault(0) }

// dump prints what a person would look at.
func (w *world) dump() {
	w.Helper()
	for _, instance := range w.instances() {
		w.Logf("%s deleted=%v attempts=%+v rental=%+v conditions=%+v", instance.Name, instance.DeletionTimestamp, instance.Status.Attempts, instance.Status.Rental, instance.Status.Conditions)
	}
	for _, record := range w.live() {
		w.Logf("rental %d %s lives", record.ID, record.Label)
	}
	w.Log(strings.Join(w.events.all(), "\n"))
}

// diary keeps the events.
type diary struct {
	mu    sync.Mutex
	lines []string
}

// Eventf implements events.EventRecorder.
func (d *diary) Eventf(regarding, _ runtime.Object, _, reason, _, note string, args ...any) { //nolint:revive // client-go's signature
	d.mu.Lock()
	defer d.mu.Unlock()
	name := ""
	if object, ok := regarding.(client.Object); ok {
		name = object.GetName()
	}
	d.lines = append(d.lines, name+" "+reason+": "+fmt.Sprintf(note, args...))
}

func (d *diary) all() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]string{}, d.lines...)
}

// nobody counts nothing.
type nobody struct{}

func (nobody) RentOutcome(string)        {}
func (nobody) Admission(string, string)  {}
func (nobody) RentToReady(time.Duration) {}
func (nobody) Ended(string)              {}

// prober is a ComfyUI on every machine, and the way to it.
type prober struct {
	clock *deskClock
	mu    sync.Mutex
	// blind is true while nothing can be reached.
	blind bool
	// silent holds the addresses that do not answer, queue how much work waits.
	silent map[string]bool
	queue  map[string]int
}

// cut ends, or restores, the way to everything.
func (p *prober) cut(blind bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.blind = blind
}

// work gives every instance so many prompts.
func (p *prober) work(address string, prompts int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.queue[address] = prompts
}

// Probe implements controllers.Prober.
func (p *prober) Probe(_ context.Context, target controllers.InstanceTarget, _ bool) fleet.ProbeResult {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.blind || p.silent[target.Address] {
		return fleet.ProbeResult{Signal: fleet.SignalNoAnswer, Message: "It does not answer.", At: p.clock.Now()}
	}
	return fleet.ProbeResult{Signal: fleet.SignalServing, QueueRemaining: p.queue[target.Address], At: p.clock.Now()}
}

// Portal implements controllers.Prober.
func (p *prober) Portal(context.Context, controllers.InstanceTarget) (*fleet.Portal, error) {
	return nil, errors.New("no portal")
}

// Queue implements controllers.Prober.
func (p *prober) Queue(_ context.Context, target controllers.InstanceTarget) (fleet.QueueResult, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.blind || p.silent[target.Address] {
		return fleet.QueueResult{}, errors.New("no answer")
	}
	return fleet.QueueResult{Running: "a", Pending: max(p.queue[target.Address]-1, 0), At: p.clock.Now()}, nil
}

// Verify implements controllers.Prober.
func (p *prober) Verify(context.Context, controllers.InstanceTarget, fleet.Expectations) fleet.VerifyResult {
	return fleet.VerifyResult{At: p.clock.Now()}
}
