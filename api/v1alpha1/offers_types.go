package v1alpha1

// Verification says which hosts are accepted.
// +kubebuilder:validation:Enum=Verified;Any
type Verification string

// The verification requirements.
const (
	// VerificationVerified accepts hosts that Vast.ai verified.
	VerificationVerified Verification = "Verified"
	// VerificationAny accepts every host.
	VerificationAny Verification = "Any"
)

// Datacenter says whether the machine must stand in a data centre.
// +kubebuilder:validation:Enum=Required;Preferred;Ignored
type Datacenter string

// The data-centre requirements.
const (
	// DatacenterRequired accepts data-centre hosts only.
	DatacenterRequired Datacenter = "Required"
	// DatacenterPreferred takes them first at the same rank.
	DatacenterPreferred Datacenter = "Preferred"
	// DatacenterIgnored makes no difference.
	DatacenterIgnored Datacenter = "Ignored"
)

// Ranking is the order in which matching offers are tried.
// +kubebuilder:validation:Enum=Price;PriceReliability;PricePerformance;Score
type Ranking string

// The rankings.
const (
	// RankingPrice tries the cheapest first.
	RankingPrice Ranking = "Price"
	// RankingPriceReliability tries the lowest price per reliability first.
	RankingPriceReliability Ranking = "PriceReliability"
	// RankingPricePerformance tries the most performance for the money first.
	RankingPricePerformance Ranking = "PricePerformance"
	// RankingScore follows Vast.ai's own score.
	RankingScore Ranking = "Score"
)

// FilterOperator compares a search field with values.
// +kubebuilder:validation:Enum=Eq;Neq;Gt;Gte;Lt;Lte;In;NotIn
type FilterOperator string

// The operators of an extra filter.
const (
	OperatorEq    FilterOperator = "Eq"
	OperatorNeq   FilterOperator = "Neq"
	OperatorGt    FilterOperator = "Gt"
	OperatorGte   FilterOperator = "Gte"
	OperatorLt    FilterOperator = "Lt"
	OperatorLte   FilterOperator = "Lte"
	OperatorIn    FilterOperator = "In"
	OperatorNotIn FilterOperator = "NotIn"
)

