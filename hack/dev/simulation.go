package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"strconv"
	"time"

	"github.com/warmpool-dev/warmpool/internal/localplane"
	"github.com/warmpool-dev/warmpool/internal/process"
	"github.com/warmpool-dev/warmpool/internal/simulator"
	"github.com/warmpool-dev/warmpool/internal/simulator/adminclient"
)

const (
	// simulatorKey is no secret: the simulator takes it from everybody.
	simulatorKey = "sim-key"
	// simulatorCredit in dollars lasts for a day at the default speed.
	simulatorCredit = 1000
	labelPrefix     = "wp1."
)

// simulation is a running vastsim and its admin API.
type simulation struct {
	process   *process.Process
	URL       string `json:"url"`
	AdminURL  string `json:"adminURL"`
	admin     *adminclient.Client
	seed      uint64
	speed     float64
	firstLine *process.FirstLine
}

// startSimulation starts vastsim and sets the faults that were asked for.
func startSimulation(ctx context.Context, options *settings, place *layout, env []string) (*simulation, error) {
	s := &simulation{seed: options.seed, speed: options.speed, firstLine: process.NewFirstLine()}
	var err error
	s.process, err = process.Start(&process.Spec{
		Name: "vastsim", Program: filepath.Join(place.binaries, "vastsim"), Directory: place.root, Environment: env,
		Log: place.log("vastsim"), Stdout: s.firstLine,
		Arguments: []string{
			"--json", "--seed=" + strconv.FormatUint(options.seed, 10), "--speed=" + strconv.FormatFloat(options.speed, 'f', -1, 64),
			"--key=" + simulatorKey, "--credit=" + strconv.Itoa(simulatorCredit),
		},
	})
	if err != nil {
		return nil, err
	}
	if err = s.begin(ctx, options.faults); err != nil {
		return nil, errors.Join(err, s.process.Stop(ctx, localplane.StopTimeout))
	}
	return s, nil
}

// begin waits for the ready line and sets faults.
func (s *simulation) begin(ctx context.Context, faults []simulator.FaultSpec) error {
	ctx, cancel := context.WithTimeout(ctx, localplane.StartTimeout)
	defer cancel()
	select {
	case <-ctx.Done():
		return fmt.Errorf("waiting for the simulator: %w", context.Cause(ctx))
	case <-s.process.Done:
		return s.process.Obituary()
	case line := <-s.firstLine.Line:
		if err := json.Unmarshal(line, s); err != nil {
			return fmt.Errorf("reading the simulator's address: %w", err)
		}
		s.admin = adminclient.New(s.AdminURL)
	}
	for k := range faults {
		if err := s.admin.Call(ctx, http.MethodPost, "/faults", &faults[k], nil); err != nil {
			return fmt.Errorf("setting the fault %s: %w", faults[k].Name, err)
		}
	}
	return nil
}

// witness is what the simulator's meter counted for us and for everybody.
type witness struct {
	Now          time.Time                         `json:"now"`
	CreditMicros int64                             `json:"creditMicros"`
	Total        simulator.MeterSummary            `json:"total"`
	Prefixes     map[string]simulator.MeterSummary `json:"prefixes"`
}

// ours are the figures of the rentals with a label of ours.
func (w *witness) ours() simulator.MeterSummary { return w.Prefixes[labelPrefix] }

// ask reads the meter.
func (s *simulation) ask(ctx context.Context) (*witness, error) {
	var answer witness
	if err := s.admin.Call(ctx, http.MethodGet, "/meter?prefix="+url.QueryEscape(labelPrefix), nil, &answer); err != nil {
		return nil, fmt.Errorf("asking the simulator's meter: %w", err)
	}
	return &answer, nil
}
