package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
)

// course is a run of the test against one cluster.
type course struct {
	*cluster
	*report
	chosen *settings
	// directory is for values and the like.
	directory string
	// vastURL is the address of the simulated API.
	vastURL string
	// rights are those of the operator, read while it is installed.
	rights []right
}

// test runs everything and returns the exit code.
func test(ctx context.Context, chosen *settings, where *cluster) int {
	above := ""
	if where.node != nil {
		// What is below the node's directory goes away with it, whatever happens.
		above = filepath.Dir(where.kubeconfig)
	}
	directory, err := os.MkdirTemp(above, "warmpool-e2e-files-")
	if err != nil {
		return complain(fmt.Errorf("making a directory: %w", err), 2)
	}
	defer os.RemoveAll(directory) //nolint:errcheck // files of our own in a place for such
	c := &course{cluster: where, report: &report{out: os.Stdout, started: time.Now()}, chosen: chosen, directory: directory}
	err = c.run(ctx)
	if err != nil {
		c.diagnose(context.WithoutCancel(ctx))
	}
	c.conclude()
	if err != nil || c.failed > 0 {
		if err != nil {
			return complain(err, 1)
		}
		return 1
	}
	return 0
}

// run is the course. It ends at the first failure that what follows depends on.
func (c *course) run(ctx context.Context) error {
	if err := c.connect(); err != nil {
		return err
	}
	for _, part := range []struct {
		title string
		do    func(context.Context) error
	}{
		{"A provider", c.provide},
		{"Install", c.install},
		{"Pods", c.inspectPods},
		{"Use", c.use},
		{"The leader is killed", c.killLeader},
		{"The network to the provider is cut", c.cutNetwork},
		{"Upgrade", c.upgrade},
		{"A pool is changed and deleted", c.changePools},
		{"What is said and what is allowed", c.inspectRights},
		{"Uninstall", c.uninstall},
		{"The witness", c.askWitness},
	} {
		c.chapter(part.title)
		if err := part.do(ctx); err != nil {
			return fmt.Errorf("%s: %w", part.title, err)
		}
	}
	if c.node == nil {
		c.chapter("Clean up")
		return c.removeNamespaces(ctx)
	}
	return nil
}

func (c *course) provide(ctx context.Context) (err error) {
	if err = errors.Join(c.makeNamespaces(ctx), c.makeSecrets(ctx)); err != nil {
		return err
	}
	if c.vastURL, err = c.startSimulator(ctx, c.chosen.image); err != nil {
		return err
	}
	took, err := c.simulatorReady(ctx)
	return c.assert("the simulator runs as a pod", took, err)
}

// install installs the chart and waits for an instance.
func (c *course) install(ctx context.Context) error {
	path, err := writeValues(c.directory, values(c.chosen.image, c.vastURL))
	if err != nil {
		return err
	}
	started := time.Now()
	err = c.helm(ctx, "install", release, c.chosen.chart, "--values="+path)
	if err = c.assert("helm install", time.Since(started), err); err != nil {
		return err
	}
	_, err = until(ctx, podPatience+poolPatience, func(ctx context.Context) (string, error) {
		var pool warmpool.WarmPool
		if getErr := c.objects.Get(ctx, client.ObjectKey{Namespace: poolNamespace, Name: firstPool}, &pool); getErr != nil {
			return "", getErr
		}
		if pool.Status.ReadyReplicas > 0 {
			return "", nil
		}
		return c.poolHas(firstPool, 1)(ctx)
	})
	c.firstReady = time.Since(started)
	if err = c.assert("an instance is ready", c.firstReady, err); err != nil {
		return err
	}
	_, err = until(ctx, poolPatience, c.poolHas(firstPool, 2))
	if err = c.assert("the pool of two is ready", time.Since(started), err); err != nil {
		return err
	}
	took, err := until(ctx, podPatience, c.accountReady(metav1.ConditionTrue))
	return c.assert("the account is Ready", took, err)
}

