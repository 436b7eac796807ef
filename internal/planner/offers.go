package planner

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/warmpool-dev/warmpool/internal/fleet"
)

// OfferFilter names the filter that rejected an offer.
type OfferFilter string

// The filters in the order in which they are applied. An offer counts for the
// first that rejects it, so what the later ones reject has passed the earlier.
const (
	FilterGPUName           OfferFilter = "GPUName"
	FilterGPUCount          OfferFilter = "GPUCount"
	FilterGPUMemory         OfferFilter = "GPUMemory"
	FilterDisk              OfferFilter = "Disk"
	FilterCPU               OfferFilter = "CPU"
	FilterMemory            OfferFilter = "Memory"
	FilterDownload          OfferFilter = "Download"
	FilterUpload            OfferFilter = "Upload"
	FilterDirectPorts       OfferFilter = "DirectPorts"
	FilterCUDAVersion       OfferFilter = "CUDAVersion"
	FilterComputeCapability OfferFilter = "ComputeCapability"
	FilterReliability       OfferFilter = "Reliability"
	FilterVerification      OfferFilter = "Verification"
	FilterDatacenter        OfferFilter = "Datacenter"
	FilterCountry           OfferFilter = "Country"
	FilterDuration          OfferFilter = "Duration"
	FilterBandwidthPrice    OfferFilter = "BandwidthPrice"
	FilterNotRentable       OfferFilter = "NotRentable"
	FilterMachineBlocked    OfferFilter = "MachineBlocked"
	FilterMachineInUse      OfferFilter = "MachineInUse"
	FilterAboveInstanceCap  OfferFilter = "AboveInstanceCap"
)

// Criteria decide which offers a pool accepts. The search applies most of them
// too, but Vast.ai is known not to apply every numeric filter, so all but
// Query.Extra are applied again here.
type Criteria struct {
	// Query is what the search asked for. Zero values do not filter.
	Query fleet.OfferQuery
	// MaxInstanceUSDPerHour caps one instance; 0 is no cap.
	MaxInstanceUSDPerHour fleet.USDMicros
	// BlockedMachines are avoided (see BlockedMachineIDs).
	BlockedMachines map[int64]bool
	// MachineRentals counts our rentals per machine (see MachineRentals).
	MachineRentals map[int64]int
	// MaxPerMachine bounds our rentals on one machine; 0 means 1.
	MaxPerMachine int
}

// RejectionCount is how many offers one filter rejected.
type RejectionCount struct {
	// Filter is the filter.
	Filter OfferFilter
	// Count is positive.
	Count int
}

// FilterResult is what is left of a search.
type FilterResult struct {
	// Matches passed every filter, in the order they came.
	Matches []fleet.Offer
	// Seen is how many offers came in.
	Seen int
	// RejectedBy holds one entry per filter that rejected something, in the
	// order of the filters.
	RejectedBy []RejectionCount
	// CheapestAboveCap is the cheapest offer that only the instance cap
	// rejected; nil when there is none.
	CheapestAboveCap *fleet.Offer
}

// offerCheck is one filter.
type offerCheck struct {
	name    OfferFilter
	accepts func(*fleet.Offer, *Criteria) bool
}

// FilterOffers sorts out the offers that the criteria do not accept and counts
// why.
func FilterOffers(offers []fleet.Offer, criteria *Criteria) FilterResult {
	result := FilterResult{Seen: len(offers)}
	checks := offerChecks()
	counts := make([]int, len(checks))
	for k := range offers {
		offer := &offers[k]
		failed := slices.IndexFunc(checks, func(c offerCheck) bool { return !c.accepts(offer, criteria) })
		if failed < 0 {
			result.Matches = append(result.Matches, *offer)
			continue
		}
		counts[failed]++
		if checks[failed].name == FilterAboveInstanceCap {
			result.CheapestAboveCap = cheaper(result.CheapestAboveCap, offer)
		}
	}
	for k, count := range counts {
		if count > 0 {
			result.RejectedBy = append(result.RejectedBy, RejectionCount{Filter: checks[k].name, Count: count})
		}
	}
	return result
}

