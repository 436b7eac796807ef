package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"syscall"
	"time"
)

// insideVariable marks the process that runs inside the namespaces.
const insideVariable = "WARMPOOL_CHAOS_INSIDE"

// errNeeds names what the run cannot do without.
var errNeeds = errors.New("this needs root and iproute2: every process gets a network namespace of its own. " +
	"Run it as root (sudo make chaos) on Linux with the command ip (apt-get install iproute2)")

// launch starts this program again as the first process of a PID namespace
// with networks and mounts of its own. Whatever way that one ends, Ctrl-C and
// kill -9 included, the kernel ends every process in it and takes its bridge,
// its links and its network namespaces away: nothing is left to clean up.
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
	inside := exec.Command(executable, arguments...) //nolint:gosec,noctx // this program itself, ended in order below
	inside.Env = append(os.Environ(), insideVariable+"=1")
	inside.Stdout, inside.Stderr, inside.SysProcAttr = os.Stdout, os.Stderr, namespaceAttributes()
	// The death signal is sent when the thread that forked ends.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := inside.Start(); err != nil {
		fmt.Fprintf(os.Stderr, "make chaos: %v: %v\n", err, errNeeds)
		return 2
	}
	return await(ctx, inside)
}

// await hands a request to end on, once, and insists after a while.
func await(ctx context.Context, inside *exec.Cmd) int {
	const grace = 90 * time.Second
	ended := make(chan error, 1)
	go func() { ended <- inside.Wait() }()
	var err error
	select {
	case err = <-ended:
	case <-ctx.Done():
		fmt.Fprintln(os.Stderr, "make chaos: ending everything")
		_ = inside.Process.Signal(syscall.SIGTERM) //nolint:errcheck // it may have ended by itself
		select {
		case err = <-ended:
		case <-time.After(grace):
			_ = inside.Process.Kill() //nolint:errcheck // the same
			err = <-ended
		}
	}
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		// A process that was killed has no code of its own.
		return max(exit.ExitCode(), 1)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "make chaos:", err)
		return 1
	}
	return 0
}

// checkNeeds says what is missing before anything is started.
func checkNeeds() error {
	if _, err := exec.LookPath("ip"); err != nil || os.Geteuid() != 0 {
		return errNeeds
	}
	return nil
}
