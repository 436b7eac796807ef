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
	_, _, used, err := processorTime(p.PID)
	return used, err
}

// processorTime reads the name of a process, its parent, and the time that it has
// spent on processors, of user and kernel.
func processorTime(pid int) (name string, parent int, used time.Duration, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", 0, 0, fmt.Errorf("reading the CPU time of process %d (this works on Linux only): %w", pid, err)
	}
	// The second field is the name in parentheses and may hold anything. After
	// it, the parent is the 2nd, utime and stime are the 12th and 13th, in ticks of
	// 10 ms on every architecture that Linux shows to programs.
	const tick, above, utime, stime = 10 * time.Millisecond, 1, 11, 12
	begin, rest, found := strings.Cut(string(text), ") ")
	_, name, _ = strings.Cut(begin, "(")
	fields := strings.Fields(rest)
	if !found || len(fields) <= stime {
		return "", 0, 0, fmt.Errorf("reading the CPU time of process %d: %q", pid, text)
	}
	parent, parentErr := strconv.Atoi(fields[above])
	user, userErr := strconv.ParseInt(fields[utime], 10, 64)
	kernel, kernelErr := strconv.ParseInt(fields[stime], 10, 64)
	return name, parent, time.Duration(user+kernel) * tick, errors.Join(parentErr, userErr, kernelErr)
}

// familyTime is the processor time of this process and of its children, by name:
// etcd, kube-apiserver, and whatever a benchmark has started.
func familyTime() (map[string]time.Duration, error) {
	own := os.Getpid()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("reading the CPU time of the children (this works on Linux only): %w", err)
	}
	used := map[string]time.Duration{}
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		// One that has ended meanwhile is none of ours: they run until the end.
		if name, parent, spent, err := processorTime(pid); err == nil && (pid == own || parent == own) {
			used[name] += spent
		}
	}
	return used, nil
}

// buildPrograms builds the named commands as make does.
func buildPrograms(ctx context.Context, root, directory string, names ...string) error {
	arguments := []string{"build", "-trimpath", "-o", directory + string(filepath.Separator)}
	for _, name := range names {
		arguments = append(arguments, "./cmd/"+name)
	}
	command := exec.CommandContext(ctx, "go", arguments...) //nolint:gosec // the go command
	command.Dir, command.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	command.Stderr = os.Stderr
	if err := command.Run(); err != nil {
		return fmt.Errorf("building %s: %w", strings.Join(names, " and "), err)
	}
	return nil
}
