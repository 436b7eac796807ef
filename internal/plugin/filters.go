package plugin

import (
	"fmt"
	"slices"
	"strings"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/planner"
)

// filterSource says where a person finds a filter, and what it is set to.
type filterSource struct {
	filter planner.OfferFilter
	field  string
	value  func(*warmpool.WarmPool) string
}

// filterSources are all filters in the order in which the operator applies them.
func filterSources() []filterSource {
	return []filterSource{
		{planner.FilterGPUName, "spec.offers.gpuNames", func(p *warmpool.WarmPool) string { return strings.Join(p.Spec.Offers.GPUNames, ", ") }},
		{planner.FilterGPUCount, "spec.offers.minGPUs, maxGPUs", func(p *warmpool.WarmPool) string {
			return fmt.Sprintf("%d to %d", p.Spec.Offers.MinGPUs, p.Spec.Offers.MaxGPUs)
		}},
		{planner.FilterGPUMemory, "spec.offers.minGPUMemoryMB", func(p *warmpool.WarmPool) string { return optional(p.Spec.Offers.MinGPUMemoryMB) }},
		{planner.FilterDisk, "spec.template.diskGB", func(p *warmpool.WarmPool) string { return fmt.Sprint(p.Spec.Template.DiskGB) }},
		{planner.FilterCPU, "spec.offers.minCPUCores", func(p *warmpool.WarmPool) string { return fmt.Sprint(p.Spec.Offers.MinCPUCores) }},
		{planner.FilterMemory, "spec.offers.minMemoryMB", func(p *warmpool.WarmPool) string { return fmt.Sprint(p.Spec.Offers.MinMemoryMB) }},
		{planner.FilterDownload, "spec.offers.minDownloadMbps", func(p *warmpool.WarmPool) string { return optional(p.Spec.Offers.MinDownloadMbps) }},
		{planner.FilterUpload, "spec.offers.minUploadMbps", func(p *warmpool.WarmPool) string { return optional(p.Spec.Offers.MinUploadMbps) }},
		{planner.FilterDirectPorts, "spec.offers.minDirectPorts", func(p *warmpool.WarmPool) string { return fmt.Sprint(p.Spec.Offers.MinDirectPorts) }},
		{planner.FilterCUDAVersion, "spec.offers.minCUDAVersion", func(p *warmpool.WarmPool) string { return p.Spec.Offers.MinCUDAVersion }},
		{planner.FilterComputeCapability, "spec.offers.minComputeCapability", func(p *warmpool.WarmPool) string { return p.Spec.Offers.MinComputeCapability }},
		{planner.FilterReliability, "spec.offers.minReliabilityPercent", func(p *warmpool.WarmPool) string { return optional(p.Spec.Offers.MinReliabilityPercent) }},
		{planner.FilterVerification, "spec.offers.verification", func(p *warmpool.WarmPool) string { return string(p.Spec.Offers.Verification) }},
		{planner.FilterDatacenter, "spec.offers.datacenterOnly", func(p *warmpool.WarmPool) string { return string(p.Spec.Offers.DatacenterOnly) }},
		{planner.FilterCountry, "spec.offers.geolocations", func(p *warmpool.WarmPool) string { return countries(&p.Spec.Offers.Geolocations) }},
		{planner.FilterDuration, "spec.offers.minRemainingSeconds", func(p *warmpool.WarmPool) string { return optional(p.Spec.Offers.MinRemainingSeconds) }},
		{planner.FilterBandwidthPrice, "spec.offers.maxBandwidthUSDPerTB", func(p *warmpool.WarmPool) string {
			return fmt.Sprintf("download %s, upload %s", amountOf(p.Spec.Offers.MaxBandwidthUSDPerTB.Download), amountOf(p.Spec.Offers.MaxBandwidthUSDPerTB.Upload))
		}},
		{planner.FilterNotRentable, "rented or withdrawn meanwhile", func(*warmpool.WarmPool) string { return "" }},
		{planner.FilterMachineBlocked, "status.blockedMachines of the VastAccount", func(*warmpool.WarmPool) string { return "" }},
		{planner.FilterMachineInUse, "one instance on each machine", func(*warmpool.WarmPool) string { return "" }},
		{planner.FilterAboveInstanceCap, "spec.cost.maxInstanceUSDPerHour", func(p *warmpool.WarmPool) string { return amountOf(p.Spec.Cost.MaxInstanceUSDPerHour) }},
	}
}

// orderOf is the place of a filter; one that is not known comes last.
func orderOf(filter string) int {
	sources := filterSources()
	if at := slices.IndexFunc(sources, func(s filterSource) bool { return string(s.filter) == filter }); at >= 0 {
		return at
	}
	return len(sources)
}

// filterField is the field of the pool behind a filter, and its value.
func filterField(pool *warmpool.WarmPool, filter planner.OfferFilter) (field, value string) {
	for _, source := range filterSources() {
		if source.filter == filter {
			return source.field, source.value(pool)
		}
	}
	return "", ""
}

func optional(value *int32) string {
	if value == nil {
		return ""
	}
	return fmt.Sprint(*value)
}

func countries(places *warmpool.Geolocations) string {
	var parts []string
	if len(places.Include) > 0 {
		parts = append(parts, "only "+strings.Join(places.Include, ", "))
	}
	if len(places.Exclude) > 0 {
		parts = append(parts, "not "+strings.Join(places.Exclude, ", "))
	}
	return strings.Join(parts, "; ")
}
