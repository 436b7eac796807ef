package legacyapi

import (
	"context"
	"errors"
	"net/http"
	"strconv"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/audit"
)

// errStillChanging is why instances could not be ended as they were seen.
var errStillChanging = errors.New("the instances change faster than they can be ended")

// terminateBody is the answer of the terminate routes.
type terminateBody struct {
	Status  string            `json:"status"`
	Details *terminateDetails `json:"details,omitempty"`
}

// terminateDetails stand where Vast.ai's own answer was.
type terminateDetails struct {
	Success     bool   `json:"success"`
	Instance    string `json:"instance"`
	ContractID  *int64 `json:"contractId"`
	DesiredSize int32  `json:"desiredSize"`
	Message     string `json:"message"`
}

// terminate ends one instance for certain: it answers when the end is recorded,
// which the operator then pursues until Vast.ai confirms it. The pool's size is
// lowered by it, or another machine would be rented at once.
func (s *Server) terminate(ctx context.Context, c *call) answer {
	id, err := terminateID(c.fields)
	if err != nil {
		return refuse(http.StatusBadRequest, "%s", err)
	}
	st, err := s.gather(ctx)
	if err != nil {
		return s.trouble(err)
	}
	instance, turnedAway := s.toTerminate(st, id)
	if turnedAway != nil {
		return *turnedAway
	}
	body := terminateDetails{
		Success: true, Instance: instance.Name, DesiredSize: st.desired(),
		Message: "The end is recorded. The rental is ended until Vast.ai confirms that it is gone; until then its price stays reserved.",
	}
	if instance.Status.Rental != nil {
		body.ContractID = &instance.Status.Rental.ID
	}
	details := audit.Details{"instance": audit.Text(instance.Name), "contractId": audit.Text(rentalOf(instance))}
	if !instance.DeletionTimestamp.IsZero() {
		return ok(terminateBody{"terminated", &body}).with(details)
	}
	if err = s.end(ctx, instance, false); err != nil {
		return s.trouble(err).with(details)
	}
	if body.DesiredSize, err = s.lowerSize(ctx, st, instance); err != nil {
		s.log.Error(err, "Lowering the pool's size failed", "instance", instance.Name)
		failed := refuse(http.StatusInternalServerError, "the end of instance %s is recorded, but the pool's size could not be lowered, so another one is rented in its place: send desiredSize to POST /api/proxy/admin/warm-pool", instance.Name)
		return failed.with(details)
	}
	details["sizeAfter"] = audit.Number(int64(body.DesiredSize))
	return ok(terminateBody{"terminated", &body}).with(details)
}

// terminateID is the id of either route, empty for none.
func terminateID(given fields) (string, error) {
	for _, name := range []string{"instanceId", "contractId"} {
		if id, err := given.identifier(name); id != "" || err != nil {
			return id, err
		}
	}
	return "", nil
}

// toTerminate chooses the instance, or says why there is none.
func (s *Server) toTerminate(st *state, id string) (*warmpool.WarmInstance, *answer) {
	if id != "" {
		if instance := st.find(id); instance != nil {
			return instance, nil
		}
		turnedAway := refuse(http.StatusNotFound, "pool %s has no instance %s. Only its own instances are ended here; others are seen and ended at Vast.ai", s.options.Pool, strconv.Quote(clipped(id)))
		return nil, &turnedAway
	}
	if free := st.unclaimed(); len(free) > 0 {
		return free[0], nil
	}
	turnedAway := ok(terminateBody{Status: "no_instance"})
	if len(st.live) > 0 {
		turnedAway = refuse(http.StatusConflict, "every instance of the pool is in exclusive use: name the one to end with instanceId")
	}
	return nil, &turnedAway
}

// lowerSize takes an ended instance out of the pool's size. A claimed one was
// not part of it, and one that is more than the size is missed by nobody.
func (s *Server) lowerSize(ctx context.Context, st *state, ended *warmpool.WarmInstance) (int32, error) {
	if isClaimed(ended) || len(st.unclaimed()) > int(st.desired()) {
		return st.desired(), nil
	}
	seen := st.desired()
	pool, err := s.changePool(ctx, func(spec *warmpool.WarmPoolSpec) {
		// Who has changed the size meanwhile knows better.
		if spec.Replicas != nil && *spec.Replicas == seen && seen > 0 {
			setSize(spec, seen-1)
		}
	})
	if err != nil {
		return seen, err
	}
	return (&state{pool: pool}).desired(), nil
}

// reprovisionBody is the answer of reprovision.
type reprovisionBody struct {
	Status           string      `json:"status"`
	Message          string      `json:"message"`
	PreviousContract *int64      `json:"previousContract"`
	Result           prewarmBody `json:"result"`
}

// reprovision ends the instance and wants another one.
func (s *Server) reprovision(ctx context.Context, c *call) answer {
	useDefault, turnedAway := reprovisionFlags(c.fields)
	if turnedAway != nil {
		return *turnedAway
	}
	st, err := s.gather(ctx)
	if err != nil {
		return s.trouble(err)
	}
	body := reprovisionBody{Status: "reprovisioning"}
	pool, err := s.changePool(ctx, func(spec *warmpool.WarmPoolSpec) {
		if useDefault {
			spec.Template.ProvisioningScriptURL = ""
		}
	})
	if err != nil {
		return s.trouble(err)
	}
	body.Message = "Starting new one with " + scriptOf(pool)
	details := audit.Details{"useDefaultScript": audit.Bool(useDefault)}
	if free := st.unclaimed(); len(free) > 0 {
		old := free[0]
		if err = s.end(ctx, old, false); err != nil {
			return s.trouble(err).with(details)
		}
		body.Message = "Terminated old instance, starting new one with " + scriptOf(pool)
		details["instance"] = audit.Text(old.Name)
		if old.Status.Rental != nil {
			body.PreviousContract = &old.Status.Rental.ID
		}
	}
	if body.Result, err = s.startPrewarm(ctx); err != nil {
		return s.trouble(err).with(details)
	}
	if body.Result.Status == prewarmUnderWay {
		// The size stays, so the end of the old one is the start of the new one.
		body.Result.Status = prewarmStarted
	}
	return ok(body).with(details)
}

// reprovisionFlags reads the two flags. Only a default script that is asked for
// in so many words changes the pool: true was the default, and had no effect on a
// script that was allowed.
func reprovisionFlags(given fields) (useDefault bool, turnedAway *answer) {
	reset := false
	for name, into := range map[string]*bool{"useDefaultScript": &useDefault, "resetFallback": &reset} {
		if !given.has(name) {
			continue
		}
		value, err := given.boolean(name)
		if err != nil {
			refused := refuse(http.StatusBadRequest, "%s", err)
			return false, &refused
		}
		*into = value
	}
	return useDefault && !reset, nil
}

func scriptOf(pool *warmpool.WarmPool) string {
	if pool.Spec.Template.ProvisioningScriptURL == "" {
		return "default Vast.ai script"
	}
	return "custom script"
}
