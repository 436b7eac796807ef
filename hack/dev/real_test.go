package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAdmitReal(t *testing.T) {
	t.Setenv(keyVariable, "")
	root, err := repositoryRoot()
	if err != nil {
		t.Fatal(err)
	}
	const secret = "hunter2hunter2"
	for name, test := range map[string]struct {
		options settings
		key     string
		answer  string
		want    string // in the error; empty for none
		said    string
	}{
		"yes":           {settings{replicas: 2}, secret, "yes\n", "", "at most $1.50 per hour"},
		"own ceiling":   {settings{replicas: 9, ceiling: "4.20"}, secret, "yes\n", "", "9 instances for the pool sdxl, together at most $4.20 per hour"},
		"not asked":     {settings{replicas: 2, yes: true}, secret, "", "", "costs money"},
		"no":            {settings{replicas: 2}, secret, "no\n", "nothing was rented", "Type yes"},
		"y is no yes":   {settings{replicas: 2}, secret, "y\n", "nothing was rented", "Type yes"},
		"nobody there":  {settings{replicas: 2}, secret, "", "give --yes", "Type yes"},
		"no key at all": {settings{replicas: 2, yes: true}, "", "", "VASTAI_API_KEY=... into", ""},
	} {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			err := admitReal(&test.options, &layout{root: root}, dotEnv{keyVariable: test.key},
				confirmation{console: &console{out: &out}, answers: strings.NewReader(test.answer)})
			if (err == nil) != (test.want == "") || (err != nil && !strings.Contains(err.Error(), test.want)) {
				t.Errorf("got %v, want %q", err, test.want)
			}
			if !strings.Contains(out.String(), test.said) || strings.Contains(out.String(), "hunter") {
				t.Errorf("said %q", out.String())
			}
		})
	}
}

func TestRealCredentials(t *testing.T) {
	for name, test := range map[string]struct {
		file, env map[string]string
		want      map[string]string
	}{
		"of the file":      {map[string]string{keyVariable: "file", "CIVITAI_TOKEN": "c", "AUDIT_SALT": ""}, nil, map[string]string{keyVariable: "file", "CIVITAI_TOKEN": "c"}},
		"environment wins": {map[string]string{keyVariable: "file"}, map[string]string{keyVariable: "env"}, map[string]string{keyVariable: "env"}},
		"empty variable":   {map[string]string{keyVariable: "file"}, map[string]string{keyVariable: ""}, map[string]string{keyVariable: "file"}},
		"environment only": {nil, map[string]string{keyVariable: "env"}, map[string]string{keyVariable: "env"}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, map[string]string(realCredentials(test.file, environment(test.env)))); diff != "" {
				t.Error(diff)
			}
		})
	}
}
