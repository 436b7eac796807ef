package page

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/audit"
	"github.com/warmpool-dev/warmpool/internal/fleet"
)

// maxReplicas is the largest size that the API takes.
const maxReplicas = 500

// replicasOf is the size that a pool shall have.
func replicasOf(pool *v1alpha1.WarmPool) int { return int(ptr.Deref(pool.Spec.Replicas, 0)) }

// poolCosts are the figures that the cost of an act is computed from.
type poolCosts struct {
	committed, ceiling, limit, typical amount
	// free are the prices of the rentals that are not claimed and not ending,
	// highest first, and held the sum of those that are claimed.
	free []amount
	held amount
}

func costsOf(s *snapshot) *poolCosts {
	c := &poolCosts{
		committed: amountOf(s.pool.Status.Cost.CommittedUSDPerHour),
		ceiling:   amountOf(s.pool.Spec.Cost.CeilingUSDPerHour),
		limit:     amountOf(s.pool.Spec.Cost.MaxInstanceUSDPerHour),
		held:      known(0),
	}
	if !c.limit.known {
		c.limit = c.ceiling
	}
	sum := known(0)
	for i := range s.instances {
		instance := &s.instances[i]
		price, _ := priceOf(instance)
		if !price.known {
			continue
		}
		sum = sum.plus(price)
		switch {
		case instance.Spec.ClaimRef != nil:
			c.held = c.held.plus(price)
		case instance.DeletionTimestamp.IsZero():
			c.free = append(c.free, price)
		}
	}
	if !c.committed.known {
		c.committed = sum
	}
	slices.SortFunc(c.free, func(a, b amount) int { return cmp.Compare(b.value, a.value) })
	c.typical = c.typicalPrice(s.pool)
	return c
}

// typicalPrice is what one more instance would cost: the cheapest offer that was
// seen, or else what those cost that there are.
func (c *poolCosts) typicalPrice(pool *v1alpha1.WarmPool) amount {
	if last := pool.Status.LastAdmission; last != nil {
		if cheapest := amountOf(last.CheapestOfferUSDPerHour); cheapest.known {
			return cheapest
		}
	}
	if len(c.free) == 0 {
		return amount{}
	}
	sum := known(0)
	for _, price := range c.free {
		sum = sum.plus(price)
	}
	return known(sum.value / fleet.USDMicros(len(c.free)))
}

// now is the line that every confirmation begins with.
func (c *poolCosts) now() costLine { return costLine{"Committed now", rateOf(c.committed)} }

// most is what the pool may cost with more instances: a rent never passes the
// ceiling, and what is committed beyond it already stays.
func (c *poolCosts) most(from amount, more int) amount {
	most := from.plus(c.limit.times(more))
	if c.ceiling.known && from.value >= c.ceiling.value {
		return from
	}
	return most.atMost(c.ceiling)
}

// growth are the lines for renting more instances.
func (c *poolCosts) growth(more int) []costLine {
	lines := []costLine{c.now()}
	if expected := c.committed.plus(c.typical.times(more)); expected.known {
		lines = append(lines, costLine{"Expected after", rateOf(expected.atMost(c.most(c.committed, more)))})
	}
	return append(lines, costLine{"At most after", rateOf(c.most(c.committed, more))})
}

// poolState names the state of a pool that an act was planned for: the status
// changes all the time, what people want does not.
func poolState(pool *v1alpha1.WarmPool) string {
	return fmt.Sprintf("%s/%d", pool.UID, pool.Generation)
}

// stoppedText says that a pool in another mode than Active rents nothing.
func stoppedText(pool *v1alpha1.WarmPool) string {
	if pool.Spec.Mode == v1alpha1.PoolActive || pool.Spec.Mode == "" {
		return ""
	}
	return fmt.Sprintf("The pool is in mode %s: nothing is rented before you resume it.", pool.Spec.Mode)
}