// MachineRentals counts, per machine, the rentals of ours that may exist there:
// recorded ones and attempts whose outcome is unknown.
func MachineRentals(instances []Instance) map[int64]int {
	counts := make(map[int64]int, len(instances))
	for k := range instances {
		instance := &instances[k]
		if instance.HasRental() {
			counts[instance.Rental.MachineID]++
		}
		for n := range instance.Attempts {
			attempt := &instance.Attempts[n]
			remembered := attempt.RentalID != 0 && !attempt.RentalGone &&
				(!instance.HasRental() || attempt.RentalID != instance.Rental.ID)
			//warmpool:gate offer-open-attempt-holds-machine
			if remembered || (attempt.RentalID == 0 && attempt.isOpen()) {
				counts[attempt.MachineID]++
			}
		}
	}
	return counts
}

// offerChecks lists the filters in order.
func offerChecks() []offerCheck {
	return slices.Concat(hardwareChecks(), hostChecks(), tradeChecks())
}

// hardwareChecks are about what the slice can do.
func hardwareChecks() []offerCheck {
	return []offerCheck{
		{FilterGPUName, func(o *fleet.Offer, c *Criteria) bool {
			return len(c.Query.GPUNames) == 0 || slices.ContainsFunc(c.Query.GPUNames, func(name string) bool {
				return sameGPUName(name, o.GPUName)
			})
		}},
		{FilterGPUCount, func(o *fleet.Offer, c *Criteria) bool {
			return o.GPUs >= max(c.Query.MinGPUs, 1) && (c.Query.MaxGPUs == 0 || o.GPUs <= c.Query.MaxGPUs)
		}},
		{FilterGPUMemory, func(o *fleet.Offer, c *Criteria) bool { return o.GPUMemoryMB >= c.Query.MinGPUMemoryMB }},
		{FilterDisk, func(o *fleet.Offer, c *Criteria) bool { return o.DiskGB >= c.Query.DiskGB }},
		{FilterCPU, func(o *fleet.Offer, c *Criteria) bool { return o.CPUCoresMilli >= c.Query.MinCPUCores*1000 }},
		{FilterMemory, func(o *fleet.Offer, c *Criteria) bool { return o.MemoryMB >= c.Query.MinMemoryMB }},
		{FilterDownload, func(o *fleet.Offer, c *Criteria) bool { return o.DownloadMbps >= c.Query.MinDownloadMbps }},
		{FilterUpload, func(o *fleet.Offer, c *Criteria) bool { return o.UploadMbps >= c.Query.MinUploadMbps }},
		{FilterDirectPorts, func(o *fleet.Offer, c *Criteria) bool { return int64(o.DirectPorts) >= c.Query.MinDirectPorts }},
		{FilterCUDAVersion, func(o *fleet.Offer, c *Criteria) bool { return o.CUDAVersionCenti >= c.Query.MinCUDAVersionCenti }},
		{FilterComputeCapability, func(o *fleet.Offer, c *Criteria) bool {
			return o.ComputeCapabilityCenti >= c.Query.MinComputeCapabilityCenti
		}},
	}
}

// hostChecks are about who offers it, and where.
func hostChecks() []offerCheck {
	return []offerCheck{
		{FilterReliability, func(o *fleet.Offer, c *Criteria) bool { return o.ReliabilityPPM >= c.Query.MinReliabilityPPM }},
		{FilterVerification, func(o *fleet.Offer, c *Criteria) bool { return !c.Query.VerifiedOnly || o.Verification == "verified" }},
		{FilterDatacenter, func(o *fleet.Offer, c *Criteria) bool { return !c.Query.DatacenterOnly || o.Datacenter }},
		{FilterCountry, acceptsCountry},
	}
}

