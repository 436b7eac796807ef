package installation

import (
	"context"
	"fmt"
	"time"

	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/fleet"
)

// pollPeriod is the time between two looks.
const pollPeriod = 2 * time.Second

// objects are the objects of the installation.
type objects struct {
	accounts  []warmpool.VastAccount
	pools     []warmpool.WarmPool
	instances []warmpool.WarmInstance
}

// list reads the objects of the namespaces, of all when none is named.
func list(ctx context.Context, reader client.Reader, namespaces []string) (objects, error) {
	if len(namespaces) == 0 {
		namespaces = []string{""}
	}
	var all objects
	for _, namespace := range namespaces {
		var accounts warmpool.VastAccountList
		var pools warmpool.WarmPoolList
		var instances warmpool.WarmInstanceList
		for kind, into := range map[string]client.ObjectList{"VastAccounts": &accounts, "WarmPools": &pools, "WarmInstances": &instances} {
			if err := reader.List(ctx, into, client.InNamespace(namespace)); err != nil {
				return objects{}, fmt.Errorf("listing %s: %w", kind, err)
			}
		}
		all.accounts = append(all.accounts, accounts.Items...)
		all.pools = append(all.pools, pools.Items...)
		all.instances = append(all.instances, instances.Items...)
	}
	return all, nil
}

// price is what an instance costs in an hour at most, as far as is known: the
// larger of quote and observation, and the last quote while there is no rental.
func price(instance *warmpool.WarmInstance) fleet.USDMicros {
	texts := []string{string(instance.Status.Price.QuotedUSDPerHour), string(instance.Status.Price.CurrentUSDPerHour)}
	if attempts := instance.Status.Attempts; len(attempts) > 0 {
		texts = append(texts, string(attempts[len(attempts)-1].QuotedUSDPerHour))
	}
	var most fleet.USDMicros
	for _, text := range texts {
		if amount, err := fleet.ParseUSD(text); err == nil {
			most = max(most, amount)
		}
	}
	return most
}

// wait waits for the next look, or until ctx ends.
func wait(ctx context.Context, ticks clock.Clock) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-ticks.After(pollPeriod):
		return nil
	}
}
