package simulate

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/warmpool-dev/warmpool/internal/operator"
	"github.com/warmpool-dev/warmpool/internal/simulator"
	"github.com/warmpool-dev/warmpool/internal/testkit/apidouble"
)

// Names that every schedule has.
const (
	installation = "simulate"
	ourPrefix    = "wp1." + installation + "."
	namespace    = "default"
	accountName  = "default"
	secretName   = "warmpool-credentials" //nolint:gosec // a name
	secretKey    = "VASTAI_API_KEY"       //nolint:gosec // a name
	slots        = 2
)

// Shared is what all schedules use and none changes.
type Shared struct {
	Scheme    *runtime.Scheme
	Defaults  *apidouble.Defaults
	Recording *simulator.Recording
	acts      []actKind
	// Breaks are gates that a test has taken away.
	Breaks Breaks
}

// NewShared reads what all schedules use; root is the root of the repository.
func NewShared(root string) (*Shared, error) {
	scheme, err := operator.Scheme()
	if err != nil {
		return nil, err
	}
	defaults, err := apidouble.LoadDefaults(root + "/config/crd")
	if err != nil {
		return nil, err
	}
	recording, err := simulator.LoadRecording()
	if err != nil {
		return nil, err
	}
	return &Shared{Scheme: scheme, Defaults: defaults, Recording: recording, acts: actKinds()}, nil
}

// world is one schedule.
type world struct {
	shared  *Shared
	plan    *Plan
	decide  *decider
	verbose bool
	start   time.Time
	// calmSince is when things stopped going wrong; lastWake, which mu guards, when
	// the last process that was stopped before goes on.
	calmSince time.Time
	lastWake  time.Time
	ctx       context.Context //nolint:containedctx // the life of a schedule is what this type is
	end       context.CancelFunc

	api         *apidouble.Store
	users       *apidouble.Client
	vast        *simulator.Server
	vastHandler http.Handler
	comfys      *comfys
	secrets     *secrets
	witness     *witness
	lease       leaseRecord
	clocks      [slots]*steppedClock

	// running are the controllers of all lives, the dead ones included.
	running sync.WaitGroup

	mu sync.Mutex
	// processes are those that live, by slot; lives counts all that ever did.
	processes [slots]*process
	lives     int
	signals   map[string]*signal
	cuts      map[string]time.Time
	failures  []Failure
	failed    chan struct{}
	lines     []string

	// idle are the goroutines that have no errand.
	idle []chan errand

	// acting is held while one party writes to the API server; actor is who.
	acting sync.Mutex
	actor  string
}

// Failure is a broken invariant.
type Failure struct {
	// Invariant is I1 to I8, or "setup" for a schedule that could not run.
	Invariant string
	// Message says what was seen.
	Message string
	// At is when, since the start of the schedule.
	At time.Duration
}

// String is one line.
func (f Failure) String() string {
	return fmt.Sprintf("%s at %s: %s", f.Invariant, f.At.Round(time.Millisecond), f.Message)
}

// signal tells that a kind has changed.
type signal struct {
	version uint64
	raised  chan struct{}
}

