package chart

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/warmpool-dev/warmpool/internal/options"
	"github.com/warmpool-dev/warmpool/test/deploy/internal/render"
)

// TestTheAPIServerAcceptsEveryValuesFile renders each file of values and lets a
// real API server look at every object: unknown fields, validation, CEL, and Pod
// Security "restricted" for every pod.
func TestTheAPIServerAcceptsEveryValuesFile(t *testing.T) {
	for name, values := range valuesFiles(t) {
		t.Run(name, func(t *testing.T) {
			namespace := restrictedNamespace(t)
			for _, team := range []string{"team-a", "team-b"} {
				made := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: team}}
				if err := client.IgnoreAlreadyExists(plane.Client.Create(t.Context(), made)); err != nil {
					t.Fatal(err)
				}
			}
			values = strings.ReplaceAll(values, "warmpool-system", namespace)
			seen := map[string]bool{}
			for _, object := range rendered(t, render.Options{Values: values, Namespace: namespace, Directory: observed(t)}) {
				key := render.Key(object)
				if seen[key] {
					t.Errorf("%s is made twice", key)
				}
				seen[key] = true
				if labels := object.GetLabels(); labels["app.kubernetes.io/instance"] != "warmpool" || labels["app.kubernetes.io/name"] != "warmpool" {
					t.Errorf("%s has the labels %v, want those of the release", key, labels)
				}
				if !isServed(object) {
					continue
				}
				if err := apply(t.Context(), plane.Client, object, client.DryRunAll); err != nil {
					t.Errorf("%s: %v", key, err)
				}
				for _, pod := range podsOf(t, object) {
					checkPod(t, namespace, pod)
				}
			}
		})
	}
}

// podsOf are the pods that an object would make.
func podsOf(t *testing.T, object *unstructured.Unstructured) []*corev1.Pod {
	t.Helper()
	switch object.GetKind() {
	case "Deployment":
		return []*corev1.Pod{{ObjectMeta: metav1.ObjectMeta{Name: "manager"}, Spec: convert[appsv1.Deployment](t, object).Spec.Template.Spec}}
	case "Job":
		return []*corev1.Pod{{ObjectMeta: metav1.ObjectMeta{Name: "uninstall"}, Spec: convert[batchv1.Job](t, object).Spec.Template.Spec}}
	case "Pod":
		return []*corev1.Pod{{ObjectMeta: metav1.ObjectMeta{Name: "check"}, Spec: convert[corev1.Pod](t, object).Spec}}
	default:
		return nil
	}
}

// checkPod lets Pod Security and the programs' own flags look at a pod.
func checkPod(t *testing.T, namespace string, pod *corev1.Pod) {
	t.Helper()
	pod.Namespace = namespace
	// The class that the test names is there in every cluster, but not who may use it where.
	pod.Spec.PriorityClassName = ""
	if err := plane.Client.Create(t.Context(), pod.DeepCopy(), client.DryRunAll); err != nil {
		t.Errorf("the pod %s is not admitted: %v", pod.Name, err)
	}
	nothing := func(string) (string, bool) { return "", false }
	for k := range pod.Spec.Containers {
		container := &pod.Spec.Containers[k]
		var err error
		switch {
		case container.Name == "sidecar":
			_, err = options.ParseSidecar(container.Args, nothing)
		case container.Args[0] == "check":
			_, err = options.ParseCheck(container.Args[1:], nothing)
		case container.Args[0] == "uninstall":
			_, err = options.ParseUninstall(container.Args[1:], nothing)
		default:
			_, err = options.ParseManager(container.Args, nothing)
		}
		if err != nil {
			t.Errorf("the container %s does not understand its arguments: %v", container.Name, err)
		}
		if container.Command[0] != "/manager" && container.Command[0] != "/sidecar" {
			t.Errorf("the container %s runs %v, which is not in the image", container.Name, container.Command)
		}
	}
}

