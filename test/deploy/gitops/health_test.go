// Package gitops tests what Argo CD and kstatus make of our objects: the health
// checks in config/argocd with the interpreter that Argo CD uses, and the
// conditions with kstatus's own library.
package gitops

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
	"sigs.k8s.io/yaml"

	"github.com/warmpool-dev/warmpool/test/deploy/internal/render"
)

// kinds are those that Argo CD has a health check for.
var kinds = []string{"VastAccount", "WarmClaim", "WarmInstance", "WarmPool"}

// state is one state of an object in testdata.
type state struct {
	Name string        `json:"name"`
	Want render.Health `json:"want"`
	// Kstatus is what kstatus says where it cannot mean the same.
	Kstatus status.Status `json:"kstatus"`
	// Generation is 1 by default.
	Generation int64          `json:"generation"`
	Deleting   bool           `json:"deleting"`
	Mode       string         `json:"mode"`
	Status     map[string]any `json:"status"`
}

// object is the object in this state. Conditions are written "Status Reason" in
// testdata; an observed generation that is not given is the present one.
func (s *state) object(kind string) *unstructured.Unstructured {
	generation := max(s.Generation, 1)
	metadata := map[string]any{"name": "one", "namespace": "default", "generation": generation}
	if s.Deleting {
		metadata["deletionTimestamp"] = "2026-05-01T00:00:00Z"
	}
	spec := map[string]any{}
	if s.Mode != "" {
		spec["mode"] = s.Mode
	}
	told := map[string]any{}
	for key, value := range s.Status {
		told[key] = value
	}
	if observed, given := told["observedGeneration"].(float64); given {
		told["observedGeneration"] = int64(observed)
	} else if told["conditions"] != nil && kind != "WarmInstance" {
		told["observedGeneration"] = generation
	}
	if short, given := told["conditions"].(map[string]any); given {
		var conditions []any
		for conditionType, text := range short {
			answer, reason, _ := strings.Cut(fmt.Sprint(text), " ")
			conditions = append(conditions, map[string]any{"type": conditionType, "status": answer, "reason": reason, "message": "In words."})
		}
		told["conditions"] = conditions
	}
	object := map[string]any{"apiVersion": "warmpool.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec}
	if len(told) > 0 {
		object["status"] = told
	}
	return &unstructured.Unstructured{Object: object}
}

func states(t *testing.T, kind string) []state {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", kind+".yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var read []state
	if err := yaml.UnmarshalStrict(text, &read); err != nil {
		t.Fatal(err)
	}
	return read
}

// TestHealthInEveryState prints what Argo CD and kstatus say of every state, and
// fails where they do not mean the same.
func TestHealthInEveryState(t *testing.T) {
	var table strings.Builder
	columns := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	fmt.Fprintln(columns, "KIND\tSTATE\tARGO CD\tKSTATUS\tMESSAGE")
	for _, kind := range kinds {
		var seen []string
		for _, one := range states(t, kind) {
			said, err := render.Agree(one.object(kind))
			fmt.Fprintf(columns, "%s\t%s\t%s\t%s\t%s\n", kind, one.Name, said.Health.Status, said.Kstatus, said.Health.Message)
			if said.Health.Status != one.Want.Status || !strings.Contains(said.Health.Message, one.Want.Message) {
				t.Errorf("%s, %s: Argo CD says %s (%s), want %s (%s)", kind, one.Name, said.Health.Status, said.Health.Message, one.Want.Status, one.Want.Message)
			}
			switch {
			case one.Kstatus != "" && said.Kstatus != one.Kstatus:
				t.Errorf("%s, %s: kstatus says %s, want the exception %s", kind, one.Name, said.Kstatus, one.Kstatus)
			case one.Kstatus == "" && err != nil:
				t.Errorf("%s: %v", one.Name, err)
			}
			seen = append(seen, said.Health.Status)
		}
		wanted := []string{"Degraded", "Healthy", "Progressing", "Suspended"}
		if kind == "WarmInstance" {
			wanted = wanted[:3] // nobody can switch a single instance off
		}
		for _, status := range wanted {
			if !slices.Contains(seen, status) {
				t.Errorf("no state of a %s is %s", kind, status)
			}
		}
	}
	if err := columns.Flush(); err != nil {
		t.Fatal(err)
	}
	t.Logf("\n%s", table.String())
}
