package controllers

import (
	"context"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/fleet"
	"github.com/warmpool-dev/warmpool/internal/planner"
)

// sparedFor says why a failed instance is not ended now, empty when it may be:
// from here, an instance that is dead and a network of ours that is broken look
// the same. What Vast.ai itself has stopped, as it stops everything when the
// credit is used up, is no fault of our sight: sparing it would leave it stopped
// for ever.
func (r *WarmInstanceReconciler) sparedFor(ctx context.Context, in *instanceInput, after *warmpool.WarmInstance, failure *fleet.Failure) (string, error) {
	if failure.Reason == planner.HealthInstanceStopped {
		return "", nil
	}
	sees, err := r.seesVast(ctx, in, after)
	if err != nil {
		return "", err
	}
	if !sees {
		return "It is kept until the list of instances at Vast.ai was read once more: if that cannot be read either, the fault is on our side.", nil
	}
	// The cache first, because an instance that is spared asks with each probe;
	// then the API server, because a cache that lags shows the others in good health.
	for _, reading := range []struct {
		client.Reader
		narrow []client.ListOption
	}{
		{r.Client, []client.ListOption{client.InNamespace(in.instance.Namespace), client.MatchingFields{indexPool: in.pool.Name}}},
		{r.APIReader, []client.ListOption{client.InNamespace(in.instance.Namespace)}},
	} {
		budget, err := r.remediationBudget(ctx, in, reading.Reader, reading.narrow...)
		if err != nil {
			return "", err
		}
		//warmpool:gate give-up-within-the-budget
		if budget.Suspended {
			log.FromContext(ctx).V(1).Info("Sparing a failed instance", "reason", failure.Reason, "message", budget.Message)
			return "It is kept, because too many instances of the pool fail at once.", nil
		}
	}
	return "", nil
}

// seesVast is true when Vast.ai's list was read in good order after the
// instance was seen unready: then our own way to the internet works. It also
// means that all who fail at once have said so before the first of them is ended.
func (r *WarmInstanceReconciler) seesVast(ctx context.Context, in *instanceInput, after *warmpool.WarmInstance) (bool, error) {
	key := types.NamespacedName{Namespace: in.instance.Namespace, Name: in.instance.Spec.AccountRef.Name}
	var account warmpool.VastAccount
	if err := r.Client.Get(ctx, key, &account); err != nil {
		if apierrors.IsNotFound(err) {
			return false, nil
		}
		return false, err
	}
	sweptAt := r.LastTrustedSweep(key)
	ready := meta.FindStatusCondition(after.Status.Conditions, warmpool.ConditionReady)
	if ready == nil || ready.Status == metav1.ConditionTrue || !sweptAt.After(ready.LastTransitionTime.Time) {
		return false, nil
	}
	return isTrusted(&account, sweptAt, in.health.Now), nil
}

// remediationBudget says whether one of the pool's instances may be ended for
// its health. Unlike the pool's own condition it counts the instance itself, and
// those that are silent at work: they are Ready for as long as that may be work,
// and they all run out of patience together.
func (r *WarmInstanceReconciler) remediationBudget(ctx context.Context, in *instanceInput, reader client.Reader, narrow ...client.ListOption) (planner.BudgetVerdict, error) {
	var list warmpool.WarmInstanceList
	if err := reader.List(ctx, &list, narrow...); err != nil {
		return planner.BudgetVerdict{}, err
	}
	counted := make([]planner.BudgetInstance, 0, len(list.Items))
	for k := range list.Items {
		other := &list.Items[k]
		if other.Spec.PoolRef.Name != in.pool.Name {
			continue
		}
		budgeted := budgetInstance(other)
		ready := meta.FindStatusCondition(other.Status.Conditions, warmpool.ConditionReady)
		silent := ready != nil && ready.Reason == planner.HealthBusyUnresponsive
		budgeted.Healthy = budgeted.Healthy && !silent && other.UID != in.instance.UID
		counted = append(counted, budgeted)
	}
	return planner.ComputeHealthBudget(counted, percentOf(in.pool.Spec.Remediation.MaxUnhealthy)), nil
}
