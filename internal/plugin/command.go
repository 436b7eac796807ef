package plugin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/utils/clock"
)

// The exit codes.
const (
	// ExitOK: done, or answered.
	ExitOK = 0
	// ExitFailed: it could not be done; the message says why.
	ExitFailed = 1
	// ExitUsage: an argument or a flag is wrong.
	ExitUsage = 2
	// ExitFindings: it was checked, and is not in order (doctor, audit verify).
	ExitFindings = 3
	// ExitTimeout: --timeout was over while it waited; what was asked for goes on.
	ExitTimeout = 4
	// ExitDeclined: it asked, and was not told yes; nothing was done.
	ExitDeclined = 5
	// ExitInterrupted: Ctrl-C.
	ExitInterrupted = 130
)

// Environment is the world around one call.
type Environment struct {
	// Streams are standard input, output and error.
	Streams genericiooptions.IOStreams
	// Interactive is true when a person can be asked: input and error are a terminal.
	Interactive bool
	// LookupEnv finds environment variables, as os.LookupEnv does.
	LookupEnv func(string) (string, bool)
	// Clock is the only clock.
	Clock clock.WithTicker
	// Execute runs a program on the terminal of the person and waits for it.
	Execute func(ctx context.Context, program string, arguments ...string) error
	// Connect reaches the cluster that the flags name; nil does so the usual way.
	Connect func(flags *genericclioptions.ConfigFlags) (*Cluster, error)
	// Version is that of this program.
	Version string
}

// exitError is an error with an exit code.
type exitError struct {
	code int
	text string
}

// Error implements error.
func (e *exitError) Error() string { return e.text }

// exit makes an error with an exit code.
func exit(code int, format string, arguments ...any) error {
	return &exitError{code: code, text: fmt.Sprintf(format, arguments...)}
}

// Run carries out one call and returns the exit code. The arguments are those
// behind the name of the program.
func Run(ctx context.Context, environment *Environment, arguments []string) int {
	root := New(environment) //nolint:contextcheck // completion gets its context from the command
	root.SetArgs(arguments)
	err := root.ExecuteContext(ctx)
	code := codeOf(ctx, err)
	if code == ExitInterrupted {
		return code
	}
	if err != nil {
		_, _ = io.WriteString(environment.Streams.ErrOut, "error: "+err.Error()+"\n") //nolint:errcheck // there is nobody else to tell
	}
	return code
}

// codeOf is the exit code of an error.
func codeOf(ctx context.Context, err error) int {
	var known *exitError
	switch {
	case err == nil:
		return ExitOK
	case errors.As(err, &known):
		return known.code
	case errors.Is(err, context.Canceled) && ctx.Err() != nil:
		return ExitInterrupted
	default:
		return ExitFailed
	}
}

// options are what all commands share.
type options struct {
	env   *Environment
	flags *genericclioptions.ConfigFlags
	// output is -o.
	output string
}

// New makes the command tree.
func New(environment *Environment) *cobra.Command {
	o := &options{env: environment, flags: genericclioptions.NewConfigFlags(true)}
	root := &cobra.Command{
		Use:   "kubectl-warmpool",
		Short: "Look at Warmpool's pools, what they cost and why, and act on them",
		Long: "kubectl warmpool shows pools of ready ComfyUI instances, what they cost and why they are not at their size, and acts on them:\n" +
			"claim, open, drain, stop. It has the rights of whoever calls it, and nothing that it shows contains a key, a token or a password.\n\n" +
			"Exit codes: 0 done; 1 it could not be done; 2 an argument is wrong; 3 checked, and not in order (doctor, audit verify);\n" +
			"4 --timeout was over; 5 it asked and was not told yes; 130 interrupted.",
		Annotations:   map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl warmpool"},
		SilenceErrors: true, SilenceUsage: true,
		Args: noCommand,
		RunE: func(command *cobra.Command, _ []string) error { return command.Help() },
	}
	root.SetIn(environment.Streams.In)
	root.SetOut(environment.Streams.Out)
	root.SetErr(environment.Streams.ErrOut)
	root.SetFlagErrorFunc(func(command *cobra.Command, err error) error {
		return exit(ExitUsage, "%s; see %s --help", err, command.CommandPath())
	})
	o.flags.AddFlags(root.PersistentFlags())
	// The directory of a cache differs from person to person, and so would the reference.
	o.hideDirectory(root)
	root.AddGroup(&cobra.Group{ID: groupLook, Title: "Look:"}, &cobra.Group{ID: groupAct, Title: "Act:"}, &cobra.Group{ID: groupCheck, Title: "Check:"})
	for _, add := range []struct {
		group    string
		commands []*cobra.Command
	}{
		{groupLook, []*cobra.Command{newStatus(o), newWhy(o), newPlan(o), newCost(o), newInstances(o), newLogs(o)}},
		{groupAct, []*cobra.Command{newClaim(o), newRelease(o), newOpen(o), newSSH(o), newDrain(o), newAdopt(o), newAbandon(o), newEmergencyStop(o)}},
		{groupCheck, []*cobra.Command{newDoctor(o), newAudit(o), newVersion(o)}},
	} {
		for _, command := range add.commands {
			command.GroupID = add.group
			root.AddCommand(command)
		}
	}
	_ = root.RegisterFlagCompletionFunc("namespace", o.completeNamespaces) //nolint:errcheck // the flag is there
	return root
}

// noCommand refuses what is no command of a group of commands.
func noCommand(command *cobra.Command, given []string) error {
	if len(given) > 0 {
		return exit(ExitUsage, "there is no command %q; see %s --help", given[0], command.CommandPath())
	}
	return nil
}

// The groups of the help.
const (
	groupLook  = "look"
	groupAct   = "act"
	groupCheck = "check"
)

// hideDirectory shows the default of --cache-dir in a form that is the same for everybody.
func (o *options) hideDirectory(root *cobra.Command) {
	if flag := root.PersistentFlags().Lookup("cache-dir"); flag != nil {
		home, err := os.UserHomeDir()
		if err == nil {
			flag.DefValue = strings.Replace(flag.DefValue, home, "$HOME", 1)
		}
	}
}

// arguments checks their number and says what is expected.
func arguments(least, most int, what string) cobra.PositionalArgs {
	return func(command *cobra.Command, given []string) error {
		if len(given) < least || (most >= 0 && len(given) > most) {
			return exit(ExitUsage, "%s takes %s, and %s given; see %s --help", command.CommandPath(), what, plural(len(given), "argument was", "arguments were"), command.CommandPath())
		}
		return nil
	}
}

// say writes a line for the person; the answer itself goes to the output.
func (o *options) say(format string, arguments ...any) {
	_, _ = fmt.Fprintf(o.env.Streams.ErrOut, format+"\n", arguments...) //nolint:errcheck // there is nobody else to tell
}
