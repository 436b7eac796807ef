package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/warmpool-dev/warmpool/internal/operator"
	"github.com/warmpool-dev/warmpool/internal/simulator"
	"github.com/warmpool-dev/warmpool/test/e2e/node"
)

// Namespaces of the test: the operator's, that of pools, and that of the provider.
const (
	operatorNamespace = "warmpool-system"
	poolNamespace     = "warmpool-e2e"
	vastNamespace     = "warmpool-e2e-vast"
)

// cluster is where the test runs.
type cluster struct {
	kubeconfig string
	// node is nil in a cluster that was there: its processes, networks and API
	// server's log are out of reach.
	node    *node.Node
	clients kubernetes.Interface
	objects client.Client
	config  *rest.Config
}

// connect makes the clients.
func (c *cluster) connect() error {
	config, err := clientcmd.BuildConfigFromFlags("", c.kubeconfig)
	if err != nil {
		return fmt.Errorf("reading the kubeconfig: %w", err)
	}
	config.QPS = -1
	c.config = config
	scheme, err := operator.Scheme()
	if err != nil {
		return err
	}
	if c.clients, err = kubernetes.NewForConfig(config); err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	if c.objects, err = client.New(config, client.Options{Scheme: scheme}); err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	return nil
}

// errOccupied is a cluster in which somebody may depend on what is there.
var errOccupied = errors.New("it is there already: this test installs and uninstalls Warmpool, so give it a cluster without one")

// makeNamespaces makes those of the test, under the restricted standard.
func (c *cluster) makeNamespaces(ctx context.Context) error {
	for _, name := range []string{operatorNamespace, poolNamespace, vastNamespace} {
		_, err := c.clients.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
			Name: name, Labels: map[string]string{"pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/enforce-version": "latest"},
		}}, metav1.CreateOptions{})
		if apierrors.IsAlreadyExists(err) {
			return fmt.Errorf("namespace %s: %w", name, errOccupied)
		}
		if err != nil {
			return fmt.Errorf("making namespace %s: %w", name, err)
		}
	}
	return nil
}

// removeNamespaces removes what a cluster that goes on would keep. After a
// failure they stay: whoever looks for the reason needs them, and instances are
// only ended while the operator is there.
func (c *cluster) removeNamespaces(ctx context.Context) error {
	for _, name := range []string{operatorNamespace, poolNamespace, vastNamespace} {
		if err := c.clients.CoreV1().Namespaces().Delete(ctx, name, metav1.DeleteOptions{}); err != nil {
			return fmt.Errorf("removing namespace %s: %w", name, err)
		}
	}
	_, err := until(ctx, podPatience, func(ctx context.Context) (string, error) {
		for _, name := range []string{operatorNamespace, poolNamespace, vastNamespace} {
			if _, err := c.clients.CoreV1().Namespaces().Get(ctx, name, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
				return "namespace " + name + " is still there", err
			}
		}
		return "", nil
	})
	return err
}

// pods lists those of a namespace that have not ended.
func (c *cluster) pods(ctx context.Context, namespace, selector string) ([]corev1.Pod, error) {
	list, err := c.clients.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: selector, FieldSelector: "status.phase!=Succeeded,status.phase!=Failed"})
	if err != nil {
		return nil, fmt.Errorf("listing pods: %w", err)
	}
	return list.Items, nil
}

// managers selects the pods of the operator.
const managers = "app.kubernetes.io/component=manager"

// leader returns the pod that holds the lease, and the identity in it.
func (c *cluster) leader(ctx context.Context) (pod, identity string, err error) {
	var lease coordinationv1.Lease
	if err := c.objects.Get(ctx, client.ObjectKey{Namespace: operatorNamespace, Name: operator.LeaseName}, &lease); err != nil {
		return "", "", fmt.Errorf("reading the lease: %w", err)
	}
	if lease.Spec.HolderIdentity == nil || *lease.Spec.HolderIdentity == "" {
		return "", "", errors.New("nobody holds the lease")
	}
	pod, _, _ = strings.Cut(*lease.Spec.HolderIdentity, "_")
	return pod, *lease.Spec.HolderIdentity, nil
}

// vast asks the admin API of the simulator, through the API server.
func (c *cluster) vast(ctx context.Context, path string, into any) error {
	text, err := c.clients.CoreV1().RESTClient().Get().Namespace(vastNamespace).Resource("services").Name("vastsim:admin").SubResource("proxy").
		Suffix(path).DoRaw(ctx)
	if err != nil {
		return fmt.Errorf("asking the simulator for %s: %w", path, err)
	}
	return json.Unmarshal(text, into)
}

// rentals is what the witness has metered, rentals that have ended included.
func (c *cluster) rentals(ctx context.Context) ([]simulator.RentalRecord, error) {
	var records []simulator.RentalRecord
	err := c.vast(ctx, "rentals", &records)
	return records, err
}

// edit changes an object, again when somebody else wrote it meanwhile.
func (c *cluster) edit(ctx context.Context, object client.Object, name string, change func()) error {
	return retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		if err := c.objects.Get(ctx, client.ObjectKey{Namespace: poolNamespace, Name: name}, object); err != nil {
			return err
		}
		change()
		return c.objects.Update(ctx, object)
	})
}

// errStill is something that has not come about in time.
var errStill = errors.New("it has not come about")

// until polls until look has nothing to say, and returns how long that took.
func until(ctx context.Context, patience time.Duration, look func(ctx context.Context) (missing string, err error)) (time.Duration, error) {
	const period = 500 * time.Millisecond
	started := time.Now()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		missing, err := look(ctx)
		if err == nil && missing == "" {
			return time.Since(started), nil
		}
		if err != nil {
			missing = err.Error()
		}
		select {
		case <-ctx.Done():
			return time.Since(started), fmt.Errorf("%w within %s: %s", errStill, patience, missing)
		case <-time.After(period):
		}
	}
}
