package plugin

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
)

// Cluster is the cluster that a call works on.
type Cluster struct {
	// Client reads and writes without a cache.
	Client client.Client
	// Config reaches the API server, for what is no object (doctor, version).
	Config *rest.Config
	// Namespace is that of --namespace, or of the context.
	Namespace string
}

// Scheme knows the kinds that the commands read and write.
func Scheme() (*runtime.Scheme, error) {
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), warmpool.AddToScheme(scheme)); err != nil {
		return nil, fmt.Errorf("building the scheme: %w", err)
	}
	return scheme, nil
}

// connect reaches the cluster of the flags.
func (o *options) connect() (*Cluster, error) {
	reach := o.env.Connect
	if reach == nil {
		reach = connectUsually
	}
	return reach(o.flags)
}

func connectUsually(flags *genericclioptions.ConfigFlags) (*Cluster, error) {
	config, err := flags.ToRESTConfig()
	if err != nil {
		return nil, fmt.Errorf("finding the cluster: %w; choose one with --kubeconfig and --context", err)
	}
	config.WarningHandler = rest.NoWarnings{}
	// The API server holds back whoever asks too much.
	config.QPS = -1
	namespace, _, err := flags.ToRawKubeConfigLoader().Namespace()
	if err != nil {
		return nil, fmt.Errorf("finding the namespace: %w; give it with --namespace", err)
	}
	scheme, err := Scheme()
	if err != nil {
		return nil, err
	}
	direct, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("connecting to the cluster at %s: %w", config.Host, err)
	}
	return &Cluster{Client: direct, Config: config, Namespace: namespace}, nil
}

// get reads one object of the namespace.
func (c *Cluster) get(ctx context.Context, name string, into client.Object) error {
	err := c.Client.Get(ctx, types.NamespacedName{Namespace: c.Namespace, Name: name}, into)
	return c.explain(err, "read", into, name)
}

// list reads all objects of a kind in the namespace, or in all of them.
func (c *Cluster) list(ctx context.Context, everywhere bool, into client.ObjectList) error {
	var in []client.ListOption
	if !everywhere {
		in = append(in, client.InNamespace(c.Namespace))
	}
	err := c.Client.List(ctx, into, in...)
	if err == nil {
		return nil
	}
	return c.explain(err, "list", into, "")
}

// explain says what happened to a call, about what, and what to do.
func (c *Cluster) explain(err error, act string, about runtime.Object, name string) error {
	if err == nil {
		return nil
	}
	kind := c.kindOf(about)
	what := kind
	if name != "" {
		what = fmt.Sprintf("%s %q", kind, name)
	}
	switch {
	case meta.IsNoMatchError(err):
		return fmt.Errorf("the cluster does not know the kind %s: Warmpool is not installed in it, or it is another cluster (kubectl config get-contexts; kubectl warmpool --context=<name>)", kind)
	case apierrors.IsNotFound(err) && name != "":
		return fmt.Errorf("there is no %s in namespace %q: kubectl get %s -A shows those there are, and -n <namespace> chooses another namespace", what, c.Namespace, resourceOf(kind))
	case apierrors.IsForbidden(err):
		return fmt.Errorf("you may not %s %s in namespace %q (%s): ask for the role that allows it; kubectl warmpool doctor shows what you may do", act, what, c.Namespace, whyForbidden(err))
	case apierrors.IsUnauthorized(err):
		return fmt.Errorf("the API server does not accept your credentials while it is asked to %s %s: log in again, or choose another --context", act, what)
	case apierrors.IsInvalid(err):
		return fmt.Errorf("the API server refuses to %s %s: %w", act, what, err)
	case apierrors.IsConflict(err):
		return fmt.Errorf("%s was changed by somebody else at the same moment, so nothing was done: try again", what)
	case isUnreachable(err):
		return fmt.Errorf("the API server cannot be reached, to %s %s: %w; is the cluster up, and is it the one you mean (kubectl config current-context, --context)?", act, what, err)
	default:
		return fmt.Errorf("the API server did not %s %s: %w", act, what, err)
	}
}

// isUnreachable is true when no connection was made.
func isUnreachable(err error) bool {
	_, isNetwork := errors.AsType[net.Error](err)
	return isNetwork && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded)
}

// whyForbidden is the part of a refusal that tells what right is missing.
func whyForbidden(err error) string {
	var status apierrors.APIStatus
	if errors.As(err, &status) {
		return status.Status().Message
	}
	return err.Error()
}

// kindOf is the kind of an object, for people.
func (c *Cluster) kindOf(object runtime.Object) string {
	kinds, _, err := c.Client.Scheme().ObjectKinds(object)
	if err != nil || len(kinds) == 0 {
		return "object"
	}
	const list = "List"
	kind := kinds[0].Kind
	if len(kind) > len(list) && kind[len(kind)-len(list):] == list {
		kind = kind[:len(kind)-len(list)]
	}
	return kind
}

// resourceOf is what kubectl get takes for a kind.
func resourceOf(kind string) string {
	switch kind {
	case kindPool:
		return "warmpools"
	case kindInstance:
		return "warminstances"
	case kindClaim:
		return "warmclaims"
	case kindAccount:
		return "vastaccounts"
	default:
		return kind
	}
}

// The kinds.
const (
	kindPool     = "WarmPool"
	kindInstance = "WarmInstance"
	kindClaim    = "WarmClaim"
	kindAccount  = "VastAccount"
)

// apiVersion is the group and version that the commands speak.
func apiVersion() string { return warmpool.GroupVersion.String() }

// aboutPool runs a command that prints an answer about the pool that is its argument.
func (o *options) aboutPool(answer func(seen *world, pool *warmpool.WarmPool) report) func(*cobra.Command, []string) error {
	return func(command *cobra.Command, given []string) error {
		cluster, err := o.connect()
		if err != nil {
			return err
		}
		pool := &warmpool.WarmPool{}
		if err = cluster.get(command.Context(), given[0], pool); err != nil {
			return err
		}
		seen, err := cluster.look(command.Context(), o.env.Clock.Now(), false)
		if err != nil {
			return err
		}
		return o.print(answer(seen, pool))
	}
}
