package integration

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/fleet"
	"github.com/warmpool-dev/warmpool/internal/simulator"
	"github.com/warmpool-dev/warmpool/internal/simulator/comfysim"
)

// comfyCeiling is the ceiling of every pool of these tests: two machines, while
// one ends and the other begins, and not three.
const comfyCeiling = 1_000_000

// comfyModel is a model that provisioning fetches, and its size.
const (
	comfyModel     = "sdxl.safetensors"
	comfyModelSize = 6 << 30
)

// comfyWorld is a world with one account and a pool for each case, each with a
// market of two machines of its own, so that many faults happen side by side.
type comfyWorld struct {
	*world
	diary *comfyDiary
	order []string
}

// newComfyWorld starts a world for the pools of these names.
func newComfyWorld(t *testing.T, names []string, change func(*simulator.ComfyBackend)) *comfyWorld {
	t.Helper()
	slices.Sort(names)
	w := newWorld(t, func(config *simulator.Config) {
		config.CreditMicros = 10_000_000_000
		config.Market = simulator.Market{Frozen: true, Offers: []simulator.OfferSpec{}}
		for k := range names {
			for n, micros := range []int64{400_000, 420_000} {
				config.Market.Offers = append(config.Market.Offers, simulator.OfferSpec{
					MachineID: comfyMachine(k, n), PriceMicros: micros, Fields: map[string]any{"disk_space": 500.0},
				})
			}
		}
		short := simulator.Range{Min: time.Second, Max: 2 * time.Second}
		config.Provisioning = &simulator.Provisioning{
			Report: short, Create: short, Pull: simulator.Range{Min: 3 * time.Second, Max: 5 * time.Second},
			Address: short, Ports: short, Stop: short, Start: short, Reboot: short, Destroy: short,
		}
		backend := comfyBackend()
		if change != nil {
			change(backend)
		}
		config.Backend = backend
	})
	diary := newComfyDiary(w)
	started := &comfyWorld{world: w, diary: diary, order: names}
	started.comfyOperator("1", w.logger())
	w.create(account(func(va *warmpool.VastAccount) {
		va.Spec.CeilingUSDPerHour, va.Spec.PollPeriodSeconds = "100", 5
	})...)
	return started
}

// comfyWallFloor is the least wall time before an instance counts as silent:
// seconds of the fast clock are milliseconds of a machine that may be busy.
const comfyWallFloor = time.Second

// comfyOperator replaces the operator by one that does not take a busy test
// machine for a silent instance, and that logs elsewhere.
func (w *comfyWorld) comfyOperator(logLevel string, logger logr.Logger) {
	w.Helper()
	w.stop()
	w.startOperator(logLevel, logger, comfyWallFloor)
}

// comfyBackend boots within seconds, has a model and nodes that take their time.
func comfyBackend() *simulator.ComfyBackend {
	return &simulator.ComfyBackend{
		Timings: comfysim.Timings{
			CaddyUp: 2 * time.Second, Provisioning: 6 * time.Second, ComfyStart: 6 * time.Second, DependencyCheck: time.Second,
			FirstCUDA: time.Second, NodeTime: 15 * time.Millisecond, RenderTime: time.Second, ModelLoad: time.Second,
			WrongPassword: 700 * time.Millisecond,
		},
		Models: map[string][]comfysim.ModelFile{"checkpoints": {{Name: comfyModel, SizeBytes: comfyModelSize}}},
		Nodes: []comfysim.NodeSpec{
			{Class: comfyShortWork, Required: map[string]string{"seed": "INT"}, OutputNode: true, GPU: true, Duration: 60 * time.Second},
			{Class: comfyLongWork, Required: map[string]string{"seed": "INT"}, OutputNode: true, GPU: true, Duration: time.Hour},
		},
	}
}

// comfyMachine is the n-th machine of the k-th pool.
func comfyMachine(k, n int) int64 { return int64(20_000 + 10*k + n) }

// machine is the n-th machine that the pool may rent, from 0, the cheapest first.
func (w *comfyWorld) machine(pool string, n int) int64 {
	return comfyMachine(slices.Index(w.order, pool), n)
}

