package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is a running child.
type process struct {
	name string
	pid  int
	done chan struct{}
	err  error // how it ended; read after done
}

// startProcess starts a program; its standard error, and its standard output
// unless stdout is given, go to a log in the directory.
func startProcess(directory, program string, stdout io.Writer, arguments ...string) (*process, error) {
	name := filepath.Base(program)
	log, err := os.OpenFile(filepath.Join(directory, name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600) //nolint:gosec // our own directory
	if err != nil {
		return nil, fmt.Errorf("opening the log of %s: %w", name, err)
	}
	command := exec.Command(program, arguments...) //nolint:gosec,noctx // our own programs; they are ended in order, not by a context
	command.Stderr, command.Stdout, command.SysProcAttr = log, log, childAttributes()
	if stdout != nil {
		command.Stdout = stdout
	}
	p := &process{name: name, done: make(chan struct{})}
	started := make(chan error)
	go func() {
		// The death signal is sent when the thread that forked ends.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		failure := command.Start()
		if failure == nil {
			p.pid = command.Process.Pid
		}
		started <- failure
		if failure == nil {
			p.err = command.Wait()
			close(p.done)
		}
		_ = log.Close() //nolint:errcheck // the child wrote it, not we
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	return p, nil
}

// alive is an error once the program has ended by itself.
func (p *process) alive() error {
	select {
	case <-p.done:
		return fmt.Errorf("%s has ended: %w", p.name, errors.Join(p.err, errEnded))
	default:
		return nil
	}
}

// errEnded is how a program ended that ended without an error.
var errEnded = errors.New("it should run on")

// stop ends the program and waits for it.
func (p *process) stop() error {
	const grace = 20 * time.Second
	if p == nil {
		return nil
	}
	select {
	case <-p.done:
		return nil
	default:
	}
	if err := syscall.Kill(p.pid, syscall.SIGTERM); err != nil {
		return fmt.Errorf("stopping %s: %w", p.name, err)
	}
	select {
	case <-p.done:
		return nil
	case <-time.After(grace):
	}
	if err := syscall.Kill(p.pid, syscall.SIGKILL); err != nil {
		return fmt.Errorf("killing %s: %w", p.name, err)
	}
	<-p.done
	return fmt.Errorf("stopping %s: it did not end within %s and was killed", p.name, grace)
}

// memory is the resident set of a process in bytes: now, and at its highest.
func (p *process) memory() (resident, highest int64, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.pid))
	if err != nil {
		return 0, 0, fmt.Errorf("reading the memory of %s (this works on Linux only): %w", p.name, err)
	}
	const kib = 1024
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(line, ":")
		number, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		if err != nil {
			continue
		}
		switch key {
		case "VmRSS":
			resident = number * kib
		case "VmHWM":
			highest = number * kib
		default:
		}
	}
	return resident, highest, nil
}

// cpu is the time that a process has spent on processors, of user and kernel.
func (p *process) cpu() (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.pid))
	if err != nil {
		return 0, fmt.Errorf("reading the CPU time of %s (this works on Linux only): %w", p.name, err)
	}
	// The second field is the name in parentheses and may hold anything. After
	// it, utime and stime are the 12th and 13th, in ticks of 10 ms on every
	// architecture that Linux shows to programs.
	const tick, utime, stime = 10 * time.Millisecond, 11, 12
	_, rest, found := strings.Cut(string(text), ") ")
	fields := strings.Fields(rest)
	if !found || len(fields) <= stime {
		return 0, fmt.Errorf("reading the CPU time of %s: %q", p.name, text)
	}
	user, userErr := strconv.ParseInt(fields[utime], 10, 64)
	kernel, kernelErr := strconv.ParseInt(fields[stime], 10, 64)
	return time.Duration(user+kernel) * tick, errors.Join(userErr, kernelErr)
}

// buildPrograms builds the manager and the simulator as make does.
func buildPrograms(ctx context.Context, root, directory string) error {
	command := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", directory+string(filepath.Separator), "./cmd/manager", "./cmd/vastsim") //nolint:gosec // the go command
	command.Dir, command.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	command.Stderr = os.Stderr
	if err := command.Run(); err != nil {
		return fmt.Errorf("building the manager and the simulator: %w", err)
	}
	return nil
}
