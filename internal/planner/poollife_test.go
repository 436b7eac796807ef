package planner

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/warmpool-dev/warmpool/internal/fleet"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// poolWorld is a provider that behaves, with a pool on it. It follows the planner's
// plans to the letter and writes down what changes.
type poolWorld struct {
	pool     SizePool
	members  []*poolMember
	failures []PoolFailure
	lastOK   time.Time
	price    fleet.USDMicros
	// broken machines lack a model.
	broken              map[int64]bool
	now, made, machines int
	shown               string
	log                 strings.Builder
}

// poolMember is one instance with its container.
type poolMember struct {
	SizeInstance
	life     *life
	rentedAt int
	goneAt   int
	queue    int
	silent   bool
	stage    HealthStage
}

// say writes one line of the log.
func (w *poolWorld) say(format string, args ...any) {
	fmt.Fprintf(&w.log, "%5ds  %s\n", w.now, fmt.Sprintf(format, args...))
}

// instances returns the objects.
func (w *poolWorld) instances() []SizeInstance {
	var all []SizeInstance
	for _, m := range w.members {
		all = append(all, m.SizeInstance)
	}
	return all
}

// tick lets five seconds pass.
func (w *poolWorld) tick() {
	backoff := ComputeBackoff(&BackoffInput{
		Failures: w.failures, LastSuccess: w.lastOK, Now: moment(w.now),
		Policy: BackoffPolicy{InitialSeconds: 30, MaxSeconds: 3600, ResetAfterSeconds: 3600},
	})
	w.size()
	w.rent(&backoff)
	for _, m := range w.members {
		w.age(m)
	}
	w.members = slices.DeleteFunc(w.members, func(m *poolMember) bool {
		gone := m.Deleting && w.now >= m.goneAt
		if gone {
			w.say("%s is confirmed gone", m.Name)
		}
		return gone
	})
	w.judge(&backoff)
	w.now += 5
}

// size carries out ComputeSize's plan.
func (w *poolWorld) size() {
	all := w.instances()
	plan := ComputeSize(&SizeInput{
		Pool: w.pool, Instances: all, Trusted: true, Now: moment(w.now),
		HeadroomUSDPerHour: w.pool.CeilingUSDPerHour - committedOf(all), CheapestUSDPerHour: w.price,
	})
	for _, victim := range plan.Delete {
		w.say("delete %s: %s: %s", victim.Name, victim.Reason, victim.Message)
		w.end(victim.Name)
	}
	for range plan.Create {
		w.made++
		name := fmt.Sprintf("sdxl-%d", w.made)
		w.say("create %s: %s", name, plan.CreateMessage)
		w.members = append(w.members, &poolMember{SizeInstance: SizeInstance{Instance: blank(name, w.now)}})
	}
}

// end deletes an instance; a rental takes half a minute to be confirmed gone.
func (w *poolWorld) end(name string) {
	for _, m := range w.members {
		if m.Name == name && !m.Deleting {
			m.Deleting, m.goneAt = true, w.now
			if m.IsBilling() {
				m.goneAt += 30
			}
		}
	}
}

// rent admits the oldest waiting instance if it fits.
func (w *poolWorld) rent(backoff *BackoffState) {
	for _, m := range w.members {
		if !m.IsPending() {
			continue
		}
		if backoff.Waiting || committedOf(w.instances())+w.price > w.pool.CeilingUSDPerHour {
			return
		}
		w.machines++
		machine := int64(700 + w.machines)
		w.say("rent %s on machine %d at %s", m.Name, machine, perHour(w.price))
		rental := rented(m.UID, machine*10, w.price)
		m.Attempts, m.Rental = rental.Attempts, rental.Rental
		m.Rental.MachineID, m.rentedAt = machine, w.now
		m.life = newborn()
		m.life.in.Rental.MachineID, m.life.in.Rental.RentedAt = machine, moment(w.now)
		return
	}
}

// age lets a container live on and its prober look.
func (w *poolWorld) age(m *poolMember) {
	if m.life == nil || m.Deleting {
		return
	}
	l, age := m.life, w.now-m.rentedAt
	l.now, l.in.WasReady, l.in.IsReady, l.in.Claimed = w.now, m.WasReady, m.Ready, m.Claimed
	l.in.Rental.ActualStatus, l.in.Rental.ReadAt = fleet.StatusLoading, moment(w.now)
	if age >= 60 {
		l.in.Rental.ActualStatus, l.in.Rental.EndpointKnown = fleet.StatusRunning, age >= 70
		l.in.Rental.RunningSince = moment(m.rentedAt + 60)
	}
	due := l.last.Next
	if l.last.NextAfter > 5*time.Second && w.now%15 != 0 {
		due = ActionNone
	}
	w.act(m, due, age)
	d := l.look()
	m.Ready, m.WasReady, m.Busy = d.Ready.Status == statusTrue, m.WasReady || d.Ready.Status == statusTrue, d.Busy
	if m.Ready && d.Stage != m.stage {
		w.lastOK = moment(w.now)
	}
	if d.Stage != m.stage {
		w.say("%s is %s: %s: %s", m.Name, d.Stage, d.Reason, d.Message)
		m.stage = d.Stage
	}
	if d.Failure != nil {
		w.failures = RecordFailures(w.failures, PoolFailure{
			InstanceUID: m.UID, InstanceName: m.Name, MachineID: d.Failure.MachineID, Reason: d.Failure.Reason,
			Message: d.Failure.Message, HostFault: d.Failure.HostFault, At: d.Failure.At,
		})
		m.Failed = true
		w.end(m.Name)
	}
}

