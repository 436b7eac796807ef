package schema

import "encoding/json"

// Offer is one row of an offer search. It has the hundred keys of the API in
// 2026; older rows lack some. Amounts are US dollars per hour unless said
// otherwise.
type Offer struct {
	AskContractID         Number          `json:"ask_contract_id"`
	AvailVolAskID         Number          `json:"avail_vol_ask_id"`
	AvailVolDPH           Number          `json:"avail_vol_dph"`
	AvailVolSize          Number          `json:"avail_vol_size"`
	BundleID              Number          `json:"bundle_id"`
	BundledResults        Number          `json:"bundled_results"`
	BWNVLink              Number          `json:"bw_nvlink"`
	ClusterID             Number          `json:"cluster_id"`
	ComputeCap            Number          `json:"compute_cap"`
	CPUArch               Text            `json:"cpu_arch"`
	CPUCores              Number          `json:"cpu_cores"`
	CPUCoresEffective     Number          `json:"cpu_cores_effective"`
	CPUGHz                Number          `json:"cpu_ghz"`
	CPUName               Text            `json:"cpu_name"`
	CPURAM                Number          `json:"cpu_ram"`
	CreditDiscountMax     Number          `json:"credit_discount_max"`
	CUDAMaxGood           Number          `json:"cuda_max_good"`
	DirectPortCount       Number          `json:"direct_port_count"`
	DiscountRate          Number          `json:"discount_rate"`
	DiscountedDPHTotal    Number          `json:"discounted_dph_total"`
	DiscountedHourly      Number          `json:"discounted_hourly"`
	DiskBW                Number          `json:"disk_bw"`
	DiskName              Text            `json:"disk_name"`
	DiskSpace             Number          `json:"disk_space"`
	DLPerf                Number          `json:"dlperf"`
	DLPerfPerDPHTotal     Number          `json:"dlperf_per_dphtotal"`
	DPHBase               Number          `json:"dph_base"`
	DPHTotal              Number          `json:"dph_total"`
	DPHTotalAdj           Number          `json:"dph_total_adj"`
	DriverVers            Number          `json:"driver_vers"`
	DriverVersion         Text            `json:"driver_version"`
	Duration              Number          `json:"duration"`
	EndDate               Number          `json:"end_date"`
	ExpectedReliability   Number          `json:"expected_reliability"`
	External              *Flag           `json:"external"`
	FlopsPerDPHTotal      Number          `json:"flops_per_dphtotal"`
	Geolocation           Text            `json:"geolocation"`
	Geolocode             Number          `json:"geolocode"`
	GPUArch               Text            `json:"gpu_arch"`
	GPUDisplayActive      Flag            `json:"gpu_display_active"`
	GPUFrac               Number          `json:"gpu_frac"`
	GPUIDs                json.RawMessage `json:"gpu_ids,omitempty"`
	GPULanes              Number          `json:"gpu_lanes"`
	GPUMaxPower           Number          `json:"gpu_max_power"`
	GPUMaxTemp            Number          `json:"gpu_max_temp"`
	GPUMemBW              Number          `json:"gpu_mem_bw"`
	GPUName               Text            `json:"gpu_name"`
	GPURAM                Number          `json:"gpu_ram"`
	GPUTotalRAM           Number          `json:"gpu_total_ram"`
	HasAVX                Number          `json:"has_avx"`
	HostID                Number          `json:"host_id"`
	HostingType           Number          `json:"hosting_type"`
	Hostname              Text            `json:"hostname"`
	ID                    Number          `json:"id"`
	InetDown              Number          `json:"inet_down"`
	InetDownCost          Number          `json:"inet_down_cost"`
	InetUp                Number          `json:"inet_up"`
	InetUpCost            Number          `json:"inet_up_cost"`
	Instance              *PriceBreakdown `json:"instance,omitempty"`
	InternetDownCostPerTB Number          `json:"internet_down_cost_per_tb"`
	InternetUpCostPerTB   Number          `json:"internet_up_cost_per_tb"`
	IsBid                 Flag            `json:"is_bid"`
	IsVMDeverified        Flag            `json:"is_vm_deverified"`
	Logo                  Text            `json:"logo"`
	MachineID             Number          `json:"machine_id"`
	MinBid                Number          `json:"min_bid"`
	MoboName              Text            `json:"mobo_name"`
	NumGPUs               Number          `json:"num_gpus"`
	NWDiskAvgBW           Number          `json:"nw_disk_avg_bw"`
	NWDiskMaxBW           Number          `json:"nw_disk_max_bw"`
	NWDiskMinBW           Number          `json:"nw_disk_min_bw"`
	OSVersion             Text            `json:"os_version"`
	PCIGen                Number          `json:"pci_gen"`
	PCIeBW                Number          `json:"pcie_bw"`
	PublicIPAddr          Text            `json:"public_ipaddr"`
	Reliability           Number          `json:"reliability"`
	Reliability2          Number          `json:"reliability2"`
	ReliabilityMult       Number          `json:"reliability_mult"`
	Rentable              Flag            `json:"rentable"`
	Rented                Flag            `json:"rented"`
	ResourceType          Text            `json:"resource_type"`
	RN                    Number          `json:"rn"`
	Score                 Number          `json:"score"`
	Search                *PriceBreakdown `json:"search,omitempty"`
	StartDate             Number          `json:"start_date"`
	StaticIP              Flag            `json:"static_ip"`
	StorageCost           Number          `json:"storage_cost"` // USD per GB and month of 720 hours
	StorageTotalCost      Number          `json:"storage_total_cost"`
	TimeRemaining         Text            `json:"time_remaining"`
	TimeRemainingIsBid    Text            `json:"time_remaining_isbid"`
	TotalFlops            Number          `json:"total_flops"`
	Vericode              Number          `json:"vericode"`
	Verification          Text            `json:"verification"`
	VMsEnabled            Flag            `json:"vms_enabled"`
	VRAMCostPerHour       Number          `json:"vram_costperhour"`
	Webpage               Text            `json:"webpage"`
}

// OfferList is the answer to POST /api/v0/bundles/. Offers is nil when the key
// is absent or null, which is not the same as an empty list.
type OfferList struct {
	Answer
	Offers []Offer `json:"offers"`
}
