package plugin

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/yaml"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
)

// update writes the golden outputs anew. The objects come from
// "bin/situations --objects internal/plugin/testdata/situations".
var update = flag.Bool("update", false, "write the golden outputs anew")

// TestSituations shows what every looking command prints in the five situations of
// docs/reference/situations.md, whose objects are those of a run of the operator.
func TestSituations(t *testing.T) {
	for _, situation := range []string{"healthy", "ceiling", "no-offers", "wrong-key", "failing-template"} {
		objects, now := situationObjects(t, situation)
		for name, line := range map[string]string{
			"status": "status", "status-wide": "status sdxl -o wide", "why": "why sdxl", "why-json": "why sdxl -o json",
			"plan": "plan sdxl", "cost": "cost -o wide", "instances": "instances -A", "status-yaml": "status -o yaml",
		} {
			t.Run(situation+"/"+name, func(t *testing.T) {
				call := newCall(t, fakeClient(t, objects...), situation)
				call.clock.SetTime(now)
				if code := call.run(line); code != ExitOK {
					t.Fatalf("exit code %d: %s", code, call.errors())
				}
				golden(t, situation+"."+name+".txt", call.output())
			})
		}
	}
}

// golden compares a text with a file.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", "golden", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v; run go test ./internal/plugin -update", err)
	}
	if difference := cmp.Diff(string(want), got); difference != "" {
		t.Errorf("%s (-want +got):\n%s", path, difference)
	}
}

// situationObjects reads the objects of a situation, and when they were as they are.
func situationObjects(t *testing.T, situation string) ([]client.Object, time.Time) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "situations", situation+".yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var list unstructured.UnstructuredList
	if err := yaml.Unmarshal(text, &list); err != nil {
		t.Fatal(err)
	}
	made := map[string]func() client.Object{
		kindPool: func() client.Object { return &warmpool.WarmPool{} }, kindInstance: func() client.Object { return &warmpool.WarmInstance{} },
		kindAccount: func() client.Object { return &warmpool.VastAccount{} }, kindClaim: func() client.Object { return &warmpool.WarmClaim{} },
	}
	var objects []client.Object
	var now time.Time
	for k := range list.Items {
		object := made[list.Items[k].GetKind()]()
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(list.Items[k].Object, object); err != nil {
			t.Fatal(err)
		}
		if account, isAccount := object.(*warmpool.VastAccount); isAccount {
			now = account.Status.LastSweep.Time.Time
		}
		objects = append(objects, object)
	}
	if len(objects) < 3 || now.IsZero() {
		t.Fatalf("%s holds %d objects, the last sweep at %v", situation, len(objects), now)
	}
	return objects, now
}

// fakeClient holds objects with their status, their names and their times as they are.
func fakeClient(t *testing.T, objects ...client.Object) client.Client {
	t.Helper()
	scheme, err := Scheme()
	if err != nil {
		t.Fatal(err)
	}
	return fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).Build()
}

// TestMissingObjects says what people read who mistype a name, look into the wrong
// namespace, or have no account.
func TestMissingObjects(t *testing.T) {
	objects, _ := situationObjects(t, "healthy")
	for name, test := range map[string]struct {
		line, namespace string
		code            int
		want            string
	}{
		"pool":          {"why sdx", "healthy", ExitFailed, `there is no WarmPool "sdx" in namespace "healthy": kubectl get warmpools -A shows`},
		"status":        {"status sdx", "healthy", ExitFailed, `there is no WarmPool "sdx" in namespace "healthy"`},
		"namespace":     {"status", "default", ExitOK, `There is no pool and no account in namespace "default": -A looks into all namespaces.`},
		"no instances":  {"instances", "default", ExitOK, `There is no such instance in namespace "default"`},
		"instance":      {"ssh sdxl-nobody", "healthy", ExitFailed, `there is no WarmInstance "sdxl-nobody"`},
		"claim":         {"open claim/job", "healthy", ExitFailed, `there is no WarmClaim "job"`},
		"account":       {"emergency-stop other", "healthy", ExitFailed, `there is no VastAccount "other"`},
		"no argument":   {"why", "healthy", ExitUsage, "kubectl warmpool why takes one pool, and 0 arguments were given"},
		"flag":          {"why sdxl --nonsense", "healthy", ExitUsage, "unknown flag: --nonsense; see kubectl warmpool why --help"},
		"command":       {"wy sdxl", "healthy", ExitUsage, `there is no command "wy"`},
		"output":        {"why sdxl -o xml", "healthy", ExitUsage, `--output is "xml", and can be json, yaml`},
		"audit command": {"audit nonsense", "healthy", ExitUsage, `there is no command "nonsense"`},
		"negative ttl":  {"claim sdxl --ttl=-5m", "healthy", ExitUsage, "--ttl is -5m0s"},
		"tail":          {"logs x --tail=0", "healthy", ExitUsage, "--tail is 0, and can be 1 to 1000"},
		"rental":        {"abandon sdxl twelve", "healthy", ExitUsage, `"twelve" is no number of a rental`},
		"adopt":         {"adopt 12 --secret=x", "healthy", ExitUsage, "--pool is missing"},
		"adopt secret":  {"adopt 12 --pool=sdxl", "healthy", ExitUsage, "--secret is missing"},
		"no secret":     {"adopt 12 --pool=sdxl --secret=old", "healthy", ExitFailed, `there is no Secret "old" in namespace "healthy": kubectl -n healthy create secret generic old`},
		"published":     {"audit verify --dir=x --published", "healthy", ExitUsage, "--published needs --component"},
		"no dir":        {"audit verify", "healthy", ExitFailed, "--dir is missing"},
	} {
		t.Run(name, func(t *testing.T) {
			call := newCall(t, fakeClient(t, objects...), test.namespace)
			if code := call.run(test.line); code != test.code {
				t.Errorf("exit code %d, want %d", code, test.code)
			}
			if !strings.Contains(call.errors(), test.want) {
				t.Errorf("said %q, want it to contain %q", call.errors(), test.want)
			}
			if call.output() != "" {
				t.Errorf("printed %q", call.output())
			}
		})
	}
}

