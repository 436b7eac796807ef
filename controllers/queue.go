package controllers

import (
	"time"

	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

const (
	// firstRetry and longestRetry bound the pause after an error. It must stay
	// short: after an outage of the API server somebody has to look at the
	// account soon, for what is rented bills on.
	firstRetry   = 250 * time.Millisecond
	longestRetry = 30 * time.Second
)

// controllerOptions makes the queue wait on the injected clock, like
// everything else: a requeue in 15 s means 15 s of that clock.
func controllerOptions(concurrency int, queueClock clock.WithTicker) controller.Options {
	return controller.Options{
		MaxConcurrentReconciles: max(concurrency, 1),
		RateLimiter:             workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](firstRetry, longestRetry),
		NewQueue: func(name string, limiter workqueue.TypedRateLimiter[reconcile.Request]) workqueue.TypedRateLimitingInterface[reconcile.Request] {
			return workqueue.NewTypedRateLimitingQueueWithConfig(limiter, workqueue.TypedRateLimitingQueueConfig[reconcile.Request]{
				Name: name, Clock: queueClock,
			})
		},
	}
}
