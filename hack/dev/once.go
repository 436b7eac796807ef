package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/fleet"
	"github.com/warmpool-dev/warmpool/internal/localplane"
)

const (
	// poolName is the pool of config/samples.
	poolName = "sdxl"
	// renting bounds the way of new instances to Ready: half a minute on an idle
	// machine at the default speed, and this long when its cores are busy.
	renting = 5 * time.Minute
	// ending bounds the way of rentals to confirmed gone, which takes at least 30 s.
	ending = 5 * time.Minute
	// deciding bounds what needs no machine.
	deciding = 2 * time.Minute
	// spare is less than any offer costs: a ceiling that leaves so much room
	// affords nothing more.
	spare fleet.USDMicros = 10_000
)

// proof is a headless run that has to come out right.
type proof struct {
	*stack

	// ceiling is the highest that was ever in force.
	ceiling fleet.USDMicros
	// size is the pool's size at the start.
	size int32
}

// step is one thing that has to come true in time.
type step struct {
	name  string
	limit time.Duration
	do    func(ctx context.Context) (string, error)
}

// runOnce takes the steps, each after the other, and stops everything.
func runOnce(stop *stopper, s *stack) error {
	p := &proof{stack: s, size: int32(s.options.replicas)} //nolint:gosec // at most maxReplicas
	err := p.take(stop.asked(), []step{
		{"started", 3 * localplane.StartTimeout, func(ctx context.Context) (string, error) { return "", s.start(ctx) }},
		{"ready", renting, p.becomesReady},
		{"legacy API answers", deciding, p.legacyAnswers},
		{"scaled up", renting, p.scalesUp},
		{"held by the ceiling", deciding, p.stopsAtCeiling},
		{"scaled down", ending, p.scalesDown},
		{"deleted", ending, p.deletes},
		{"checked", deciding, p.checksMeter},
		{"audited", deciding, p.checksAudit},
	})
	if err != nil && stop.asked().Err() == nil {
		s.out.say("FAILED: %v", err)
		s.diagnose(stop.asked())
	}
	if s.options.keep && s.operator != nil && stop.asked().Err() == nil {
		s.welcome()
		err = errors.Join(err, s.show(stop.asked(), nil))
	}
	err = errors.Join(err, s.finish(stop), p.nothingIsLeft())
	if stop.asked().Err() != nil && !s.options.keep {
		return errors.Join(errors.New("interrupted"), err)
	}
	if err == nil {
		s.out.say("PASSED after %s.", seconds(time.Since(s.started)))
	}
	return err
}

// take takes steps until one falls short.
func (p *proof) take(ctx context.Context, steps []step) error {
	for _, next := range steps {
		limited, cancel := context.WithTimeout(ctx, next.limit)
		said, err := next.do(limited)
		late := limited.Err() != nil && ctx.Err() == nil
		cancel()
		if late && err != nil {
			err = fmt.Errorf("it took longer than %s: %w", seconds(next.limit), err)
		}
		if err != nil {
			return fmt.Errorf("step %q fell short after %s: %w", next.name, seconds(time.Since(p.started)), err)
		}
		p.out.say("%8.1f s  %-20s %s", time.Since(p.started).Seconds(), next.name, said)
	}
	return nil
}

// until polls the pool until is says nothing is missing. What is missing last
// is in the error when the time is up.
func (p *proof) until(ctx context.Context, missing func(pool *warmpool.WarmPool) string) (*warmpool.WarmPool, error) {
	ticker := time.NewTicker(period)
	defer ticker.Stop()
	last := "the pool was never read"
	for {
		pool, err := p.cluster.pool(ctx, poolName)
		if err == nil {
			if last = missing(pool); last == "" {
				return pool, nil
			}
		}
		select {
		case <-ctx.Done():
			return nil, errors.New(last)
		case failure := <-p.failed:
			return nil, failure
		case <-ticker.C:
		}
	}
}