// TestPoolWithoutAccount shows a pool that nobody pays for.
func TestPoolWithoutAccount(t *testing.T) {
	one := int32(1)
	pool := &warmpool.WarmPool{
		ObjectMeta: metav1.ObjectMeta{Namespace: "lost", Name: "sdxl"},
		Spec: warmpool.WarmPoolSpec{
			Replicas: &one, Mode: warmpool.PoolActive, AccountRef: warmpool.LocalReference{Name: "gone"},
			Cost: warmpool.PoolCost{CeilingUSDPerHour: "1.00"},
		},
	}
	for name, line := range map[string]string{"status": "status", "why": "why sdxl", "plan": "plan sdxl", "cost": "cost"} {
		t.Run(name, func(t *testing.T) {
			call := newCall(t, fakeClient(t, pool.DeepCopy()), "lost")
			if code := call.run(line); code != ExitOK {
				t.Fatalf("exit code %d: %s", code, call.errors())
			}
			golden(t, "lost."+name+".txt", call.output())
		})
	}
}

// TestHostileTexts puts what strangers write onto no terminal as it is.
func TestHostileTexts(t *testing.T) {
	objects, _ := situationObjects(t, "failing-template")
	const evil = "\x1b]0;owned\x07\x1b[2Jharmless\r\nsecond"
	for _, object := range objects {
		switch object := object.(type) {
		case *warmpool.WarmPool:
			for k := range object.Status.Failures.Recent {
				object.Status.Failures.Recent[k].LogTail, object.Status.Failures.Recent[k].Message = evil, evil
			}
			for k := range object.Status.Conditions {
				object.Status.Conditions[k].Message = evil
			}
		case *warmpool.WarmInstance:
			if object.Status.Rental != nil {
				object.Status.Rental.GPUName, object.Status.Rental.Geolocation = evil, evil
			}
			object.Status.Endpoints = []warmpool.InstanceEndpoint{{Name: endpointComfyUI, URL: "https://203.0.113.1/" + evil}}
			for k := range object.Status.Conditions {
				object.Status.Conditions[k].Message = evil
			}
		}
	}
	for _, line := range []string{"status -o wide", "why sdxl", "plan sdxl", "cost", "instances -o wide"} {
		call := newCall(t, fakeClient(t, objects...), "failing-template")
		if code := call.run(line); code != ExitOK {
			t.Errorf("%s: exit code %d: %s", line, code, call.errors())
		}
		if text := call.output() + call.errors(); strings.ContainsAny(text, "\x1b\x07\r") || !strings.Contains(line+text, "harmless") && line != "cost" {
			t.Errorf("%s printed %q", line, text)
		}
	}
}

// TestEveryFilterHasAField keeps the table of filters complete: a filter of the
// planner that is not in it would be shown without its field.
func TestEveryFilterHasAField(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "planner", "offers.go"))
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) == 4 && strings.HasPrefix(fields[0], "Filter") && fields[1] == "OfferFilter" {
			found++
			if name := strings.Trim(fields[3], `"`); orderOf(name) == len(filterSources()) {
				t.Errorf("filterSources has no %s", name)
			} else if orderOf(name) != found-1 {
				t.Errorf("%s is number %d of the table and number %d of the planner", name, orderOf(name)+1, found)
			}
		}
	}
	if found != len(filterSources()) {
		t.Errorf("the planner has %d filters, the table %d", found, len(filterSources()))
	}
}
