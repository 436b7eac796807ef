package simulator

import (
	"fmt"
	"strings"
)

// MarkdownTable returns the registry as the table of docs/reference/simulator.md.
func MarkdownTable() string {
	var text strings.Builder
	text.WriteString("| fault | scope | acts on | what happens | parameters (default) |\n|---|---|---|---|---|\n")
	for _, kind := range FaultKinds() {
		var cells []string
		for _, p := range kind.Params {
			cells = append(cells, fmt.Sprintf("`%s` (%s, `%s`): %s", p.Name, strings.ReplaceAll(p.Kind, "|", ", "), p.Default, p.Summary))
		}
		fmt.Fprintf(&text, "| `%s` | %s | %s | %s | %s |\n",
			kind.Name, kind.Scope, orDefault(string(kind.Endpoint), "any"), kind.Summary, strings.Join(cells, "<br>"))
	}
	return text.String()
}
