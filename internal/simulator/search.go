package simulator

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/warmpool-dev/warmpool/internal/vastai/schema"
)

const (
	// maxOffers is the most offers of one answer, whatever the limit says.
	maxOffers = 64
	// defaultStorageGB is what prices include when the request does not say.
	defaultStorageGB = 8
	// kindBid is the "type" of interruptible offers.
	kindBid = "bid"
)

// pricing is what a search wants prices for.
type pricing struct {
	bid    bool
	diskGB float64
	now    time.Time
}

// search answers a search. Lock held.
func (m *market) search(request *schema.SearchRequest, now time.Time) []map[string]any {
	how := pricing{bid: request.Type == kindBid, diskGB: defaultStorageGB, now: now}
	if gb := numberOf(request.AllocatedStorage); gb > 0 {
		how.diskGB = gb
	}
	filters := withDefaultFilters(request.Filters)
	var found []*offer
	for _, o := range m.sorted() {
		if o.passes(filters, how) {
			found = append(found, o)
		}
	}
	sortOffers(found, request.Order, how)
	limit := maxOffers
	if n := numberOf(request.Limit); n >= 1 {
		limit = min(limit, int(n))
	}
	rows := make([]map[string]any, 0, min(limit, len(found)))
	for _, o := range found[:min(limit, len(found))] {
		rows = append(rows, o.row(how))
	}
	return rows
}

// withDefaultFilters adds what Vast.ai is documented to filter by itself.
func withDefaultFilters(given schema.Filters) schema.Filters {
	filters := maps.Clone(given)
	if filters == nil {
		filters = schema.Filters{}
	}
	for field, value := range map[string]string{"verified": trueText, "rentable": trueText, "rented": falseText} {
		if _, ok := filters[field]; !ok {
			filters[field] = schema.Operators{opEq: json.RawMessage(value)}
		}
	}
	return filters
}

// passes is true when the offer meets every filter. A field that no row has
// does not filter.
func (o *offer) passes(filters schema.Filters, how pricing) bool {
	for name, operators := range filters {
		value, known := o.field(name, how)
		if known && !matchesAll(value, operators) {
			return false
		}
	}
	return true
}

// field returns a filterable value of the offer.
func (o *offer) field(name string, how pricing) (any, bool) {
	size, c := len(o.gpus), o.machine
	row := c.rows[size]
	switch name {
	case "id":
		// Filtering on the id matches nothing; ask_contract_id is the way.
		return nil, true
	case "ask_contract_id":
		return o.id, true
	case "verified", "datacenter", "external", "rentable", "machine_id", "host_id":
		return c.field(name, row), true
	case "dph_base", "dph_total", "min_bid", "storage_total_cost", "dlperf_per_dphtotal", "flops_per_dphtotal":
		return o.prices(how)[name], true
	case "geolocation":
		return countryOf(row["geolocation"]), true
	case "driver_version":
		return row["driver_vers"], true
	case "duration":
		return c.endDate.Sub(how.now).Seconds(), true
	case "end_date":
		return epoch(c.endDate), true
	default:
		value, known := row[name]
		return value, known
	}
}

// field returns a filterable value that belongs to the machine.
func (c *machine) field(name string, row map[string]any) any {
	switch name {
	case "machine_id":
		return c.id
	case "host_id":
		return c.hostID
	case "verified":
		return row["verification"] == "verified"
	case "datacenter":
		return number(row["hosting_type"]) >= 1
	case "rentable":
		return !c.taken
	default: // external
		return false
	}
}

// prices returns the fields that depend on the request and on drift, in dollars.
func (o *offer) prices(how pricing) map[string]any {
	size, c := len(o.gpus), o.machine
	row := c.rows[size]
	base := c.price(size)
	minBid := number(row["min_bid"]) * c.factor
	if how.bid {
		base = minBid
	}
	disk := c.storageRate(size, how.diskGB)
	total := base + disk
	return map[string]any{
		"dph_base":                base,
		"dph_total":               total,
		"dph_total_adj":           total,
		"discounted_dph_total":    total,
		"min_bid":                 minBid,
		"storage_total_cost":      disk,
		"dlperf_per_dphtotal":     ratio(number(row["dlperf"]), total),
		"flops_per_dphtotal":      ratio(number(row["total_flops"]), total),
		"vram_costperhour":        ratio(base, number(row["gpu_total_ram"])),
		"internet_up_cost_per_tb": row["internet_up_cost_per_tb"],
		"search":                  breakdown(base, disk),
		"instance":                breakdown(0, disk),
	}
}

// row returns the offer as it goes on the wire: the recorded row with what
// the simulation knows better.
func (o *offer) row(how pricing) map[string]any {
	size, c := len(o.gpus), o.machine
	row := maps.Clone(c.rows[size])
	maps.Copy(row, o.prices(how))
	maps.Copy(row, map[string]any{
		"id": o.id, "ask_contract_id": o.id, "machine_id": c.id, "host_id": c.hostID,
		"rentable": !c.taken, "rented": false, "is_bid": how.bid,
		"duration": max(0, c.endDate.Sub(how.now).Seconds()), "end_date": epoch(c.endDate),
		"start_date": epoch(how.now),
	})
	return row
}

// breakdown is the nested price object of rows.
func breakdown(gpu, disk float64) map[string]any {
	return map[string]any{
		"gpuCostPerHour": gpu, "diskHour": disk, "totalHour": gpu + disk,
		"discountTotalHour": 0, "discountedTotalPerHour": gpu + disk,
	}
}

// sortOffers sorts by the given order, best score first without one, and by
// id among equals.
func sortOffers(found []*offer, order [][2]string, how pricing) {
	if len(order) == 0 {
		order = [][2]string{{"score", "desc"}}
	}
	keys := make(map[*offer][]any, len(found))
	for _, o := range found {
		for _, by := range order {
			value, _ := o.field(by[0], how)
			keys[o] = append(keys[o], value)
		}
	}
	slices.SortStableFunc(found, func(a, b *offer) int {
		for i, by := range order {
			result := compareNullable(keys[a][i], keys[b][i])
			if strings.EqualFold(by[1], "desc") {
				result = -result
			}
			if result != 0 {
				return result
			}
		}
		return cmp.Compare(a.id, b.id)
	})
}

// compareNullable orders values; null comes first.
func compareNullable(a, b any) int {
	if a == nil || b == nil {
		return cmp.Compare(boolInt(a != nil), boolInt(b != nil))
	}
	return compareValues(a, b)
}

// boolInt is 1 for true.
func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// ratio divides; by nothing it is nothing.
func ratio(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}

// countryOf returns the two letters at the end of a location, nil without.
func countryOf(location any) any {
	text, ok := location.(string)
	const letters = 2
	if text = strings.TrimSpace(text); !ok || len(text) < letters {
		return nil
	}
	return text[len(text)-letters:]
}

// epoch is a time as Vast.ai writes it: seconds with a fraction.
func epoch(t time.Time) float64 {
	const perSecond = 1000
	return float64(t.UnixMilli()) / perSecond
}

// numberOf reads a wire number; what is not a number is 0.
func numberOf(n schema.Number) float64 {
	value, ok := asNumber(string(n))
	if !ok {
		return 0
	}
	return value
}
