package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
)

// settings are the flags of the command.
type settings struct {
	root     string
	jobs     int
	only     string
	markdown string
}

func main() {
	var set settings
	flag.StringVar(&set.root, "root", ".", "directory of the module")
	flag.IntVar(&set.jobs, "jobs", 2, "how many gates are taken out at the same time")
	flag.StringVar(&set.only, "only", "", "take out only the gates whose name matches this regular expression")
	flag.StringVar(&set.markdown, "markdown", "", "write the table of gates to this file and test nothing; - is standard output")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, set, gates(), os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// errSurvived reports gates whose loss no test notices.
var errSurvived = errors.New("not every gate was caught")

// run takes out the gates one after the other, or writes the page about them.
func run(ctx context.Context, set settings, listed []Gate, out io.Writer) error {
	marks, err := findMarks(set.root)
	if err != nil {
		return err
	}
	all, err := join(listed, marks)
	if err != nil {
		return err
	}
	if set.markdown != "" {
		return writePage(set.markdown, all, out)
	}
	chosen, err := choose(all, set.only)
	if err != nil {
		return err
	}
	bench, err := newBench(set.root)
	if err != nil {
		return err
	}
	defer bench.close()
	if err := bench.prepare(ctx, chosen, out); err != nil {
		return err
	}
	caught := 0
	var failures []error
	for _, verdict := range bench.takeOut(ctx, chosen, set.jobs, out) {
		if verdict.err == nil {
			caught++
		} else {
			failures = append(failures, verdict.err)
		}
	}
	for _, failure := range failures {
		say(out, "\n%s\n", failure)
	}
	say(out, "mutate gates=%d caught=%d\n", len(chosen), caught)
	if caught != len(chosen) {
		return errSurvived
	}
	return nil
}

// choose returns the gates whose name matches.
func choose(all []markedGate, only string) ([]markedGate, error) {
	pattern, err := regexp.Compile(only)
	if err != nil {
		return nil, fmt.Errorf("reading -only: %w", err)
	}
	var chosen []markedGate
	for k := range all {
		if pattern.MatchString(all[k].Name) {
			chosen = append(chosen, all[k])
		}
	}
	if len(chosen) == 0 {
		return nil, errors.New("there is no gate to take out")
	}
	return chosen, nil
}

// say prints for the person who watches; where nobody reads, nothing is lost.
func say(out io.Writer, format string, values ...any) {
	_, _ = fmt.Fprintf(out, format, values...) //nolint:errcheck // see above
}
