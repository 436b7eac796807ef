package main

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	kubeyaml "sigs.k8s.io/yaml"
)

// refinements are what defaults do not show, by the name of a value: enums,
// patterns, bounds, and the types of what is empty by default.
//
//go:embed refinements.yaml
var refinements []byte

// schema is a JSON schema.
type schema = map[string]any

// buildSchema writes the JSON schema of the values: their types are those of their
// defaults, with the refinements, and nothing else is accepted. The specs of
// accounts and pools are those of the CRDs.
func buildSchema(values []*value, crds string) ([]byte, error) {
	var refined map[string]schema
	if err := yaml.Unmarshal(refinements, &refined); err != nil {
		return nil, fmt.Errorf("reading refinements.yaml: %w", err)
	}
	root := group(values, refined)
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["title"] = "Values of the chart warmpool"
	properties(root)["global"] = schema{"type": "object", "description": "Values of a chart that has this one as a part."}
	for name := range refined {
		return nil, fmt.Errorf("refinements.yaml names %s, which is no value", name)
	}
	account, err := specSchema(filepath.Join(crds, "warmpool.dev_vastaccounts.yaml"))
	if err != nil {
		return nil, err
	}
	// Without account.create there is no spec.
	delete(account, "required")
	pool, err := specSchema(filepath.Join(crds, "warmpool.dev_warmpools.yaml"))
	if err != nil {
		return nil, err
	}
	root["$defs"] = schema{"account": account, "pool": pool}
	text, err := json.MarshalIndent(root, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encoding the schema: %w", err)
	}
	return append(text, '\n'), nil
}

func properties(of schema) schema {
	inner, isSchema := of["properties"].(schema)
	if !isSchema {
		inner = schema{}
		of["properties"] = inner
	}
	return inner
}

// group is the schema of a group. It takes what it uses out of refined.
func group(values []*value, refined map[string]schema) schema {
	made := schema{"type": "object", "additionalProperties": false}
	inner := properties(made)
	for _, v := range values {
		var one schema
		if v.children != nil {
			one = group(v.children, refined)
		} else {
			one = typeOf(v.node)
			maps.Copy(one, refined[v.name()])
			delete(refined, v.name())
		}
		if v.comment != "" {
			one["description"] = v.comment
		}
		inner[v.path[len(v.path)-1]] = one
	}
	return made
}

// typeOf is the type of a default.
func typeOf(node *yaml.Node) schema {
	switch node.Kind {
	case yaml.MappingNode:
		return schema{"type": "object"}
	case yaml.SequenceNode:
		return schema{"type": "array"}
	default:
		return schema{"type": map[string]string{"!!bool": "boolean", "!!int": "integer", "!!str": "string"}[node.Tag]}
	}
}

// specSchema is the schema of the spec in a CRD, closed against unknown fields.
func specSchema(path string) (schema, error) {
	text, err := os.ReadFile(path) //nolint:gosec // a file of the repository
	if err != nil {
		return nil, fmt.Errorf("reading a CRD: %w", err)
	}
	var crd apiextensionsv1.CustomResourceDefinition
	if err = kubeyaml.Unmarshal(text, &crd); err != nil {
		return nil, fmt.Errorf("reading the CRD in %s: %w", path, err)
	}
	spec := crd.Spec.Versions[0].Schema.OpenAPIV3Schema.Properties["spec"]
	encoded, err := json.Marshal(spec)
	if err != nil {
		return nil, fmt.Errorf("encoding the schema in %s: %w", path, err)
	}
	var made schema
	if err := json.Unmarshal(encoded, &made); err != nil {
		return nil, fmt.Errorf("decoding the schema in %s: %w", path, err)
	}
	closeSchema(made)
	return made, nil
}

// closeSchema makes a schema of a CRD one of JSON: unknown fields are refused, as
// the API server would drop them, and its extensions go.
func closeSchema(s schema) {
	open := s["x-kubernetes-preserve-unknown-fields"] == true
	if s["x-kubernetes-int-or-string"] == true {
		s["type"] = []string{"integer", "string"}
		delete(s, "anyOf")
	}
	for key := range s {
		// Descriptions are in the reference of the API; formats such as int32 are bounds in the CRD.
		if strings.HasPrefix(key, "x-kubernetes-") || key == "description" || key == "format" {
			delete(s, key)
		}
	}
	if inner, isObject := s["properties"].(schema); isObject {
		for _, one := range inner {
			closeNested(one)
		}
		if _, hasOthers := s["additionalProperties"]; !hasOthers && !open {
			s["additionalProperties"] = false
		}
	}
	closeNested(s["items"])
	closeNested(s["additionalProperties"])
}

func closeNested(nested any) {
	if one, isSchema := nested.(schema); isSchema {
		closeSchema(one)
	}
}
