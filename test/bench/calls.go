package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The endpoints of the simulator that a steady fleet may ask.
const (
	endpointList = "list"
	endpointUser = "user"
	endpointGet  = "get"
)

const (
	// pageSize is how many rentals the provider puts on a page.
	pageSize = 25
	// pollPeriod is the default of spec.pollPeriodSeconds.
	pollPeriod = 15 * time.Second
	// identityCalls is how often in a minute the provider is asked whose key it is.
	identityCalls = 1.0
	// increasesPeriod is how often the pending price increases are read.
	increasesPeriod = 10 * time.Minute
)

// reading is the simulator's count when a sweep had been written down.
type reading struct {
	at     time.Time
	counts requestCounts
}

// measureCalls counts what a fleet at rest asks of Vast.ai, over whole sweeps.
// A sweep reads every page once; nothing is asked per instance. A sweep whose
// pages take longer than the poll period is followed by the next one, so the
// bound of calls in a minute is the pages over the longer of the two.
func measureCalls(ctx context.Context, b *bench, count int) (err error) {
	const spare = 20
	name := fmt.Sprintf("calls-%d", count)
	w, err := b.newWorld(ctx, name, count+spare, b.callsFactor(count))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	if err = b.seedWorld(ctx, w, count); err != nil {
		return err
	}
	pages := (count + pageSize - 1) / pageSize
	period := max(pollPeriod, time.Duration(pages)*listInterval)
	// Whole minutes, and five sweeps at least.
	sweeps := max(int(4*time.Minute/period), 5)
	readings, err := b.watchSweeps(ctx, w, sweeps, period)
	if err != nil {
		return err
	}
	first, last := readings[0], readings[len(readings)-1]
	minutes := last.at.Sub(first.at).Minutes()
	since := func(endpoint string) float64 { return float64(last.counts.of(endpoint) - first.counts.of(endpoint)) }
	all := float64(last.counts.total() - first.counts.total())
	b.note("%s: %d sweeps in %.1f simulated minutes, %d calls refused as too frequent", name, sweeps, minutes, w.refused())
	others := all - since(endpointList) - since(endpointUser) - since(endpointGet)
	return errors.Join(
		b.report(name+"-per-sweep", since(endpointList)/float64(sweeps), "calls", float64(pages)),
		b.report(name+"-per-minute", since(endpointList)/minutes, "calls/min", float64(pages)*time.Minute.Seconds()/period.Seconds()),
		b.report(name+"-identity", since(endpointUser)/minutes, "calls/min", identityCalls),
		b.report(name+"-per-instance", since(endpointGet)/minutes, "calls/min", 0),
		b.report(name+"-other", others/minutes, "calls/min", math.Ceil(minutes/increasesPeriod.Minutes())/minutes),
	)
}

// callsFactor slows the clock down for fleets that keep the machine busy.
func (b *bench) callsFactor(count int) int64 {
	const large, slow = 1000, 4
	if count >= large {
		return min(b.factor, slow)
	}
	return b.factor
}

// watchSweeps returns one reading at the end of each of sweeps+1 sweeps.
func (b *bench) watchSweeps(ctx context.Context, w *world, sweeps int, period time.Duration) ([]reading, error) {
	// The first sweep after everything is ready may still be under way.
	const settle = 2
	readings := []reading{}
	var last metav1.Time
	patience := w.clock.Wall(time.Duration(sweeps+settle+2)*2*period) + time.Minute
	err := await(ctx, patience, fmt.Sprintf("%d sweeps", sweeps), func(ctx context.Context) (bool, error) {
		account, err := b.plane.account(ctx, w.namespace)
		if err != nil || account.Status.LastSweep == nil {
			return false, err
		}
		if at := account.Status.LastSweep.Time; !at.Equal(&last) {
			last = at
			readings = append(readings, reading{at: w.clock.Now(), counts: w.vast.Requests()})
			if !account.Status.LastSweep.Trusted {
				return false, errors.New("a sweep was not trusted")
			}
		}
		return len(readings) > sweeps+settle, nil
	})
	if err != nil {
		return nil, err
	}
	return readings[settle:], nil
}
