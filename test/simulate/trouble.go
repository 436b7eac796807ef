package simulate

import (
	"errors"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/controllers"
	"github.com/warmpool-dev/warmpool/internal/testkit/apidouble"
)

var errEtcd = errors.New("etcdserver: request timed out")

// apiTrouble is the error of a call to the API server that does not arrive, or nil.
func (w *world) apiTrouble(p *process, dice *dice, call apidouble.Call) error {
	if w.isCut(p.slot, cutAPI) {
		return errConnection
	}
	if !dice.chance(w.plan.Rates.APIError) || !w.inject(dice.id+" error", "API server error") {
		return nil
	}
	if call.Verb == "list" {
		w.api.ExpirePages()
	}
	switch dice.below(4) {
	case 0:
		return apierrors.NewInternalError(errEtcd)
	case 1:
		return apierrors.NewTooManyRequests("the server is busy", 1)
	case 2:
		return apierrors.NewServerTimeout(schema.GroupResource{Group: warmpool.GroupVersion.Group, Resource: call.Kind}, call.Verb, 1)
	default:
		return errConnection
	}
}

// leaseTrouble is the error of a renewal that does not arrive, or nil.
func (w *world) leaseTrouble(p *process, dice *dice) error {
	if w.isCut(p.slot, cutAPI) || (dice.chance(w.plan.Rates.APIError) && w.inject(dice.id+" error", "API server error")) {
		return errConnection
	}
	return nil
}

// Breaks are gates taken away on purpose: a checker that cannot fail proves nothing.
type Breaks struct {
	// FreshLease says of every lease that it is fresh.
	FreshLease bool
	// ForgetAttempts swallows every write of an outcome that is not settled, so
	// that the next attempt begins while the last one may have made a rental.
	ForgetAttempts bool
	// NoFinalizers lets a deletion through whatever holds the object.
	NoFinalizers bool
	// WrongCeilings shows ceilings of pools that are ten dollars higher.
	WrongCeilings bool
	// ForgetHolders shows instances as if no claim held them.
	ForgetHolders bool
}

// lease is the lease that the controllers are given.
func (b Breaks) lease(own *lease) controllers.Lease {
	if b.FreshLease {
		return alwaysFresh{}
	}
	return own
}

type alwaysFresh struct{}

// IsFresh implements controllers.Lease.
func (alwaysFresh) IsFresh() bool { return true }

// api is what the API double lies about.
func (b Breaks) api() apidouble.Broken {
	broken := apidouble.Broken{NoFinalizers: b.NoFinalizers}
	if b.WrongCeilings {
		broken.Show = showWrongCeiling
	}
	if b.ForgetHolders {
		broken.Show = showNoHolder
	}
	if b.ForgetAttempts {
		broken.Forget = func(given client.Object) {
			if instance, ok := given.(*warmpool.WarmInstance); ok {
				instance.Status.Attempts = slices.DeleteFunc(instance.Status.Attempts, func(a warmpool.RentAttempt) bool {
					return a.Outcome == warmpool.AttemptUnknown
				})
			}
		}
	}
	return broken
}

// showWrongCeiling puts a digit before the point.
func showWrongCeiling(shown client.Object) {
	if pool, ok := shown.(*warmpool.WarmPool); ok {
		pool.Spec.Cost.CeilingUSDPerHour = "1" + pool.Spec.Cost.CeilingUSDPerHour
	}
}

// showNoHolder takes the holder of an instance out.
func showNoHolder(shown client.Object) {
	if instance, ok := shown.(*warmpool.WarmInstance); ok {
		instance.Spec.ClaimRef = nil
	}
}
