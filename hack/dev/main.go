package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	os.Exit(run())
}

// run returns the exit code.
func run() int {
	options, err := parseSettings(os.Args[1:], os.LookupEnv)
	if errors.Is(err, flag.ErrHelp) {
		if err = writeUsage(os.Stdout); err != nil {
			return 1
		}
		return 0
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "make run:", err)
		return 2
	}
	if err := execute(&options); err != nil {
		fmt.Fprintln(os.Stderr, "make run:", err)
		return 1
	}
	return 0
}

// execute runs one of the three ways of this command.
func execute(options *settings) error {
	stop := newStopper(context.Background())
	defer stop.close()
	place, err := findLayout(options)
	if err != nil {
		return err
	}
	out := newConsole(os.Stdout, os.LookupEnv, stop.request)
	defer out.close()
	secrets, err := readDotEnv(place.root)
	switch {
	case err != nil && options.real:
		return err
	case err != nil:
		out.say("%v. The simulator needs nothing of it.", err)
	case options.real:
		if err = admitReal(options, place, secrets, confirmation{console: out, answers: os.Stdin}); err != nil {
			return err
		}
	}
	unlock, err := place.lock()
	if err != nil {
		return err
	}
	defer unlock()
	if err := ensurePrograms(stop.asked(), place, out); err != nil {
		return err
	}
	all := newStack(options, place, out, secrets)
	if options.once {
		return runOnce(stop, all)
	}
	return runLive(stop, all)
}

// stopper turns signals into contexts: the first asks for an orderly end, the
// second for an immediate one.
type stopper struct {
	first, second             context.Context //nolint:containedctx // signals of the process, not of a call
	cancelFirst, cancelSecond context.CancelFunc
	signals                   chan os.Signal
	done                      chan struct{}
}

func newStopper(parent context.Context) *stopper {
	s := &stopper{signals: make(chan os.Signal, 2), done: make(chan struct{})}
	s.second, s.cancelSecond = context.WithCancel(parent)
	s.first, s.cancelFirst = context.WithCancel(s.second)
	// A closed pipe is noticed by the write that fails, which then ends in order.
	signal.Ignore(syscall.SIGPIPE)
	signal.Notify(s.signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	go func() {
		for {
			select {
			case <-s.signals:
				if s.first.Err() != nil {
					s.cancelSecond()
				}
				s.cancelFirst()
			case <-s.done:
				return
			}
		}
	}()
	return s
}

// asked ends when an end was asked for.
func (s *stopper) asked() context.Context { return s.first }

// insisted ends when an end was asked for a second time.
func (s *stopper) insisted() context.Context { return s.second }

// request asks for an orderly end, as Ctrl-C does.
func (s *stopper) request() { s.cancelFirst() }

func (s *stopper) close() {
	signal.Stop(s.signals)
	close(s.done)
	s.cancelFirst()
	s.cancelSecond()
}
