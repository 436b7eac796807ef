package simulate

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"k8s.io/utils/clock"
)

// errViolations ends a run that found something.
var errViolations = errors.New("invariants were broken")

// tally is what all schedules of a run came to. It is the state that a run can
// go on from.
type tally struct {
	Seed, Schedules uint64
	Workers         int
	// Done counts the schedules of each worker.
	Done       []uint64
	Kinds      map[string]int
	Rentals    int
	Lives      int
	Virtual    int64
	Seconds    float64
	Violations []string
	Failing    []uint64
}

// drive runs many schedules in worker processes and prints what came of them,
// also when the context ends before they all have run.
func drive(ctx context.Context, s *settings, out io.Writer) error {
	total, err := resume(s)
	if err != nil {
		return err
	}
	d := &driver{ctx: ctx, settings: s, out: out, total: total, now: clock.RealClock{}.Now, before: total.Seconds}
	d.started, d.shown = d.now(), d.now()
	var running sync.WaitGroup
	failures := make([]error, s.workers)
	for worker := range s.workers {
		running.Go(func() { failures[worker] = d.work(worker) })
	}
	running.Wait()
	if err = errors.Join(errors.Join(failures...), d.save()); err != nil {
		return err
	}
	if ctx.Err() == nil {
		d.explain()
	}
	d.table()
	faults := 0
	for _, count := range total.Kinds {
		faults += count
	}
	_, err = fmt.Fprintf(out, "simulate schedules=%d faults=%d violations=%d per_second=%.1f\n",
		d.done(), faults, len(total.Failing), float64(d.done())/max(total.Seconds, 0.001))
	switch {
	case err != nil:
		return err
	case len(total.Failing) > 0:
		return errViolations
	default:
		return ctx.Err()
	}
}

// resume reads the state of an earlier run of the same schedules, or begins.
func resume(s *settings) (*tally, error) {
	fresh := &tally{Seed: s.seed, Schedules: s.schedules, Workers: s.workers, Done: make([]uint64, s.workers), Kinds: map[string]int{}}
	if s.state == "" {
		return fresh, nil
	}
	text, err := os.ReadFile(s.state)
	if errors.Is(err, os.ErrNotExist) {
		return fresh, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the state: %w", err)
	}
	var known tally
	if err := json.Unmarshal(text, &known); err != nil {
		return nil, fmt.Errorf("reading the state %s: %w", s.state, err)
	}
	if known.Seed != s.seed || known.Schedules != s.schedules || known.Workers != len(known.Done) || known.Workers == 0 {
		return nil, fmt.Errorf("the state %s is of %d schedules from seed %d on: run those, or remove the file to begin anew", s.state, known.Schedules, known.Seed)
	}
	// Each worker has every so-manieth schedule, so their number stays what it was.
	s.workers = known.Workers
	return &known, nil
}

// driver follows the workers.
type driver struct {
	ctx      context.Context //nolint:containedctx // the life of a run is what this type is
	settings *settings
	out      io.Writer
	now      func() time.Time
	started  time.Time
	before   float64

	mu    sync.Mutex
	total *tally
	shown time.Time
}

// work runs one worker to its end.
func (d *driver) work(worker int) error {
	d.mu.Lock()
	skip := d.total.Done[worker]
	d.mu.Unlock()
	child := d.child(fmt.Sprintf("-worker=%d", worker+1), fmt.Sprintf("-skip=%d", skip),
		fmt.Sprintf("-schedules=%d", d.settings.schedules), fmt.Sprintf("-seed=%d", d.settings.seed))
	child.Stderr = os.Stderr
	output, err := child.StdoutPipe()
	if err != nil {
		return err
	}
	if err := child.Start(); err != nil {
		return err
	}
	lines := bufio.NewScanner(output)
	lines.Buffer(nil, 1<<22)
	var rest []string
	for lines.Scan() {
		text, isReport := strings.CutPrefix(lines.Text(), reportMark)
		if !isReport {
			rest = append(rest, lines.Text())
			continue
		}
		if err := d.take(worker, text); err != nil && d.ctx.Err() == nil {
			return err
		}
	}
	if err := errors.Join(lines.Err(), child.Wait()); err != nil && d.ctx.Err() == nil {
		d.mu.Lock()
		defer d.mu.Unlock()
		next := d.settings.seed + uint64(worker) + d.total.Done[worker]*uint64(d.settings.workers)
		return fmt.Errorf("the worker ended at seed %d: %w\n%s", next, err, strings.Join(rest, "\n"))
	}
	return nil
}

