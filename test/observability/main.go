package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/go-logr/logr"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
)

func main() { os.Exit(run(os.Args[1:])) }

// run returns the exit code: 0 when every alert fired and ended and every query
// had data, 1 when not, 2 when the run cannot start.
func run(arguments []string) int {
	flags := flag.NewFlagSet("make observability", flag.ContinueOnError)
	only := flags.String("only", "", "comma-separated alerts to raise; by default all. Queries are then not judged")
	logs := flags.String("logs", "", "directory for the logs and the data of Prometheus; by default a temporary one that is removed")
	if err := flags.Parse(arguments); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return 0
		}
		return 2
	}
	// Libraries complain about a manager that is stopped: here it is meant.
	ctrl.SetLogger(logr.Discard())
	klog.SetLogger(logr.Discard())
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var wanted []string
	if *only != "" {
		wanted = strings.Split(*only, ",")
	}
	result, err := observe(ctx, wanted, *logs)
	if result != nil {
		result.print(os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "make observability:", err)
		return 1
	}
	if !result.isGood() {
		return 1
	}
	return 0
}

// observe starts everything, plays the scenes and asks the queries.
func observe(ctx context.Context, wanted []string, logs string) (*report, error) {
	s, err := newStage(logs)
	if err != nil {
		return nil, err
	}
	defer s.close(ctx)
	result := &report{partial: len(wanted) > 0}
	rules, err := readRules(s.root)
	if err != nil {
		return nil, err
	}
	for _, name := range wanted {
		if !slices.Contains(rules.alerts(), name) {
			return nil, fmt.Errorf("--only: there is no alert %s; there are %s", name, strings.Join(rules.alerts(), ", "))
		}
	}
	for _, name := range rules.alerts() {
		if len(wanted) == 0 || slices.Contains(wanted, name) {
			result.alerts = append(result.alerts, &outcome{alert: name, scaled: rules.scaling[name]})
		}
	}
	if err = s.start(ctx, rules); err != nil {
		return nil, err
	}
	if err = s.playAll(ctx, result); err != nil {
		return result, err
	}
	failures, err := s.judgeSpans(ctx)
	if err != nil {
		return result, err
	}
	result.spans, result.failures = s.collector.count(), append(result.failures, failures...)
	result.queries, err = s.askQueries(ctx, rules)
	return result, err
}