// OfferRequirements says which offers of the market may be rented. Changing it
// does not touch instances that exist.
// +kubebuilder:validation:XValidation:rule="!has(self.minGPUs) || !has(self.maxGPUs) || self.minGPUs <= self.maxGPUs",message="offers.minGPUs must not exceed offers.maxGPUs",fieldPath=".minGPUs"
type OfferRequirements struct {
	// gpuNames are the accepted GPUs as Vast.ai names them, such as "RTX 4090"; empty accepts any.
	// +listType=set
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=64
	// +optional
	GPUNames []string `json:"gpuNames,omitempty"`
	// minGPUs is the least number of GPUs of an offer.
	// +kubebuilder:default=1
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=16
	// +optional
	MinGPUs int32 `json:"minGPUs,omitempty"`
	// maxGPUs is the largest number of GPUs of an offer.
	// +kubebuilder:default=1
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=16
	// +optional
	MaxGPUs int32 `json:"maxGPUs,omitempty"`
	// minGPUMemoryMB is the memory of each GPU in MB.
	// +kubebuilder:default=16000
	// +kubebuilder:validation:Minimum=0
	// +optional
	MinGPUMemoryMB *int32 `json:"minGPUMemoryMB,omitempty"`
	// minCPUCores is the number of CPU cores that belong to the offer.
	// +kubebuilder:validation:Minimum=0
	// +optional
	MinCPUCores int32 `json:"minCPUCores,omitempty"`
	// minMemoryMB is the RAM of the machine in MB.
	// +kubebuilder:validation:Minimum=0
	// +optional
	MinMemoryMB int32 `json:"minMemoryMB,omitempty"`
	// minDownloadMbps is the measured download rate.
	// +kubebuilder:default=200
	// +kubebuilder:validation:Minimum=0
	// +optional
	MinDownloadMbps *int32 `json:"minDownloadMbps,omitempty"`
	// minUploadMbps is the measured upload rate.
	// +kubebuilder:default=50
	// +kubebuilder:validation:Minimum=0
	// +optional
	MinUploadMbps *int32 `json:"minUploadMbps,omitempty"`
	// minDirectPorts is how many ports of the host can be mapped; instances need at least one.
	// +kubebuilder:default=2
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	// +optional
	MinDirectPorts int32 `json:"minDirectPorts,omitempty"`
	// minCUDAVersion is the least CUDA version that the driver supports, such as "12.8".
	// +kubebuilder:validation:Pattern=`^\d{1,3}\.\d{1,2}$`
	// +kubebuilder:validation:MaxLength=6
	// +optional
	MinCUDAVersion string `json:"minCUDAVersion,omitempty"`
	// minComputeCapability is the least compute capability, such as "8.9".
	// +kubebuilder:validation:Pattern=`^\d{1,3}\.\d{1,2}$`
	// +kubebuilder:validation:MaxLength=6
	// +optional
	MinComputeCapability string `json:"minComputeCapability,omitempty"`
	// minReliabilityPercent is the host's measured reliability.
	// +kubebuilder:default=95
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100
	// +optional
	MinReliabilityPercent *int32 `json:"minReliabilityPercent,omitempty"`
	// verification is Verified (default) or Any.
	// +kubebuilder:default=Verified
	// +optional
	Verification Verification `json:"verification,omitempty"`
	// datacenterOnly is Required, Preferred (default) or Ignored.
	// +kubebuilder:default=Preferred
	// +optional
	DatacenterOnly Datacenter `json:"datacenterOnly,omitempty"`
	// geolocations limits the countries.
	// +optional
	Geolocations Geolocations `json:"geolocations,omitzero"`
	// maxBandwidthUSDPerTB limits the price of traffic.
	// +optional
	MaxBandwidthUSDPerTB BandwidthPrices `json:"maxBandwidthUSDPerTB,omitzero"`
	// minRemainingSeconds is how long the offer must still be rentable.
	// +kubebuilder:default=86400
	// +kubebuilder:validation:Minimum=0
	// +optional
	MinRemainingSeconds *int32 `json:"minRemainingSeconds,omitempty"`
	// extra are further search filters in Vast.ai's own field names.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	// +optional
	Extra []OfferFilter `json:"extra,omitempty"`
	// ranking is the order in which matching offers are tried: Price, PriceReliability
	// (default), PricePerformance or Score.
	// +kubebuilder:default=PriceReliability
	// +optional
	Ranking Ranking `json:"ranking,omitempty"`
}

// Geolocations limits countries by their two-letter ISO 3166 codes.
// +kubebuilder:validation:XValidation:rule="!has(self.include) || !has(self.exclude) || !self.include.exists(c, c in self.exclude)",message="a country must not be in both geolocations.include and geolocations.exclude"
type Geolocations struct {
	// include accepts these countries only; empty accepts all.
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:Pattern=`^[A-Z]{2}$`
	// +kubebuilder:validation:items:MaxLength=2
	// +optional
	Include []string `json:"include,omitempty"`
	// exclude refuses these countries.
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:Pattern=`^[A-Z]{2}$`
	// +kubebuilder:validation:items:MaxLength=2
	// +optional
	Exclude []string `json:"exclude,omitempty"`
}

// BandwidthPrices are prices per terabyte of traffic.
type BandwidthPrices struct {
	// download is the highest accepted price per TB received.
	// +optional
	Download USD `json:"download,omitempty"`
	// upload is the highest accepted price per TB sent.
	// +optional
	Upload USD `json:"upload,omitempty"`
}

// OfferFilter is one raw search filter.
// +kubebuilder:validation:XValidation:rule="self.operator in ['In', 'NotIn'] || size(self.values) == 1",message="operators other than In and NotIn take exactly one value"
type OfferFilter struct {
	// key is Vast.ai's search field, such as cpu_arch.
	// +kubebuilder:validation:Pattern=`^[a-z][a-z0-9_]*$`
	// +kubebuilder:validation:MaxLength=64
	// +required
	Key string `json:"key"`
	// operator is Eq, Neq, Gt, Gte, Lt, Lte, In or NotIn.
	// +required
	Operator FilterOperator `json:"operator"`
	// values holds one value, or several for In and NotIn. Text that reads as a number or as
	// true or false is sent as such.
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=128
	// +required
	Values []string `json:"values"`
}
