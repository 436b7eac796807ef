package legacyapi

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/audit"
)

// tunnelPattern is the only form of a tunnel's address that is accepted.
const tunnelPattern = `^https://[a-z0-9-]{1,63}\.trycloudflare\.com$`

// tunnelBody is the answer of report-tunnel; scripts look for "success" in it.
type tunnelBody struct {
	Success   bool   `json:"success"`
	Message   string `json:"message"`
	TunnelURL string `json:"tunnelUrl"`
	Reachable bool   `json:"reachable"`
}

// tunnelFault is its 400 for another address.
type tunnelFault struct {
	Error    string `json:"error"`
	Expected string `json:"expected"`
	Received string `json:"received"`
}

// reportTunnel records the address of a tunnel that a script on a rented machine
// has opened. It is shown, and never used to reach the instance: nothing vouches
// for whoever answers there.
func (s *Server) reportTunnel(ctx context.Context, c *call) answer {
	id, err := c.fields.identifier("contractId")
	if err != nil {
		return refuse(http.StatusBadRequest, "%s", err)
	}
	address, err := c.fields.text("tunnelUrl")
	switch {
	case err != nil:
		return refuse(http.StatusBadRequest, "%s", err)
	case id == "":
		return refuse(http.StatusBadRequest, "Missing contractId in request body")
	case address == "":
		return refuse(http.StatusBadRequest, "Missing tunnelUrl in request body")
	case !regexp.MustCompile(tunnelPattern).MatchString(address):
		return answer{status: http.StatusBadRequest, body: tunnelFault{
			Error: "Invalid tunnel URL format", Expected: "https://<subdomain>.trycloudflare.com", Received: clipped(address),
		}}
	}
	st, err := s.gather(ctx)
	if err != nil {
		return s.trouble(err)
	}
	instance := st.find(id)
	if instance == nil {
		return refuse(http.StatusNotFound, "pool %s has no instance %q", s.options.Pool, clipped(id))
	}
	details := audit.Details{"instance": audit.Text(instance.Name), "tunnel": audit.Text(address)}
	if err := s.recordTunnel(ctx, instance, address); err != nil {
		return s.trouble(err).with(details)
	}
	return ok(tunnelBody{Success: true, Message: "Tunnel URL registered successfully", TunnelURL: address, Reachable: s.isReachable(ctx, address)}).with(details)
}

func (s *Server) recordTunnel(ctx context.Context, instance *warmpool.WarmInstance, address string) error {
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"uid": instance.UID, "annotations": map[string]string{warmpool.AnnotationTunnelURL: address},
	}})
	if err != nil {
		return fmt.Errorf("encoding the address of a tunnel: %w", err)
	}
	if err := s.options.Client.Patch(ctx, instance.DeepCopy(), client.RawPatch(types.MergePatchType, patch), client.FieldOwner(FieldManager)); err != nil {
		return fmt.Errorf("recording the tunnel of instance %s: %w", instance.Name, err)
	}
	return nil
}

// isReachable is true when ComfyUI answers behind a tunnel. No key is sent.
func (s *Server) isReachable(ctx context.Context, address string) bool {
	const patience = 10 * time.Second
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address+"/system_stats", http.NoBody)
	if err != nil {
		return false
	}
	response, err := s.options.Outside.RoundTrip(request)
	if err != nil {
		return false
	}
	return response.Body.Close() == nil && response.StatusCode == http.StatusOK
}
