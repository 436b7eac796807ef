package testkit

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const (
	// assetsVariable is the variable that envtest reads, too.
	assetsVariable = "KUBEBUILDER_ASSETS"
	// startTimeout is ten times what a start takes on two idle cores.
	startTimeout = 60 * time.Second
	// modulePath marks the root of the repository.
	modulePath = "module github.com/warmpool-dev/warmpool"
)

// repositoryRoot walks up from the working directory, which "go test" sets to
// the directory of the package, to the go.mod of this module.
func repositoryRoot() (string, error) {
	directory, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("finding the repository: %w", err)
	}
	for {
		text, err := os.ReadFile(filepath.Join(directory, "go.mod")) //nolint:gosec // a parent of the working directory
		if err == nil && strings.Split(string(text), "\n")[0] == modulePath {
			return directory, nil
		}
		parent := filepath.Dir(directory)
		if parent == directory {
			return "", errors.New("finding the repository: no directory above the working directory has the go.mod of this module")
		}
		directory = parent
	}
}

// assetsDirectory returns where etcd and kube-apiserver are: the override, or
// bin/k8s below root. The error of a missing program names the remedy.
func assetsDirectory(root, override string) (string, error) {
	directory := override
	if directory == "" {
		directory = filepath.Join(root, "bin", "k8s")
	}
	for _, program := range []string{"etcd", "kube-apiserver"} {
		if _, err := exec.LookPath(filepath.Join(directory, program)); err != nil {
			return "", fmt.Errorf("looking for %s in %s: %w; run 'make k8s' (about ten minutes on two cores, once), "+
				"or set %s to a directory that has it", program, directory, err, assetsVariable)
		}
	}
	return directory, nil
}

// Places returns the root of the repository and the directory that has etcd,
// kube-apiserver and kubectl. It fails the test when they are missing.
func Places(tb testing.TB) (root, assets string) {
	tb.Helper()
	root, err := repositoryRoot()
	if err == nil {
		assets, err = assetsDirectory(root, os.Getenv(assetsVariable)) //nolint:forbidigo // tests are told by it where the programs are
	}
	if err != nil {
		tb.Fatal(err)
	}
	return root, assets
}

// stopAfter ends what a failed start left running and returns both errors.
func stopAfter(plane *ControlPlane, cause error) error {
	return errors.Join(cause, plane.stop())
}
