package simulate

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/warmpool-dev/warmpool/internal/testkit/apidouble"
)

// laggingCache is the cache of one process. It shows what the API server had
// some time ago, each kind at its own pace, and never goes back.
type laggingCache struct {
	process *process
	// informers are by kind, in a fixed order.
	informers map[string]*informer
	indexes   map[string]client.IndexerFunc
}

var _ cache.Cache = (*laggingCache)(nil)

// watchedKinds are those that the operator caches.
func watchedKinds() []string {
	return []string{apidouble.KindVastAccount, apidouble.KindWarmPool, apidouble.KindWarmInstance, apidouble.KindWarmClaim}
}

// newCache fills a cache, possibly from a reading that is a little old: an API
// server may answer the first list from its own cache.
func newCache(p *process) *laggingCache {
	c := &laggingCache{process: p, informers: map[string]*informer{}, indexes: map[string]client.IndexerFunc{}}
	for _, kind := range watchedKinds() {
		i := &informer{process: p, kind: kind, objects: map[types.NamespacedName]client.Object{}}
		dice := p.world.decide.at(p.name + " first list of " + kind)
		version := p.world.api.Version()
		if back := uint64(dice.below(8)); dice.chance(p.world.plan.Rates.StaleStart) && version > back && //nolint:gosec // below 8
			p.world.inject(dice.id, "stale first list") {
			version -= back
		}
		for _, object := range p.world.api.Snapshot(kind, version) {
			i.objects[client.ObjectKeyFromObject(object)] = object
		}
		i.seen = version
		c.informers[kind] = i
	}
	return c
}

// start lets the watches run.
func (c *laggingCache) start() {
	for _, kind := range watchedKinds() {
		go c.informers[kind].run()
	}
}

// Get implements client.Reader.
func (c *laggingCache) Get(_ context.Context, key client.ObjectKey, object client.Object, _ ...client.GetOption) error {
	found := c.informers[apidouble.KindOf(object)].get(key)
	if found == nil {
		return apierrors.NewNotFound(schema.GroupResource{Resource: apidouble.KindOf(object)}, key.Name)
	}
	apidouble.Assign(object, found)
	return nil
}

// List implements client.Reader.
func (c *laggingCache) List(_ context.Context, list client.ObjectList, options ...client.ListOption) error {
	var asked client.ListOptions
	asked.ApplyOptions(options)
	kind := apidouble.KindOf(list)
	field, value := "", ""
	if asked.FieldSelector != nil {
		requirements := asked.FieldSelector.Requirements()
		field, value = requirements[0].Field, requirements[0].Value
		if c.indexes[kind+"/"+field] == nil {
			return fmt.Errorf("index with name field:%s does not exist", field)
		}
	}
	kept := slices.DeleteFunc(c.informers[kind].all(), func(object client.Object) bool {
		return (asked.Namespace != "" && object.GetNamespace() != asked.Namespace) ||
			(field != "" && !slices.Contains(c.indexes[kind+"/"+field](object), value))
	})
	return apidouble.SetItems(list, kept)
}

// IndexField implements client.FieldIndexer.
func (c *laggingCache) IndexField(_ context.Context, object client.Object, field string, extract client.IndexerFunc) error {
	c.indexes[apidouble.KindOf(object)+"/"+field] = extract
	return nil
}

// GetInformer implements cache.Informers.
func (c *laggingCache) GetInformer(_ context.Context, object client.Object, _ ...cache.InformerGetOption) (cache.Informer, error) {
	return c.informers[apidouble.KindOf(object)], nil
}

// GetInformerForKind implements cache.Informers.
func (c *laggingCache) GetInformerForKind(_ context.Context, kind schema.GroupVersionKind, _ ...cache.InformerGetOption) (cache.Informer, error) {
	return c.informers[kind.Kind], nil
}

// RemoveInformer implements cache.Informers.
func (*laggingCache) RemoveInformer(context.Context, client.Object) error { return nil }

// Start implements cache.Informers.
func (*laggingCache) Start(context.Context) error { return nil }

// WaitForCacheSync implements cache.Informers.
func (*laggingCache) WaitForCacheSync(context.Context) bool { return true }

// betweenEvents keeps the events of one delivery apart.
const betweenEvents = time.Microsecond

// informer follows one kind.
type informer struct {
	cache.Informer
	process *process
	kind    string

	mu       sync.Mutex
	objects  map[types.NamespacedName]client.Object
	handlers []toolscache.ResourceEventHandler
	// seen is the resource version that the cache shows.
	seen uint64
}

var _ cache.Informer = (*informer)(nil)

func (i *informer) get(key types.NamespacedName) client.Object {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.objects[key]
}

// all returns the objects by name: a real cache has no order, and whoever
// relied on one would differ from run to run here.
func (i *informer) all() []client.Object {
	i.mu.Lock()
	defer i.mu.Unlock()
	objects := make([]client.Object, 0, len(i.objects))
	for _, object := range i.objects {
		objects = append(objects, object)
	}
	slices.SortFunc(objects, func(a, b client.Object) int {
		return cmp.Or(cmp.Compare(a.GetNamespace(), b.GetNamespace()), cmp.Compare(a.GetName(), b.GetName()))
	})
	return objects
}

