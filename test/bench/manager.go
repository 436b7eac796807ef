package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/warmpool-dev/warmpool/internal/localplane"
	"github.com/warmpool-dev/warmpool/internal/simulator/adminclient"
)

const (
	// memoryBound is what the manager may hold at 2,000 instances, in megabytes
	// of a million bytes; half a cheap pod's usual request.
	memoryBound = 150.0
	// cpuBound is milliseconds of processor per instance and minute: four
	// probes, of one TLS handshake and one call each, at 2 ms, and as much again
	// for sweeps, caches and garbage.
	cpuBound = 16.0
	megabyte = 1e6
)

// fleetRun is the real manager with a simulator, each a process of its own, on
// the wall's clock, with the documented rate limits in force.
type fleetRun struct {
	*bench
	namespace    string
	directory    string
	sim, manager *program
	admin        *simAdmin
	metrics      string
}

// measureManager brings a fleet to rest and watches the manager from /proc.
func measureManager(ctx context.Context, b *bench, pools int) (err error) {
	name, count := fmt.Sprintf("manager-%dx%d", pools, poolSize), pools*poolSize
	run := &fleetRun{bench: b, directory: filepath.Join(b.directory, name)}
	if err = os.Mkdir(run.directory, 0o700); err != nil {
		return fmt.Errorf("making a directory: %w", err)
	}
	defer func() { err = errors.Join(err, run.manager.stop(ctx), run.sim.stop(ctx)) }()
	if err = run.start(ctx, count); err != nil {
		return err
	}
	if err = run.settle(ctx, count); err != nil {
		return err
	}
	b.note("%s: %d instances are ready; watching for %s", name, count, b.watch)
	used, most, err := run.observe(ctx)
	if err != nil {
		return err
	}
	_, highest, err := run.manager.memory()
	if err != nil {
		return err
	}
	ready, err := b.plane.ready(ctx, run.namespace)
	if err != nil || ready != count {
		return fmt.Errorf("watching the manager: %d of %d instances are ready at the end: %w", ready, count, errors.Join(err, errEnded))
	}
	run.profile(ctx)
	return errors.Join(
		b.report(name+"-rss", float64(most)/megabyte, "MB", memoryBound),
		b.report(name+"-peak-rss", float64(max(highest, most))/megabyte, "MB", memoryBound),
		b.report(name+"-cpu", used.Seconds()/b.watch.Minutes(), "s/min", cpuBound*float64(count)/1000),
	)
}

// start starts the simulator, seeds it, and starts the manager.
func (r *fleetRun) start(ctx context.Context, count int) (err error) {
	if err = buildPrograms(ctx, r.plane.root, r.directory, "manager", "vastsim"); err != nil {
		return err
	}
	if err = r.startSimulator(ctx, count); err != nil {
		return err
	}
	if r.namespace, err = r.plane.namespace(ctx); err != nil {
		return err
	}
	if err = r.plane.createAccount(ctx, r.namespace); err != nil {
		return err
	}
	s := &seeder{plane: r.plane, namespace: r.namespace, sim: r.admin, now: time.Now}
	if err = s.seed(ctx, count); err != nil {
		return err
	}
	// Everybody's image is pulled and everybody's ComfyUI has started.
	const steps, step = 40, 30 * time.Second
	for range steps {
		if err = r.admin.advance(ctx, step); err != nil {
			return err
		}
	}
	ports, err := localplane.FreePorts(ctx, 2)
	if err != nil {
		return err
	}
	r.metrics = net.JoinHostPort(localplane.Loopback, ports[0])
	r.manager, err = startProgram(r.directory, filepath.Join(r.directory, "manager"), nil,
		"--kubeconfig="+r.plane.kubeconfig, "--namespaces="+r.namespace, "--vast-base-url="+r.admin.URL, "--installation-id="+installation,
		"--leader-election-namespace="+r.namespace, "--metrics-bind-address="+r.metrics, "--health-probe-bind-address="+net.JoinHostPort(localplane.Loopback, ports[1]), "--pprof")
	r.note("%d rentals are there; the manager is pid %d", count, r.manager.PID)
	return err
}

