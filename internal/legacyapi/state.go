package legacyapi

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
)

// endpointComfyUI names the port of ComfyUI in status.endpoints.
const endpointComfyUI = "comfyui"

// errNoPool is why nothing can be done or shown.
var errNoPool = errors.New("there is no such WarmPool")

// state is the pool and its instances at one moment.
type state struct {
	pool *warmpool.WarmPool
	// live are the instances that are not being ended, in the order in which a
	// client of the one instance of old should see them.
	live []*warmpool.WarmInstance
	// ending are those whose end is recorded.
	ending []*warmpool.WarmInstance
	// leases say until when claimed instances are held, by the name of the claim.
	leases map[string]*time.Time
}

// gather returns everything that answers are made of, as it is after the call.
// Requests that come while a reading is under way share the next one, so that the
// API server is asked once however many clients look. Nobody may change what is in it.
func (s *Server) gather(ctx context.Context) (*state, error) {
	wanted := s.readings.join(func() (*state, error) {
		// It is not only for the request that came first.
		reading, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookPatience)
		defer cancel()
		return s.read(reading)
	})
	select {
	case <-wanted.done:
		return wanted.state, wanted.err
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting for the pool: %w", ctx.Err())
	}
}

// lookPatience is how long one reading may take.
const lookPatience = 10 * time.Second

// reading is one look at the cluster; state and err are there when done is closed.
type reading struct {
	look  func() (*state, error)
	done  chan struct{}
	state *state
	err   error
}

// readings does one reading after the other, each for all who asked before it
// began. The zero value is ready.
type readings struct {
	mu sync.Mutex
	// next is what newcomers join, nil when nobody waits; busy is true while
	// somebody reads.
	next *reading
	busy bool
}

// join returns the reading that begins next; look is how, when it is the first.
func (r *readings) join(look func() (*state, error)) *reading {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.next == nil {
		r.next = &reading{look: look, done: make(chan struct{})}
	}
	joined := r.next
	if !r.busy {
		r.busy = true
		go r.run()
	}
	return joined
}

// run reads until nobody waits.
func (r *readings) run() {
	for {
		r.mu.Lock()
		now := r.next
		r.next, r.busy = nil, now != nil
		r.mu.Unlock()
		if now == nil {
			return
		}
		now.state, now.err = now.look()
		close(now.done)
	}
}

// read looks at the cluster.
func (s *Server) read(ctx context.Context) (*state, error) {
	pool := &warmpool.WarmPool{}
	if err := s.options.Client.Get(ctx, s.options.Pool, pool); err != nil {
		if apierrors.IsNotFound(err) {
			return nil, fmt.Errorf("%w: %s; make it, or start the sidecar with another --pool", errNoPool, s.options.Pool)
		}
		return nil, fmt.Errorf("reading the pool: %w", err)
	}
	var instances warmpool.WarmInstanceList
	if err := s.options.Client.List(ctx, &instances, client.InNamespace(s.options.Pool.Namespace)); err != nil {
		return nil, fmt.Errorf("listing the instances: %w", err)
	}
	var claims warmpool.WarmClaimList
	if err := s.options.Client.List(ctx, &claims, client.InNamespace(s.options.Pool.Namespace)); err != nil {
		return nil, fmt.Errorf("listing the claims: %w", err)
	}
	st := &state{pool: pool, leases: map[string]*time.Time{}}
	for k := range instances.Items {
		instance := &instances.Items[k]
		switch {
		case instance.Spec.PoolRef.Name != pool.Name:
		case !instance.DeletionTimestamp.IsZero():
			st.ending = append(st.ending, instance)
		default:
			st.live = append(st.live, instance)
		}
	}
	for k := range claims.Items {
		if until := claims.Items[k].Status.ExpirationTime; until != nil {
			st.leases[claims.Items[k].Name] = &until.Time
		}
	}
	slices.SortFunc(st.live, byUse)
	slices.SortFunc(st.ending, byUse)
	return st, nil
}

