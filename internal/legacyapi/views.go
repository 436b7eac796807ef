package legacyapi

import (
	"encoding/json"

	"k8s.io/apimachinery/pkg/api/meta"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
)

// instanceView is an instance in the legacy shape: the fields of old in their
// order, then those that clients and documents looked for and never found.
type instanceView struct {
	// ContractID is the number of the rental; null until there is one.
	ContractID    *int64  `json:"contractId"`
	Status        string  `json:"status"`
	ConnectionURL *string `json:"connectionUrl"`
	CreatedAt     string  `json:"createdAt"`
	// LastHeartbeat is when it last rendered its test prompt.
	LastHeartbeat *string `json:"lastHeartbeat"`
	LeasedUntil   *string `json:"leasedUntil"`

	LastHealthReport  *healthReport   `json:"lastHealthReport,omitempty"`
	ModelInventory    *modelInventory `json:"modelInventory,omitempty"`
	LastStatusMessage string          `json:"lastStatusMessage,omitempty"`
	LastError         string          `json:"lastError,omitempty"`
	TunnelURL         string          `json:"tunnelUrl,omitempty"`

	// Name is that of the WarmInstance; the terminate routes take it as an id.
	Name         string  `json:"name,omitempty"`
	SSHHost      *string `json:"ssh_host"`
	SSHPort      *int32  `json:"ssh_port"`
	GPUName      *string `json:"gpu_name"`
	ActualStatus *string `json:"actual_status"`
	// Price is in US dollars per hour.
	Price *json.Number `json:"price"`
}

// poolView is the answer of most routes about the pool.
type poolView struct {
	DesiredSize  int32         `json:"desiredSize"`
	Instance     *instanceView `json:"instance"`
	LastAction   *string       `json:"lastAction"`
	IsPrewarming bool          `json:"isPrewarming"`
	SafeMode     bool          `json:"safeMode"`
	// Terminating are instances whose end is recorded and which may bill until it is confirmed.
	Terminating []instanceView `json:"terminating"`
}

// adminView is the answer of the two GET routes for admins: instances beside instance.
type adminView struct {
	DesiredSize  int32           `json:"desiredSize"`
	Instances    []*instanceView `json:"instances"`
	LastAction   *string         `json:"lastAction"`
	IsPrewarming bool            `json:"isPrewarming"`
	SafeMode     bool            `json:"safeMode"`
	Instance     *instanceView   `json:"instance"`
	Terminating  []instanceView  `json:"terminating"`
	// Reason and Message are why the pool has fewer instances than desired.
	Reason  string `json:"reason,omitempty"`
	Message string `json:"message,omitempty"`
}

// The words for how an instance is.
const (
	statusStarting    = "starting"
	statusReady       = "ready"
	statusRunning     = "running"
	statusFailed      = "failed"
	statusTerminating = "terminating"
)

// statusOf is how an instance is, in one word: Vast.ai's own while it is on its way.
func statusOf(instance *warmpool.WarmInstance) string {
	switch {
	case !instance.DeletionTimestamp.IsZero():
		return statusTerminating
	case instance.Status.Failure != nil:
		return statusFailed
	case isReady(instance):
		return statusReady
	case instance.Status.Rental == nil || instance.Status.Provider.ActualStatus == "":
		return statusStarting
	default:
		return instance.Status.Provider.ActualStatus
	}
}

// view shows an instance; nil for none.
func (s *Server) view(st *state, instance *warmpool.WarmInstance) *instanceView {
	if instance == nil {
		return nil
	}
	status := &instance.Status
	shown := &instanceView{
		Name: instance.Name, Status: statusOf(instance), ConnectionURL: textOrNull(addressOf(instance)),
		CreatedAt: stamp(instance.CreationTimestamp.Time), LastStatusMessage: status.Provider.Message, LastError: errorOf(instance),
		TunnelURL: instance.Annotations[warmpool.AnnotationTunnelURL], ActualStatus: textOrNull(status.Provider.ActualStatus),
		SSHHost: textOrNull(status.SSH.Host), Price: priceOf(&status.Price),
	}
	if status.LastProofTime != nil {
		shown.LastHeartbeat = stampOrNull(&status.LastProofTime.Time)
	}
	if claim := instance.Spec.ClaimRef; claim != nil {
		shown.LeasedUntil = stampOrNull(st.leases[claim.Name])
	}
	if status.Rental != nil {
		shown.ContractID, shown.GPUName = &status.Rental.ID, textOrNull(status.Rental.GPUName)
	}
	if status.SSH.Port != 0 {
		shown.SSHPort = &status.SSH.Port
	}
	shown.LastHealthReport, shown.ModelInventory = s.memory.of(instance.UID)
	return shown
}

// errorOf is what is wrong with an instance, empty when nothing is.
func errorOf(instance *warmpool.WarmInstance) string {
	if failure := instance.Status.Failure; failure != nil {
		return failure.Reason + ": " + failure.Message
	}
	ready := meta.FindStatusCondition(instance.Status.Conditions, warmpool.ConditionReady)
	wasReady := instance.Status.ReadyTime != nil
	if ready == nil || ready.Status == "True" || !wasReady {
		return ""
	}
	return ready.Reason + ": " + ready.Message
}

