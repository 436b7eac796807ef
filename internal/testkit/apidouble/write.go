package apidouble

import (
	"encoding/json"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

var (
	errStale      = errors.New("the object has been modified; please apply your changes to the latest version and try again")
	errNoVersion  = errors.New("metadata.resourceVersion: Invalid value: 0: must be specified for an update")
	errOtherUID   = errors.New("precondition failed: UID in precondition and UID in object meta differ")
	errOtherState = errors.New("precondition failed: ResourceVersion in precondition and ResourceVersion in object meta differ")
)

// Create stores a new object and returns it as stored. The given one is not changed.
func (s *Store) Create(kind string, given client.Object) (client.Object, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	object := copyOf(given)
	if object.GetName() == "" && object.GetGenerateName() != "" {
		object.SetName(object.GetGenerateName() + s.options.Suffix())
	}
	key := client.ObjectKeyFromObject(object)
	switch {
	case object.GetResourceVersion() != "":
		return nil, apierrors.NewBadRequest("resourceVersion should not be set on objects to be created")
	case s.objects[kind][key] != nil:
		return nil, apierrors.NewAlreadyExists(resourceOf(kind), object.GetName())
	case s.closing[object.GetNamespace()]:
		return nil, apierrors.NewForbidden(resourceOf(kind), object.GetName(),
			fmt.Errorf("unable to create new content in namespace %s because it is being terminated", object.GetNamespace()))
	}
	object.SetUID(s.options.NewUID())
	object.SetCreationTimestamp(s.now())
	object.SetDeletionTimestamp(nil)
	object.SetDeletionGracePeriodSeconds(nil)
	object.SetManagedFields(nil)
	if isCustom(kind) {
		object.SetGeneration(1)
		dropStatus(object)
		defaulted, err := s.options.Defaults.apply(kind, object)
		if err != nil {
			return nil, apierrors.NewInternalError(err)
		}
		object = defaulted
	}
	return s.commit(kind, object, nil, watch.Added)
}

// Update replaces an object but for its status and what the server owns.
func (s *Store) Update(kind string, given client.Object) (client.Object, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before, err := s.current(kind, given)
	if err != nil {
		return nil, err
	}
	return s.replace(kind, before, given)
}

// UpdateStatus replaces an object's status and nothing else.
func (s *Store) UpdateStatus(kind string, given client.Object) (client.Object, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !isCustom(kind) {
		return nil, apierrors.NewNotFound(resourceOf(kind), given.GetName())
	}
	before, err := s.current(kind, given)
	if err != nil {
		return nil, err
	}
	after := shallowCopyOf(before)
	takeStatus(after, given)
	if s.options.Broken.Forget != nil {
		s.options.Broken.Forget(after)
	}
	return s.commit(kind, after, before, watch.Modified)
}

// Patch applies a JSON merge patch to an object, or to its status alone. A
// resource version in the patch must be the present one.
func (s *Store) Patch(kind string, key types.NamespacedName, patch []byte, status bool) (client.Object, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.objects[kind][key]
	if before == nil {
		return nil, apierrors.NewNotFound(resourceOf(kind), key.Name)
	}
	given, err := merge(kind, before, patch)
	if err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	if version := given.GetResourceVersion(); version != "" && version != before.GetResourceVersion() {
		return nil, apierrors.NewConflict(resourceOf(kind), key.Name, errStale)
	}
	if given.GetUID() != before.GetUID() {
		return nil, apierrors.NewConflict(resourceOf(kind), key.Name, errOtherUID)
	}
	if status {
		after := shallowCopyOf(before)
		takeStatus(after, given)
		return s.commit(kind, after, before, watch.Modified)
	}
	return s.replace(kind, before, given)
}

// merge returns an object with a merge patch applied. It has the patch's resource
// version and no other.
func merge(kind string, before client.Object, patch []byte) (client.Object, error) {
	var change, whole map[string]any
	if err := json.Unmarshal(patch, &change); err != nil {
		return nil, err
	}
	base := shallowCopyOf(before)
	base.SetResourceVersion("")
	text, err := json.Marshal(base)
	if err != nil {
		return nil, err
	}
	if err = json.Unmarshal(text, &whole); err != nil {
		return nil, err
	}
	if text, err = json.Marshal(mergeJSON(whole, change)); err != nil {
		return nil, err
	}
	return decode(kind, text)
}

// mergeJSON is the merge of RFC 7386.
func mergeJSON(whole, change map[string]any) map[string]any {
	if whole == nil {
		whole = map[string]any{}
	}
	for name, value := range change {
		switch value := value.(type) {
		case nil:
			delete(whole, name)
		case map[string]any:
			inner, isObject := whole[name].(map[string]any)
			if !isObject {
				inner = nil
			}
			whole[name] = mergeJSON(inner, value)
		default:
			whole[name] = value
		}
	}
	return whole
}

// Delete deletes an object, or marks it while finalizers hold it.
func (s *Store) Delete(kind string, key types.NamespacedName, conditions *metav1.Preconditions) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.objects[kind][key]
	if before == nil {
		return apierrors.NewNotFound(resourceOf(kind), key.Name)
	}
	if conditions != nil {
		if conditions.UID != nil && *conditions.UID != before.GetUID() {
			return apierrors.NewConflict(resourceOf(kind), key.Name, errOtherUID)
		}
		if conditions.ResourceVersion != nil && *conditions.ResourceVersion != before.GetResourceVersion() {
			return apierrors.NewConflict(resourceOf(kind), key.Name, errOtherState)
		}
	}
	if len(before.GetFinalizers()) == 0 || s.options.Broken.NoFinalizers {
		_, err := s.commit(kind, shallowCopyOf(before), before, watch.Deleted)
		return err
	}
	if before.GetDeletionTimestamp() != nil {
		return nil
	}
	after, now, none := shallowCopyOf(before), s.now(), int64(0)
	after.SetDeletionTimestamp(&now)
	after.SetDeletionGracePeriodSeconds(&none)
	if after.GetGeneration() > 0 {
		after.SetGeneration(after.GetGeneration() + 1)
	}
	_, err := s.commit(kind, after, before, watch.Modified)
	return err
}

