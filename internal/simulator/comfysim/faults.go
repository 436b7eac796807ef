package comfysim

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Names of faults; [Registry] describes them and their parameters.
const (
	FaultSlowStart          = "slow-start"
	FaultProvisioningStall  = "provisioning-stall"
	FaultProvisioningFailed = "provisioning-failed"
	FaultCrashLoop          = "crash-loop"
	FaultProcessFatal       = "process-fatal"
	FaultRestart            = "restart"
	FaultWorkerDead         = "worker-dead"
	FaultHang               = "hang"
	FaultGILStall           = "gil-stall"
	FaultDriverWedge        = "driver-wedge"
	FaultLatency            = "latency"
	FaultGPUFault           = "gpu-fault"
	FaultNoKernelImage      = "no-kernel-image"
	FaultOOM                = "oom"
	FaultWrongPixels        = "wrong-pixels"
	FaultSlowGPU            = "slow-gpu"
	FaultCPUDevice          = "cpu-device"
	FaultNoDevice           = "no-device"
	FaultWrongGPU           = "wrong-gpu"
	FaultSmallVRAM          = "small-vram"
	FaultLowVRAM            = "low-vram"
	FaultMissingNode        = "missing-node"
	FaultMissingModel       = "missing-model"
	FaultTruncatedModel     = "truncated-model"
	FaultWebSocketStall     = "ws-stall"
	FaultTokenRotated       = "token-rotated"
	FaultRefuse             = "refuse"
	FaultBlackhole          = "blackhole"
	FaultHalfOpen           = "half-open"
	FaultClockSkew          = "clock-skew"
	FaultCertificateChange  = "certificate-change"
	FaultSchemeMismatch     = "scheme-mismatch"
	FaultWrongService       = "wrong-service"
	FaultOriginRejected     = "origin-rejected"
	FaultTunnelPlaceholder  = "tunnel-placeholder"
	FaultDiskPressure       = "disk-pressure"
)

// FaultParam describes one parameter of a fault. Every parameter has a default, so none is required unless it is empty.
type FaultParam struct {
	// Name is the key in the parameters' map.
	Name string
	// Default is used when the key is absent.
	Default string
	// Description says what it does, with its unit or its choices.
	Description string
	kind        paramKind
	choices     []string
}

// FaultInfo describes one fault.
type FaultInfo struct {
	// Name is what SetFault takes.
	Name string
	// Description says what the instance does while the fault is set.
	Description string
	// Params are its parameters.
	Params []FaultParam
	// EndsWithProcess is true when a restart of ComfyUI cures it, unless its parameter survives_restart is true.
	EndsWithProcess bool
	// Momentary is true when it happens once, at the moment it is set, and does not stay.
	Momentary bool
	// Active is true when the instance that was asked has it now.
	Active bool
	// Values are the parameters in force when it is active.
	Values map[string]string
}

type paramKind int

const (
	kindText paramKind = iota
	kindDuration
	kindNumber
	kindBool
	kindChoice
)

type faultSpec struct {
	FaultInfo
	process bool
}

// faultValues are the parameters of one active fault, checked when it was set.
type faultValues struct {
	spec   faultSpec
	values map[string]string
}

func (v faultValues) text(name string) string { return v.values[name] }

func (v faultValues) flag(name string) bool { return v.values[name] == "true" }

func (v faultValues) duration(name string) time.Duration {
	d, err := time.ParseDuration(v.values[name])
	if err != nil {
		return 0 // checked when it was set
	}
	return d
}

func (v faultValues) number(name string) float64 {
	n, err := strconv.ParseFloat(v.values[name], 64)
	if err != nil {
		return 0 // checked when it was set
	}
	return n
}

func (v faultValues) matches(port int) bool {
	switch v.values["port"] {
	case "comfyui":
		return port == comfyPort
	case "portal":
		return port == portalPort
	default:
		return true
	}
}

// check fills in the defaults and refuses parameters that do not exist or do not parse.
func (s faultSpec) check(params map[string]string) (map[string]string, error) {
	values := make(map[string]string, len(s.Params))
	known := make([]string, 0, len(s.Params))
	for _, param := range s.Params {
		known = append(known, param.Name)
		value, given := params[param.Name]
		if !given {
			value = param.Default
		}
		if err := param.parse(value); err != nil {
			return nil, fmt.Errorf("setting fault %q: parameter %q: %w", s.Name, param.Name, err)
		}
		values[param.Name] = value
	}
	for _, name := range sortedKeys(params) {
		if _, ok := values[name]; !ok {
			return nil, fmt.Errorf("setting fault %q: there is no parameter %q: it has %s", s.Name, name, strings.Join(known, ", "))
		}
	}
	return values, nil
}

