package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/fleet"
)

// snapshot is what the picture shows: everything at one moment.
type snapshot struct {
	// title says what this is a run of; elapsed is since it began.
	title   string
	elapsed time.Duration
	// problem is why the rest may be old.
	problem   string
	pools     []poolRow
	instances []instanceRow
	accounts  []accountRow
	witness   *witnessRow // nil with --real
}

// poolRow is a pool. Money is dollars per hour; an empty text is not known yet.
type poolRow struct {
	name                             string
	desired, ready, pending, waiting int32
	committed, ceiling               fleet.USDMicros
	status, reason, message          string
	deleting                         bool
}

// instanceRow is a rental, or the wish for one.
type instanceRow struct {
	name, pool, gpu, place, price string
	rental                        int64
	provider, ready, reason       string
	age                           time.Duration
	deleting                      bool
}

// accountRow is an account.
type accountRow struct {
	name, balance, committed, ceiling string
	ours, foreign                     int32
	ready, reason, message            string
}

// witnessRow is what the simulator's meter counted, independently.
type witnessRow struct {
	rentals, live        int
	now, peak, cost      fleet.USDMicros
	rentedTwice, foreign int
}

// gather reads the cluster and the meter.
func (s *stack) gather(ctx context.Context, now time.Time) (*snapshot, error) {
	shown := &snapshot{title: s.title(), elapsed: now.Sub(s.started)}
	var pools warmpool.WarmPoolList
	var instances warmpool.WarmInstanceList
	var accounts warmpool.VastAccountList
	for _, list := range []client.ObjectList{&pools, &instances, &accounts} {
		if err := s.cluster.List(ctx, list); err != nil {
			return shown, fmt.Errorf("reading the cluster: %w", err)
		}
	}
	for k := range pools.Items {
		shown.pools = append(shown.pools, poolRowOf(&pools.Items[k]))
	}
	slices.SortFunc(instances.Items, func(a, b warmpool.WarmInstance) int {
		return cmp.Or(cmp.Compare(a.Spec.PoolRef.Name, b.Spec.PoolRef.Name),
			a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
	})
	for k := range instances.Items {
		shown.instances = append(shown.instances, instanceRowOf(&instances.Items[k], now))
	}
	for k := range accounts.Items {
		shown.accounts = append(shown.accounts, accountRowOf(&accounts.Items[k]))
	}
	if s.sim == nil {
		return shown, nil
	}
	counted, err := s.sim.ask(ctx)
	if err != nil {
		return shown, err
	}
	row := witnessRowOf(counted)
	shown.witness = &row
	return shown, nil
}

func (s *stack) title() string {
	if s.options.real {
		return "the real Vast.ai: this costs money"
	}
	return fmt.Sprintf("simulated Vast.ai, seed %d, %g× real time", s.options.seed, s.options.speed)
}

// dollars reads an amount of a status; one that is not there yet is 0.
func dollars(text string) fleet.USDMicros {
	amount, err := fleet.ParseUSD(text)
	if err != nil {
		return 0
	}
	return amount
}

func poolRowOf(pool *warmpool.WarmPool) poolRow {
	row := poolRow{
		name: pool.Name, ready: pool.Status.ReadyReplicas, pending: pool.Status.ProvisioningReplicas + pool.Status.UnknownReplicas,
		waiting:   pool.Status.PendingReplicas,
		committed: dollars(string(pool.Status.Cost.CommittedUSDPerHour)), ceiling: dollars(string(pool.Spec.Cost.CeilingUSDPerHour)),
		status: string(metav1.ConditionUnknown), deleting: !pool.DeletionTimestamp.IsZero(),
	}
	if pool.Spec.Replicas != nil {
		row.desired = *pool.Spec.Replicas
	}
	if ready := meta.FindStatusCondition(pool.Status.Conditions, warmpool.ConditionReady); ready != nil {
		row.status = string(ready.Status)
	}
	if full := meta.FindStatusCondition(pool.Status.Conditions, warmpool.ConditionFullyProvisioned); full != nil {
		row.reason, row.message = full.Reason, full.Message
	}
	return row
}

func instanceRowOf(instance *warmpool.WarmInstance, now time.Time) instanceRow {
	row := instanceRow{
		name: instance.Name, pool: instance.Spec.PoolRef.Name,
		provider: instance.Status.Provider.ActualStatus, ready: string(metav1.ConditionFalse),
		age: now.Sub(instance.CreationTimestamp.Time), deleting: !instance.DeletionTimestamp.IsZero(),
		price: string(cmp.Or(instance.Status.Price.CurrentUSDPerHour, instance.Status.Price.QuotedUSDPerHour)),
	}
	if rental := instance.Status.Rental; rental != nil {
		row.rental, row.gpu, row.place = rental.ID, rental.GPUName, strings.Trim(rental.Geolocation, ", ")
		if rental.GPUs > 1 {
			row.gpu = fmt.Sprintf("%d× %s", rental.GPUs, rental.GPUName)
		}
	}
	if ready := meta.FindStatusCondition(instance.Status.Conditions, warmpool.ConditionReady); ready != nil {
		row.ready, row.reason = string(ready.Status), ready.Reason
	}
	if instance.Status.Rental == nil && instance.Status.LastAdmission != nil {
		row.reason = cmp.Or(row.reason, instance.Status.LastAdmission.Reason)
	}
	return row
}

func accountRowOf(account *warmpool.VastAccount) accountRow {
	row := accountRow{
		name: account.Name, balance: string(account.Status.BalanceUSD), committed: string(account.Status.CommittedUSDPerHour),
		ceiling: string(account.Spec.CeilingUSDPerHour), ours: account.Status.Instances.Ours, foreign: account.Status.Instances.Foreign,
		ready: string(metav1.ConditionUnknown),
	}
	if ready := meta.FindStatusCondition(account.Status.Conditions, warmpool.ConditionReady); ready != nil {
		row.ready, row.reason, row.message = string(ready.Status), ready.Reason, ready.Message
	}
	return row
}

func witnessRowOf(counted *witness) witnessRow {
	ours := counted.ours()
	return witnessRow{
		rentals: ours.Rentals, live: ours.LiveRentals, now: fleet.USDMicros(ours.LiveMicrosPerHour),
		peak: fleet.USDMicros(ours.PeakMicrosPerHour), cost: fleet.USDMicros(ours.CostMicros),
		rentedTwice: len(ours.DoubleRents), foreign: counted.Total.LiveRentals - ours.LiveRentals,
	}
}