// ready says what a pool lacks to have n ready instances and no others.
func ready(n int32) func(pool *warmpool.WarmPool) string {
	return func(pool *warmpool.WarmPool) string {
		switch {
		case pool == nil:
			return "there is no pool " + poolName
		case pool.Status.ObservedGeneration < pool.Generation:
			return "the operator has not looked at the pool's last change"
		case pool.Status.ReadyReplicas != n || pool.Status.TotalReplicas != n || !meta.IsStatusConditionTrue(pool.Status.Conditions, warmpool.ConditionFullyProvisioned):
			return fmt.Sprintf("%d of %d instances ready, %d in all; %s", pool.Status.ReadyReplicas, n, pool.Status.TotalReplicas, explanation(pool))
		default:
			return ""
		}
	}
}

// explanation is what the pool says of itself.
func explanation(pool *warmpool.WarmPool) string {
	full := meta.FindStatusCondition(pool.Status.Conditions, warmpool.ConditionFullyProvisioned)
	if full == nil {
		return "it has no condition yet"
	}
	return fmt.Sprintf("%s: %s", full.Reason, full.Message)
}

func costs(pool *warmpool.WarmPool) string {
	return fmt.Sprintf("%d ready, $%s of $%s per hour", pool.Status.ReadyReplicas, pool.Status.Cost.CommittedUSDPerHour, pool.Spec.Cost.CeilingUSDPerHour)
}

func (p *proof) becomesReady(ctx context.Context) (string, error) {
	pool, err := p.until(ctx, ready(p.size))
	if err != nil {
		return "", err
	}
	p.ceiling = dollars(string(pool.Spec.Cost.CeilingUSDPerHour))
	return costs(pool), p.printPools(ctx)
}

func (p *proof) scalesUp(ctx context.Context) (string, error) {
	if err := p.cluster.scale(ctx, poolName, p.size+1); err != nil {
		return "", err
	}
	pool, err := p.until(ctx, ready(p.size+1))
	if err != nil {
		return "", err
	}
	return costs(pool), nil
}

// heldAt says what a pool lacks to have n ready instances and to say that the
// ceiling affords no more.
func heldAt(n int32) func(pool *warmpool.WarmPool) string {
	return func(pool *warmpool.WarmPool) string {
		if pool == nil || pool.Status.ObservedGeneration < pool.Generation {
			return "the operator has not looked at the pool's last change"
		}
		full := meta.FindStatusCondition(pool.Status.Conditions, warmpool.ConditionFullyProvisioned)
		if full == nil || full.Status != metav1.ConditionFalse || full.Reason != "CostCeilingReached" || pool.Status.ReadyReplicas != n {
			return fmt.Sprintf("%d instances ready; %s; expected %d and CostCeilingReached", pool.Status.ReadyReplicas, explanation(pool), n)
		}
		return ""
	}
}

// stopsAtCeiling lowers the ceiling to what runs now and asks for one more.
func (p *proof) stopsAtCeiling(ctx context.Context) (string, error) {
	pool, err := p.cluster.pool(ctx, poolName)
	if err != nil || pool == nil {
		return "", errors.Join(errors.New("there is no pool"), err)
	}
	before := pool.DeepCopy()
	lowered := dollars(string(pool.Status.Cost.CommittedUSDPerHour)) + spare
	pool.Spec.Cost.CeilingUSDPerHour = warmpool.USD(lowered.String())
	if err = p.cluster.Patch(ctx, pool, client.MergeFrom(before)); err != nil {
		return "", fmt.Errorf("lowering the ceiling: %w", err)
	}
	if err = p.cluster.scale(ctx, poolName, p.size+2); err != nil {
		return "", err
	}
	if _, err = p.until(ctx, heldAt(p.size+1)); err != nil {
		return "", err
	}
	counted, err := p.sim.ask(ctx)
	if err != nil {
		return "", err
	}
	if now := fleet.USDMicros(counted.ours().LiveMicrosPerHour); now > lowered {
		return "", fmt.Errorf("the meter counts $%s per hour under a ceiling of $%s", now, lowered)
	}
	return fmt.Sprintf("CostCeilingReached under $%s per hour", lowered), p.printPools(ctx)
}

func (p *proof) scalesDown(ctx context.Context) (string, error) {
	if err := p.cluster.scale(ctx, poolName, 1); err != nil {
		return "", err
	}
	pool, err := p.until(ctx, ready(1))
	if err != nil {
		return "", err
	}
	counted, err := p.sim.ask(ctx)
	if err != nil {
		return "", err
	}
	if live := counted.ours().LiveRentals; live != 1 {
		return "", fmt.Errorf("the pool says that one instance is left, the meter counts %d", live)
	}
	return costs(pool), nil
}