func (p FaultParam) parse(value string) error {
	switch p.kind {
	case kindDuration:
		if _, err := time.ParseDuration(value); err != nil {
			return fmt.Errorf("%q is no duration: write it as 30s or 5m", value)
		}
	case kindNumber:
		if n, err := strconv.ParseFloat(value, 64); err != nil || n < 0 || n > 1e15 {
			return fmt.Errorf("%q is no number of zero or more", value)
		}
	case kindBool:
		return oneOf(value, "true", "false")
	case kindChoice:
		return oneOf(value, p.choices...)
	case kindText:
		if value == "" {
			return fmt.Errorf("it is empty: %s", p.Description)
		}
	}
	return nil
}

func oneOf(value string, choices ...string) error {
	if slices.Contains(choices, value) {
		return nil
	}
	return fmt.Errorf("%q is none of %s", value, strings.Join(choices, ", "))
}

// Registry returns every fault with its parameters, in a fixed order. It is the one list: SetFault, the documentation's table and
// the tests are made from it.
func Registry() []FaultInfo {
	specs := faultSpecs()
	infos := make([]FaultInfo, len(specs))
	for n, spec := range specs {
		infos[n] = spec.FaultInfo
		infos[n].EndsWithProcess = spec.process
	}
	return infos
}

// Faults returns the registry with what is active in this instance now.
func (i *Instance) Faults() []FaultInfo {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.advanceLocked()
	infos := Registry()
	for n := range infos {
		if values, ok := i.active[infos[n].Name]; ok {
			infos[n].Active = true
			infos[n].Values = maps.Clone(values.values)
		}
	}
	return infos
}

// SetFault makes the instance go wrong in the named way, from now until ClearFault (or until its process ends, for those that
// EndsWithProcess). Setting it again replaces its parameters. Unknown names, unknown parameters and values that do not parse are
// errors that name the choices, and change nothing.
func (i *Instance) SetFault(name string, params map[string]string) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.advanceLocked()
	if err := i.setFaultLocked(name, params, i.clk.Now()); err != nil {
		return err
	}
	i.breakConnectionsLocked(name)
	i.notifyLocked()
	return nil
}

func (i *Instance) setFaultLocked(name string, params map[string]string, now time.Time) error {
	for _, spec := range faultSpecs() {
		if spec.Name != name {
			continue
		}
		values, err := spec.check(params)
		if err != nil {
			return err
		}
		fault := faultValues{spec: spec, values: values}
		if !spec.Momentary {
			i.active[name] = fault
		}
		i.takeEffectLocked(fault, now)
		return nil
	}
	return fmt.Errorf("setting fault %q: it does not exist: Registry lists the names", name)
}

// takeEffectLocked does what a fault does at the moment it is set; most only change what is answered later.
func (i *Instance) takeEffectLocked(fault faultValues, now time.Time) {
	switch fault.spec.Name {
	case FaultRestart:
		if i.sup.alive && i.boot.provisioning != "in_progress" {
			i.logLocked("Killed")
			i.restartLocked(now)
		}
	case FaultCrashLoop, FaultProcessFatal:
		if i.proc != nil || !i.sup.listenAt.IsZero() {
			i.sup.diesAt = now
			i.advanceLocked()
		}
	case FaultWorkerDead:
		if fault.text("where") == "between" && i.proc != nil {
			i.killWorkerLocked("")
		}
	case FaultGILStall:
		i.stalled = now.Add(fault.duration("for"))
	case FaultProvisioningStall:
		i.boot.provEnds = time.Time{}
	}
}

// ClearFault ends a fault; one that is not active is fine. What has already happened stays: a dead worker is dead until ComfyUI
// restarts, a FATAL process stays down until it is restarted, a failed provisioning has failed.
func (i *Instance) ClearFault(name string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.advanceLocked()
	_, active := i.active[name]
	if !active {
		return
	}
	delete(i.active, name)
	switch name {
	case FaultGILStall:
		i.stalled = time.Time{}
	case FaultProvisioningStall:
		if i.boot.provisioning == "in_progress" {
			i.boot.provEnds = i.clk.Now().Add(i.slowed(i.cfg.Timings.Provisioning))
		}
	}
	i.breakConnectionsLocked(name)
	i.notifyLocked()
}

// breakConnectionsLocked cuts what is open when a fault of the network begins or ends, so that no client keeps a connection
// from before. The half-open fault is the exception: its connections stay, silent.
func (i *Instance) breakConnectionsLocked(name string) {
	for _, p := range i.ports {
		p.followLocked()
		switch name {
		case FaultRefuse, FaultBlackhole, FaultCertificateChange, FaultSchemeMismatch:
			if fault, ok := i.active[name]; !ok || fault.matches(p.app.ExternalPort) {
				p.breakConnections()
			}
		}
	}
}
