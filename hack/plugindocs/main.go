// Command plugindocs writes the reference of kubectl warmpool from its commands,
// so that the page says what --help says.
package main

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/utils/clock"

	"github.com/warmpool-dev/warmpool/internal/plugin"
)

// preamble opens the page.
const preamble = `<!-- Written by "make generate" from internal/plugin. Change the commands there instead. -->

# kubectl warmpool

`

// middle stands between the root and its commands.
const middle = `
How to install it, and what it is good for, is in [Look at pools from a terminal](../guides/kubectl-plugin.md).
What ` + "`why`" + ` prints in five situations is in [Situations](situations.md).

It writes answers to standard output, and progress, questions and errors to standard error. It uses no colours.
Money is exact: decimal dollars, as in the API.

| exit code | meaning |
|---|---|
| 0 | done, or answered |
| 1 | it could not be done; the message says what, why, and what to do |
| 2 | an argument or a flag is wrong |
| 3 | it was checked, and is not in order (` + "`doctor`, `audit verify`" + `) |
| 4 | ` + "`--timeout`" + ` was over; what was asked for goes on |
| 5 | it asked, and was not told yes: nothing was done |
| 130 | interrupted; what was asked for goes on |

`

func main() {
	out := flag.String("out", "docs/reference/kubectl-warmpool.md", "file to write")
	flag.Parse()
	if err := run(*out); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run writes the page.
func run(out string) error {
	if err := os.MkdirAll(filepath.Dir(out), 0o750); err != nil {
		return fmt.Errorf("creating the directory of %s: %w", out, err)
	}
	if err := os.WriteFile(out, []byte(page()), 0o600); err != nil {
		return fmt.Errorf("writing the reference of kubectl warmpool: %w", err)
	}
	return nil
}

// page is the whole reference.
func page() string {
	root := plugin.New(&plugin.Environment{
		Streams: genericiooptions.NewTestIOStreamsDiscard(), LookupEnv: func(string) (string, bool) { return "", false }, Clock: clock.RealClock{},
	})
	var text strings.Builder
	summary, _, _ := strings.Cut(root.Long, "\n\n")
	text.WriteString(preamble + summary + "\n" + middle)
	all := commandsOf(root)
	text.WriteString("| command | what it does |\n|---|---|\n")
	for _, command := range all {
		fmt.Fprintf(&text, "| [`%s`](#%s) | %s |\n", nameOf(command), strings.ReplaceAll(nameOf(command), " ", "-"), command.Short)
	}
	for _, command := range all {
		text.WriteString("\n" + section(command))
	}
	text.WriteString("\n## Flags of every command\n\nThey are kubectl's own.\n\n" + flagTable(root.PersistentFlags()))
	return text.String()
}

// commandsOf are the commands that do something, in the order of their names.
func commandsOf(parent *cobra.Command) []*cobra.Command {
	var all []*cobra.Command
	for _, command := range parent.Commands() {
		if command.Hidden || command.Name() == "help" || command.Name() == "completion" {
			continue
		}
		if command.HasSubCommands() {
			all = append(all, commandsOf(command)...)
			continue
		}
		all = append(all, command)
	}
	slices.SortFunc(all, func(a, b *cobra.Command) int { return cmp.Compare(nameOf(a), nameOf(b)) })
	return all
}

// nameOf is a command without the name of the program.
func nameOf(command *cobra.Command) string {
	return strings.TrimPrefix(command.CommandPath(), "kubectl warmpool ")
}

// section is what there is to say about one command.
func section(command *cobra.Command) string {
	var text strings.Builder
	fmt.Fprintf(&text, "## %s\n\n%s.\n\n", nameOf(command), command.Short)
	if command.Long != "" {
		text.WriteString(command.Long + "\n\n")
	}
	usage := strings.TrimSuffix(command.UseLine(), " [flags]")
	fmt.Fprintf(&text, "```\n%s [flags]\n```\n", usage)
	if command.Example != "" {
		fmt.Fprintf(&text, "\n```\n%s\n```\n", undented(command.Example))
	}
	command.InitDefaultHelpFlag()
	if table := flagTable(command.LocalNonPersistentFlags()); table != "" {
		text.WriteString("\n" + table)
	}
	return text.String()
}

// undented removes the indent of every line.
func undented(text string) string {
	lines := strings.Split(text, "\n")
	for k := range lines {
		lines[k] = strings.TrimPrefix(lines[k], "  ")
	}
	return strings.Join(lines, "\n")
}

// flagTable lists flags; it is empty when there is none but --help.
func flagTable(flags *pflag.FlagSet) string {
	var text strings.Builder
	flags.VisitAll(func(one *pflag.Flag) {
		if one.Name == "help" || one.Hidden {
			return
		}
		if text.Len() == 0 {
			text.WriteString("| flag | default | meaning |\n|---|---|---|\n")
		}
		name := "`--" + one.Name + "`"
		if one.Shorthand != "" {
			name = "`-" + one.Shorthand + "`, " + name
		}
		standard := one.DefValue
		if standard == "" || standard == "[]" {
			standard = "-"
		} else {
			standard = "`" + standard + "`"
		}
		fmt.Fprintf(&text, "| %s | %s | %s |\n", name, standard, strings.ReplaceAll(one.Usage, "|", `\|`))
	})
	return text.String()
}
