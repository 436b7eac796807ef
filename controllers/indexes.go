package controllers

import (
	"context"
	"fmt"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
)

// Indexes of the cache over WarmInstances and WarmClaims.
const (
	// indexPool finds the instances and the claims of a pool by its name.
	indexPool = "spec.poolRef.name"
	// indexUnrented finds the instances of an account that have no rental.
	indexUnrented = "unrented"
)

// AddIndexes adds the indexes that the controllers ask the cache by. It must
// be called before the manager starts.
func AddIndexes(ctx context.Context, mgr ctrl.Manager) error {
	for field, extract := range map[string]func(*warmpool.WarmInstance) []string{
		indexPool: func(instance *warmpool.WarmInstance) []string { return []string{instance.Spec.PoolRef.Name} },
		indexUnrented: func(instance *warmpool.WarmInstance) []string {
			if instance.Status.Rental != nil || !instance.DeletionTimestamp.IsZero() {
				return nil
			}
			return []string{instance.Spec.AccountRef.Name}
		},
	} {
		err := mgr.GetFieldIndexer().IndexField(ctx, &warmpool.WarmInstance{}, field, func(object client.Object) []string {
			instance, ok := object.(*warmpool.WarmInstance)
			if !ok {
				return nil
			}
			return extract(instance)
		})
		if err != nil {
			return fmt.Errorf("indexing instances by %s: %w", field, err)
		}
	}
	err := mgr.GetFieldIndexer().IndexField(ctx, &warmpool.WarmClaim{}, indexPool, func(object client.Object) []string {
		claim, ok := object.(*warmpool.WarmClaim)
		if !ok {
			return nil
		}
		return []string{claim.Spec.PoolRef.Name}
	})
	if err != nil {
		return fmt.Errorf("indexing claims by %s: %w", indexPool, err)
	}
	return nil
}