// TestValuesAreRefused says for each bad value what the user reads.
func TestValuesAreRefused(t *testing.T) {
	const account = `account: {create: true, spec: {ceilingUSDPerHour: "6.00"}}` + "\n"
	for name, refused := range map[string]struct{ values, want string }{
		"unknown":                        {`replicas: 2`, "additional properties 'replicas' not allowed"},
		"unknown below":                  {`manager: {replica: 2}`, "at '/manager': additional properties 'replica' not allowed"},
		"text for a number":              {`manager: {replicas: "2"}`, "at '/manager/replicas': got string, want integer"},
		"too many":                       {`manager: {replicas: 50}`, "at '/manager/replicas': maximum"},
		"not one of them":                {`image: {pullPolicy: Sometimes}`, "at '/image/pullPolicy': value must be one of 'IfNotPresent', 'Always', 'Never'"},
		"a digest that is none":          {`image: {digest: latest}`, "at '/image/digest'"},
		"money as a number":              {`account: {create: true, spec: {ceilingUSDPerHour: 6.00}}`, "at '/account/spec/ceilingUSDPerHour': got number, want string"},
		"a field that no account has":    {`account: {create: true, spec: {ceiling: "6.00"}}`, "additional properties 'ceiling' not allowed"},
		"a field that no pool has":       {`pools: {sdxl: {cost: {ceilingUSDPerHour: "1.50"}, offers: {gpuName: [RTX 4090]}}}`, "at '/pools/sdxl/offers': additional properties 'gpuName' not allowed"},
		"a pool without a ceiling":       {`pools: {sdxl: {replicas: 1, cost: {}}}`, "at '/pools/sdxl/cost': missing property 'ceilingUSDPerHour'"},
		"a pool with a bad name":         {`pools: {SDXL: {cost: {ceilingUSDPerHour: "1.50"}}}`, "invalid propertyName 'SDXL'"},
		"a mode that no pool has":        {`pools: {sdxl: {mode: Off, cost: {ceilingUSDPerHour: "1.50"}}}`, "at '/pools/sdxl/mode'"},
		"an account without a ceiling":   {`account: {create: true}`, `account.spec.ceilingUSDPerHour: give the most that everything in the Vast.ai account may cost in an hour, in quotes`},
		"a Secret without a key":         {`credentials: {create: true}`, "credentials.data.VASTAI_API_KEY: give the API key"},
		"namespaces without an id":       {`watchNamespaces: [a]`, "installationID: give 1 to 8 lower-case letters or digits"},
		"an account out of sight":        {account + "watchNamespaces: [a]\ninstallationID: x\n", `watchNamespaces: add "warmpool-system"`},
		"a sidecar of no pool":           {`sidecar: {enabled: true}`, "sidecar.pool: name the pool"},
		"two replicas on one volume":     {`audit: {storage: PersistentClaim, claim: {accessModes: [ReadWriteOnce]}}`, "audit.claim.accessModes: several replicas need ReadWriteMany"},
		"an audit log nowhere":           {`audit: {storage: HostPath}`, "value must be one of 'None', 'EmptyDir', 'PersistentClaim'"},
		"an id that is too long":         {`installationID: production`, "at '/installationID'"},
		"a ServiceAccount of no name":    {`serviceAccount: {create: false}`, "serviceAccount.name: name the ServiceAccount that is there"},
		"an argument that is no flag":    {`manager: {extraArgs: [pprof]}`, "at '/manager/extraArgs/0'"},
		"a port out of range":            {`networkPolicy: {dns: {ports: [70000]}}`, "at '/networkPolicy/dns/ports/0': maximum"},
		"a wait that is no duration":     {`manager: {leaderElection: {leaseDuration: 30}}`, "at '/manager/leaderElection/leaseDuration': got number, want string"},
		"a switch that is not on or off": {`crds: {enabled: "yes"}`, "at '/crds/enabled': got string, want boolean"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := render.Chart(render.Options{Values: refused.values})
			if err == nil || !strings.Contains(err.Error(), refused.want) {
				t.Errorf("the chart says %v, want %q in it", err, refused.want)
			}
		})
	}
}

// TestCRDsAreThoseOfTheRepository compares the kinds of the chart with config/crd,
// numbers included, and wants them kept.
func TestCRDsAreThoseOfTheRepository(t *testing.T) {
	own := kustomized(t, "config/crd")
	count := 0
	for _, object := range rendered(t, render.Options{}) {
		if object.GetKind() != "CustomResourceDefinition" {
			continue
		}
		count++
		if object.GetAnnotations()["helm.sh/resource-policy"] != "keep" {
			t.Errorf("%s goes with the release, and every pool with it", object.GetName())
		}
		if difference := diff(find(t, own, object.GetKind(), object.GetName()).Object["spec"], object.Object["spec"]); difference != "" {
			t.Errorf("%s differs from config/crd:\n%s", object.GetName(), difference)
		}
	}
	if count != len(own) {
		t.Errorf("the chart has %d kinds, want %d", count, len(own))
	}
}

