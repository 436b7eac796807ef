package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"strconv"
	"time"

	"github.com/warmpool-dev/warmpool/internal/simulator"
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
	process   *child
	URL       string `json:"url"`
	AdminURL  string `json:"adminURL"`
	client    http.Client
	seed      uint64
	speed     float64
	firstLine *lineReader
}

// startSimulation starts vastsim and sets the faults that were asked for.
func startSimulation(ctx context.Context, options *settings, place *layout, env []string) (*simulation, error) {
	const timeout = 5 * time.Second
	s := &simulation{seed: options.seed, speed: options.speed, client: http.Client{Timeout: timeout}, firstLine: newLineReader()}
	var err error
	s.process, err = startChild(&childSpec{
		name: "vastsim", program: filepath.Join(place.binaries, "vastsim"), directory: place.root, environment: env,
		log: place.log("vastsim"), stdout: s.firstLine,
		arguments: []string{
			"--json", "--seed=" + strconv.FormatUint(options.seed, 10), "--speed=" + strconv.FormatFloat(options.speed, 'f', -1, 64),
			"--key=" + simulatorKey, "--credit=" + strconv.Itoa(simulatorCredit),
		},
	})
	if err != nil {
		return nil, err
	}
	if err = s.begin(ctx, options.faults); err != nil {
		return nil, errors.Join(err, s.process.stop(ctx, stopTimeout))
	}
	return s, nil
}

// begin waits for the ready line and sets faults.
func (s *simulation) begin(ctx context.Context, faults []simulator.FaultSpec) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	select {
	case <-ctx.Done():
		return fmt.Errorf("waiting for the simulator: %w", context.Cause(ctx))
	case <-s.process.done:
		return s.process.obituary()
	case line := <-s.firstLine.line:
		if err := json.Unmarshal(line, s); err != nil {
			return fmt.Errorf("reading the simulator's address: %w", err)
		}
	}
	for k := range faults {
		if err := s.call(ctx, http.MethodPost, "/faults", &faults[k], nil); err != nil {
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
	if err := s.call(ctx, http.MethodGet, "/meter?prefix="+url.QueryEscape(labelPrefix), nil, &answer); err != nil {
		return nil, fmt.Errorf("asking the simulator's meter: %w", err)
	}
	return &answer, nil
}

// call makes one call of the admin API.
func (s *simulation) call(ctx context.Context, method, path string, in, into any) error {
	body := []byte{}
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return err
		}
	}
	request, err := http.NewRequestWithContext(ctx, method, s.AdminURL+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	response, err := s.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close() //nolint:errcheck // it was read to its end
	const most = 64 << 20
	text, err := io.ReadAll(io.LimitReader(response.Body, most))
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		var refusal struct {
			Error string `json:"error"`
		}
		if json.Unmarshal(text, &refusal) == nil && refusal.Error != "" {
			return fmt.Errorf("the simulator refused: %s", refusal.Error)
		}
		return fmt.Errorf("the simulator answered %s", response.Status)
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(text, into)
}

// lineReader is a writer that hands on the first line written to it.
type lineReader struct {
	line   chan []byte
	buffer []byte
	found  bool
}

func newLineReader() *lineReader { return &lineReader{line: make(chan []byte, 1)} }

// Write implements io.Writer.
func (r *lineReader) Write(text []byte) (int, error) {
	if r.found {
		return len(text), nil
	}
	r.buffer = append(r.buffer, text...)
	if at := bytes.IndexByte(r.buffer, '\n'); at >= 0 {
		r.found = true
		r.line <- r.buffer[:at]
	}
	return len(text), nil
}
