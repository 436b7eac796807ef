package schema

import (
	"encoding/json"
	"strings"
)

// Text is a string that may be null, a number or a boolean on the wire; those
// decode as their text. The empty Text encodes as null. An array or an object
// is kept as its JSON.
type Text string

// MarshalJSON writes a JSON string, or null for the empty Text.
func (t Text) MarshalJSON() ([]byte, error) {
	if t == "" {
		return []byte("null"), nil
	}
	return json.Marshal(string(t))
}

// UnmarshalJSON reads any JSON value; it does not fail.
func (t *Text) UnmarshalJSON(data []byte) error {
	*t = Text(scalarText(data))
	return nil
}

// Flag is a boolean that may be 0, 1, "true" or null on the wire. Anything that
// does not plainly say yes is false. Where absent and false differ, fields are
// pointers.
type Flag bool

// NewFlag returns a pointer for fields in which an absent flag has a meaning.
func NewFlag(value bool) *Flag {
	flag := Flag(value)
	return &flag
}

// UnmarshalJSON reads any JSON value; it does not fail.
func (f *Flag) UnmarshalJSON(data []byte) error {
	text := strings.ToLower(strings.TrimSpace(scalarText(data)))
	*f = text == "true" || text == "1" || text == "1.0"
	return nil
}

// Secret is text that must not reach a log: every way of printing it shows a
// placeholder. It encodes as what it is. The empty Secret encodes as null.
type Secret string

// redacted replaces a secret wherever it is printed.
const redacted = "REDACTED"

// String hides the secret.
func (Secret) String() string { return redacted }

// GoString hides the secret from %#v.
func (Secret) GoString() string { return redacted }

// MarshalJSON writes the secret itself.
func (s Secret) MarshalJSON() ([]byte, error) { return Text(s).MarshalJSON() }

// UnmarshalJSON reads any JSON value; it does not fail.
func (s *Secret) UnmarshalJSON(data []byte) error {
	*s = Secret(scalarText(data))
	return nil
}