// byUse puts first what a client wants: what is free and ready, what is on its
// way and how far, what is claimed, what has failed; the oldest first.
func byUse(a, b *warmpool.WarmInstance) int {
	return cmp.Or(cmp.Compare(rankOf(a), rankOf(b)), a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
}

func rankOf(instance *warmpool.WarmInstance) int {
	const free, reachable, rented, waiting, claimed, failed = 0, 1, 2, 3, 4, 5
	switch {
	case instance.Status.Failure != nil:
		return failed
	case isClaimed(instance):
		return claimed
	case isReady(instance):
		return free
	case instance.Status.Rental == nil:
		return waiting
	case addressOf(instance) == "":
		return rented
	default:
		return reachable
	}
}

// isUnderWay is true for an unclaimed instance that has a machine.
func isUnderWay(instance *warmpool.WarmInstance) bool {
	return instance.Status.Failure == nil && !isClaimed(instance) && instance.Status.Rental != nil
}

func isReady(instance *warmpool.WarmInstance) bool {
	return instance.DeletionTimestamp.IsZero() && instance.Status.Failure == nil &&
		meta.IsStatusConditionTrue(instance.Status.Conditions, warmpool.ConditionReady)
}

// isClaimed is true for an instance that is held, or recycled for the next holder.
func isClaimed(instance *warmpool.WarmInstance) bool { return instance.Spec.ClaimRef != nil }

// isFree is true for an instance that a claim or a call would get.
func isFree(instance *warmpool.WarmInstance) bool { return isReady(instance) && !isClaimed(instance) }

// first is the instance that stands for the one instance of old, nil for none.
func (st *state) first() *warmpool.WarmInstance {
	if len(st.live) == 0 {
		return nil
	}
	return st.live[0]
}

// free counts the instances that a claim would get now.
func (st *state) free() int {
	count := 0
	for _, instance := range st.live {
		if isFree(instance) {
			count++
		}
	}
	return count
}

// unclaimed are the live instances that nobody holds.
func (st *state) unclaimed() []*warmpool.WarmInstance {
	return slices.DeleteFunc(slices.Clone(st.live), isClaimed)
}

// find returns the instance with a rental id or a name, being ended or not; nil for none.
func (st *state) find(id string) *warmpool.WarmInstance {
	for _, instance := range slices.Concat(st.live, st.ending) {
		if instance.Name == id || rentalOf(instance) == id {
			return instance
		}
	}
	return nil
}

// rentalOf is the number of an instance's rental as a text, empty before there is one.
func rentalOf(instance *warmpool.WarmInstance) string {
	if instance.Status.Rental == nil {
		return ""
	}
	return strconv.FormatInt(instance.Status.Rental.ID, 10)
}

// desired is the pool's size.
func (st *state) desired() int32 {
	if st.pool.Spec.Replicas == nil {
		return 0
	}
	return *st.pool.Spec.Replicas
}

// mode is the pool's mode.
func (st *state) mode() warmpool.PoolMode {
	return cmp.Or(st.pool.Spec.Mode, warmpool.PoolActive)
}

// isPrewarming is true while an instance is wanted and no machine is rented for
// it yet.
func (st *state) isPrewarming() bool {
	if st.mode() != warmpool.PoolActive || st.desired() == 0 {
		return false
	}
	return !slices.ContainsFunc(st.live, isUnderWay)
}

// lastAction is when the pool was last changed through this API, or when its
// last rent was decided about, whichever is later.
func (st *state) lastAction() *time.Time {
	var last *time.Time
	later := func(t *time.Time) {
		if t != nil && (last == nil || t.After(*last)) {
			last = t
		}
	}
	for _, entry := range st.pool.ManagedFields {
		if entry.Manager == FieldManager && entry.Time != nil {
			later(&entry.Time.Time)
		}
	}
	if st.pool.Status.LastAdmission != nil {
		later(&st.pool.Status.LastAdmission.Time.Time)
	}
	return last
}

// why is what the pool says about the instances that it lacks.
func (st *state) why() (reason, message string) {
	condition := meta.FindStatusCondition(st.pool.Status.Conditions, warmpool.ConditionFullyProvisioned)
	if condition == nil || condition.Status == "True" || condition.ObservedGeneration < st.pool.Generation {
		return "", ""
	}
	return condition.Reason, condition.Message
}

// addressOf is the URL of an instance's ComfyUI, empty until it is published.
func addressOf(instance *warmpool.WarmInstance) string {
	for _, endpoint := range instance.Status.Endpoints {
		if endpoint.Name == endpointComfyUI {
			return endpoint.URL
		}
	}
	return ""
}

// changePool changes the pool's spec, again when somebody else was faster, and
// returns it as it is afterwards. Nothing is written when nothing changes.
func (s *Server) changePool(ctx context.Context, change func(spec *warmpool.WarmPoolSpec)) (*warmpool.WarmPool, error) {
	pool := &warmpool.WarmPool{}
	err := retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		if err := s.options.Client.Get(ctx, s.options.Pool, pool); err != nil {
			return err
		}
		before := pool.DeepCopy()
		change(&pool.Spec)
		patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
		if isSameSpec(before, pool) {
			return nil
		}
		return s.options.Client.Patch(ctx, pool, patch, client.FieldOwner(FieldManager))
	})
	switch {
	case apierrors.IsNotFound(err):
		return nil, fmt.Errorf("%w: %s; make it, or start the sidecar with another --pool", errNoPool, s.options.Pool)
	case err != nil:
		return nil, fmt.Errorf("changing the pool: %w", err)
	default:
		return pool, nil
	}
}

// isSameSpec compares what this API can change.
func isSameSpec(a, b *warmpool.WarmPool) bool {
	same := func(x, y *int32) bool { return (x == nil) == (y == nil) && (x == nil || *x == *y) }
	return same(a.Spec.Replicas, b.Spec.Replicas) && same(a.Spec.MinReadyReplicas, b.Spec.MinReadyReplicas) &&
		a.Spec.Mode == b.Spec.Mode && a.Spec.Template.DiskGB == b.Spec.Template.DiskGB &&
		a.Spec.Template.ProvisioningScriptURL == b.Spec.Template.ProvisioningScriptURL &&
		a.Spec.Offers.MinComputeCapability == b.Spec.Offers.MinComputeCapability
}
