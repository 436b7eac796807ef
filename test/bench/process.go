package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/warmpool-dev/warmpool/internal/process"
)

// program is a running child.
type program struct{ *process.Process }

// startProgram starts a program; its standard error, and its standard output
// unless stdout is given, go to a log in the directory.
func startProgram(directory, path string, stdout io.Writer, arguments ...string) (*program, error) {
	name := filepath.Base(path)
	started, err := process.Start(&process.Spec{
		Name: name, Program: path, Arguments: arguments, Environment: os.Environ(),
		Log: filepath.Join(directory, name+".log"), Stdout: stdout, Add: true,
	})
	return &program{started}, err
}

// alive is an error once the program has ended by itself.
func (p *program) alive() error {
	if p.IsRunning() {
		return nil
	}
	return p.Obituary()
}

// stop ends the program, if it was started, and waits for it.
func (p *program) stop(ctx context.Context) error {
	const grace = 20 * time.Second
	if p == nil {
		return nil
	}
	return p.Stop(context.WithoutCancel(ctx), grace)
}

// errEnded is how a fleet ended that should have stayed as it was.
var errEnded = errors.New("it should run on")

// memory is the resident set of a process in bytes: now, and at its highest.
func (p *program) memory() (resident, highest int64, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.PID))
	if err != nil {
		return 0, 0, fmt.Errorf("reading the memory of %s (this works on Linux only): %w", p.Name, err)
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
func (p *program) cpu() (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.PID))
	if err != nil {
		return 0, fmt.Errorf("reading the CPU time of %s (this works on Linux only): %w", p.Name, err)
	}
	// The second field is the name in parentheses and may hold anything. After
	// it, utime and stime are the 12th and 13th, in ticks of 10 ms on every
	// architecture that Linux shows to programs.
	const tick, utime, stime = 10 * time.Millisecond, 11, 12
	_, rest, found := strings.Cut(string(text), ") ")
	fields := strings.Fields(rest)
	if !found || len(fields) <= stime {
		return 0, fmt.Errorf("reading the CPU time of %s: %q", p.Name, text)
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