// act puts the answer of the container into the prober's input.
func (w *poolWorld) act(m *poolMember, action HealthAction, age int) {
	in, at := &m.life.in, moment(w.now)
	in.Tried = action
	switch action {
	case ActionProbe:
		in.Probe = &fleet.ProbeResult{Signal: fleet.SignalServing, QueueRemaining: m.queue, At: at}
		switch {
		case age < 90:
			in.Probe.Signal = fleet.SignalConnectionRefused
		case age < 120:
			in.Probe.Signal = fleet.SignalPlaceholder
		case m.silent:
			in.Probe.Signal = fleet.SignalNoAnswer
		default:
		}
	case ActionPortal:
		in.Portal, in.PortalAt = &fleet.Portal{Provisioning: "in_progress"}, at
	case ActionQueue:
		in.Queue = &fleet.QueueResult{Running: "p1", Pending: m.queue - 1, At: at}
	case ActionVerify:
		in.Verify = &fleet.VerifyResult{At: at}
		if w.broken[m.Rental.MachineID] {
			in.Verify.Fault, in.Verify.Message = fleet.FaultModelMissing, "checkpoints/sdxl.safetensors is not there"
		}
	default:
	}
}

// judge writes the row of the table whenever it changes.
func (w *poolWorld) judge(backoff *BackoffState) {
	in := PoolVerdictInput{
		Pool: w.pool, Account: VerdictAccount{Found: true, Name: "default", Status: statusTrue}, Backoff: *backoff, Now: moment(w.now),
	}
	for _, m := range w.members {
		instance := VerdictInstance{SizeInstance: m.SizeInstance}
		if m.life != nil {
			instance.HealthReason, instance.HealthMessage = m.life.last.Reason, m.life.last.Message
		}
		if m.IsPending() && committedOf(w.instances())+w.price > w.pool.CeilingUSDPerHour {
			instance.Admission = &Admission{Decision: DecisionDeferred, Reason: ReasonCostCeilingReached, NeededUSDPerHour: w.price, CheapestUSDPerHour: w.price}
		}
		in.Instances = append(in.Instances, instance)
	}
	v := ComputePoolVerdict(&in)
	if v.CommittedUSDPerHour > max(w.pool.CeilingUSDPerHour, usd(150)) {
		w.say("I1: %s is committed", perHour(v.CommittedUSDPerHour))
	}
	status := map[string]string{}
	for _, c := range v.Conditions {
		status[c.Type] = c.Status
	}
	shown := fmt.Sprintf("desired %d ready %d claimed %d pending %d %s of %s Ready=%s Reconciling=%s Stalled=%s %s",
		w.pool.Replicas, v.Ready, v.Claimed, v.Provisioning, perHour(v.CommittedUSDPerHour), perHour(w.pool.CeilingUSDPerHour),
		status[PoolReady], status[PoolReconciling], status[PoolStalled], v.Reason)
	if shown != w.shown {
		w.say("= %s", shown)
		w.shown = shown
	}
}

// A pool's life, as a log to read: it fills up to its ceiling, meets a broken
// template, is claimed, scaled, drained and deleted.
func TestPoolLife(t *testing.T) {
	t.Parallel()
	w := &poolWorld{
		pool:  SizePool{Replicas: 4, MinReadyReplicas: 2, Mode: ModeActive, CeilingUSDPerHour: usd(150)},
		price: usd(44), broken: map[int64]bool{},
	}
	w.say("# four are wanted at $0.44, the ceiling affords three")
	scenes := map[int]func(){
		300: func() { w.say("# one is claimed"); w.members[0].Claimed = true },
		400: func() { w.say("# the ceiling rises to $1.80"); w.pool.CeilingUSDPerHour = usd(180) },
		700: func() {
			w.say("# one hangs while idle; every further machine lacks a model")
			w.members[1].silent = true
			w.breakAll()
		},
		2200: func() {
			w.say("# the model is back; the next try is an hour after the last")
			w.broken = map[int64]bool{}
		},
		6500: func() { w.say("# one is wanted"); w.pool.Replicas, w.pool.MinReadyReplicas = 1, 1 },
		6700: func() { w.say("# it works hard and is silent for 100 s"); w.survivor().queue = 3 },
		6800: func() { w.survivor().silent = true },
		6900: func() { w.survivor().silent, w.survivor().queue = false, 0 },
		7000: func() { w.say("# drain"); w.pool.Mode = ModeDrain },
		7100: func() { w.say("# the pool is deleted"); w.pool.Deleting = true },
	}
	for w.now < 7300 {
		if scene := scenes[w.now]; scene != nil {
			scene()
		}
		w.tick()
	}
	golden := filepath.Join("testdata", "pool_life.golden")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(golden, []byte(w.log.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatalf("reading the golden log (run with -update to make it): %v", err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(w.log.String(), "\n")); diff != "" {
		t.Errorf("the log changed (-want +got); if that is meant, run with -update:\n%s", diff)
	}
}

// breakAll breaks every machine that is not rented yet.
func (w *poolWorld) breakAll() {
	for machine := int64(700 + w.machines + 1); machine < 800; machine++ {
		w.broken[machine] = true
	}
}

// survivor is the unclaimed instance that is left.
func (w *poolWorld) survivor() *poolMember {
	for _, m := range w.members {
		if !m.Claimed && !m.Deleting {
			return m
		}
	}
	return &poolMember{}
}
