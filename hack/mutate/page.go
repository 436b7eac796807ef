package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// preamble opens the page.
const preamble = `<!-- Written by "make generate" from hack/mutate. Change the text or the list there instead. -->

# Gates

A gate is a condition in the code that stands between us and money, or between us and a wrong end: the ceiling, the fresh lease, the two lists that must both show a rental missing.
Most gates close almost never. One that gets lost in a change would not be missed until the day it was needed.
So each has a name in the code, a sentence that says what it prevents, and a test that fails when it is gone:

` + "```go\n\t//warmpool:gate recheck-pool-ceiling\n\tif poolTotal > in.PoolCeilingUSDPerHour {\n```" + `

` + "`make mutate`" + ` proves it. It takes out one gate at a time, in a copy, so that it never closes, and runs the test that is named for it.
The test must fail. A change that does not compile, a test that does not end, or one that does not run shows nothing and counts as a failure of the check.
Its last line is ` + "`mutate gates=<n> caught=<n>`" + `, and it ends with an error unless both numbers are the same.

| to | do |
|---|---|
| add a gate | put ` + "`//warmpool:gate its-name`" + ` on the line above the ` + "`if`, `case`, `return`" + `, statement or list entry; add it to ` + "`hack/mutate/gates.go`" + ` with its test; run ` + "`make generate`" + ` |
| try one | ` + "`make mutate ARGS='-only ^its-name$'`" + ` |
| take one away | take away its mark and its entry, and say in the commit why it is not needed |

A mark without an entry, or an entry without a mark, fails the ordinary tests. Two gates may share a line: their marks then stand above one another.

The rules are those of [Renting and ending](renting.md#the-rules-that-never-bend).

`

// writePage writes the page to a file, or to out for "-".
func writePage(path string, gates []markedGate, out io.Writer) error {
	text := page(gates)
	if path == "-" {
		_, err := io.WriteString(out, text)
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return fmt.Errorf("creating the directory of %s: %w", path, err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return fmt.Errorf("writing the page about gates: %w", err)
	}
	return nil
}

// page lists the gates file by file, in the order of the code.
func page(gates []markedGate) string {
	var text strings.Builder
	text.WriteString(preamble)
	fmt.Fprintf(&text, "## The %d gates\n", len(gates))
	file := ""
	for k := range gates {
		gate := &gates[k]
		if gate.mark.file != file {
			file = gate.mark.file
			fmt.Fprintf(&text, "\n### %s\n\n| gate | rule | prevents | test |\n|---|---|---|---|\n", file)
		}
		fmt.Fprintf(&text, "| `%s` | %s | %s | `%s` |\n", gate.Name, gate.Rule, strings.ReplaceAll(gate.Prevents, "|", `\|`), gate.Test)
	}
	return text.String()
}
