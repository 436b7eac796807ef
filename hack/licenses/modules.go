package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// standardLibrary stands for what comes with Go.
const standardLibrary = "Go standard library"

// module is one that is compiled into a command.
type module struct {
	path, version, directory string
	// expression names the licences in SPDX's words, such as "MIT AND Apache-2.0".
	expression string
	// texts are the licences and notices, by the name of their file.
	texts map[string][]byte
}

// errUnknown is a text that says nothing that this program knows.
var errUnknown = errors.New("read it, and teach hack/licenses its words if it may be shipped")

// compiledIn returns all modules but this one, and the standard library, in the order of their
// paths. Platforms differ in what they compile.
func compiledIn(ctx context.Context) ([]module, error) {
	found := map[string]module{}
	for _, architecture := range []string{"amd64", "arm64"} {
		command := exec.CommandContext(ctx, "go", "list", "-deps", "-f",
			"{{with .Module}}{{if not .Main}}{{.Path}}\t{{.Version}}\t{{.Dir}}{{end}}{{end}}", "./cmd/...")
		command.Env, command.Stderr = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+architecture), os.Stderr
		output, err := command.Output()
		if err != nil {
			return nil, fmt.Errorf("listing what the commands are made of: %w", err)
		}
		for line := range strings.Lines(string(output)) {
			if fields := strings.Split(strings.TrimSpace(line), "\t"); len(fields) == 3 {
				found[fields[0]] = module{path: fields[0], version: fields[1], directory: fields[2]}
			}
		}
	}
	root, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return nil, fmt.Errorf("asking for the directory of Go: %w", err)
	}
	modules := []module{{path: standardLibrary, directory: strings.TrimSpace(string(root))}}
	for _, one := range found {
		modules = append(modules, one)
	}
	slices.SortFunc(modules, func(a, b module) int { return strings.Compare(a.path, b.path) })
	return modules, nil
}

// read finds the texts of a module and names them.
func (m *module) read() error {
	entries, err := os.ReadDir(m.directory)
	if err != nil {
		return fmt.Errorf("reading module %s: %w", m.path, err)
	}
	m.texts = map[string][]byte{}
	names := regexp.MustCompile(`(?i)^(licen[cs]e|copying|notice|patents)([.-].*)?$`)
	var licences []string
	for _, entry := range entries {
		if !entry.Type().IsRegular() || !names.MatchString(entry.Name()) || strings.HasSuffix(entry.Name(), ".go") {
			continue
		}
		text, err := os.ReadFile(filepath.Join(m.directory, entry.Name()))
		if err != nil {
			return fmt.Errorf("reading a licence of %s: %w", m.path, err)
		}
		m.texts[entry.Name()] = text
		licences = append(licences, namesOf(string(text))...)
	}
	slices.Sort(licences)
	m.expression = strings.Join(slices.Compact(licences), " AND ")
	if m.expression == "" {
		return fmt.Errorf("%s %s has no licence that is known here (%d files in %s): %w", m.path, m.version, len(m.texts), m.directory, errUnknown)
	}
	return nil
}

// namesOf returns the SPDX identifiers of the licences in a text.
func namesOf(text string) []string {
	text = strings.ToLower(strings.Join(strings.Fields(text), " "))
	var names []string
	for _, known := range []struct{ name, words, without string }{
		{"Apache-2.0", "apache license version 2.0", ""},
		{"Apache-2.0", "licensed under the apache license, version 2.0", ""},
		{"MPL-2.0", "mozilla public license version 2.0", ""},
		{"BSD-3-Clause", "neither the name", ""},
		{"BSD-2-Clause", "redistribution and use in source and binary forms", "neither the name"},
		{"MIT", "permission is hereby granted, free of charge, to any person obtaining a copy", ""},
		{"ISC", "permission to use, copy, modify, and/or distribute this software for any purpose", ""},
		{"ISC", "permission to use, copy, modify, and distribute this software for any purpose", ""},
	} {
		if strings.Contains(text, known.words) && (known.without == "" || !strings.Contains(text, known.without)) {
			names = append(names, known.name)
		}
	}
	return names
}
