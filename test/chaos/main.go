package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
)

func main() { os.Exit(run(os.Args[1:])) }

// run returns the exit code: 0 when nothing was judged wrong, 1 when something
// was or could not be judged, 2 when the run cannot start.
func run(arguments []string) int {
	chosen, err := parseSettings(arguments)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "make chaos:", err)
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if os.Getenv(insideVariable) == "" {
		return launch(ctx, &chosen)
	}
	// Libraries complain about an API server that is gone: here it is meant.
	ctrl.SetLogger(logr.Discard())
	klog.SetLogger(logr.Discard())
	verdict, err := chaos(ctx, &chosen)
	if verdict != nil {
		// The last line, whatever else there was to say.
		defer fmt.Println(verdict)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "make chaos:", err)
		return 1
	}
	if !verdict.isGood() {
		return 1
	}
	return 0
}

// settings is what the flags say.
type settings struct {
	// length is how long faults go on, without the time to converge.
	length time.Duration
	// seed makes the plan.
	seed uint64
	// patience bounds each convergence.
	patience time.Duration
	// keep leaves logs where they are.
	keep bool
	// planOnly prints the plan and ends.
	planOnly bool
}

func parseSettings(arguments []string) (settings, error) {
	chosen := settings{}
	var length int
	flags := flag.NewFlagSet("make chaos", flag.ContinueOnError)
	flags.IntVar(&length, "seconds", 1200, "how long faults go on, in seconds, at least 30; the time to converge comes on top")
	flags.Uint64Var(&chosen.seed, "seed", 0, "makes the plan of faults; 0 draws one from the time and prints it")
	flags.DurationVar(&chosen.patience, "patience", 8*time.Minute, "how long everything may take to converge after the last fault")
	flags.BoolVar(&chosen.keep, "keep", false, "keep the logs, and say where; a run that fails keeps them anyway")
	flags.BoolVar(&chosen.planOnly, "plan", false, "print the plan of faults and end")
	if err := flags.Parse(arguments); err != nil {
		return chosen, err
	}
	const least = 30
	if length < least {
		return chosen, fmt.Errorf("--seconds=%d: use at least %d", length, least)
	}
	if flags.NArg() > 0 {
		return chosen, fmt.Errorf("unexpected argument %q: every setting is a flag", flags.Arg(0))
	}
	chosen.length = time.Duration(length) * time.Second
	if chosen.seed == 0 {
		chosen.seed = uint64(time.Now().UnixNano()) % math.MaxUint32
	}
	return chosen, nil
}