// newPool makes the pool of a case.
func (w *comfyWorld) newPool(name string, edit func(*warmpool.WarmPoolSpec)) {
	w.Helper()
	wp := pool(1, "1.00")
	wp.Name = name
	wp.Spec.Probes = warmpool.Probes{PeriodSeconds: 5, FailureThreshold: 2, BusySilenceSeconds: 30, MaxPromptSeconds: 60, ReproveSeconds: 60}
	wp.Spec.Lifecycle = warmpool.Lifecycle{ProvisioningDeadlineSeconds: 300, StartupDeadlineSeconds: 240}
	wp.Spec.Remediation.Backoff = warmpool.Backoff{InitialSeconds: 120, MaxSeconds: 7200, ResetAfterSeconds: 7200}
	wp.Spec.Offers.Extra = []warmpool.OfferFilter{{Key: "machine_id", Operator: warmpool.OperatorIn, Values: []string{
		strconv.FormatInt(w.machine(name, 0), 10), strconv.FormatInt(w.machine(name, 1), 10),
	}}}
	if edit != nil {
		edit(&wp.Spec)
	}
	w.create(wp)
}

// pool reads the pool of a case.
func (w *comfyWorld) pool(name string) *warmpool.WarmPool {
	var wp warmpool.WarmPool
	if err := w.client.Get(context.WithoutCancel(w.Context()), client.ObjectKey{Namespace: w.namespace, Name: name}, &wp); err != nil {
		w.Logf("reading pool %s: %v", name, err)
	}
	return &wp
}

// instancesOf reads the WarmInstances of a pool that are not ending.
func (w *comfyWorld) instancesOf(pool string) []warmpool.WarmInstance {
	return slices.DeleteFunc(w.instances(), func(i warmpool.WarmInstance) bool {
		return i.Spec.PoolRef.Name != pool || !i.DeletionTimestamp.IsZero()
	})
}

// ready waits until the pool has so many ready instances and returns them.
func (w *comfyWorld) ready(pool string, count int) []warmpool.WarmInstance {
	w.Helper()
	var ready []warmpool.WarmInstance
	w.eventually(func(g gomega.Gomega) {
		ready = slices.DeleteFunc(w.instancesOf(pool), func(i warmpool.WarmInstance) bool {
			return !meta.IsStatusConditionTrue(i.Status.Conditions, warmpool.ConditionReady)
		})
		g.Expect(ready).To(gomega.HaveLen(count), "ready instances of %s", pool)
		g.Expect(int(w.pool(pool).Status.ReadyReplicas)).To(gomega.Equal(count), "readyReplicas of %s", pool)
	})
	return ready
}

// rentals are the witness's records of a pool, oldest first.
func (w *comfyWorld) rentals(pool string) []simulator.RentalRecord {
	records := slices.DeleteFunc(w.vast.Meter().Records, func(r simulator.RentalRecord) bool {
		return r.MachineID != w.machine(pool, 0) && r.MachineID != w.machine(pool, 1)
	})
	slices.SortFunc(records, func(a, b simulator.RentalRecord) int {
		return cmp.Or(a.Start.Compare(b.Start), cmp.Compare(a.ID, b.ID))
	})
	return records
}

// comfyAccount reads the account.
func (w *comfyWorld) comfyAccount() *warmpool.VastAccount {
	var va warmpool.VastAccount
	if err := w.client.Get(context.WithoutCancel(w.Context()), client.ObjectKey{Namespace: w.namespace, Name: "default"}, &va); err != nil {
		w.Logf("reading the account: %v", err)
	}
	return &va
}

// takeAway takes a machine from the market as soon as it is rented, so that the
// next rent is on another one whoever is cheaper.
func (w *comfyWorld) takeAway(pool string) {
	w.Helper()
	w.eventually(func(g gomega.Gomega) { g.Expect(w.rentals(pool)).NotTo(gomega.BeEmpty()) })
	if err := w.vast.ChangeMachine(simulator.MachineChange{ID: w.machine(pool, 0), Absent: new(true)}); err != nil {
		w.Fatal(err)
	}
}

// setFault breaks the ComfyUI of a rental that runs.
func (w *comfyWorld) setFault(rental int64, name string, params map[string]string) {
	w.Helper()
	if err := w.vast.SetBackendFault(rental, simulator.BackendFault{Name: name, Params: params}); err != nil {
		w.Fatal(err)
	}
}

func (w *comfyWorld) clearFault(rental int64, name string) {
	w.Helper()
	if err := w.vast.ClearBackendFault(rental, name); err != nil {
		w.Fatal(err)
	}
}