// current finds the object that a write is meant for and checks the version
// that it is based on.
func (s *Store) current(kind string, given client.Object) (client.Object, error) {
	before := s.objects[kind][client.ObjectKeyFromObject(given)]
	switch {
	case before == nil:
		return nil, apierrors.NewNotFound(resourceOf(kind), given.GetName())
	case given.GetUID() != "" && given.GetUID() != before.GetUID():
		return nil, apierrors.NewConflict(resourceOf(kind), given.GetName(), errOtherUID)
	case given.GetResourceVersion() == "" && isCustom(kind):
		return nil, apierrors.NewConflict(resourceOf(kind), given.GetName(), errNoVersion)
	case given.GetResourceVersion() != "" && given.GetResourceVersion() != before.GetResourceVersion():
		return nil, apierrors.NewConflict(resourceOf(kind), given.GetName(), errStale)
	default:
		return before, nil
	}
}

// replace stores what a person or a controller may change, and lets an object
// go whose last finalizer came off after its deletion.
func (s *Store) replace(kind string, old, given client.Object) (client.Object, error) {
	after, err := s.carriers.roundTrip(given)
	if err != nil {
		return nil, apierrors.NewInternalError(err)
	}
	after.SetUID(old.GetUID())
	after.SetCreationTimestamp(old.GetCreationTimestamp())
	after.SetDeletionTimestamp(old.GetDeletionTimestamp())
	after.SetDeletionGracePeriodSeconds(old.GetDeletionGracePeriodSeconds())
	after.SetGeneration(old.GetGeneration())
	after.SetGenerateName(old.GetGenerateName())
	after.SetManagedFields(nil)
	if isCustom(kind) {
		takeStatus(after, old)
		if !hasSameSpec(old, after) {
			after.SetGeneration(old.GetGeneration() + 1)
		}
	}
	if old.GetDeletionTimestamp() != nil && len(after.GetFinalizers()) == 0 {
		return s.keep(kind, after, old, watch.Deleted), nil
	}
	return s.keep(kind, after, old, watch.Modified), nil
}
