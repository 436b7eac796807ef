package legacyapi_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/audit"
	"github.com/warmpool-dev/warmpool/internal/legacyapi"
)

var update = flag.Bool("update", false, "write the golden files anew")

// goldenCase is one request in one world.
type goldenCase struct {
	name   string
	worlds []func(*world)
	request
}

// TestGolden holds every route against its golden file: what is answered, what
// is recorded, and what is different in the cluster afterwards.
func TestGolden(t *testing.T) {
	all := routeCases()
	for _, route := range legacyapi.Table() {
		key := route.Method + " " + route.Path
		if len(all[key]) == 0 {
			t.Errorf("%s has no case", key)
			continue
		}
		all[key] = append(all[key], accessCases(route)...)
	}
	all["gone"], all["unknown"] = goneCases(), unknownCases()
	for key, cases := range all {
		t.Run(key, func(t *testing.T) {
			t.Parallel()
			var page strings.Builder
			for _, each := range cases {
				page.WriteString(transcript(t, &each))
			}
			for _, secret := range canaries() {
				if strings.Contains(page.String(), secret) && !mayShow(key, secret) {
					t.Errorf("the secret %s is shown", secret)
				}
			}
			compare(t, key, page.String())
		})
	}
}

// mayShow is true for the one secret that one route hands out, to admins.
func mayShow(key, secret string) bool {
	return key == "POST /api/proxy/warm-pool/claim" && secret == claimToken
}

func compare(t *testing.T, key, got string) {
	t.Helper()
	name := strings.ToLower(strings.Trim(regexp.MustCompile(`[^A-Za-z0-9]+`).ReplaceAllString(strings.ReplaceAll(key, "/api/proxy/", " "), "-"), "-"))
	file := filepath.Join("testdata", "golden", name+".txt")
	if *update {
		if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v; run the tests of this package with -update", err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); diff != "" {
		t.Errorf("%s differs (-want +got):\n%s", file, diff)
	}
}

// transcript carries out one case and writes down everything about it.
func transcript(t *testing.T, each *goldenCase) string {
	t.Helper()
	w := newWorld(t, each.worlds...)
	before := w.snapshot()
	var page strings.Builder
	fmt.Fprintf(&page, "=== %s\n> %s %s\n", each.name, each.method, each.path)
	for _, name := range slices.Sorted(maps.Keys(each.header)) {
		value := strings.NewReplacer(adminKeyValue, "(the key)", wrongKeyValue, "(another key)").Replace(each.header[name])
		fmt.Fprintf(&page, "> %s: %s\n", name, value)
	}
	if each.peer != localPeer {
		fmt.Fprintf(&page, "> from %s\n", each.peer)
	}
	if each.body != "" {
		fmt.Fprintf(&page, "> %s\n", strings.ReplaceAll(each.body, newTokenValue, "(a new token)"))
	}
	response := w.do(each.request)
	defer response.Body.Close()
	fmt.Fprintf(&page, "< %d %s\n", response.StatusCode, response.Header.Get("Content-Type"))
	if allow := response.Header.Get("Allow"); allow != "" {
		fmt.Fprintf(&page, "< Allow: %s\n", allow)
	}
	text := w.text(response)
	if each.method != "HEAD" && !json.Valid([]byte(text)) {
		t.Errorf("%s: the answer is no JSON: %s", each.name, text)
	}
	page.WriteString(readable(text))
	page.WriteString(w.records())
	for _, line := range w.snapshot() {
		if !slices.Contains(before, line) {
			fmt.Fprintf(&page, "now: %s\n", line)
		}
	}
	page.WriteString("\n")
	return regexp.MustCompile(`legacy-[a-z0-9]{5,10}`).ReplaceAllString(page.String(), "legacy-xxxxx")
}

// readable is JSON with one field a line.
func readable(text string) string {
	var out bytes.Buffer
	if err := json.Indent(&out, []byte(text), "", "  "); err != nil {
		return text + "\n"
	}
	return out.String() + "\n"
}

// records are the audit records of the world, oldest first.
func (w *world) records() string {
	w.Helper()
	page, err := w.audit.Query(w.Context(), audit.Query{Limit: 100})
	if err != nil {
		w.Fatal(err)
	}
	var text strings.Builder
	for _, record := range slices.Backward(page.Records) {
		actor := map[audit.Fingerprint]string{
			"": "nobody", w.audit.Fingerprint(adminKeyValue): "the admin", w.audit.Fingerprint(wrongKeyValue): "a stranger",
		}[record.Actor]
		details, err := json.Marshal(record.Details)
		if err != nil {
			w.Fatal(err)
		}
		fmt.Fprintf(&text, "audit: %s %s by %s from %s on %s %s\n", record.Action, record.Outcome, actor, record.Peer, record.Route, details)
	}
	return text.String()
}

// snapshot describes what requests may change, one line each.
func (w *world) snapshot() []string {
	w.Helper()
	var lines []string
	var pools warmpool.WarmPoolList
	var instances warmpool.WarmInstanceList
	var claims warmpool.WarmClaimList
	var secret corev1.Secret
	var deployments appsv1.DeploymentList
	for _, err := range []error{
		w.client.List(w.Context(), &pools), w.client.List(w.Context(), &instances), w.client.List(w.Context(), &claims),
		w.client.List(w.Context(), &deployments), w.client.Get(w.Context(), types.NamespacedName{Namespace: poolNamespace, Name: secretName}, &secret),
	} {
		if err != nil {
			w.Fatal(err)
		}
	}
	for k := range pools.Items {
		spec := &pools.Items[k].Spec
		lines = append(lines, fmt.Sprintf("pool of %d, mode %s, %d GB, script %q, capability %q",
			*spec.Replicas, spec.Mode, spec.Template.DiskGB, spec.Template.ProvisioningScriptURL, spec.Offers.MinComputeCapability))
	}
	for k := range instances.Items {
		each := &instances.Items[k]
		lines = append(lines, fmt.Sprintf("instance %s, ending %v, annotations %v", each.Name, each.DeletionTimestamp != nil, each.Annotations))
	}
	for k := range claims.Items {
		each := &claims.Items[k]
		seconds := int32(0)
		if each.Spec.TTLSeconds != nil {
			seconds = *each.Spec.TTLSeconds
		}
		lines = append(lines, fmt.Sprintf("claim %s on %s for %d s, %q", each.Name, each.Spec.PoolRef.Name, seconds, each.Spec.Holder))
	}
	for name, value := range secret.Data {
		if string(value) == newTokenValue {
			lines = append(lines, "a new value under "+name)
		}
	}
	for k := range deployments.Items {
		lines = append(lines, fmt.Sprintf("deployment, pods with %v", deployments.Items[k].Spec.Template.Annotations))
	}
	slices.Sort(lines)
	return lines
}