func planPrewarm(s *snapshot, _ *form) (*plan, *refusal) {
	if now := replicasOf(s.pool); now > 0 {
		return nil, &refusal{
			http.StatusConflict, "There is nothing to prewarm",
			fmt.Sprintf("The pool keeps %s ready already. Set another size to have more. %s", plural(now, "instance"), stoppedText(s.pool)),
		}
	}
	planned, refused := sizeTo(s, 1)
	if refused != nil {
		return nil, refused
	}
	planned.action, planned.confirm.Act, planned.confirm.Title = "prewarm", "prewarm", "Prewarm one instance"
	planned.done = "The pool now keeps one instance ready. It takes 5 to 15 minutes until it is usable."
	return planned, nil
}

func planResize(s *snapshot, form *form) (*plan, *refusal) {
	if form.replicas < 0 || form.replicas > maxReplicas {
		return nil, &refusal{
			http.StatusUnprocessableEntity, "This is not a size",
			fmt.Sprintf("The size is a whole number from 0 to %d. Nothing was changed.", maxReplicas),
		}
	}
	return sizeTo(s, form.replicas)
}

// sizeTo plans another size.
func sizeTo(s *snapshot, size int) (*plan, *refusal) {
	pool, was := s.pool, replicasOf(s.pool)
	if size == was {
		return nil, &refusal{http.StatusConflict, "Nothing would change", fmt.Sprintf("The size is %d already.", was)}
	}
	if limit := pool.Spec.MaxReplicas; limit != nil && size > int(*limit) {
		return nil, &refusal{
			http.StatusUnprocessableEntity, "The pool may not be so large",
			fmt.Sprintf("spec.maxReplicas of the pool is %d. Raise it first, or ask for less.", *limit),
		}
	}
	costs := costsOf(s)
	view := confirmation{
		Act: "resize", Title: fmt.Sprintf("Set the size from %d to %d", was, size),
		Warning: stoppedText(pool),
		Fields:  []field{{fieldSeen, poolState(pool)}, {fieldReplicas, strconv.Itoa(size)}},
	}
	if more := size - len(costs.free); more > 0 {
		view.Button = "Rent up to " + plural(more, "instance")
		view.Lines = []string{
			fmt.Sprintf("The pool will keep %s ready and unclaimed. It has %d now, so up to %d more will be rented.",
				plural(size, "instance"), len(costs.free), more),
			"The ceiling of " + costs.ceiling.String() + " an hour holds.",
		}
		view.Costs = costs.growth(more)
	} else {
		view.Button, view.Danger = "Set the size to "+strconv.Itoa(size), true
		view.Lines, view.Costs = shrink(costs, size)
	}
	if least := pool.Spec.MinReadyReplicas; least != nil && int(*least) > size {
		view.Lines = append(view.Lines, fmt.Sprintf("minReadyReplicas of the pool, %d, must not exceed the size and is lowered with it.", *least))
	}
	return &plan{
		action: "set_warm_pool", spends: size > was, confirm: view,
		details: audit.Details{"desiredSize": audit.Number(int64(size)), "before": audit.Number(int64(was))},
		done:    fmt.Sprintf("The size is now %d.", size),
		do: changePool(pool, func(pool *v1alpha1.WarmPool) {
			pool.Spec.Replicas = new(int32(size)) //nolint:gosec // at most maxReplicas
			if least := pool.Spec.MinReadyReplicas; least != nil && *least > *pool.Spec.Replicas {
				pool.Spec.MinReadyReplicas = new(*pool.Spec.Replicas)
			}
		}),
	}, nil
}

// shrink says what a smaller size ends and saves. Which instances are ended is
// the operator's decision; the highest prices bound what it saves.
func shrink(costs *poolCosts, size int) ([]string, []costLine) {
	ends := costs.free[:len(costs.free)-size]
	saved := known(0)
	for _, price := range ends {
		saved = saved.plus(price)
	}
	lines := []string{fmt.Sprintf("%s will be ended. Instances in use are not touched.", plural(len(ends), "unclaimed instance"))}
	if len(ends) == 0 {
		lines = []string{"No instance has to be ended. Instances in use are not touched."}
	}
	return lines, []costLine{
		costs.now(), {"Saved, about", rateOf(saved)}, {"Committed after, about", rateOf(costs.committed.minus(saved))},
	}
}

