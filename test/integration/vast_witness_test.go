package integration

import (
	"cmp"
	"context"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/onsi/gomega"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/fleet"
	"github.com/warmpool-dev/warmpool/internal/simulator"
	"github.com/warmpool-dev/warmpool/internal/simulator/comfysim"
)

// kind says whose conditions are looked at.
type kind string

// The kinds of a world. Of several instances, any will do.
const (
	thePool     kind = "WarmPool"
	theAccount  kind = "VastAccount"
	anyInstance kind = "WarmInstance"
)

// anyPeak is for tests whose fault itself raises a price.
const anyPeak fleet.USDMicros = math.MaxInt64

// newVastWorld is a world whose rentals are ready within seconds, with an
// account that is swept every five seconds.
func newVastWorld(t *testing.T, configure func(*simulator.Config)) *world {
	t.Helper()
	w := newWorld(t, func(config *simulator.Config) {
		config.Market = market(0.40, 0.40, 0.40, 0.41, 0.41, 0.41, 0.42, 0.42, 0.42, 0.43, 0.43, 0.43)
		hurry(config)
		if configure != nil {
			configure(config)
		}
	})
	return w
}

// hurry shortens what a test would only wait for.
func hurry(config *simulator.Config) {
	short := simulator.Range{Min: time.Second, Max: 3 * time.Second}
	config.Provisioning = &simulator.Provisioning{
		Report: short, Create: short, Pull: simulator.Range{Min: 4 * time.Second, Max: 8 * time.Second},
		Address: short, Ports: short, Stop: short, Start: short, Reboot: short, Destroy: short,
	}
	backend := simulator.NewComfyBackend()
	backend.Timings = comfysim.Timings{
		CaddyUp: 2 * time.Second, Provisioning: 3 * time.Second, ComfyStart: 4 * time.Second, DependencyCheck: time.Second,
		FirstCUDA: time.Second, NodeTime: 15 * time.Millisecond, RenderTime: time.Second, ModelLoad: time.Second,
		WrongPassword: 700 * time.Millisecond,
	}
	config.Backend = backend
}

// swiftAccount is the default account, swept every five seconds.
func swiftAccount() []client.Object {
	return account(func(va *warmpool.VastAccount) { va.Spec.PollPeriodSeconds = 5 })
}

// swiftPool is a pool that waits only shortly after failures.
func swiftPool(replicas int32, ceiling warmpool.USD) *warmpool.WarmPool {
	wp := pool(replicas, ceiling)
	wp.Spec.Remediation.Backoff = warmpool.Backoff{InitialSeconds: 10, MaxSeconds: 60, ResetAfterSeconds: 3600}
	return wp
}

// step runs a part of a test in the same world under a name of its own.
func (w *world) step(name string, run func(w *world)) {
	w.Helper()
	passed := w.Run(name, func(t *testing.T) {
		part := *w
		part.T, part.Gomega = t, gomega.NewWithT(t)
		defer part.dumpOnFailure()
		run(&part)
	})
	if !passed {
		// What follows would only stumble over what this part left behind.
		w.FailNow()
	}
}

// fault sets a fault and returns what lifts it.
func (w *world) fault(spec simulator.FaultSpec) (lift func()) {
	w.Helper()
	set, err := w.vast.AddFault(spec)
	if err != nil {
		w.Fatal(err)
	}
	return func() { w.vast.RemoveFault(set.ID) }
}

// faultOn is a fault of one endpoint, without an end.
func faultOn(endpoint simulator.Endpoint, name string, params map[string]string) simulator.FaultSpec {
	return simulator.FaultSpec{Name: name, Params: params, Match: simulator.Match{Endpoint: endpoint}}
}

// once is a fault that acts a single time.
func once(spec simulator.FaultSpec) simulator.FaultSpec {
	spec.Count = 1
	return spec
}

// vastAccount reads the account.
func (w *world) vastAccount() *warmpool.VastAccount {
	var va warmpool.VastAccount
	if err := w.client.Get(context.WithoutCancel(w.Context()), client.ObjectKey{Namespace: w.namespace, Name: "default"}, &va); err != nil {
		w.Logf("reading the account: %v", err)
	}
	return &va
}

// conditionsOf returns the conditions of every object of a kind.
func (w *world) conditionsOf(whose kind) [][]metav1.Condition {
	switch whose {
	case thePool:
		return [][]metav1.Condition{w.get().Status.Conditions}
	case theAccount:
		return [][]metav1.Condition{w.vastAccount().Status.Conditions}
	default:
		var all [][]metav1.Condition
		for _, instance := range w.instances() {
			all = append(all, instance.Status.Conditions)
		}
		return all
	}
}

// sees waits until a condition says "Status/Reason" and its message contains
// all the parts: this is what a person reads.
func (w *world) sees(whose kind, conditionType, answer string, parts ...string) {
	w.Helper()
	w.eventually(func(g gomega.Gomega) {
		var seen []string
		for _, conditions := range w.conditionsOf(whose) {
			got, message := condition(conditions, conditionType)
			seen = append(seen, got+": "+message)
			if got == answer && containsAll(message, parts) {
				return
			}
		}
		g.Expect(seen).To(gomega.ContainElement(answer+": "+strings.Join(parts, " … ")), "%s %s", whose, conditionType)
	})
}

