package schema

import "encoding/json"

// ChargeList is one page of GET /api/v0/charges/.
type ChargeList struct {
	Answer
	Count     Number `json:"count"`
	Total     Number `json:"total"`
	NextToken Text   `json:"next_token"`
	// Results is nil when the key is absent or null.
	Results []Charge `json:"results"`
}

// Charge is one billed period of one source.
type Charge struct {
	// Start and End are epoch seconds.
	Start Number `json:"start"`
	End   Number `json:"end"`
	// Type is "instance", "volume" or "serverless".
	Type Text `json:"type"`
	// Source is "instance-123".
	Source      Text `json:"source"`
	Description Text `json:"description"`
	// Amount is in USD.
	Amount   Number         `json:"amount"`
	Metadata ChargeMetadata `json:"metadata"`
	Items    []ChargeItem   `json:"items,omitempty"`
}

// ChargeMetadata ties a charge to what it was for.
type ChargeMetadata struct {
	Label         Text   `json:"label"`
	TemplateID    Number `json:"template_id,omitempty"`
	EndpointID    Number `json:"endpoint_id,omitempty"`
	WorkergroupID Number `json:"workergroup_id,omitempty"`
}

// UnmarshalJSON reads an object; another shape gives no metadata; it does not fail.
func (m *ChargeMetadata) UnmarshalJSON(data []byte) error {
	type plain ChargeMetadata
	var value plain
	if json.Unmarshal(data, &value) != nil {
		value = plain{}
	}
	*m = ChargeMetadata(value)
	return nil
}

// ChargeItem is one part of a charge.
type ChargeItem struct {
	// Type is "gpu", "disk", "bwd" or "bwu".
	Type Text `json:"type"`
	// Description reads "96.000 hours at $0.389/hour".
	Description Text `json:"description"`
	// Amount is in USD.
	Amount Number `json:"amount"`
}

// PriceIncreaseList is the answer to GET
// /api/v0/instances/pending-price-increases/.
type PriceIncreaseList struct {
	Answer
	Count     Number `json:"count"`
	Truncated Flag   `json:"truncated"`
	// PendingPriceIncreases is nil when the key is absent or null.
	PendingPriceIncreases []PriceIncrease `json:"pending_price_increases"`
}

// PriceIncrease is a host's proposal to extend a contract at a higher price.
// Compute prices are USD per second, traffic prices USD per GB, the platform
// fee is a fraction; dates are epoch seconds. Null leaves a price as it is.
type PriceIncrease struct {
	PendingPriceIncreaseID Number `json:"pending_price_increase_id"`
	ContractID             Number `json:"contract_id"`
	HostID                 Number `json:"host_id"`
	NewGPUCostPerSec       Number `json:"new_gpu_costpersec"`
	NewDiskRAMCostPerSec   Number `json:"new_disk_ram_costpersec"`
	NewBWUCost             Number `json:"new_bwu_cost"`
	NewBWDCost             Number `json:"new_bwd_cost"`
	NewPlatformFee         Number `json:"new_platform_fee"`
	OldGPUCostPerSec       Number `json:"old_gpu_costpersec"`
	OldDiskRAMCostPerSec   Number `json:"old_disk_ram_costpersec"`
	OldBWUCost             Number `json:"old_bwu_cost"`
	OldBWDCost             Number `json:"old_bwd_cost"`
	OldPlatformFee         Number `json:"old_platform_fee"`
	ContractEndDate        Number `json:"contract_end_date"`
	AskEndDate             Number `json:"ask_end_date"`
	CreatedAt              Number `json:"created_at"`
}

// PriceIncreaseDecision is the body of PUT
// /api/v0/instances/accept-price-increase/ and of its counterpart reject-price-increase.
// The platform refuses any other key.
type PriceIncreaseDecision struct {
	PendingPriceIncreaseID Number `json:"pending_price_increase_id"`
}
