package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"

	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/yaml"
)

// collectRules reads the rules of the roles in config/rbac, by their use.
// "managerNamespaced" is without what a Role cannot grant, because it is about
// objects outside namespaces.
func collectRules(directory string) (map[string][]rbacv1.PolicyRule, error) {
	collected := map[string][]rbacv1.PolicyRule{}
	for use, path := range map[string]string{
		"manager":        "role.yaml",
		"leaderElection": "leader_election_role.yaml",
		"auditHead":      "audit_head_role.yaml",
		"editor":         "warmpool_editor_role.yaml",
		"viewer":         "warmpool_viewer_role.yaml",
		"sidecar":        filepath.Join("sidecar", "role.yaml"),
		"sidecarRestart": filepath.Join("sidecar-restart", "role.yaml"),
	} {
		text, err := os.ReadFile(filepath.Join(directory, path)) //nolint:gosec // a file of the repository
		if err != nil {
			return nil, fmt.Errorf("copying a role into the chart: %w", err)
		}
		var role struct {
			Rules []rbacv1.PolicyRule `json:"rules"`
		}
		if err := yaml.Unmarshal(text, &role); err != nil {
			return nil, fmt.Errorf("reading the role in %s: %w", path, err)
		}
		collected[use] = role.Rules
	}
	collected["managerNamespaced"] = slices.DeleteFunc(slices.Clone(collected["manager"]), isOutside)
	return collected, nil
}

// isOutside is true for a rule that a Role cannot grant.
func isOutside(rule rbacv1.PolicyRule) bool { return slices.Contains(rule.Resources, "namespaces") }

// head opens the generated files of rules.
const head = "# Written by \"make generate\" from config/rbac. Change the markers in controllers/ or the roles there instead.\n"

// namespacedRole is the manager's role for an installation in some namespaces.
func namespacedRole(rules []rbacv1.PolicyRule) ([]byte, error) {
	return encode(map[string]any{
		"apiVersion": rbacv1.SchemeGroupVersion.String(), "kind": "Role",
		"metadata": map[string]string{"name": "warmpool-manager"}, "rules": rules,
	})
}

func encode(content any) ([]byte, error) {
	text, err := yaml.Marshal(content)
	if err != nil {
		return nil, fmt.Errorf("encoding the rules: %w", err)
	}
	return append([]byte(head), text...), nil
}
