package audit_test

import (
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/warmpool-dev/warmpool/internal/audit"
)

// watcher remembers what it was told.
type watcher struct {
	mu      sync.Mutex
	records []string
	failed  int
}

func (w *watcher) Recorded(record *audit.Record) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.records = append(w.records, record.Action)
}

func (w *watcher) Failed(*audit.Entry, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.failed++
}

func (w *watcher) failures() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.failed
}

// lastLine returns the last line of the youngest file.
func lastLine(t *testing.T, dir string) string {
	t.Helper()
	paths := files(t, dir)
	text, err := os.ReadFile(paths[len(paths)-1])
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	return lines[len(lines)-1]
}

func TestGoldenRecord(t *testing.T) {
	dir := t.TempDir()
	log := open(t, audit.Options{Dir: dir, Salt: "golden salt 0123456789", Clock: onMayDay()})
	record, err := log.Append(t.Context(), &audit.Entry{
		Actor: log.Fingerprint("the admin's key"), Peer: "127.0.0.1", Route: "/api/proxy/admin/terminate?adminKey=abc",
		Action: "terminate", Outcome: audit.OutcomeOK,
		Details: audit.Details{"instanceId": audit.Number(9002), "note": audit.Text("two\nlines")},
	})
	if err != nil {
		t.Fatal(err)
	}
	// The name of the log is random, and so is what is computed from it.
	line := lastLine(t, dir)
	for random, name := range map[string]string{record.Log: "<log>", record.Previous: "<prev>", record.MAC: "<mac>"} {
		line = strings.Replace(line, random, name, 1)
	}
	const want = `{"v":1,"log":"<log>","key":"e3c1a3e38ee2c192","seq":2,"time":"2026-05-01T00:00:00.000Z",` +
		`"actor":"ACTOR","peer":"127.0.0.1","route":"/api/proxy/admin/terminate","action":"terminate","outcome":"ok",` +
		`"details":{"instanceId":9002,"note":"two lines"},"prev":"<prev>","mac":"<mac>"}`
	if diff := cmp.Diff(strings.Replace(want, "ACTOR", string(audit.FingerprintOf("golden salt 0123456789", "the admin's key")), 1), line); diff != "" {
		t.Errorf("line (-want +got):\n%s", diff)
	}
}

// The signature was computed by another program, from the description of the format.
func TestGoldenSignature(t *testing.T) {
	const line = `{"v":1,"log":"00000000000000aa","key":"e3c1a3e38ee2c192","seq":1,"time":"2026-05-01T00:00:00.000Z","actor":"","peer":"","route":"","action":"log.started","outcome":"ok","details":{"component":"manager"},"prev":"0000000000000000000000000000000000000000000000000000000000000000","mac":"4a1d5bfa93a73d0555687bf69034b19eb6db491dc144ac65a3b007595f037e97"}`
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/audit-manager-00000000000000000001.jsonl", []byte(line+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	report := verify(t, audit.VerifyOptions{Dir: dir, Salts: []string{"golden salt 0123456789"}})
	if report.Broken != nil || report.Records != 1 {
		t.Errorf("a record of this format is not verified any more: %+v", report.Broken)
	}
}

func TestNoSecretIsWritten(t *testing.T) {
	const registered = "registered/secret+value=="
	dir := t.TempDir()
	log := open(t, audit.Options{Dir: dir, Secrets: []string{registered}})
	log.RegisterSecrets("learnt-later", "x")
	secrets := []string{registered, "learnt-later", "registered%2Fsecret%2Bvalue%3D%3D", salt, "hunter2hunter2", "abcdefgh12345678", "hf_abcdefghijklmnopqrst"}
	values := map[string]string{
		"registered": registered, "later": "it is learnt-later, surely", "escaped": "a=registered%2Fsecret%2Bvalue%3D%3D", "salt": salt, "text": salt,
		"adminKey": "hunter2hunter2", "x-Token": "hunter2hunter2", "PASSWORD": "hunter2hunter2", "client_secret": "hunter2hunter2", "Authorization": "Basic hunter2hunter2",
		"header": "Authorization: Bearer abcdefgh12345678", "json": `{"api_key":"hunter2hunter2"}`, "url": "https://user:hunter2hunter2@host/path",
		"query": "GET /x?token=hunter2hunter2&y=1", "hub": "hf_abcdefghijklmnopqrst",
		"long": strings.Repeat("a", 500) + registered + strings.Repeat("b", 500),
		"huge": strings.Repeat("a", 1<<20-10) + registered + strings.Repeat(" b", 1<<20),
	}
	details := audit.Details{}
	for name, value := range values {
		details[name] = audit.Text(value)
	}
	details[registered] = audit.Text("as a name")
	details["apiKeyNumber"] = audit.Number(424242424242)
	record, err := log.Append(t.Context(), &audit.Entry{
		Peer: "learnt-later", Route: "/learnt-later/%3FadminKey=hunter2hunter2", Action: "act-" + registered, Outcome: "learnt-later", Details: details,
	})
	if err != nil {
		t.Fatal(err)
	}
	line := lastLine(t, dir)
	for _, secret := range append(secrets, "424242424242", "adminKey=") {
		if strings.Contains(line, secret) {
			t.Errorf("the line shows %q:\n%s", secret, line)
		}
	}
	if got := record.Details["later"].String(); got != "it is REDACTED, surely" {
		t.Errorf("what is around a secret is %q", got)
	}
}

