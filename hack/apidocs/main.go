// Command apidocs writes the API reference from the generated CRDs, so that the
// reference says exactly what the API server enforces. It reads no Go source and
// imports nothing else of this module.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"
)

func main() {
	crds := flag.String("crds", "config/crd", "directory with the generated CRDs")
	out := flag.String("out", "docs/reference/api.md", "file to write")
	flag.Parse()
	if err := run(*crds, *out); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run reads every CRD of a directory and writes one page about them.
func run(directory, out string) error {
	crds, err := readCRDs(directory)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(out), 0o750); err != nil {
		return fmt.Errorf("creating the directory of %s: %w", out, err)
	}
	if err := os.WriteFile(out, []byte(renderPage(crds)), 0o600); err != nil {
		return fmt.Errorf("writing the API reference: %w", err)
	}
	return nil
}

// readCRDs decodes the files that controller-gen wrote, in the order of their
// names. A directory without any is an error: an empty reference would pass.
func readCRDs(directory string) ([]apiextensionsv1.CustomResourceDefinition, error) {
	paths, err := filepath.Glob(filepath.Join(directory, "*_*.yaml"))
	if err != nil {
		return nil, fmt.Errorf("listing %s: %w", directory, err)
	}
	var crds []apiextensionsv1.CustomResourceDefinition
	for _, path := range paths {
		text, err := os.ReadFile(filepath.Clean(path))
		if err != nil {
			return nil, fmt.Errorf("reading a CRD: %w", err)
		}
		var crd apiextensionsv1.CustomResourceDefinition
		if err := yaml.UnmarshalStrict(text, &crd); err != nil {
			return nil, fmt.Errorf("decoding %s: %w", path, err)
		}
		if !strings.HasPrefix(crd.Kind, "CustomResourceDefinition") || len(crd.Spec.Versions) == 0 {
			return nil, fmt.Errorf("decoding %s: it is no CRD with a version", path)
		}
		crds = append(crds, crd)
	}
	if len(crds) == 0 {
		return nil, errors.New("there is no CRD in " + directory + "; run 'make generate'")
	}
	return crds, nil
}
