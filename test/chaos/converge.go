package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/simulator"
)

func isReady(instance *warmpool.WarmInstance) bool {
	return meta.IsStatusConditionTrue(instance.Status.Conditions, warmpool.ConditionReady)
}

// errNotConverged is a convergence that took too long.
var errNotConverged = errors.New("it has not converged in time")

// settle takes every fault away and sets back what users have changed.
func (p *performer) settle(ctx context.Context) error {
	if err := p.admin.Call(ctx, "DELETE", "/faults", nil, nil); err != nil {
		return err
	}
	if err := p.reviveAPIServer(ctx); err != nil {
		return err
	}
	if err := p.setKey(ctx, keyFirst); err != nil {
		return fmt.Errorf("setting the key back: %w", err)
	}
	if err := p.editAccount(ctx, func(spec *warmpool.VastAccountSpec) { *spec = newAccount().Spec }); err != nil {
		return fmt.Errorf("setting the account back: %w", err)
	}
	claims, err := p.claims(ctx)
	if err != nil {
		return err
	}
	for k := range claims {
		if err := client.IgnoreNotFound(p.client.Delete(ctx, &claims[k])); err != nil {
			return fmt.Errorf("letting go of a claim: %w", err)
		}
	}
	return nil
}

// settlePools makes the pools that are missing and sets the others back. It
// returns false while a pool is being deleted.
func (p *performer) settlePools(ctx context.Context) (bool, error) {
	settled := true
	for _, plan := range poolPlans() {
		var pool warmpool.WarmPool
		err := p.client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: plan.name}, &pool)
		wanted := plan.newPool().Spec
		switch {
		case client.IgnoreNotFound(err) != nil:
			return false, err
		case err != nil:
			settled = false
			err = p.ensurePool(ctx, plan.name)
		case !pool.DeletionTimestamp.IsZero():
			settled, err = false, nil
		case *pool.Spec.Replicas != *wanted.Replicas || pool.Spec.Cost.CeilingUSDPerHour != wanted.Cost.CeilingUSDPerHour || pool.Spec.Mode != warmpool.PoolActive:
			err = p.editPool(ctx, plan.name, func(spec *warmpool.WarmPoolSpec) {
				spec.Replicas, spec.Cost, spec.Mode = wanted.Replicas, wanted.Cost, warmpool.PoolActive
			})
		}
		if err != nil {
			return false, err
		}
	}
	return settled, nil
}

// converge settles and waits until everything is as it should be. It returns
// how long that took after the last fault.
func (p *performer) converge(ctx context.Context, patience time.Duration) (time.Duration, error) {
	started := time.Now()
	if err := p.settle(ctx); err != nil {
		return 0, fmt.Errorf("settling: %w", err)
	}
	missing, err := p.until(ctx, patience, p.whatIsMissing)
	took := time.Since(started).Round(time.Second)
	if err != nil {
		return took, fmt.Errorf("%w: %s", err, missing)
	}
	return took, nil
}

// until polls until nothing is missing, and keeps the API server up meanwhile.
func (p *performer) until(ctx context.Context, patience time.Duration, look func(context.Context) (string, error)) (missing string, err error) {
	const period = time.Second
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		missing, err = look(ctx)
		switch {
		case err == nil && missing == "":
			return "", nil
		case err != nil:
			missing = err.Error()
		}
		select {
		case <-ctx.Done():
			if errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
				return missing, errNotConverged
			}
			return missing, context.Cause(ctx)
		case <-time.After(period):
		}
		if err := p.reviveAPIServer(ctx); err != nil && ctx.Err() == nil {
			return missing, err
		}
	}
}