// child is this program as a worker: one schedule at a time, on one core. Stacks
// that have grown stay as they are: what shrinks them grows them again at once.
func (d *driver) child(arguments ...string) *exec.Cmd {
	arguments = append([]string{"-test.run=^TestWorker$", "-test.timeout=0", fmt.Sprintf("-workers=%d", d.settings.workers), "-keep=" + d.settings.keep}, arguments...)
	child := exec.CommandContext(d.ctx, os.Args[0], arguments...)
	// An interrupt is for this process, which ends the others.
	child.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	child.Env = append(os.Environ(), "GOMAXPROCS=1", "GOGC=400", "GODEBUG=gcshrinkstackoff=1")
	return child
}

// take counts one report, and says every ten seconds how far it is.
func (d *driver) take(worker int, text string) error {
	var told report
	if err := json.Unmarshal([]byte(text), &told); err != nil {
		return fmt.Errorf("reading a report: %w", err)
	}
	d.mu.Lock()
	total := d.total
	total.Done[worker]++
	for kind, count := range told.Kinds {
		total.Kinds[kind] += count
	}
	total.Rentals, total.Lives, total.Virtual = total.Rentals+told.Rentals, total.Lives+told.Lives, total.Virtual+told.Seconds
	if len(told.Failures) > 0 {
		total.Failing = append(total.Failing, told.Seed)
		total.Violations = append(total.Violations, fmt.Sprintf("seed %d: %s", told.Seed, told.Failures[0]))
		_, _ = fmt.Fprintf(d.out, "seed %d: %s\n", told.Seed, told.Failures[0])
	}
	const often = 10 * time.Second
	due := d.now().Sub(d.shown) >= often
	if due {
		d.shown = d.now()
		_, _ = fmt.Fprintf(d.out, "%d of %d schedules, %d violations, %.1f/s\n",
			d.done(), total.Schedules, len(total.Failing), float64(d.done())/(d.before+d.now().Sub(d.started).Seconds()))
	}
	d.mu.Unlock()
	if due {
		return d.save()
	}
	return nil
}

// done counts the schedules of all workers.
func (d *driver) done() uint64 {
	var sum uint64
	for _, count := range d.total.Done {
		sum += count
	}
	return sum
}

// save writes the state.
func (d *driver) save() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.total.Seconds = d.before + d.now().Sub(d.started).Seconds()
	if d.settings.state == "" {
		return nil
	}
	text, err := json.MarshalIndent(d.total, "", "  ")
	if err != nil {
		return err
	}
	const readable = 0o600
	next := d.settings.state + ".new" // half a state would be worth nothing
	if err := os.WriteFile(next, append(text, '\n'), readable); err != nil {
		return fmt.Errorf("saving the state: %w", err)
	}
	return os.Rename(next, d.settings.state)
}

// explain shrinks the first failures and shows their logs. One schedule that
// was asked for alone is shown in any case.
func (d *driver) explain() {
	const most = 3
	shown := d.total.Failing
	if d.settings.schedules == 1 {
		shown = []uint64{d.settings.seed}
	}
	for _, seed := range shown[:min(len(shown), most)] {
		output, err := d.child("-worker=1", "-shrink", "-schedules=1", fmt.Sprintf("-seed=%d", seed)).CombinedOutput()
		_, _ = fmt.Fprintf(d.out, "\n%s%s\n", strings.TrimSuffix(string(output), "PASS\n"), errorText(err))
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// table prints how often each kind of fault was injected.
func (d *driver) table() {
	total := d.total
	kinds := slices.SortedFunc(maps.Keys(total.Kinds), func(a, b string) int {
		return cmp.Or(cmp.Compare(total.Kinds[b], total.Kinds[a]), cmp.Compare(a, b))
	})
	_, _ = fmt.Fprintf(d.out, "\n%9s  what was injected\n", "times")
	for _, kind := range kinds {
		_, _ = fmt.Fprintf(d.out, "%9d  %s\n", total.Kinds[kind], kind)
	}
	_, _ = fmt.Fprintf(d.out, "\n%d rentals were made, %d processes lived, %.1f virtual hours passed\n",
		total.Rentals, total.Lives, float64(total.Virtual)/time.Hour.Seconds())
}
