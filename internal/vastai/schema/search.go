package schema

import (
	"encoding/json"
	"fmt"
	"maps"
)

// Operators maps an operator (eq, neq, gt, gte, lt, lte, in, notin) to its
// operand as JSON. Numbers may come as strings: compare with Number.
type Operators map[string]json.RawMessage

// SearchRequest is the body of POST /api/v0/bundles/: filters and control keys
// in one flat object.
type SearchRequest struct {
	// Filters holds every key that is no control key.
	Filters Filters
	// Order lists [field, "asc" or "desc"].
	Order [][2]string
	// Type is "on-demand", "ondemand", "bid" or "reserved".
	Type Text
	// Limit is the most offers wanted; an answer never has more than 64.
	Limit Number
	// AllocatedStorage is the disk in GB that prices include.
	AllocatedStorage Number
	// DisableBundling shows every slice of a machine.
	DisableBundling *Flag
}

// searchControls are the keys of a search that are no filters.
type searchControls struct {
	Order            [][2]string `json:"order,omitempty"`
	Type             Text        `json:"type,omitempty"`
	Limit            Number      `json:"limit,omitempty"`
	AllocatedStorage Number      `json:"allocated_storage,omitempty"`
	DisableBundling  *Flag       `json:"disable_bundling,omitempty"`
}

// isSearchControl tells control keys from filters.
func isSearchControl(key string) bool {
	switch key {
	case "order", "type", "limit", "allocated_storage", "disable_bundling":
		return true
	default:
		return false
	}
}

// Filters maps a field of an offer to its conditions.
type Filters map[string]Operators

// Add puts one operator on one field, replacing the same operator; value is
// anything that encodes as JSON. The map must not be nil. It returns an error
// for a control key and for a value that does not encode.
func (f Filters) Add(field, operator string, value any) error {
	if isSearchControl(field) {
		return fmt.Errorf("filtering by %q: it is a control key of the search", field)
	}
	operand, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("encoding the filter on %q: %w", field, err)
	}
	if f[field] == nil {
		f[field] = Operators{}
	}
	f[field][operator] = operand
	return nil
}

// MarshalJSON writes the flat object.
func (s SearchRequest) MarshalJSON() ([]byte, error) {
	controls, err := json.Marshal(searchControls{
		Order: s.Order, Type: s.Type, Limit: s.Limit,
		AllocatedStorage: s.AllocatedStorage, DisableBundling: s.DisableBundling,
	})
	if err != nil {
		return nil, fmt.Errorf("encoding the controls of a search: %w", err)
	}
	flat := map[string]json.RawMessage{}
	if err = json.Unmarshal(controls, &flat); err != nil {
		return nil, fmt.Errorf("flattening the controls of a search: %w", err)
	}
	for field, operators := range s.Filters {
		if isSearchControl(field) {
			continue
		}
		if flat[field], err = json.Marshal(operators); err != nil {
			return nil, fmt.Errorf("encoding the filter on %q: %w", field, err)
		}
	}
	return json.Marshal(flat)
}

// UnmarshalJSON reads the flat object. It fails when the body is no object, or
// when a filter is not an object of operators, as the platform does. A filter
// of null does not filter.
func (s *SearchRequest) UnmarshalJSON(data []byte) error {
	var controls searchControls
	if err := json.Unmarshal(data, &controls); err != nil {
		return fmt.Errorf("reading the controls of a search: %w", err)
	}
	var flat map[string]json.RawMessage
	if err := json.Unmarshal(data, &flat); err != nil {
		return fmt.Errorf("reading a search: %w", err)
	}
	maps.DeleteFunc(flat, func(key string, value json.RawMessage) bool {
		return isSearchControl(key) || string(value) == "null"
	})
	filters := make(Filters, len(flat))
	for field, raw := range flat {
		var operators Operators
		if err := json.Unmarshal(raw, &operators); err != nil {
			return fmt.Errorf("reading the filter on %q: it must be an object of operators: %w", field, err)
		}
		filters[field] = operators
	}
	*s = SearchRequest{
		Filters: filters, Order: controls.Order, Type: controls.Type, Limit: controls.Limit,
		AllocatedStorage: controls.AllocatedStorage, DisableBundling: controls.DisableBundling,
	}
	return nil
}

// SearchAsksRequest is the body of PUT /api/v0/search/asks/, the other form of
// a search.
type SearchAsksRequest struct {
	SelectCols []string      `json:"select_cols"`
	Q          SearchRequest `json:"q"`
}
