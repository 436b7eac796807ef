package legacyapi

import (
	"context"
	"errors"
	"net/http"
	"time"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
)

// healthPatience is how long the health route waits for the API server: watchdogs
// of old give it five seconds.
const healthPatience = 3 * time.Second

// health says that the server is alive and how the pool's instance is.
func (s *Server) health(ctx context.Context, _ *call) answer {
	ctx, cancel := context.WithTimeout(ctx, healthPatience)
	defer cancel()
	shown := healthView{Status: statusRunning, OK: true, Now: stamp(s.options.Clock.Now())}
	st, err := s.gather(ctx)
	switch {
	case errors.Is(err, errNoPool):
		shown.Error = err.Error()
		return ok(shown)
	case err != nil:
		s.log.Error(err, "Reading the pool for a health check failed")
		shown.Status, shown.OK, shown.Error = "degraded", false, "the Kubernetes API server does not answer"
		return answer{status: http.StatusServiceUnavailable, body: shown}
	}
	shown.WarmPool.DesiredSize = st.desired()
	if first := st.first(); first != nil {
		view := &healthInstance{Status: statusOf(first)}
		if first.Status.Rental != nil {
			view.ContractID = &first.Status.Rental.ID
		}
		shown.Status, shown.WarmPool.Instance = view.Status, view
	}
	return ok(shown)
}

// warmPool shows the pool to everybody, and addresses to admins.
func (s *Server) warmPool(ctx context.Context, c *call) answer {
	st, err := s.gather(ctx)
	if err != nil {
		return s.trouble(err)
	}
	shown := s.viewPool(st)
	if !c.isAdmin {
		shown = shown.withoutAddresses()
	}
	return ok(shown)
}

// gpuStatus says whether pictures can be made now.
func (s *Server) gpuStatus(ctx context.Context, _ *call) answer {
	st, err := s.gather(ctx)
	if err != nil {
		return s.trouble(err)
	}
	return ok(viewGPU(st))
}

// adminStatus shows the pool with all its instances.
func (s *Server) adminStatus(ctx context.Context, _ *call) answer {
	st, err := s.gather(ctx)
	if err != nil {
		return s.trouble(err)
	}
	return ok(s.viewAdmin(st))
}

// trouble answers an error of the API server or of the pool, without its words,
// which may name what a caller need not know.
func (s *Server) trouble(err error) answer {
	if errors.Is(err, errNoPool) {
		return refuse(http.StatusServiceUnavailable, "%s", err)
	}
	s.log.Error(err, "Asking the API server failed")
	return refuse(http.StatusInternalServerError, "the Kubernetes API server did not do what was asked; the sidecar's log says why. Try again")
}

// stateBody is the answer of reset-state.
type stateBody struct {
	Status  string      `json:"status"`
	Message string      `json:"message"`
	State   stateOfPool `json:"state"`
}

type stateOfPool struct {
	Instance     *instanceView `json:"instance"`
	IsPrewarming bool          `json:"isPrewarming"`
	LastAction   *string       `json:"lastAction"`
}

// resetState has nothing to forget: what it would forget bills.
func (s *Server) resetState(ctx context.Context, _ *call) answer {
	st, err := s.gather(ctx)
	if err != nil {
		return s.trouble(err)
	}
	s.memory.clear()
	message := "WarmPool state reset successfully"
	if len(st.live) > 0 {
		message = "WarmPool state reset successfully; its instances bill and are not forgotten: end one with POST /api/proxy/admin/terminate"
	}
	return ok(stateBody{
		Status: "ok", Message: message,
		State: stateOfPool{Instance: s.view(st, st.first()), IsPrewarming: st.isPrewarming(), LastAction: stampOrNull(st.lastAction())},
	})
}

// reloadBody is the answer of reload-state.
type reloadBody struct {
	Status   string   `json:"status"`
	Message  string   `json:"message"`
	WarmPool poolView `json:"warmPool"`
}

// reloadState drops what is remembered here and reads everything again.
func (s *Server) reloadState(ctx context.Context, _ *call) answer {
	s.keys.forget()
	s.memory.clear()
	st, err := s.gather(ctx)
	if err != nil {
		return s.trouble(err)
	}
	return ok(reloadBody{Status: "ok", Message: "WarmPool state reloaded from database", WarmPool: s.viewPool(st)})
}

// modeText says why nothing is rented in a mode, empty when something is.
func modeText(mode warmpool.PoolMode) string {
	switch mode {
	case warmpool.PoolPaused:
		return "The pool is paused, so nothing is rented. Start it with POST /api/proxy/admin/pm2/start, or set spec.mode to Active."
	case warmpool.PoolDryRun:
		return "The pool only rehearses (spec.mode DryRun), so nothing is rented. Set spec.mode to Active."
	case warmpool.PoolDrain:
		return "The pool is in safe mode (spec.mode Drain), so nothing is rented. Send safeMode false to POST /api/proxy/admin/warm-pool."
	case warmpool.PoolActive:
	}
	return ""
}
