package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/warmpool-dev/warmpool/internal/simulator"
)

// chaos runs everything and judges it. It returns no verdict when nothing
// could be judged.
func chaos(ctx context.Context, chosen *settings) (result *verdict, err error) {
	directory, err := os.MkdirTemp("", "warmpool-chaos-")
	if err != nil {
		return nil, fmt.Errorf("making a directory for logs: %w", err)
	}
	plan := planActs(chosen.seed, chosen.length)
	fmt.Printf("chaos: seed %d, %s of faults in %d rounds, %d acts planned; logs in %s\n", chosen.seed, chosen.length, rounds(chosen.length), len(plan), directory)
	defer func() {
		if err == nil && result != nil && result.isGood() && !chosen.keep {
			err = os.RemoveAll(directory)
			return
		}
		fmt.Printf("chaos: the logs are kept in %s; the same plan again: make chaos SECONDS=%d SEED=%d\n", directory, int(chosen.length.Seconds()), chosen.seed)
	}()
	s, err := newStage(ctx, directory)
	defer func() {
		// An interrupted run is ended in order as well, in bounded time.
		const grace = time.Minute
		stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
		defer cancel()
		err = errors.Join(err, s.stop(stopping))
	}()
	if err != nil {
		return nil, fmt.Errorf("starting: %w", err)
	}
	if err = s.populate(ctx); err != nil {
		return nil, err
	}
	p := &performer{stage: s, held: map[string]int{}}
	result = &verdict{length: chosen.length, planned: len(plan)}
	watched, stopWatching := context.WithCancel(ctx)
	defer stopWatching()
	go p.tell(watched)
	if err = p.performAll(ctx, chosen, plan, result); err != nil {
		result.failures = append(result.failures, err.Error())
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
	}
	stopWatching()
	err = p.judge(context.WithoutCancel(ctx), result)
	return result, err
}

// performAll carries out round after round, lets everything converge after
// each, and deletes everything at the end.
func (p *performer) performAll(ctx context.Context, chosen *settings, plan []act, result *verdict) error {
	for round := range rounds(chosen.length) {
		if err := p.performRound(ctx, plan, round); err != nil {
			return err
		}
		took, err := p.converge(ctx, chosen.patience)
		if err != nil {
			return fmt.Errorf("after round %d: %w", round+1, err)
		}
		fmt.Printf("chaos: round %d converged %s after its last fault\n", round+1, took)
		result.convergences = append(result.convergences, took)
		p.tellFindings(ctx)
	}
	if err := p.deleteAll(ctx, chosen.patience); err != nil {
		return err
	}
	result.converged = true
	return nil
}

// judge asks the witnesses.
func (p *performer) judge(ctx context.Context, result *verdict) error {
	records, err := p.records(ctx)
	if err != nil {
		return fmt.Errorf("asking the witness: %w", err)
	}
	e := p.evidenceOf(records)
	for _, manager := range p.managers {
		result.resignations += manager.resigned()
	}
	p.history.stop()
	p.history.with(func(recorded *book) { e.book = recorded })
	if p.history.failure != nil && !errors.Is(p.history.failure, context.Canceled) {
		return fmt.Errorf("reading the history: %w", p.history.failure)
	}
	result.failovers = p.failovers(ctx)
	result.add(e)
	secrets, err := p.leakedSecrets()
	result.failures = append(result.failures, secrets...)
	return errors.Join(err, writeDeeds(p.file("deeds.log"), e.done), result.write(os.Stdout, e))
}

// evidenceOf is what there is to judge, without the history.
func (p *performer) evidenceOf(records []simulator.RentalRecord) *evidence {
	e := &evidence{records: records, now: time.Now(), done: p.deeds()}
	for _, manager := range p.managers {
		e.restarts = append(e.restarts, manager.changed()...)
	}
	slices.SortFunc(e.restarts, time.Time.Compare)
	return e
}

// tellFindings says what is wrong already: nobody should have to wait for it.
func (p *performer) tellFindings(ctx context.Context) {
	records, err := p.records(ctx)
	if err != nil {
		return
	}
	e, early := p.evidenceOf(records), verdict{}
	p.history.with(func(recorded *book) {
		e.book = recorded
		early.add(e)
	})
	for k := range early.findings {
		fmt.Printf("chaos: FOUND %s\n", early.findings[k].String())
	}
}

// failovers is how often the lease has changed hands.
func (p *performer) failovers(ctx context.Context) int {
	var leases coordinationv1.LeaseList
	if err := insist(ctx, func(ctx context.Context) error { return p.client.List(ctx, &leases, client.InNamespace(namespace)) }); err != nil {
		return 0
	}
	count := 0
	for k := range leases.Items {
		if transitions := leases.Items[k].Spec.LeaseTransitions; transitions != nil {
			count += int(*transitions)
		}
	}
	return count
}

// leakedSecrets looks for API keys (I8), and for panics, in what the managers said.
func (p *performer) leakedSecrets() ([]string, error) {
	var found []string
	for host := range p.managers {
		text, err := os.ReadFile(filepath.Clean(p.log(host)))
		if err != nil {
			return nil, fmt.Errorf("reading the log of %s: %w", host, err)
		}
		for what, word := range map[string]string{
			"an API key": keyFirst, "the second API key": keySecond, "the other account's API key": keyForeign, "a wrong API key": keyWrong,
			"a panic": "panic: ", "a data race": "DATA RACE",
		} {
			if bytes.Contains(text, []byte(word)) {
				found = append(found, fmt.Sprintf("the log of %s holds %s", host, what))
			}
		}
	}
	return found, nil
}

// tell says every now and then how things are.
func (p *performer) tell(ctx context.Context) {
	const period = 20 * time.Second
	started := time.Now()
	for {
		wait(ctx, period)
		if ctx.Err() != nil {
			return
		}
		records, err := p.records(ctx)
		if err != nil {
			continue
		}
		kinds := map[string]int{}
		for _, one := range p.deeds() {
			if one.failed == nil {
				kinds[one.Group]++
			}
		}
		meter := simulator.Meter{Records: records}
		summary := meter.Summary(ours)
		ready := 0
		p.history.with(func(recorded *book) { ready = recorded.readyNow() })
		fmt.Printf("chaos: %4.0f s, %d kills, %d pauses, %d cuts, %d other; %d ready, %d rentals live of %d made, $%.2f/h\n", time.Since(started).Seconds(),
			kinds[groupKill], kinds[groupPause], kinds[groupCut], kinds[groupProvider]+kinds[groupRental]+kinds[groupUser],
			ready, summary.LiveRentals, summary.Rentals, dollars(summary.LiveMicrosPerHour))
	}
}

// readyNow counts the Ready instances.
func (b *book) readyNow() int {
	count := 0
	for _, states := range b.instances {
		if last := &states[len(states)-1]; last.isReady && !last.gone && !last.deleting {
			count++
		}
	}
	return count
}
