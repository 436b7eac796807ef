package plugin

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
)

// lookPeriod is the time between two looks at what is waited for.
const lookPeriod = time.Second

// lookPatience bounds one look.
const lookPatience = 10 * time.Second

// waiting are the flags of a command that can wait.
type waiting struct {
	wait    bool
	timeout time.Duration
}

// addWaiting adds --wait, which is the default, and --timeout to a command.
func addWaiting(command *cobra.Command, timeout time.Duration, what string) *waiting {
	w := &waiting{}
	command.Flags().BoolVar(&w.wait, "wait", true, "wait "+what)
	command.Flags().DurationVar(&w.timeout, "timeout", timeout, "how long to wait; 0 waits for ever. What was asked for goes on afterwards")
	return w
}

// await looks again and again until look says that it is done. It tells the person
// what look says whenever that changes. The hint says what goes on, and how to
// take it back, when the person or the time ends the waiting.
func (o *options) await(ctx context.Context, w *waiting, hint string, look func(ctx context.Context) (done bool, progress string, err error)) error {
	if !w.wait {
		return nil
	}
	limited, cancel := w.within(ctx)
	defer cancel()
	ticker := o.env.Clock.NewTicker(lookPeriod)
	defer ticker.Stop()
	told := ""
	for {
		done, progress, err := lookOnce(ctx, look)
		switch {
		case ctx.Err() != nil:
		case err != nil:
			return err
		case done:
			return nil
		case progress != told:
			told = progress
			o.say("%s", plainLines(progress))
		}
		select {
		case <-limited.Done():
			if ctx.Err() != nil {
				o.say("Interrupted. %s", hint)
				return ctx.Err()
			}
			return exit(ExitTimeout, "it took longer than --timeout=%s; the last word was: %s\n%s", w.timeout, plainLines(told), hint)
		case <-ticker.C():
		}
	}
}

// within bounds the waiting; 0 does not.
func (w *waiting) within(ctx context.Context) (context.Context, context.CancelFunc) {
	if w.timeout <= 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, w.timeout)
}

// lookOnce bounds one look. It may outlast --timeout a little: a look that was cut
// off would say nothing about what is waited for. A server that cannot be reached
// for a moment is no reason to give up waiting.
func lookOnce(ctx context.Context, look func(ctx context.Context) (bool, string, error)) (done bool, progress string, err error) {
	limited, cancel := context.WithTimeout(ctx, lookPatience)
	defer cancel()
	done, progress, err = look(limited)
	if err != nil && isUnreachable(err) {
		return false, err.Error(), nil
	}
	return done, progress, err
}

// errNoTerminal says that nobody can be asked.
var errNoTerminal = errors.New("there is no terminal to ask at: give --yes if you mean it")

// confirm asks the person. Without a terminal, and without --yes, nothing is done.
func (o *options) confirm(ctx context.Context, yes bool, question string) error {
	if yes {
		return nil
	}
	if !o.env.Interactive {
		return exit(ExitDeclined, "%s\n%s", question, errNoTerminal)
	}
	_, _ = fmt.Fprintf(o.env.Streams.ErrOut, "%s\nGo on? Type yes: ", question) //nolint:errcheck // there is nobody else to tell
	typed := make(chan string, 1)
	go func() {
		var word string
		_, _ = fmt.Fscanln(o.env.Streams.In, &word) //nolint:errcheck // nothing typed is no
		typed <- word
	}()
	select {
	case <-ctx.Done():
		o.say("")
		return ctx.Err()
	case word := <-typed:
		if word == "yes" || word == "y" {
			return nil
		}
		return exit(ExitDeclined, "nothing was done")
	}
}
