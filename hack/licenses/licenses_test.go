package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestNamesOf(t *testing.T) {
	for name, tc := range map[string]struct {
		text string
		want []string
	}{
		"apache":    {"Apache License\n   Version 2.0, January 2004", []string{"Apache-2.0"}},
		"bsd 3":     {"Redistribution and use in source and binary forms ... Neither the name of X", []string{"BSD-3-Clause"}},
		"bsd 2":     {"Redistribution and use in source\nand binary forms, with or without", []string{"BSD-2-Clause"}},
		"two":       {"Permission is hereby granted, free of charge, to any person obtaining a copy\nApache License Version 2.0", []string{"Apache-2.0", "MIT"}},
		"mozilla":   {"Mozilla Public License Version 2.0", []string{"MPL-2.0"}},
		"all mine":  {"All rights reserved. You may not use this.", nil},
		"a mention": {"This grant does not cover the Apache foundation.", nil},
	} {
		t.Run(name, func(t *testing.T) {
			if difference := cmp.Diff(tc.want, namesOf(tc.text)); difference != "" {
				t.Error(difference)
			}
		})
	}
}

func TestRead(t *testing.T) {
	directory := t.TempDir()
	for file, text := range map[string]string{
		"LICENSE": "Apache License Version 2.0", "NOTICE.txt": "made by many", "license.go": "package license", "README": "Mozilla Public License Version 2.0",
	} {
		if err := os.WriteFile(filepath.Join(directory, file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	one := module{path: "example.com/one", version: "v1.0.0", directory: directory}
	if err := one.read(); err != nil {
		t.Fatal(err)
	}
	if one.expression != "Apache-2.0" || len(one.texts) != 2 {
		t.Errorf("got %q and %d texts, want Apache-2.0 from LICENSE and NOTICE.txt", one.expression, len(one.texts))
	}
	texts := filepath.Join(t.TempDir(), "texts")
	if err := writeTexts(texts, []module{one}); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(filepath.Join(texts, "example.com", "one@v1.0.0", "NOTICE.txt")); err != nil || string(text) != "made by many" {
		t.Errorf("the notice was not kept: %q, %v", text, err)
	}
}

func TestNoLicenceIsRefused(t *testing.T) {
	one := module{path: "example.com/none", version: "v1.0.0", directory: t.TempDir()}
	if err := one.read(); err == nil || !strings.Contains(err.Error(), "example.com/none v1.0.0 has no licence") {
		t.Errorf("got %v", err)
	}
}
