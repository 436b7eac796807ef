package schema

import "encoding/json"

// PriceBreakdown is the nested "search" and "instance" of a row, in USD/h.
type PriceBreakdown struct {
	DiscountTotalHour      Number `json:"discountTotalHour"`
	DiscountedTotalPerHour Number `json:"discountedTotalPerHour"`
	DiskHour               Number `json:"diskHour"`
	GPUCostPerHour         Number `json:"gpuCostPerHour"`
	TotalHour              Number `json:"totalHour"`
}

// UnmarshalJSON reads an object. Another shape gives an empty breakdown; it
// does not fail, because the same amounts are on the row itself.
func (p *PriceBreakdown) UnmarshalJSON(data []byte) error {
	type plain PriceBreakdown
	var value plain
	if json.Unmarshal(data, &value) != nil {
		value = plain{}
	}
	*p = PriceBreakdown(value)
	return nil
}
