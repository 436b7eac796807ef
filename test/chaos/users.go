package main

import (
	"context"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/fleet"
	"github.com/warmpool-dev/warmpool/internal/simulator"
)

// actAsUser does what a person would do with kubectl, or at Vast.ai.
func (p *performer) actAsUser(ctx context.Context, result *deed) error {
	plans := poolPlans()
	pool := plans[result.Pick%uint64(len(plans))].name
	draw := result.Pick / uint64(len(plans))
	switch result.Kind {
	case kindScale:
		const most = 5
		result.name, result.note = pool, fmt.Sprintf("%s to %d", pool, draw%most)
		return p.editPool(ctx, pool, func(spec *warmpool.WarmPoolSpec) { spec.Replicas = new(int32(draw % most)) })
	case kindCeiling:
		amount := plans[result.Pick%uint64(len(plans))].ceiling
		if draw%2 == 0 {
			amount = someAmount(draw/2, 150_000, 1_000_000)
		}
		result.name, result.note = pool, fmt.Sprintf("%s to $%s", pool, amount)
		return p.editPool(ctx, pool, func(spec *warmpool.WarmPoolSpec) { spec.Cost.CeilingUSDPerHour = amount })
	case kindAccountLimit:
		amount := someAmount(draw, 800_000, 4_000_000)
		result.note = "to $" + string(amount)
		limit := func(amount warmpool.USD) func(context.Context) error {
			return func(ctx context.Context) error {
				return p.editAccount(ctx, func(spec *warmpool.VastAccountSpec) { spec.CeilingUSDPerHour = amount })
			}
		}
		return p.forAWhile(ctx, result, "ceiling of the account", limit(amount), limit(accountLimit))
	case kindDeletePool:
		result.name = pool
		return p.deletePoolForAWhile(ctx, result)
	case kindClaim:
		return p.claim(ctx, result, pool)
	case kindUnclaim:
		return p.letGo(ctx, result)
	case kindDeleteOne:
		return p.deleteOne(ctx, result)
	case kindPoolMode:
		modes := []warmpool.PoolMode{warmpool.PoolPaused, warmpool.PoolDrain, warmpool.PoolDryRun}
		mode := modes[draw%uint64(len(modes))]
		result.name, result.note = pool, fmt.Sprintf("%s to %s", pool, mode)
		return p.forAWhile(ctx, result, "mode of "+pool,
			func(ctx context.Context) error {
				return p.editPool(ctx, pool, func(spec *warmpool.WarmPoolSpec) { spec.Mode = mode })
			},
			func(ctx context.Context) error {
				return p.editPool(ctx, pool, func(spec *warmpool.WarmPoolSpec) { spec.Mode = warmpool.PoolActive })
			})
	case kindRentByHand:
		return p.rentByHand(ctx, result)
	default:
		return p.actOnAccount(ctx, result)
	}
}

// someAmount draws dollars between two amounts of micro-dollars, in cents.
func someAmount(draw, least, most uint64) warmpool.USD {
	const cent = 10_000
	return warmpool.USD(fleet.USDMicros(least + draw%((most-least)/cent)*cent).String()) //nolint:gosec // a few dollars
}

// forAWhile sets something and sets it back, unless another act that began
// later holds it still. Setting back is tried for longer.
func (p *performer) forAWhile(ctx context.Context, result *deed, what string, set, back func(context.Context) error) error {
	p.mu.Lock()
	p.held[what]++
	p.mu.Unlock()
	err := set(ctx)
	wait(ctx, result.Length)
	p.mu.Lock()
	p.held[what]--
	last := p.held[what] == 0
	p.mu.Unlock()
	if last {
		// The settling after the round sets back what is not set back here.
		_ = back(ctx) //nolint:errcheck // see above
	}
	return err
}

// actOnAccount changes the account's mode or its key for a while.
func (p *performer) actOnAccount(ctx context.Context, result *deed) error {
	mode := func(mode warmpool.AccountMode) func(context.Context) error {
		return func(ctx context.Context) error {
			return p.editAccount(ctx, func(spec *warmpool.VastAccountSpec) { spec.Mode = mode })
		}
	}
	key := func(key string) func(context.Context) error {
		return func(ctx context.Context) error { return p.setKey(ctx, key) }
	}
	switch result.Kind {
	case kindFreeze:
		return p.forAWhile(ctx, result, "mode of the account", mode(warmpool.AccountFrozen), mode(warmpool.AccountActive))
	case kindEmergencyStop:
		return p.forAWhile(ctx, result, "mode of the account", mode(warmpool.AccountEmergencyStop), mode(warmpool.AccountActive))
	case kindSecretWrong:
		return p.forAWhile(ctx, result, "key", key(keyWrong), key(keyFirst))
	case kindSecretRotate:
		return p.forAWhile(ctx, result, "key", key(keySecond), key(keyFirst))
	case kindSecretForeign:
		return p.forAWhile(ctx, result, "key", key(keyForeign), key(keyFirst))
	default:
		return fmt.Errorf("nobody knows how to %s", result.Kind)
	}
}

