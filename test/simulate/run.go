package simulate

import (
	"context"
	"fmt"
	"strings"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/warmpool-dev/warmpool/internal/simulator"
	"github.com/warmpool-dev/warmpool/internal/testkit/apidouble"
)

// Result is what came of a schedule.
type Result struct {
	Case     Case
	Failures []Failure
	// Plan is what the schedule was like.
	Plan *Plan
	// Injected is what went wrong on purpose, in order.
	Injected []Injection
	// Log is one line for each step, when it was asked for.
	Log []string
	// Virtual is how much time passed in the schedule.
	Virtual time.Duration
	// Rentals is how many rentals the operator made, Lives how many processes there were.
	Rentals, Lives int
}

// Run runs one schedule. It must be called in a testing/synctest bubble, and
// returns when nothing of the schedule runs any more but goroutines that are
// about to end.
func Run(ctx context.Context, shared *Shared, c *Case, verbose bool) Result {
	w, err := newWorld(ctx, shared, c, verbose)
	if err != nil {
		return Result{Case: *c, Failures: []Failure{{Invariant: "setup", Message: err.Error()}}}
	}
	w.note("", "PLAN", "%s", w.plan.Describe())
	go w.witness.run()
	return w.play() //nolint:contextcheck // the world has a context of its own, made of this one
}

// play runs the schedule from its begin to its end.
func (w *world) play() Result {
	w.setUp()
	w.startProcess(0)
	if w.plan.HA {
		w.startProcess(1)
	}
	if w.trouble() && w.plan.Calm {
		w.calmDown()
	}
	return w.finish()
}

// trouble lets everything go wrong for as long as the plan says. It returns
// false when an invariant broke.
func (w *world) trouble() bool {
	for k := range w.plan.Acts {
		act := &w.plan.Acts[k]
		if !w.wait(act.At - w.elapsed()) {
			return false
		}
		w.perform(act)
	}
	return w.wait(w.plan.Length - w.elapsed())
}

// wait lets time pass. It returns false when an invariant broke.
func (w *world) wait(d time.Duration) bool {
	timer := time.NewTimer(max(d, 0))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-w.failed:
		return false
	}
}

// finish ends everything and collects what there was.
func (w *world) finish() Result {
	for _, p := range w.living() {
		w.strike(p)
		p.kill("the schedule ends")
	}
	w.end()
	// What waits on a timer in real code ends when the timer does, and time ends
	// with this goroutine.
	w.running.Wait()
	result := Result{Case: Case{Seed: w.decide.seed, Allowed: w.decide.allowedList()}, Plan: w.plan, Injected: w.decide.list(), Virtual: w.elapsed(), Lives: w.lives}
	if err := w.vast.Close(); err != nil {
		w.fail("setup", "closing the simulator: %v", err)
	}
	w.dump()
	w.mu.Lock()
	defer w.mu.Unlock()
	result.Failures, result.Log = w.failures, w.lines
	for _, record := range w.vast.Meter().Select(ourPrefix) {
		if record.Origin == "api" {
			result.Rentals++
		}
	}
	return result
}

// allowedList is nil when everything is allowed.
func (d *decider) allowedList() []string {
	if d.allowed == nil {
		return nil
	}
	return sortedKeys(d.allowed)
}

// processOf finds a process by its name; nil for one that is dead.
func (w *world) processOf(name string) *process {
	for _, p := range w.living() {
		if p.name == name {
			return p
		}
	}
	return nil
}

// calmDown ends all trouble and demands what must then come true (I7): the
// pools converge, and when everything is deleted nothing bills.
func (w *world) calmDown() {
	w.decide.quiet()
	w.calmSince = w.now()
	w.note("", "CALM", "nothing goes wrong from here on")
	w.vast.RemoveFault(0)
	w.fault(simulator.FaultSpec{Name: simulator.FaultOffline, Params: map[string]string{"back": "true"}})
	w.fault(simulator.FaultSpec{Name: simulator.FaultCredit, Params: map[string]string{"usd": "100"}})
	w.heal()
	w.api.OpenNamespace(namespace)
	for _, c := range w.clocks {
		c.stepSeconds.Store(0)
	}
	w.restoreSpecs()
	if !w.until(convergence, w.isConverged) {
		return
	}
	w.note("", "CALM", "converged; every pool gets a claim")
	w.claimOnceMore()
	if !w.until(convergence, w.isConverged) {
		return
	}
	w.note("", "CALM", "converged; everything is deleted")
	w.removeAll()
	w.until(teardown, w.isClean)
}

// The bounds of I7 in virtual time. An attempt that was lost is given up after
// five minutes, a back-off of these pools lasts at most 40 s and a machine is
// blocked for a few minutes; an instance may wait for two of each.
const (
	convergence = 25 * time.Minute
	teardown    = 20 * time.Minute
	lookEvery   = 5 * time.Second
)

// until waits until nothing is missing any more; what is still missing after
// the given time breaks I7.
func (w *world) until(most time.Duration, missing func() string) bool {
	deadline := w.elapsed() + most
	for {
		w.doAsTold()
		what := missing()
		switch {
		case what == "":
			return true
		case w.elapsed() >= deadline:
			w.fail("I7", "%s after nothing went wrong: %s", most, what)
			return false
		case !w.wait(lookEvery):
			return false
		}
	}
}

// Describe says what a schedule is like, for its log.
func (p *Plan) Describe() string {
	return fmt.Sprintf("two processes=%v offers=%v pools=%v account ceiling=%d poll=%ds page=%d peace=%s length=%s calm=%v rates=%+v acts=%d",
		p.HA, p.Offers, p.Pools, p.AccountCeilingMicros, p.PollSeconds, p.PageLimit, p.Peace, p.Length, p.Calm, p.Rates, len(p.Acts))
}

// dump ends the log with how everything is.
func (w *world) dump() {
	if !w.verbose {
		return
	}
	for _, kind := range []string{apidouble.KindVastAccount, apidouble.KindWarmPool, apidouble.KindWarmInstance, apidouble.KindWarmClaim} {
		page, err := w.api.List(kind, "", 0, "")
		if err != nil {
			continue
		}
		for _, object := range page.Objects {
			text, err := yaml.Marshal(object)
			if err != nil {
				continue
			}
			for line := range strings.SplitSeq(string(text), "\n") {
				w.lines = append(w.lines, "  "+line)
			}
		}
	}
	for _, record := range w.vast.Meter().Records {
		if record.Live() {
			w.lines = append(w.lines, fmt.Sprintf("  rental %d label=%q machine=%d price=%d since %s", record.ID, record.Label, record.MachineID, price(&record), record.Start.Sub(w.start)))
		}
	}
}
