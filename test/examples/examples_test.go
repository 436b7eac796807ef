package examples

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/test/demo"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The pages whose lines of curl are tried, in this order.
var pages = []string{"README.md", "docs/guides/legacy.md"}

// house is make run with what the tests ask it.
type house struct {
	*testing.T
	*demo.Stage
	key string
}

// answer is what a client of old gets.
type answer struct {
	status int
	text   string
	fields map[string]any
}

// send asks the sidecar.
func (h *house) send(method, path, body string, header http.Header) answer {
	h.Helper()
	request, err := http.NewRequestWithContext(h.Context(), method, h.URL+path, strings.NewReader(body))
	if err != nil {
		h.Fatal(err)
	}
	request.Header = header
	asking := &http.Client{Timeout: demo.Patience, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := asking.Do(request)
	if err != nil {
		h.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		h.Fatal(err)
	}
	got := answer{status: response.StatusCode, text: string(text)}
	if err := json.Unmarshal(text, &got.fields); err != nil {
		h.Errorf("%s %s: the answer %d %.200q is no JSON object: %v", method, path, got.status, text, err)
	}
	return got
}

// admin asks with the key and a body in JSON, as scripts of old do.
func (h *house) admin(method, path, body string) answer {
	h.Helper()
	return h.send(method, path, body, http.Header{"X-Admin-Key": {h.key}, "Content-Type": {"application/json"}})
}

// eventually looks until something is true.
func (h *house) eventually(what string, isTrue func() bool) {
	h.Helper()
	const poll = 200 * time.Millisecond
	deadline := time.Now().Add(demo.Patience)
	for !isTrue() {
		if time.Now().After(deadline) {
			h.Fatalf("waited for %s", what)
		}
		time.Sleep(poll)
	}
}

// awaitFree waits until so many instances are ready and held by nobody.
func (h *house) awaitFree(count int) {
	h.Helper()
	h.eventually(fmt.Sprintf("%d free instances", count), func() bool {
		var list warmpool.WarmInstanceList
		if err := h.Client.List(h.Context(), &list, client.InNamespace(h.Namespace)); err != nil {
			h.Fatal(err)
		}
		free := 0
		for k := range list.Items {
			if isFree(&list.Items[k]) {
				free++
			}
		}
		return free >= count
	})
}

func isFree(instance *warmpool.WarmInstance) bool {
	for _, condition := range instance.Status.Conditions {
		if condition.Type == warmpool.ConditionReady && condition.Status == "True" {
			return instance.Spec.ClaimRef == nil && instance.DeletionTimestamp.IsZero()
		}
	}
	return false
}

func (h *house) secret() map[string][]byte {
	h.Helper()
	var secret corev1.Secret
	if err := h.Client.Get(h.Context(), client.ObjectKey{Namespace: h.Namespace, Name: "warmpool-credentials"}, &secret); err != nil {
		h.Fatal(err)
	}
	return secret.Data
}

// want fails the test for an answer of another status, or without these fields of
// these types: a value of nil says that the field is there, whatever it is.
func (h *house) want(got answer, status int, fields map[string]any) {
	h.Helper()
	if got.status != status {
		h.Errorf("the answer is %d %s, want %d", got.status, got.text, status)
	}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		value, there := got.fields[name]
		if !there || (fields[name] != nil && fields[name] != value) {
			h.Errorf("the field %s is %v, want %v in %s", name, value, fields[name], got.text)
		}
	}
}

// TestMakeRun starts the programs once; what is tried on them goes on from what
// was done before, as it does for a person.
func TestMakeRun(t *testing.T) {
	const everything = "--replicas=3 --speed=100 --ceiling=6"
	h := &house{T: t, Stage: demo.Start(t, strings.Fields(everything)...)}
	for _, step := range []struct {
		name string
		run  func(h *house)
	}{
		{"the lines of curl", linesOfCurl}, {"the promises", promises},
	} {
		t.Run(step.name, func(t *testing.T) { step.run(&house{t, h.Stage, h.key}) })
		// The first step learns the key as the documentation says.
		h.key = string(h.secret()["ADMIN_API_KEY"])
	}
}

// example says what a line of curl gets.
type example struct {
	// free is how many free instances it needs.
	free  int
	check func(h *house, got answer)
}

// examples is about every line of curl in the documentation, by its method and path.
func examples() map[string]example {
	return map[string]example{
		"GET /api/proxy/health": {0, func(h *house, got answer) {
			h.want(got, http.StatusOK, map[string]any{"ok": true, "status": nil, "warmPool": nil, "now": nil})
		}},
		"GET /api/proxy/admin/warm-pool": {1, poolIsShown}, "GET /api/proxy/admin/warm-pool/status": {1, poolIsShown},
		"POST /api/proxy/admin/warm-pool/prewarm": {1, func(h *house, got answer) {
			h.want(got, http.StatusOK, map[string]any{"status": "already_present", "instance": nil})
		}},
		"POST /api/proxy/warm-pool/claim": {2, func(h *house, got answer) {
			h.want(got, http.StatusOK, map[string]any{"connectionUrl": nil, "leasedUntil": nil, "contractId": nil, "claim": nil, "token": nil})
			h.claimIsExclusive(got)
		}},
		"GET /api/proxy/comfy/system_stats": {1, func(h *house, got answer) {
			h.want(got, http.StatusOK, map[string]any{"system": nil, "devices": nil})
		}},
		"POST /api/proxy/admin/terminate": {1, func(h *house, got answer) {
			h.want(got, http.StatusOK, map[string]any{"status": "terminated", "details": nil})
			details, _ := got.fields["details"].(map[string]any)
			name, _ := details["instance"].(string)
			h.endIsRecorded(name)
		}},
		"POST /api/proxy/admin/set-tokens": {0, func(h *house, got answer) {
			h.want(got, http.StatusOK, map[string]any{"vastai": true, "civitai": true, "huggingface": nil})
			if token := string(h.secret()["CIVITAI_TOKEN"]); token != "<token>" {
				h.Errorf("the Secret has %q for Civitai", token)
			}
		}},
		"GET /api/proxy/admin/logs": {0, func(h *house, got answer) {
			h.want(got, http.StatusOK, map[string]any{"total": nil, "rows": nil})
			if rows, _ := got.fields["rows"].([]any); len(rows) == 0 || len(rows) > 10 {
				h.Errorf("%d rows", len(rows))
			}
			if !strings.Contains(got.text, `"action":"terminate"`) {
				h.Errorf("the log does not show what was done: %s", got.text)
			}
		}},
	}
}

