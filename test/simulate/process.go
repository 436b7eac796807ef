package simulate

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"time"

	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/warmpool-dev/warmpool/controllers"
	"github.com/warmpool-dev/warmpool/internal/testkit/apidouble"
	"github.com/warmpool-dev/warmpool/internal/vastai"
)

// grid is the step of time at which things happen. Real code waits in between
// with jitter of its own, of at most a millisecond; the grid swallows it.
const grid = 20 * time.Millisecond

// process is one life of the operator: its memory, its cache, its sessions. It
// dies at any await point, and everything of it with it.
type process struct {
	world *world
	name  string
	slot  int
	clock *steppedClock
	cache *laggingCache
	lease *lease
	mgr   *fakeManager
	// cancel is the orderly end of what runs, dead the end of everything.
	cancel context.CancelFunc
	ctx    context.Context //nolint:containedctx // the life of a process is what this type is
	dead   chan struct{}

	mu          sync.Mutex
	isDead      bool
	pausedUntil time.Time
	// knowledge is what the process has read of the account, for the checks.
	knowledge knowledge
}

// startProcess starts a life on a slot.
func (w *world) startProcess(slot int) {
	p := &process{world: w, slot: slot, clock: w.clocks[slot], dead: make(chan struct{})}
	p.ctx, p.cancel = context.WithCancel(w.ctx)
	w.enrol(p)
	p.cache = newCache(p)
	p.lease = newLease(p)
	if err := p.build(); err != nil {
		w.fail("setup", "%s cannot start: %v", p.name, err)
		return
	}
	w.note(p.name, "main", "starts")
	p.cache.start()
	w.running.Go(p.run)
}

// run waits for the lease and then runs the controllers.
func (p *process) run() {
	if p.world.plan.HA {
		p.lease.acquire()
		go p.lease.keep()
	}
	var running sync.WaitGroup
	p.mgr.start(p.ctx, &running)
	running.Wait()
}

// build wires the operator as internal/operator does.
func (p *process) build() error {
	w := p.world
	direct := &apidouble.Client{Store: w.api, Around: p.around, SchemeOf: w.shared.Scheme}
	cached := *direct
	cached.Cached, cached.IsCached = p.cache, func(kind string) bool { return p.cache.informers[kind] != nil }
	p.mgr = &fakeManager{process: p, scheme: w.shared.Scheme, cache: p.cache, client: &cached, live: direct}
	if err := controllers.AddIndexes(p.ctx, p.mgr); err != nil {
		return err
	}
	account := &controllers.VastAccountReconciler{
		Client: p.mgr.client, APIReader: p.mgr.live, Connect: p.connect, Lease: w.shared.Breaks.lease(p.lease),
		Events: eventSink{p}, Metrics: noMetrics{}, Clock: p.clock, InstallationID: installation, Concurrency: 2,
	}
	pool := &controllers.WarmPoolReconciler{
		Client: p.mgr.client, APIReader: p.mgr.live, Events: eventSink{p}, LastTrustedSweep: account.LastTrustedSweep, Clock: p.clock,
	}
	looks := &prober{p}
	instance := &controllers.WarmInstanceReconciler{
		Client: p.mgr.client, APIReader: p.mgr.live, Prober: looks, Recycler: looks, LastTrustedSweep: account.LastTrustedSweep,
		Events: eventSink{p}, Metrics: noMetrics{}, Clock: p.clock, Concurrency: 4,
	}
	claim := &controllers.WarmClaimReconciler{
		Client: p.mgr.client, APIReader: p.mgr.live, Events: eventSink{p}, Metrics: noMetrics{}, Clock: p.clock,
	}
	for _, add := range []func(ctrl.Manager) error{account.SetupWithManager, pool.SetupWithManager, instance.SetupWithManager, claim.SetupWithManager} {
		if err := add(p.mgr); err != nil {
			return err
		}
	}
	return nil
}

// connect makes a Vast.ai client as internal/operator does.
func (p *process) connect(apiKey, _ string) (controllers.Provider, error) {
	return vastai.New(vastai.Options{
		BaseURL: "http://vast.simulation", APIKey: apiKey, Clock: p.clock, Transport: &wire{process: p},
		Rand:     &diceSource{dice: p.world.decide.at(p.name + " jitter")},
		Timeouts: vastai.Timeouts{Write: time.Minute},
		Guard: func(context.Context) error {
			if !p.world.shared.Breaks.lease(p.lease).IsFresh() {
				return errLeaseNotFresh
			}
			return nil
		},
	})
}

// diceSource makes dice a source of jitter.
type diceSource struct{ dice *dice }

// Uint64 implements rand.Source.
func (s *diceSource) Uint64() uint64 { return s.dice.next() }

// kill ends a process at once: nothing of it runs on but what is on the wire.
func (p *process) kill(why string) {
	p.mu.Lock()
	if p.isDead {
		p.mu.Unlock()
		return
	}
	p.isDead = true
	close(p.dead)
	p.mu.Unlock()
	p.cancel()
	w := p.world
	w.note(p.name, "main", "dies: %s", why)
	if !w.strike(p) {
		return
	}
	restart := w.decide.at(fmt.Sprintf("slot %d restarts", p.slot)).between(100*time.Millisecond, 15*time.Second)
	w.later(restart, func() { w.startProcess(p.slot) })
}

