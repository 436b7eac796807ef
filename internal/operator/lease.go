package operator

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/uuid"
	coordination "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/utils/clock"
)

// LeaseName is the lease that all replicas compete for.
const LeaseName = "warmpool-manager.warmpool.dev"

// leaseGuard remembers when the leader lease was last renewed. Leader election
// stops a process that cannot renew, but a process that was paused wakes up in
// the middle of whatever it was doing; it must look here before it acts.
type leaseGuard struct {
	clock    clock.PassiveClock
	enabled  bool
	validFor time.Duration

	mu        sync.Mutex
	renewedAt time.Time
}

// newLeaseGuard makes a guard. A renewal is good for the renew deadline, which
// is shorter than the lease: nobody else can lead before the lease has ended.
func newLeaseGuard(now clock.PassiveClock, enabled bool, validFor time.Duration) *leaseGuard {
	return &leaseGuard{clock: now, enabled: enabled, validFor: validFor}
}

// IsFresh implements controllers.Lease.
func (g *leaseGuard) IsFresh() bool {
	if !g.enabled {
		return true
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.clock.Now()
	age, wallAge := now.Sub(g.renewedAt), now.Round(0).Sub(g.renewedAt.Round(0))
	// The monotonic clock stands still while a machine is suspended, the wall
	// clock may be set: the lease is fresh only when both say so.
	//warmpool:gate lease-expires
	//warmpool:gate lease-clock-set-back
	return !g.renewedAt.IsZero() && age >= 0 && wallAge >= 0 && max(age, wallAge) < g.validFor
}

// renewed notes a renewal that was asked for at the given time: counted from
// the request, not from the answer.
func (g *leaseGuard) renewed(at time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.renewedAt = at
}

// lock makes the lock that leader election uses, with the guard around it.
func (g *leaseGuard) lock(config *rest.Config, namespace string) (resourcelock.Interface, error) {
	if namespace == "" {
		own, err := ownNamespace()
		if err != nil {
			return nil, err
		}
		namespace = own
	}
	client, err := coordination.NewForConfig(rest.AddUserAgent(config, "leader-election"))
	if err != nil {
		return nil, fmt.Errorf("making the client of leader election: %w", err)
	}
	host, err := os.Hostname()
	if err != nil {
		return nil, fmt.Errorf("reading the host name: %w", err)
	}
	return &guardedLock{
		guard: g,
		Interface: &resourcelock.LeaseLock{
			LeaseMeta:  metav1.ObjectMeta{Namespace: namespace, Name: LeaseName},
			Client:     client,
			LockConfig: resourcelock.ResourceLockConfig{Identity: host + "_" + string(uuid.NewUUID())},
		},
	}, nil
}

// ownNamespace is the namespace of the pod that this process runs in.
func ownNamespace() (string, error) {
	const path = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"
	text, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("finding the namespace of the lease (give --leader-election-namespace outside a cluster): %w", err)
	}
	return strings.TrimSpace(string(text)), nil
}

// guardedLock tells the guard of every write that made this process, or kept
// it, the leader.
type guardedLock struct {
	resourcelock.Interface
	guard *leaseGuard
}

// Create implements resourcelock.Interface.
func (l *guardedLock) Create(ctx context.Context, record resourcelock.LeaderElectionRecord) error {
	return l.noted(record, func() error { return l.Interface.Create(ctx, record) })
}

// Update implements resourcelock.Interface.
func (l *guardedLock) Update(ctx context.Context, record resourcelock.LeaderElectionRecord) error {
	return l.noted(record, func() error { return l.Interface.Update(ctx, record) })
}

func (l *guardedLock) noted(record resourcelock.LeaderElectionRecord, write func() error) error {
	at := l.guard.clock.Now()
	err := write()
	//warmpool:gate lease-renewal-succeeded
	//warmpool:gate lease-renewal-is-ours
	if err == nil && record.HolderIdentity == l.Identity() {
		//warmpool:gate lease-counts-from-the-request
		l.guard.renewed(at)
	}
	return err
}
