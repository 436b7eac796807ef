package plugin

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/printers"
	"sigs.k8s.io/yaml"
)

// The values of --output.
const (
	outputText = ""
	outputWide = "wide"
	outputJSON = "json"
	outputYAML = "yaml"
)

// report is an answer: its fields are what json and yaml show, write what people read.
type report interface {
	write(out io.Writer, wide bool) error
}

// addOutput adds -o to a command.
func (o *options) addOutput(command *cobra.Command, wide bool) {
	values := []string{outputJSON, outputYAML}
	if wide {
		values = append(values, outputWide)
	}
	words := strings.Join(values, ", ")
	command.Flags().StringVarP(&o.output, "output", "o", "", "form of the answer: "+words+"; by default text for people")
	_ = command.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)) //nolint:errcheck // the flag is there
	before := command.PreRunE
	command.PreRunE = func(command *cobra.Command, given []string) error {
		if o.output != outputText && !slices.Contains(values, o.output) {
			return exit(ExitUsage, "--output is %q, and can be %s", o.output, words)
		}
		if before != nil {
			return before(command, given)
		}
		return nil
	}
}

// print writes an answer in the form that was asked for.
func (o *options) print(answer report) error {
	out := o.env.Streams.Out
	switch o.output {
	case outputJSON, outputYAML:
		text, err := json.MarshalIndent(answer, "", "  ")
		if err != nil {
			return fmt.Errorf("encoding the answer: %w", err)
		}
		text = append(text, '\n')
		if o.output == outputYAML {
			if text, err = yaml.JSONToYAML(text); err != nil {
				return fmt.Errorf("encoding the answer: %w", err)
			}
		}
		_, err = out.Write(text)
		return err
	default:
		return answer.write(out, o.output == outputWide)
	}
}

// table is rows of cells under titles, written in columns as kubectl does.
type table struct {
	titles []string
	rows   [][]string
}

func newTable(titles ...string) *table { return &table{titles: titles} }

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

// text is the table in columns, each line behind an indent. Blanks at the ends of
// lines are cut off.
func (t *table) text(indent string) string {
	var text strings.Builder
	columns := printers.GetNewTabWriter(&text)
	if len(t.titles) > 0 {
		_, _ = fmt.Fprintln(columns, strings.Join(t.titles, "\t")) //nolint:errcheck // a builder cannot fail
	}
	for _, row := range t.rows {
		cells := make([]string, len(row))
		for k, cell := range row {
			cells[k] = oneLine(cell)
		}
		_, _ = fmt.Fprintln(columns, strings.Join(cells, "\t")) //nolint:errcheck // a builder cannot fail
	}
	_ = columns.Flush() //nolint:errcheck // a builder cannot fail
	lines := strings.Split(strings.TrimRight(text.String(), "\n"), "\n")
	for k := range lines {
		lines[k] = indent + strings.TrimRight(lines[k], " ")
	}
	return strings.Join(lines, "\n") + "\n"
}

// oneLine makes a text fit for a cell: texts of machines and hosts may hold
// whatever a stranger wrote, and must not reach a terminal as control characters.
func oneLine(text string) string {
	text = strings.Map(func(c rune) rune {
		if c == '\t' || c == '\n' {
			return ' '
		}
		if isControl(c) {
			return -1
		}
		return c
	}, text)
	if text == "" {
		return "-"
	}
	return text
}

// isControl is true for what a terminal may act upon.
func isControl(c rune) bool {
	const rubout, lastC1 = 0x7f, 0x9f
	return c < ' ' || (c >= rubout && c <= lastC1)
}

// plainLines removes control characters from a text of several lines.
func plainLines(text string) string {
	return strings.Map(func(c rune) rune {
		if c != '\n' && isControl(c) {
			return -1
		}
		return c
	}, text)
}

// indented puts an indent before every line.
func indented(text, indent string) string {
	lines := strings.Split(strings.TrimRight(plainLines(text), "\n"), "\n")
	return indent + strings.Join(lines, "\n"+indent) + "\n"
}

// plural chooses between two forms of a word.
func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