// tradeChecks are about the deal, and about what we know ourselves.
func tradeChecks() []offerCheck {
	return []offerCheck{
		{FilterDuration, func(o *fleet.Offer, c *Criteria) bool { return o.RemainingSeconds >= c.Query.MinRemainingSeconds }},
		{FilterBandwidthPrice, func(o *fleet.Offer, c *Criteria) bool {
			return withinCap(o.DownloadUSDPerTB, c.Query.MaxDownloadUSDPerTB) && withinCap(o.UploadUSDPerTB, c.Query.MaxUploadUSDPerTB)
		}},
		// An offer without a price would slip under every ceiling.
		//warmpool:gate offer-has-a-price
		{FilterNotRentable, func(o *fleet.Offer, _ *Criteria) bool { return o.Rentable && o.ID > 0 && o.PriceUSDPerHour > 0 }},
		//warmpool:gate offer-machine-not-blocked
		{FilterMachineBlocked, func(o *fleet.Offer, c *Criteria) bool { return !c.BlockedMachines[o.MachineID] }},
		//warmpool:gate offer-machine-not-in-use
		{FilterMachineInUse, func(o *fleet.Offer, c *Criteria) bool { return c.MachineRentals[o.MachineID] < max(c.MaxPerMachine, 1) }},
		//warmpool:gate offer-below-cap
		{FilterAboveInstanceCap, func(o *fleet.Offer, c *Criteria) bool { return withinCap(o.PriceUSDPerHour, c.MaxInstanceUSDPerHour) }},
	}
}

// acceptsCountry refuses an unknown country as soon as countries matter.
func acceptsCountry(offer *fleet.Offer, criteria *Criteria) bool {
	include, exclude := criteria.Query.IncludeCountries, criteria.Query.ExcludeCountries
	if len(include) == 0 && len(exclude) == 0 {
		return true
	}
	same := func(code string) bool { return strings.EqualFold(code, offer.CountryCode) }
	return offer.CountryCode != "" && (len(include) == 0 || slices.ContainsFunc(include, same)) && !slices.ContainsFunc(exclude, same)
}

// sameGPUName compares names as Vast.ai does: underscores stand for spaces.
func sameGPUName(a, b string) bool {
	return strings.EqualFold(strings.ReplaceAll(a, "_", " "), strings.ReplaceAll(b, "_", " "))
}

// withinCap is true when the price does not pass the cap; a cap of 0 is none.
func withinCap(price, limit fleet.USDMicros) bool { return limit == 0 || price <= limit }

// cheaper returns the cheaper of two offers, the lower id among equals. The
// first may be nil.
func cheaper(a, b *fleet.Offer) *fleet.Offer {
	if a == nil || cmp.Or(cmp.Compare(b.PriceUSDPerHour, a.PriceUSDPerHour), cmp.Compare(b.ID, a.ID)) < 0 {
		return b
	}
	return a
}

// cheapestOf returns the cheapest offer, nil for none.
func cheapestOf(offers []fleet.Offer) *fleet.Offer {
	var cheapest *fleet.Offer
	for k := range offers {
		cheapest = cheaper(cheapest, &offers[k])
	}
	return cheapest
}

// Ranking is how a pool orders the offers that match.
type Ranking string

// The rankings.
const (
	// RankingPrice is cheapest first.
	RankingPrice Ranking = "Price"
	// RankingPriceReliability is by price divided by reliability: what an hour
	// that is really served costs. It is the default.
	RankingPriceReliability Ranking = "PriceReliability"
	// RankingPricePerformance is by price divided by the deep-learning score.
	RankingPricePerformance Ranking = "PricePerformance"
	// RankingScore is by Vast.ai's own score, best first.
	RankingScore Ranking = "Score"
)

// ppm is one in millionths.
const ppm = 1_000_000