// errNotReady is a simulator that does not say that it is ready.
var errNotReady = errors.New("it is not ready")

// startSimulator starts vastsim at the wall's speed.
func (r *fleetRun) startSimulator(ctx context.Context, count int) (err error) {
	// The recorded market has about a hundred machines that can be rented.
	const machines, patience = 50, time.Minute
	copies := 1 + count/machines
	line := &bytes.Buffer{}
	reader, writer := io.Pipe()
	r.sim, err = startProgram(r.directory, filepath.Join(r.directory, "vastsim"), writer,
		"--json", "--key="+apiKey, "--frozen-market", "--replicas="+strconv.Itoa(copies), "--credit=100000000")
	if err != nil {
		return err
	}
	ready := make(chan error, 1)
	go func() {
		r.admin = newSimAdmin("", "")
		failure := json.NewDecoder(io.TeeReader(reader, line)).Decode(r.admin)
		r.admin.admin = adminclient.New(r.admin.AdminURL)
		ready <- failure
		_, _ = io.Copy(io.Discard, reader) //nolint:errcheck // nothing else is said
	}()
	select {
	case err = <-ready:
	case <-r.sim.Done:
		err = r.sim.alive()
	case <-time.After(patience):
		err = errNotReady
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	if err != nil {
		return fmt.Errorf("starting the simulator: %w; it said %q", err, line)
	}
	return nil
}

// settle waits until everything is ready. Meanwhile the simulator's clock is
// moved ahead, so that the test prompts of thousands do not take ten minutes.
func (r *fleetRun) settle(ctx context.Context, count int) error {
	const patience, step = 15 * time.Minute, 2 * time.Second
	next := time.Now()
	err := await(ctx, patience, fmt.Sprintf("%d ready instances", count), func(ctx context.Context) (bool, error) {
		if err := errors.Join(r.manager.alive(), r.sim.alive()); err != nil {
			return false, err
		}
		if time.Now().Before(next) {
			return false, nil
		}
		next = time.Now().Add(time.Second)
		if err := r.admin.advance(ctx, step); err != nil {
			return false, err
		}
		ready, err := r.plane.ready(ctx, r.namespace)
		return ready >= count, err
	})
	if err != nil {
		return err
	}
	// What the start left behind is collected within two minutes; a sweep of
	// 2,000 takes 80 s.
	const rest = 90 * time.Second
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(rest):
		return nil
	}
}

// observe returns the CPU time of the watch and the largest resident set in it.
func (r *fleetRun) observe(ctx context.Context) (used time.Duration, most int64, err error) {
	before, err := r.manager.cpu()
	if err != nil {
		return 0, 0, err
	}
	ticker, end := time.NewTicker(time.Second), time.After(r.watch)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return 0, 0, context.Cause(ctx)
		case <-r.manager.Done:
			return 0, 0, r.manager.alive()
		case <-ticker.C:
			resident, _, err := r.manager.memory()
			if err != nil {
				return 0, 0, err
			}
			most = max(most, resident)
		case <-end:
			after, err := r.manager.cpu()
			return after - before, most, err
		}
	}
}

// profile keeps what pprof says beside the logs, for those who want to know why.
func (r *fleetRun) profile(ctx context.Context) {
	if !r.keep {
		return
	}
	for name, path := range map[string]string{"heap": "heap", "allocs": "allocs", "goroutine": "goroutine", "cpu": "profile?seconds=30", "metrics": ""} {
		address := "http://" + r.metrics + "/debug/pprof/" + path
		if path == "" {
			address = "http://" + r.metrics + "/metrics"
		}
		if err := download(ctx, address, filepath.Join(r.directory, name)); err != nil {
			r.note("the profile %s is missing: %v", name, err)
		}
	}
}

func download(ctx context.Context, address, path string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close() //nolint:errcheck // it was read to its end
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	return os.WriteFile(path, text, 0o600)
}
