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
	"strings"
	"syscall"
	"time"
)

// obituaryLines of a log are shown when its program ended by itself.
const obituaryLines = 10

// childSpec says what to start.
type childSpec struct {
	// name is for people; program is the path, directory the working directory.
	name, program, directory string
	arguments                []string
	// environment is the whole of it: nothing is inherited.
	environment []string
	// log is the file that gets both streams; stdout, if not nil, gets the first.
	log    string
	stdout io.Writer
	// add lets the log of a restarted program go on.
	add bool
}

// child is a running program.
type child struct {
	name, log string
	pid       int
	done      chan struct{}
	err       error // how it ended; read after done
}

// startChild starts a program.
func startChild(spec *childSpec) (*child, error) {
	mode := os.O_CREATE | os.O_WRONLY | os.O_APPEND
	if !spec.add {
		mode |= os.O_TRUNC
	}
	log, err := os.OpenFile(filepath.Clean(spec.log), mode, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the log of %s: %w", spec.name, err)
	}
	command := exec.Command(spec.program, spec.arguments...) //nolint:gosec,noctx // our own programs; they are ended in order, not by a context
	command.Dir, command.Env = spec.directory, spec.environment
	command.Stdout, command.Stderr, command.SysProcAttr = log, log, childAttributes()
	if spec.stdout != nil {
		command.Stdout = spec.stdout
	}
	c := &child{name: spec.name, log: spec.log, done: make(chan struct{})}
	started := make(chan error)
	go func() {
		// The kernel sends the death signal when the thread that forked ends, not
		// the process: this thread has to live as long as the child.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		failure := command.Start()
		if failure == nil {
			c.pid = command.Process.Pid
		}
		started <- failure
		if failure == nil {
			c.err = command.Wait()
			close(c.done)
		}
		log.Close() //nolint:errcheck,gosec // the child wrote it, not we
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("starting %s: %w", spec.name, err)
	}
	return c, nil
}

// isRunning is true until the program has ended.
func (c *child) isRunning() bool {
	select {
	case <-c.done:
		return false
	default:
		return true
	}
}

// stop asks the program to end, and kills it when it has not after grace, or
// at once when ctx has ended. It returns when the program is gone.
func (c *child) stop(ctx context.Context, grace time.Duration) error {
	if c == nil || !c.isRunning() {
		return nil
	}
	if err := syscall.Kill(-c.pid, syscall.SIGTERM); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("stopping %s: %w", c.name, err)
	}
	patience, cancel := context.WithTimeout(ctx, grace)
	defer cancel()
	select {
	case <-c.done:
		return nil
	case <-patience.Done():
	}
	if err := syscall.Kill(-c.pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("killing %s: %w", c.name, err)
	}
	<-c.done
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("stopping %s: it did not end within %v and was killed; its log is %s", c.name, grace, c.log)
}

// obituary says how a program ended by itself, with the end of its log.
func (c *child) obituary() error {
	return fmt.Errorf("%s (pid %d) is gone: %s; the end of %s:\n%s", c.name, c.pid, c.manner(), c.log, indent(lastLines(c.log, obituaryLines)))
}

// manner says in a few words how a program ended.
func (c *child) manner() string {
	if c.err != nil {
		return c.err.Error()
	}
	return "exit status 0"
}

// lastLines returns the last lines of a file.
func lastLines(path string, count int) string {
	const most = 64 << 10
	file, err := os.Open(filepath.Clean(path))
	if err != nil {
		return err.Error()
	}
	defer file.Close() //nolint:errcheck // only read
	if info, statErr := file.Stat(); statErr == nil && info.Size() > most {
		if _, err = file.Seek(-most, io.SeekEnd); err != nil {
			return err.Error()
		}
	}
	text, err := io.ReadAll(file)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-count):], "\n")
}

// indent sets a block apart from what surrounds it.
func indent(text string) string {
	return "  " + strings.ReplaceAll(strings.TrimRight(text, "\n"), "\n", "\n  ")
}
