package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/simulator"
)

// measureEmergency stops an account with 100 live rentals of 100 prices, and
// measures from the first to the last DELETE that the simulator carried out.
func measureEmergency(ctx context.Context, b *bench) (err error) {
	const count, spare = 100, 20
	w, err := b.newWorld(ctx, "emergency", count+spare, b.factor)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	if err = b.seedWorld(ctx, w, count); err != nil {
		return err
	}
	ordered := w.clock.Now()
	if err = b.setMode(ctx, w, warmpool.AccountEmergencyStop); err != nil {
		return err
	}
	const bound = destroyInterval * (count - 1)
	err = await(ctx, 2*w.clock.Wall(bound)+time.Minute, "the end of all rentals", func(context.Context) (bool, error) {
		return len(w.vast.Meter().Live("")) == 0, nil
	})
	if err != nil {
		return err
	}
	records := w.vast.Meter().Records
	slices.SortFunc(records, func(x, y simulator.RentalRecord) int { return x.End.Compare(y.End) })
	if !slices.IsSortedFunc(records, func(x, y simulator.RentalRecord) int { return int(lastPrice(&y) - lastPrice(&x)) }) {
		return errors.New("the rentals did not end in the order of their prices, the costliest first")
	}
	b.note("emergency: %d calls were refused as too frequent", w.refused())
	return errors.Join(
		b.report("emergency-end-100", records[count-1].End.Sub(records[0].End).Seconds(), "s", bound.Seconds()),
		b.report("emergency-first-end", records[0].End.Sub(ordered).Seconds(), "s", destroyInterval.Seconds()),
	)
}

func lastPrice(record *simulator.RentalRecord) int64 {
	return record.Prices[len(record.Prices)-1].MicrosPerHour
}

// setMode changes the account's mode.
func (b *bench) setMode(ctx context.Context, w *world, mode warmpool.AccountMode) error {
	account, err := b.plane.account(ctx, w.namespace)
	if err != nil {
		return err
	}
	before := account.DeepCopy()
	account.Spec.Mode = mode
	if err := b.plane.client.Patch(ctx, account, client.MergeFrom(before)); err != nil {
		return fmt.Errorf("setting the mode of the account: %w", err)
	}
	return nil
}
