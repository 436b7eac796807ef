package apidouble

import (
	"context"
	"errors"
	"fmt"
	"reflect"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
)

// errUnsupported reports a call that the operator does not make.
var errUnsupported = errors.New("the API double does not support this")

// Call is one request to the API server.
type Call struct {
	// Verb is get, list, create, update, patch or delete, with "/status" behind
	// it for the subresource.
	Verb string
	// Kind, Namespace and Name say of what; the name of a list is empty.
	Kind, Namespace, Name string
}

// IsWrite is true for a call that changes something.
func (c Call) IsWrite() bool { return c.Verb != "get" && c.Verb != "list" }

// String is for logs.
func (c Call) String() string {
	if c.Name == "" {
		return c.Verb + " " + c.Kind
	}
	return c.Verb + " " + c.Kind + " " + c.Name
}

// Around carries out a call: it calls do once, or not at all, or loses what do
// returned. do may run in another goroutine, even after Around has returned.
type Around func(ctx context.Context, call Call, do func() error) error

// Client is a client of a store without a cache. It implements client.Client.
type Client struct {
	// Store holds the objects.
	Store *Store
	// Around carries out every call; nil does so at once.
	Around Around
	// Cached answers reads of the kinds that it knows; nil knows none.
	Cached client.Reader
	// IsCached says which kinds are read from Cached.
	IsCached func(kind string) bool
	// SchemeOf is what Scheme returns.
	SchemeOf *runtime.Scheme
}

var _ client.Client = (*Client)(nil)

func (c *Client) around(ctx context.Context, call Call, do func() error) error {
	if c.Around == nil {
		return do()
	}
	return c.Around(ctx, call, do)
}

func (c *Client) reads(kind string) bool {
	return c.Cached != nil && c.IsCached != nil && c.IsCached(kind)
}

// Get implements client.Reader.
func (c *Client) Get(ctx context.Context, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
	kind := KindOf(object)
	if c.reads(kind) {
		return c.Cached.Get(ctx, key, object, options...)
	}
	var found client.Object
	err := c.around(ctx, Call{"get", kind, key.Namespace, key.Name}, func() (err error) {
		found, err = c.Store.Get(kind, key)
		return err
	})
	if err != nil {
		return err
	}
	Assign(object, found)
	return nil
}

// List implements client.Reader. It supports a namespace, a limit and a continuation.
func (c *Client) List(ctx context.Context, list client.ObjectList, options ...client.ListOption) error {
	kind := KindOf(list)
	if c.reads(kind) {
		return c.Cached.List(ctx, list, options...)
	}
	var asked client.ListOptions
	asked.ApplyOptions(options)
	if asked.FieldSelector != nil || asked.LabelSelector != nil {
		return fmt.Errorf("listing %s by a selector: %w", kind, errUnsupported)
	}
	var page Page
	err := c.around(ctx, Call{"list", kind, asked.Namespace, ""}, func() (err error) {
		page, err = c.Store.List(kind, asked.Namespace, int(asked.Limit), asked.Continue)
		return err
	})
	if err != nil {
		return err
	}
	list.SetContinue(page.Continue)
	return SetItems(list, page.Objects)
}

// Create implements client.Writer.
func (c *Client) Create(ctx context.Context, object client.Object, _ ...client.CreateOption) error {
	kind, given := KindOf(object), copyOf(object)
	name := given.GetName()
	if name == "" {
		name = given.GetGenerateName()
	}
	return c.write(ctx, Call{"create", kind, given.GetNamespace(), name}, object, func() (client.Object, error) {
		return c.Store.Create(kind, given)
	})
}

// Update implements client.Writer.
func (c *Client) Update(ctx context.Context, object client.Object, _ ...client.UpdateOption) error {
	kind, given := KindOf(object), copyOf(object)
	return c.write(ctx, Call{"update", kind, given.GetNamespace(), given.GetName()}, object, func() (client.Object, error) {
		return c.Store.Update(kind, given)
	})
}

// Patch implements client.Writer. It supports merge patches.
func (c *Client) Patch(ctx context.Context, object client.Object, patch client.Patch, _ ...client.PatchOption) error {
	return c.patch(ctx, object, patch, false)
}

func (c *Client) patch(ctx context.Context, object client.Object, patch client.Patch, status bool) error {
	if patch.Type() != types.MergePatchType {
		return fmt.Errorf("patching by %s: %w", patch.Type(), errUnsupported)
	}
	data, err := patch.Data(object)
	if err != nil {
		return err
	}
	kind, key, verb := KindOf(object), client.ObjectKeyFromObject(object), "patch"
	if status {
		verb += statusSuffix
	}
	return c.write(ctx, Call{verb, kind, key.Namespace, key.Name}, object, func() (client.Object, error) {
		return c.Store.Patch(kind, key, data, status)
	})
}

const statusSuffix = "/status"

