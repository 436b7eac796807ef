package main

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/warmpool-dev/warmpool/internal/localplane"
	"github.com/warmpool-dev/warmpool/internal/process"
)

// operatorProcess is the manager as a child that is started again when it ends
// by itself, as a Deployment would: kill -9 it and watch it take over from what
// it wrote down.
type operatorProcess struct {
	spec  process.Spec
	grace time.Duration
	say   func(format string, arguments ...any)
	// targets is told where the metrics are.
	targets *scrapeTargets

	cancel context.CancelFunc
	ended  chan struct{}

	mu       sync.Mutex
	current  *process.Process
	deaths   int
	metrics  string
	lastWord error
}

// startOperator starts the manager and keeps it running until stop. An empty
// vastURL is the real Vast.ai.
func (s *stack) startOperator(ctx context.Context, env []string, vastURL string) (*operatorProcess, error) {
	salt, err := s.place.auditSalt(s.secrets, os.LookupEnv)
	if err != nil {
		return nil, err
	}
	// Nothing real waits for the end of a simulation.
	patience := 5 * time.Second
	if s.options.real {
		patience = 30 * time.Second
	}
	o := &operatorProcess{
		say: s.out.say, targets: s.targets, grace: patience + 5*time.Second, ended: make(chan struct{}),
		spec: process.Spec{
			Name: "the manager", Program: filepath.Join(s.place.binaries, "manager"), Directory: s.place.root,
			Environment: append(slices.Clip(env), saltVariable+"="+salt), Log: s.place.log("manager"),
			Arguments: []string{
				"--kubeconfig=" + filepath.Join(s.place.state, "manager.kubeconfig"),
				// The next manager starts only when the last one is known to be gone.
				"--leader-elect=false", "--shutdown-timeout=" + patience.String(),
				"--audit-dir=" + s.place.audit(), "--audit-head-namespace=" + namespace,
			},
		},
	}
	if vastURL != "" {
		o.spec.Arguments = append(o.spec.Arguments, "--vast-base-url="+vastURL)
	}
	if s.options.verbose {
		o.spec.Arguments = append(o.spec.Arguments, "--log-level=2")
	}
	if err := o.start(ctx); err != nil {
		return nil, err
	}
	// The supervisor outlives the request to end: stop ends it.
	ctx, o.cancel = context.WithCancel(context.WithoutCancel(ctx))
	go o.supervise(ctx)
	return o, nil
}

// start starts the manager on ports that are free now.
func (o *operatorProcess) start(ctx context.Context) error {
	spec := o.spec
	ports, err := localplane.FreePorts(ctx, 2)
	if err != nil {
		return err
	}
	metrics, health := net.JoinHostPort(localplane.Loopback, ports[0]), net.JoinHostPort(localplane.Loopback, ports[1])
	spec.Arguments = append(slices.Clip(spec.Arguments), "--metrics-bind-address="+metrics, "--health-probe-bind-address="+health)
	started, err := process.Start(&spec)
	if err != nil {
		return err
	}
	if err := o.targets.set("warmpool-manager", metrics); err != nil {
		o.say("%v", err)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.current, o.metrics, o.spec.Add = started, "http://"+metrics+"/metrics", true
	return nil
}

// supervise starts the manager again when it ends, after a pause that grows
// while it does not live long.
func (o *operatorProcess) supervise(ctx context.Context) {
	const shortest, longest, healthy = time.Second, 15 * time.Second, 30 * time.Second
	defer close(o.ended)
	pause := shortest
	for {
		running, started := o.child(), time.Now()
		select {
		case <-ctx.Done():
			return
		case <-running.Done:
		}
		if time.Since(started) > healthy {
			pause = shortest
		}
		o.mu.Lock()
		o.deaths++
		o.lastWord = running.Obituary()
		o.mu.Unlock()
		o.say("The manager (pid %d) is gone: %s. It starts again in %s, as a Deployment would start it.", running.PID, running.Manner(), seconds(pause))
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		pause = min(2*pause, longest)
		if err := o.start(ctx); err != nil {
			o.say("%v", err)
			return
		}
		o.say("The manager is pid %d now.", o.child().PID)
	}
}

func (o *operatorProcess) child() *process.Process {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.current
}

// died returns how often the manager ended by itself, and how it last did.
func (o *operatorProcess) died() (times int, how error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.deaths, o.lastWord
}

func (o *operatorProcess) metricsURL() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.metrics
}

// stop ends the supervision first, then the manager.
func (o *operatorProcess) stop(ctx context.Context) error {
	if o == nil {
		return nil
	}
	o.cancel()
	<-o.ended
	return o.child().Stop(ctx, o.grace)
}
