package audit

import (
	"bytes"
	"strconv"
	"strings"
	"time"
)

// The parts of a line up to its sequence, and what leads to the others.
const (
	lineStart   = `{"v":1,"log":"`
	beforeKey   = `","key":"`
	beforeSeq   = `","seq":`
	beforeTime  = `,"time":"`
	beforeWhat  = `","action":"`
	beforePrev  = `,"prev":"`
	hashDigits  = 64
	logAt       = len(lineStart)
	keyAt       = logAt + idDigits + len(beforeKey)
	sequenceAt  = keyAt + idDigits + len(beforeSeq)
	timeDigits  = len("2006-01-02T15:04:05.000Z")
	shortestRow = sequenceAt + len(beforeTime) + timeDigits + len(beforePrev) + hashDigits + macTail
)

// readSigned reads what the verification needs of a line with a good signature,
// without its JSON: what is signed is what seal wrote, field for field. That is
// most of the time that a verification takes. It returns false for a line that is
// not signed by one of the keys, and for records about the log itself, whose
// details count; those are read in full.
func readSigned(text []byte, seals map[string]*sealer) (Record, bool) {
	if len(text) < shortestRow || len(text) > maxLine || !bytes.HasPrefix(text, []byte(lineStart)) {
		return Record{}, false
	}
	seal, known := seals[string(text[keyAt:keyAt+idDigits])]
	if !known || !seal.isSigned(text) {
		return Record{}, false
	}
	sequence, at, rest, err := readMoment(text[sequenceAt:])
	if err != nil {
		return Record{}, false
	}
	// A quote in a text is written with a backslash, so that this is no text.
	_, what, _ := bytes.Cut(rest, []byte(beforeWhat))
	action, _, found := bytes.Cut(what, []byte(`"`))
	if !found || strings.HasPrefix(string(action), internalPrefix) {
		return Record{}, false
	}
	tail := len(text) - macTail
	previous := tail - len(`"`) - hashDigits
	if !bytes.HasSuffix(text[:previous], []byte(beforePrev)) {
		return Record{}, false
	}
	return Record{
		Log: string(text[logAt : logAt+idDigits]), Key: seal.key.id, Sequence: sequence, Time: at, Action: string(action),
		Previous: string(text[previous : previous+hashDigits]), MAC: string(text[tail+len(macField) : tail+len(macField)+hashDigits]),
		Hash: hashOf(text),
	}, true
}

// readMoment reads the sequence and the time at the start of text, and returns
// what is behind them.
func readMoment(text []byte) (sequence uint64, at time.Time, rest []byte, err error) {
	digits, rest, found := bytes.Cut(text, []byte(beforeTime))
	if !found || len(rest) < timeDigits {
		return 0, time.Time{}, nil, errNotRecord
	}
	if sequence, err = strconv.ParseUint(string(digits), 10, 64); err != nil {
		return 0, time.Time{}, nil, err
	}
	at, err = time.Parse(timeLayout, string(rest[:timeDigits]))
	return sequence, at.UTC(), rest[timeDigits:], err
}
