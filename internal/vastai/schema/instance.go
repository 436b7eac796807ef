package schema

import (
	"bytes"
	"encoding/json"
)

// Instance is one rental as the list and the point lookup show it. Amounts are
// US dollars per hour unless said otherwise, dates are epoch seconds.
type Instance struct {
	ID                 Number          `json:"id"`
	MachineID          Number          `json:"machine_id"`
	HostID             Number          `json:"host_id"`
	BundleID           Number          `json:"bundle_id"`
	ActualStatus       Text            `json:"actual_status"`
	IntendedStatus     Text            `json:"intended_status"`
	CurState           Text            `json:"cur_state"`
	NextState          Text            `json:"next_state"`
	StatusMsg          Text            `json:"status_msg"`
	Label              Text            `json:"label"`
	TemplateID         Number          `json:"template_id"`
	TemplateHashID     Text            `json:"template_hash_id"`
	TemplateName       Text            `json:"template_name"`
	ImageUUID          Text            `json:"image_uuid"`
	ImageArgs          json.RawMessage `json:"image_args,omitempty"`
	ImageRunType       Text            `json:"image_runtype"`
	ExtraEnv           EnvPairs        `json:"extra_env"`
	OnStart            Secret          `json:"onstart"`
	JupyterToken       Secret          `json:"jupyter_token"`
	SSHHost            Text            `json:"ssh_host"`
	SSHIdx             Text            `json:"ssh_idx"`
	SSHPort            Number          `json:"ssh_port"`
	MachineDirSSHPort  Number          `json:"machine_dir_ssh_port"`
	PublicIPAddr       Text            `json:"public_ipaddr"`
	LocalIPAddrs       Text            `json:"local_ipaddrs"`
	DirectPortCount    Number          `json:"direct_port_count"`
	DirectPortStart    Number          `json:"direct_port_start"` // -1 is none
	DirectPortEnd      Number          `json:"direct_port_end"`   // -1 is none
	Ports              Ports           `json:"ports,omitempty"`
	StartDate          Number          `json:"start_date"`
	EndDate            Number          `json:"end_date"`
	Duration           Number          `json:"duration"` // seconds
	UptimeMins         Number          `json:"uptime_mins"`
	TimeRemaining      Text            `json:"time_remaining"`
	TimeRemainingIsBid Text            `json:"time_remaining_isbid"`
	NumGPUs            Number          `json:"num_gpus"`
	GPUName            Text            `json:"gpu_name"`
	GPURAM             Number          `json:"gpu_ram"`
	GPUTotalRAM        Number          `json:"gpu_totalram"`
	GPUUtil            Number          `json:"gpu_util"`
	GPUTemp            Number          `json:"gpu_temp"`
	GPUFrac            Number          `json:"gpu_frac"`
	GPUArch            Text            `json:"gpu_arch"`
	GPULanes           Number          `json:"gpu_lanes"`
	GPUMemBW           Number          `json:"gpu_mem_bw"`
	CPUArch            Text            `json:"cpu_arch"`
	CPUName            Text            `json:"cpu_name"`
	CPUCores           Number          `json:"cpu_cores"`
	CPUCoresEffective  Number          `json:"cpu_cores_effective"`
	CPURAM             Number          `json:"cpu_ram"`
	CPUUtil            Number          `json:"cpu_util"`
	MemLimit           Number          `json:"mem_limit"`
	MemUsage           Number          `json:"mem_usage"`
	VMemUsage          Number          `json:"vmem_usage"`
	DiskSpace          Number          `json:"disk_space"` // GB allocated
	DiskUsage          Number          `json:"disk_usage"` // -1 until known
	DiskUtil           Number          `json:"disk_util"`  // -1 until known
	DiskName           Text            `json:"disk_name"`
	DiskBW             Number          `json:"disk_bw"`
	InetUp             Number          `json:"inet_up"`
	InetDown           Number          `json:"inet_down"`
	InetUpCost         Number          `json:"inet_up_cost"`
	InetDownCost       Number          `json:"inet_down_cost"`
	StaticIP           Flag            `json:"static_ip"`
	Geolocation        Text            `json:"geolocation"`
	CountryCode        Text            `json:"country_code"`
	Verification       Text            `json:"verification"`
	Reliability2       Number          `json:"reliability2"`
	Rentable           Flag            `json:"rentable"`
	External           *Flag           `json:"external"`
	HostingType        Number          `json:"hosting_type"`
	OSVersion          Text            `json:"os_version"`
	MoboName           Text            `json:"mobo_name"`
	PCIGen             Number          `json:"pci_gen"`
	PCIeBW             Number          `json:"pcie_bw"`
	DriverVersion      Text            `json:"driver_version"`
	CUDAMaxGood        Number          `json:"cuda_max_good"`
	ComputeCap         Number          `json:"compute_cap"`
	IsBid              Flag            `json:"is_bid"`
	MinBid             Number          `json:"min_bid"`
	DPHBase            Number          `json:"dph_base"`
	DPHTotal           Number          `json:"dph_total"`
	Search             *PriceBreakdown `json:"search,omitempty"`
	Instance           *PriceBreakdown `json:"instance,omitempty"`
	StorageCost        Number          `json:"storage_cost"` // USD per GB and month of 720 hours
	StorageTotalCost   Number          `json:"storage_total_cost"`
	VRAMCostPerHour    Number          `json:"vram_costperhour"`
	CreditBalance      Number          `json:"credit_balance"`
	CreditDiscount     Number          `json:"credit_discount"`
	CreditDiscountMax  Number          `json:"credit_discount_max"`
	ClientRunTime      Number          `json:"client_run_time"`
	HostRunTime        Number          `json:"host_run_time"`
	DLPerf             Number          `json:"dlperf"`
	Score              Number          `json:"score"`
	TotalFlops         Number          `json:"total_flops"`
	VolumeInfo         json.RawMessage `json:"volume_info,omitempty"`
	Logo               Text            `json:"logo"`
	Webpage            Text            `json:"webpage"`
}

// InstanceSet is the "instances" of a point lookup: an object, a list, or null
// for an id that does not exist (any more). The zero InstanceSet is an absent key.
type InstanceSet struct {
	// Null is true for an explicit null.
	Null bool
	// List is true when the rows came as a list.
	List bool
	// Rows holds the object, or the items of the list.
	Rows []Instance
}

// OneInstance returns the set that a point lookup answers: the instance as an
// object, or null.
func OneInstance(instance *Instance) InstanceSet {
	if instance == nil {
		return InstanceSet{Null: true}
	}
	return InstanceSet{Rows: []Instance{*instance}}
}

// MarshalJSON writes an object for one row, null for none, unless List is set.
func (s InstanceSet) MarshalJSON() ([]byte, error) {
	switch {
	case s.List:
		return json.Marshal(append([]Instance{}, s.Rows...))
	case len(s.Rows) > 0:
		return json.Marshal(s.Rows[0])
	default:
		return []byte("null"), nil
	}
}

// UnmarshalJSON reads the three shapes and fails for any other.
func (s *InstanceSet) UnmarshalJSON(data []byte) error {
	*s = InstanceSet{}
	data = bytes.TrimSpace(data)
	if string(data) == "null" {
		s.Null = true
		return nil
	}
	if len(data) > 0 && data[0] == '[' {
		s.List = true
		return json.Unmarshal(data, &s.Rows)
	}
	s.Rows = make([]Instance, 1)
	return json.Unmarshal(data, &s.Rows[0])
}

// InstanceResponse is the answer to GET /api/v0/instances/{id}/.
type InstanceResponse struct {
	Answer
	Instances InstanceSet `json:"instances"`
}
