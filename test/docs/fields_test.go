package docs

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"
)

// TestEveryFieldIsDescribed: kubectl explain must have a sentence about each field.
func TestEveryFieldIsDescribed(t *testing.T) {
	paths, err := filepath.Glob(filepath.Join(root, "config", "crd", "warmpool.dev_*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	const kinds = 4
	if len(paths) != kinds {
		t.Fatalf("%d CRDs were found, want %d", len(paths), kinds)
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var crd apiextensionsv1.CustomResourceDefinition
		if err := yaml.UnmarshalStrict(text, &crd); err != nil {
			t.Fatal(err)
		}
		for k := range crd.Spec.Versions {
			schema := crd.Spec.Versions[k].Schema.OpenAPIV3Schema
			t.Run(crd.Spec.Names.Kind, func(t *testing.T) {
				if fields := describe(t, strings.ToLower(crd.Spec.Names.Kind), schema); fields < 25 {
					t.Errorf("only %d fields were found", fields)
				}
			})
		}
	}
}

// describe complains about every field below without a sentence, and returns
// how many fields there are.
func describe(t *testing.T, path string, schema *apiextensionsv1.JSONSchemaProps) int {
	t.Helper()
	fields := 0
	for name := range schema.Properties {
		field := schema.Properties[name]
		at := path + "." + name
		if slices.Contains([]string{".apiVersion", ".kind", ".metadata"}, strings.TrimPrefix(at, path)) && !strings.Contains(path, ".") {
			// Kubernetes' own, with Kubernetes' own words.
			continue
		}
		fields++
		if len(strings.Fields(field.Description)) < 2 {
			t.Errorf("%s has no description: write a comment at its Go field and run 'make generate'", at)
		}
		fields += describe(t, at, &field)
	}
	if schema.Items != nil && schema.Items.Schema != nil {
		fields += describe(t, path+"[]", schema.Items.Schema)
	}
	if schema.AdditionalProperties != nil && schema.AdditionalProperties.Schema != nil {
		fields += describe(t, path+"{}", schema.AdditionalProperties.Schema)
	}
	return fields
}