func planPause(s *snapshot, _ *form) (*plan, *refusal) {
	costs := costsOf(s)
	return modeTo(s, v1alpha1.PoolPaused, confirmation{
		Act: "pause", Title: "Pause the pool", Button: "Pause",
		Lines: []string{
			"Nothing more is rented, and nothing is ended voluntarily. What runs goes on, and costs what it costs.",
			"Instances that fail are not replaced.",
		},
		Costs: []costLine{costs.now(), {"At most after", rateOf(costs.committed)}},
	}, "The pool is paused. What runs goes on.")
}

func planResume(s *snapshot, _ *form) (*plan, *refusal) {
	costs, size := costsOf(s), replicasOf(s.pool)
	more := max(size-len(costs.free), 0)
	planned, refused := modeTo(s, v1alpha1.PoolActive, confirmation{
		Act: "resume", Title: "Resume the pool", Button: "Resume",
		Lines: []string{
			fmt.Sprintf("The pool works towards %s ready. It has %d, so up to %d more will be rented.", plural(size, "instance"), len(costs.free), more),
			"The ceiling of " + costs.ceiling.String() + " an hour holds.",
		},
		Costs: costs.growth(more),
	}, "The pool is active.")
	if planned != nil {
		planned.spends = true
	}
	return planned, refused
}

func planDrain(s *snapshot, _ *form) (*plan, *refusal) {
	costs := costsOf(s)
	saved := costs.committed.minus(costs.held)
	return modeTo(s, v1alpha1.PoolDrain, confirmation{
		Act: "drain", Title: "Drain the pool", Button: "End " + plural(len(costs.free), "instance"), Danger: true,
		Lines: []string{
			"Nothing more is rented, and " + plural(len(costs.free), "unclaimed instance") + " will be ended. Instances in use are not touched.",
			"The pool stays drained until you resume it.",
		},
		Costs: []costLine{costs.now(), {"Saved", rateOf(saved)}, {"Committed after", rateOf(costs.held)}},
	}, "The pool is being drained.")
}

// modeTo plans another mode.
func modeTo(s *snapshot, mode v1alpha1.PoolMode, view confirmation, done string) (*plan, *refusal) { //nolint:gocritic // plans are made once
	was := s.pool.Spec.Mode
	if was == mode {
		return nil, &refusal{http.StatusConflict, "Nothing would change", fmt.Sprintf("The mode of the pool is %s already.", mode)}
	}
	view.Fields = []field{{fieldSeen, poolState(s.pool)}}
	return &plan{
		action: "set_mode", confirm: view, done: done,
		details: audit.Details{"mode": audit.Text(string(mode)), "before": audit.Text(string(was))},
		do:      changePool(s.pool, func(pool *v1alpha1.WarmPool) { pool.Spec.Mode = mode }),
	}, nil
}

// changePool patches the spec of a pool. A status that was written meanwhile is no
// reason to give up; a spec that was, is.
func changePool(seen *v1alpha1.WarmPool, change func(*v1alpha1.WarmPool)) func(context.Context, Cluster) error {
	return func(ctx context.Context, cluster Cluster) error {
		const tries = 5
		pool := seen.DeepCopy()
		var err error
		for range tries {
			before := pool.DeepCopy()
			change(pool)
			err = cluster.Patch(ctx, pool,
				client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}), client.FieldOwner(fieldOwner))
			if !apierrors.IsConflict(err) {
				return err
			}
			pool = &v1alpha1.WarmPool{}
			if readErr := cluster.Get(ctx, client.ObjectKeyFromObject(seen), pool); readErr != nil {
				return readErr
			}
			if poolState(pool) != poolState(seen) {
				return err
			}
		}
		return err
	}
}