// event waits for an event of a pool or of an instance of it, "Kind/Reason",
// whose note contains the part.
func (w *comfyWorld) event(pool, name, part string) {
	w.Helper()
	w.eventually(func(g gomega.Gomega) {
		var list eventsv1.EventList
		g.Expect(w.client.List(context.WithoutCancel(w.Context()), &list, client.InNamespace(w.namespace))).To(gomega.Succeed())
		var seen []string
		for k := range list.Items {
			event := &list.Items[k]
			if event.Regarding.Name != pool && !strings.HasPrefix(event.Regarding.Name, pool+"-") {
				continue
			}
			got := event.Regarding.Kind + "/" + event.Reason
			if got == name && strings.Contains(event.Note, part) {
				return
			}
			seen = append(seen, got+": "+event.Note)
		}
		g.Expect(seen).To(gomega.ContainElement(name+": … "+part), "events of pool %s", pool)
	})
}

// step runs a part of a test for one pool, and shows that pool when it fails.
func (w *comfyWorld) step(name string, run func(w *comfyWorld)) {
	w.Run(name, func(t *testing.T) {
		part := *w.world
		part.T, part.Gomega = t, gomega.NewWithT(t)
		step := &comfyWorld{world: &part, diary: w.diary, order: w.order}
		defer func() {
			if t.Failed() {
				step.dump(name)
			}
		}()
		run(step)
	})
}

// dump prints what a person would look at.
func (w *comfyWorld) dump(pool string) {
	for _, line := range w.diary.lines(pool) {
		w.Log(line)
	}
	text, err := yaml.Marshal(w.pool(pool).Status)
	w.Logf("pool %s (%v):\n%s", pool, err, text)
	for _, record := range w.rentals(pool) {
		w.Logf("rental %d on machine %d, %s to %s (%s)", record.ID, record.MachineID, record.Start.Format(time.TimeOnly), record.End.Format(time.TimeOnly), record.EndReason)
	}
	w.log.show(w.T)
}

// finish deletes every pool, waits for their end and asks the witness: no label
// rented twice, at most one live rental for an instance at any time (I2), every
// pool under its ceiling (I1), nothing left over.
func (w *comfyWorld) finish() {
	w.Helper()
	for _, name := range w.order {
		if wp := w.pool(name); wp.Name == "" {
			continue // its machines were lent to another pool
		} else if err := w.client.Delete(w.Context(), wp); err != nil {
			w.Errorf("deleting pool %s: %v", name, err)
		}
	}
	w.eventually(func(g gomega.Gomega) {
		var pools warmpool.WarmPoolList
		g.Expect(w.client.List(w.Context(), &pools, client.InNamespace(w.namespace))).To(gomega.Succeed())
		g.Expect(pools.Items).To(gomega.BeEmpty())
	})
	meter := w.vast.Meter()
	w.Expect(meter.Live("")).To(gomega.BeEmpty(), "live rentals after the end of all pools")
	w.Expect(meter.DoubleRents("")).To(gomega.BeEmpty(), "labels that were rented twice")
	for _, name := range w.order {
		records := w.rentals(name)
		if peak, at := (simulator.Meter{Now: meter.Now, Records: records}).Peak(""); peak > comfyCeiling {
			w.Errorf("at %s pool %s cost %s/h", at.Format(time.TimeOnly), name, fleet.USDMicros(peak))
		}
		w.oneRentalEach(name, records)
	}
	w.Expect(w.diary.unproven).To(gomega.BeEmpty(), "instances that were Ready without status.lastProofTime")
	w.diary.expectNoPassword(w.world)
}

// oneRentalEach checks that no instance had two rentals at the same time.
func (w *comfyWorld) oneRentalEach(pool string, records []simulator.RentalRecord) {
	w.Helper()
	last := map[string]simulator.RentalRecord{}
	for _, record := range records {
		label, ok := fleet.ParseLabel(record.Label)
		if !ok || label.Installation != "inttest" {
			w.Errorf("pool %s: rental %d has the label %q", pool, record.ID, record.Label)
		}
		if before, again := last[label.InstanceUID]; again && (before.Live() || before.End.After(record.Start)) {
			w.Errorf("pool %s: an instance has rentals %d and %d at the same time", pool, before.ID, record.ID)
		}
		last[label.InstanceUID] = record
	}
}

// comfyDiary writes down every state that anybody watching the objects could
// have seen. Polling would miss those that last for moments only.
type comfyDiary struct {
	mu    sync.Mutex
	seen  []comfySight
	known map[comfySight]bool
	// texts are the objects as JSON, each version once.
	texts map[string]bool
	// passwords are those of the instances.
	passwords map[string]bool
	failures  map[string][]warmpool.InstanceFailure
	// unproven are instances that were Ready and did not say when they proved it.
	unproven map[string]bool
}

