package testkit

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/yaml"
)

const (
	// managerUser is bound to the manager's role, and to nothing else.
	managerUser = "warmpool-manager"
	// roleTimeout bounds the wait until the API server's authorizer knows a binding.
	roleTimeout = 30 * time.Second
	// rolePoll is how often it is asked.
	rolePoll = 50 * time.Millisecond
)

// ManagerRESTConfig returns a connection as a user who may do exactly what the
// generated config/rbac/role.yaml allows, so that a call without an RBAC marker
// fails in tests as it would in a cluster. In each of the lease namespaces the
// user has the leader-election role, too, as config/rbac grants it in the
// manager's own namespace.
func (p *ControlPlane) ManagerRESTConfig(tb testing.TB, leaseNamespaces ...string) *rest.Config {
	tb.Helper()
	config, err := p.managerRESTConfig(tb.Context(), leaseNamespaces)
	if err != nil {
		tb.Fatal(err)
	}
	return config
}

// managerRESTConfig applies the roles, binds them and waits until they are in force.
func (p *ControlPlane) managerRESTConfig(ctx context.Context, leaseNamespaces []string) (*rest.Config, error) {
	role := &rbacv1.ClusterRole{}
	if err := readOne(filepath.Join(p.root, "config", "rbac", "role.yaml"), "ClusterRole", role); err != nil {
		return nil, err
	}
	if err := p.bindClusterRole(ctx, role); err != nil {
		return nil, err
	}
	user, err := p.environment.AddUser(envtest.User{Name: managerUser}, &rest.Config{QPS: p.Config.QPS, Burst: p.Config.Burst})
	if err != nil {
		return nil, fmt.Errorf("adding the manager's user: %w", err)
	}
	config := user.Config()
	if err := p.waitForRules(ctx, config, "", role.Rules); err != nil {
		return nil, err
	}
	for _, namespace := range leaseNamespaces {
		election := &rbacv1.Role{}
		if err := readOne(filepath.Join(p.root, "config", "rbac", "leader_election_role.yaml"), "Role", election); err != nil {
			return nil, err
		}
		election.Namespace = namespace
		if err := p.bindRole(ctx, election); err != nil {
			return nil, err
		}
		if err := p.waitForRules(ctx, config, namespace, election.Rules); err != nil {
			return nil, err
		}
	}
	return config, nil
}

// bindClusterRole writes a cluster role and binds the manager's user to it.
func (p *ControlPlane) bindClusterRole(ctx context.Context, role *rbacv1.ClusterRole) error {
	current := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: role.Name}}
	binding := &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: role.Name}}
	return errors.Join(
		p.ensure(ctx, current, func() { current.Rules = role.Rules }),
		p.ensure(ctx, binding, func() { binding.RoleRef, binding.Subjects = bindingParts("ClusterRole", role.Name) }),
	)
}

// bindRole writes a role into its namespace and binds the manager's user to it.
func (p *ControlPlane) bindRole(ctx context.Context, role *rbacv1.Role) error {
	key := metav1.ObjectMeta{Name: role.Name, Namespace: role.Namespace}
	current, binding := &rbacv1.Role{ObjectMeta: key}, &rbacv1.RoleBinding{ObjectMeta: key}
	return errors.Join(
		p.ensure(ctx, current, func() { current.Rules = role.Rules }),
		p.ensure(ctx, binding, func() { binding.RoleRef, binding.Subjects = bindingParts("Role", role.Name) }),
	)
}

// bindingParts returns what ties the manager's user to a role.
func bindingParts(kind, name string) (rbacv1.RoleRef, []rbacv1.Subject) {
	return rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: kind, Name: name},
		[]rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: managerUser}}
}

// ensure creates an object or changes it to what set makes of it.
func (p *ControlPlane) ensure(ctx context.Context, object client.Object, set func()) error {
	_, err := controllerutil.CreateOrUpdate(ctx, p.Client, object, func() error { set(); return nil })
	if err != nil {
		return fmt.Errorf("writing %T %s: %w", object, object.GetName(), err)
	}
	return nil
}

// waitForRules waits until the authorizer, which learns of bindings a moment
// after they are written, allows the first verb of every rule.
func (p *ControlPlane) waitForRules(ctx context.Context, config *rest.Config, namespace string, rules []rbacv1.PolicyRule) error {
	asUser, err := client.New(config, client.Options{Scheme: p.Scheme})
	if err != nil {
		return fmt.Errorf("connecting as the manager's user: %w", err)
	}
	allowed := func(ctx context.Context) (bool, error) {
		for _, rule := range rules {
			if ok, err := isAllowed(ctx, asUser, namespace, rule); !ok || err != nil {
				return false, err
			}
		}
		return true, nil
	}
	if err := wait.PollUntilContextTimeout(ctx, rolePoll, roleTimeout, true, allowed); err != nil {
		return fmt.Errorf("waiting for the manager's role to be in force: %w", err)
	}
	return nil
}

// isAllowed asks the API server whether a rule holds for a user.
func isAllowed(ctx context.Context, user client.Client, namespace string, rule rbacv1.PolicyRule) (bool, error) {
	if len(rule.APIGroups) == 0 || len(rule.Resources) == 0 || len(rule.Verbs) == 0 {
		return true, nil
	}
	review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
		ResourceAttributes: resourceAttributes(namespace, rule),
	}}
	if err := user.Create(ctx, review); err != nil {
		return false, fmt.Errorf("asking what the manager's user may do: %w", err)
	}
	return review.Status.Allowed, nil
}

// readOne decodes the only document of a manifest and checks its kind: a second
// role in the file would otherwise be left out of the tests unnoticed.
func readOne(path, kind string, into client.Object) error {
	file, err := os.Open(filepath.Clean(path))
	if err != nil {
		return fmt.Errorf("reading a role: %w; run 'make generate'", err)
	}
	defer file.Close() //nolint:errcheck // the file was only read
	documents := utilyaml.NewYAMLReader(bufio.NewReader(file))
	text, err := documents.Read()
	if err != nil {
		return fmt.Errorf("reading %s: %w", path, err)
	}
	if err := yaml.UnmarshalStrict(text, into); err != nil {
		return fmt.Errorf("decoding %s: %w", path, err)
	}
	if got := into.GetObjectKind().GroupVersionKind().Kind; got != kind || into.GetName() == "" {
		return fmt.Errorf("decoding %s: it holds a %q named %q, and a %s is expected", path, got, into.GetName(), kind)
	}
	if _, err := documents.Read(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("decoding %s: it holds more than one object, and one %s is expected", path, kind)
	}
	return nil
}
