package main

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
)

const (
	accountName = "default"
	secretName  = "warmpool-credentials" //nolint:gosec // the name of a Secret
	secretKey   = "VASTAI_API_KEY"       //nolint:gosec // the name of a key in it
	// pollPeriod is the least that spec.pollPeriodSeconds allows.
	pollPeriod = 5 * time.Second
	// accountLimit is more than everything costs; users lower it for a while.
	accountLimit = warmpool.USD("9.00")
	// readLag is how long a new rental is missing in lists.
	readLag = 40 * time.Second
)

// poolPlan is what a pool looks like when nobody plays with it. The ceilings
// afford the replicas on the simulator's market.
type poolPlan struct {
	name     string
	replicas int32
	ceiling  warmpool.USD
}

func poolPlans() []poolPlan {
	return []poolPlan{
		{"alpha", 4, "2.40"}, {"beta", 3, "1.80"}, {"gamma", 3, "1.80"}, {"delta", 2, "1.20"}, {"epsilon", 2, "1.20"}, {"zeta", 1, "0.80"},
	}
}

// newPool makes a pool that comes back fast: deadlines, pauses and blocks are
// minutes shorter than the defaults.
func (p *poolPlan) newPool() *warmpool.WarmPool {
	const provisioning, startup, block = 90, 120, 60
	return &warmpool.WarmPool{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: p.name},
		Spec: warmpool.WarmPoolSpec{
			Replicas: new(p.replicas), Cost: warmpool.PoolCost{CeilingUSDPerHour: p.ceiling},
			Probes:    warmpool.Probes{PeriodSeconds: int32(pollPeriod.Seconds())},
			Lifecycle: warmpool.Lifecycle{ProvisioningDeadlineSeconds: provisioning, StartupDeadlineSeconds: startup},
			Remediation: warmpool.Remediation{
				Backoff: warmpool.Backoff{InitialSeconds: 2, MaxSeconds: 15, ResetAfterSeconds: 30}, MachineBlocklistSeconds: new(int32(block)),
			},
		},
	}
}

func newAccount() *warmpool.VastAccount {
	return &warmpool.VastAccount{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: accountName},
		Spec: warmpool.VastAccountSpec{
			CeilingUSDPerHour: accountLimit, PollPeriodSeconds: int32(pollPeriod.Seconds()),
			LeakPolicy: warmpool.LeakPolicy{Action: warmpool.LeakTerminate, MinAgeSeconds: 120, MaxPerHour: 100},
		},
	}
}

// patience of one deed of a user, who tries again while the API server is away.
const editPatience = 20 * time.Second

// insist tries until it works, or until a user would give up.
func insist(ctx context.Context, deed func(ctx context.Context) error) error {
	const period = 250 * time.Millisecond
	ctx, cancel := context.WithTimeout(ctx, editPatience)
	defer cancel()
	for {
		err := deed(ctx)
		if err == nil || apierrors.IsNotFound(err) || apierrors.IsAlreadyExists(err) || apierrors.IsInvalid(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(period):
		}
	}
}

// edit changes an object, again when somebody else wrote it meanwhile.
func (s *stage) edit(ctx context.Context, object client.Object, name string, change func()) error {
	return insist(ctx, func(ctx context.Context) error {
		return retry.RetryOnConflict(retry.DefaultBackoff, func() error {
			if err := s.client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, object); err != nil {
				return err
			}
			change()
			return s.client.Update(ctx, object)
		})
	})
}

// editPool changes a pool's specification.
func (s *stage) editPool(ctx context.Context, name string, change func(*warmpool.WarmPoolSpec)) error {
	pool := &warmpool.WarmPool{}
	return s.edit(ctx, pool, name, func() { change(&pool.Spec) })
}

// editAccount changes the account's specification.
func (s *stage) editAccount(ctx context.Context, change func(*warmpool.VastAccountSpec)) error {
	account := &warmpool.VastAccount{}
	return s.edit(ctx, account, accountName, func() { change(&account.Spec) })
}

// setKey puts an API key into the Secret.
func (s *stage) setKey(ctx context.Context, key string) error {
	secret := &corev1.Secret{}
	return s.edit(ctx, secret, secretName, func() { secret.Data = map[string][]byte{secretKey: []byte(key)} })
}

// populate makes the Secret, the account and the pools.
func (s *stage) populate(ctx context.Context) error {
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: secretName}, StringData: map[string]string{secretKey: keyFirst},
	}
	objects := []client.Object{secret, newAccount()}
	for _, plan := range poolPlans() {
		objects = append(objects, plan.newPool())
	}
	for _, object := range objects {
		if err := s.client.Create(ctx, object); err != nil {
			return fmt.Errorf("making %T %s: %w", object, object.GetName(), err)
		}
	}
	return nil
}

// instances reads the WarmInstances.
func (s *stage) instances(ctx context.Context) ([]warmpool.WarmInstance, error) {
	var list warmpool.WarmInstanceList
	err := insist(ctx, func(ctx context.Context) error { return s.client.List(ctx, &list, client.InNamespace(namespace)) })
	return list.Items, err
}
