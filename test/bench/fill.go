package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/warmpool-dev/warmpool/internal/simulator"
)

// The documented intervals that bounds are made of. Source: "x-rate-limit";
// searches are limited to ten in a minute.
const (
	createInterval  = 4500 * time.Millisecond
	destroyInterval = 3 * time.Second
	listInterval    = time.Second
	searchInterval  = 6 * time.Second
)

// measureFill grows a pool from zero. From the second instance on, the limit of
// one create in 4.5 s is the bound of the time from the first rent to the last.
// One instance alone needs no slot but its own: its figure is the time from the
// pool's creation to the rent, and its bound is what the limits can make it
// wait for at most, one slot each of the list, the search and the create.
func measureFill(ctx context.Context, b *bench, count int) (err error) {
	const spare = 20
	w, err := b.newWorld(ctx, fmt.Sprintf("fill-%d", count), count+spare, b.factor)
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
	created := w.clock.Now()
	if _, err = b.plane.createPool(ctx, client.ObjectKey{Namespace: w.namespace, Name: "fill"}, count, nil); err != nil {
		return err
	}
	bound := createInterval * time.Duration(count-1)
	patience := 2*w.clock.Wall(bound) + time.Minute
	err = await(ctx, patience, fmt.Sprintf("%d rents", count), func(context.Context) (bool, error) {
		return len(w.vast.Meter().Records) >= count, nil
	})
	if err != nil {
		return err
	}
	records := w.vast.Meter().Records
	slices.SortFunc(records, func(x, y simulator.RentalRecord) int { return x.Start.Compare(y.Start) })
	took := records[count-1].Start.Sub(records[0].Start)
	if count == 1 {
		bound, took = listInterval+searchInterval+createInterval, records[0].Start.Sub(created)
	}
	b.note("fill-%d: %d calls were refused as too frequent", count, w.refused())
	return b.report(fmt.Sprintf("fill-%d", count), took.Seconds(), "s", bound.Seconds())
}
