package problems

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/types"
	clienttesting "k8s.io/client-go/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/yaml"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/controllers"
	"github.com/warmpool-dev/warmpool/internal/operator"
)

// cluster is an API server in memory. It checks resource versions, keeps what
// holds a finalizer, and fills in the defaults of the CRDs.
type cluster struct {
	t      *testing.T
	scheme *runtime.Scheme
	schema map[string]*apiextensionsv1.JSONSchemaProps
	store  client.WithWatch

	mu   sync.Mutex
	uids int
	// before is called with every write, before it is carried out. An error
	// refuses it.
	before func(write) error
}

// write is one write to the API server.
type write struct {
	// verb is create, update, status, patch or delete.
	verb   string
	object client.Object
}

// indexing hands the indexes of the cache to a client in memory.
type indexing struct {
	manager.Manager
	builder *fake.ClientBuilder
}

// GetFieldIndexer implements manager.Manager.
func (i indexing) GetFieldIndexer() client.FieldIndexer { return i }

// IndexField implements client.FieldIndexer.
func (i indexing) IndexField(_ context.Context, object client.Object, field string, extract client.IndexerFunc) error {
	i.builder.WithIndex(object, field, extract)
	return nil
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	scheme, err := operator.Scheme()
	if err != nil {
		t.Fatal(err)
	}
	c := &cluster{t: t, scheme: scheme, schema: schemas(t)}
	c.store = interceptor.NewClient(c.blank(t.Context()).Build(), interceptor.Funcs{
		Create: func(ctx context.Context, inner client.WithWatch, object client.Object, opts ...client.CreateOption) error {
			if err := c.ask("create", object); err != nil {
				return err
			}
			c.admit(object)
			return inner.Create(ctx, object, opts...)
		},
		Update: func(ctx context.Context, inner client.WithWatch, object client.Object, opts ...client.UpdateOption) error {
			if err := c.ask("update", object); err != nil {
				return err
			}
			return inner.Update(ctx, object, opts...)
		},
		Patch: func(ctx context.Context, inner client.WithWatch, object client.Object, patch client.Patch, opts ...client.PatchOption) error {
			if err := c.ask("patch", object); err != nil {
				return err
			}
			return inner.Patch(ctx, object, patch, opts...)
		},
		Delete: func(ctx context.Context, inner client.WithWatch, object client.Object, opts ...client.DeleteOption) error {
			if err := c.ask("delete", object); err != nil {
				return err
			}
			return inner.Delete(ctx, object, opts...)
		},
		SubResourceUpdate: func(ctx context.Context, inner client.Client, subResource string, object client.Object, opts ...client.SubResourceUpdateOption) error {
			if err := c.ask("status", object); err != nil {
				return err
			}
			return inner.SubResource(subResource).Update(ctx, object, opts...)
		},
	})
	return c
}

// blank prepares a store with the subresources and indexes that the operator needs.
func (c *cluster) blank(ctx context.Context) *fake.ClientBuilder {
	// A tracker without managed fields, which nobody here reads and which cost most of the time.
	tracker := clienttesting.NewObjectTracker(c.scheme, serializer.NewCodecFactory(c.scheme).UniversalDecoder())
	builder := fake.NewClientBuilder().WithScheme(c.scheme).WithObjectTracker(tracker).
		WithStatusSubresource(&warmpool.WarmPool{}, &warmpool.WarmInstance{}, &warmpool.VastAccount{})
	if err := controllers.AddIndexes(ctx, indexing{builder: builder}); err != nil {
		c.t.Fatal(err)
	}
	return builder
}

// ask lets the test look at a write first.
func (c *cluster) ask(verb string, object client.Object) error {
	c.mu.Lock()
	before := c.before
	c.mu.Unlock()
	if before == nil {
		return nil
	}
	return before(write{verb: verb, object: object})
}

// onWrite sets what is called before every write; nil for nothing.
func (c *cluster) onWrite(before func(write) error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.before = before
}

