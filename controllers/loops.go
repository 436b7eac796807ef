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

// Loops returns the three loops of an account by their names, for the manager
// and for tests that call them one by one, without a manager.
func (r *VastAccountReconciler) Loops() map[string]reconcile.Func {
	return map[string]reconcile.Func{
		LoopSweep: r.reconcileSweep, LoopRent: r.reconcileRent, LoopTerminate: r.reconcileTerminate,
	}
}