func poolIsShown(h *house, got answer) {
	h.want(got, http.StatusOK, map[string]any{"desiredSize": nil, "instances": nil, "instance": nil, "isPrewarming": false, "safeMode": false, "lastAction": nil})
	instances, _ := got.fields["instances"].([]any)
	if len(instances) == 0 {
		h.Fatalf("it shows no instance: %s", got.text)
	}
	first, _ := instances[0].(map[string]any)
	for _, field := range []string{"contractId", "status", "connectionUrl", "createdAt", "lastHeartbeat", "leasedUntil", "ssh_host", "ssh_port", "gpu_name", "price"} {
		if _, there := first[field]; !there {
			h.Errorf("an instance has no %s: %v", field, first)
		}
	}
	if first["status"] != "ready" || first["connectionUrl"] == nil {
		h.Errorf("a ready instance shows as %v", first)
	}
}

// claimIsExclusive looks for the holder on the instance, and opens ComfyUI with
// the token of the claim.
func (h *house) claimIsExclusive(got answer) {
	h.Helper()
	name, _ := got.fields["claim"].(string)
	claim := &warmpool.WarmClaim{}
	if err := h.Client.Get(h.Context(), client.ObjectKey{Namespace: h.Namespace, Name: name}, claim); err != nil {
		h.Fatal(err)
	}
	if claim.Status.InstanceRef == nil || claim.Status.Endpoint != got.fields["connectionUrl"] {
		h.Errorf("the claim holds %v at %q, and the answer says %v", claim.Status.InstanceRef, claim.Status.Endpoint, got.fields["connectionUrl"])
	}
	path, _ := got.fields["proxyPath"].(string)
	token, _ := got.fields["token"].(string)
	h.want(h.send(http.MethodGet, path+"system_stats", "", http.Header{"Authorization": {"Bearer " + token}}), http.StatusOK, map[string]any{"devices": nil})
	if refused := h.send(http.MethodGet, path+"system_stats", "", http.Header{"Authorization": {"Bearer no-" + token}}); refused.status != http.StatusForbidden {
		h.Errorf("another token gets %d %s", refused.status, refused.text)
	}
}

// endIsRecorded waits until an instance is on its way out, or gone.
func (h *house) endIsRecorded(name string) {
	h.Helper()
	instance := &warmpool.WarmInstance{}
	err := h.Client.Get(h.Context(), client.ObjectKey{Namespace: h.Namespace, Name: name}, instance)
	if name == "" || (client.IgnoreNotFound(err) != nil) || (err == nil && instance.DeletionTimestamp.IsZero()) {
		h.Errorf("the instance %q goes on: %v", name, err)
	}
}

// exportsOf are the lines of a page that export ADMIN_API_KEY.
func exportsOf(t *testing.T, page string) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", page))
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(strings.Split(string(text), "\n"), func(line string) bool { return !strings.HasPrefix(line, "export ADMIN_API_KEY=") })
}

// linesOfCurl tries every line of curl of the documentation.
func linesOfCurl(h *house) {
	known, used := examples(), map[string]bool{}
	for _, page := range pages {
		exports := exportsOf(h.T, page)
		if len(exports) == 0 {
			h.Errorf("%s does not say how to read the key", page)
		}
		for _, export := range exports {
			h.key = h.Shell(export + `; printf %s "$ADMIN_API_KEY"`)
		}
		lines := curlsOf(h.T, page)
		if len(lines) == 0 {
			h.Errorf("%s has no line of curl any more", page)
		}
		for _, line := range lines {
			h.Run(fmt.Sprintf("%s:%d", line.file, line.number), func(t *testing.T) {
				here := &house{t, h.Stage, h.key}
				expected, isKnown := known[line.name()]
				if !isKnown {
					t.Fatalf("nobody has said what this line gets; add %q to examples: %s", line.name(), line.line)
				}
				used[line.name()] = true
				here.awaitFree(expected.free)
				for name := range line.header {
					line.header.Set(name, strings.ReplaceAll(line.header.Get(name), "$ADMIN_API_KEY", h.key))
				}
				_, path, _ := strings.Cut(line.address, sidecarOfTheDocs)
				expected.check(here, here.send(line.method, path, line.body, line.header))
			})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(known)) {
		if !used[name] && name != "GET /api/proxy/admin/warm-pool" {
			h.Errorf("no line of the documentation is about %s any more", name)
		}
	}
}
