package apidouble

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	apiextensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

// Defaults are the defaults of custom resources, as their definitions say. They
// may be shared by stores.
type Defaults struct {
	schemas  map[string]*apiextensions.JSONSchemaProps
	carriers carriers
}

// carriersOf are those that all stores with these defaults share.
func (d *Defaults) carriersOf() *carriers {
	if d == nil {
		return &carriers{}
	}
	return &d.carriers
}

// LoadDefaults reads the custom resource definitions in a directory.
func LoadDefaults(directory string) (*Defaults, error) {
	files, err := filepath.Glob(filepath.Join(directory, "warmpool.dev_*.yaml"))
	if err != nil || len(files) == 0 {
		return nil, fmt.Errorf("reading the definitions in %s: there are none: %w", directory, os.ErrNotExist)
	}
	loaded := &Defaults{schemas: map[string]*apiextensions.JSONSchemaProps{}}
	for _, file := range files {
		text, err := os.ReadFile(file) //nolint:gosec // a file of this repository
		if err != nil {
			return nil, fmt.Errorf("reading a definition: %w", err)
		}
		var definition apiextensions.CustomResourceDefinition
		if err := yaml.Unmarshal(text, &definition); err != nil {
			return nil, fmt.Errorf("reading definition %s: %w", file, err)
		}
		loaded.schemas[definition.Spec.Names.Kind] = definition.Spec.Versions[0].Schema.OpenAPIV3Schema
	}
	return loaded, nil
}

// apply returns the object with its defaults. A nil Defaults changes nothing.
func (d *Defaults) apply(kind string, object client.Object) (client.Object, error) {
	if d == nil || d.schemas[kind] == nil {
		return object, nil
	}
	text, err := json.Marshal(object)
	if err != nil {
		return nil, fmt.Errorf("encoding %s: %w", kind, err)
	}
	var fields map[string]any
	if err = json.Unmarshal(text, &fields); err != nil {
		return nil, fmt.Errorf("reading %s: %w", kind, err)
	}
	if err = fillIn(fields, d.schemas[kind]); err != nil {
		return nil, fmt.Errorf("filling in the defaults of %s: %w", kind, err)
	}
	if text, err = json.Marshal(fields); err != nil {
		return nil, fmt.Errorf("encoding %s: %w", kind, err)
	}
	return decode(kind, text)
}

// fillIn sets what is missing to its default, outermost first.
func fillIn(value any, schema *apiextensions.JSONSchemaProps) error {
	switch value := value.(type) {
	case map[string]any:
		for name := range schema.Properties {
			inner := schema.Properties[name]
			if err := fillInField(value, name, &inner); err != nil {
				return err
			}
		}
	case []any:
		if schema.Items == nil || schema.Items.Schema == nil {
			return nil
		}
		for _, item := range value {
			if err := fillIn(item, schema.Items.Schema); err != nil {
				return err
			}
		}
	}
	return nil
}

// fillInField sets one field of an object, and what is in it.
func fillInField(fields map[string]any, name string, schema *apiextensions.JSONSchemaProps) error {
	if fields[name] == nil && schema.Default != nil {
		var fallback any
		if err := json.Unmarshal(schema.Default.Raw, &fallback); err != nil {
			return fmt.Errorf("reading the default of %s: %w", name, err)
		}
		fields[name] = fallback
	}
	return fillIn(fields[name], schema)
}
