package apidouble

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Options say how a store is made. All but Defaults are required.
type Options struct {
	// Now is the server's clock.
	Now func() time.Time
	// NewUID makes the UID of a new object; Suffix ends a generated name.
	NewUID func() types.UID
	// Suffix ends a generated name.
	Suffix func() string
	// Defaults fill in the fields of new custom resources; nil fills in nothing.
	Defaults *Defaults
	// PageLimit bounds a page whatever a list asks for; 0 does not.
	PageLimit int
	// Broken makes the double lie, so that a test can see its checkers fail.
	Broken Broken
}

// Broken are lies. The zero value has none.
type Broken struct {
	// NoFinalizers lets every deletion through.
	NoFinalizers bool
	// Show changes what reads show, but not what is stored.
	Show func(shown client.Object)
	// Forget takes something out of a status before it is stored.
	Forget func(given client.Object)
}

// Event is one change of one object.
type Event struct {
	// Type is Added, Modified or Deleted.
	Type watch.EventType
	// Kind is the object's kind.
	Kind string
	// Object is how it was after the change, or last. It must not be changed.
	Object client.Object
	// Version is the resource version of the change.
	Version uint64
}

// Store holds the objects. It is safe for concurrent use.
type Store struct {
	options  Options
	carriers *carriers

	mu      sync.Mutex
	version uint64
	objects map[string]map[types.NamespacedName]client.Object
	// log holds every event, oldest first, by kind.
	log map[string][]Event
	// closing holds the namespaces that are being deleted.
	closing map[string]bool
	// observers are called for every event with the lock held.
	observers []func(Event, client.Object)
	// expired makes the next page of a list that was begun answer 410.
	expired bool
}

// NewStore makes an empty store.
func NewStore(options Options) *Store {
	return &Store{
		options: options, carriers: options.Defaults.carriersOf(), version: 1, closing: map[string]bool{},
		objects: map[string]map[types.NamespacedName]client.Object{}, log: map[string][]Event{},
	}
}

// Observe calls a function for every change, in order, with the object as it
// was before (nil for a new one). The function must not call the store.
func (s *Store) Observe(observer func(event Event, before client.Object)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.observers = append(s.observers, observer)
}

// CloseNamespace makes the creation of objects in a namespace fail, as while it
// is being deleted; OpenNamespace allows it again.
func (s *Store) CloseNamespace(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closing[name] = true
}

// OpenNamespace allows objects in a namespace again.
func (s *Store) OpenNamespace(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.closing, name)
}

// ExpirePages makes the next page that continues a list fail with 410 Gone.
func (s *Store) ExpirePages() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expired = true
}

// Version is the resource version of the last change.
func (s *Store) Version() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.version
}

// Events returns the changes of a kind after a resource version.
func (s *Store) Events(kind string, after uint64) []Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	log := s.log[kind]
	at, _ := slices.BinarySearchFunc(log, after+1, func(e Event, version uint64) int { return cmp.Compare(e.Version, version) })
	return slices.Clone(log[at:])
}

// Snapshot returns the objects of a kind as they were at a resource version,
// ordered by name. They must not be changed.
func (s *Store) Snapshot(kind string, version uint64) []client.Object {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.snapshot(kind, version)
}

func (s *Store) snapshot(kind string, version uint64) []client.Object {
	state := map[types.NamespacedName]client.Object{}
	for _, event := range s.log[kind] {
		if event.Version > version {
			break
		}
		key := client.ObjectKeyFromObject(event.Object)
		if event.Type == watch.Deleted {
			delete(state, key)
		} else {
			state[key] = event.Object
		}
	}
	objects := make([]client.Object, 0, len(state))
	for _, object := range state {
		objects = append(objects, object)
	}
	slices.SortFunc(objects, byName)
	return objects
}

func byName(a, b client.Object) int {
	return cmp.Or(strings.Compare(a.GetNamespace(), b.GetNamespace()), strings.Compare(a.GetName(), b.GetName()))
}

