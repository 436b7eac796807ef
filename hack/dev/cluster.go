package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/yaml"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/localplane"
)

const (
	namespace = "default"
	// demoPeriodSeconds replaces the account's 15 seconds between two sweeps and
	// the pool's 15 seconds between two probes: time is short and calls are free.
	demoPeriodSeconds = 5
)

// cluster is what this program asks the API server, as the administrator.
type cluster struct {
	client.Client
}

func connect(config *rest.Config) (*cluster, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, warmpool.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, fmt.Errorf("registering kinds: %w", err)
		}
	}
	direct, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("connecting to the API server: %w", err)
	}
	return &cluster{direct}, nil
}

// installCRDs writes the CRDs and waits until they are served.
func installCRDs(config *rest.Config, root string) error {
	_, err := envtest.InstallCRDs(config, envtest.CRDInstallOptions{Paths: []string{filepath.Join(root, "config", "crd")}, ErrorIfPathMissing: true})
	if err != nil {
		return fmt.Errorf("installing the CRDs: %w", err)
	}
	return nil
}

// allowManager binds the manager's user to exactly the role that a cluster
// would give it.
func (c *cluster) allowManager(ctx context.Context, root string) error {
	role := &rbacv1.ClusterRole{}
	if err := readManifest(filepath.Join(root, "config", "rbac", "role.yaml"), role); err != nil {
		return err
	}
	binding := &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: role.Name}}
	rules, key := role.Rules, metav1.ObjectMeta{Name: role.Name}
	role = &rbacv1.ClusterRole{ObjectMeta: key}
	return errors.Join(
		c.allowAuditHead(ctx, root),
		c.ensure(ctx, role, func() { role.Rules = rules }),
		c.ensure(ctx, binding, func() {
			binding.RoleRef = rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: key.Name}
			binding.Subjects = []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: localplane.Manager}}
		}),
	)
}

// allowSidecar binds the sidecar's user to exactly the roles that a cluster would
// give it.
func (c *cluster) allowSidecar(ctx context.Context, root string) error {
	if err := c.ensureNamespace(ctx); err != nil {
		return err
	}
	for _, directory := range []string{"sidecar", "sidecar-restart"} {
		role := &rbacv1.Role{}
		if err := readManifest(filepath.Join(root, "config", "rbac", directory, "role.yaml"), role); err != nil {
			return err
		}
		rules, key := role.Rules, metav1.ObjectMeta{Namespace: namespace, Name: role.Name}
		role, binding := &rbacv1.Role{ObjectMeta: key}, &rbacv1.RoleBinding{ObjectMeta: key}
		if err := errors.Join(
			c.ensure(ctx, role, func() { role.Rules = rules }),
			c.ensure(ctx, binding, func() {
				binding.RoleRef = rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: key.Name}
				binding.Subjects = []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: localplane.Sidecar}}
			}),
		); err != nil {
			return err
		}
	}
	return nil
}

// allowAuditHead lets the manager publish the head of its audit log.
func (c *cluster) allowAuditHead(ctx context.Context, root string) error {
	role := &rbacv1.Role{}
	if err := readManifest(filepath.Join(root, "config", "rbac", "audit_head_role.yaml"), role); err != nil {
		return err
	}
	rules, key := role.Rules, metav1.ObjectMeta{Namespace: namespace, Name: role.Name}
	role = &rbacv1.Role{ObjectMeta: key}
	binding := &rbacv1.RoleBinding{ObjectMeta: key}
	return errors.Join(
		c.ensure(ctx, role, func() { role.Rules = rules }),
		c.ensure(ctx, binding, func() {
			binding.RoleRef = rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: key.Name}
			binding.Subjects = []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: localplane.Manager}}
		}),
	)
}

// samples are the account and the pool of config/samples.
func samples(root string) (*warmpool.VastAccount, *warmpool.WarmPool, error) {
	account, pool := &warmpool.VastAccount{}, &warmpool.WarmPool{}
	directory := filepath.Join(root, "config", "samples")
	err := errors.Join(
		readManifest(filepath.Join(directory, "vastaccount.yaml"), account),
		readManifest(filepath.Join(directory, "warmpool.yaml"), pool),
	)
	account.Namespace, pool.Namespace = namespace, namespace
	return account, pool, err
}