// use makes a second pool and claims one of its instances.
func (c *course) use(ctx context.Context) error {
	pool := &warmpool.WarmPool{
		ObjectMeta: metav1.ObjectMeta{Namespace: poolNamespace, Name: secondPool},
		Spec: warmpool.WarmPoolSpec{
			Replicas: new(int32(1)), Cost: warmpool.PoolCost{CeilingUSDPerHour: "2.00"}, Probes: warmpool.Probes{PeriodSeconds: 5},
		},
	}
	if err := c.objects.Create(ctx, pool); err != nil {
		return fmt.Errorf("making a pool: %w", err)
	}
	took, err := until(ctx, poolPatience, c.poolHas(secondPool, 1))
	if err = c.assert("a pool made by hand is ready", took, err); err != nil {
		return err
	}
	claim := &warmpool.WarmClaim{
		ObjectMeta: metav1.ObjectMeta{Namespace: poolNamespace, Name: "job"},
		Spec:       warmpool.WarmClaimSpec{PoolRef: warmpool.LocalReference{Name: secondPool}},
	}
	if err = c.objects.Create(ctx, claim); err != nil {
		return fmt.Errorf("making a claim: %w", err)
	}
	took, err = until(ctx, poolPatience, func(ctx context.Context) (string, error) { return c.claimBound(ctx, claim.Name) })
	if err = c.assert("a claim gets an instance", took, err); err != nil {
		return err
	}
	if err = c.objects.Delete(ctx, claim); err != nil {
		return fmt.Errorf("releasing the claim: %w", err)
	}
	took, err = until(ctx, poolPatience, c.gone(&warmpool.WarmClaim{}, claim.Name))
	if err = c.assert("the claim is released", took, err); err != nil {
		return err
	}
	took, err = until(ctx, poolPatience, c.poolHas(secondPool, 1))
	if err = c.assert("the pool has an instance again", took, err); err != nil {
		return err
	}
	err = c.askSidecar(ctx)
	return c.assert("the legacy API answers from the sidecar, and not without its key", 0, err)
}

// killLeader kills the leader in two ways.
func (c *course) killLeader(ctx context.Context) error {
	if err := c.succeed(ctx, "a deleted pod", c.killPod); err != nil {
		return err
	}
	if c.node == nil {
		c.leave("kill -9 of the leader's process", "the processes of this cluster's nodes are out of reach")
		return nil
	}
	return c.succeed(ctx, "kill -9 of its process", c.killProcess)
}

// succeed kills the leader and asserts that another goes on with the same rentals.
func (c *course) succeed(ctx context.Context, manner string, kill func(context.Context, string) error) error {
	before, err := c.live(ctx)
	if err != nil {
		return err
	}
	pod, identity, err := c.leader(ctx)
	if err != nil {
		return err
	}
	if err = kill(ctx, pod); err != nil {
		return fmt.Errorf("killing the leader: %w", err)
	}
	took, err := until(ctx, podPatience, func(ctx context.Context) (string, error) {
		if _, now, leaderErr := c.leader(ctx); leaderErr != nil || now == identity {
			return "the lease is held by " + identity, leaderErr
		}
		return "", nil
	})
	if err = c.assert("after "+manner+" another leads", took, err); err != nil {
		return err
	}
	// What works only with a leader: a pool that grows and shrinks.
	if err = c.resize(ctx, "it makes the pool grow", 2); err != nil {
		return err
	}
	if err = c.resize(ctx, "and shrink", 1); err != nil {
		return err
	}
	took, err = until(ctx, podPatience, c.podsReady(managers, 2))
	if err = c.assert("two managers are Ready", took, err); err != nil {
		return err
	}
	_, err = until(ctx, poolPatience, func(ctx context.Context) (string, error) { return c.keptAllButOne(ctx, before) })
	return c.assert("no other rental was ended or made", 0, err)
}

// keptAllButOne says which rentals were lost besides the one that a pool ends
// when it shrinks.
func (c *course) keptAllButOne(ctx context.Context, before []int64) (string, error) {
	after, err := c.live(ctx)
	lost := slices.DeleteFunc(slices.Clone(before), func(id int64) bool { return slices.Contains(after, id) })
	if err == nil && len(after) == len(before) && len(lost) <= 1 {
		return "", nil
	}
	return fmt.Sprintf("rentals %v became %v", before, after), err
}

// resize sets the replicas of the second pool and waits for them.
func (c *course) resize(ctx context.Context, what string, replicas int32) error {
	pool := &warmpool.WarmPool{}
	if err := c.edit(ctx, pool, secondPool, func() { pool.Spec.Replicas = &replicas }); err != nil {
		return fmt.Errorf("changing the pool: %w", err)
	}
	took, err := until(ctx, poolPatience, c.poolHas(secondPool, replicas))
	return c.assert(what, took, err)
}

