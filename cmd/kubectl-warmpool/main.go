// Command kubectl-warmpool is "kubectl warmpool": it looks at pools and acts on
// them. The commands are in internal/plugin.
package main

import (
	"context"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"github.com/go-logr/logr"
	"golang.org/x/term"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/warmpool-dev/warmpool/internal/plugin"
	"github.com/warmpool-dev/warmpool/internal/version"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// The second Ctrl-C ends the program at once.
	context.AfterFunc(ctx, stop)
	// The libraries would otherwise complain that nobody listens to their logs.
	ctrl.SetLogger(logr.Discard())
	code := plugin.Run(ctx, &plugin.Environment{
		Streams:     genericiooptions.IOStreams{In: os.Stdin, Out: os.Stdout, ErrOut: os.Stderr},
		Interactive: term.IsTerminal(int(os.Stdin.Fd())) && term.IsTerminal(int(os.Stderr.Fd())),
		LookupEnv:   os.LookupEnv, Clock: clock.RealClock{}, Execute: execute, Version: version.Get().Release,
	}, os.Args[1:])
	stop()
	os.Exit(code)
}

// execute runs a program on our terminal. Ctrl-C reaches it by itself.
func execute(ctx context.Context, program string, arguments ...string) error {
	command := exec.CommandContext(ctx, program, arguments...) //nolint:gosec // ssh and browsers, with checked arguments
	command.Stdin, command.Stdout, command.Stderr = os.Stdin, os.Stdout, os.Stderr
	return command.Run()
}
