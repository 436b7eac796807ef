package controllers

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/planner"
)

// recordDearer notes, before an instance is ended because the pool is over its
// ceiling or the instance above its cap, that its rental costs more than its
// offer said. As a failure of its host it blocks the machine and backs the pool
// off: otherwise a pool could rent, end and rent again for ever (I7).
func (r *WarmPoolReconciler) recordDearer(ctx context.Context, in *poolInput, victim *planner.Victim) error {
	limit := "the ceiling of the pool has no room for it. Another machine is tried; if this repeats, raise spec.cost.ceilingUSDPerHour."
	switch victim.Reason {
	case planner.VictimOverCeiling:
	case planner.VictimAboveInstanceCap:
		limit = "spec.cost.maxInstanceUSDPerHour does not allow it. Another machine is tried; if this repeats, raise that."
	default:
		return nil
	}
	for k := range in.instances {
		instance := &in.instances[k]
		if string(instance.UID) != victim.UID || instance.Status.Failure != nil {
			continue
		}
		quoted, current := usdOf(string(instance.Status.Price.QuotedUSDPerHour)), usdOf(string(instance.Status.Price.CurrentUSDPerHour))
		planned := plannerInstance(instance)
		// A ceiling that was lowered is no fault of the host.
		if _, _, rose := planned.PriceRose(); !rose {
			return nil
		}
		updated := instance.DeepCopy()
		updated.Status.Failure = &warmpool.InstanceFailure{
			Reason: planner.PoolReasonPriceRaised, HostFault: true, Time: metav1.Time{Time: in.now},
			Message: fmt.Sprintf("The rental costs $%s/h, its offer said $%s/h, and %s", current, quoted, limit),
		}
		if err := r.Client.Status().Update(ctx, updated); err != nil {
			return client.IgnoreNotFound(err)
		}
		in.instances[k] = *updated
		return nil
	}
	return nil
}