// cutNetwork cuts the managers off from the provider and its instances.
func (c *course) cutNetwork(ctx context.Context) error {
	if c.node == nil {
		c.leave("cutting the network", "the networks of this cluster's nodes are out of reach")
		return nil
	}
	before, err := c.rentals(ctx)
	if err != nil {
		return err
	}
	if err = c.cutProvider(ctx, false); err != nil {
		return err
	}
	took, err := until(ctx, poolPatience, c.accountReady(metav1.ConditionFalse))
	if err = c.assert("the account says that it is not Ready", took, err); err == nil {
		// Long enough for probes to fail and for somebody to draw conclusions.
		const blind = 30 * time.Second
		time.Sleep(blind)
		err = c.sameRentals(ctx, before)
		err = c.assert(fmt.Sprintf("for %s in the dark nothing was rented or ended", (took+blind).Round(time.Second)), 0, err)
	}
	if mendErr := c.cutProvider(ctx, true); mendErr != nil {
		return errors.Join(err, mendErr)
	}
	if err != nil {
		return err
	}
	took, err = until(ctx, poolPatience, c.accountReady(metav1.ConditionTrue))
	if err = c.assert("after the cut the account is Ready", took, err); err != nil {
		return err
	}
	took, err = until(ctx, poolPatience, c.poolHas(firstPool, 2))
	if err = c.assert("and the pools have what they had", took, err); err != nil {
		return err
	}
	return c.assert("with the same rentals", 0, c.sameRentals(ctx, before))
}

// upgrade changes a value that restarts every pod.
func (c *course) upgrade(ctx context.Context) error {
	before, err := c.rentals(ctx)
	if err != nil {
		return err
	}
	writes, err := c.writes(ctx)
	if err != nil {
		return err
	}
	_, identity, err := c.leader(ctx)
	if err != nil {
		return err
	}
	path := filepath.Join(c.directory, "values.yaml")
	started := time.Now()
	err = c.helm(ctx, "upgrade", release, c.chosen.chart, "--values="+path, "--set=manager.logLevel=1", "--wait", "--timeout=5m")
	if err = c.assert("helm upgrade, every pod replaced", time.Since(started), err); err != nil {
		return err
	}
	took, err := until(ctx, podPatience, func(ctx context.Context) (string, error) {
		if _, now, leaderErr := c.leader(ctx); leaderErr != nil || now == identity {
			return "the old leader holds the lease", leaderErr
		}
		return c.podsReady(managers, 2)(ctx)
	})
	if err = c.assert("one of the new pods leads", took, err); err != nil {
		return err
	}
	took, err = until(ctx, poolPatience, c.accountReady(metav1.ConditionTrue))
	if err = c.assert("the account is Ready", took, err); err != nil {
		return err
	}
	after, err := c.writes(ctx)
	if err == nil && after != writes {
		err = fmt.Errorf("the simulator counted %d calls that change something, %d before: %w", after, writes, errChanged)
	}
	if err = c.assert("not one call to the provider changed anything", 0, err); err != nil {
		return err
	}
	return c.assert("every rental goes on", 0, c.sameRentals(ctx, before))
}

// changePools edits a pool, then deletes it.
func (c *course) changePools(ctx context.Context) error {
	pool := &warmpool.WarmPool{}
	if err := c.edit(ctx, pool, secondPool, func() { pool.Spec.Replicas, pool.Spec.Cost.CeilingUSDPerHour = new(int32(3)), "3.00" }); err != nil {
		return fmt.Errorf("changing the pool: %w", err)
	}
	took, err := until(ctx, poolPatience, c.poolHas(secondPool, 3))
	if err = c.assert("a pool with a higher ceiling grows to three", took, err); err != nil {
		return err
	}
	if err = c.objects.Delete(ctx, pool); err != nil {
		return fmt.Errorf("deleting the pool: %w", err)
	}
	took, err = until(ctx, poolPatience, c.gone(&warmpool.WarmPool{}, secondPool))
	if err = c.assert("a deleted pool goes when its rentals are confirmed gone", took, err); err != nil {
		return err
	}
	live, err := c.live(ctx)
	const left = 2
	if err == nil && len(live) != left {
		err = fmt.Errorf("rentals %v live: %w", live, errChanged)
	}
	return c.assert("the other pool's two rentals are all that bills", 0, err)
}

// uninstall uninstalls the chart, which ends what it has rented first.
func (c *course) uninstall(ctx context.Context) error {
	started := time.Now()
	err := c.helm(ctx, "uninstall", release, "--wait", "--timeout=10m")
	if err = c.assert("helm uninstall", time.Since(started), err); err != nil {
		return err
	}
	var instances warmpool.WarmInstanceList
	err = c.objects.List(ctx, &instances)
	if err == nil && len(instances.Items) > 0 {
		err = fmt.Errorf("%d instances are left: %w", len(instances.Items), errChanged)
	}
	if err = c.assert("the kinds are kept, and no instance is left", 0, err); err != nil {
		return err
	}
	took, err := until(ctx, podPatience, c.podsReady("", 0))
	return c.assert("no pod is left", took, err)
}
