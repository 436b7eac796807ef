package audit

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"strings"
	"time"
)

const (
	// formatVersion is the "v" of every record.
	formatVersion = 1
	// maxLine bounds a line: what the bounds of an entry allow when every byte
	// of it has to be written as \u0000.
	maxLine = 64 << 10
	// timeLayout has milliseconds, as the legacy system's table has.
	timeLayout = "2006-01-02T15:04:05.000Z07:00"
	// macField separates what is signed from the signature.
	macField = `,"mac":"`
	macTail  = len(macField) + 2*sha256.Size + len(`"}`)
	// idDigits is the length of the names of logs and keys.
	idDigits = 16
)

// firstPrevious is the previous hash of the first record of a log.
func firstPrevious() string { return strings.Repeat("0", 2*sha256.Size) }

// wire is a record as JSON. The order of the fields is the order in the line.
type wire struct {
	Version  int         `json:"v"`
	Log      string      `json:"log"`
	Key      string      `json:"key"`
	Sequence uint64      `json:"seq"`
	Time     string      `json:"time"`
	Actor    Fingerprint `json:"actor"`
	Peer     string      `json:"peer"`
	Route    string      `json:"route"`
	Action   string      `json:"action"`
	Outcome  Outcome     `json:"outcome"`
	Details  Details     `json:"details,omitempty"`
	Previous string      `json:"prev"`
	MAC      string      `json:"mac,omitempty"`
}

// sealer turns records into lines. It is not safe for concurrent use.
type sealer struct {
	key signingKey
	mac hash.Hash
}

func newSealer(key signingKey) *sealer {
	return &sealer{key: key, mac: hmac.New(sha256.New, key.secret)}
}

// seal signs a record, completes it with its key, MAC and hash, and appends its
// line, with the line feed, to out.
func (s *sealer) seal(out []byte, record *Record) ([]byte, error) {
	record.Key = s.key.id
	body, err := json.Marshal(wire{
		Version: formatVersion, Log: record.Log, Key: record.Key, Sequence: record.Sequence,
		Time: record.Time.UTC().Format(timeLayout), Actor: record.Actor, Peer: record.Peer, Route: record.Route,
		Action: record.Action, Outcome: record.Outcome, Details: record.Details, Previous: record.Previous,
	})
	if err != nil {
		return out, fmt.Errorf("encoding a record: %w", err)
	}
	signed := body[:len(body)-1]
	record.MAC = s.sign(signed)
	start := len(out)
	out = append(out, signed...)
	out = append(out, macField...)
	out = append(out, record.MAC...)
	out = append(out, `"}`...)
	record.Hash = hashOf(out[start:])
	return append(out, '\n'), nil
}

func (s *sealer) sign(signed []byte) string {
	s.mac.Reset()
	s.mac.Write(signed)
	var sum [sha256.Size]byte
	return hex.EncodeToString(s.mac.Sum(sum[:0]))
}

// isSigned is true when the line carries the signature of this key.
func (s *sealer) isSigned(line []byte) bool {
	if !endsWithMAC(line) {
		return false
	}
	signed, given := line[:len(line)-macTail], line[len(line)-macTail+len(macField):len(line)-len(`"}`)]
	return hmac.Equal([]byte(s.sign(signed)), given)
}

// endsWithMAC is true for a line with the place of a signature at its end.
func endsWithMAC(line []byte) bool {
	tail := len(line) - macTail
	return tail >= 0 && bytes.HasPrefix(line[tail:], []byte(macField)) && bytes.HasSuffix(line, []byte(`"}`))
}

// hashOf is the hash of a line, which the next record names.
func hashOf(line []byte) string {
	sum := sha256.Sum256(line)
	return hex.EncodeToString(sum[:])
}

// errNotRecord is why a line is no record.
var errNotRecord = errors.New("this line is no audit record")

// DecodeRecord reads one line, without its line feed. It checks the form, not the
// signature; the error says what is wrong with the form.
func DecodeRecord(line []byte) (Record, error) {
	if len(line) > maxLine {
		return Record{}, fmt.Errorf("%w: it has %d bytes, the longest record has %d", errNotRecord, len(line), maxLine)
	}
	if !endsWithMAC(line) {
		return Record{}, fmt.Errorf("%w: it does not end with a signature", errNotRecord)
	}
	var w wire
	if err := json.Unmarshal(line, &w); err != nil {
		return Record{}, fmt.Errorf("%w: %w", errNotRecord, err)
	}
	if err := w.check(); err != nil {
		return Record{}, err
	}
	at, err := time.Parse(timeLayout, w.Time)
	if err != nil {
		return Record{}, fmt.Errorf("%w: its time cannot be read", errNotRecord)
	}
	return Record{
		Log: w.Log, Key: w.Key, Sequence: w.Sequence, Time: at.UTC(), Actor: w.Actor, Peer: w.Peer, Route: w.Route,
		Action: w.Action, Outcome: w.Outcome, Details: w.Details, Previous: w.Previous, MAC: w.MAC, Hash: hashOf(line),
	}, nil
}

// check says which part is missing.
func (w *wire) check() error {
	switch {
	case w.Version != formatVersion:
		return fmt.Errorf("%w: it has version %d, this program reads version %d", errNotRecord, w.Version, formatVersion)
	case w.Sequence == 0:
		return fmt.Errorf("%w: it has no sequence", errNotRecord)
	case !isHex(w.Log, idDigits) || !isHex(w.Key, idDigits):
		return fmt.Errorf("%w: it does not name its log and key", errNotRecord)
	case !isHex(w.Previous, 2*sha256.Size) || !isHex(w.MAC, 2*sha256.Size):
		return fmt.Errorf("%w: it has no hashes", errNotRecord)
	case !w.Actor.isValid():
		return fmt.Errorf("%w: its actor is no fingerprint", errNotRecord)
	default:
		return nil
	}
}

// head returns the record as a head.
func (r *Record) head() Head {
	return Head{Log: r.Log, Sequence: r.Sequence, Hash: r.Hash, Time: r.Time}
}
