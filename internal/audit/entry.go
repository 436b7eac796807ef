package audit

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// Entry is what a caller wants recorded. Every text is redacted and bounded
// before it is written: a caller may hand in what a stranger sent.
type Entry struct {
	// Actor says who acted, without saying with which key; zero when no key was given.
	Actor Fingerprint
	// Peer is the address of the TCP peer, such as "127.0.0.1"; empty for acts of our own.
	Peer string
	// Route is the path that was called; what follows "?" or "#" is dropped. Empty for acts of our own.
	Route string
	// Action is what was done, such as "terminate". Names that start with "log." belong to the log itself.
	Action string
	// Outcome is what came of it.
	Outcome Outcome
	// Details say more: at most 32 of them, values of at most 512 bytes, 8 KiB in all.
	Details Details
}

// Outcome is what came of an act. Metrics know those below and call all others "other".
type Outcome string

// Outcomes.
const (
	// OutcomeStarted: it is about to be done. A second record says what came of it.
	OutcomeStarted Outcome = "started"
	// OutcomeOK: it was done.
	OutcomeOK Outcome = "ok"
	// OutcomeError: it was tried and failed.
	OutcomeError Outcome = "error"
	// OutcomeRefused: it was certainly not done.
	OutcomeRefused Outcome = "refused"
	// OutcomeUnknown: it may have been done.
	OutcomeUnknown Outcome = "unknown"
	// OutcomeSuccess and OutcomeFailure are those of the legacy action "auth_attempt".
	OutcomeSuccess Outcome = "success"
	OutcomeFailure Outcome = "failure"
	// OutcomeUnhealthy is one of the legacy action "health_check".
	OutcomeUnhealthy Outcome = "unhealthy"
)

// Outcomes lists the known outcomes.
func Outcomes() []Outcome {
	return []Outcome{
		OutcomeStarted, OutcomeOK, OutcomeError, OutcomeRefused, OutcomeUnknown,
		OutcomeSuccess, OutcomeFailure, OutcomeUnhealthy,
	}
}

// Actions of the log itself.
const (
	// ActionLogStarted is the first record of a new log.
	ActionLogStarted = "log.started"
	// ActionLogSaltChanged is the first record under a new salt; its "prev" is
	// the head of the chain under the old one.
	ActionLogSaltChanged = "log.saltChanged"
	// ActionLogRecovered says that a torn end was set aside in a .torn file.
	ActionLogRecovered = "log.recovered"
	// ActionLogExpired says up to which sequence records were let go by age.
	ActionLogExpired = "log.expired"
)

// internalPrefix starts the actions of the log itself.
const internalPrefix = "log."

// Details say more about an act, by name. Values of names that speak of keys,
// tokens, passwords, secrets and the like are never written.
type Details map[string]Value

// Value is a text or a whole number. The zero value is the empty text.
type Value struct {
	text     string
	number   int64
	isNumber bool
}

// Text is a text.
func Text(text string) Value { return Value{text: text} }

// Number is a whole number.
func Number(number int64) Value { return Value{number: number, isNumber: true} }

// Bool is the text "true" or "false".
func Bool(is bool) Value { return Text(strconv.FormatBool(is)) }

// String returns the text, or the number in decimal digits.
func (v Value) String() string {
	if v.isNumber {
		return strconv.FormatInt(v.number, 10)
	}
	return v.text
}

// Int returns the number, and false for a text.
func (v Value) Int() (int64, bool) { return v.number, v.isNumber }

// MarshalJSON writes a JSON string or number.
func (v Value) MarshalJSON() ([]byte, error) {
	if v.isNumber {
		return strconv.AppendInt(nil, v.number, 10), nil
	}
	return json.Marshal(v.text)
}

var errNoValue = errors.New("a detail is a text or a whole number")

// UnmarshalJSON reads a JSON string or whole number.
func (v *Value) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] == '"' {
		*v = Value{}
		return json.Unmarshal(data, &v.text)
	}
	number, err := strconv.ParseInt(string(data), 10, 64)
	if err != nil {
		return errNoValue
	}
	*v = Number(number)
	return nil
}

// Record is one line of a log as it was written.
type Record struct {
	// Log names the log: 16 hexadecimal digits, chosen when it was started.
	Log string
	// Key names the signing key without revealing it: 16 hexadecimal digits.
	// Another salt has another one.
	Key string
	// Sequence counts the records of a log from 1, across files and salts.
	Sequence uint64
	// Time is UTC, in milliseconds, and never before the record before it.
	Time time.Time
	// Actor, Peer, Route, Action, Outcome and Details are those of the entry,
	// redacted and bounded.
	Actor   Fingerprint
	Peer    string
	Route   string
	Action  string
	Outcome Outcome
	Details Details
	// Previous is the hash of the record before: SHA-256 of its whole line, 64
	// hexadecimal digits; zeros for the first record of a log.
	Previous string
	// MAC is the HMAC-SHA256 of everything before it in the line, 64 hexadecimal digits.
	MAC string
	// Hash is the SHA-256 of this record's line, without its line feed. It is not in the line.
	Hash string
}

// Head names the last record of a log. Published where whoever can write the
// files cannot, it shows when the end of the log was cut off.
type Head struct {
	// Log is the log that it is the head of.
	Log string `json:"log"`
	// Sequence is the number of the last record.
	Sequence uint64 `json:"sequence"`
	// Hash is the hash of the last record.
	Hash string `json:"hash"`
	// Time is when the last record was written.
	Time time.Time `json:"time"`
}

// IsZero is true for the head of a log without records.
func (h Head) IsZero() bool { return h.Sequence == 0 }

// String shows the head in one line.
func (h Head) String() string {
	return fmt.Sprintf("log %s, record %d, hash %s", h.Log, h.Sequence, h.Hash)
}
