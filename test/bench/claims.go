package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
)

const (
	// claimsPool is the pool of the benchmarks of claims.
	claimsPool = "pool-000"
	// claimsReady is how many instances are ready when the first claim of a round
	// arrives, and how many claims arrive in it.
	claimsReady = 50
	// claimsPerSecond is how many arrive in a second, whether earlier ones were
	// served or not.
	claimsPerSecond = 50
	// wallSpeed is the factor wherever there are claims: their times of creation are
	// of the API server's clock, which no other clock may leave behind.
	wallSpeed = 1
	// claimBound is how long in ms somebody waits for an instance that is ready.
	claimBound = 100.0
)

// measureClaims hands out 50 ready instances in a second, again and again; then
// all 50 at once; then lets 50 holders change as fast as they can. Who gets an
// instance reads its Secret. What is given back is recycled, and serves the next.
func measureClaims(ctx context.Context, b *bench) (err error) {
	w, err := b.newWorld(ctx, "claims", claimsReady+10, wallSpeed)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	s := &seeder{
		plane: b.plane, namespace: w.namespace, sim: newSimAdmin(w.vast.URL(), w.vast.AdminURL()), now: w.clock.Now, perPool: claimsReady,
		change: func(pool *warmpool.WarmPool) {
			probeSlowly(pool)
			pool.Spec.ClaimPolicy.OnRelease = warmpool.ReleaseRecycle
			// Nobody rents in place of what is handed out for a moment.
			pool.Spec.MaxReplicas = new(int32(claimsReady))
		},
	}
	if err = b.seedWith(ctx, w, s, claimsReady); err != nil {
		return err
	}
	book := b.watchClaims(ctx, w.namespace)
	defer book.end()
	stopProfile, err := b.profileCPU("claims")
	if err != nil {
		return err
	}
	for _, measure := range []func(context.Context) error{book.measureWaits, book.measureBurst, book.measureTurnover} {
		if err = measure(ctx); err != nil {
			break
		}
	}
	return errors.Join(err, stopProfile())
}

// measureWaits lets claims arrive by chance, 50 in a second on average, until all
// instances are handed out, takes them back, and repeats that until claims have
// arrived for half a minute.
func (c *claimBook) measureWaits(ctx context.Context) error {
	const rounds = 30
	//nolint:gosec // the same arrivals in every run
	chance := rand.New(rand.NewPCG(1, 2))
	pause := func() time.Duration {
		return time.Duration(chance.ExpFloat64() * float64(time.Second) / claimsPerSecond)
	}
	for range rounds {
		if err := c.round(ctx, pause); err != nil {
			return err
		}
	}
	waits, err := c.take(rounds * claimsReady)
	if err != nil {
		return err
	}
	c.bench.note("claims: %d claims, 50 in a second; the slowest was served after %s", len(waits), waits[len(waits)-1].Round(time.Millisecond))
	return errors.Join(
		c.bench.report("claims-bind-p50", milliseconds(percentile(waits, 50)), "ms", claimBound),
		c.bench.report("claims-bind-p99", milliseconds(percentile(waits, 99)), "ms", claimBound),
	)
}

// measureBurst hands everything out at once: how many claims are served in a second.
func (c *claimBook) measureBurst(ctx context.Context) error {
	const rounds = 5
	var took time.Duration
	for range rounds {
		if err := c.round(ctx, func() time.Duration { return 0 }); err != nil {
			return err
		}
		took += c.lastRound
	}
	waits, err := c.take(rounds * claimsReady)
	if err != nil {
		return err
	}
	return c.bench.reportRate("claims-burst-rate", float64(len(waits))/took.Seconds(), "/s", claimsPerSecond)
}

