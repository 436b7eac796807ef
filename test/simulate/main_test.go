package simulate

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	interrupts "os/signal"
	"runtime"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/go-logr/logr"
	ctrl "sigs.k8s.io/controller-runtime"
)

// settings are the flags of the test binary when it is the program behind make
// simulate and make soak.
type settings struct {
	schedules uint64
	seed      uint64
	workers   int
	// worker is the number of a worker from 1; 0 is not one.
	worker int
	skip   uint64
	state  string
	// shrink asks a worker to shrink the schedule of seed.
	shrink bool
	keep   string
}

var chosen settings

func TestMain(m *testing.M) {
	flag.Uint64Var(&chosen.schedules, "schedules", 0, "run so many schedules, as make simulate does; 0 runs the tests")
	flag.Uint64Var(&chosen.seed, "seed", 1, "the seed of the first schedule")
	flag.IntVar(&chosen.workers, "workers", runtime.NumCPU(), "processes that run schedules")
	flag.IntVar(&chosen.worker, "worker", 0, "for internal use")
	flag.Uint64Var(&chosen.skip, "skip", 0, "for internal use")
	flag.BoolVar(&chosen.shrink, "shrink", false, "for internal use")
	flag.StringVar(&chosen.state, "state", "", "a file that remembers how far it came, so that it can go on")
	flag.StringVar(&chosen.keep, "keep", "bin", "the directory for shrunk cases")
	flag.Parse()
	// Libraries would otherwise complain that nobody listens to them.
	ctrl.SetLogger(logr.Discard())
	if chosen.schedules > 0 && chosen.worker == 0 {
		os.Exit(program())
	}
	os.Exit(m.Run())
}

// program runs many schedules until they have run or somebody interrupts it, and
// returns its exit code.
func program() int {
	ctx, stop := interrupts.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := drive(ctx, &chosen, os.Stdout)
	switch {
	case errors.Is(err, context.Canceled) && chosen.state != "":
		fmt.Fprintln(os.Stderr, "make simulate: interrupted; started again, it goes on from here")
	case err != nil:
		fmt.Fprintln(os.Stderr, "make simulate:", err)
	default:
		return 0
	}
	return 1
}

// newShared reads what all schedules use.
func newShared(t *testing.T) *Shared {
	t.Helper()
	root := "../.."
	if _, err := os.Stat("config/crd"); err == nil {
		root = "." // started by make, in the root of the repository
	}
	shared, err := NewShared(root)
	if err != nil {
		t.Fatal(err)
	}
	return shared
}

// runCase runs one schedule in a bubble of its own.
func runCase(t *testing.T, shared *Shared, c *Case, verbose bool) (result Result) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { result = Run(t.Context(), shared, c, verbose) })
	return result
}