// pause is SIGSTOP for so long.
func (p *process) pause(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pausedUntil = p.world.now().Add(d)
	p.world.wakes(p.pausedUntil)
	p.world.note(p.name, "main", "is stopped for %s", d.Round(time.Second))
}

// await is a point at which other things happen: time passes, and the process
// may die or be stopped here. It does so at the end of the wait, at a moment at
// which nothing else happens: what wakes at the same moment as the one that dies
// would have run, or not, as the machine likes.
func (p *process) await(ctx context.Context, place string) (*dice, error) {
	w := p.world
	p.live()
	dice := w.decide.at(p.name + " " + place)
	strike := func() {}
	switch rates := &w.plan.Rates; {
	case dice.chance(rates.Crash) && w.inject(dice.id, "crash at an await point"):
		strike = func() { p.kill("killed at " + place) } //nolint:contextcheck // the life of the next process is not this call's
	case dice.chance(rates.Pause) && w.inject(dice.id, "pause at an await point"):
		d := dice.between(time.Second, 70*time.Second)
		strike = func() { p.pause(d) }
	}
	latency := dice.between(0, 2*grid)
	if dice.chance(w.plan.Rates.Slow) && w.inject(dice.id, "slow call") {
		latency = dice.between(200*time.Millisecond, 20*time.Second)
	}
	return dice, p.sleepUnless(ctx, dice, latency, strike)
}

// live ends the goroutine when its process is dead.
func (p *process) live() {
	if p.hasEnded() {
		runtime.Goexit()
	}
}

// hasEnded is true once the process is dead.
func (p *process) hasEnded() bool {
	select {
	case <-p.dead:
		return true
	default:
		return false
	}
}

// sleep waits in virtual time and ends with the process.
func (p *process) sleep(dice *dice, d time.Duration) {
	if p.sleepUnless(nil, dice, d, func() {}) != nil { //nolint:staticcheck // without a context it ends with the process only
		p.live()
	}
}

// sleepUnless waits in virtual time, until the context ends or as long as the
// process is stopped. Two goroutines never wake at the same moment: their order
// would not be the seed's. What is given to strike happens at the end of the wait.
func (p *process) sleepUnless(ctx context.Context, dice *dice, d time.Duration, strike func()) error {
	var done <-chan struct{}
	if ctx != nil {
		done = ctx.Done()
	}
	timer := time.NewTimer(p.world.untilSlot(dice, d))
	defer timer.Stop()
	var err error
	select {
	case <-p.dead:
	case <-timer.C:
	case <-done:
		err = ctx.Err()
	}
	p.live()
	strike()
	p.live()
	p.whilePaused(dice)
	return err
}

// whilePaused holds a goroutine as long as its process is stopped.
func (p *process) whilePaused(dice *dice) {
	for {
		p.mu.Lock()
		rest := p.pausedUntil.Sub(p.world.now())
		p.mu.Unlock()
		if rest <= 0 {
			return
		}
		timer := time.NewTimer(p.world.untilSlot(dice, rest))
		select {
		case <-p.dead:
		case <-timer.C:
		}
		timer.Stop()
		p.live()
	}
}

// waitFor waits for a signal and ends with the process.
func (p *process) waitFor(signal <-chan struct{}) {
	select {
	case <-signal:
	case <-p.dead:
	}
	p.live()
}

// around carries out a call to the API server.
func (p *process) around(ctx context.Context, call apidouble.Call, do func() error) error {
	w, place := p.world, loopOf(ctx)+" "+call.String()
	if call.Kind == apidouble.KindVastAccount && call.IsWrite() {
		w.judged(p)
	}
	dice, err := p.await(ctx, place)
	if err != nil {
		return err
	}
	if err = w.apiTrouble(p, dice, call); err != nil {
		w.note(p.name, loopOf(ctx), "%s fails: %v", call, err)
		return err
	}
	if call.IsWrite() {
		err = p.write(ctx, dice, do)
	} else {
		err = do()
	}
	w.note(p.name, loopOf(ctx), "%s: %s", call, outcome(err))
	if call.IsWrite() && dice.chance(w.plan.Rates.LostWrite) && w.inject(dice.id+" lost", "answer of a write lost") {
		err = errAnswerLost
	}
	if _, awaitErr := p.await(ctx, place+" answered"); awaitErr != nil && err == nil {
		return awaitErr
	}
	return err
}

// write sends a write: once it is on the wire it is carried out, whatever
// becomes of the sender.
func (p *process) write(ctx context.Context, dice *dice, do func() error) error {
	answer := make(chan error, 1)
	d := dice.between(0, grid)
	w := p.world
	if dice.chance(w.plan.Rates.SlowWrite) && w.inject(dice.id+" wire", "write late on the wire") {
		d = dice.between(500*time.Millisecond, 25*time.Second)
	}
	w.later(w.untilSlot(dice, d), func() { answer <- w.as(p.name, do) })
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
	case <-p.dead:
	}
	p.live() // a death cancels the context too
	return ctx.Err()
}

// outcome says how a call went.
func outcome(err error) string {
	if err == nil {
		return "ok"
	}
	return err.Error()
}
