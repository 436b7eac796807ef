package simulator

import (
	"context"
	"net"
	"time"

	"k8s.io/utils/clock"
)

// Backend runs what a rental's container would run.
type Backend interface {
	// Start starts one container. It must return at once and must not call the
	// simulator: the world is locked. The context ends with the simulation.
	Start(ctx context.Context, spec BackendSpec) (BackendInstance, error)
}

// BackendSpec describes one container that starts.
type BackendSpec struct {
	// RentalID is the contract.
	RentalID int64
	// Boot counts the starts of the container from 1; a restart keeps the disk.
	Boot int
	// Image is the container image.
	Image string
	// OnStart is the start script as given.
	OnStart string
	// Env is the container's environment: what the renter gave, the account's
	// secrets and what Vast.ai adds.
	Env map[string]string
	// GPUName, GPUs and GPUMemoryMB (per GPU) describe the slice.
	GPUName string
	// GPUs is the number of GPUs.
	GPUs int
	// GPUMemoryMB is the memory of one GPU.
	GPUMemoryMB int64
	// RAMMB is the machine's memory, DiskGB the rented disk.
	RAMMB int64
	// DiskGB is the rented disk.
	DiskGB int64
	// Ports maps a published container port to a function that listens on it;
	// until it is called a connection is refused. It may be called again after
	// the listener was closed. Ports that only need to answer a connection
	// (22, …) are not in it.
	Ports map[int]func() (net.Listener, error)
	// Clock is simulated time.
	Clock clock.Clock
	// Seed is drawn for this rental and the same at every boot.
	Seed uint64
	// StartedAt is the simulated time of the start.
	StartedAt time.Time
	// Faults are faults to set before the first byte is served.
	Faults []BackendFault
}

// BackendFault names a fault of a backend.
type BackendFault struct {
	// Name is one of the backend's own names.
	Name string `json:"name"`
	// Params are the fault's parameters.
	Params map[string]string `json:"params,omitempty"`
}

// BackendInstance is one running container.
type BackendInstance interface {
	// SetFault sets a fault of the backend; an unknown name is an error.
	SetFault(name string, params map[string]string) error
	// ClearFault ends a fault; one that is not set is no error.
	ClearFault(name string)
	// Stop ends the container and returns when nothing of it runs any more.
	Stop()
	// Logs returns the last lines of the container's log, at most tail.
	Logs(tail int) []string
}