// newWorld builds a schedule's world. It must be called inside of a bubble.
func newWorld(ctx context.Context, shared *Shared, c *Case, verbose bool) (*world, error) {
	w := &world{
		shared: shared, decide: newDecider(c.Seed, c.Allowed), verbose: verbose,
		start: clock.RealClock{}.Now(), signals: map[string]*signal{}, cuts: map[string]time.Time{}, failed: make(chan struct{}),
	}
	w.plan = newPlan(w.decide, c, shared.acts)
	w.decide.peace = w.plan.Peace
	w.ctx, w.end = context.WithCancel(ctx)
	for slot := range w.clocks {
		w.clocks[slot] = &steppedClock{started: w.start}
	}
	for _, kind := range watchedKinds() {
		w.signals[kind] = &signal{raised: make(chan struct{})}
	}
	w.secrets = newSecrets(w)
	w.comfys = &comfys{world: w, byPort: map[int]*comfy{}}
	w.witness = newWitness(w)
	uids := 0
	w.api = apidouble.NewStore(apidouble.Options{
		Now: w.now, Defaults: shared.Defaults, PageLimit: w.plan.PageLimit, Broken: shared.Breaks.api(),
		NewUID: func() types.UID {
			uids++
			dice := w.decide.fixed(fmt.Sprintf("uid %d", uids))
			return types.UID(fmt.Sprintf("%08x-%04x-4%03x-8%03x-%012x", dice.below(1<<32), dice.below(1<<16), dice.below(1<<12), dice.below(1<<12), dice.below(1<<48)))
		},
		Suffix: func() string { return fmt.Sprintf("%05d", uids+1) },
	})
	w.api.Observe(w.observe)
	w.users = &apidouble.Client{Store: w.api, SchemeOf: shared.Scheme, Around: func(_ context.Context, _ apidouble.Call, do func() error) error {
		return w.as("user", do)
	}}
	return w, w.openVast()
}

// openVast starts the simulator with a small market.
func (w *world) openVast() error {
	second := func(least, most int) simulator.Range {
		return simulator.Range{Min: time.Duration(least) * time.Second, Max: time.Duration(most) * time.Second}
	}
	config := simulator.Config{
		Seed: w.plan.Seed, Keys: w.secrets.homeKeys(), Backend: w.comfys, Observer: w.witness.rental, CreditMicros: w.plan.CreditMicros,
		Market: simulator.Market{Frozen: true, Offers: []simulator.OfferSpec{}, Recording: w.shared.Recording},
		Provisioning: &simulator.Provisioning{
			Report: second(1, 3), Create: second(1, 2), Pull: second(2, 20), Address: second(1, 2), Ports: second(1, 3),
			Stop: second(1, 3), Start: second(2, 6), Reboot: second(2, 6), Destroy: second(0, 2),
		},
	}
	for k, price := range w.plan.Offers {
		config.Market.Offers = append(config.Market.Offers, simulator.OfferSpec{MachineID: int64(9000 + k), PriceMicros: price})
	}
	vast, err := simulator.NewInProcess(w.ctx, config)
	if err != nil {
		return err
	}
	w.vast, w.vastHandler = vast, vast.Handler()
	if err := vast.SetKey(simulator.KeyAdd, w.secrets.foreignKey(), ""); err != nil {
		return err
	}
	return vast.SetKey(simulator.KeyOtherAccount, w.secrets.foreignKey(), "")
}

// now is the virtual time.
func (w *world) now() time.Time { return clock.RealClock{}.Now() }

// elapsed is the virtual time since the start.
func (w *world) elapsed() time.Duration { return w.now().Sub(w.start) }

// untilSlot is how long to wait until a moment of one's own, about d from now.
//
// client-go's retries sleep 10 ms and up to 1 ms more, which no seed decides.
// So the moments lie in the first 8.5 ms of each half of the grid: whatever the
// extra is, the half that a goroutine comes from is the same.
func (w *world) untilSlot(dice *dice, d time.Duration) time.Duration {
	const (
		half = grid / 2
		used = half - 1500*time.Microsecond
	)
	now := w.elapsed()
	slot := (now.Truncate(half) + max(d, 0)).Truncate(grid) + grid
	at := dice.between(0, 2*used-1)
	if at >= used {
		at += half - used
	}
	return slot + at - now
}

// errand is something to do after a while.
type errand struct {
	after time.Duration
	do    func()
}

// later does something after a while, unless the schedule has ended by then.
func (w *world) later(d time.Duration, do func()) {
	next := errand{after: d, do: do}
	w.mu.Lock()
	defer w.mu.Unlock()
	if last := len(w.idle) - 1; last >= 0 {
		w.idle[last] <- next
		w.idle = w.idle[:last]
		return
	}
	go w.runErrands(next)
}