// deletes waits as "kubectl delete" does: until the object is gone. At that
// moment, and not a moment later, nothing may bill.
func (p *proof) deletes(ctx context.Context) (string, error) {
	if err := p.cluster.deletePools(ctx); err != nil {
		return "", err
	}
	_, err := p.until(ctx, func(pool *warmpool.WarmPool) string {
		if pool == nil {
			return ""
		}
		return fmt.Sprintf("the pool is still there with %d instances; %s", pool.Status.TotalReplicas, explanation(pool))
	})
	if err != nil {
		return "", err
	}
	counted, err := p.sim.ask(ctx)
	if err != nil {
		return "", err
	}
	if ours := counted.ours(); ours.LiveRentals > 0 {
		return "", fmt.Errorf("the pool is gone and the meter counts %d live rentals: %v", ours.LiveRentals, ours.LiveIDs)
	}
	var left warmpool.WarmInstanceList
	if err := p.cluster.List(ctx, &left); err != nil || len(left.Items) > 0 {
		return "", errors.Join(err, fmt.Errorf("the pool is gone and %d WarmInstances are left", len(left.Items)))
	}
	return "the pool is gone and the meter counts no live rental", nil
}

// checksMeter compares the whole run with what the witness saw.
func (p *proof) checksMeter(ctx context.Context) (string, error) {
	counted, err := p.sim.ask(ctx)
	if err != nil {
		return "", err
	}
	ours := counted.ours()
	var failures []error
	expect := func(holds bool, format string, arguments ...any) {
		if !holds {
			failures = append(failures, fmt.Errorf(format, arguments...))
		}
	}
	peak := fleet.USDMicros(ours.PeakMicrosPerHour)
	expect(ours.Rentals >= int(p.size)+1, "the meter counts %d rentals, and at least %d were ready", ours.Rentals, p.size+1)
	expect(len(ours.DoubleRents) == 0, "labels rented twice: %v", ours.DoubleRents)
	expect(peak <= p.ceiling, "the meter saw $%s per hour at a time, and the ceiling is $%s", peak, p.ceiling)
	expect(counted.Total.LiveRentals == 0, "the meter counts %d live rentals: %v", counted.Total.LiveRentals, counted.Total.LiveIDs)
	deaths, how := p.operator.died()
	expect(deaths == 0, "the manager ended %d times by itself: %w", deaths, how)
	return fmt.Sprintf("%d rentals, none live, none twice, peak $%s of $%s per hour, cost $%s",
		ours.Rentals, peak.Cents(), p.ceiling, fleet.USDMicros(ours.CostMicros).Cents()), errors.Join(failures...)
}

// printPools shows what a person would see.
func (p *proof) printPools(ctx context.Context) error {
	program, _ := p.place.kubectl()
	command := exec.CommandContext(ctx, program, "--kubeconfig", p.place.kubeconfig(), "get", "warmpools") //nolint:gosec // kubectl
	command.Env = childEnvironment(os.Environ(), p.secrets)
	text, err := command.CombinedOutput()
	p.out.say("$ kubectl get warmpools\n%s", strings.TrimSpace(string(text)))
	if err != nil {
		return fmt.Errorf("kubectl get warmpools: %w", err)
	}
	return nil
}

// nothingIsLeft checks the promise that nothing is left behind.
func (p *proof) nothingIsLeft() error {
	var failures []error
	addresses := []string{}
	if p.plane != nil {
		addresses = append(addresses, p.plane.URL)
	}
	if p.sim != nil {
		addresses = append(addresses, p.sim.URL, p.sim.AdminURL)
	}
	if p.sidecar != nil {
		addresses = append(addresses, p.sidecar.URL)
	}
	for _, address := range addresses {
		parsed, err := url.Parse(address)
		if err != nil {
			return err
		}
		connection, err := net.DialTimeout("tcp", parsed.Host, time.Second) //nolint:noctx // the run is over
		if err == nil {
			failures = append(failures, fmt.Errorf("%s still answers", address), connection.Close())
		}
	}
	if _, err := os.Stat(p.place.state); err == nil {
		failures = append(failures, fmt.Errorf("%s is still there", p.place.state))
	}
	return errors.Join(failures...)
}
