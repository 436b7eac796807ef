package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/warmpool-dev/warmpool/internal/operator"
)

// controlPlane is a real etcd and kube-apiserver with our CRDs.
type controlPlane struct {
	environment *envtest.Environment
	config      *rest.Config
	client      client.WithWatch
	root        string
	// kubeconfig is a file of an administrator, for the manager.
	kubeconfig string
}

// startControlPlane starts both, or leaves nothing behind.
func startControlPlane(directory string) (*controlPlane, error) {
	const patience = time.Minute
	root, err := repositoryRoot()
	if err != nil {
		return nil, err
	}
	assets := os.Getenv("KUBEBUILDER_ASSETS")
	if assets == "" {
		assets = filepath.Join(root, "bin", "k8s")
	}
	plane := &controlPlane{root: root, kubeconfig: filepath.Join(directory, "kubeconfig"), environment: &envtest.Environment{
		BinaryAssetsDirectory: assets, CRDDirectoryPaths: []string{filepath.Join(root, "config", "crd")}, ErrorIfCRDPathMissing: true,
		ControlPlaneStartTimeout: patience, ControlPlaneStopTimeout: patience,
	}}
	if plane.config, err = plane.environment.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("starting the control plane of %s (make k8s builds it): %w", assets, err), plane.stop())
	}
	// What is measured is the operator's own pace, not the seeder's.
	plane.config.QPS = -1
	if err := plane.connect(); err != nil {
		return nil, errors.Join(err, plane.stop())
	}
	return plane, nil
}

func (p *controlPlane) connect() error {
	scheme, err := operator.Scheme()
	if err != nil {
		return err
	}
	if p.client, err = client.NewWithWatch(p.config, client.Options{Scheme: scheme}); err != nil {
		return fmt.Errorf("connecting to the API server: %w", err)
	}
	user, err := p.environment.AddUser(envtest.User{Name: "bench", Groups: []string{"system:masters"}}, nil)
	if err != nil {
		return fmt.Errorf("adding a user: %w", err)
	}
	text, err := user.KubeConfig()
	if err != nil {
		return fmt.Errorf("making a kubeconfig: %w", err)
	}
	return os.WriteFile(p.kubeconfig, text, 0o600)
}

func (p *controlPlane) stop() error {
	if err := p.environment.Stop(); err != nil {
		return fmt.Errorf("stopping the control plane: %w", err)
	}
	return nil
}

// namespace makes a namespace with a name of its own.
func (p *controlPlane) namespace(ctx context.Context) (string, error) {
	space := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "bench-"}}
	if err := p.client.Create(ctx, space); err != nil {
		return "", fmt.Errorf("making a namespace: %w", err)
	}
	return space.Name, nil
}

// repositoryRoot walks up from the working directory to the go.mod of this module.
func repositoryRoot() (string, error) {
	directory, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("finding the repository: %w", err)
	}
	for {
		text, err := os.ReadFile(filepath.Join(directory, "go.mod")) //nolint:gosec // a parent of the working directory
		if err == nil && strings.HasPrefix(string(text), "module github.com/warmpool-dev/warmpool\n") {
			return directory, nil
		}
		parent := filepath.Dir(directory)
		if parent == directory {
			return "", errors.New("finding the repository: start this in a clone of it")
		}
		directory = parent
	}
}
