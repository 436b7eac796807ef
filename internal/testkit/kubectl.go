package testkit

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Kubectl runs kubectl as the administrator and returns what it printed on both
// streams. It fails the test when kubectl does.
func (p *ControlPlane) Kubectl(tb testing.TB, arguments ...string) string {
	tb.Helper()
	command := exec.CommandContext(tb.Context(), p.KubectlPath(), //nolint:gosec // the path is bin/k8s or the developer's own
		append([]string{"--kubeconfig", p.KubeconfigFile(tb)}, arguments...)...)
	output, err := command.CombinedOutput()
	if err != nil {
		tb.Fatalf("kubectl %v: %v\n%s", arguments, err, output)
	}
	return string(output)
}

// KubeconfigFile writes the administrator's kubeconfig to a file that goes with
// the test and returns its path.
func (p *ControlPlane) KubeconfigFile(tb testing.TB) string {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "kubeconfig")
	if err := os.WriteFile(path, p.environment.KubeConfig, 0o600); err != nil {
		tb.Fatalf("writing a kubeconfig: %v", err)
	}
	return path
}

// KubectlPath is the kubectl that belongs to the control plane.
func (p *ControlPlane) KubectlPath() string { return filepath.Join(p.assets, "kubectl") }
