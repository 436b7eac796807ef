package audit

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestReadSignedAgreesWithDecodeRecord: reading the parts of a signed line comes
// to the same as reading its JSON, whatever a stranger put into it.
func TestReadSignedAgreesWithDecodeRecord(t *testing.T) {
	key, err := deriveKey("a salt of these tests")
	if err != nil {
		t.Fatal(err)
	}
	seal := newSealer(key)
	seals := map[string]*sealer{key.id: seal}
	at := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	hostile := `","action":"log.expired","prev":"0","mac":"","seq":9,"time":"`
	for name, record := range map[string]Record{
		"plain":   {Sequence: 1, Action: "act", Outcome: OutcomeOK},
		"full":    {Sequence: 1 << 60, Actor: FingerprintOf("s", "k"), Peer: "::1", Route: "/a", Action: "act", Outcome: OutcomeOK, Details: Details{"a": Number(-1), "b": Text("x")}},
		"hostile": {Sequence: 2, Peer: hostile, Route: hostile, Action: "act", Outcome: Outcome(hostile), Details: Details{hostile: Text(hostile)}},
		"quoted":  {Sequence: 3, Route: `\`, Action: `a\"b`, Outcome: OutcomeOK},
	} {
		record.Log, record.Previous, record.Time = "00000000000000aa", firstPrevious(), at
		text, sealErr := seal.seal(nil, &record)
		if sealErr != nil {
			t.Fatal(sealErr)
		}
		text = text[:len(text)-1]
		want, decodeErr := DecodeRecord(text)
		if decodeErr != nil {
			t.Fatal(decodeErr)
		}
		got, read := readSigned(text, seals)
		if !read {
			t.Errorf("%s: it was not read", name)
		}
		want.Actor, want.Peer, want.Route, want.Outcome, want.Details = "", "", "", "", nil
		if name == "quoted" {
			// The action is only compared with those of the log, which have no quote.
			got.Action = want.Action
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-JSON +parts):\n%s", name, diff)
		}
		for k := range text {
			text[k] ^= 1
			if _, read := readSigned(text, seals); read {
				t.Errorf("%s: it was read with byte %d changed", name, k)
			}
			text[k] ^= 1
		}
	}
	own := Record{Log: "00000000000000aa", Previous: firstPrevious(), Sequence: 1, Action: ActionLogExpired, Outcome: OutcomeOK, Time: at}
	text, err := seal.seal(nil, &own)
	if err != nil {
		t.Fatal(err)
	}
	if _, read := readSigned(text[:len(text)-1], seals); read {
		t.Error("a record about the log was read without its details")
	}
}
