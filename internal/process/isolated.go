package process

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// Isolated runs a command as the first process of a PID namespace with networks
// and mounts of its own, and returns its exit code. Whatever way it ends, Ctrl-C
// and kill -9 included, the kernel ends every process in it and takes its
// bridges, packet filters, links and mounts away: nothing is left to clean up.
// When ctx ends the command is asked to end, and killed after grace.
func Isolated(ctx context.Context, command *exec.Cmd, grace time.Duration) (int, error) {
	command.SysProcAttr = isolatedAttributes()
	// The death signal is sent when the thread that forked ends.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := command.Start(); err != nil {
		return 0, fmt.Errorf("starting in namespaces: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- command.Wait() }()
	var err error
	select {
	case err = <-ended:
	case <-ctx.Done():
		_ = command.Process.Signal(syscall.SIGTERM) //nolint:errcheck // it may have ended by itself
		patience, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
		defer cancel()
		select {
		case err = <-ended:
		case <-patience.Done():
			_ = command.Process.Kill() //nolint:errcheck // the same
			err = <-ended
		}
	}
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		// A process that was killed has no code of its own.
		return max(exit.ExitCode(), 1), nil
	}
	return 0, err
}
