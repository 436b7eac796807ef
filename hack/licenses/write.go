package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// preamble opens the page.
const preamble = `<!-- Written by "make generate" from the modules that cmd/ is compiled from. -->

# Licences

Warmpool is under the Apache License 2.0. What is compiled into its programs besides, and under which licence.
The image has every text below ` + "`/licenses`" + `.

| module | version | licence |
|---|---|---|
`

// renderPage returns the page in Markdown. Go's version is left out: it is that of whoever builds.
func renderPage(modules []module) string {
	var page strings.Builder
	page.WriteString(preamble)
	for k := range modules {
		one := &modules[k]
		fmt.Fprintf(&page, "| %s | %s | %s |\n", one.path, one.version, one.expression)
	}
	return page.String()
}

// writeTexts fills a directory, which is emptied first.
func writeTexts(directory string, modules []module) error {
	if err := os.RemoveAll(directory); err != nil {
		return fmt.Errorf("emptying %s: %w", directory, err)
	}
	var table strings.Builder
	for k := range modules {
		one := &modules[k]
		fmt.Fprintf(&table, "%s\t%s\t%s\n", one.path, one.version, one.expression)
		name := strings.TrimSuffix(one.path+"@"+one.version, "@")
		place := filepath.Join(directory, filepath.FromSlash(strings.ReplaceAll(name, " ", "-")))
		if err := os.MkdirAll(place, 0o750); err != nil {
			return fmt.Errorf("making a directory for texts: %w", err)
		}
		for file, text := range one.texts {
			if err := os.WriteFile(filepath.Join(place, file), text, 0o600); err != nil {
				return fmt.Errorf("writing a text: %w", err)
			}
		}
	}
	if err := os.WriteFile(filepath.Join(directory, "licenses.tsv"), []byte(table.String()), 0o600); err != nil {
		return fmt.Errorf("writing the table of licences: %w", err)
	}
	return nil
}
