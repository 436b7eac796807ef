package schema

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

// EnvObject is an environment as a rent sends it. Its values may be secrets:
// printing it shows the number of entries only.
type EnvObject map[string]string

// String hides the entries.
func (e EnvObject) String() string { return fmt.Sprintf("[%d entries]", len(e)) }

// GoString hides the entries from %#v.
func (e EnvObject) GoString() string { return e.String() }

// UnmarshalJSON reads an object whose values may be any scalar, or a list of
// pairs. Other shapes give no entries; it does not fail.
func (e *EnvObject) UnmarshalJSON(data []byte) error {
	*e = nil
	for _, pair := range readPairs(data) {
		if *e == nil {
			*e = EnvObject{}
		}
		(*e)[pair[0]] = pair[1]
	}
	return nil
}

// EnvPairs is an environment as an instance row shows it: a list of [name,
// value]. Its values may be secrets: printing it shows the number of entries
// only. A nil EnvPairs encodes as an empty list, because the command line
// cannot read null there.
type EnvPairs [][2]string

// Pairs returns an environment as pairs in the order of their names.
func (e EnvObject) Pairs() EnvPairs {
	pairs := make(EnvPairs, 0, len(e))
	for _, name := range slices.Sorted(maps.Keys(e)) {
		pairs = append(pairs, [2]string{name, e[name]})
	}
	return pairs
}

// String hides the entries.
func (e EnvPairs) String() string { return fmt.Sprintf("[%d entries]", len(e)) }

// GoString hides the entries from %#v.
func (e EnvPairs) GoString() string { return e.String() }

// MarshalJSON writes a list of pairs, never null.
func (e EnvPairs) MarshalJSON() ([]byte, error) {
	if e == nil {
		return []byte("[]"), nil
	}
	return json.Marshal([][2]string(e))
}

// UnmarshalJSON reads a list of pairs or an object. Other shapes give no
// entries; it does not fail.
func (e *EnvPairs) UnmarshalJSON(data []byte) error {
	*e = readPairs(data)
	return nil
}

// readPairs reads {"a":"b"} in the order of the names, or [["a","b"]] in the
// order of the list, and nothing else.
func readPairs(data []byte) [][2]string {
	data = bytes.TrimSpace(data)
	var list [][]Text
	if json.Unmarshal(data, &list) == nil {
		return pairsOfList(list)
	}
	var object map[string]Text
	if json.Unmarshal(data, &object) != nil {
		return nil
	}
	var pairs [][2]string
	for _, name := range slices.Sorted(maps.Keys(object)) {
		pairs = append(pairs, [2]string{name, string(object[name])})
	}
	return pairs
}

// pairsOfList keeps the entries that are pairs.
func pairsOfList(list [][]Text) [][2]string {
	var pairs [][2]string
	for _, entry := range list {
		if len(entry) == len([2]string{}) {
			pairs = append(pairs, [2]string{string(entry[0]), string(entry[1])})
		}
	}
	return pairs
}
