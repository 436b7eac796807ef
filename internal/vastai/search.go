package vastai

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"

	"github.com/warmpool-dev/warmpool/internal/fleet"
	"github.com/warmpool-dev/warmpool/internal/vastai/schema"
)

// maxOffers is the most offers that an answer holds, whatever is asked for.
const maxOffers = 64

// The operators of search filters.
const (
	opEqual   = "eq"
	opAtLeast = "gte"
	opAtMost  = "lte"
	opIn      = "in"
	opNotIn   = "notin"
)

// SearchOffers returns at most 64 offers that match the query, in its order,
// priced for its disk. Rows that cannot be read are left out. The server does
// not always apply numeric filters: check every offer again. It returns a
// *fleet.ProviderError of KindNotSent for a query that cannot be expressed.
// Source: POST /api/v0/bundles/.
func (c *Client) SearchOffers(ctx context.Context, query fleet.OfferQuery) ([]fleet.Offer, error) {
	var list schema.OfferList
	request := &call{
		endpoint: EndpointSearch, operation: "search", method: http.MethodPost, path: "/api/v0/bundles/", into: &list,
	}
	body, err := newSearchRequest(&query)
	if err != nil {
		return nil, request.notSent(err)
	}
	request.body = body
	if err := c.read(ctx, request); err != nil {
		return nil, err
	}
	if list.Offers == nil {
		return nil, c.invalid(request, "the answer has no list of offers")
	}
	offers := make([]fleet.Offer, 0, len(list.Offers))
	for i := range list.Offers {
		offer, err := offerFromSchema(&list.Offers[i])
		known := slices.ContainsFunc(offers, func(other fleet.Offer) bool { return other.ID == offer.ID })
		if err == nil && !known {
			offers = append(offers, offer)
		}
	}
	if len(offers) == 0 && len(list.Offers) > 0 {
		return nil, c.invalid(request, "no offer of the answer can be read")
	}
	return offers, nil
}

// newSearchRequest translates a query. Quantities go out in the units of the
// rows: MB, GB, Mbps, seconds, US dollars per GB.
func newSearchRequest(query *fleet.OfferQuery) (*schema.SearchRequest, error) {
	builder := &searchBuilder{filters: schema.Filters{}}
	builder.add("rentable", opEqual, true)
	builder.add("rented", opEqual, false)
	builder.add("external", opEqual, false)
	if query.VerifiedOnly {
		builder.add("verified", opEqual, true)
	} else {
		// The server's default is verified hosts only, so "any" must be said.
		builder.add("verified", opIn, []bool{true, false})
	}
	if query.DatacenterOnly {
		builder.add("hosting_type", opAtLeast, 1)
	}
	builder.addOneOf("gpu_name", query.GPUNames)
	builder.addBound("num_gpus", opAtLeast, int64(query.MinGPUs), 0)
	builder.addBound("num_gpus", opAtMost, int64(query.MaxGPUs), 0)
	builder.addLowerBounds(query)
	builder.addBound("inet_down_cost", opAtMost, int64(query.MaxDownloadUSDPerTB), usdPerTBDecimals)
	builder.addBound("inet_up_cost", opAtMost, int64(query.MaxUploadUSDPerTB), usdPerTBDecimals)
	if len(query.IncludeCountries) > 0 {
		builder.add("geolocation", opIn, query.IncludeCountries)
	}
	if len(query.ExcludeCountries) > 0 {
		builder.add("geolocation", opNotIn, query.ExcludeCountries)
	}
	for _, extra := range query.Extra {
		builder.addExtra(extra)
	}
	return &schema.SearchRequest{
		Filters: builder.filters, Order: searchOrder(query.Order), Type: "on-demand",
		Limit: schema.Int(maxOffers), AllocatedStorage: schema.Int(query.DiskGB),
	}, builder.err
}

// usdPerTBDecimals turns micro-dollars per TB into dollars per GB: six decimals
// of the micro-dollar and three of the thousand.
const usdPerTBDecimals = 6 + 3

// searchBuilder collects filters and keeps the first error.
type searchBuilder struct {
	filters schema.Filters
	err     error
}

// add sets one operator of one field.
func (b *searchBuilder) add(field, operator string, value any) {
	if err := b.filters.Add(field, operator, value); err != nil && b.err == nil {
		b.err = err
	}
}

// addBound adds a bound of value / 10^decimals unless it is zero.
func (b *searchBuilder) addBound(field, operator string, value int64, decimals int) {
	if value != 0 {
		b.add(field, operator, schema.Fixed(value, decimals))
	}
}

// addLowerBounds adds the bounds of the query that a bigger machine meets too.
func (b *searchBuilder) addLowerBounds(query *fleet.OfferQuery) {
	const (
		centi = 2
		ppm   = 6
	)
	for _, bound := range []struct {
		field    string
		value    int64
		decimals int
	}{
		{"gpu_ram", query.MinGPUMemoryMB, 0},
		{"disk_space", query.DiskGB, 0},
		{"cpu_cores_effective", query.MinCPUCores, 0},
		{"cpu_ram", query.MinMemoryMB, 0},
		{"inet_down", query.MinDownloadMbps, 0},
		{"inet_up", query.MinUploadMbps, 0},
		{"direct_port_count", query.MinDirectPorts, 0},
		{"cuda_max_good", query.MinCUDAVersionCenti, centi},
		{"compute_cap", query.MinComputeCapabilityCenti, 0},
		{"reliability2", query.MinReliabilityPPM, ppm},
		{"duration", query.MinRemainingSeconds, 0},
	} {
		b.addBound(bound.field, opAtLeast, bound.value, bound.decimals)
	}
}

// addOneOf asks for one of some texts, with eq for a single one.
func (b *searchBuilder) addOneOf(field string, values []string) {
	switch len(values) {
	case 0:
	case 1:
		b.add(field, opEqual, values[0])
	default:
		b.add(field, opIn, values)
	}
}

// addExtra passes a raw filter on; it replaces the same operator on the same field.
func (b *searchBuilder) addExtra(extra fleet.ExtraFilter) {
	operands := make([]any, 0, len(extra.Values))
	for _, text := range extra.Values {
		operands = append(operands, operandOf(text))
	}
	if extra.Operator == opIn || extra.Operator == opNotIn {
		b.add(extra.Key, extra.Operator, operands)
		return
	}
	for _, operand := range operands {
		b.add(extra.Key, extra.Operator, operand)
	}
}

// operandOf sends text that reads as a number or a boolean as one.
func operandOf(text string) any {
	switch text {
	case "true":
		return true
	case "false":
		return false
	}
	number := schema.Number(text)
	if _, isNumber := number.Float(); isNumber && json.Valid([]byte(text)) {
		return number
	}
	return text
}

// searchOrder translates an order; the zero value is cheapest first.
func searchOrder(order fleet.OfferOrder) [][2]string {
	switch order {
	case fleet.OrderPerformancePerPrice:
		return [][2]string{{"dlperf_per_dphtotal", "desc"}}
	case fleet.OrderScore:
		return [][2]string{{"score", "desc"}}
	default:
		return [][2]string{{"dph_total", "asc"}}
	}
}
