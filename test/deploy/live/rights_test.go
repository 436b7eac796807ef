package live

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/onsi/gomega"
	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/warmpool-dev/warmpool/test/deploy/internal/render"
)

// rights are those that operators have used, written "verb resource.group".
var rights = struct {
	sync.Mutex
	used map[string]bool
}{used: map[string]bool{}}

// roundTripper is a function that sends a request.
type roundTripper func(*http.Request) (*http.Response, error)

// RoundTrip implements http.RoundTripper.
func (r roundTripper) RoundTrip(request *http.Request) (*http.Response, error) { return r(request) }

// recordRights notes the right that each request needs and was given.
func recordRights(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(sent *http.Request) (*http.Response, error) {
		answer, err := next.RoundTrip(sent)
		if err == nil && answer.StatusCode != http.StatusForbidden {
			rights.Lock()
			defer rights.Unlock()
			rights.used[rightOf(sent)] = true
		}
		return answer, err
	})
}

// rightOf is the right that a request needs.
func rightOf(sent *http.Request) string {
	group, parts := "", strings.Split(strings.Trim(sent.URL.Path, "/"), "/")
	switch {
	case parts[0] == "apis" && len(parts) > 3:
		group, parts = parts[1], parts[3:]
	case parts[0] == "api" && len(parts) > 2:
		parts = parts[2:]
	default:
		return ""
	}
	if parts[0] == "namespaces" && len(parts) > 2 {
		parts = parts[2:]
	}
	resource, named := parts[0], len(parts) > 1
	if len(parts) > 2 {
		resource += "/" + parts[2]
	}
	verb := map[string]string{http.MethodPost: "create", http.MethodPut: "update", http.MethodPatch: "patch", http.MethodDelete: "delete", http.MethodGet: "get"}[sent.Method]
	switch {
	case verb == "get" && sent.URL.Query().Get("watch") != "":
		verb = "watch"
	case verb == "get" && !named:
		verb = "list"
	}
	return verb + " " + resource + "." + group
}

// unusedRights are those that the manager's roles grant and no operator has used.
func unusedRights() ([]string, error) {
	rights.Lock()
	defer rights.Unlock()
	var unused []string
	for _, path := range []string{"namespaced/role.yaml", "leader_election_role.yaml"} {
		text, err := os.ReadFile(filepath.Join(render.Root, "config", "rbac", path))
		if err != nil {
			return nil, err
		}
		var role rbacv1.Role
		if err := yaml.Unmarshal(text, &role); err != nil {
			return nil, err
		}
		for _, rule := range role.Rules {
			for _, group := range rule.APIGroups {
				for _, resource := range rule.Resources {
					for _, verb := range rule.Verbs {
						if right := verb + " " + resource + "." + group; !rights.used[right] && !isForOtherTimes(right) {
							unused = append(unused, right)
						}
					}
				}
			}
		}
	}
	slices.Sort(unused)
	return unused, nil
}

// isForOtherTimes is true for what is needed elsewhere: an event that is told again
// within minutes is counted on the first one, by a patch; and a cache lists what it
// watches where the API server, as of Kubernetes 1.29, cannot stream the list.
func isForOtherTimes(right string) bool {
	return right == "patch events.events.k8s.io" || right == "list vastaccounts.warmpool.dev"
}

// TestWhatElseTheRoleIsFor has a pool that trusts authorities of a ConfigMap, reads
// its environment from a Secret, and serves a claim.
func TestWhatElseTheRoleIsFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t, plane.Namespace(t)).mayWorkInItsNamespace()
	w.create(w.secret(), w.account(),
		&corev1.ConfigMap{ObjectMeta: w.named("authorities"), Data: map[string]string{"ca.crt": "nobody is trusted"}},
		w.pool("claimed", 0),
	)
	trusting := w.pool("trusting", 1)
	trusting.Spec.Template.TLS = &warmpool.TLSSettings{Mode: warmpool.TLSCA, CAConfigMapRef: &warmpool.LocalReference{Name: "authorities"}}
	claim := &warmpool.WarmClaim{ObjectMeta: w.named("mine"), Spec: warmpool.WarmClaimSpec{PoolRef: warmpool.LocalReference{Name: "claimed"}}}
	w.create(trusting, claim)
	w.startOperator()
	w.eventually(func(g gomega.Gomega) {
		w.agree()
		var now warmpool.WarmClaim
		g.Expect(plane.Client.Get(t.Context(), client.ObjectKeyFromObject(claim), &now)).To(gomega.Succeed())
		g.Expect(now.Status.CredentialsSecretRef).NotTo(gomega.BeNil(), fmt.Sprint(now.Status.Conditions))
		rights.Lock()
		defer rights.Unlock()
		g.Expect(rights.used).To(gomega.HaveKey("get configmaps."), "the authorities are not read yet")
	})
	if err := plane.Client.Delete(t.Context(), claim); err != nil {
		t.Fatal(err)
	}
	w.deleteAll("pools")
	w.eventually(func(g gomega.Gomega) {
		w.agree()
		g.Expect(w.vast.Meter().Live("")).To(gomega.BeEmpty())
	})
}