// measureTurnover lets 50 holders claim, read the Secret, release, and claim
// again: how many claims come and go in a second, recycling included.
func (c *claimBook) measureTurnover(ctx context.Context) error {
	const watched, bound = 30 * time.Second, 10
	if err := c.settle(ctx); err != nil {
		return err
	}
	before, err := familyTime()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, watched+time.Minute)
	defer cancel()
	started := time.Now()
	var holders errgroup.Group
	for range claimsReady {
		holders.Go(func() error {
			for time.Since(started) < watched {
				held, failure := c.claim(ctx, time.Now())
				if failure == nil {
					failure = c.release(ctx, held)
				}
				if failure != nil {
					return failure
				}
			}
			return nil
		})
	}
	err = holders.Wait()
	took := time.Since(started)
	count := len(c.waited)
	waits, takeErr := c.take(count)
	if err = errors.Join(err, takeErr); err != nil {
		return err
	}
	c.bench.notePerClaim(before, count)
	c.bench.note("claims: with 50 holders that never stop, half of them wait for at most %s", percentile(waits, 50).Round(time.Millisecond))
	return c.bench.reportRate("claims-turnover-rate", float64(count)/took.Seconds(), "/s", bound)
}

// notePerClaim says where the processor time of a claim has gone, from its
// creation until its instance serves the next one.
func (b *bench) notePerClaim(before map[string]time.Duration, count int) {
	after, err := familyTime()
	if err != nil {
		b.note("claims: %v", err)
		return
	}
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(after)) {
		if spent := after[name] - before[name]; spent > 0 {
			parts = append(parts, fmt.Sprintf("%s %.1f ms", name, milliseconds(spent)/float64(count)))
		}
	}
	b.note("claims: processor time for each claim: %s", strings.Join(parts, ", "))
}

// claimBook notes when claims were made and when they were served.
type claimBook struct {
	bench     *bench
	namespace string
	watching  sync.WaitGroup
	stop      context.CancelFunc
	// lastRound is how long the last round took, until its last claim was served.
	lastRound time.Duration

	mu sync.Mutex
	// made counts claims.
	made int
	// served is told about each claim once it can be used; by name.
	served map[string]chan *warmpool.WarmClaim
	// holder is who holds an instance, by the name of the instance.
	holder map[string]string
	// waited is how long each claim waited.
	waited []time.Duration
}

// watchClaims begins to watch the claims of a namespace.
func (b *bench) watchClaims(ctx context.Context, namespace string) *claimBook {
	book := &claimBook{bench: b, namespace: namespace, served: map[string]chan *warmpool.WarmClaim{}, holder: map[string]string{}}
	ctx, book.stop = context.WithCancel(ctx)
	book.watching.Go(func() {
		const pause = 100 * time.Millisecond
		for ctx.Err() == nil {
			if err := book.follow(ctx); err != nil && ctx.Err() == nil {
				b.note("claims: %v; they are listed and watched again", err)
				time.Sleep(pause)
			}
		}
	})
	return book
}

// follow lists the claims and watches them until the API server ends the watch.
func (c *claimBook) follow(ctx context.Context) error {
	var list warmpool.WarmClaimList
	if err := c.bench.plane.client.List(ctx, &list, client.InNamespace(c.namespace)); err != nil {
		return fmt.Errorf("listing the claims: %w", err)
	}
	for k := range list.Items {
		c.see(&list.Items[k])
	}
	watching, err := c.bench.plane.client.Watch(ctx, &warmpool.WarmClaimList{}, client.InNamespace(c.namespace),
		&client.ListOptions{Raw: &metav1.ListOptions{ResourceVersion: list.ResourceVersion}})
	if err != nil {
		return fmt.Errorf("watching the claims: %w", err)
	}
	defer watching.Stop()
	for event := range watching.ResultChan() {
		if claim, isClaim := event.Object.(*warmpool.WarmClaim); isClaim {
			c.see(claim)
		}
	}
	return errWatchEnded
}

// errWatchEnded is a connection that was lost, or kept for long enough.
var errWatchEnded = errors.New("the watch has ended")

func (c *claimBook) end() {
	c.stop()
	c.watching.Wait()
}

// see tells who waits for a claim that it can be used.
func (c *claimBook) see(claim *warmpool.WarmClaim) {
	status := &claim.Status
	finished := status.FinishedTime != nil
	if !finished && (status.Endpoint == "" || status.CredentialsSecretRef == nil) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if waiter := c.served[claim.Name]; waiter != nil {
		delete(c.served, claim.Name)
		waiter <- claim
	}
}

