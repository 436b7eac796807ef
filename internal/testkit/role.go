package testkit

import (
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

// ClusterRoleRESTConfig returns a connection as a user who may do exactly what a
// ClusterRole in a manifest of this repository allows, in one namespace. The path
// is from the root of the repository.
func (p *ControlPlane) ClusterRoleRESTConfig(tb testing.TB, name, path, namespace string) *rest.Config {
	tb.Helper()
	user, err := p.environment.AddUser(envtest.User{Name: name}, &rest.Config{QPS: p.Config.QPS, Burst: p.Config.Burst})
	if err != nil {
		tb.Fatal(fmt.Errorf("adding the user %s: %w", name, err))
	}
	role := &rbacv1.ClusterRole{}
	if err := readOne(filepath.Join(p.root, path), "ClusterRole", role); err != nil {
		tb.Fatal(err)
	}
	current := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: role.Name}}
	binding := &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: role.Name}}
	if err := errors.Join(
		p.ensure(tb.Context(), current, func() { current.Rules = role.Rules }),
		p.ensure(tb.Context(), binding, func() {
			binding.RoleRef = rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role.Name}
			binding.Subjects = []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: name}}
		}),
		p.waitForRules(tb.Context(), user.Config(), namespace, role.Rules),
	); err != nil {
		tb.Fatal(err)
	}
	return user.Config()
}

// RoleRESTConfig returns a connection as a user who may do exactly what the Roles
// in manifests of this repository allow, each in the namespace it is given for.
// The keys are paths from the root of the repository.
func (p *ControlPlane) RoleRESTConfig(tb testing.TB, name string, roles map[string]string) *rest.Config {
	tb.Helper()
	user, err := p.environment.AddUser(envtest.User{Name: name}, &rest.Config{QPS: p.Config.QPS, Burst: p.Config.Burst})
	if err != nil {
		tb.Fatal(fmt.Errorf("adding the user %s: %w", name, err))
	}
	config := user.Config()
	for path, namespace := range roles {
		role := &rbacv1.Role{}
		if err := readOne(filepath.Join(p.root, path), "Role", role); err != nil {
			tb.Fatal(err)
		}
		key := metav1.ObjectMeta{Name: role.Name, Namespace: namespace}
		current, binding := &rbacv1.Role{ObjectMeta: key}, &rbacv1.RoleBinding{ObjectMeta: key}
		if err := p.ensure(tb.Context(), current, func() { current.Rules = role.Rules }); err != nil {
			tb.Fatal(err)
		}
		if err := p.ensure(tb.Context(), binding, func() {
			binding.RoleRef = rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: role.Name}
			binding.Subjects = []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: name}}
		}); err != nil {
			tb.Fatal(err)
		}
		if err := p.waitForRules(tb.Context(), config, namespace, role.Rules); err != nil {
			tb.Fatal(err)
		}
	}
	return config
}
