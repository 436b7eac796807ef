package controllers

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/planner"
)

// WarmInstanceReconciler is the prober: it finds out whether the ComfyUI of an
// instance started, renders, and is alive, and gives up an instance that
// failed. It never speaks to Vast.ai.
type WarmInstanceReconciler struct {
	// Client reads through the cache and writes.
	Client client.Client
	// APIReader reads Secrets and ConfigMaps, which are not cached.
	APIReader client.Reader
	// Prober looks at one ComfyUI.
	Prober Prober
	// Recycler cleans one ComfyUI after a claim.
	Recycler Recycler
	// LastTrustedSweep says when the account's instances were last read.
	LastTrustedSweep func(account types.NamespacedName) time.Time
	// Events tells people about transitions.
	Events events.EventRecorder
	// Metrics counts what moves money.
	Metrics Recorder
	// Clock is the only clock.
	Clock clock.WithTicker
	// Concurrency is how many instances are probed at the same time.
	Concurrency int
	// Decorate wraps the reconciler; nil leaves it as it is.
	Decorate Decorate

	memories probeMemories
	clock    clockWatch
}

// SetupWithManager registers the controller.
func (r *WarmInstanceReconciler) SetupWithManager(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).Named("warminstance").
		For(&warmpool.WarmInstance{}).
		WithOptions(controllerOptions(r.Concurrency, r.Clock)).
		Complete(r.Decorate.apply("warminstance", "WarmInstance", r))
}

// instanceInput is everything that one look at an instance is judged on.
type instanceInput struct {
	instance *warmpool.WarmInstance
	pool     *warmpool.WarmPool
	memory   *probeMemory
	health   planner.HealthInput
	// recycle is what this look did about the recycling, nil when nothing.
	recycle *recycleStep
}

// Reconcile gathers, takes the one look that is due, plans and reports.
func (r *WarmInstanceReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	in, err := r.gather(ctx, req.NamespacedName)
	if err != nil || in == nil {
		return ctrl.Result{}, err
	}
	if wait := in.memory.notDue(in, r.Clock.Now()); wait > 0 {
		return ctrl.Result{RequeueAfter: wait}, nil
	}
	r.look(ctx, in)
	in.health.Now = r.Clock.Now()
	memory, decision := planner.ComputeHealth(in.memory.health, &in.health)
	in.memory.remember(in, memory, &decision)
	if err := r.reportSurely(ctx, in, &decision); err != nil {
		return ctrl.Result{}, quietConflict(err)
	}
	return ctrl.Result{RequeueAfter: max(decision.NextAfter, time.Millisecond)}, nil
}

// gather returns nil when there is nothing to look at: no rental, or on its
// way out.
func (r *WarmInstanceReconciler) gather(ctx context.Context, key types.NamespacedName) (*instanceInput, error) {
	var instance warmpool.WarmInstance
	if err := r.Client.Get(ctx, key, &instance); err != nil {
		r.memories.forget(key)
		return nil, client.IgnoreNotFound(err)
	}
	if instance.Status.Rental == nil || !instance.DeletionTimestamp.IsZero() {
		r.memories.forget(key)
		return nil, nil //nolint:nilnil // nothing to look at is no error
	}
	var pool warmpool.WarmPool
	if err := r.Client.Get(ctx, types.NamespacedName{Namespace: key.Namespace, Name: instance.Spec.PoolRef.Name}, &pool); err != nil {
		return nil, client.IgnoreNotFound(err)
	}
	in := &instanceInput{instance: &instance, pool: &pool, memory: r.memories.of(key, instance.UID)}
	in.health = r.healthInput(in)
	return in, nil
}

// healthInput collects what is known before anybody looks.
func (r *WarmInstanceReconciler) healthInput(in *instanceInput) planner.HealthInput {
	status := &in.instance.Status
	account := types.NamespacedName{Namespace: in.instance.Namespace, Name: in.instance.Spec.AccountRef.Name}
	probes, lifecycle := in.pool.Spec.Probes, in.pool.Spec.Lifecycle
	holder := in.instance.Spec.ClaimRef
	// A clock that was set forward must not make a deadline pass.
	steps := r.clock.look(r.Clock.Now())
	return planner.HealthInput{
		Rental: planner.HealthRental{
			ID: status.Rental.ID, MachineID: status.Rental.MachineID,
			ActualStatus: plannerRental(status).ActualStatus, IntendedStatus: status.Provider.IntendedStatus,
			CurrentState: status.Provider.CurrentState, StatusMessage: status.Provider.Message,
			EndpointKnown: comfyAddress(status) != "",
			RentedAt:      steps.Correct(timeOf(status.Rental.RecordedTime)), RunningSince: steps.Correct(timeOf(status.Provider.RunningTime)),
			ReadAt: r.LastTrustedSweep(account),
		},
		WasReady:  status.ReadyTime != nil,
		IsReady:   isConditionTrue(status.Conditions, warmpool.ConditionReady),
		IsStarted: isConditionTrue(status.Conditions, warmpool.ConditionStarted),
		Claimed:   isHeld(in.instance), LastProofAt: timeOf(status.LastProofTime),
		Recycling: holder != nil && !isHeld(in.instance) && !isRecycled(in.instance), EmptiedAt: in.emptiedAt(),
		Deadlines: planner.HealthDeadlines{
			ProvisioningSeconds: int64(lifecycle.ProvisioningDeadlineSeconds), StartupSeconds: int64(lifecycle.StartupDeadlineSeconds),
		},
		Probes: planner.HealthProbes{
			PeriodSeconds: int64(probes.PeriodSeconds), FailureThreshold: int(probes.FailureThreshold),
			BusySilenceSeconds: int64(probes.BusySilenceSeconds), MaxPromptSeconds: int64(probes.MaxPromptSeconds),
			ReproveSeconds: int64(probes.ReproveSeconds),
		},
	}
}