// deletePoolForAWhile deletes a pool and makes it again once it is gone.
func (p *performer) deletePoolForAWhile(ctx context.Context, result *deed) error {
	err := insist(ctx, func(ctx context.Context) error {
		pool := &warmpool.WarmPool{}
		pool.Namespace, pool.Name = namespace, result.name
		return p.client.Delete(ctx, pool)
	})
	if err != nil {
		return err
	}
	wait(ctx, result.Length)
	// It may take minutes to go; the settling after the round makes it again then.
	_ = p.ensurePool(ctx, result.name) //nolint:errcheck // see above
	return nil
}

// ensurePool makes a pool that is not there.
func (p *performer) ensurePool(ctx context.Context, name string) error {
	plans := poolPlans()
	at := slices.IndexFunc(plans, func(plan poolPlan) bool { return plan.name == name })
	err := insist(ctx, func(ctx context.Context) error { return p.client.Create(ctx, plans[at].newPool()) })
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	return err
}

// deleteOne deletes an instance.
func (p *performer) deleteOne(ctx context.Context, result *deed) error {
	p.userGuard.Lock()
	defer p.userGuard.Unlock()
	instances, err := p.instances(ctx)
	if err != nil {
		return err
	}
	instances = slices.DeleteFunc(instances, func(instance warmpool.WarmInstance) bool { return !instance.DeletionTimestamp.IsZero() })
	if len(instances) == 0 {
		return errNothing
	}
	chosen := &instances[result.Pick%uint64(len(instances))]
	result.uid, result.note = string(chosen.UID), chosen.Name
	uid := chosen.UID
	return insist(ctx, func(ctx context.Context) error { return p.client.Delete(ctx, chosen, client.Preconditions{UID: &uid}) })
}

// claim makes a claim that does not wait for long.
func (p *performer) claim(ctx context.Context, result *deed, pool string) error {
	const seconds, day = 3, 28800
	result.name, result.note = pool, "on "+pool
	return insist(ctx, func(ctx context.Context) error {
		return p.client.Create(ctx, &warmpool.WarmClaim{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, GenerateName: "chaos-"},
			Spec: warmpool.WarmClaimSpec{
				PoolRef: warmpool.LocalReference{Name: pool}, TTLSeconds: new(int32(day)), BindTimeoutSeconds: seconds, OnRelease: warmpool.ReleaseRecycle,
			},
		})
	})
}

// claims reads the claims that go on.
func (p *performer) claims(ctx context.Context) ([]warmpool.WarmClaim, error) {
	var list warmpool.WarmClaimList
	err := insist(ctx, func(ctx context.Context) error { return p.client.List(ctx, &list, client.InNamespace(namespace)) })
	return slices.DeleteFunc(list.Items, func(claim warmpool.WarmClaim) bool { return !claim.DeletionTimestamp.IsZero() }), err
}

// letGo deletes a claim.
func (p *performer) letGo(ctx context.Context, result *deed) error {
	claims, err := p.claims(ctx)
	if err != nil {
		return err
	}
	if len(claims) == 0 {
		return errNothing
	}
	chosen := &claims[result.Pick%uint64(len(claims))]
	result.uid, result.note = string(chosen.UID), chosen.Name
	return insist(ctx, func(ctx context.Context) error { return client.IgnoreNotFound(p.client.Delete(ctx, chosen)) })
}

// rentByHand rents an instance that has nothing to do with Warmpool, and ends
// it after a while. The book says "vanished" of it, so that an end by Warmpool,
// which says "destroyed", is told apart.
func (p *performer) rentByHand(ctx context.Context, result *deed) error {
	var market struct {
		Offers []struct {
			ID    int64   `json:"id"`
			Price float64 `json:"dph_total"`
		} `json:"offers"`
	}
	if err := p.admin.Call(ctx, "GET", "/market", nil, &market); err != nil {
		return err
	}
	// A person who wants something small.
	const dearest = 0.5
	offers := market.Offers[:0]
	for _, offer := range market.Offers {
		if offer.Price < dearest {
			offers = append(offers, offer)
		}
	}
	if len(offers) == 0 {
		return errNothing
	}
	var made struct {
		ID int64 `json:"id"`
	}
	order := map[string]any{"offerID": offers[result.Pick%uint64(len(offers))].ID, "label": "by-hand"}
	if err := p.admin.Call(ctx, "POST", "/rentals", order, &made); err != nil {
		return err
	}
	result.rental = made.ID
	wait(ctx, result.Length)
	_, err := p.setFault(context.WithoutCancel(ctx), &simulator.FaultSpec{Name: "vanished", Count: 1, Match: simulator.Match{Rental: made.ID}})
	return err
}
