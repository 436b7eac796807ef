package legacyapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/audit"
)

const (
	// statsPatience and listPatience bound one question to ComfyUI; lists of
	// models scan a disk.
	statsPatience = 10 * time.Second
	listPatience  = 20 * time.Second
	// maxComfyJSON bounds an answer: it comes from a rented machine.
	maxComfyJSON = 4 << 20
	// maxModels bounds a list that is handed on.
	maxModels = 2000
)

// healthReport is what one look at ComfyUI showed.
type healthReport struct {
	API           bool     `json:"comfyui_api"`
	GPUAvailable  bool     `json:"gpu_available"`
	GPUFunctional bool     `json:"gpu_functional"`
	ModelsLoaded  bool     `json:"models_loaded"`
	VRAMTotal     int64    `json:"vram_total"`
	VRAMFree      int64    `json:"vram_free"`
	Checkpoints   int      `json:"checkpoint_count"`
	Timestamp     string   `json:"timestamp"`
	Errors        []string `json:"errors"`
}

// modelInventory is what ComfyUI has.
type modelInventory struct {
	Checkpoints []string `json:"checkpoints"`
	LoRAs       []string `json:"loras"`
	VAEs        []string `json:"vaes"`
	CustomNodes []string `json:"customNodes"`
	Timestamp   string   `json:"timestamp"`
	Errors      []string `json:"errors"`
}

// errNotJSON is an answer that is none.
var errNotJSON = errors.New("the answer is not the JSON of ComfyUI")

// getJSON asks an instance's ComfyUI. The error is a short sentence without addresses.
func (s *Server) getJSON(ctx context.Context, to *destination, path string, patience time.Duration, into any) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, to.url(path), http.NoBody)
	if err != nil {
		return fmt.Errorf("%w: its address is wrong", errUnreachable)
	}
	request.Header.Set("Accept", "application/json")
	to.authorize(request.Header)
	response, err := to.transport.RoundTrip(request)
	if err != nil {
		return s.proxy.explain(err)
	}
	defer func() { _ = response.Body.Close() }() //nolint:errcheck // it was read as far as needed
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%w: HTTP %d", errNotJSON, response.StatusCode)
	}
	if err := json.NewDecoder(io.LimitReader(response.Body, maxComfyJSON)).Decode(into); err != nil {
		return errNotJSON
	}
	return nil
}

// systemStats is the part of GET /system_stats that counts.
type systemStats struct {
	Devices []struct {
		Type      string `json:"type"`
		VRAMTotal int64  `json:"vram_total"`
		VRAMFree  int64  `json:"vram_free"`
	} `json:"devices"`
}

// examine looks at an instance's ComfyUI.
func (s *Server) examine(ctx context.Context, to *destination) *healthReport {
	report := &healthReport{Timestamp: stamp(s.options.Clock.Now()), Errors: []string{}}
	var stats systemStats
	if err := s.getJSON(ctx, to, "/system_stats", statsPatience, &stats); err != nil {
		report.Errors = append(report.Errors, "ComfyUI API: "+err.Error())
		return report
	}
	report.API = true
	for _, device := range stats.Devices {
		if device.Type != "cpu" {
			report.VRAMTotal += max(device.VRAMTotal, 0)
			report.VRAMFree += max(device.VRAMFree, 0)
		}
	}
	report.GPUAvailable = report.VRAMTotal > 0
	// As in the legacy check: a GPU of which more than nine tenths are taken cannot work.
	report.GPUFunctional = report.GPUAvailable && report.VRAMFree >= report.VRAMTotal/10
	switch {
	case !report.GPUAvailable:
		report.Errors = append(report.Errors, "No GPU detected or VRAM=0")
	case !report.GPUFunctional:
		report.Errors = append(report.Errors, "GPU memory is more than 90% in use")
	}
	checkpoints, err := s.choices(ctx, to, "CheckpointLoaderSimple", "ckpt_name")
	if err != nil {
		report.Errors = append(report.Errors, "Models: "+err.Error())
		return report
	}
	report.Checkpoints, report.ModelsLoaded = len(checkpoints), len(checkpoints) > 0
	return report
}

// isHealthy is true when pictures can be made. Models are the template's affair:
// an instance that lacks a required one never becomes ready.
func (r *healthReport) isHealthy() bool { return r.API && r.GPUAvailable && r.GPUFunctional }

// choices lists the files that a node class of ComfyUI offers.
func (s *Server) choices(ctx context.Context, to *destination, class, input string) ([]string, error) {
	var described map[string]struct {
		Input struct {
			Required map[string][]json.RawMessage `json:"required"`
		} `json:"input"`
	}
	if err := s.getJSON(ctx, to, "/object_info/"+class, listPatience, &described); err != nil {
		return nil, err
	}
	found := []string{}
	values := described[class].Input.Required[input]
	if len(values) == 0 {
		return found, nil
	}
	if err := json.Unmarshal(values[0], &found); err == nil {
		return found[:min(len(found), maxModels)], nil
	}
	// Newer versions say "COMBO" first and give the list in an object after it.
	var options struct {
		Options []string `json:"options"`
	}
	if len(values) < 2 || json.Unmarshal(values[1], &options) != nil {
		return nil, errNotJSON
	}
	return options.Options[:min(len(options.Options), maxModels)], nil
}

