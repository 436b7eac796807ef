// Command chart writes what is generated of charts/warmpool, so that everything
// has one source: copies of the CRDs, the roles, the alerts and the dashboard from
// config/, and from values.yaml and its comments the schema and the README. It
// writes the manager's role for one namespace, too.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

func main() {
	root := flag.String("root", ".", "directory of the repository")
	flag.Parse()
	if err := run(*root); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run writes every generated file of the chart below root.
func run(root string) error {
	source, chart := filepath.Join(root, "config"), filepath.Join(root, "charts", "warmpool")
	copied, err := copies(source)
	if err != nil {
		return err
	}
	rules, err := collectRules(filepath.Join(source, "rbac"))
	if err != nil {
		return err
	}
	if copied["rbac.yaml"], err = encode(rules); err != nil {
		return err
	}
	role, err := namespacedRole(rules["managerNamespaced"])
	if err != nil {
		return err
	}
	if err = replaceDirectory(filepath.Join(chart, "files"), copied); err != nil {
		return err
	}
	text, err := os.ReadFile(filepath.Join(chart, "values.yaml")) //nolint:gosec // a file of the repository
	if err != nil {
		return fmt.Errorf("reading the values: %w", err)
	}
	values, err := parseValues(text)
	if err != nil {
		return err
	}
	schema, err := buildSchema(values, filepath.Join(source, "crd"))
	if err != nil {
		return err
	}
	readme, err := renderReadme(values, filepath.Join(chart, "Chart.yaml"))
	if err != nil {
		return err
	}
	return errors.Join(
		write(filepath.Join(source, "rbac", "namespaced", "role.yaml"), role),
		write(filepath.Join(chart, "values.schema.json"), schema),
		write(filepath.Join(chart, "README.md"), readme),
	)
}

// copies reads the files that the chart holds copies of, by their path below files/.
func copies(source string) (map[string][]byte, error) {
	copied := map[string][]byte{}
	for pattern, directory := range map[string]string{
		"crd/warmpool.dev_*.yaml":      "crds",
		"observability/alerts.yaml":    "",
		"observability/dashboard.json": "",
	} {
		paths, err := filepath.Glob(filepath.Join(source, filepath.FromSlash(pattern)))
		if err != nil {
			return nil, fmt.Errorf("looking for %s: %w", pattern, err)
		}
		for _, path := range paths {
			text, err := os.ReadFile(path) //nolint:gosec // a file of the repository
			if err != nil {
				return nil, fmt.Errorf("copying into the chart: %w", err)
			}
			copied[filepath.Join(directory, strings.TrimPrefix(filepath.Base(path), "warmpool.dev_"))] = text
		}
	}
	return copied, nil
}

// replaceDirectory makes a directory hold these files and nothing else.
func replaceDirectory(directory string, files map[string][]byte) error {
	if err := os.RemoveAll(directory); err != nil {
		return fmt.Errorf("emptying %s: %w", directory, err)
	}
	for path, text := range files {
		if err := write(filepath.Join(directory, path), text); err != nil {
			return err
		}
	}
	return nil
}

func write(path string, text []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { //nolint:gosec // a directory of the repository
		return fmt.Errorf("creating the directory of %s: %w", path, err)
	}
	if err := os.WriteFile(path, text, 0o644); err != nil { //nolint:gosec // a file of the repository
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return nil
}
