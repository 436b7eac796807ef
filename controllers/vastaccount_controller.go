package controllers

import (
	"context"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
)

// Recorder counts what moves money; internal/metrics implements it.
type Recorder interface {
	RentOutcome(outcome string)
	Admission(decision, reason string)
	RentToReady(took time.Duration)
	Ended(reason string)
}

// VastAccountReconciler is the only writer to Vast.ai. It runs as three
// controllers over the same objects, each serial per account: the sweep reads
// the account and writes down what it saw, the renter rents one instance at a
// time, and the terminator ends rentals. They are separate because their calls
// have separate rate limits: an emergency stop must not wait for a list.
type VastAccountReconciler struct {
	// Client reads through the cache and writes.
	Client client.Client
	// APIReader reads from the API server. Everything that spends reads there.
	APIReader client.Reader
	// Connect makes the provider for a key.
	Connect Connect
	// Lease guards the acts of a process that may have lost its leadership.
	Lease Lease
	// Events tells people about transitions.
	Events events.EventRecorder
	// Metrics counts what moves money.
	Metrics Recorder
	// Audit records what moves money, the intent to rent before the rent is sent;
	// nil records nothing.
	Audit Auditor
	// Clock is the only clock.
	Clock clock.WithTicker
	// InstallationID is the second part of every label.
	InstallationID string
	// Concurrency is how many accounts are served at the same time.
	Concurrency int
	// Decorate wraps each of the three loops; nil leaves them as they are.
	Decorate Decorate

	sessions accountSessions
	clock    clockWatch
}

// +kubebuilder:rbac:groups=warmpool.dev,resources=vastaccounts,verbs=get;list;watch;update
// +kubebuilder:rbac:groups=warmpool.dev,resources=vastaccounts/status,verbs=update
// +kubebuilder:rbac:groups=warmpool.dev,resources=warminstances,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups=warmpool.dev,resources=warminstances/status,verbs=update
// +kubebuilder:rbac:groups=warmpool.dev,resources=warmpools,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups=warmpool.dev,resources=warmpools/status,verbs=update
// +kubebuilder:rbac:groups="",resources=secrets,verbs=get;create;delete
// +kubebuilder:rbac:groups="",resources=configmaps,verbs=get
// +kubebuilder:rbac:groups="",resources=namespaces,verbs=get,resourceNames=kube-system
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch

// SetupWithManager registers the three controllers.
func (r *VastAccountReconciler) SetupWithManager(mgr ctrl.Manager) error {
	loops := r.Loops()
	for _, name := range slices.Sorted(maps.Keys(loops)) {
		controlled := ctrl.NewControllerManagedBy(mgr).Named(name).
			WithOptions(controllerOptions(r.Concurrency, r.Clock))
		if name == LoopSweep {
			// The sweep follows the clock, not the objects that it writes.
			controlled = controlled.For(&warmpool.VastAccount{}, builder.WithPredicates(predicate.GenerationChangedPredicate{}))
		} else {
			controlled = controlled.For(&warmpool.VastAccount{}).
				Watches(&warmpool.WarmInstance{}, handler.EnqueueRequestsFromMapFunc(accountOfInstance), builder.WithPredicates(wakes(name)))
		}
		if name == LoopRent {
			controlled = controlled.Watches(&warmpool.WarmPool{}, handler.EnqueueRequestsFromMapFunc(accountOfPool))
		}
		if err := controlled.Complete(r.Decorate.apply(name, "VastAccount", loops[name])); err != nil {
			return err
		}
	}
	return nil
}

// wakes says which changes of instances concern a controller: those that wait
// the renter, those that end the terminator, and those that are gone both.
func wakes(name string) predicate.Predicate {
	concerns := func(object client.Object) bool {
		instance, ok := object.(*warmpool.WarmInstance)
		if !ok {
			return false
		}
		if name == LoopRent {
			return instance.Status.Rental == nil
		}
		return !instance.DeletionTimestamp.IsZero()
	}
	return predicate.Funcs{
		CreateFunc: func(e event.CreateEvent) bool { return concerns(e.Object) },
		UpdateFunc: func(e event.UpdateEvent) bool { return concerns(e.ObjectNew) },
		DeleteFunc: func(event.DeleteEvent) bool { return true },
	}
}

// accountOfInstance finds the account that pays for an instance.
func accountOfInstance(_ context.Context, object client.Object) []reconcile.Request {
	instance, ok := object.(*warmpool.WarmInstance)
	if !ok {
		return nil
	}
	return requestFor(instance.Namespace, instance.Spec.AccountRef.Name)
}

// accountOfPool finds the account that pays for a pool.
func accountOfPool(_ context.Context, object client.Object) []reconcile.Request {
	pool, ok := object.(*warmpool.WarmPool)
	if !ok {
		return nil
	}
	return requestFor(pool.Namespace, pool.Spec.AccountRef.Name)
}

func requestFor(namespace, name string) []reconcile.Request {
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: namespace, Name: name}}}
}

// liveInstances reads the WarmInstances of an account from the API server,
// never from the cache: what is not seen here would not be reserved (I1).
func (r *VastAccountReconciler) liveInstances(ctx context.Context, account types.NamespacedName) ([]warmpool.WarmInstance, error) {
	var kept []warmpool.WarmInstance
	for next := ""; ; {
		var page warmpool.WarmInstanceList
		//warmpool:gate rent-reads-live
		err := r.APIReader.List(ctx, &page, client.InNamespace(account.Namespace), client.Limit(livePage), client.Continue(next))
		if err != nil {
			return nil, err
		}
		// Not by label: a label can be edited, and what it hides would bill unseen.
		for k := range page.Items {
			if page.Items[k].Spec.AccountRef.Name == account.Name {
				kept = append(kept, page.Items[k])
			}
		}
		if next = page.Continue; next == "" {
			return kept, nil
		}
	}
}

// livePage bounds how many instances one answer of the API server holds: 2,000
// in one answer are 10 MB of text, which would be half of our memory. All pages
// of a reading show the moment of the first.
const livePage = 250

// event tells people about a transition of an object.
func (r *VastAccountReconciler) event(object client.Object, warning bool, reason, action, message string) {
	kind := corev1.EventTypeNormal
	if warning {
		kind = corev1.EventTypeWarning
	}
	r.Events.Eventf(object, nil, kind, reason, action, "%s", message)
}
