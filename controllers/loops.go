package controllers

import "sigs.k8s.io/controller-runtime/pkg/reconcile"

// The loops of an account. Each is serial per account.
const (
	// LoopSweep reads the account and writes down what it saw.
	LoopSweep = "vastaccount-sweep"
	// LoopRent rents one instance at a time.
	LoopRent = "vastaccount-rent"
	// LoopTerminate ends rentals, costliest first.
	LoopTerminate = "vastaccount-terminate"
)

// Decorate wraps the reconciler of a controller before it is registered, for what
// looks at every pass, such as traces. The kind is that of the objects that its
// requests name.
type Decorate func(controller, kind string, next reconcile.Reconciler) reconcile.Reconciler

// apply wraps; nil wraps nothing.
func (d Decorate) apply(controller, kind string, next reconcile.Reconciler) reconcile.Reconciler {
	if d == nil {
		return next
	}
	return d(controller, kind, next)
}

// Loops returns the three loops of an account by their names, for the manager
// and for tests that call them one by one, without a manager.
func (r *VastAccountReconciler) Loops() map[string]reconcile.Func {
	return map[string]reconcile.Func{
		LoopSweep: r.reconcileSweep, LoopRent: r.reconcileRent, LoopTerminate: r.reconcileTerminate,
	}
}
