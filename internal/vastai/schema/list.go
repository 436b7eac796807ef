package schema

import "encoding/json"

// InstanceList is one page of GET /api/v1/instances/.
type InstanceList struct {
	Answer
	// InstancesFound is the number of rows on this page.
	InstancesFound Number `json:"instances_found"`
	// TotalInstances is the number of rows on all pages; empty when the key is absent.
	TotalInstances Number `json:"total_instances"`
	// LabelCounts counts instances by label, "" for those without.
	LabelCounts LabelCounts `json:"label_counts"`
	// NextToken asks for the next page; empty on the last.
	NextToken Text `json:"next_token"`
	// Instances is nil when the key is absent or null, which is not the same
	// as an empty list. Encode an empty page with a non-nil slice.
	Instances []Instance `json:"instances"`
}

// LabelCounts counts instances by label.
type LabelCounts map[string]int64

// UnmarshalJSON reads an object of numbers and skips what is no count; another
// shape gives no counts; it does not fail.
func (l *LabelCounts) UnmarshalJSON(data []byte) error {
	*l = nil
	var object map[string]Number
	if json.Unmarshal(data, &object) != nil {
		return nil //nolint:nilerr // the counts are informative only; see above
	}
	for label, number := range object {
		count, ok := number.Int64()
		if !ok {
			continue
		}
		if *l == nil {
			*l = LabelCounts{}
		}
		(*l)[label] = count
	}
	return nil
}

// ListOrder is one entry of the "order_by" parameter of v1 lists.
type ListOrder struct {
	// Col is a column.
	Col Text `json:"col"`
	// Dir is "asc" or "desc".
	Dir Text `json:"dir"`
}

// SelectFilters is the "select_filters" parameter of v1 lists: column →
// operator → value.
type SelectFilters map[string]map[string]json.RawMessage
