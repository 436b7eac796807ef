package simulator

import (
	"context"
	"fmt"

	"github.com/warmpool-dev/warmpool/internal/simulator/comfysim"
)

// ComfyBackend runs the simulated ComfyUI image behind every rental. Its zero
// value has the image's own timings and models; NewComfyBackend says how.
type ComfyBackend struct {
	// Profile is a comfysim profile; empty is the newest.
	Profile string
	// Timings are the durations of boot and work, in simulated time.
	Timings comfysim.Timings
	// Models maps a folder to its files; nil is the image's own checkpoint.
	Models map[string][]comfysim.ModelFile
	// Nodes are custom nodes.
	Nodes []comfysim.NodeSpec
}

var _ Backend = (*ComfyBackend)(nil)

// NewComfyBackend returns a backend with the timings of an ordinary host.
func NewComfyBackend() *ComfyBackend { return &ComfyBackend{Timings: comfysim.DefaultTimings()} }

// Start implements Backend.
func (b *ComfyBackend) Start(_ context.Context, spec BackendSpec) (BackendInstance, error) {
	const mib, gib = int64(1) << 20, int64(1) << 30
	config := comfysim.Config{
		ListenComfy: spec.Ports[comfyPort], ListenPortal: spec.Ports[portalPort],
		Env: spec.Env, Profile: b.Profile, GPUName: "GeForce " + spec.GPUName, GPUs: spec.GPUs,
		VRAMBytes: spec.GPUMemoryMB * mib, RAMBytes: spec.RAMMB * mib, DiskBytes: spec.DiskGB * gib,
		Models: b.Models, Nodes: b.Nodes, Clock: spec.Clock, Seed: spec.Seed, Timings: b.Timings,
		Faults: map[string]map[string]string{},
	}
	for _, fault := range spec.Faults {
		config.Faults[fault.Name] = fault.Params
	}
	instance, err := comfysim.New(config)
	if err != nil {
		return nil, fmt.Errorf("starting the ComfyUI of rental %d: %w", spec.RentalID, err)
	}
	return instance, nil
}