func TestHostileTextsStayInOneLine(t *testing.T) {
	hostile := []string{
		"two\nlines", "carriage\rreturn", "nul\x00byte", "\xff\xfe invalid", "\u2028\u2029 separators", `"},"mac":"`, "\x1b[31mred",
		"\u202eright to left", strings.Repeat("x", 10<<20), strings.Repeat("\x00", 10<<20), strings.Repeat("\xff", 1<<20), strings.Repeat("key=", 1<<20), "\U0001F600",
	}
	dir := t.TempDir()
	log := open(t, audit.Options{Dir: dir})
	details := audit.Details{}
	for k, text := range hostile {
		details[strings.Repeat("n", k+1)] = audit.Text(text)
		details[text] = audit.Text(text)
	}
	for k := range 100 {
		details[strings.Repeat("many", k)] = audit.Text(strings.Repeat("\x00", 512))
	}
	for k, text := range hostile {
		if k > 0 {
			details = audit.Details{text: audit.Text(text)}
		}
		record, err := log.Append(t.Context(), &audit.Entry{Peer: text, Route: text, Action: text, Outcome: audit.Outcome(text), Details: details})
		if err != nil {
			t.Fatal(err)
		}
		line := lastLine(t, dir)
		if decoded, err := audit.DecodeRecord([]byte(line)); err != nil || decoded.Hash != record.Hash || len(decoded.Details) > 32 {
			t.Fatalf("the last line (%d bytes, %d details) is not the record: %v", len(line), len(decoded.Details), err)
		}
		if strings.ContainsAny(record.Action+record.Route+record.Peer, "\n\r\x00\x1b\u2028\u202e") {
			t.Errorf("control characters in %q", record.Action)
		}
	}
	if report := verify(t, audit.VerifyOptions{Dir: dir}); report.Broken != nil || report.Records != len(hostile)+1 {
		t.Errorf("%+v", report)
	}
}

func TestEntriesThatCannotBe(t *testing.T) {
	log := open(t, audit.Options{Dir: t.TempDir()})
	tests := map[string]audit.Entry{
		"no action":                 {Outcome: audit.OutcomeOK},
		"no outcome":                {Action: "act"},
		"a key in place of a print": {Action: "act", Outcome: audit.OutcomeOK, Actor: "the key itself"},
	}
	for name, entry := range tests {
		if _, err := log.Append(t.Context(), &entry); err == nil {
			t.Errorf("%s was recorded", name)
		}
	}
}

func TestWeakSaltsAreRefused(t *testing.T) {
	tests := map[string]string{
		"none": "", "blank": "                    ", "short": "fifteen chars..", "one letter": strings.Repeat("a", 64),
		"placeholder": "please_change_me_now", "the documented example": "example-salt-of-the-docs",
	}
	for name, weak := range tests {
		_, err := audit.Open(audit.Options{Dir: t.TempDir(), Component: "manager", Salt: weak})
		if err == nil || !strings.Contains(err.Error(), "openssl rand -hex 32") {
			t.Errorf("%s: %v, want a refusal that says how to make one", name, err)
		}
		if err != nil && strings.TrimSpace(weak) != "" && strings.Contains(err.Error(), weak) {
			t.Errorf("%s: the error repeats the salt: %v", name, err)
		}
	}
	if _, err := audit.Open(audit.Options{Dir: t.TempDir(), Component: "Upper/../case", Salt: salt}); err == nil {
		t.Error("a component that is a path was accepted")
	}
}

func TestQuery(t *testing.T) {
	now := onMayDay()
	log := open(t, audit.Options{Dir: t.TempDir(), MaxBytes: 1500, Clock: now})
	for k := range 30 {
		mustAppend(t, log, []string{"even", "odd"}[k%2])
		now.SetTime(now.Now().Add(time.Minute))
	}
	sequences := func(query audit.Query) (int, []uint64) {
		page, err := log.Query(t.Context(), query)
		if err != nil {
			t.Fatal(err)
		}
		var found []uint64
		for k := range page.Records {
			found = append(found, page.Records[k].Sequence)
		}
		return page.Total, found
	}
	tests := map[string]struct {
		query audit.Query
		total int
		want  []uint64
	}{
		"the first page": {audit.Query{Limit: 3}, 30, []uint64{31, 30, 29}},
		"the next page":  {audit.Query{Limit: 3, Offset: 3}, 30, []uint64{28, 27, 26}},
		"the last page":  {audit.Query{Limit: 3, Offset: 29}, 30, []uint64{2}},
		"by action":      {audit.Query{Limit: 2, Action: "even"}, 15, []uint64{30, 28}},
		"by time":        {audit.Query{Limit: 9, Since: "2026-05-01T00:28:00.000Z"}, 2, []uint64{31, 30}},
		"nothing":        {audit.Query{Limit: 9, Action: "none"}, 0, nil},
		"only the count": {audit.Query{}, 30, nil},
	}
	for name, test := range tests {
		if total, found := sequences(test.query); total != test.total || !slices.Equal(found, test.want) {
			t.Errorf("%s: %d, %v; want %d, %v", name, total, found, test.total, test.want)
		}
	}
}