// Rank returns the offers in the order in which they are tried. The order is
// total: equal keys go by price, then reliability, then offer id. When data
// centres are preferred, any other host counts as a tenth worse, so that a data
// centre is chosen only while it is not much dearer.
func Rank(offers []fleet.Offer, ranking Ranking, datacenterPreferred bool) []fleet.Offer {
	ranked := slices.Clone(offers)
	slices.SortStableFunc(ranked, func(a, b fleet.Offer) int {
		return cmp.Or(
			cmp.Compare(rankKey(&a, ranking, datacenterPreferred), rankKey(&b, ranking, datacenterPreferred)),
			cmp.Compare(a.PriceUSDPerHour, b.PriceUSDPerHour),
			cmp.Compare(b.ReliabilityPPM, a.ReliabilityPPM),
			cmp.Compare(a.ID, b.ID),
		)
	})
	return ranked
}

// rankKey is the figure to sort by, lower is better.
func rankKey(offer *fleet.Offer, ranking Ranking, datacenterPreferred bool) fleet.USDMicros {
	price := offer.PriceUSDPerHour
	score := fleet.USDMicros(offer.ScoreMilli)
	if datacenterPreferred && !offer.Datacenter {
		const worse, of = 11, 10
		price = price.Times(worse) / of
		score = score.Times(of) / worse
	}
	switch ranking {
	case RankingPrice:
		return price
	case RankingPricePerformance:
		return perUnit(price, offer.PerformanceMilli)
	case RankingScore:
		return -score
	case RankingPriceReliability:
		return perUnit(price, offer.ReliabilityPPM)
	default:
		return perUnit(price, offer.ReliabilityPPM)
	}
}

// perUnit divides a price by a figure in parts; nothing of it is infinitely dear.
func perUnit(price fleet.USDMicros, parts int64) fleet.USDMicros {
	if parts <= 0 {
		return math.MaxInt64
	}
	return price.Times(ppm) / fleet.USDMicros(parts)
}

// inWords describes rejections for people ("12 too little GPU memory, 3 above
// the price cap").
func inWords(rejections []RejectionCount) string {
	most := slices.Clone(rejections)
	slices.SortStableFunc(most, func(a, b RejectionCount) int { return cmp.Compare(b.Count, a.Count) })
	parts := make([]string, 0, len(most))
	for _, rejection := range most {
		parts = append(parts, fmt.Sprintf("%d %s", rejection.Count, rejection.Filter.words()))
	}
	return strings.Join(parts, ", ")
}

// words says what an offer lacks that the filter rejects.
func (f OfferFilter) words() string {
	texts := map[OfferFilter]string{
		FilterGPUName: "with another GPU (gpuNames)", FilterGPUCount: "with another number of GPUs (minGPUs, maxGPUs)", FilterGPUMemory: "with too little GPU memory (minGPUMemoryMB)",
		FilterDisk: "with too little disk (spec.template.diskGB)", FilterCPU: "with too few CPU cores (minCPUCores)", FilterMemory: "with too little memory (minMemoryMB)",
		FilterDownload: "with too slow a download (minDownloadMbps)", FilterUpload: "with too slow an upload (minUploadMbps)", FilterDirectPorts: "with too few ports (minDirectPorts)",
		FilterCUDAVersion: "with too old a CUDA version (minCUDAVersion)", FilterComputeCapability: "with too low a compute capability (minComputeCapability)",
		FilterReliability: "not reliable enough (minReliabilityPercent)", FilterVerification: "not verified (verification)", FilterDatacenter: "not in a data centre (datacenterOnly)",
		FilterCountry: "in the wrong country (geolocations)", FilterDuration: "for rent for too short a time (minRemainingSeconds)",
		FilterBandwidthPrice: "with too dear traffic (maxBandwidthUSDPerTB)", FilterNotRentable: "not for rent at this moment", FilterMachineBlocked: "on a machine that is avoided after failures",
		FilterMachineInUse: "on a machine that is rented already", FilterAboveInstanceCap: "too dear for one instance (spec.cost.maxInstanceUSDPerHour)",
	}
	return texts[f]
}