// Get returns an object that must not be changed, or NotFound.
func (s *Store) Get(kind string, key types.NamespacedName) (client.Object, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := s.objects[kind][key]
	if found == nil {
		return nil, apierrors.NewNotFound(resourceOf(kind), key.Name)
	}
	return s.shown(found), nil
}

// shown is an object as reads show it.
func (s *Store) shown(object client.Object) client.Object {
	if s.options.Broken.Show == nil {
		return object
	}
	changed := copyOf(object)
	s.options.Broken.Show(changed)
	return changed
}

// Page is one answer to a list.
type Page struct {
	// Objects are ordered by name and must not be changed.
	Objects []client.Object
	// Continue asks for the next page; empty on the last one.
	Continue string
}

// List returns a page of the objects of a kind in a namespace (all for the
// empty one), at most limit (0 for any number). All pages of a list show the
// moment of the first; a list that is too old fails with 410 Gone.
func (s *Store) List(kind, namespace string, limit int, next string) (Page, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if limit > 0 && s.options.PageLimit > 0 {
		limit = min(limit, s.options.PageLimit)
	}
	version, offset := s.version, 0
	if next != "" {
		if s.expired {
			s.expired = false
			return Page{}, apierrors.NewResourceExpired("The provided continue parameter is too old to display a consistent list result.")
		}
		if _, err := fmt.Sscanf(next, "%d/%d", &version, &offset); err != nil {
			return Page{}, apierrors.NewBadRequest("continue key is not valid")
		}
	}
	var all []client.Object
	if version == s.version {
		for _, found := range s.objects[kind] {
			all = append(all, s.shown(found))
		}
		slices.SortFunc(all, byName)
	} else {
		all = s.snapshot(kind, version)
	}
	if namespace != "" {
		all = slices.DeleteFunc(all, func(o client.Object) bool { return o.GetNamespace() != namespace })
	}
	all = all[min(offset, len(all)):]
	if limit <= 0 || len(all) <= limit {
		return Page{Objects: all}, nil
	}
	return Page{Objects: all[:limit], Continue: fmt.Sprintf("%d/%d", version, offset+limit)}, nil
}

// commit stores what is left of an object on the wire, and tells everybody.
// The given one is not kept. Lock held.
func (s *Store) commit(kind string, object, before client.Object, event watch.EventType) (client.Object, error) {
	carried, err := s.carriers.roundTrip(object)
	if err != nil {
		return nil, apierrors.NewInternalError(err)
	}
	return s.keep(kind, carried, before, event), nil
}

// keep stores an object that has been on the wire. Lock held.
func (s *Store) keep(kind string, object, before client.Object, event watch.EventType) client.Object {
	if before != nil && event == watch.Modified {
		object.SetResourceVersion(before.GetResourceVersion())
		if reflect.DeepEqual(before, object) {
			return before // nothing changed: no new version, no event
		}
	}
	s.version++
	object.SetResourceVersion(strconv.FormatUint(s.version, 10))
	key := client.ObjectKeyFromObject(object)
	if s.objects[kind] == nil {
		s.objects[kind] = map[types.NamespacedName]client.Object{}
	}
	if event == watch.Deleted {
		delete(s.objects[kind], key)
	} else {
		s.objects[kind][key] = object
	}
	happened := Event{Type: event, Kind: kind, Object: object, Version: s.version}
	s.log[kind] = append(s.log[kind], happened)
	for _, observer := range s.observers {
		observer(happened, before)
	}
	return object
}

// resourceOf names the resource of a kind, for errors.
func resourceOf(kind string) schema.GroupResource {
	group := "warmpool.dev"
	if kind == KindSecret || kind == KindConfigMap || kind == KindNamespace {
		group = ""
	}
	return schema.GroupResource{Group: group, Resource: strings.ToLower(kind) + "s"}
}

// now is the server's time in the grain of the wire.
func (s *Store) now() metav1.Time {
	return metav1.Time{Time: s.options.Now().Truncate(time.Second)}
}
