package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
)

func main() {
	page := flag.String("out", "", "page to write, in Markdown")
	texts := flag.String("texts", "", "directory to write: a file for each text, and licenses.tsv with module, version and SPDX expression")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, *page, *texts)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "licenses:", err)
		os.Exit(1)
	}
}

// run writes what was asked for.
func run(ctx context.Context, page, texts string) error {
	modules, err := compiledIn(ctx)
	if err != nil {
		return err
	}
	var failures []error
	for k := range modules {
		if err := modules[k].read(); err != nil {
			failures = append(failures, err)
		}
	}
	if err := errors.Join(failures...); err != nil {
		return err
	}
	if page != "" {
		if err := os.WriteFile(page, []byte(renderPage(modules)), 0o600); err != nil {
			return fmt.Errorf("writing the page: %w", err)
		}
	}
	if texts != "" {
		return writeTexts(texts, modules)
	}
	return nil
}