// sawEvent waits for an event "Kind/Reason" whose note contains all the parts.
func (w *world) sawEvent(name string, parts ...string) {
	w.Helper()
	w.eventually(func(g gomega.Gomega) {
		var list eventsv1.EventList
		g.Expect(w.client.List(context.WithoutCancel(w.Context()), &list, client.InNamespace(w.namespace))).To(gomega.Succeed())
		var seen []string
		for k := range list.Items {
			event := &list.Items[k]
			got := event.Regarding.Kind + "/" + event.Reason
			if got == name && containsAll(event.Note, parts) {
				return
			}
			seen = append(seen, got+": "+event.Note)
		}
		g.Expect(seen).To(gomega.ContainElement(name + ": " + strings.Join(parts, " … ")))
	})
}

func containsAll(text string, parts []string) bool {
	return !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(text, part) })
}

// change updates the pool's spec.
func (w *world) change(edit func(*warmpool.WarmPoolSpec)) {
	w.Helper()
	err := retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		wp := w.get()
		edit(&wp.Spec)
		return w.client.Update(w.Context(), wp)
	})
	if err != nil {
		w.Fatalf("changing the pool: %v", err)
	}
}

// scale sets spec.replicas.
func (w *world) scale(replicas int32) {
	w.Helper()
	w.change(func(spec *warmpool.WarmPoolSpec) { spec.Replicas = new(replicas) })
}

// scaleToNothing ends every instance and waits until all are gone.
func (w *world) scaleToNothing() {
	w.Helper()
	w.scale(0)
	w.eventually(func(g gomega.Gomega) { g.Expect(w.instances()).To(gomega.BeEmpty()) })
}

// alive is the ids of the rentals that nobody ended, by the witness's book.
func (w *world) alive() []int64 {
	ids := []int64{}
	meter := w.vast.Meter()
	for _, record := range meter.Live("") {
		ids = append(ids, record.ID)
	}
	return ids
}

// rents is how many rentals were ever made.
func (w *world) rents() int { return len(w.vast.Meter().Records) }

// quiet lets simulated time pass and demands that nothing is rented or ended
// meanwhile. It waits for an absence, so it has to wait in any case.
func (w *world) quiet(simulated time.Duration) {
	w.Helper()
	alive, rents := w.alive(), w.rents()
	w.Consistently(func(g gomega.Gomega) {
		g.Expect(w.alive()).To(gomega.Equal(alive), "live rentals")
		g.Expect(w.rents()).To(gomega.Equal(rents), "rentals ever made")
	}, w.clock.Wall(simulated), 100*time.Millisecond).Should(gomega.Succeed())
}

// recovers waits until the account can rent and its list is trusted.
func (w *world) recovers() {
	w.Helper()
	w.sees(theAccount, warmpool.ConditionListTrusted, "True/Trusted")
	w.sees(theAccount, warmpool.ConditionReady, "True/Ready")
	w.sees(thePool, warmpool.ConditionAccountReady, "True/AccountReady")
}

// finish deletes the pool and asks the witness.
func (w *world) finish(ceiling fleet.USDMicros) {
	w.Helper()
	w.deletePool()
	w.witness(ceiling)
	if live := w.vast.Meter().Live("wp1."); len(live) > 0 {
		w.Errorf("after the end of the pool %d rentals live: %+v", len(live), live)
	}
}

// witness checks the simulator's book: no label was rented twice, no instance
// ever had two live rentals (I2), the ceiling was kept (I1), nothing ended but
// by our own request or by the fault, and the operator used no call that it
// must not use.
func (w *world) witness(ceiling fleet.USDMicros) {
	w.Helper()
	meter := w.vast.Meter()
	if twice := meter.DoubleRents("wp1."); len(twice) > 0 {
		w.Errorf("labels that were rented twice: %v", twice)
	}
	if peak, at := meter.Peak("wp1."); fleet.USDMicros(peak) > ceiling {
		w.Errorf("at %s the rentals cost %s/h together, the ceiling is %s/h", at.Format(time.TimeOnly), fleet.USDMicros(peak), ceiling)
	}
	byInstance := map[string][]simulator.RentalRecord{}
	for _, record := range meter.Select("wp1.") {
		label, ok := fleet.ParseLabel(record.Label)
		if !ok || label.Installation != "inttest" {
			w.Errorf("rental %d has the label %q", record.ID, record.Label)
		}
		byInstance[label.InstanceUID] = append(byInstance[label.InstanceUID], record)
	}
	for uid, records := range byInstance {
		slices.SortFunc(records, func(a, b simulator.RentalRecord) int {
			return cmp.Or(a.Start.Compare(b.Start), cmp.Compare(a.ID, b.ID))
		})
		for k := range records[1:] {
			if before, after := &records[k], &records[k+1]; before.Live() || before.End.After(after.Start) {
				w.Errorf("instance %s has rentals %d and %d at the same time", uid, before.ID, after.ID)
			}
		}
	}
	for _, never := range neverCalled() {
		if never == simulator.EndpointUpdate && w.relabels {
			continue
		}
		if calls := w.vast.Requests()[string(never)]; len(calls) > 0 {
			w.Errorf("the operator called %s: %v", never, calls)
		}
	}
}

// neverCalled are the endpoints that the operator has no business with: the
// retired list, stopping and starting, bids, and everything about billing. A label
// may be put back in tests that change one.
func neverCalled() []simulator.Endpoint {
	return []simulator.Endpoint{
		simulator.EndpointListV0, simulator.EndpointUpdate, simulator.EndpointUpdateMany, simulator.EndpointDestroyMany,
		simulator.EndpointReboot, simulator.EndpointRecycle, simulator.EndpointBid, simulator.EndpointLaunch,
		simulator.EndpointCharges,
	}
}
