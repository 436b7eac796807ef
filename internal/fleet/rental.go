package fleet

import (
	"strconv"
	"time"
)

// ActualStatus is what Vast.ai says a container does. It lags and flickers:
// one reading is a hint, not a fact.
type ActualStatus string

// The values of ActualStatus. Source: "actual_status".
const (
	// StatusUnreported is a null: the host has not reported yet.
	StatusUnreported ActualStatus = ""
	StatusCreated    ActualStatus = "created"
	StatusLoading    ActualStatus = "loading"
	StatusRunning    ActualStatus = "running"
	StatusStopped    ActualStatus = "stopped"
	StatusExited     ActualStatus = "exited"
	StatusRebooting  ActualStatus = "rebooting"
	StatusRestarting ActualStatus = "restarting"
	StatusRecycling  ActualStatus = "recycling"
	StatusFrozen     ActualStatus = "frozen"
	StatusUnknown    ActualStatus = "unknown"
	StatusOffline    ActualStatus = "offline"
)

// Rental is one instance of the account, ours or not.
type Rental struct {
	// ID is the contract number. Source: "id".
	ID int64
	// MachineID and HostID say where it runs. Source: "machine_id", "host_id".
	MachineID, HostID int64
	// Label is free text that anybody with the key can change. Source: "label".
	Label string
	// ActualStatus is what the container does. Source: "actual_status".
	ActualStatus ActualStatus
	// IntendedStatus, CurrentState and NextState are "running" or "stopped".
	// Source: "intended_status", "cur_state", "next_state".
	IntendedStatus, CurrentState, NextState string
	// StatusMessage is the host's last word, for people. Source: "status_msg".
	StatusMessage string
	// GPUName and GPUs describe the slice. Source: "gpu_name", "num_gpus".
	GPUName string
	GPUs    int
	// GPUMemoryMB is the memory of one GPU in MB, 0 when unknown. Source: "gpu_ram".
	GPUMemoryMB int64
	// Geolocation is "City, CC". Source: "geolocation".
	Geolocation string
	// PriceUSDPerHour is what the rental costs while it runs, storage
	// included. Source: "dph_total".
	PriceUSDPerHour USDMicros
	// StorageUSDPerHour is the storage part. Source: "storage_total_cost".
	StorageUSDPerHour USDMicros
	// PublicIP is empty until the host reported it. Source: "public_ipaddr".
	PublicIP string
	// Ports maps a published TCP container port to its public port; empty
	// until the container really runs. Source: "ports".
	Ports map[int]int
	// SSHHost and SSHPort reach the proxied SSH server. Source: "ssh_host", "ssh_port".
	SSHHost string
	SSHPort int
	// StartedAt is the creation of the contract; zero when unknown. Source: "start_date".
	StartedAt time.Time
	// EndsAt is when the contract ends; zero when unknown. Source: "end_date".
	EndsAt time.Time
}

// Endpoint returns "address:port" of a published container port, and false
// while it is not published.
func (r *Rental) Endpoint(containerPort int) (string, bool) {
	port, ok := r.Ports[containerPort]
	if !ok || r.PublicIP == "" {
		return "", false
	}
	return joinHostPort(r.PublicIP, port), true
}

// joinHostPort brackets IPv6 addresses, as net.JoinHostPort does.
func joinHostPort(host string, port int) string {
	for _, c := range host {
		if c == ':' {
			return "[" + host + "]:" + strconv.Itoa(port)
		}
	}
	return host + ":" + strconv.Itoa(port)
}
