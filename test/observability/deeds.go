package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/retry"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/localplane"
	"github.com/warmpool-dev/warmpool/internal/process"
)

const (
	// replicas is the size of the demo's pool, ceiling its dollars per hour here.
	replicas = 2
	ceiling  = "2.50"
	// accountCeiling is that of the sample account.
	accountCeiling = 6.0
	// patience bounds the wait for an alert, and for its end.
	patience = 7 * time.Minute
	// simulatorKey is no secret: the simulator of the demo takes it from everybody.
	simulatorKey = "sim-key"
	// leaseName is the lease that managers compete for.
	leaseName = "warmpool-manager.warmpool.dev"
)

// scale changes the size of the pool.
func (s *stage) scale(ctx context.Context, size int32) error {
	return s.changePool(ctx, poolName, func(spec *warmpool.WarmPoolSpec) { spec.Replicas = &size })
}

// addPool makes another pool of one instance, like that of the demo.
func (s *stage) addPool(ctx context.Context, name string, set func(spec *warmpool.WarmPoolSpec)) error {
	var model warmpool.WarmPool
	if err := s.cluster.Get(ctx, s.key(poolName), &model); err != nil {
		return err
	}
	pool := &warmpool.WarmPool{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Spec: model.Spec}
	pool.Spec.Replicas = new(int32(1))
	set(&pool.Spec)
	return s.cluster.Create(ctx, pool)
}

// removePool deletes a pool and waits until nothing of it is left.
func (s *stage) removePool(ctx context.Context, name string) error {
	pool := &warmpool.WarmPool{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	if err := s.cluster.Delete(ctx, pool); err != nil {
		return err
	}
	return s.until(ctx, patience, func(ctx context.Context) string {
		if err := s.cluster.Get(ctx, s.key(name), pool); apierrors.IsNotFound(err) {
			return ""
		}
		return "the pool " + name + " is still there"
	})
}

// dollars reads an amount of a status; one that is not there is 0.
func dollars(text string) float64 {
	amount, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return 0
	}
	return amount
}

// guessKey asks the sidecar with a key that is wrong.
func (s *stage) guessKey(ctx context.Context) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.sidecarURL+"/api/proxy/admin/warm-pool", http.NoBody)
	if err != nil {
		return err
	}
	request.Header.Set("X-Admin-Key", "a-guess-that-is-wrong-of-course")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusForbidden && response.StatusCode != http.StatusTooManyRequests {
		err = fmt.Errorf("to a wrong key the sidecar answered %s", response.Status)
	}
	return errors.Join(err, response.Body.Close())
}

// writeCorrection writes a correction of the ledger into the account's status,
// which the operator keeps until its next comparison.
func (s *stage) writeCorrection(ctx context.Context, amount warmpool.SignedUSD) error {
	return retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		account, err := s.account(ctx)
		if err != nil {
			return err
		}
		if account.Status.Ledger == nil {
			return errors.New("the account has no ledger yet")
		}
		yesterday := time.Now().UTC().AddDate(0, 0, -1)
		account.Status.Ledger.LastCorrection = &warmpool.LedgerCorrection{
			Day: yesterday.Format(time.DateOnly), LedgerUSD: "20.00", ChargedUSD: "25.00", CorrectionUSD: amount, Time: metav1.Now(),
		}
		return s.cluster.Status().Update(ctx, account)
	})
}

// changeKey changes what the simulator does with the demo's key.
func changeKey(action string) act {
	return func(ctx context.Context, s *stage) error {
		ask := struct{ Action, Key string }{action, simulatorKey}
		return s.simulator.Call(ctx, http.MethodPost, "/keys", &ask, nil)
	}
}

// signalManager sends a signal to the demo's manager.
func signalManager(signal syscall.Signal) act {
	return func(_ context.Context, s *stage) error {
		if err := syscall.Kill(s.managerPID, signal); err != nil {
			return fmt.Errorf("sending %s to the manager: %w", signal, err)
		}
		return nil
	}
}

// follower is a second manager that has nothing to do.
type follower struct{ process *process.Process }

// start takes the lease for somebody else, starts the manager and tells Prometheus.
func (f *follower) start(ctx context.Context, s *stage) error {
	holder, seconds, now := "somebody-else", int32(3600), metav1.NowMicro()
	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: leaseName}}
	lease.Spec = coordinationv1.LeaseSpec{HolderIdentity: &holder, LeaseDurationSeconds: &seconds, AcquireTime: &now, RenewTime: &now}
	if err := s.cluster.Create(ctx, lease); err != nil {
		return fmt.Errorf("taking the lease: %w", err)
	}
	ports, err := localplane.FreePorts(ctx, 1)
	if err != nil {
		return err
	}
	metrics := net.JoinHostPort(localplane.Loopback, ports[0])
	f.process, err = process.Start(&process.Spec{
		Name: "the second manager", Program: filepath.Join(s.root, "bin", "manager"), Directory: s.work, Environment: os.Environ(),
		Log: filepath.Join(s.work, "follower.log"),
		Arguments: []string{
			"--kubeconfig=" + s.kubeconfig(), "--namespaces=nobody", "--installation-id=follower", "--leader-election-namespace=" + namespace,
			"--leader-election-lease-duration=6s", "--leader-election-renew-deadline=4s", "--leader-election-retry-period=1s",
			"--metrics-bind-address=" + metrics, "--health-probe-bind-address=0", "--shutdown-timeout=1s",
		},
	})
	if err != nil {
		return err
	}
	text, err := json.Marshal([]map[string]any{{"targets": []string{metrics}, "labels": map[string]string{"job": "warmpool-follower", "namespace": namespace}}})
	if err != nil {
		return err
	}
	return os.WriteFile(s.extraTargets(), text, 0o600)
}

// lead gives the lease up, so that the manager takes it.
func (f *follower) lead(ctx context.Context, s *stage) error {
	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: leaseName}}
	return s.cluster.Delete(ctx, lease)
}

// stop ends the manager.
func (f *follower) stop(ctx context.Context, s *stage) error {
	return errors.Join(f.process.Stop(ctx, localplane.StopTimeout), os.Remove(s.extraTargets()))
}
