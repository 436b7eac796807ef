package process

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

// Spec says what to start.
type Spec struct {
	// Name is for people.
	Name string
	// Program is the path, Directory the working directory.
	Program, Directory string
	// Arguments are those after the program's name.
	Arguments []string
	// Environment is the whole of it: nothing is inherited.
	Environment []string
	// Log is the file that gets both streams.
	Log string
	// Stdout, if not nil, gets the first stream instead.
	Stdout io.Writer
	// Add lets the log of a restarted program go on.
	Add bool
}

// Process is a running program.
type Process struct {
	// Name is for people, Log the file of what it says.
	Name, Log string
	// PID is its number and that of its process group.
	PID int
	// Done is closed when it has ended.
	Done chan struct{}
	err  error // how it ended; read after Done
}

// Start starts a program in a process group of its own, which the kernel kills
// when this program is killed (on Linux).
func Start(spec *Spec) (*Process, error) {
	mode := os.O_CREATE | os.O_WRONLY | os.O_APPEND
	if !spec.Add {
		mode |= os.O_TRUNC
	}
	log, err := os.OpenFile(filepath.Clean(spec.Log), mode, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the log of %s: %w", spec.Name, err)
	}
	command := exec.Command(spec.Program, spec.Arguments...) //nolint:gosec,noctx // our own programs; they are ended in order, not by a context
	command.Dir, command.Env = spec.Directory, spec.Environment
	command.Stdout, command.Stderr, command.SysProcAttr = log, log, childAttributes()
	if spec.Stdout != nil {
		command.Stdout = spec.Stdout
	}
	c := &Process{Name: spec.Name, Log: spec.Log, Done: make(chan struct{})}
	started := make(chan error)
	go func() {
		// The kernel sends the death signal when the thread that forked ends, not
		// the process: this thread has to live as long as the child.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		failure := command.Start()
		if failure == nil {
			c.PID = command.Process.Pid
		}
		started <- failure
		if failure == nil {
			c.err = command.Wait()
			close(c.Done)
		}
		log.Close() //nolint:errcheck,gosec // the child wrote it, not we
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("starting %s: %w", spec.Name, err)
	}
	return c, nil
}

// IsRunning is true until the program has ended.
func (c *Process) IsRunning() bool {
	select {
	case <-c.Done:
		return false
	default:
		return true
	}
}

// Stop asks the program to end, and kills it when it has not after grace, or
// at once when ctx has ended. It returns when the program is gone.
func (c *Process) Stop(ctx context.Context, grace time.Duration) error {
	if c == nil || !c.IsRunning() {
		return nil
	}
	if err := syscall.Kill(-c.PID, syscall.SIGTERM); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("stopping %s: %w", c.Name, err)
	}
	patience, cancel := context.WithTimeout(ctx, grace)
	defer cancel()
	select {
	case <-c.Done:
		return nil
	case <-patience.Done():
	}
	if err := syscall.Kill(-c.PID, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("killing %s: %w", c.Name, err)
	}
	<-c.Done
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("stopping %s: it did not end within %v and was killed; its log is %s", c.Name, grace, c.Log)
}

// Signal sends a signal to the process and to what it started. One that is gone
// is no error.
func (c *Process) Signal(signal syscall.Signal) error {
	if err := syscall.Kill(-c.PID, signal); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("sending %s to %s: %w", signal, c.Name, err)
	}
	return nil
}

// Obituary says how a program ended by itself, with the end of its log.
func (c *Process) Obituary() error {
	return fmt.Errorf("%s (pid %d) is gone: %s; the end of %s:\n%s", c.Name, c.PID, c.Manner(), c.Log, Indent(LastLines(c.Log, obituaryLines)))
}

// Manner says in a few words how a program ended.
func (c *Process) Manner() string {
	if c.err != nil {
		return c.err.Error()
	}
	return "exit status 0"
}

// LastLines returns the last lines of a file.
func LastLines(path string, count int) string {
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

// Indent sets a block apart from what surrounds it.
func Indent(text string) string {
	return "  " + strings.ReplaceAll(strings.TrimRight(text, "\n"), "\n", "\n  ")
}
