package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestEveryValueIsDocumentedAndChecked wants each value of the chart in the README
// and in the schema, with the same sentence.
func TestEveryValueIsDocumentedAndChecked(t *testing.T) {
	chart := filepath.Join("..", "..", "charts", "warmpool")
	text, err := os.ReadFile(filepath.Join(chart, "values.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	values, err := parseValues(text)
	if err != nil {
		t.Fatal(err)
	}
	readme, err := renderReadme(values, filepath.Join(chart, "Chart.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(readme), "\n## Values\n")
	encoded, err := buildSchema(values, filepath.Join("..", "..", "config", "crd"))
	if err != nil {
		t.Fatal(err)
	}
	var root schema
	if err := json.Unmarshal(encoded, &root); err != nil {
		t.Fatal(err)
	}
	count := 0
	var visit func([]*value)
	visit = func(group []*value) {
		for _, v := range group {
			if v.children != nil {
				visit(v.children)
				continue
			}
			count++
			if row := "| `" + v.name() + "` |"; strings.Count(table, row) != 1 {
				t.Errorf("the README has no row, or more than one, for %s", v.name())
			}
			checked := root
			for _, key := range v.path {
				if inner, isSchema := properties(checked)[key].(schema); isSchema {
					checked = inner
				}
			}
			if checked["description"] != v.comment || (checked["type"] == nil && checked["$ref"] == nil) {
				t.Errorf("the schema says of %s: %v", v.name(), checked)
			}
		}
	}
	visit(values)
	if count < 60 {
		t.Errorf("%d values were found, want all of them", count)
	}
}

func TestValuesWithoutACommentAreRefused(t *testing.T) {
	for name, text := range map[string]string{
		"a value":           "# Fine.\none: 1\ntwo: 2\n",
		"a value below":     "group:\n  # Fine.\n  one: 1\n  two: 2\n",
		"a list":            "- one\n",
		"what is no YAML":   "{",
		"an empty document": "",
	} {
		t.Run(name, func(t *testing.T) {
			if values, err := parseValues([]byte(text)); err == nil {
				t.Errorf("it reads %v, want an error", values)
			}
		})
	}
}

func TestSchemasOfKindsAreClosed(t *testing.T) {
	for _, kind := range []string{"warmpools", "vastaccounts"} {
		spec, err := specSchema(filepath.Join("..", "..", "config", "crd", "warmpool.dev_"+kind+".yaml"))
		if err != nil {
			t.Fatal(err)
		}
		if spec["additionalProperties"] != false || len(properties(spec)) < 5 {
			t.Errorf("the spec of %s takes anything: %v", kind, spec["additionalProperties"])
		}
		for key := range spec {
			if strings.HasPrefix(key, "x-kubernetes-") {
				t.Errorf("the spec of %s has %s, which JSON schema does not know", kind, key)
			}
		}
	}
}
