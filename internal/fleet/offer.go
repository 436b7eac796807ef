package fleet

import "time"

// Offer is one rentable slice of a machine, as a search returned it. It is a
// snapshot: the offer may be gone, or dearer, a moment later.
type Offer struct {
	// ID names the offer in a rent. Source: "id" (= "ask_contract_id").
	ID int64
	// MachineID names the physical machine; several offers share one. Source: "machine_id".
	MachineID int64
	// HostID names the owner of the machine. Source: "host_id".
	HostID int64
	// GPUName is the marketing name with spaces ("RTX 4090"). Source: "gpu_name".
	GPUName string
	// GPUs is the number of GPUs in the slice. Source: "num_gpus".
	GPUs int
	// GPUMemoryMB is the memory of one GPU in MB. Source: "gpu_ram".
	GPUMemoryMB int64
	// CPUCoresMilli is the share of CPU cores in thousandths. Source: "cpu_cores_effective".
	CPUCoresMilli int64
	// MemoryMB is the RAM of the whole machine in MB. Source: "cpu_ram".
	MemoryMB int64
	// DiskGB is the disk space that can be rented. Source: "disk_space".
	DiskGB int64
	// DownloadMbps and UploadMbps are measured rates. Source: "inet_down", "inet_up".
	DownloadMbps, UploadMbps int64
	// DownloadUSDPerTB and UploadUSDPerTB are traffic prices. Source: "inet_down_cost", "inet_up_cost" (per GB) × 1000.
	DownloadUSDPerTB, UploadUSDPerTB USDMicros
	// DirectPorts is the number of ports that can be mapped. Source: "direct_port_count".
	DirectPorts int
	// CUDAVersionCenti is the highest CUDA version × 100 (12.8 is 1280). Source: "cuda_max_good".
	CUDAVersionCenti int64
	// ComputeCapabilityCenti is the compute capability × 100 (8.9 is 890). Source: "compute_cap".
	ComputeCapabilityCenti int64
	// ReliabilityPPM is the reliability in millionths (0.99 is 990000). Source: "reliability2", else "reliability".
	ReliabilityPPM int64
	// Verification is "verified", "unverified" or "deverified". Source: "verification".
	Verification string
	// Datacenter is true for a data-centre host. Source: "hosting_type" ≥ 1.
	Datacenter bool
	// StaticIP is true when the address does not change. Source: "static_ip".
	StaticIP bool
	// CountryCode is the two-letter code at the end of the geolocation, empty when unknown. Source: "geolocation".
	CountryCode string
	// PriceUSDPerHour is the whole price for the disk size that was asked for. Source: "dph_total".
	PriceUSDPerHour USDMicros
	// StorageUSDPerHour is the part of the price that is storage. Source: "storage_total_cost".
	StorageUSDPerHour USDMicros
	// PerformanceMilli is Vast's deep-learning score × 1000. Source: "dlperf".
	PerformanceMilli int64
	// ScoreMilli is Vast's ranking score × 1000. Source: "score".
	ScoreMilli int64
	// RemainingSeconds is how long the offer can still be rented. Source: "duration".
	RemainingSeconds int64
	// Rentable is false when the machine is taken. Source: "rentable".
	Rentable bool
}

// OfferOrder is the order in which a search returns offers; an answer holds at
// most 64, so the order decides which.
type OfferOrder string

// The orders of a search.
const (
	// OrderPrice is cheapest first.
	OrderPrice OfferOrder = "Price"
	// OrderPerformancePerPrice is the best performance for the money first.
	OrderPerformancePerPrice OfferOrder = "PerformancePerPrice"
	// OrderScore is Vast's own ranking score, best first.
	OrderScore OfferOrder = "Score"
)

// OfferQuery says which offers a search shall return. Zero values do not
// filter. Two pools with equal queries share one search; Key says which are equal.
type OfferQuery struct {
	// GPUNames lists accepted names with spaces; empty accepts all.
	GPUNames []string
	// MinGPUs and MaxGPUs bound the slice.
	MinGPUs, MaxGPUs int
	// MinGPUMemoryMB is per GPU.
	MinGPUMemoryMB int64
	// DiskGB is the disk to price and the least that must be free. Required.
	DiskGB int64
	// MinCPUCores, MinMemoryMB, MinDownloadMbps, MinUploadMbps and MinDirectPorts are lower bounds.
	MinCPUCores, MinMemoryMB, MinDownloadMbps, MinUploadMbps, MinDirectPorts int64
	// MinCUDAVersionCenti and MinComputeCapabilityCenti are versions × 100.
	MinCUDAVersionCenti, MinComputeCapabilityCenti int64
	// MinReliabilityPPM is in millionths.
	MinReliabilityPPM int64
	// VerifiedOnly asks for verified hosts only; false asks for any.
	VerifiedOnly bool
	// DatacenterOnly asks for data-centre hosts only.
	DatacenterOnly bool
	// MinRemainingSeconds is how long the offer must still be rentable.
	MinRemainingSeconds int64
	// IncludeCountries and ExcludeCountries hold two-letter codes.
	IncludeCountries, ExcludeCountries []string
	// MaxDownloadUSDPerTB and MaxUploadUSDPerTB bound traffic prices.
	MaxDownloadUSDPerTB, MaxUploadUSDPerTB USDMicros
	// Extra are filters passed through to the search as they are.
	Extra []ExtraFilter
	// Order decides which offers are in the answer.
	Order OfferOrder
}

// ExtraFilter is one raw search filter, the escape hatch for fields that have
// no name here.
type ExtraFilter struct {
	// Key is the search field ("cpu_arch").
	Key string
	// Operator is eq, neq, gt, gte, lt, lte, in or notin.
	Operator string
	// Values holds one value, or several for in and notin. Each is text; text
	// that reads as a number or a boolean is sent as one.
	Values []string
}

// RentRequest is everything a rent sends. A rent is never retried.
type RentRequest struct {
	// OfferID is the offer to rent.
	OfferID int64
	// Label is the only thing that ties a lost answer to a rental (see Label).
	Label string
	// Image is the container image.
	Image string
	// DiskGB is fixed for the life of the rental.
	DiskGB int64
	// Env holds variables; port mappings are separate.
	Env map[string]string
	// Ports are container ports to publish over TCP.
	Ports []int
	// OnStart is the shell text run at start.
	OnStart string
	// LaunchMode is "ssh", "jupyter" or "args".
	LaunchMode string
	// BeforeSend is called when the call's turn at the rate limit comes, half a
	// second before it is sent at most; an error means that it is not. Nil asks nobody.
	BeforeSend func() error
}

// User is the account a key belongs to.
type User struct {
	// ID is the account's number. Source: GET /users/current/ "id".
	ID int64
	// BalanceUSD is the spendable credit in dollars. Source: "credit".
	BalanceUSD USDMicros
}

// Listing is one complete or partial reading of the account's instances. Whether
// it may be trusted is the planner's decision, not the client's.
type Listing struct {
	// Rentals holds every row of every page that was read.
	Rentals []Rental
	// FirstTotal and LastTotal are "total_instances" on the first and the last page.
	FirstTotal, LastTotal int
	// Pages is the number of pages that were read.
	Pages int
	// StartedAt and FinishedAt bound the reading.
	StartedAt, FinishedAt time.Time
}
