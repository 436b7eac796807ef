package legacyapi

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/audit"
)

const (
	// annotationRestarted is what "kubectl rollout restart" sets.
	annotationRestarted = "kubectl.kubernetes.io/restartedAt"
	// annotationRevision counts the rollouts of a Deployment from 1.
	annotationRevision = "deployment.kubernetes.io/revision"
)

// processBody is the answer of pm2/status.
type processBody struct {
	Managed bool   `json:"managed"`
	Name    string `json:"name"`
	Status  string `json:"status"`
	// PID is 0: a Deployment is not one process.
	PID      int      `json:"pid"`
	Uptime   *int64   `json:"uptime"`
	Restarts int      `json:"restarts"`
	Memory   *int64   `json:"memory"`
	CPU      *float64 `json:"cpu"`
}

// unmanagedBody is the answer where there is no Deployment.
type unmanagedBody struct {
	Managed bool   `json:"managed"`
	Message string `json:"message"`
}

// doneBody is the answer of the actions.
type doneBody struct {
	Success bool   `json:"success"`
	Message string `json:"message"`
}

// processStatus shows the Deployment as the process of old.
func (s *Server) processStatus(ctx context.Context, _ *call) answer {
	var deployment appsv1.Deployment
	err := s.options.Client.Get(ctx, s.options.Deployment, &deployment)
	if apierrors.IsNotFound(err) {
		return ok(unmanagedBody{Message: fmt.Sprintf("There is no Deployment %s: the operator was started in another way. Start the sidecar with another --deployment if it has another name.", s.options.Deployment)})
	}
	if err != nil {
		s.log.Error(err, "Reading the Deployment failed")
		return failed("Failed to get PM2 status", "the Deployment cannot be read; the sidecar's log says why")
	}
	st, err := s.gather(ctx)
	if err != nil {
		return s.trouble(err)
	}
	revision, err := strconv.Atoi(deployment.Annotations[annotationRevision])
	if err != nil {
		revision = 1 // its controller has not counted yet
	}
	return ok(processBody{
		Managed: true, Name: deployment.Name, Status: processStatusOf(&deployment, st.mode()),
		Uptime: s.uptimeOf(&deployment), Restarts: max(0, revision-1),
	})
}

// processStatusOf uses the words of the process manager of old.
func processStatusOf(deployment *appsv1.Deployment, mode warmpool.PoolMode) string {
	switch {
	case mode == warmpool.PoolPaused:
		return "stopped"
	case deployment.Status.AvailableReplicas > 0:
		return "online"
	case deployment.Spec.Replicas != nil && *deployment.Spec.Replicas == 0:
		return "stopped"
	default:
		return "launching"
	}
}

// uptimeOf is for how long the Deployment has been available, in milliseconds.
func (s *Server) uptimeOf(deployment *appsv1.Deployment) *int64 {
	for _, condition := range deployment.Status.Conditions {
		if condition.Type == appsv1.DeploymentAvailable && condition.Status == corev1.ConditionTrue {
			uptime := s.options.Clock.Since(condition.LastTransitionTime.Time).Milliseconds()
			return &uptime
		}
	}
	return nil
}

// failed answers an action that could not be done, in the shape of old.
func failed(what, why string) answer {
	return answer{status: http.StatusInternalServerError, body: faultBody{Error: what, Details: why}}
}

// processRestart restarts the pods of the Deployment one after the other.
func (s *Server) processRestart(ctx context.Context, _ *call) answer {
	const what = "Failed to restart via PM2"
	patch, err := json.Marshal(map[string]any{"spec": map[string]any{"template": map[string]any{"metadata": map[string]any{
		"annotations": map[string]string{annotationRestarted: s.options.Clock.Now().UTC().Format(time.RFC3339)},
	}}}})
	if err != nil {
		return failed(what, "the change cannot be encoded")
	}
	deployment := &appsv1.Deployment{}
	deployment.Namespace, deployment.Name = s.options.Deployment.Namespace, s.options.Deployment.Name
	details := audit.Details{"deployment": audit.Text(s.options.Deployment.String())}
	err = s.options.Client.Patch(ctx, deployment, client.RawPatch(types.MergePatchType, patch), client.FieldOwner(FieldManager))
	switch {
	case apierrors.IsNotFound(err):
		return failed(what, fmt.Sprintf("there is no Deployment %s", s.options.Deployment)).with(details)
	case err != nil:
		s.log.Error(err, "Restarting the Deployment failed")
		return failed(what, "the Deployment cannot be changed; the sidecar's log says why").with(details)
	default:
		return ok(doneBody{true, "Server restart initiated via PM2"}).with(details)
	}
}

// processStop pauses the pool: it rents nothing and ends nothing by itself.
func (s *Server) processStop(ctx context.Context, _ *call) answer {
	return s.changeMode(ctx, warmpool.PoolActive, warmpool.PoolPaused, "Failed to stop via PM2", "Server stopped via PM2")
}

// processStart resumes a paused pool.
func (s *Server) processStart(ctx context.Context, _ *call) answer {
	return s.changeMode(ctx, warmpool.PoolPaused, warmpool.PoolActive, "Failed to start via PM2", "Server started via PM2")
}

// changeMode changes the pool's mode from one to another. A pool in a third mode
// is left alone: somebody has chosen it.
func (s *Server) changeMode(ctx context.Context, from, to warmpool.PoolMode, failure, success string) answer {
	pool, err := s.changePool(ctx, func(spec *warmpool.WarmPoolSpec) {
		if spec.Mode == from || spec.Mode == "" {
			spec.Mode = to
		}
	})
	if err != nil {
		s.log.Error(err, "Changing the mode of the pool failed")
		return failed(failure, "the pool cannot be changed; the sidecar's log says why")
	}
	details := audit.Details{"pool": audit.Text(s.options.Pool.String()), "mode": audit.Text(string(pool.Spec.Mode))}
	if pool.Spec.Mode != to {
		return failed(failure, fmt.Sprintf("the pool is in mode %s. %s", pool.Spec.Mode, modeText(pool.Spec.Mode))).with(details)
	}
	s.poolLog.Info("Changed the mode of the pool", "pool", s.options.Pool.String(), "mode", to)
	return ok(doneBody{true, success}).with(details)
}
