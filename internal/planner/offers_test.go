package planner

import (
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/warmpool-dev/warmpool/internal/fleet"
)

func TestFilterOffers(t *testing.T) {
	tests := map[string]struct {
		criteria func(*Criteria)
		offer    func(*fleet.Offer)
		want     OfferFilter
	}{
		"no criteria accept":                {nil, nil, ""},
		"another GPU":                       {func(c *Criteria) { c.Query.GPUNames = []string{"RTX 3090"} }, nil, FilterGPUName},
		"GPU with underscores and any case": {func(c *Criteria) { c.Query.GPUNames = []string{"RTX 3090", "rtx_4090"} }, nil, ""},
		"too few GPUs":                      {func(c *Criteria) { c.Query.MinGPUs = 2 }, nil, FilterGPUCount},
		"too many GPUs":                     {func(c *Criteria) { c.Query.MaxGPUs = 1 }, func(o *fleet.Offer) { o.GPUs = 2 }, FilterGPUCount},
		"no GPU at all":                     {nil, func(o *fleet.Offer) { o.GPUs = 0 }, FilterGPUCount},
		"GPU memory":                        {func(c *Criteria) { c.Query.MinGPUMemoryMB = 24565 }, nil, FilterGPUMemory},
		"GPU memory just enough":            {func(c *Criteria) { c.Query.MinGPUMemoryMB = 24564 }, nil, ""},
		"disk":                              {func(c *Criteria) { c.Query.DiskGB = 201 }, nil, FilterDisk},
		"CPU cores":                         {func(c *Criteria) { c.Query.MinCPUCores = 17 }, nil, FilterCPU},
		"CPU cores just enough":             {func(c *Criteria) { c.Query.MinCPUCores = 16 }, nil, ""},
		"memory":                            {func(c *Criteria) { c.Query.MinMemoryMB = 64001 }, nil, FilterMemory},
		"download":                          {func(c *Criteria) { c.Query.MinDownloadMbps = 901 }, nil, FilterDownload},
		"upload":                            {func(c *Criteria) { c.Query.MinUploadMbps = 501 }, nil, FilterUpload},
		"ports":                             {func(c *Criteria) { c.Query.MinDirectPorts = 11 }, nil, FilterDirectPorts},
		"CUDA version":                      {func(c *Criteria) { c.Query.MinCUDAVersionCenti = 1290 }, nil, FilterCUDAVersion},
		"compute capability":                {func(c *Criteria) { c.Query.MinComputeCapabilityCenti = 900 }, nil, FilterComputeCapability},
		"reliability":                       {func(c *Criteria) { c.Query.MinReliabilityPPM = 990_001 }, nil, FilterReliability},
		"verification":                      {func(c *Criteria) { c.Query.VerifiedOnly = true }, func(o *fleet.Offer) { o.Verification = "deverified" }, FilterVerification},
		"any verification":                  {nil, func(o *fleet.Offer) { o.Verification = "unverified" }, ""},
		"data centre":                       {func(c *Criteria) { c.Query.DatacenterOnly = true }, func(o *fleet.Offer) { o.Datacenter = false }, FilterDatacenter},
		"country not included":              {func(c *Criteria) { c.Query.IncludeCountries = []string{"SE", "DK"} }, nil, FilterCountry},
		"country included":                  {func(c *Criteria) { c.Query.IncludeCountries = []string{"SE", "no"} }, nil, ""},
		"country excluded":                  {func(c *Criteria) { c.Query.ExcludeCountries = []string{"NO"} }, nil, FilterCountry},
		"unknown country when it matters":   {func(c *Criteria) { c.Query.ExcludeCountries = []string{"SE"} }, func(o *fleet.Offer) { o.CountryCode = "" }, FilterCountry},
		"unknown country when it does not":  {nil, func(o *fleet.Offer) { o.CountryCode = "" }, ""},
		"ends too soon":                     {func(c *Criteria) { c.Query.MinRemainingSeconds = 31 * 86400 }, nil, FilterDuration},
		"dear download":                     {func(c *Criteria) { c.Query.MaxDownloadUSDPerTB = usd(500) }, func(o *fleet.Offer) { o.DownloadUSDPerTB = usd(501) }, FilterBandwidthPrice},
		"dear upload":                       {func(c *Criteria) { c.Query.MaxUploadUSDPerTB = usd(500) }, func(o *fleet.Offer) { o.UploadUSDPerTB = usd(501) }, FilterBandwidthPrice},
		"taken":                             {nil, func(o *fleet.Offer) { o.Rentable = false }, FilterNotRentable},
		"without a price":                   {nil, func(o *fleet.Offer) { o.PriceUSDPerHour = 0 }, FilterNotRentable},
		"with a negative price":             {nil, func(o *fleet.Offer) { o.PriceUSDPerHour = -1 }, FilterNotRentable},
		"blocked machine":                   {func(c *Criteria) { c.BlockedMachines = map[int64]bool{1001: true} }, nil, FilterMachineBlocked},
		"machine in use":                    {func(c *Criteria) { c.MachineRentals = map[int64]int{1001: 1} }, nil, FilterMachineInUse},
		"machine may be used twice":         {func(c *Criteria) { c.MachineRentals, c.MaxPerMachine = map[int64]int{1001: 1}, 2 }, nil, ""},
		"above the cap":                     {func(c *Criteria) { c.MaxInstanceUSDPerHour = usd(40) - 1 }, nil, FilterAboveInstanceCap},
		"at the cap":                        {func(c *Criteria) { c.MaxInstanceUSDPerHour = usd(40) }, nil, ""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			criteria, offer := Criteria{}, offerAt(1, usd(40))
			if tc.criteria != nil {
				tc.criteria(&criteria)
			}
			if tc.offer != nil {
				tc.offer(&offer)
			}
			got := FilterOffers([]fleet.Offer{offer}, &criteria)
			if tc.want == "" {
				if len(got.Matches) != 1 || len(got.RejectedBy) != 0 {
					t.Errorf("rejected by %v, want a match", got.RejectedBy)
				}
				return
			}
			if diff := cmp.Diff([]RejectionCount{{tc.want, 1}}, got.RejectedBy); diff != "" || len(got.Matches) != 0 {
				t.Errorf("%d matches, rejections (-want +got):\n%s", len(got.Matches), diff)
			}
			if tc.want.words() == "" {
				t.Errorf("filter %s has no words for people", tc.want)
			}
		})
	}
}

