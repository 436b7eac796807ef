package main

import (
	"context"
	"sync"
	"syscall"
	"time"

	"github.com/warmpool-dev/warmpool/internal/process"
)

// managerProcess is a manager that is started again when it ends, as a
// Deployment would start it.
type managerProcess struct {
	spec   *process.Spec
	cancel context.CancelFunc
	ended  chan struct{}

	mu      sync.Mutex
	current *process.Process
	// pause is how long the next start waits.
	pause time.Duration
	// killed is true between a kill of ours and the next start.
	killed bool
	// resignations counts the ends that nobody ordered: a leader that cannot
	// renew its lease ends itself.
	resignations int
	// changes are the times of starts and ends: what a manager remembers is
	// gone then.
	changes []time.Time
}

// startManager starts a manager and keeps it running until stop.
func startManager(ctx context.Context, spec *process.Spec) (*managerProcess, error) {
	m := &managerProcess{spec: spec, ended: make(chan struct{}), pause: restartPause}
	if err := m.start(); err != nil {
		return nil, err
	}
	// It goes on until stop, so that an interrupted run is ended in order, too.
	ctx, m.cancel = context.WithCancel(context.WithoutCancel(ctx))
	go m.supervise(ctx)
	return m, nil
}

// restartPause is the pause before a start that follows an end nobody ordered.
const restartPause = time.Second

func (m *managerProcess) start() error {
	started, err := process.Start(m.spec)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.current, m.killed, m.pause = started, false, restartPause
	m.changes = append(m.changes, time.Now())
	return nil
}

func (m *managerProcess) supervise(ctx context.Context) {
	defer close(m.ended)
	for {
		select {
		case <-ctx.Done():
			return
		case <-m.running().Done:
		}
		m.mu.Lock()
		m.changes = append(m.changes, time.Now())
		if !m.killed {
			m.resignations++
		}
		pause := m.pause
		m.mu.Unlock()
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		// A machine without memory or processes refuses for a while.
		for m.start() != nil {
			wait(ctx, restartPause)
			if ctx.Err() != nil {
				return
			}
		}
	}
}

func (m *managerProcess) running() *process.Process {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.current
}

// kill sends a signal that ends the manager and says when it starts again. It
// returns false when it was not running.
func (m *managerProcess) kill(signal syscall.Signal, pause time.Duration) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.current.IsRunning() {
		return false, nil
	}
	m.killed, m.pause = true, pause
	// One that is paused would not see a polite request.
	if signal != syscall.SIGKILL {
		if err := m.current.Signal(syscall.SIGCONT); err != nil {
			return false, err
		}
	}
	return true, m.current.Signal(signal)
}

// resigned is how often it ended by itself.
func (m *managerProcess) resigned() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.resignations
}

// changed are the times of starts and ends.
func (m *managerProcess) changed() []time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]time.Time{}, m.changes...)
}

// stop ends the supervision first, then the manager.
func (m *managerProcess) stop(ctx context.Context) error {
	const grace = 10 * time.Second
	m.cancel()
	<-m.ended
	running := m.running()
	if err := running.Signal(syscall.SIGCONT); err != nil {
		return err
	}
	return running.Stop(ctx, grace)
}
