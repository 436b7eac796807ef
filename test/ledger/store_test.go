package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strconv"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
)

// errLost stands for an answer of the API server that was lost.
var errLost = errors.New("the connection was closed")

// store is as much of an API server as the sweep needs. What is written goes
// through JSON, so that times lose what they lose in a cluster. Any method that
// the sweep does not use would panic.
type store struct {
	client.Client
	t       *testing.T
	objects map[string]client.Object
	version int
	draws   *rand.Rand
	// conflicts and lost are the shares of writes of the account's status that
	// lose a race, and whose answer is lost.
	conflicts, lost float64
	// conflicted and unanswered count them.
	conflicted, unanswered int
}

func newStore(t *testing.T, draws *rand.Rand) *store {
	t.Helper()
	return &store{t: t, objects: map[string]client.Object{}, draws: draws}
}

func keyOf(object client.Object, name string) string { return fmt.Sprintf("%T/%s", object, name) }

// put writes an object whole.
func (s *store) put(object client.Object) {
	s.t.Helper()
	s.version++
	object.SetResourceVersion(strconv.Itoa(s.version))
	data, err := json.Marshal(object)
	if err != nil {
		s.t.Fatal(err)
	}
	kept, ok := reflect.TypeAssert[client.Object](reflect.New(reflect.TypeOf(object).Elem()))
	if !ok {
		s.t.Fatalf("%T is no object", object)
	}
	if err := json.Unmarshal(data, kept); err != nil {
		s.t.Fatal(err)
	}
	s.objects[keyOf(object, object.GetName())] = kept
}

// drop takes an object away.
func (s *store) drop(object client.Object) { delete(s.objects, keyOf(object, object.GetName())) }

func (s *store) Get(_ context.Context, key client.ObjectKey, object client.Object, _ ...client.GetOption) error {
	kept, found := s.objects[keyOf(object, key.Name)]
	if !found {
		return apierrors.NewNotFound(schema.GroupResource{}, key.Name)
	}
	reflect.ValueOf(object).Elem().Set(reflect.ValueOf(kept.DeepCopyObject()).Elem())
	return nil
}

func (s *store) List(_ context.Context, list client.ObjectList, _ ...client.ListOption) error {
	for _, name := range slices.Sorted(maps.Keys(s.objects)) {
		switch kept := s.objects[name].(type) {
		case *warmpool.WarmInstance:
			if list, wanted := list.(*warmpool.WarmInstanceList); wanted {
				list.Items = append(list.Items, *kept.DeepCopy())
			}
		case *warmpool.WarmPool:
			if list, wanted := list.(*warmpool.WarmPoolList); wanted {
				list.Items = append(list.Items, *kept.DeepCopy())
			}
		}
	}
	return nil
}

func (s *store) Update(_ context.Context, object client.Object, _ ...client.UpdateOption) error {
	s.put(object)
	return nil
}

// Status implements client.Client.
func (s *store) Status() client.SubResourceWriter { return &statusWriter{store: s} }

type statusWriter struct {
	client.SubResourceWriter
	store *store
}

func (w *statusWriter) Update(ctx context.Context, object client.Object, _ ...client.SubResourceUpdateOption) error {
	s := w.store
	current, ok := object.DeepCopyObject().(client.Object)
	if !ok {
		return fmt.Errorf("%T is no object", object)
	}
	if err := s.Get(ctx, client.ObjectKeyFromObject(object), current); err != nil {
		return err
	}
	if current.GetResourceVersion() != object.GetResourceVersion() {
		return apierrors.NewConflict(schema.GroupResource{}, object.GetName(), errLost)
	}
	if _, isAccount := object.(*warmpool.VastAccount); !isAccount {
		s.put(object)
		return nil
	}
	if s.draws.Float64() < s.conflicts {
		s.conflicted++
		return apierrors.NewConflict(schema.GroupResource{}, object.GetName(), errLost)
	}
	s.put(object)
	if s.draws.Float64() < s.lost {
		s.unanswered++
		return errLost
	}
	return nil
}

// secret is the one that the account names.
func secret() *corev1.Secret {
	made := &corev1.Secret{Data: map[string][]byte{"VASTAI_API_KEY": []byte("sim-key")}}
	made.Name, made.Namespace = "warmpool-credentials", "default"
	return made
}