func TestFilterOffersCountsInOrder(t *testing.T) {
	offers := []fleet.Offer{offerAt(1, usd(90)), offerAt(2, usd(40)), offerAt(3, usd(70)), offerAt(4, usd(70)), offerAt(5, usd(40))}
	offers[1].GPUMemoryMB = 8000
	offers[4].GPUMemoryMB, offers[4].PriceUSDPerHour = 8000, usd(90) // counts for the first filter only
	criteria := Criteria{Query: fleet.OfferQuery{MinGPUMemoryMB: 16000}, MaxInstanceUSDPerHour: usd(50)}
	got := FilterOffers(offers, &criteria)
	want := FilterResult{
		Seen:             5,
		RejectedBy:       []RejectionCount{{FilterGPUMemory, 2}, {FilterAboveInstanceCap, 3}},
		CheapestAboveCap: &offers[2],
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("FilterOffers (-want +got):\n%s", diff)
	}
	if got, want := inWords(got.RejectedBy), "3 too dear for one instance (spec.cost.maxInstanceUSDPerHour), 2 with too little GPU memory (minGPUMemoryMB)"; got != want {
		t.Errorf("inWords = %q, want %q", got, want)
	}
}

func TestRank(t *testing.T) {
	edit := func(id int64, cents int64, change func(*fleet.Offer)) fleet.Offer {
		offer := offerAt(id, usd(cents))
		if change != nil {
			change(&offer)
		}
		return offer
	}
	reliability := func(ppm int64) func(*fleet.Offer) { return func(o *fleet.Offer) { o.ReliabilityPPM = ppm } }
	home := func(o *fleet.Offer) { o.Datacenter = false }
	tests := map[string]struct {
		offers     []fleet.Offer
		ranking    Ranking
		datacenter bool
		want       []int64
	}{
		"price":                              {[]fleet.Offer{edit(1, 50, nil), edit(2, 40, nil)}, RankingPrice, false, []int64{2, 1}},
		"equal price goes by reliability":    {[]fleet.Offer{edit(1, 40, reliability(950_000)), edit(2, 40, reliability(990_000))}, RankingPrice, false, []int64{2, 1}},
		"equal offers go by id":              {[]fleet.Offer{edit(3, 40, nil), edit(1, 40, nil), edit(2, 40, nil)}, RankingPrice, false, []int64{1, 2, 3}},
		"reliability outweighs a little":     {[]fleet.Offer{edit(1, 40, reliability(900_000)), edit(2, 42, reliability(999_000))}, RankingPriceReliability, false, []int64{2, 1}},
		"reliability does not outweigh much": {[]fleet.Offer{edit(1, 40, reliability(900_000)), edit(2, 50, reliability(999_000))}, RankingPriceReliability, false, []int64{1, 2}},
		"unknown reliability comes last":     {[]fleet.Offer{edit(1, 10, reliability(0)), edit(2, 90, nil)}, RankingPriceReliability, false, []int64{2, 1}},
		"empty ranking is by reliability":    {[]fleet.Offer{edit(1, 10, reliability(0)), edit(2, 90, nil)}, "", false, []int64{2, 1}},
		"performance for the money": {[]fleet.Offer{
			edit(1, 40, func(o *fleet.Offer) { o.PerformanceMilli = 50_000 }),
			edit(2, 60, func(o *fleet.Offer) { o.PerformanceMilli = 90_000 }),
			edit(3, 10, func(o *fleet.Offer) { o.PerformanceMilli = 0 }),
		}, RankingPricePerformance, false, []int64{2, 1, 3}},
		"score": {[]fleet.Offer{
			edit(1, 10, func(o *fleet.Offer) { o.ScoreMilli = 100 }), edit(2, 90, func(o *fleet.Offer) { o.ScoreMilli = 200 }),
		}, RankingScore, false, []int64{2, 1}},
		"data centre up to a tenth dearer": {[]fleet.Offer{edit(1, 40, home), edit(2, 43, nil)}, RankingPrice, true, []int64{2, 1}},
		"data centre not at any price":     {[]fleet.Offer{edit(1, 40, home), edit(2, 45, nil)}, RankingPrice, true, []int64{1, 2}},
		"data centre not preferred":        {[]fleet.Offer{edit(1, 40, home), edit(2, 41, nil)}, RankingPrice, false, []int64{1, 2}},
		"absurd prices do not overflow":    {[]fleet.Offer{{ID: 1, PriceUSDPerHour: math.MaxInt64, ReliabilityPPM: 1}, edit(2, 40, nil)}, RankingPriceReliability, false, []int64{2, 1}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			var got []int64
			for _, offer := range Rank(tc.offers, tc.ranking, tc.datacenter) {
				got = append(got, offer.ID)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("order (-want +got):\n%s", diff)
			}
		})
	}
}

func TestMachineRentals(t *testing.T) {
	late := attempted("d", OutcomeAbandoned, usd(40))
	late.Attempts[0].RentalID = 9
	instances := []Instance{
		rented("a", 1, usd(40)), attempted("b", OutcomeUnknown, usd(40)), attempted("c", OutcomeRejected, usd(40)), late, blank("e", 0),
	}
	if diff := cmp.Diff(map[int64]int{7: 3}, MachineRentals(instances)); diff != "" {
		t.Errorf("MachineRentals (-want +got):\n%s", diff)
	}
}