// run delivers what happens, late, until the process ends. Now and then the
// watch breaks: then nothing comes for long, and a list brings the present
// state without what was in between.
func (i *informer) run() {
	w := i.process.world
	place := i.process.name + " watch " + i.kind
	for {
		pending := w.api.Events(i.kind, i.seenVersion())
		if len(pending) == 0 {
			i.process.waitFor(w.changed(i.kind, i.seenVersion()))
			i.nextMoment() // whoever writes may write more at this moment
			continue
		}
		dice := w.decide.at(place)
		switch rates := &w.plan.Rates; {
		case dice.chance(rates.WatchDropped) && w.inject(dice.id, "watch dropped"):
			i.process.sleep(dice, dice.between(5*time.Second, 45*time.Second))
			i.relist()
		case dice.chance(rates.WatchSlow) && w.inject(dice.id, "watch slow"):
			i.process.sleep(dice, dice.between(time.Second, 8*time.Second))
			i.deliver(pending[:1+dice.below(len(pending))])
		default:
			i.process.sleep(dice, dice.between(0, 300*time.Millisecond))
			i.deliver(pending)
		}
	}
}

func (i *informer) seenVersion() uint64 {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.seen
}

// deliver brings events one after the other, each at a moment of its own: what a
// handler wakes has begun before the next event comes. At one and the same moment
// it would depend on the machine whether two events are one entry of a queue or two.
func (i *informer) deliver(events []apidouble.Event) {
	for k, event := range events {
		if k > 0 {
			i.nextMoment()
		}
		key := client.ObjectKeyFromObject(event.Object)
		i.mu.Lock()
		before := i.objects[key]
		if event.Type == watch.Deleted {
			delete(i.objects, key)
		} else {
			i.objects[key] = event.Object
		}
		i.seen = event.Version
		handlers := slices.Clone(i.handlers)
		i.mu.Unlock()
		for _, handler := range handlers {
			switch {
			case event.Type == watch.Deleted && before != nil:
				handler.OnDelete(event.Object)
			case event.Type == watch.Deleted:
			case before == nil:
				handler.OnAdd(event.Object, false)
			default:
				handler.OnUpdate(before, event.Object)
			}
		}
	}
}

// nextMoment lets everything happen that the last event has set off.
func (i *informer) nextMoment() {
	timer := time.NewTimer(betweenEvents)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-i.process.dead:
	}
	i.process.live()
}

// relist compares with a fresh list; what came and went in between is not seen.
func (i *informer) relist() {
	w := i.process.world
	version := w.api.Version()
	listed := w.api.Snapshot(i.kind, version)
	now := map[types.NamespacedName]client.Object{}
	for _, object := range listed {
		now[client.ObjectKeyFromObject(object)] = object
	}
	for _, old := range i.all() {
		key := client.ObjectKeyFromObject(old)
		if now[key] == nil {
			i.drop(key, old)
			i.nextMoment()
		}
	}
	i.mu.Lock()
	i.seen = version
	i.mu.Unlock()
	for _, object := range listed {
		key := client.ObjectKeyFromObject(object)
		before := i.get(key)
		if before != nil && before.GetResourceVersion() == object.GetResourceVersion() {
			continue
		}
		i.mu.Lock()
		i.objects[key] = object
		handlers := slices.Clone(i.handlers)
		i.mu.Unlock()
		for _, handler := range handlers {
			if before == nil {
				handler.OnAdd(object, false)
			} else {
				handler.OnUpdate(before, object)
			}
		}
		i.nextMoment()
	}
}

func (i *informer) drop(key types.NamespacedName, last client.Object) {
	i.mu.Lock()
	delete(i.objects, key)
	handlers := slices.Clone(i.handlers)
	i.mu.Unlock()
	for _, handler := range handlers {
		handler.OnDelete(toolscache.DeletedFinalStateUnknown{Key: key.String(), Obj: last})
	}
}

// AddEventHandler implements cache.Informer.
func (i *informer) AddEventHandler(handler toolscache.ResourceEventHandler) (toolscache.ResourceEventHandlerRegistration, error) {
	return i.AddEventHandlerWithOptions(handler, toolscache.HandlerOptions{})
}

// AddEventHandlerWithOptions implements cache.Informer: the handler sees what is there.
func (i *informer) AddEventHandlerWithOptions(handler toolscache.ResourceEventHandler, _ toolscache.HandlerOptions) (toolscache.ResourceEventHandlerRegistration, error) {
	objects := i.all()
	i.mu.Lock()
	i.handlers = append(i.handlers, handler)
	i.mu.Unlock()
	for _, object := range objects {
		handler.OnAdd(object, true)
	}
	return synced{}, nil
}

// HasSynced implements cache.Informer.
func (*informer) HasSynced() bool { return true }

// synced is a registration that has seen everything.
type synced struct {
	toolscache.ResourceEventHandlerRegistration
}

// HasSynced implements cache.ResourceEventHandlerRegistration.
func (synced) HasSynced() bool { return true }
