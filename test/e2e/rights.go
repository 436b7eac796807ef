package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// right is one thing that a service account may do, or did. An empty name is all names.
type right struct {
	// namespace is empty for all namespaces, or for what has none.
	namespace, group, resource, name, verb string
}

// String is "get secrets in warmpool-e2e" or "update leases.coordination.k8s.io/x".
func (r right) String() string {
	text := r.verb + " " + r.resource
	if r.group != "" {
		text += "." + r.group
	}
	if r.name != "" {
		text += "/" + r.name
	}
	if r.namespace != "" {
		text += " in " + r.namespace
	}
	return text
}

// covers is true when having r is enough for doing used.
func (r right) covers(used right) bool {
	return r.verb == used.verb && r.group == used.group && r.resource == used.resource &&
		(r.namespace == "" || r.namespace == used.namespace) && (r.name == "" || r.name == used.name)
}

// granted expands rules into single rights.
func granted(namespace string, rules []rbacv1.PolicyRule) []right {
	var rights []right
	for k := range rules {
		rule := &rules[k]
		names := rule.ResourceNames
		if len(names) == 0 {
			names = []string{""}
		}
		for _, group := range rule.APIGroups {
			for _, resource := range rule.Resources {
				for _, verb := range rule.Verbs {
					for _, name := range names {
						rights = append(rights, right{namespace, group, resource, name, verb})
					}
				}
			}
		}
	}
	return rights
}

// readRights returns what the roles bound to a service account grant.
func (c *cluster) readRights(ctx context.Context, account string) ([]right, error) {
	bindings, err := c.clients.RbacV1().ClusterRoleBindings().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("listing cluster role bindings: %w", err)
	}
	var rights []right
	for k := range bindings.Items {
		if binding := &bindings.Items[k]; isBound(binding.Subjects, account) {
			role, roleErr := c.clients.RbacV1().ClusterRoles().Get(ctx, binding.RoleRef.Name, metav1.GetOptions{})
			if roleErr != nil {
				return nil, fmt.Errorf("reading a cluster role: %w", roleErr)
			}
			rights = append(rights, granted("", role.Rules)...)
		}
	}
	local, err := c.clients.RbacV1().RoleBindings(metav1.NamespaceAll).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("listing role bindings: %w", err)
	}
	for k := range local.Items {
		if binding := &local.Items[k]; isBound(binding.Subjects, account) {
			role, roleErr := c.clients.RbacV1().Roles(binding.Namespace).Get(ctx, binding.RoleRef.Name, metav1.GetOptions{})
			if roleErr != nil {
				return nil, fmt.Errorf("reading a role: %w", roleErr)
			}
			rights = append(rights, granted(binding.Namespace, role.Rules)...)
		}
	}
	return rights, nil
}

func isBound(subjects []rbacv1.Subject, account string) bool {
	return slices.ContainsFunc(subjects, func(one rbacv1.Subject) bool {
		return one.Kind == rbacv1.ServiceAccountKind && one.Namespace == operatorNamespace && one.Name == account
	})
}

// request is a line of the API server's audit log, as far as it matters here.
type request struct {
	Verb string
	User struct{ Username string }
	// ObjectRef is nil for requests of paths that are no objects.
	ObjectRef *struct{ Resource, Namespace, Name, APIGroup, Subresource string }
	Status    struct {
		Code int `json:"code"`
	} `json:"responseStatus"`
}

// right is what the request needed.
func (q *request) right() right {
	resource := q.ObjectRef.Resource
	if q.ObjectRef.Subresource != "" {
		resource += "/" + q.ObjectRef.Subresource
	}
	return right{q.ObjectRef.Namespace, q.ObjectRef.APIGroup, resource, q.ObjectRef.Name, q.Verb}
}

// usage is what one service account asked for.
type usage struct {
	// used are the rights that requests needed, refused those that were not had.
	used, refused []right
}

// readUsage reads the API server's audit log.
func readUsage(path, account string) (usage, error) {
	var result usage
	file, err := os.Open(filepath.Clean(path))
	if err != nil {
		return result, fmt.Errorf("opening the audit log: %w", err)
	}
	defer file.Close() //nolint:errcheck // only read
	const most = 1 << 20
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, most)
	for lines.Scan() {
		var one request
		if err := json.Unmarshal(lines.Bytes(), &one); err != nil {
			return result, fmt.Errorf("reading the audit log: %w", err)
		}
		if one.ObjectRef == nil || one.User.Username != "system:serviceaccount:"+operatorNamespace+":"+account {
			continue
		}
		needed := one.right()
		const forbidden = 403
		if one.Status.Code == forbidden && !slices.Contains(result.refused, needed) {
			result.refused = append(result.refused, needed)
		}
		if !slices.Contains(result.used, needed) {
			result.used = append(result.used, needed)
		}
	}
	return result, lines.Err()
}

// unused returns the rights that no request needed, in words and in order.
func unused(rights, used []right) []string {
	var idle []string
	for _, one := range rights {
		if !slices.ContainsFunc(used, one.covers) {
			idle = append(idle, one.String())
		}
	}
	slices.Sort(idle)
	return slices.Compact(idle)
}

// errRefused and errTooWide are what can be wrong with a role.
var (
	errRefused = errors.New("the API server refused what the operator asked for")
	errTooWide = errors.New("the role allows what nobody needed, and no reason is known here")
)

// judge compares what was granted with what was used; reasons explain rights
// that this test does not come to need.
func (u *usage) judge(rights []right, reasons map[string]string) (sufficient, narrow error) {
	if len(u.refused) > 0 {
		words := make([]string, 0, len(u.refused))
		for _, one := range u.refused {
			words = append(words, one.String())
		}
		sufficient = fmt.Errorf("%w: %s", errRefused, strings.Join(words, ", "))
	}
	var wide []string
	for _, one := range unused(rights, u.used) {
		if reasons[one] == "" {
			wide = append(wide, one)
		}
	}
	if len(wide) > 0 {
		narrow = fmt.Errorf("%w: %s", errTooWide, strings.Join(wide, ", "))
	}
	return sufficient, narrow
}
