package main

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
)

const (
	// installation is in every label; apiKey opens the simulator and nothing else.
	installation = "bench"
	apiKey       = "bench-key"
	accountName  = "default"
	// plenty is more than anything here costs: no figure is about ceilings.
	plenty = warmpool.USD("100000")
)

// createAccount makes the account and its Secret.
func (p *controlPlane) createAccount(ctx context.Context, namespace string) error {
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "warmpool-credentials"},
		StringData: map[string]string{"VASTAI_API_KEY": apiKey},
	}
	account := &warmpool.VastAccount{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: accountName},
		Spec:       warmpool.VastAccountSpec{CeilingUSDPerHour: plenty},
	}
	for _, object := range []client.Object{secret, account} {
		if err := p.client.Create(ctx, object); err != nil {
			return fmt.Errorf("making the account: %w", err)
		}
	}
	return nil
}

// createPool makes a pool; change, unless nil, sees it first.
func (p *controlPlane) createPool(ctx context.Context, key client.ObjectKey, replicas int, change func(*warmpool.WarmPool)) (*warmpool.WarmPool, error) {
	pool := &warmpool.WarmPool{
		ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name},
		Spec: warmpool.WarmPoolSpec{
			Replicas: new(int32(replicas)), //nolint:gosec // a few hundred at most
			Cost:     warmpool.PoolCost{CeilingUSDPerHour: plenty},
		},
	}
	if change != nil {
		change(pool)
	}
	if err := p.client.Create(ctx, pool); err != nil {
		return nil, fmt.Errorf("making pool %s: %w", key.Name, err)
	}
	return pool, nil
}

// account reads the account.
func (p *controlPlane) account(ctx context.Context, namespace string) (*warmpool.VastAccount, error) {
	var account warmpool.VastAccount
	if err := p.client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: accountName}, &account); err != nil {
		return nil, fmt.Errorf("reading the account: %w", err)
	}
	return &account, nil
}

// ready sums the ready instances of all pools of a namespace.
func (p *controlPlane) ready(ctx context.Context, namespace string) (int, error) {
	var pools warmpool.WarmPoolList
	if err := p.client.List(ctx, &pools, client.InNamespace(namespace)); err != nil {
		return 0, fmt.Errorf("reading the pools: %w", err)
	}
	sum := 0
	for k := range pools.Items {
		sum += int(pools.Items[k].Status.ReadyReplicas)
	}
	return sum, nil
}
