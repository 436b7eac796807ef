package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/pprof"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	ctrl "sigs.k8s.io/controller-runtime"
)

func main() { os.Exit(run(os.Args[1:])) }

// run returns the exit code: 0 when every figure was measured.
func run(arguments []string) int {
	chosen, err := parseSettings(arguments)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "make bench:", err)
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// Libraries would otherwise complain that nobody listens to them.
	ctrl.SetLogger(logr.Discard())
	if err := measureAll(ctx, &chosen, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "make bench:", err)
		return 1
	}
	return 0
}

// settings is what the flags say.
type settings struct {
	// only limits the run to these benchmarks, or to groups by their first word.
	only []string
	// factor is how much faster than the wall simulated time runs.
	factor int64
	// watch is how long the manager's CPU is watched, on the wall.
	watch time.Duration
	// keep leaves logs and profiles where they are.
	keep bool
}

func parseSettings(arguments []string) (settings, error) {
	chosen := settings{}
	flags := flag.NewFlagSet("make bench", flag.ContinueOnError)
	flags.Func("only", "comma-separated names, or first words of names: "+strings.Join(benchmarkNames(), ", "), func(text string) error {
		for name := range strings.SplitSeq(text, ",") {
			if !slices.ContainsFunc(benchmarkNames(), func(known string) bool { return isMeant(name, known) }) {
				return fmt.Errorf("there is no benchmark %q", name)
			}
			chosen.only = append(chosen.only, name)
		}
		return nil
	})
	flags.Int64Var(&chosen.factor, "factor", 5, "simulated seconds per second, 1 to 50; the higher, the more of the machine's own time is in the figures")
	flags.DurationVar(&chosen.watch, "watch", 2*time.Minute, "how long the manager's CPU is watched, at least 1m")
	flags.BoolVar(&chosen.keep, "keep", false, "keep logs and profiles, and say where")
	if err := flags.Parse(arguments); err != nil {
		return chosen, err
	}
	const fastest = 50
	if chosen.factor < 1 || chosen.factor > fastest {
		return chosen, fmt.Errorf("--factor=%d: use 1 to %d", chosen.factor, fastest)
	}
	if chosen.watch < time.Minute {
		return chosen, fmt.Errorf("--watch=%s: use at least 1m", chosen.watch)
	}
	if flags.NArg() > 0 {
		return chosen, fmt.Errorf("unexpected argument %q: every setting is a flag", flags.Arg(0))
	}
	return chosen, nil
}

func (s *settings) wants(name string) bool {
	return len(s.only) == 0 || slices.ContainsFunc(s.only, func(wanted string) bool { return isMeant(wanted, name) })
}

// isMeant is true for a name, and for the first words of one: fill, but not fill-1 for fill-100.
func isMeant(wanted, name string) bool { return strings.HasPrefix(name+"-", wanted+"-") }

// benchmark measures one or more figures.
type benchmark struct {
	name    string
	measure func(ctx context.Context, b *bench) error
}

// benchmarks lists everything in the order in which it runs.
func benchmarks() []benchmark {
	list := []benchmark{}
	for _, count := range []int{1, 20, 100} {
		list = append(list, benchmark{fmt.Sprintf("fill-%d", count), func(ctx context.Context, b *bench) error { return measureFill(ctx, b, count) }})
	}
	list = append(list,
		benchmark{"emergency", measureEmergency},
		benchmark{"replacement", measureReplacement},
		benchmark{"audit", measureAudit},
		benchmark{"claims", measureClaims},
		benchmark{"sidecar", measureSidecar},
	)
	for _, count := range []int{20, 200, 2000} {
		list = append(list, benchmark{fmt.Sprintf("calls-%d", count), func(ctx context.Context, b *bench) error { return measureCalls(ctx, b, count) }})
	}
	for _, pools := range []int{20, 100} {
		list = append(list, benchmark{fmt.Sprintf("manager-%dx20", pools), func(ctx context.Context, b *bench) error { return measureManager(ctx, b, pools) }})
	}
	return list
}

func benchmarkNames() []string {
	names := []string{}
	for _, one := range benchmarks() {
		names = append(names, one.name)
	}
	return names
}

// bench is what all benchmarks share.
type bench struct {
	*settings
	plane     *controlPlane
	directory string
	out       io.Writer
	figures   []figure
}

// measureAll runs what is wanted, prints each figure when it is known and the
// table at the end. It returns an error for every figure that is missing.
func measureAll(ctx context.Context, chosen *settings, out io.Writer) (err error) {
	b := &bench{settings: chosen, out: out}
	if b.directory, err = os.MkdirTemp("", "warmpool-bench-"); err != nil {
		return fmt.Errorf("making a directory for logs: %w", err)
	}
	if b.plane, err = startControlPlane(b.directory); err != nil {
		return errors.Join(err, os.RemoveAll(b.directory))
	}
	var failures []error
	for _, one := range benchmarks() {
		if !chosen.wants(one.name) || ctx.Err() != nil {
			continue
		}
		if failure := one.measure(ctx, b); failure != nil {
			b.note("%s could not be measured: %v", one.name, failure)
			failures = append(failures, fmt.Errorf("measuring %s: %w", one.name, failure))
		}
	}
	failures = append(failures, b.plane.stop(), context.Cause(ctx), b.writeTable())
	if err = errors.Join(failures...); err != nil || chosen.keep {
		b.note("logs and profiles are in %s", b.directory)
		return err
	}
	return os.RemoveAll(b.directory)
}

// note says on the standard error what is going on; the standard output has figures only.
func (*bench) note(format string, arguments ...any) {
	fmt.Fprintf(os.Stderr, "%s %s\n", time.Now().Format(time.TimeOnly), fmt.Sprintf(format, arguments...))
}

// profileCPU keeps a profile of this process's CPU beside the logs when they are
// kept; the function that it returns ends it.
func (b *bench) profileCPU(name string) (stop func() error, err error) {
	if !b.keep {
		return func() error { return nil }, nil
	}
	file, err := os.Create(filepath.Join(b.directory, name+".cpu")) //nolint:gosec // our own directory
	if err != nil {
		return nil, fmt.Errorf("profiling %s: %w", name, err)
	}
	if err = pprof.StartCPUProfile(file); err != nil {
		return nil, errors.Join(fmt.Errorf("profiling %s: %w", name, err), file.Close())
	}
	return func() error {
		pprof.StopCPUProfile()
		return file.Close()
	}, nil
}
