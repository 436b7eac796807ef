package legacyapi

import (
	"context"
	"net/http"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/audit"
)

// maxSize is the largest size of a pool.
const maxSize = 500

// setWarmPool changes the pool's size and its safe mode. Size 0 and safe mode
// end what is not claimed before they are answered.
func (s *Server) setWarmPool(ctx context.Context, c *call) answer {
	wanted, err := sizeOf(c.fields)
	if err != nil {
		return refuse(http.StatusBadRequest, "%s", err)
	}
	before, err := s.gather(ctx)
	if err != nil {
		return s.trouble(err)
	}
	if _, err = s.changePool(ctx, wanted.apply); err != nil {
		return s.trouble(err)
	}
	if wanted.endsAll() {
		if err = s.endUnclaimed(ctx); err != nil {
			return s.trouble(err)
		}
	}
	after, err := s.gather(ctx)
	if err != nil {
		return s.trouble(err)
	}
	s.poolLog.Info("Set the pool", "pool", s.options.Pool.String(), "size", after.desired(), "mode", after.mode())
	return ok(s.viewPool(after)).with(audit.Details{
		"sizeBefore": audit.Number(int64(before.desired())), "sizeAfter": audit.Number(int64(after.desired())),
		"modeBefore": audit.Text(string(before.mode())), "modeAfter": audit.Text(string(after.mode())),
	})
}

// poolSize is what is asked for; nil stays as it is.
type poolSize struct {
	size *int32
	safe *bool
}

func sizeOf(given fields) (poolSize, error) {
	wanted := poolSize{}
	if given.has("desiredSize") {
		size, err := given.integer("desiredSize", 0, maxSize)
		if err != nil {
			return wanted, err
		}
		wanted.size = &size
	}
	if given.has("safeMode") {
		safe, err := given.boolean("safeMode")
		if err != nil {
			return wanted, err
		}
		wanted.safe = &safe
	}
	return wanted, nil
}

func (w *poolSize) apply(spec *warmpool.WarmPoolSpec) {
	if w.size != nil {
		setSize(spec, *w.size)
	}
	if w.safe != nil {
		setSafeMode(spec, *w.safe)
	}
}

// endsAll is true when nothing unclaimed may go on.
func (w *poolSize) endsAll() bool {
	return (w.size != nil && *w.size == 0) || (w.safe != nil && *w.safe)
}

// setSize sets the size, and what must not be larger than it.
func setSize(spec *warmpool.WarmPoolSpec, size int32) {
	spec.Replicas = &size
	if spec.MinReadyReplicas != nil && *spec.MinReadyReplicas > size {
		spec.MinReadyReplicas = &size
	}
}

// setSafeMode drains the pool, or ends draining. A pool that is paused or only
// rehearses is left so: the page of old sends safeMode false with every size.
func setSafeMode(spec *warmpool.WarmPoolSpec, safe bool) {
	switch {
	case safe:
		spec.Mode = warmpool.PoolDrain
	case spec.Mode == warmpool.PoolDrain:
		spec.Mode = warmpool.PoolActive
	}
}

// endUnclaimed records the end of every instance that nobody holds.
func (s *Server) endUnclaimed(ctx context.Context) error {
	const rounds = 5 // an instance may be claimed or change while it is looked at
	for range rounds {
		st, err := s.gather(ctx)
		if err != nil {
			return err
		}
		busy := false
		for _, instance := range st.unclaimed() {
			if err := s.end(ctx, instance, true); apierrors.IsConflict(err) {
				busy = true
			} else if err != nil {
				return err
			}
		}
		if !busy {
			return nil
		}
	}
	return errStillChanging
}

// end records the end of an instance; one that is gone already is no error. With
// asSeen it is refused when the instance has changed since it was read, for
// example because somebody claimed it (I3).
func (s *Server) end(ctx context.Context, instance *warmpool.WarmInstance, asSeen bool) error {
	conditions := client.Preconditions{UID: &instance.UID}
	if asSeen {
		conditions.ResourceVersion = &instance.ResourceVersion
	}
	err := s.options.Client.Delete(ctx, instance, conditions)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err == nil {
		s.poolLog.Info("Ended an instance", "instance", instance.Namespace+"/"+instance.Name, "rental", rentalOf(instance))
	}
	return err
}

// prewarmBody is the answer of prewarm, told apart by its status.
type prewarmBody struct {
	Status   string        `json:"status"`
	Message  string        `json:"message,omitempty"`
	Instance *instanceView `json:"instance,omitempty"`
}

// The statuses of prewarm.
const (
	prewarmStarted  = "started"
	prewarmPresent  = "already_present"
	prewarmUnderWay = "already_prewarming"
	prewarmSafeMode = "safe_mode"
	prewarmFailed   = "provision_failed"
)

// prewarm sees to it that the pool wants at least one instance.
func (s *Server) prewarm(ctx context.Context, _ *call) answer {
	result, err := s.startPrewarm(ctx)
	if err != nil {
		return s.trouble(err)
	}
	details := audit.Details{"status": audit.Text(result.Status)}
	if result.Instance != nil && result.Instance.Name != "" {
		details["instance"] = audit.Text(result.Instance.Name)
	}
	return ok(result).with(details)
}

// startPrewarm writes the intent, and says what there is already.
func (s *Server) startPrewarm(ctx context.Context) (prewarmBody, error) {
	st, err := s.gather(ctx)
	if err != nil {
		return prewarmBody{}, err
	}
	if text := modeText(st.mode()); text != "" {
		return prewarmBody{Status: prewarmSafeMode, Message: text}, nil
	}
	if st.desired() > 0 {
		return s.underWay(st), nil
	}
	started := false
	if _, err = s.changePool(ctx, func(spec *warmpool.WarmPoolSpec) {
		if started = spec.Replicas == nil || *spec.Replicas < 1; started {
			setSize(spec, 1)
		}
	}); err != nil {
		return prewarmBody{}, err
	}
	if !started {
		return prewarmBody{Status: prewarmUnderWay}, nil
	}
	s.poolLog.Info("Prewarming", "pool", s.options.Pool.String())
	if free := st.unclaimed(); len(free) > 0 {
		return prewarmBody{Status: prewarmStarted, Instance: s.view(st, free[0])}, nil
	}
	return prewarmBody{Status: prewarmStarted, Instance: &instanceView{Status: statusStarting, CreatedAt: stamp(s.options.Clock.Now())}}, nil
}

// underWay says how far a pool is that wants instances already.
func (s *Server) underWay(st *state) prewarmBody {
	free := st.unclaimed()
	reason, message := st.why()
	switch {
	case len(free) > 0 && free[0].Status.Rental != nil && free[0].Status.Failure == nil:
		return prewarmBody{Status: prewarmPresent, Instance: s.view(st, free[0])}
	case reason == reasonTemplateFailing:
		return prewarmBody{Status: prewarmFailed, Message: message}
	case len(free) > 0:
		return prewarmBody{Status: prewarmUnderWay, Message: message, Instance: s.view(st, free[0])}
	default:
		return prewarmBody{Status: prewarmUnderWay, Message: message}
	}
}

// reasonTemplateFailing is the pool's reason when machine after machine fails in
// the same way, so that nothing is rented until the template is mended.
const reasonTemplateFailing = "TemplateFailing"
