package plugin

import (
	"cmp"
	"context"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/controllers"
	"github.com/warmpool-dev/warmpool/internal/fleet"
)

// world is everything of Warmpool's in a namespace, or in all of them, as it was
// read a moment ago. The commands compute what they show from it, and read
// nothing else.
type world struct {
	accounts  []warmpool.VastAccount
	pools     []warmpool.WarmPool
	instances []warmpool.WarmInstance
	claims    []warmpool.WarmClaim
	now       time.Time
}

// look reads the world.
func (c *Cluster) look(ctx context.Context, now time.Time, everywhere bool) (*world, error) {
	var accounts warmpool.VastAccountList
	var pools warmpool.WarmPoolList
	var instances warmpool.WarmInstanceList
	var claims warmpool.WarmClaimList
	if err := c.list(ctx, everywhere, &pools); err != nil {
		return nil, err
	}
	if err := c.list(ctx, everywhere, &accounts); err != nil {
		return nil, err
	}
	if err := c.list(ctx, everywhere, &instances); err != nil {
		return nil, err
	}
	if err := c.list(ctx, everywhere, &claims); err != nil {
		return nil, err
	}
	w := &world{accounts: accounts.Items, pools: pools.Items, instances: instances.Items, claims: claims.Items, now: now}
	w.sort()
	return w, nil
}

// sort puts everything in an order that does not depend on the API server.
func (w *world) sort() {
	slices.SortFunc(w.accounts, func(a, b warmpool.VastAccount) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	slices.SortFunc(w.pools, func(a, b warmpool.WarmPool) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	slices.SortFunc(w.instances, func(a, b warmpool.WarmInstance) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	slices.SortFunc(w.claims, func(a, b warmpool.WarmClaim) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
	})
}

// account finds the account of a pool; nil when there is none.
func (w *world) account(namespace, name string) *warmpool.VastAccount {
	for k := range w.accounts {
		if account := &w.accounts[k]; account.Namespace == namespace && account.Name == name {
			return account
		}
	}
	return nil
}

// ofPool are the instances of a pool.
func (w *world) ofPool(pool *warmpool.WarmPool) []*warmpool.WarmInstance {
	var members []*warmpool.WarmInstance
	for k := range w.instances {
		if instance := &w.instances[k]; instance.Namespace == pool.Namespace && instance.Spec.PoolRef.Name == pool.Name {
			members = append(members, instance)
		}
	}
	return members
}

// claimsOf are the claims of a pool that have not ended, oldest first.
func (w *world) claimsOf(pool *warmpool.WarmPool) []*warmpool.WarmClaim {
	var open []*warmpool.WarmClaim
	for k := range w.claims {
		claim := &w.claims[k]
		if claim.Namespace == pool.Namespace && claim.Spec.PoolRef.Name == pool.Name && claim.Status.FinishedTime == nil {
			open = append(open, claim)
		}
	}
	return open
}

// within is the part of the world in one namespace.
func (w *world) within(namespace string) *world {
	return &world{
		accounts:  slices.DeleteFunc(slices.Clone(w.accounts), func(o warmpool.VastAccount) bool { return o.Namespace != namespace }),
		pools:     slices.DeleteFunc(slices.Clone(w.pools), func(o warmpool.WarmPool) bool { return o.Namespace != namespace }),
		instances: slices.DeleteFunc(slices.Clone(w.instances), func(o warmpool.WarmInstance) bool { return o.Namespace != namespace }),
		claims:    slices.DeleteFunc(slices.Clone(w.claims), func(o warmpool.WarmClaim) bool { return o.Namespace != namespace }),
		now:       w.now,
	}
}

// preview asks the operator's own decision about a pool. The clock of the
// operator may be ahead of ours; the plan is then for its time, of which the last
// sweep is the newest trace.
func (w *world) preview(pool *warmpool.WarmPool) controllers.Preview {
	here := w.within(pool.Namespace)
	account, now := here.account(pool.Namespace, pool.Spec.AccountRef.Name), w.now
	if account != nil && account.Status.LastSweep != nil && account.Status.LastSweep.Time.After(now) {
		now = account.Status.LastSweep.Time.Time
	}
	return controllers.PreviewPool(&controllers.PreviewInput{
		Pool: pool, Account: account, Pools: here.pools, Instances: here.instances, Claims: here.claims, Now: now,
	})
}

// reasonNotReported is the reason of a condition that is not there.
const reasonNotReported = "NotReported"

// conditionOf finds a condition; one that is not there is Unknown.
func conditionOf(conditions []metav1.Condition, kind string) metav1.Condition {
	if found := meta.FindStatusCondition(conditions, kind); found != nil {
		return *found
	}
	return metav1.Condition{Type: kind, Status: metav1.ConditionUnknown, Reason: reasonNotReported, Message: "The operator has not reported it yet. Does it run? kubectl warmpool doctor"}
}

// dollars reads an amount of the API; what is empty or cannot be read is nothing.
// A negative amount, such as a headroom, keeps its sign.
func dollars[T ~string](text T) fleet.USDMicros {
	amount, err := fleet.ParseUSD(string(text))
	if err != nil {
		return 0
	}
	return amount
}

// perHour prints a rate for people, exactly.
func perHour(rate fleet.USDMicros) string { return "$" + rate.String() + "/h" }

// amountOf prints an amount of the API as it is, "-" when there is none.
func amountOf[T ~string](text T) string {
	if text == "" {
		return "-"
	}
	return "$" + string(text)
}

// moment prints a time for people.
func moment(at *metav1.Time) string {
	if at == nil || at.IsZero() {
		return "-"
	}
	return at.UTC().Format(time.RFC3339)
}

// replicasOf is spec.replicas.
func replicasOf(pool *warmpool.WarmPool) int32 {
	if pool.Spec.Replicas == nil {
		return 0
	}
	return *pool.Spec.Replicas
}