// round lets 50 claims arrive, with a pause after each, and takes the instances
// back when all are served.
func (c *claimBook) round(ctx context.Context, pause func() time.Duration) error {
	const patience = time.Minute
	if err := c.settle(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	held := make([]*warmpool.WarmClaim, claimsReady)
	var clients errgroup.Group
	started, at := time.Now(), time.Duration(0)
	for k := range held {
		due := started.Add(at)
		time.Sleep(time.Until(due))
		clients.Go(func() (err error) {
			held[k], err = c.claim(ctx, due)
			return err
		})
		at += pause()
	}
	if err := clients.Wait(); err != nil {
		return err
	}
	c.lastRound = time.Since(started)
	for _, claim := range held {
		clients.Go(func() error { return c.release(ctx, claim) })
	}
	return clients.Wait()
}

// settle waits until all instances are ready and free, and nothing is left of
// earlier claims.
func (c *claimBook) settle(ctx context.Context) error {
	const patience = 2 * time.Minute
	return await(ctx, patience, "all instances to be free again", func(ctx context.Context) (bool, error) {
		var claims warmpool.WarmClaimList
		if err := c.bench.plane.client.List(ctx, &claims, client.InNamespace(c.namespace)); err != nil || len(claims.Items) > 0 {
			return false, err
		}
		ready, err := c.bench.plane.ready(ctx, c.namespace)
		return ready == claimsReady, err
	})
}

// claim makes one claim, waits for its endpoint, and reads its Secret as its
// holder would. It has waited since it was due.
func (c *claimBook) claim(ctx context.Context, due time.Time) (*warmpool.WarmClaim, error) {
	waiter := make(chan *warmpool.WarmClaim, 1)
	c.mu.Lock()
	name := fmt.Sprintf("claim-%05d", c.made)
	c.served[name] = waiter
	c.made++
	c.mu.Unlock()
	made := &warmpool.WarmClaim{
		ObjectMeta: metav1.ObjectMeta{Namespace: c.namespace, Name: name},
		Spec:       warmpool.WarmClaimSpec{PoolRef: warmpool.LocalReference{Name: claimsPool}},
	}
	if err := c.bench.plane.client.Create(ctx, made); err != nil {
		return nil, fmt.Errorf("making claim %s: %w", name, err)
	}
	var got *warmpool.WarmClaim
	select {
	case got = <-waiter:
	case <-ctx.Done():
		return nil, fmt.Errorf("claim %s: %w", name, errNotServed)
	}
	waited := time.Since(due)
	if got.Status.FinishedTime != nil {
		return nil, fmt.Errorf("claim %s: %w: %s", name, errNotServed, got.Status.Conditions[0].Message)
	}
	c.mu.Lock()
	other := c.holder[got.Status.InstanceRef.Name]
	c.holder[got.Status.InstanceRef.Name], c.waited = name, append(c.waited, waited)
	c.mu.Unlock()
	if other != "" {
		return nil, fmt.Errorf("claim %s got %s while %s held it: %w", name, got.Status.InstanceRef.Name, other, errNotServed)
	}
	var secret corev1.Secret
	key := types.NamespacedName{Namespace: c.namespace, Name: got.Status.CredentialsSecretRef.Name}
	if err := c.bench.plane.client.Get(ctx, key, &secret); err != nil || len(secret.Data[warmpool.SecretKeyClaimToken]) == 0 {
		return nil, errors.Join(fmt.Errorf("claim %s: its Secret holds no token: %w", name, errNotServed), err)
	}
	return got, nil
}

// errNotServed is a claim that was not served as claims are.
var errNotServed = errors.New("it was not served")

// release gives the instance of a claim back.
func (c *claimBook) release(ctx context.Context, held *warmpool.WarmClaim) error {
	c.mu.Lock()
	delete(c.holder, held.Status.InstanceRef.Name)
	c.mu.Unlock()
	return c.bench.plane.client.Delete(ctx, held)
}

// take returns how long claims waited, shortest first, and forgets it. An error
// says that it is not about as many as were made.
func (c *claimBook) take(count int) ([]time.Duration, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	taken := c.waited
	c.waited = nil
	if len(taken) != count || count == 0 {
		return nil, fmt.Errorf("%d of %d claims: %w", len(taken), count, errNotServed)
	}
	slices.Sort(taken)
	return taken, nil
}

// percentile is the value that so many percent of them do not exceed.
func percentile(sorted []time.Duration, percent int) time.Duration {
	return sorted[(len(sorted)*percent+99)/100-1]
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