// comfySight is one answer of one condition of a pool or of an instance of it.
type comfySight struct {
	kind, pool, condition, answer, message string
}

// newComfyDiary watches the namespace until the test ends.
func newComfyDiary(w *world) *comfyDiary {
	w.Helper()
	d := &comfyDiary{
		known: map[comfySight]bool{}, texts: map[string]bool{}, passwords: map[string]bool{},
		failures: map[string][]warmpool.InstanceFailure{}, unproven: map[string]bool{},
	}
	watcher, err := client.NewWithWatch(shared.Config, client.Options{Scheme: w.client.Scheme()})
	if err != nil {
		w.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(w.Context()))
	var running sync.WaitGroup
	w.Cleanup(func() { cancel(); running.Wait() })
	for _, list := range []client.ObjectList{&warmpool.WarmInstanceList{}, &warmpool.WarmPoolList{}, &warmpool.VastAccountList{}, &corev1.SecretList{}, &eventsv1.EventList{}} {
		stream, err := watcher.Watch(ctx, list, client.InNamespace(w.namespace))
		if err != nil {
			w.Fatal(err)
		}
		running.Go(func() {
			defer stream.Stop()
			for {
				select {
				case <-ctx.Done():
					return
				case event, open := <-stream.ResultChan():
					if !open {
						return
					}
					if object, ok := event.Object.(client.Object); ok {
						d.write(object)
					}
				}
			}
		})
	}
	return d
}

// write notes one version of an object.
func (d *comfyDiary) write(object client.Object) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if secret, ok := object.(*corev1.Secret); ok {
		if password := string(secret.Data[warmpool.SecretKeyWebPassword]); password != "" {
			d.passwords[password] = true
		}
		return
	}
	text, err := json.Marshal(object)
	if err != nil {
		text = []byte(err.Error())
	}
	d.texts[string(text)] = true
	switch object := object.(type) {
	case *warmpool.WarmPool:
		for _, c := range object.Status.Conditions {
			d.note(comfySight{"WarmPool", object.Name, c.Type, string(c.Status) + "/" + c.Reason, c.Message})
		}
	case *warmpool.WarmInstance:
		for _, c := range object.Status.Conditions {
			d.note(comfySight{"WarmInstance", object.Spec.PoolRef.Name, c.Type, string(c.Status) + "/" + c.Reason, c.Message})
		}
		if object.Status.ReadyTime != nil && object.Status.LastProofTime == nil {
			d.unproven[object.Name] = true
		}
		if failure := object.Status.Failure; failure != nil {
			d.failures[object.Spec.PoolRef.Name] = append(d.failures[object.Spec.PoolRef.Name], *failure)
		}
	}
}

func (d *comfyDiary) note(sight comfySight) {
	if !d.known[sight] {
		d.known[sight] = true
		d.seen = append(d.seen, sight)
	}
}

// forget drops what was seen until now.
func (d *comfyDiary) forget() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.seen = nil
	clear(d.known)
}

// secrets are the passwords of all instances.
func (d *comfyDiary) secrets() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Collect(maps.Keys(d.passwords))
}

// saw is true when a condition had this answer at any time, with a message that
// contains the part.
func (d *comfyDiary) saw(want comfySight) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.ContainsFunc(d.seen, func(s comfySight) bool {
		return s.kind == want.kind && s.pool == want.pool && s.condition == want.condition && s.answer == want.answer && strings.Contains(s.message, want.message)
	})
}

// lines are what was seen of a pool, in order.
func (d *comfyDiary) lines(pool string) []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var lines []string
	for _, s := range d.seen {
		if s.pool == pool {
			lines = append(lines, fmt.Sprintf("%s %s=%s: %s", s.kind, s.condition, s.answer, s.message))
		}
	}
	return lines
}

// logTail is the log that was kept with a failure of the pool.
func (d *comfyDiary) logTail(pool string) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, failure := range slices.Backward(d.failures[pool]) {
		if failure.LogTail != "" {
			return failure.LogTail
		}
	}
	return ""
}

// expectNoPassword searches every version of every object, status and event
// for every password of an instance (I8).
func (d *comfyDiary) expectNoPassword(w *world) {
	w.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.passwords) == 0 {
		w.Error("no Secret of an instance was seen")
	}
	for text := range d.texts {
		for password := range d.passwords {
			if strings.Contains(text, password) {
				w.Errorf("a password of an instance is in: %s", strings.ReplaceAll(text, password, "<the password>"))
			}
		}
	}
}
