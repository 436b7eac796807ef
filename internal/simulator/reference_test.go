package simulator

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestReferenceIsCurrent proves that docs/reference/simulator.md has the
// registry as it is, and every endpoint. UPDATE_DOCS=1 rewrites the table.
func TestReferenceIsCurrent(t *testing.T) {
	const file = "../../docs/reference/simulator.md"
	const begin, end = "<!-- faults: generated from the registry -->\n", "<!-- end of faults -->\n"
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(data), begin)
	table, after, closed := strings.Cut(rest, end)
	if !ok || !closed {
		t.Fatalf("%s lacks %q or %q", file, begin, end)
	}
	if os.Getenv("UPDATE_DOCS") != "" {
		if err := os.WriteFile(file, []byte(before+begin+MarkdownTable()+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(MarkdownTable(), table); diff != "" {
		t.Errorf("the table is not current; run with UPDATE_DOCS=1:\n%s", diff)
	}
	for _, endpoint := range Endpoints() {
		if !strings.Contains(string(data), "`"+string(endpoint)+"`") {
			t.Errorf("endpoint %q is not documented", endpoint)
		}
	}
}
