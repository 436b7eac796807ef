package docs

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// rule is one rule of a rule file.
type rule struct {
	Record      string            `json:"record"`
	Alert       string            `json:"alert"`
	Expr        string            `json:"expr"`
	For         string            `json:"for"`
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
}

// rulesOf reads every rule of config/observability/alerts.yaml.
func rulesOf(t *testing.T) []rule {
	t.Helper()
	var file struct {
		Groups []struct {
			Name     string `json:"name"`
			Interval string `json:"interval"`
			Rules    []rule `json:"rules"`
		} `json:"groups"`
	}
	if err := yaml.UnmarshalStrict([]byte(read(t, "config/observability/alerts.yaml")), &file); err != nil {
		t.Fatal(err)
	}
	var rules []rule
	for _, group := range file.Groups {
		rules = append(rules, group.Rules...)
	}
	if len(rules) < 17 {
		t.Fatalf("only %d rules", len(rules))
	}
	return rules
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestEveryAlertHasItsPage compares the alerts with docs/guides/runbooks.
func TestEveryAlertHasItsPage(t *testing.T) {
	const address = "https://github.com/warmpool-dev/warmpool/blob/main/"
	table := read(t, "docs/guides/observability.md")
	tests := read(t, "config/observability/alerts_test.yaml")
	pages := map[string]bool{}
	paths, err := filepath.Glob(filepath.Join(root, "docs/guides/runbooks/*.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		pages[strings.TrimSuffix(filepath.Base(path), ".md")] = true
	}
	for _, r := range rulesOf(t) {
		if r.Alert == "" {
			continue
		}
		page := "docs/guides/runbooks/" + r.Alert + ".md"
		if !pages[r.Alert] {
			t.Errorf("the alert %s has no page %s", r.Alert, page)
			continue
		}
		delete(pages, r.Alert)
		text := read(t, page)
		for _, part := range []string{"# " + r.Alert + "\n", "\n## Meaning\n", "\n## Impact\n", "\n## Diagnosis\n", "\n```\nkubectl ", "\n## Remedy\n"} {
			if !strings.Contains("\n"+text, "\n"+strings.TrimPrefix(part, "\n")) {
				t.Errorf("%s has no %q", page, strings.TrimSpace(part))
			}
		}
		severity := r.Labels["severity"]
		if !slices.Contains([]string{"critical", "warning", "info"}, severity) {
			t.Errorf("%s has the severity %q", r.Alert, severity)
		} else if !strings.Contains(strings.ToLower(text), "\n"+severity+": ") {
			t.Errorf("%s does not begin with the severity, %s", page, severity)
		}
		if r.Annotations["runbook_url"] != address+page {
			t.Errorf("%s leads to %q", r.Alert, r.Annotations["runbook_url"])
		}
		for _, name := range []string{"summary", "description"} {
			if text := r.Annotations[name]; !strings.HasSuffix(text, ".") {
				t.Errorf("the %s of %s is no sentence: %q", name, r.Alert, text)
			}
		}
		if !strings.Contains(table, "[`"+r.Alert+"`](runbooks/"+r.Alert+".md)") {
			t.Errorf("docs/guides/observability.md does not list %s", r.Alert)
		}
		if !strings.Contains(tests, fmt.Sprintf("- name: \"%s: ", r.Alert)) {
			t.Errorf("alerts_test.yaml has no test of %s", r.Alert)
		}
	}
	for page := range pages {
		t.Errorf("the page %s.md is about no alert", page)
	}
}

// metricName finds names of ours, recorded ones included.
var metricName = regexp.MustCompile(`\bwarmpool[_:][a-z0-9_:]+`)

// documentedMetrics are the names that queries may use: those of the reference,
// the parts of histograms, and recorded ones.
func documentedMetrics(t *testing.T) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	row := regexp.MustCompile("(?m)^\\| `(warmpool_[a-z_]+)` \\| (\\w+) \\|")
	for _, found := range row.FindAllStringSubmatch(read(t, "docs/reference/metrics.md"), -1) {
		if found[2] != "histogram" {
			names[found[1]] = true
			continue
		}
		for _, part := range []string{"_bucket", "_sum", "_count"} {
			names[found[1]+part] = true
		}
	}
	for _, r := range rulesOf(t) {
		if r.Record != "" {
			names[r.Record] = true
		}
	}
	if len(names) < 50 {
		t.Fatalf("only %d metrics are documented", len(names))
	}
	return names
}

// TestQueriesUseMetricsThatExist compares rules, dashboard and pages with
// docs/reference/metrics.md.
func TestQueriesUseMetricsThatExist(t *testing.T) {
	known := documentedMetrics(t)
	queries := map[string][]string{}
	for _, r := range rulesOf(t) {
		queries["alerts.yaml, "+r.Alert+r.Record] = []string{r.Expr}
	}
	board := dashboard(t)
	for _, p := range board.Panels {
		for _, target := range p.Targets {
			queries["dashboard.json, "+p.Title] = append(queries["dashboard.json, "+p.Title], target.Expr)
		}
	}
	for _, v := range board.Templating.List {
		queries["dashboard.json, variable "+v.Name] = []string{string(v.Query)}
	}
	pages, err := filepath.Glob(filepath.Join(root, "docs/guides/runbooks/*.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range append(pages, filepath.Join(root, "docs/guides/observability.md")) {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		queries[filepath.Base(page)] = []string{string(text)}
	}
	for place, texts := range queries {
		for _, name := range metricName.FindAllString(strings.Join(texts, "\n"), -1) {
			if !known[name] {
				t.Errorf("%s: there is no metric %s", place, name)
			}
		}
	}
}

// board is what a dashboard has to have.
type board struct {
	Title         string  `json:"title"`
	UID           string  `json:"uid"`
	SchemaVersion int     `json:"schemaVersion"`
	Panels        []panel `json:"panels"`
	Templating    struct {
		List []struct {
			Name  string          `json:"name"`
			Type  string          `json:"type"`
			Query json.RawMessage `json:"query"`
		} `json:"list"`
	} `json:"templating"`
	// Requires would name plug-ins.
	Requires []any `json:"__requires"`
}

type panel struct {
	ID          int        `json:"id"`
	Type        string     `json:"type"`
	Title       string     `json:"title"`
	Description string     `json:"description"`
	Datasource  datasource `json:"datasource"`
	GridPos     struct {
		H, W, X, Y int
	} `json:"gridPos"`
	FieldConfig struct {
		Defaults struct {
			Unit string `json:"unit"`
		} `json:"defaults"`
	} `json:"fieldConfig"`
	Targets []struct {
		Expr       string     `json:"expr"`
		RefID      string     `json:"refId"`
		Datasource datasource `json:"datasource"`
	} `json:"targets"`
}

type datasource struct {
	Type string `json:"type"`
	UID  string `json:"uid"`
}

func dashboard(t *testing.T) *board {
	t.Helper()
	var read board
	text, err := os.ReadFile(filepath.Join(root, "config/observability/dashboard.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &read); err != nil {
		t.Fatal(err)
	}
	return &read
}

// TestEveryPanelExplainsItself demands of each panel what people need at night:
// a title, a description, a unit and a query, and of the dashboard that it needs
// no plug-in and no data source of a certain name.
func TestEveryPanelExplainsItself(t *testing.T) {
	b := dashboard(t)
	if b.Title == "" || b.UID == "" || b.SchemaVersion < 39 || len(b.Requires) > 0 {
		t.Errorf("the dashboard is %q, %q, schema %d, requires %v", b.Title, b.UID, b.SchemaVersion, b.Requires)
	}
	var variables []string
	for _, v := range b.Templating.List {
		variables = append(variables, v.Name)
	}
	for _, name := range []string{"datasource", "namespace", "pool", "account"} {
		if !slices.Contains(variables, name) {
			t.Errorf("there is no variable %s", name)
		}
	}
	builtIn := []string{"timeseries", "stat", "bargauge", "table", "heatmap"}
	ids, titles, taken := map[int]bool{}, map[string]bool{}, map[[2]int]string{}
	for _, p := range b.Panels {
		if ids[p.ID] {
			t.Errorf("%q has the id %d of another panel", p.Title, p.ID)
		}
		ids[p.ID] = true
		p.checkPlace(t, taken)
		if p.Type == "row" {
			continue
		}
		if p.Title == "" || titles[p.Title] {
			t.Errorf("panel %d has the title %q, which is empty or another panel's", p.ID, p.Title)
		}
		titles[p.Title] = true
		if !strings.HasSuffix(p.Description, ".") {
			t.Errorf("%q has the description %q", p.Title, p.Description)
		}
		if p.FieldConfig.Defaults.Unit == "" {
			t.Errorf("%q has no unit", p.Title)
		}
		if !slices.Contains(builtIn, p.Type) {
			t.Errorf("%q is a %s, which Grafana may not have", p.Title, p.Type)
		}
		p.checkQueries(t)
	}
	if len(titles) < 30 {
		t.Errorf("only %d panels: %v", len(titles), slices.Sorted(maps.Keys(titles)))
	}
}

// checkPlace demands that panels lie side by side.
func (p *panel) checkPlace(t *testing.T, taken map[[2]int]string) {
	t.Helper()
	const columns = 24
	if p.GridPos.W <= 0 || p.GridPos.H <= 0 || p.GridPos.X < 0 || p.GridPos.X+p.GridPos.W > columns {
		t.Errorf("%q lies at %+v", p.Title, p.GridPos)
	}
	for x := range p.GridPos.W {
		for y := range p.GridPos.H {
			at := [2]int{p.GridPos.X + x, p.GridPos.Y + y}
			if other, found := taken[at]; found {
				t.Fatalf("%q lies on %q", p.Title, other)
			}
			taken[at] = p.Title
		}
	}
}

// checkQueries demands queries with the data source of the variable.
func (p *panel) checkQueries(t *testing.T) {
	t.Helper()
	if len(p.Targets) == 0 {
		t.Errorf("%q has no query", p.Title)
	}
	refs := map[string]bool{}
	for _, target := range p.Targets {
		if target.Expr == "" || refs[target.RefID] {
			t.Errorf("%q has an empty query, or two of the name %s", p.Title, target.RefID)
		}
		refs[target.RefID] = true
		for _, source := range []datasource{p.Datasource, target.Datasource} {
			if source.Type != "prometheus" || source.UID != "${datasource}" {
				t.Errorf("%q asks %+v", p.Title, source)
			}
		}
	}
}
