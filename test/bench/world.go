package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/rest"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/operator"
	"github.com/warmpool-dev/warmpool/internal/options"
	"github.com/warmpool-dev/warmpool/internal/simulator"
	"github.com/warmpool-dev/warmpool/internal/simulator/comfysim"
	"github.com/warmpool-dev/warmpool/internal/testkit"
)

// world is a namespace with an account, the Vast.ai that it pays, with the
// documented rate limits in force, and an operator in this process. All three
// run on one clock that is faster than the wall.
type world struct {
	plane     *controlPlane
	namespace string
	clock     *testkit.ScaledClock
	vast      *simulator.Server
	log       *os.File
	// ended gives the operator's error once it has ended.
	ended  chan error
	cancel context.CancelFunc
}

// newWorld starts a simulator with as many offers and makes the account. The
// operator starts with start.
func (b *bench) newWorld(ctx context.Context, name string, offers int, factor int64) (*world, error) {
	w := &world{plane: b.plane, clock: testkit.NewScaledClock(factor)}
	var err error
	if w.namespace, err = b.plane.namespace(ctx); err != nil {
		return nil, err
	}
	if err = b.plane.createAccount(ctx, w.namespace); err != nil {
		return nil, err
	}
	w.log, err = os.Create(filepath.Join(b.directory, name+".log")) //nolint:gosec // our own directory
	if err != nil {
		return nil, fmt.Errorf("opening a log: %w", err)
	}
	const credit = 1_000_000_000_000
	w.vast, err = simulator.Start(context.WithoutCancel(ctx), simulator.Config{
		Clock: w.clock, Keys: []string{apiKey}, Seed: 1, CreditMicros: credit, Market: market(offers),
		// The lives are short: no figure is about waiting for a host.
		Provisioning: &simulator.Provisioning{Destroy: simulator.DefaultProvisioning().Destroy},
		Backend:      &simulator.ComfyBackend{Timings: quickTimings()},
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("starting the simulator: %w", err), w.log.Close())
	}
	return w, nil
}

// market is frozen and has one machine per offer, each dearer than the last.
func market(offers int) simulator.Market {
	const cheapest, step = 300_000, 500
	m := simulator.Market{Frozen: true, Offers: []simulator.OfferSpec{}}
	for k := range int64(offers) {
		m.Offers = append(m.Offers, simulator.OfferSpec{
			MachineID: 9000 + k, PriceMicros: cheapest + k*step, Fields: map[string]any{"disk_space": 500.0},
		})
	}
	return m
}

// quickTimings are those of a ComfyUI that is there at once.
func quickTimings() comfysim.Timings {
	const moment = 200 * time.Millisecond
	return comfysim.Timings{CaddyUp: moment, Provisioning: moment, ComfyStart: moment, RenderTime: moment}
}

// start runs the operator until close.
func (w *world) start(ctx context.Context) error {
	settings, err := options.ParseManager([]string{
		"--leader-elect=false", "--metrics-bind-address=0", "--health-probe-bind-address=0",
		"--namespaces=" + w.namespace, "--installation-id=" + installation, "--vast-base-url=" + w.vast.URL(), "--log-level=1",
	}, func(string) (string, bool) { return "", false })
	if err != nil {
		return err
	}
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	w.cancel, w.ended = cancel, make(chan error, 1)
	// Where the clock is fast, a timeout of it is short on the wall.
	const wallFloor = 5 * time.Second
	go func() {
		w.ended <- operator.Run(running, settings, operator.Environment{
			RESTConfig: rest.CopyConfig(w.plane.config), Logger: w.logger(), Clock: w.clock,
			Registry: prometheus.NewRegistry(), WallFloor: wallFloor, SkipNameValidation: true,
		})
	}()
	return nil
}

func (w *world) logger() logr.Logger {
	return funcr.New(func(prefix, arguments string) {
		_, _ = io.WriteString(w.log, w.clock.Now().Format("15:04:05.000 ")+prefix+" "+arguments+"\n") //nolint:errcheck // a log that is full is no result
	}, funcr.Options{Verbosity: 1})
}

// close ends the operator, then the simulator.
func (w *world) close() error {
	var failures []error
	if w.cancel != nil {
		w.cancel()
		failures = append(failures, <-w.ended)
	}
	return errors.Join(append(failures, w.vast.Close(), w.log.Close())...)
}

// waitReadyAccount waits until the account may rent.
func (w *world) waitReadyAccount(ctx context.Context) error {
	const patience = time.Minute
	return await(ctx, patience, "the account to be ready", func(ctx context.Context) (bool, error) {
		account, err := w.plane.account(ctx, w.namespace)
		return err == nil && meta.IsStatusConditionTrue(account.Status.Conditions, warmpool.ConditionReady), err
	})
}

// waitReady waits until as many instances are ready.
func (w *world) waitReady(ctx context.Context, count int, patience time.Duration) error {
	return await(ctx, patience, fmt.Sprintf("%d ready instances", count), func(ctx context.Context) (bool, error) {
		ready, err := w.plane.ready(ctx, w.namespace)
		return ready >= count, err
	})
}

// refused counts the calls that the simulator answered with 429.
func (w *world) refused() int {
	const tooMany = 429
	sum := 0
	for _, byStatus := range w.vast.Requests() {
		sum += byStatus[tooMany]
	}
	return sum
}

// await polls on the wall until done, and says for what when it takes too long.
func await(ctx context.Context, patience time.Duration, what string, done func(ctx context.Context) (bool, error)) error {
	const period = 100 * time.Millisecond
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	ticker := time.NewTicker(period)
	defer ticker.Stop()
	for {
		ok, err := done(ctx)
		if err != nil {
			return fmt.Errorf("waiting for %s: %w", what, err)
		}
		if ok {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w", what, context.Cause(ctx))
		case <-ticker.C:
		}
	}
}