// whatIsMissing says what is not yet as it should be, empty for nothing.
func (p *performer) whatIsMissing(ctx context.Context) (string, error) {
	settled, err := p.settlePools(ctx)
	if err != nil || !settled {
		return "a pool is not there yet", err
	}
	var pools warmpool.WarmPoolList
	var account warmpool.VastAccount
	var instances warmpool.WarmInstanceList
	if err = errors.Join(
		p.client.List(ctx, &pools, client.InNamespace(namespace)), p.client.List(ctx, &instances, client.InNamespace(namespace)),
		p.client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: accountName}, &account),
	); err != nil {
		return "", err
	}
	records, err := p.records(ctx)
	if err != nil {
		return "", err
	}
	for k := range pools.Items {
		pool := &pools.Items[k]
		if status := &pool.Status; status.ObservedGeneration != pool.Generation || status.ReadyReplicas != *pool.Spec.Replicas || status.TotalReplicas != status.ReadyReplicas {
			why := ""
			if condition := meta.FindStatusCondition(status.Conditions, warmpool.ConditionFullyProvisioned); condition != nil {
				why = condition.Reason + ": " + condition.Message
			}
			return fmt.Sprintf("pool %s has %d ready of %d, %d in all. %s", pool.Name, status.ReadyReplicas, *pool.Spec.Replicas, status.TotalReplicas, why), nil
		}
	}
	if !meta.IsStatusConditionTrue(account.Status.Conditions, warmpool.ConditionReady) {
		return "the account is not Ready", nil
	}
	return strayRental(records, instances.Items), nil
}

// strayRental says which live rental is not the one of a Ready instance.
func strayRental(records []simulator.RentalRecord, instances []warmpool.WarmInstance) string {
	var known []int64
	for k := range instances {
		if instances[k].Status.Rental != nil && isReady(&instances[k]) {
			known = append(known, instances[k].Status.Rental.ID)
		}
	}
	live := simulator.Meter{Records: records}.Live(ours)
	for k := range live {
		if !slices.Contains(known, live[k].ID) {
			return fmt.Sprintf("rental %d lives and is no Ready instance's", live[k].ID)
		}
	}
	if len(live) != len(instances) {
		return fmt.Sprintf("%d rentals live for %d instances", len(live), len(instances))
	}
	return ""
}

// deleteAll deletes the pools, then the account, and waits until nothing of
// them is left and the meter shows no rental.
func (p *performer) deleteAll(ctx context.Context, patience time.Duration) error {
	for _, plan := range poolPlans() {
		err := insist(ctx, func(ctx context.Context) error { return p.client.Delete(ctx, plan.newPool()) })
		if client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("deleting pool %s: %w", plan.name, err)
		}
	}
	missing, err := p.until(ctx, patience, func(ctx context.Context) (string, error) {
		var pools warmpool.WarmPoolList
		err := p.client.List(ctx, &pools, client.InNamespace(namespace))
		if err != nil || len(pools.Items) == 0 {
			return "", err
		}
		return fmt.Sprintf("%d pools are not gone", len(pools.Items)), nil
	})
	if err != nil {
		return fmt.Errorf("deleting the pools: %w: %s", err, missing)
	}
	if err = insist(ctx, func(ctx context.Context) error { return p.client.Delete(ctx, newAccount()) }); err != nil {
		return fmt.Errorf("deleting the account: %w", err)
	}
	missing, err = p.until(ctx, patience, p.whatIsLeft)
	if err != nil {
		return fmt.Errorf("deleting everything: %w: %s", err, missing)
	}
	return nil
}

// whatIsLeft says what is still there, empty for nothing.
func (p *performer) whatIsLeft(ctx context.Context) (string, error) {
	var accounts warmpool.VastAccountList
	var instances warmpool.WarmInstanceList
	if err := errors.Join(p.client.List(ctx, &accounts, client.InNamespace(namespace)), p.client.List(ctx, &instances, client.InNamespace(namespace))); err != nil {
		return "", err
	}
	records, err := p.records(ctx)
	if err != nil {
		return "", err
	}
	live := simulator.Meter{Records: records}.Live("")
	if len(accounts.Items)+len(instances.Items)+len(live) > 0 {
		return fmt.Sprintf("%d accounts, %d instances, %d rentals are left", len(accounts.Items), len(instances.Items), len(live)), nil
	}
	return "", nil
}