// runErrands runs one errand after another: what is on the wire ends in deep
// calls, and a new goroutine for each would have to grow its stack each time.
func (w *world) runErrands(next errand) {
	waiting := make(chan errand, 1)
	for w.sleep(next.after) {
		next.do()
		w.mu.Lock()
		w.idle = append(w.idle, waiting)
		w.mu.Unlock()
		select {
		case next = <-waiting:
		case <-w.ctx.Done():
			return
		}
	}
}

// sleep waits; it returns false when the schedule has ended.
func (w *world) sleep(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-w.ctx.Done():
		return false
	}
}

// inject is true when something is to go wrong.
func (w *world) inject(id, kind string) bool { return w.decide.inject(id, kind, w.elapsed()) }

// as writes to the API server in somebody's name.
func (w *world) as(actor string, do func() error) error {
	w.acting.Lock()
	defer w.acting.Unlock()
	w.actor = actor
	defer func() { w.actor = "" }()
	return do()
}

// enrol names a process that begins to live.
func (w *world) enrol(p *process) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lives++
	p.name = fmt.Sprintf("P%d", w.lives)
	w.processes[p.slot] = p
}

// strike takes a process off; it returns false when that was done before.
func (w *world) strike(p *process) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.processes[p.slot] != p {
		return false
	}
	w.processes[p.slot] = nil
	return true
}

// living returns the processes that live.
func (w *world) living() []*process {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(w.processes[:]), func(p *process) bool { return p == nil })
}

// at returns the process of a slot; nil while there is none.
func (w *world) at(slot int) *process {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.processes[slot]
}

// observe passes a change on to the caches and to the witness.
func (w *world) observe(event apidouble.Event, before client.Object) {
	w.witness.change(event, before, w.actor)
	w.mu.Lock()
	defer w.mu.Unlock()
	if s := w.signals[event.Kind]; s != nil {
		s.version = event.Version
		close(s.raised)
		s.raised = make(chan struct{})
	}
}

// changed returns a channel that closes when a kind has changed since a version.
func (w *world) changed(kind string, since uint64) <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.signals[kind]
	if s.version > since {
		already := make(chan struct{})
		close(already)
		return already
	}
	return s.raised
}

// note writes a line of the log when somebody will read it.
func (w *world) note(who, where, format string, args ...any) {
	if !w.verbose {
		return
	}
	line := fmt.Sprintf("%9.3f %-5s %-22s %s", w.elapsed().Seconds(), who, where, strings.ReplaceAll(fmt.Sprintf(format, args...), "\n", " "))
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lines = append(w.lines, line)
}

// fail notes a broken invariant; the first one ends the schedule.
func (w *world) fail(invariant, format string, args ...any) {
	failure := Failure{Invariant: invariant, Message: fmt.Sprintf(format, args...), At: w.elapsed()}
	w.note("", "VIOLATION", "%s", failure)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.failures = append(w.failures, failure)
	if len(w.failures) == 1 {
		close(w.failed)
	}
}

// isOffline is true while a rental's host is cut off.
func (w *world) isOffline(rental int64) bool {
	life, alive := w.vast.LifeOf(rental)
	return alive && life.State == "offline"
}

// What can be cut off from a machine of ours.
const (
	cutProvider  = "provider"
	cutAPI       = "api"
	cutInstances = "instances"
)

// cut cuts one slot off from something for a while.
func (w *world) cut(slot int, what string, d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cuts[fmt.Sprint(slot, what)] = w.now().Add(d)
}

// isCut is true while a slot is cut off from something.
func (w *world) isCut(slot int, what string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now().Before(w.cuts[fmt.Sprint(slot, what)])
}

// heal ends all cuts.
func (w *world) heal() {
	w.mu.Lock()
	defer w.mu.Unlock()
	clear(w.cuts)
}