// write carries out a write and shows its result in the caller's object.
func (c *Client) write(ctx context.Context, call Call, object client.Object, do func() (client.Object, error)) error {
	var stored client.Object
	err := c.around(ctx, call, func() (err error) {
		stored, err = do()
		return err
	})
	if err != nil {
		return err
	}
	Assign(object, stored)
	return nil
}

// Delete implements client.Writer.
func (c *Client) Delete(ctx context.Context, object client.Object, options ...client.DeleteOption) error {
	var asked client.DeleteOptions
	asked.ApplyOptions(options)
	kind, key := KindOf(object), client.ObjectKeyFromObject(object)
	return c.around(ctx, Call{"delete", kind, key.Namespace, key.Name}, func() error {
		return c.Store.Delete(kind, key, asked.Preconditions)
	})
}

// Status implements client.StatusClient.
func (c *Client) Status() client.SubResourceWriter { return statusWriter{c} }

// statusWriter writes the status of objects.
type statusWriter struct{ client *Client }

// Update implements client.SubResourceWriter.
func (w statusWriter) Update(ctx context.Context, object client.Object, _ ...client.SubResourceUpdateOption) error {
	kind, given := KindOf(object), copyOf(object)
	return w.client.write(ctx, Call{"update" + statusSuffix, kind, given.GetNamespace(), given.GetName()}, object, func() (client.Object, error) {
		return w.client.Store.UpdateStatus(kind, given)
	})
}

// Patch implements client.SubResourceWriter.
func (w statusWriter) Patch(ctx context.Context, object client.Object, patch client.Patch, _ ...client.SubResourcePatchOption) error {
	return w.client.patch(ctx, object, patch, true)
}

// Create implements client.SubResourceWriter.
func (statusWriter) Create(context.Context, client.Object, client.Object, ...client.SubResourceCreateOption) error {
	return errUnsupported
}

// Apply implements client.SubResourceWriter.
func (statusWriter) Apply(context.Context, runtime.ApplyConfiguration, ...client.SubResourceApplyOption) error {
	return errUnsupported
}

// Apply implements client.Writer.
func (*Client) Apply(context.Context, runtime.ApplyConfiguration, ...client.ApplyOption) error {
	return errUnsupported
}

// DeleteAllOf implements client.Writer.
func (*Client) DeleteAllOf(context.Context, client.Object, ...client.DeleteAllOfOption) error {
	return errUnsupported
}

// SubResource implements client.SubResourceClientConstructor. The operator
// asks for none.
func (*Client) SubResource(string) client.SubResourceClient { return nil }

// Scheme implements client.Client.
func (c *Client) Scheme() *runtime.Scheme { return c.SchemeOf }

// RESTMapper implements client.Client. The operator does not use it.
func (*Client) RESTMapper() meta.RESTMapper { return nil }

// GroupVersionKindFor implements client.Client.
func (c *Client) GroupVersionKindFor(object runtime.Object) (kind schema.GroupVersionKind, err error) {
	kinds, _, err := c.SchemeOf.ObjectKinds(object)
	if err != nil {
		return kind, err
	}
	return kinds[0], nil
}

// IsObjectNamespaced implements client.Client.
func (*Client) IsObjectNamespaced(object runtime.Object) (bool, error) {
	return KindOf(object) != KindNamespace, nil
}

// Assign makes a caller's object a copy of a stored one of the same kind.
func Assign(into, from client.Object) {
	switch into := into.(type) {
	case *warmpool.WarmPool:
		assign(into, from)
	case *warmpool.WarmInstance:
		assign(into, from)
	case *warmpool.VastAccount:
		assign(into, from)
	case *warmpool.WarmClaim:
		assign(into, from)
	case *corev1.Secret:
		assign(into, from)
	default:
		reflect.ValueOf(into).Elem().Set(reflect.ValueOf(copyOf(from)).Elem())
	}
}

// copier is an object that copies itself into another one.
type copier[T any] interface {
	*T
	client.Object
	DeepCopyInto(into *T)
}

func assign[T any, P copier[T]](into P, from client.Object) {
	if stored, ok := from.(P); ok {
		stored.DeepCopyInto((*T)(into))
	}
}

// SetItems puts copies of stored objects into a list.
func SetItems(list client.ObjectList, objects []client.Object) error {
	switch list := list.(type) {
	case *warmpool.WarmPoolList:
		list.Items = copiesOf[warmpool.WarmPool](objects)
	case *warmpool.WarmInstanceList:
		list.Items = copiesOf[warmpool.WarmInstance](objects)
	case *warmpool.VastAccountList:
		list.Items = copiesOf[warmpool.VastAccount](objects)
	case *warmpool.WarmClaimList:
		list.Items = copiesOf[warmpool.WarmClaim](objects)
	default:
		items := make([]runtime.Object, 0, len(objects))
		for _, object := range objects {
			items = append(items, object.DeepCopyObject())
		}
		return meta.SetList(list, items)
	}
	return nil
}

func copiesOf[T any, P copier[T]](objects []client.Object) []T {
	items := make([]T, len(objects))
	for k, object := range objects {
		assign(P(&items[k]), object)
	}
	return items
}
