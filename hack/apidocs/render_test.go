package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const widgetCRD = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.test}
spec:
  group: example.test
  scope: Namespaced
  names: {kind: Widget, plural: widgets, shortNames: [wg]}
  versions:
  - name: v1
    served: true
    storage: true
    subresources: {scale: {specReplicasPath: .spec.size, statusReplicasPath: .status.size}}
    additionalPrinterColumns:
    - {name: Size, type: integer, jsonPath: .spec.size, priority: 1}
    schema:
      openAPIV3Schema:
        description: A thing to test with.
        type: object
        properties:
          spec:
            type: object
            required: [size]
            x-kubernetes-validations:
            - {rule: "self.size > 0", message: "size must be positive."}
            properties:
              size:
                description: size of the thing | in metres.
                type: integer
                minimum: 1
                maximum: 5
              price:
                type: string
                default: "1.50"
                pattern: ^(0|1)$
              limit:
                type: string
                maxLength: 13
                pattern: ^(0|[1-9][0-9]{0,5})(\.[0-9]{1,6})?$
              mode:
                type: string
                enum: [Active, Paused]
              parts:
                type: array
                maxItems: 3
                x-kubernetes-list-type: map
                x-kubernetes-list-map-keys: [name]
                items:
                  type: object
                  required: [name]
                  properties:
                    name: {type: string, minLength: 1, maxLength: 9}
              labels:
                type: object
                maxProperties: 2
                additionalProperties: {type: string}
          status:
            type: object
            properties:
              conditions:
                type: array
                items: {type: object, properties: {reason: {type: string}}}
`

func TestRenderPage(t *testing.T) {
	page := renderWidget(t)
	for name, want := range map[string]string{
		"chapter":              "\n## Widget\n\nA thing to test with.\n",
		"names and scale":      "`apiVersion: example.test/v1`, namespaced. Name it `widgets` or `wg` on the command line; it has a scale subresource.",
		"wide column":          "| Size | `.spec.size` | wide |",
		"required with bounds": "| `size` | integer |  | required; 1 to 5 | size of the thing \\| in metres. |",
		"default and pattern":  "| `price` | string | `\"1.50\"` | matches `^(0\\|1)$` |  |",
		"enum":                 "| `mode` | string |  | one of `Active`, `Paused` |  |",
		"list by key":          "| `parts` | list by name of object |  | at most 3 items |  |",
		"items of a list":      "| `parts[].name` | string |  | required; 1 to 9 characters |  |",
		"map":                  "| `labels` | map of string |  | at most 2 entries |  |",
		"CEL rule for people":  "Rules across fields: size must be positive.\n",
		"money in words":       "| `limit` | dollars |  |  |  |",
		"status has a table":   "### Widget status\n\n| field | type | meaning |",
		"contents":             "- [Widget](#widget): [spec](#widget-spec), [status](#widget-status)\n",
	} {
		t.Run(name, func(t *testing.T) {
			if !strings.Contains(page, want) {
				t.Errorf("the page lacks %q:\n%s", want, page)
			}
		})
	}
	if strings.Contains(page, "conditions[].reason") {
		t.Error("the standard fields of conditions are repeated in the page")
	}
}

func TestTheTemplateOfAnInstanceIsShownOnce(t *testing.T) {
	rows := []fieldRow{{path: "poolRef"}, {path: "template"}, {path: "template.image"}}
	if got := withoutRepeats("WarmInstance", "spec", slices.Clone(rows)); len(got) != 2 || !strings.Contains(got[1].link, "#warmpool-spec") {
		t.Errorf("of an instance: %+v, want the template alone, with a link", got)
	}
	if got := withoutRepeats("WarmPool", "spec", rows); len(got) != len(rows) {
		t.Errorf("of a pool: %+v, want all", got)
	}
}

func TestReadCRDsRefusesAnEmptyDirectory(t *testing.T) {
	if _, err := readCRDs(t.TempDir()); err == nil {
		t.Fatal("an empty directory gave a reference, want an error")
	}
}

func TestReadCRDsRefusesAnotherKind(t *testing.T) {
	directory := t.TempDir()
	path := filepath.Join(directory, "example.test_widgets.yaml")
	if err := os.WriteFile(path, []byte("apiVersion: v1\nkind: ConfigMap\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readCRDs(directory); err == nil {
		t.Fatal("a ConfigMap passed as a CRD, want an error")
	}
}

// renderWidget runs the command over one CRD and returns the page it wrote.
func renderWidget(t *testing.T) string {
	t.Helper()
	directory := t.TempDir()
	if err := os.WriteFile(filepath.Join(directory, "example.test_widgets.yaml"), []byte(widgetCRD), 0o600); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(directory, "reference", "api.md")
	if err := run(directory, out); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return string(page)
}