// applySamples writes the Secret, the account and the pool. An account and a
// pool that are there already, from a run with --real that was cut off, keep
// what is not set here.
func (c *cluster) applySamples(ctx context.Context, options *settings, root string, credentials dotEnv) error {
	account, pool, err := samples(root)
	if err != nil {
		return err
	}
	if err := c.ensureNamespace(ctx); err != nil {
		return err
	}
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "warmpool-credentials"}}
	if err := c.ensure(ctx, secret, func() { secret.StringData = credentials }); err != nil {
		return err
	}
	accountSpec, poolSpec := account.Spec, pool.Spec
	if !options.real {
		accountSpec.PollPeriodSeconds, poolSpec.Probes.PeriodSeconds = demoPeriodSeconds, demoPeriodSeconds
	}
	account = &warmpool.VastAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: account.Name}}
	if err := c.ensure(ctx, account, func() { account.Spec = accountSpec }); err != nil {
		return err
	}
	replicas := int32(options.replicas) //nolint:gosec // at most maxReplicas
	poolSpec.Replicas = &replicas
	if options.ceiling != "" {
		poolSpec.Cost.CeilingUSDPerHour = warmpool.USD(options.ceiling)
	}
	pool = &warmpool.WarmPool{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: pool.Name}}
	return c.ensure(ctx, pool, func() { pool.Spec = poolSpec })
}

// ensureNamespace makes the namespace, which the API server otherwise makes a
// moment after it is ready.
func (c *cluster) ensureNamespace(ctx context.Context) error {
	err := c.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("making the namespace %s: %w", namespace, err)
	}
	return nil
}

// ensure creates an object or changes it to what set makes of it.
func (c *cluster) ensure(ctx context.Context, object client.Object, set func()) error {
	_, err := controllerutil.CreateOrUpdate(ctx, c.Client, object, func() error { set(); return nil })
	if err != nil {
		return fmt.Errorf("writing %T %s: %w", object, object.GetName(), err)
	}
	return nil
}

// pool reads a pool; nil when there is none.
func (c *cluster) pool(ctx context.Context, name string) (*warmpool.WarmPool, error) {
	var pool warmpool.WarmPool
	err := c.Get(ctx, types.NamespacedName{Namespace: namespace, Name: name}, &pool)
	if apierrors.IsNotFound(err) {
		return nil, nil //nolint:nilnil // absence is an answer here
	}
	return &pool, err
}

// scale sets replicas through the scale subresource, again when the operator
// changed the pool meanwhile, as "kubectl scale" does.
func (c *cluster) scale(ctx context.Context, name string, replicas int32) error {
	pool := &warmpool.WarmPool{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	err := retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		scale := &autoscalingv1.Scale{}
		if err := c.SubResource("scale").Get(ctx, pool, scale); err != nil {
			return err
		}
		scale.Spec.Replicas = replicas
		return c.SubResource("scale").Update(ctx, pool, client.WithSubResourceBody(scale))
	})
	if err != nil {
		return fmt.Errorf("scaling %s to %d: %w", name, replicas, err)
	}
	return nil
}

// deletePools asks for the end of every pool.
func (c *cluster) deletePools(ctx context.Context) error {
	if err := c.DeleteAllOf(ctx, &warmpool.WarmPool{}, client.InNamespace(namespace)); err != nil {
		return fmt.Errorf("deleting the pools: %w", err)
	}
	return nil
}

// readManifest decodes the only document of a manifest.
func readManifest(path string, into any) error {
	text, err := os.ReadFile(path) //nolint:gosec // a manifest of this repository
	if err != nil {
		return fmt.Errorf("reading a manifest: %w", err)
	}
	if err := yaml.UnmarshalStrict(text, into); err != nil {
		return fmt.Errorf("decoding %s: %w", path, err)
	}
	return nil
}
