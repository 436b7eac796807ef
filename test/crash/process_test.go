package crash

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/warmpool-dev/warmpool/internal/testkit"
)

// manager is one life of the operator: a process.
type manager struct {
	process *os.Process
	exited  chan struct{}
	// ordered is set before the test ends the process: any other end is a fault.
	ordered atomic.Bool
	// outcome is the error of the process; read it after exited.
	outcome error
}

// startManager starts the test binary as an operator behind the proxies.
func startManager(doors *doors, clock *testkit.ScaledClock, output *transcript, arguments ...string) (*manager, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	command := exec.Command(program, append([]string{
		"--metrics-bind-address=0", "--health-probe-bind-address=0", "--log-level=1",
		"--installation-id=" + installation, "--vast-base-url=" + doors.vast.URL,
	}, arguments...)...)
	command.Env = append(os.Environ(), variableCluster+"="+doors.cluster.URL,
		variableEpoch+"="+strconv.FormatInt(clock.Epoch().UnixNano(), 10), variableSalt+"="+salt)
	command.Stdout, command.Stderr = output, output
	// Nothing stays behind when the test itself is killed.
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}

	m := &manager{exited: make(chan struct{})}
	started := make(chan error)
	go func() {
		// The signal comes when the thread that started the process ends, not
		// when its parent does: the thread stays until the process is gone.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := command.Start()
		m.process = command.Process
		started <- err
		if err == nil {
			m.outcome = command.Wait()
			close(m.exited)
		}
	}()
	return m, <-started
}

// kill is kill -9: it returns when the process is gone.
func (m *manager) kill() {
	m.ordered.Store(true)
	m.signal(syscall.SIGKILL)
	<-m.exited
}

// freeze stops the process in the middle of whatever it does; thaw lets it go on.
func (m *manager) freeze() { m.signal(syscall.SIGSTOP) }

func (m *manager) thaw() { m.signal(syscall.SIGCONT) }

func (m *manager) signal(s syscall.Signal) {
	if err := m.process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		panic(err) // a signal to a child of our own cannot be refused
	}
}

// isGone is true once the process has ended.
func (m *manager) isGone() bool {
	select {
	case <-m.exited:
		return true
	default:
		return false
	}
}

// transcript collects what all lives of one world print.
type transcript struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements io.Writer.
func (t *transcript) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.text.Write(p)
}

// has looks for a text.
func (t *transcript) has(text string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return bytes.Contains(t.text.Bytes(), []byte(text))
}

// tail returns the last lines.
func (t *transcript) tail(lines int) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := strings.Split(t.text.String(), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
