package testkit

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
)

func TestAssetsDirectory(t *testing.T) {
	root, elsewhere := t.TempDir(), t.TempDir()
	built := filepath.Join(root, "bin", "k8s")
	if err := os.MkdirAll(built, 0o750); err != nil {
		t.Fatal(err)
	}
	write := func(path string) {
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"), 0o700); err != nil {
			t.Fatal(err)
		}
	}

	_, err := assetsDirectory(root, "")
	if err == nil || !strings.Contains(err.Error(), "make k8s") || !strings.Contains(err.Error(), "etcd") {
		t.Errorf("with nothing built the error is %v, want one that names the program and 'make k8s'", err)
	}
	write(filepath.Join(built, "etcd"))
	if _, err := assetsDirectory(root, ""); err == nil || !strings.Contains(err.Error(), "kube-apiserver") {
		t.Errorf("with etcd alone the error is %v, want one that names kube-apiserver", err)
	}
	write(filepath.Join(built, "kube-apiserver"))
	if got, err := assetsDirectory(root, ""); err != nil || got != built {
		t.Errorf("with both built: got %q and %v, want %q", got, err, built)
	}
	if _, err := assetsDirectory(root, elsewhere); err == nil || !strings.Contains(err.Error(), elsewhere) {
		t.Errorf("an empty override gave %v, want an error that names it", err)
	}
}

func TestReadOneRefusesASecondRole(t *testing.T) {
	path := filepath.Join(t.TempDir(), "role.yaml")
	text := "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: one}\n"
	for name, test := range map[string]struct {
		text string
		ok   bool
	}{
		"one role":     {"---\n" + text, true},
		"two roles":    {"---\n" + text + "---\n" + text, false},
		"another kind": {strings.ReplaceAll(text, "ClusterRole", "Role"), false},
		"no name":      {"kind: ClusterRole\n", false},
	} {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(path, []byte(test.text), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := readOne(path, "ClusterRole", &rbacv1.ClusterRole{}); (err == nil) != test.ok {
				t.Errorf("got %v, want success %v", err, test.ok)
			}
		})
	}
}
