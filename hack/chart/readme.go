package main

import (
	_ "embed"
	"fmt"
	"os"
	"strings"

	"sigs.k8s.io/yaml"
)

// introduction is what the README says before the values.
//
//go:embed introduction.md
var introduction string

// renderReadme writes the README: the introduction, and a table of all values.
func renderReadme(values []*value, chartPath string) ([]byte, error) {
	text, err := os.ReadFile(chartPath) //nolint:gosec // a file of the repository
	if err != nil {
		return nil, fmt.Errorf("reading the chart's metadata: %w", err)
	}
	var chart struct {
		Version     string `json:"version"`
		AppVersion  string `json:"appVersion"`
		Description string `json:"description"`
	}
	if err := yaml.Unmarshal(text, &chart); err != nil {
		return nil, fmt.Errorf("reading the chart's metadata: %w", err)
	}
	var page strings.Builder
	page.WriteString("<!-- Written by \"make generate\" from values.yaml and hack/chart/introduction.md. Change these instead. -->\n\n")
	fmt.Fprintf(&page, "# Chart warmpool %s\n\n%s It installs Warmpool %s.\n\n", chart.Version, chart.Description, chart.AppVersion)
	page.WriteString(introduction)
	page.WriteString("\n## Values\n\nA value that is not in this table, or has another type, is refused.\n\n| value | default | meaning |\n|---|---|---|\n")
	writeValues(&page, values)
	return []byte(page.String()), nil
}

func writeValues(page *strings.Builder, values []*value) {
	for _, v := range values {
		if v.children != nil {
			writeValues(page, v.children)
			continue
		}
		escape := strings.NewReplacer("|", "\\|", "<", "&lt;")
		fmt.Fprintf(page, "| `%s` | `%s` | %s |\n", v.name(), escape.Replace(v.fallback), escape.Replace(v.comment))
	}
}
