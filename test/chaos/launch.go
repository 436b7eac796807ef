package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"time"

	"github.com/warmpool-dev/warmpool/internal/process"
)

// insideVariable marks the process that runs inside the namespaces.
const insideVariable = "WARMPOOL_CHAOS_INSIDE"

// errNeeds names what the run cannot do without.
var errNeeds = errors.New("this needs root and iproute2: every process gets a network namespace of its own. " +
	"Run it as root (sudo make chaos) on Linux with the command ip (apt-get install iproute2)")

// launch starts this program again, isolated: nothing is left to clean up.
func launch(ctx context.Context, chosen *settings) int {
	if chosen.planOnly {
		printPlan(os.Stdout, planActs(chosen.seed, chosen.length))
		return 0
	}
	if err := checkNeeds(); err != nil {
		fmt.Fprintln(os.Stderr, "make chaos:", err)
		return 2
	}
	executable, err := os.Executable()
	if err != nil {
		fmt.Fprintln(os.Stderr, "make chaos:", err)
		return 2
	}
	arguments := []string{
		"--seconds=" + strconv.Itoa(int(chosen.length.Seconds())), "--seed=" + strconv.FormatUint(chosen.seed, 10),
		"--patience=" + chosen.patience.String(), "--keep=" + strconv.FormatBool(chosen.keep),
	}
	inside := exec.Command(executable, arguments...) //nolint:gosec,noctx // this program itself, ended in order by Isolated
	inside.Env, inside.Stdout, inside.Stderr = append(os.Environ(), insideVariable+"=1"), os.Stdout, os.Stderr
	const grace = 90 * time.Second
	code, err := process.Isolated(ctx, inside, grace)
	if err != nil {
		fmt.Fprintf(os.Stderr, "make chaos: %v: %v\n", err, errNeeds)
		return 2
	}
	return code
}

// checkNeeds says what is missing before anything is started.
func checkNeeds() error {
	if _, err := exec.LookPath("ip"); err != nil || os.Geteuid() != 0 {
		return errNeeds
	}
	return nil
}
