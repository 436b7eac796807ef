package render

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/engine"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// Root is the way from a package of tests to the root of the repository.
const Root = "../../.."

// Options say how the chart is rendered.
type Options struct {
	// Directory of the chart; empty is that of the repository.
	Directory string
	// Release and Namespace are "warmpool" and "warmpool-system" by default.
	Release, Namespace string
	// Values in YAML.
	Values string
	// APIVersions that the cluster serves beside the built-in ones.
	APIVersions []string
}

// Rendered is what the chart makes.
type Rendered struct {
	// Objects are all objects, those of hooks included, in the order of the files.
	Objects []*unstructured.Unstructured
	// Notes is what is printed after an installation.
	Notes string
}

// Chart renders the chart as "helm template" does, schema included.
func Chart(options Options) (*Rendered, error) {
	if options.Directory == "" {
		options.Directory = path.Join(Root, "charts", "warmpool")
	}
	if options.Release == "" {
		options.Release = "warmpool"
	}
	if options.Namespace == "" {
		options.Namespace = "warmpool-system"
	}
	chart, err := loader.LoadDir(options.Directory)
	if err != nil {
		return nil, fmt.Errorf("loading the chart: %w", err)
	}
	var values map[string]any
	if err = yaml.Unmarshal([]byte(options.Values), &values); err != nil {
		return nil, fmt.Errorf("reading the values: %w", err)
	}
	capabilities := common.DefaultCapabilities.Copy()
	capabilities.APIVersions = append(capabilities.APIVersions, options.APIVersions...)
	release := common.ReleaseOptions{Name: options.Release, Namespace: options.Namespace, Revision: 1, IsInstall: true}
	ready, err := util.ToRenderValues(chart, values, release, capabilities)
	if err != nil {
		return nil, fmt.Errorf("checking the values: %w", err)
	}
	files, err := engine.Render(chart, ready)
	if err != nil {
		return nil, fmt.Errorf("rendering the chart: %w", err)
	}
	rendered := &Rendered{}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if strings.HasSuffix(name, "/NOTES.txt") {
			rendered.Notes = files[name]
			continue
		}
		objects, err := Parse(files[name])
		if err != nil {
			return nil, fmt.Errorf("reading what %s makes: %w", name, err)
		}
		rendered.Objects = append(rendered.Objects, objects...)
	}
	return rendered, nil
}

// Parse reads the objects of a stream of YAML documents. A key that is there twice
// is an error.
func Parse(text string) ([]*unstructured.Unstructured, error) {
	var objects []*unstructured.Unstructured
	for document := range strings.SplitSeq("\n"+text, "\n---") {
		var object map[string]any
		if err := yaml.UnmarshalStrict([]byte(document), &object); err != nil {
			return nil, fmt.Errorf("%w in\n%s", err, document)
		}
		if len(object) > 0 {
			objects = append(objects, &unstructured.Unstructured{Object: object})
		}
	}
	return objects, nil
}

// Key names an object for people and for maps.
func Key(object *unstructured.Unstructured) string {
	return fmt.Sprintf("%s %s/%s", object.GetKind(), object.GetNamespace(), object.GetName())
}
