package audit_test

import (
	"bytes"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/warmpool-dev/warmpool/internal/audit"
)

// FuzzDecodeRecord reads any line. What it takes for a record has all its parts.
func FuzzDecodeRecord(f *testing.F) {
	f.Add([]byte(`{"v":1,"log":"00000000000000aa","key":"e3c1a3e38ee2c192","seq":1,"time":"2026-05-01T00:00:00.000Z","actor":"","peer":"","route":"","action":"a","outcome":"ok","details":{"n":-1,"t":"x"},"prev":"0000000000000000000000000000000000000000000000000000000000000000","mac":"0000000000000000000000000000000000000000000000000000000000000000"}`))
	f.Add([]byte(`{}`))
	f.Add([]byte(``))
	f.Add([]byte(`,"mac":"0000000000000000000000000000000000000000000000000000000000000000"}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		record, err := audit.DecodeRecord(line)
		if err != nil {
			if diff := cmp.Diff(audit.Record{}, record); diff != "" {
				t.Errorf("an error and a record:\n%s", diff)
			}
			return
		}
		if record.Sequence == 0 || len(record.Log) != 16 || len(record.Previous) != 64 || len(record.MAC) != 64 || len(record.Hash) != 64 {
			t.Errorf("a record without its parts: %+v", record)
		}
	})
}

// FuzzVerify verifies any file. Nothing that is not signed passes.
func FuzzVerify(f *testing.F) {
	f.Add([]byte("{}\n"))
	f.Add([]byte("\n\n"))
	f.Add(bytes.Repeat([]byte("x"), 70_000))
	f.Fuzz(func(t *testing.T, text []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(dir+"/audit-manager-00000000000000000001.jsonl", text, 0o600); err != nil {
			t.Fatal(err)
		}
		report, err := audit.Verify(t.Context(), audit.VerifyOptions{Dir: dir, Salts: []string{salt}})
		if err != nil {
			t.Fatal(err)
		}
		if report.Records != 0 {
			t.Errorf("%d records passed without a signature", report.Records)
		}
		if report.Broken == nil && report.TornBytes != int64(len(text)) {
			t.Errorf("%d bytes passed, %d of them as unfinished", len(text), report.TornBytes)
		}
	})
}
