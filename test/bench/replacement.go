package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/fleet"
	"github.com/warmpool-dev/warmpool/internal/simulator"
	"github.com/warmpool-dev/warmpool/internal/simulator/comfysim"
)

// leastBackoff is the least pause after a failure that a pool can ask for. The
// default of 30 s is there on purpose, and would hide what is measured.
const leastBackoff = 1

// measureReplacement breaks instances of a pool one after the other and
// measures from the moment that the operator gives one up to the rent of the
// next, at the simulator. The bound is the pause and one slot each of the
// search and the create: what the limits can make it wait for at most. The
// moment is kept in whole seconds, so the figure is up to 1 s too long.
func measureReplacement(ctx context.Context, b *bench) (err error) {
	const count, rounds, patience = 5, 3, 2 * time.Minute
	w, err := b.newWorld(ctx, "replacement", 2*count+2*rounds, b.factor)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	if err = w.start(ctx); err != nil {
		return err
	}
	if err = w.waitReadyAccount(ctx); err != nil {
		return err
	}
	_, err = b.plane.createPool(ctx, client.ObjectKey{Namespace: w.namespace, Name: "replaced"}, count, func(pool *warmpool.WarmPool) {
		pool.Spec.Remediation.Backoff.InitialSeconds = leastBackoff
		pool.Spec.Probes.PeriodSeconds = 5
	})
	if err != nil {
		return err
	}
	seen, err := b.watchFailures(ctx, w.namespace)
	if err != nil {
		return err
	}
	defer seen.end()
	var dead, lost []time.Duration
	for range rounds {
		for _, kind := range []struct {
			took *[]time.Duration
			hurt func(rental int64) error
		}{
			{&dead, func(rental int64) error {
				return w.vast.SetBackendFault(rental, simulator.BackendFault{Name: comfysim.FaultRefuse})
			}},
			{&lost, func(rental int64) error {
				_, failure := w.vast.AddFault(simulator.FaultSpec{Name: simulator.FaultVanished, Match: simulator.Match{Rental: rental}})
				return failure
			}},
		} {
			if err = w.waitReady(ctx, count, patience); err != nil {
				return err
			}
			took, err := replaceOne(ctx, w, seen, kind.hurt)
			if err != nil {
				return err
			}
			*kind.took = append(*kind.took, took)
		}
	}
	bound := leastBackoff*time.Second + searchInterval + createInterval
	return errors.Join(
		b.report("replacement-of-dead", slices.Max(dead).Seconds(), "s", bound.Seconds()),
		b.report("replacement-of-lost", slices.Max(lost).Seconds(), "s", bound.Seconds()),
	)
}

// replaceOne breaks the oldest instance and waits for the next rent.
func replaceOne(ctx context.Context, w *world, seen *failures, hurt func(rental int64) error) (time.Duration, error) {
	const patience = 3 * time.Minute
	before := w.vast.Meter()
	live := before.Live("")
	if len(live) == 0 {
		return 0, errors.New("there is nothing to break")
	}
	victim := live[0]
	label, ours := fleet.ParseLabel(victim.Label)
	if !ours {
		return 0, fmt.Errorf("rental %d has the label %q, which is not ours", victim.ID, victim.Label)
	}
	if err := hurt(victim.ID); err != nil {
		return 0, fmt.Errorf("breaking rental %d: %w", victim.ID, err)
	}
	err := await(ctx, patience, "the failure and the next rent", func(context.Context) (bool, error) {
		return !seen.of(label.InstanceUID).IsZero() && len(w.vast.Meter().Records) > len(before.Records), nil
	})
	if err != nil {
		return 0, err
	}
	return w.vast.Meter().Records[len(before.Records)].Start.Sub(seen.of(label.InstanceUID)), nil
}

// failures remembers status.failure.time of every instance by UID. It watches,
// because an instance that was lost is gone a moment after it was given up.
type failures struct {
	mu  sync.Mutex
	at  map[string]time.Time
	end func()
}

// watchFailures watches until end is called.
func (b *bench) watchFailures(ctx context.Context, namespace string) (*failures, error) {
	watched, err := b.plane.client.Watch(ctx, &warmpool.WarmInstanceList{}, client.InNamespace(namespace))
	if err != nil {
		return nil, fmt.Errorf("watching the instances: %w", err)
	}
	f := &failures{at: map[string]time.Time{}, end: watched.Stop}
	go func() {
		for event := range watched.ResultChan() {
			instance, ok := event.Object.(*warmpool.WarmInstance)
			if ok && instance.Status.Failure != nil {
				f.mu.Lock()
				f.at[string(instance.UID)] = instance.Status.Failure.Time.Time
				f.mu.Unlock()
			}
		}
	}()
	return f, nil
}

// of is when an instance was given up; zero before.
func (f *failures) of(uid string) time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.at[uid]
}