// takeInventory lists what an instance's ComfyUI has, and remembers it.
func (s *Server) takeInventory(ctx context.Context, instance *warmpool.WarmInstance, to *destination) *modelInventory {
	found := &modelInventory{CustomNodes: []string{}, Timestamp: stamp(s.options.Clock.Now()), Errors: []string{}}
	list := func(class, input string) []string {
		names, err := s.choices(ctx, to, class, input)
		if err != nil {
			found.Errors = append(found.Errors, class+": "+err.Error())
			return []string{}
		}
		return names
	}
	found.Checkpoints = list("CheckpointLoaderSimple", "ckpt_name")
	found.LoRAs = list("LoraLoader", "lora_name")
	found.VAEs = list("VAELoader", "vae_name")
	for _, class := range []string{"AnimateDiffLoader", "ADE_AnimateDiffLoaderWithContext", "VHS_VideoCombine"} {
		var described map[string]json.RawMessage
		if err := s.getJSON(ctx, to, "/object_info/"+class, listPatience, &described); err == nil && described[class] != nil {
			found.CustomNodes = append(found.CustomNodes, class)
		}
	}
	slices.Sort(found.CustomNodes)
	s.memory.keepModels(instance.UID, found)
	return found
}

// checkedBody is the answer of the health check.
type checkedBody struct {
	Healthy      bool          `json:"healthy"`
	Error        string        `json:"error,omitempty"`
	Instance     *instanceView `json:"instance"`
	HealthReport *healthReport `json:"healthReport,omitempty"`
	// The flags stand at the top as well, where the page of old looked for them.
	API           *bool `json:"comfyui_api,omitempty"`
	GPUAvailable  *bool `json:"gpu_available,omitempty"`
	GPUFunctional *bool `json:"gpu_functional,omitempty"`
	ModelsLoaded  *bool `json:"models_loaded,omitempty"`
}

// healthCheck looks at the instance now.
func (s *Server) healthCheck(ctx context.Context, _ *call) answer {
	st, err := s.gather(ctx)
	if err != nil {
		return s.trouble(err)
	}
	instance := st.first()
	if instance == nil || addressOf(instance) == "" {
		return unhealthy(checkedBody{Error: "No active instance"})
	}
	to, err := s.proxy.destinationOf(ctx, instance)
	if err != nil {
		s.log.Error(err, "Reaching an instance is not possible", "instance", instance.Name)
		return unhealthy(checkedBody{Error: sentence(err), Instance: s.view(st, instance)})
	}
	report := s.examine(ctx, to)
	s.memory.keepHealth(instance.UID, report)
	body := checkedBody{
		Healthy: report.isHealthy(), Instance: s.view(st, instance), HealthReport: report,
		API: &report.API, GPUAvailable: &report.GPUAvailable, GPUFunctional: &report.GPUFunctional, ModelsLoaded: &report.ModelsLoaded,
	}
	if !body.Healthy {
		return unhealthy(body)
	}
	return ok(body).with(checkedDetails(&body))
}

func checkedDetails(body *checkedBody) audit.Details {
	details := audit.Details{"healthy": audit.Bool(body.Healthy)}
	if body.Instance != nil {
		details["instance"] = audit.Text(body.Instance.Name)
	}
	return details
}

func unhealthy(body checkedBody) answer {
	checked := ok(body).with(checkedDetails(&body))
	checked.outcome = audit.OutcomeUnhealthy
	return checked
}

// inventoryBody is the answer of the inventory routes.
type inventoryBody struct {
	Message    string          `json:"message,omitempty"`
	ContractID *int64          `json:"contractId"`
	Status     string          `json:"status,omitempty"`
	Inventory  *modelInventory `json:"inventory"`
}

// noInventory is their 404.
type noInventory struct {
	Error          string `json:"error"`
	Hint           string `json:"hint"`
	InstanceStatus string `json:"instanceStatus,omitempty"`
}

// inventory shows what the ready instance has.
func (s *Server) inventory(ctx context.Context, _ *call) answer {
	st, err := s.gather(ctx)
	if err != nil {
		return s.trouble(err)
	}
	instance := st.first()
	if instance == nil {
		return answer{status: http.StatusNotFound, body: noInventory{Error: "No instance available", Hint: "Prewarm an instance first"}}
	}
	_, found := s.memory.of(instance.UID)
	if found == nil && isReady(instance) {
		if to, err := s.proxy.destinationOf(ctx, instance); err == nil {
			found = s.takeInventory(ctx, instance, to)
		}
	}
	if found == nil {
		return answer{status: http.StatusNotFound, body: noInventory{
			Error: "Model inventory not yet available", Hint: "Instance must be fully ready (status: ready)", InstanceStatus: statusOf(instance),
		}}
	}
	return ok(inventoryBody{ContractID: s.view(st, instance).ContractID, Status: statusOf(instance), Inventory: found})
}

// refreshInventory asks the instance again.
func (s *Server) refreshInventory(ctx context.Context, _ *call) answer {
	st, err := s.gather(ctx)
	if err != nil {
		return s.trouble(err)
	}
	instance := st.first()
	if instance == nil || addressOf(instance) == "" {
		return answer{status: http.StatusNotFound, body: noInventory{
			Error: "No running instance with connection URL", Hint: "Instance must be running and have a connection URL",
		}}
	}
	to, err := s.proxy.destinationOf(ctx, instance)
	if err != nil {
		s.log.Error(err, "Reaching an instance is not possible", "instance", instance.Name)
		return refuse(http.StatusInternalServerError, "%s", sentence(err))
	}
	found := s.takeInventory(ctx, instance, to)
	return ok(inventoryBody{Message: "Model inventory refreshed", ContractID: s.view(st, instance).ContractID, Inventory: found}).
		with(audit.Details{"instance": audit.Text(instance.Name)})
}