// TestNotesPrintTheNextCommand reads what is printed after an installation.
func TestNotesPrintTheNextCommand(t *testing.T) {
	for name, printed := range map[string]struct{ values, want string }{
		"nothing":   {``, "--set account.create=true --set-string account.spec.ceilingUSDPerHour=6.00"},
		"no Secret": {`account: {create: true, spec: {ceilingUSDPerHour: "6.00"}}`, "create secret generic warmpool-credentials"},
		"no pool": {`
credentials: {create: true, data: {VASTAI_API_KEY: not-a-key}}
account: {create: true, spec: {ceilingUSDPerHour: "6.00"}}`, "--set pools.sdxl.replicas=2"},
		"all": {`
credentials: {create: true, data: {VASTAI_API_KEY: not-a-key}}
account: {create: true, spec: {ceilingUSDPerHour: "6.00"}}
pools: {sdxl: {cost: {ceilingUSDPerHour: "1.50"}}}`, "kubectl -n warmpool-system get warmpools --watch"},
	} {
		t.Run(name, func(t *testing.T) {
			chart, err := render.Chart(render.Options{Values: printed.values})
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(chart.Notes, printed.want) {
				t.Errorf("the notes are\n%s\nwant %q in them", chart.Notes, printed.want)
			}
			if strings.Contains(chart.Notes, "not-a-key") {
				t.Error("the notes show the key")
			}
		})
	}
}

// TestPlainObjectsWithoutACluster wants no hooks for accounts and pools where
// nothing can be looked up, as in "helm template" and Argo CD: a hook there would
// be deleted and made again at every sync.
func TestPlainObjectsWithoutACluster(t *testing.T) {
	objects := rendered(t, render.Options{Values: valuesFiles(t)["account-and-pools"]})
	for _, object := range []*unstructured.Unstructured{find(t, objects, "VastAccount", "default"), find(t, objects, "WarmPool", "sdxl")} {
		for annotation := range object.GetAnnotations() {
			if strings.HasPrefix(annotation, "helm.sh/hook") {
				t.Errorf("%s has %s", render.Key(object), annotation)
			}
		}
	}
}

// observed is the chart with alerts and a dashboard, whatever config/observability has.
func observed(t *testing.T) string {
	t.Helper()
	directory := t.TempDir()
	if err := os.CopyFS(directory, os.DirFS(filepath.Join(render.Root, "charts", "warmpool"))); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"alerts.yaml":    "groups:\n- name: warmpool\n  rules:\n  - {alert: Leak, expr: 'warmpool_leaks > 0', annotations: {summary: '{{ $labels.account }} leaks'}}\n",
		"dashboard.json": `{"title": "Warmpool", "panels": [{"title": "{{account}}"}]}`,
	} {
		if err := os.WriteFile(filepath.Join(directory, "files", name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return directory
}

// TestAlertsAndDashboardAreWrapped wants both as they are, braces included.
func TestAlertsAndDashboardAreWrapped(t *testing.T) {
	objects := rendered(t, render.Options{Values: valuesFiles(t)["monitoring"], Directory: observed(t)})
	rule := find(t, objects, "PrometheusRule", "warmpool-manager")
	text, err := rule.MarshalJSON()
	if err != nil || !strings.Contains(string(text), `"summary":"{{ $labels.account }} leaks"`) {
		t.Errorf("the PrometheusRule is %s (%v), want the alert in it", text, err)
	}
	data := convert[corev1.ConfigMap](t, find(t, objects, "ConfigMap", "warmpool-dashboard")).Data
	if got, want := data["warmpool-dashboard.json"], `{"title": "Warmpool", "panels": [{"title": "{{account}}"}]}`; got != want {
		t.Errorf("the dashboard is %s, want %s", got, want)
	}
	for _, kind := range []string{"ServiceMonitor", "PrometheusRule"} {
		if labels := find(t, objects, kind, "warmpool-manager").GetLabels(); labels["release"] != "prometheus" {
			t.Errorf("the %s has the labels %v, want those that Prometheus selects", kind, labels)
		}
	}
}
