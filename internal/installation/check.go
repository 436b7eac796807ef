package installation

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
)

// CheckOptions say what is checked.
type CheckOptions struct {
	// Namespaces that the manager works in; empty is all.
	Namespaces []string
	// Lease is the lease of the leader.
	Lease types.NamespacedName
	// Clock judges the lease, and waits.
	Clock clock.Clock
	// Timeout is how long the installation may take to be in order.
	Timeout time.Duration
	// Out gets what was found, a line each.
	Out io.Writer
}

// Check looks until the kinds are served, somebody leads and every account is
// Ready, and says what it found. After the timeout the error is what was still
// wrong, with the remedy. It changes nothing.
func Check(ctx context.Context, reader client.Reader, options *CheckOptions) error {
	ctx, cancel := context.WithTimeout(ctx, options.Timeout)
	defer cancel()
	var lastErr error
	for {
		found, err := check(ctx, reader, options)
		if err == nil {
			_, err = io.WriteString(options.Out, found)
			return err
		}
		if ctx.Err() == nil || lastErr == nil {
			lastErr = err
		}
		if wait(ctx, options.Clock) != nil {
			return lastErr
		}
	}
}

// check looks once.
func check(ctx context.Context, reader client.Reader, options *CheckOptions) (string, error) {
	all, err := list(ctx, reader, options.Namespaces)
	if err != nil {
		return "", fmt.Errorf("%w (are the CRDs installed, and does the role allow it?)", err)
	}
	leader, err := checkLease(ctx, reader, options)
	if err != nil {
		return "", err
	}
	var found strings.Builder
	fmt.Fprintf(&found, "The kinds are served.\n%s leads.\n", leader)
	var failures []error
	for k := range all.accounts {
		account := &all.accounts[k]
		name := account.Namespace + "/" + account.Name
		ready := meta.FindStatusCondition(account.Status.Conditions, warmpool.ConditionReady)
		switch {
		case ready == nil:
			failures = append(failures, fmt.Errorf("VastAccount %s: the manager has not reported on it yet; read the log of the manager if this lasts", name))
		case ready.Status != metav1.ConditionTrue:
			failures = append(failures, fmt.Errorf("VastAccount %s is not Ready: %s: %s", name, ready.Reason, ready.Message))
		default:
			fmt.Fprintf(&found, "VastAccount %s is Ready.\n", name)
		}
	}
	if len(all.accounts) == 0 {
		found.WriteString("There is no VastAccount yet: nothing is rented without one.\n")
	}
	fmt.Fprintf(&found, "%d pools, %d instances.\n", len(all.pools), len(all.instances))
	return found.String(), errors.Join(failures...)
}

// checkLease returns who holds a lease that has not run out.
func checkLease(ctx context.Context, reader client.Reader, options *CheckOptions) (string, error) {
	var lease coordinationv1.Lease
	if err := reader.Get(ctx, options.Lease, &lease); err != nil {
		return "", fmt.Errorf("reading the leader's Lease %s (does the manager run?): %w", options.Lease, err)
	}
	spec := &lease.Spec
	if spec.HolderIdentity == nil || *spec.HolderIdentity == "" || spec.RenewTime == nil || spec.LeaseDurationSeconds == nil {
		return "", fmt.Errorf("nobody holds the leader's Lease %s: does the manager run?", options.Lease)
	}
	end := spec.RenewTime.Add(time.Duration(*spec.LeaseDurationSeconds) * time.Second)
	if options.Clock.Now().After(end) {
		return "", fmt.Errorf("the leader's Lease %s ran out at %s and nobody has taken it: does the manager run?", options.Lease, end.UTC().Format(time.RFC3339))
	}
	return *spec.HolderIdentity, nil
}