// priceOf is the price that is known best, as a JSON number; nil for none.
func priceOf(price *warmpool.InstancePrice) *json.Number {
	for _, known := range []warmpool.SignedUSD{price.CurrentUSDPerHour, price.QuotedUSDPerHour} {
		if known != "" {
			number := json.Number(known)
			return &number
		}
	}
	return nil
}

func (s *Server) viewEnding(st *state) []instanceView {
	shown := make([]instanceView, 0, len(st.ending))
	for _, instance := range st.ending {
		shown = append(shown, *s.view(st, instance))
	}
	return shown
}

// viewPool shows the pool with its one instance of old.
func (s *Server) viewPool(st *state) poolView {
	return poolView{
		DesiredSize: st.desired(), Instance: s.view(st, st.first()), LastAction: stampOrNull(st.lastAction()),
		IsPrewarming: st.isPrewarming(), SafeMode: st.mode() == warmpool.PoolDrain, Terminating: s.viewEnding(st),
	}
}

// viewAdmin shows the pool with all its instances.
func (s *Server) viewAdmin(st *state) adminView {
	shown := adminView{
		DesiredSize: st.desired(), Instances: []*instanceView{}, LastAction: stampOrNull(st.lastAction()),
		IsPrewarming: st.isPrewarming(), SafeMode: st.mode() == warmpool.PoolDrain, Terminating: s.viewEnding(st),
	}
	for _, instance := range st.live {
		shown.Instances = append(shown.Instances, s.view(st, instance))
	}
	shown.Instance = s.view(st, st.first())
	shown.Reason, shown.Message = st.why()
	return shown
}

// withoutAddresses hides from strangers where instances are reached: with the
// preset Custom nothing but the address may protect one.
func (v poolView) withoutAddresses() poolView {
	hide := func(instance instanceView) instanceView {
		instance.ConnectionURL, instance.SSHHost, instance.SSHPort, instance.TunnelURL = nil, nil, nil, ""
		instance.LastError, instance.LastStatusMessage = "", ""
		return instance
	}
	if v.Instance != nil {
		hidden := hide(*v.Instance)
		v.Instance = &hidden
	}
	ending := make([]instanceView, 0, len(v.Terminating))
	for _, instance := range v.Terminating {
		ending = append(ending, hide(instance))
	}
	v.Terminating = ending
	return v
}

// gpuView is the answer of gpu-status.
type gpuView struct {
	Status             string       `json:"status"`
	Message            string       `json:"message"`
	CanGenerate        bool         `json:"canGenerate"`
	CanPrewarm         bool         `json:"canPrewarm"`
	EstimatedReadyTime *string      `json:"estimatedReadyTime"`
	Instance           *gpuInstance `json:"instance"`
}

// gpuInstance is the instance in it.
type gpuInstance struct {
	ContractID       *int64 `json:"contractId"`
	Status           string `json:"status"`
	HasConnectionURL bool   `json:"hasConnectionUrl"`
}

// viewGPU says whether pictures can be made now.
func viewGPU(st *state) gpuView {
	instance := st.first()
	shown := gpuView{Status: "unavailable", Message: "No GPU instance available", CanPrewarm: st.mode() == warmpool.PoolActive}
	soon := func(status, message, in string) {
		shown.Status, shown.Message, shown.CanPrewarm, shown.EstimatedReadyTime = status, message, false, &in
	}
	switch {
	case instance != nil && isFree(instance):
		shown.Status, shown.Message, shown.CanGenerate, shown.CanPrewarm = statusReady, "GPU instance is ready for generation", true, false
	case st.isPrewarming():
		soon("prewarming", "GPU instance is being prepared", "2-5 minutes")
		if reason, message := st.why(); reason != "" && reason != "Provisioning" {
			shown.Message, shown.EstimatedReadyTime = "GPU instance is waiting: "+message, nil
		}
	case instance == nil || instance.Status.Failure != nil:
	case isClaimed(instance):
		shown.Message = "Every GPU instance is in exclusive use"
	case instance.Status.Provider.ActualStatus == statusRunning:
		soon("initializing", "GPU instance is initializing ComfyUI", "1-2 minutes")
	default:
		soon(statusStarting, "GPU instance is starting up", "1-3 minutes")
	}
	shown.Instance = gpuInstanceOf(instance)
	return shown
}

func gpuInstanceOf(instance *warmpool.WarmInstance) *gpuInstance {
	if instance == nil {
		return nil
	}
	shown := &gpuInstance{Status: statusOf(instance), HasConnectionURL: addressOf(instance) != ""}
	if instance.Status.Rental != nil {
		shown.ContractID = &instance.Status.Rental.ID
	}
	return shown
}

// healthView is the answer of the public health route.
type healthView struct {
	Status   string     `json:"status"`
	OK       bool       `json:"ok"`
	Now      string     `json:"now"`
	WarmPool healthPool `json:"warmPool"`
	Error    string     `json:"error,omitempty"`
}

type healthPool struct {
	DesiredSize int32           `json:"desiredSize"`
	Instance    *healthInstance `json:"instance"`
}

type healthInstance struct {
	ContractID *int64 `json:"contractId"`
	Status     string `json:"status"`
}
