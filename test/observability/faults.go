package main

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"

	"github.com/warmpool-dev/warmpool/internal/fleet"
	"github.com/warmpool-dev/warmpool/internal/simulator"
)

// fault is a fault of the simulator that is set.
type fault struct {
	spec simulator.FaultSpec
	id   int64
}

// set sets the fault.
func (f *fault) set(ctx context.Context, s *stage) error {
	var answer struct {
		ID int64 `json:"id"`
	}
	if err := s.simulator.Call(ctx, http.MethodPost, "/faults", &f.spec, &answer); err != nil {
		return fmt.Errorf("setting the fault %s: %w", f.spec.Name, err)
	}
	f.id = answer.ID
	return nil
}

// remove removes it; one that is used up is no error.
func (f *fault) remove(ctx context.Context, s *stage) error {
	return s.simulator.Call(ctx, http.MethodDelete, "/faults/"+strconv.FormatInt(f.id, 10), nil, nil)
}

// offer is an offer of the simulator's market.
type offer struct {
	ID       int64   `json:"id"`
	Price    float64 `json:"dph_total"`
	Rentable bool    `json:"rentable"`
}

// offers lists the offers of the market, the cheapest first.
func (s *stage) offers(ctx context.Context) ([]offer, error) {
	var market struct {
		Offers []offer `json:"offers"`
	}
	if err := s.simulator.Call(ctx, http.MethodGet, "/market", nil, &market); err != nil {
		return nil, fmt.Errorf("reading the market: %w", err)
	}
	free := slices.DeleteFunc(market.Offers, func(o offer) bool { return !o.Rentable })
	slices.SortFunc(free, func(a, b offer) int { return cmp.Compare(a.Price, b.Price) })
	if len(free) == 0 {
		return nil, fmt.Errorf("the market is empty")
	}
	return free, nil
}

// rentAside rents an offer past Warmpool and returns the number of the rental.
func (s *stage) rentAside(ctx context.Context, chosen offer, label string) (int64, error) {
	var answer struct {
		ID int64 `json:"id"`
	}
	ask := struct {
		OfferID int64
		Label   string
	}{chosen.ID, label}
	if err := s.simulator.Call(ctx, http.MethodPost, "/rentals", &ask, &answer); err != nil {
		return 0, fmt.Errorf("renting by hand: %w", err)
	}
	return answer.ID, nil
}

// endAside lets the contract of a rental end.
func (s *stage) endAside(ctx context.Context, rental int64) error {
	gone := fault{spec: simulator.FaultSpec{Name: simulator.FaultVanished, Count: 1, Match: simulator.Match{Rental: rental}}}
	return gone.set(ctx, s)
}

// usd is an amount as the API wants it.
func usd(amount float64) fleet.USDMicros {
	const micros = 1e6
	return fleet.USDMicros(amount * micros)
}