// admit does what the API server does to a new object.
func (c *cluster) admit(object client.Object) {
	c.mu.Lock()
	c.uids++
	if object.GetUID() == "" {
		object.SetUID(types.UID(fmt.Sprintf("00000000-0000-4000-8000-%012d", c.uids)))
	}
	number := c.uids
	c.mu.Unlock()
	if object.GetCreationTimestamp().Time.IsZero() {
		// One second apart, so that "oldest first" means something.
		object.SetCreationTimestamp(metav1.Time{Time: epoch().AddDate(0, 0, -1).Add(secondsOf(number))})
	}
	object.SetGeneration(1)
	kind, err := apiutil.GVKForObject(object, c.scheme)
	if err != nil {
		c.t.Fatal(err)
	}
	if schema := c.schema[kind.Kind]; schema != nil {
		c.fill(object, schema)
	}
}

// fill sets the defaults of a CRD.
func (c *cluster) fill(object client.Object, schema *apiextensionsv1.JSONSchemaProps) {
	text, err := json.Marshal(object)
	if err != nil {
		c.t.Fatal(err)
	}
	var fields map[string]any
	if err = json.Unmarshal(text, &fields); err != nil {
		c.t.Fatal(err)
	}
	spec, _ := fields["spec"].(map[string]any)
	withDefaults(c.t, spec, schema.Properties["spec"])
	if text, err = json.Marshal(fields); err != nil {
		c.t.Fatal(err)
	}
	if err = json.Unmarshal(text, object); err != nil {
		c.t.Fatal(err)
	}
}

// withDefaults fills in the properties of one object, from the outside in.
func withDefaults(t *testing.T, object map[string]any, schema apiextensionsv1.JSONSchemaProps) {
	t.Helper()
	for name, property := range schema.Properties {
		if _, set := object[name]; !set && property.Default != nil {
			var value any
			if err := json.Unmarshal(property.Default.Raw, &value); err != nil {
				t.Fatal(err)
			}
			object[name] = value
		}
		if inner, ok := object[name].(map[string]any); ok {
			withDefaults(t, inner, property)
		}
	}
}

// schemas reads the CRDs, by kind.
func schemas(t *testing.T) map[string]*apiextensionsv1.JSONSchemaProps {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join("..", "..", "config", "crd", "*_*.yaml"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no CRDs were found (%v)", err)
	}
	found := map[string]*apiextensionsv1.JSONSchemaProps{}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var crd apiextensionsv1.CustomResourceDefinition
		if err := yaml.Unmarshal(text, &crd); err != nil {
			t.Fatal(err)
		}
		found[crd.Spec.Names.Kind] = crd.Spec.Versions[0].Schema.OpenAPIV3Schema
	}
	return found
}

// cached reads as a cache does: what was there when it was last filled, while it
// lags. It writes to the API server at once.
type cached struct {
	client.Client
	cluster *cluster
	mu      sync.RWMutex
	stale   client.Client
}

// lag stops the watch: from now on the cache shows what is there now.
func (c *cached) lag(ctx context.Context) {
	builder := c.cluster.blank(ctx)
	for _, list := range []client.ObjectList{&warmpool.WarmPoolList{}, &warmpool.WarmInstanceList{}, &warmpool.VastAccountList{}} {
		if err := c.Client.List(ctx, list); err != nil {
			c.cluster.t.Fatal(err)
		}
		builder.WithLists(list)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stale = builder.Build()
}

// catchUp ends the lag.
func (c *cached) catchUp() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stale = nil
}

// reader is what is read from now.
func (c *cached) reader() client.Client {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.stale != nil {
		return c.stale
	}
	return c.Client
}

// Get implements client.Reader.
func (c *cached) Get(ctx context.Context, key client.ObjectKey, object client.Object, opts ...client.GetOption) error {
	return c.reader().Get(ctx, key, object, opts...)
}

// List implements client.Reader.
func (c *cached) List(ctx context.Context, list client.ObjectList, opts ...client.ListOption) error {
	return c.reader().List(ctx, list, opts...)
}
