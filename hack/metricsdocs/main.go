// Command metricsdocs writes the metrics reference from the descriptions in
// internal/metrics, so that no metric is served without being explained.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/warmpool-dev/warmpool/internal/legacyapi"
	"github.com/warmpool-dev/warmpool/internal/metrics"
)

// preamble opens the page.
const preamble = `<!-- Written by "make generate" from internal/metrics and internal/legacyapi. Change the descriptions there instead. -->

# Metrics reference

The manager serves these metrics at ` + "`/metrics`" + ` on port 8080, beside those of controller-runtime and of the Go runtime.
Times are seconds and money is US dollars, as the last word of a name says. Every label takes its values from a fixed set,
or from the names of your own objects.

| metric | type | labels | meaning |
|---|---|---|---|
`

// sidecarPreamble opens the second table.
const sidecarPreamble = `
## Sidecar

The sidecar serves these at ` + "`/metrics`" + ` on port 8082, beside those of the Go runtime.

| metric | type | labels | meaning |
|---|---|---|---|
`

func main() {
	out := flag.String("out", "docs/reference/metrics.md", "file to write")
	flag.Parse()
	if err := run(*out); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run writes the page.
func run(out string) error {
	page, err := renderPage()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(out), 0o750); err != nil {
		return fmt.Errorf("creating the directory of %s: %w", out, err)
	}
	if err := os.WriteFile(out, []byte(page), 0o600); err != nil {
		return fmt.Errorf("writing the metrics reference: %w", err)
	}
	return nil
}

// renderPage returns the reference in Markdown, in the order of the descriptions.
func renderPage() (string, error) {
	descriptions := metrics.Descriptions()
	if len(descriptions) == 0 {
		return "", errors.New("internal/metrics describes no metric")
	}
	var page strings.Builder
	page.WriteString(preamble)
	for _, metric := range descriptions {
		if metric.Name == "" || metric.Help == "" || metric.Type == "" {
			return "", fmt.Errorf("metric %q has no name, help or type", metric.Name)
		}
		writeRow(&page, metric.Name, metric.Type, metric.Labels, metric.Help)
	}
	page.WriteString(sidecarPreamble)
	for _, metric := range legacyapi.Metrics() {
		writeRow(&page, metric.Name, metric.Type, metric.Labels, metric.Help)
	}
	return page.String(), nil
}

// writeRow writes one line of a table.
func writeRow(page *strings.Builder, name, kind string, labels []string, help string) {
	quoted := make([]string, 0, len(labels))
	for _, label := range labels {
		quoted = append(quoted, "`"+label+"`")
	}
	help = strings.NewReplacer("|", `\|`, "<", "&lt;").Replace(strings.Join(strings.Fields(help), " "))
	fmt.Fprintf(page, "| `%s` | %s | %s | %s |\n", name, kind, strings.Join(quoted, ", "), help)
}
