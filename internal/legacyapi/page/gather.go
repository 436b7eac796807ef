package page

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/warmpool-dev/warmpool/api/v1alpha1"
)

const (
	// snapshotAge is how long one reading serves all who look: every browser asks
	// every few seconds, and the API server shall not feel how many there are.
	snapshotAge = 2 * time.Second
	// readTimeout bounds one reading.
	readTimeout = 10 * time.Second
	// maxEvents bounds how many events are read, and shownEvents how many are shown.
	maxEvents   = 2000
	shownEvents = 40
)

// snapshot is what the API server said at one time.
type snapshot struct {
	taken time.Time
	// pool is nil when there is none of that name, and then all else is empty.
	pool      *v1alpha1.WarmPool
	instances []v1alpha1.WarmInstance
	claims    []v1alpha1.WarmClaim
	account   *v1alpha1.VastAccount
	events    []corev1.Event
	// problems say what could not be read, by what it is.
	problems map[string]string
}

// instance finds an instance of the pool by name.
func (s *snapshot) instance(name string) *v1alpha1.WarmInstance {
	at := slices.IndexFunc(s.instances, func(i v1alpha1.WarmInstance) bool { return i.Name == name })
	if at < 0 {
		return nil
	}
	return &s.instances[at]
}

// claim finds a claim of the pool by name.
func (s *snapshot) claim(name string) *v1alpha1.WarmClaim {
	at := slices.IndexFunc(s.claims, func(c v1alpha1.WarmClaim) bool { return c.Name == name })
	if at < 0 {
		return nil
	}
	return &s.claims[at]
}

// gatherer reads snapshots, one at a time.
type gatherer struct {
	reader client.Reader
	pool   types.NamespacedName
	now    func() time.Time
	log    logr.Logger

	mu   sync.Mutex
	last *snapshot
}

// recent returns a snapshot that is at most snapshotAge old.
func (g *gatherer) recent(ctx context.Context) *snapshot {
	return g.atMost(ctx, snapshotAge)
}

// fresh reads now: an act is judged by what is.
func (g *gatherer) fresh(ctx context.Context) *snapshot { return g.atMost(ctx, 0) }

func (g *gatherer) atMost(ctx context.Context, limit time.Duration) *snapshot {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.last != nil && limit > 0 {
		if old := g.now().Sub(g.last.taken); old >= 0 && old < limit {
			return g.last
		}
	}
	// Others wait for this reading: one browser that goes away must not spoil it.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readTimeout)
	defer cancel()
	g.last = g.read(ctx)
	return g.last
}

func (g *gatherer) read(ctx context.Context) *snapshot {
	s := &snapshot{taken: g.now(), problems: map[string]string{}}
	pool := &v1alpha1.WarmPool{}
	err := g.reader.Get(ctx, g.pool, pool)
	if apierrors.IsNotFound(err) {
		return s
	}
	if g.failed(s, "The pool", err) {
		return s
	}
	s.pool = pool
	s.instances = g.instances(ctx, s)
	s.claims = g.claims(ctx, s)
	s.events = g.events(ctx, s)
	account := &v1alpha1.VastAccount{}
	err = g.reader.Get(ctx, types.NamespacedName{Namespace: g.pool.Namespace, Name: pool.Spec.AccountRef.Name}, account)
	if !apierrors.IsNotFound(err) && !g.failed(s, "The account", err) {
		s.account = account
	}
	return s
}

func (g *gatherer) instances(ctx context.Context, s *snapshot) []v1alpha1.WarmInstance {
	var list v1alpha1.WarmInstanceList
	if g.failed(s, "The instances", g.reader.List(ctx, &list, client.InNamespace(g.pool.Namespace))) {
		return nil
	}
	mine := slices.DeleteFunc(list.Items, func(i v1alpha1.WarmInstance) bool { return i.Spec.PoolRef.Name != g.pool.Name })
	slices.SortFunc(mine, func(a, b v1alpha1.WarmInstance) int {
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
	})
	return mine
}

func (g *gatherer) claims(ctx context.Context, s *snapshot) []v1alpha1.WarmClaim {
	var list v1alpha1.WarmClaimList
	if g.failed(s, "The claims", g.reader.List(ctx, &list, client.InNamespace(g.pool.Namespace))) {
		return nil
	}
	mine := slices.DeleteFunc(list.Items, func(c v1alpha1.WarmClaim) bool { return c.Spec.PoolRef.Name != g.pool.Name })
	// Those that live come first, then the newest.
	slices.SortFunc(mine, func(a, b v1alpha1.WarmClaim) int {
		return cmp.Or(
			cmp.Compare(finished(&a), finished(&b)),
			b.CreationTimestamp.Compare(a.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
	})
	return mine
}

// finished is 1 for a claim that has ended and 0 for one that has not, for sorting.
func finished(claim *v1alpha1.WarmClaim) int {
	if claim.Status.FinishedTime != nil {
		return 1
	}
	return 0
}

// events reads the newest events about the pool, its instances, its claims and its account.
func (g *gatherer) events(ctx context.Context, s *snapshot) []corev1.Event {
	var found []corev1.Event
	options := &client.ListOptions{Namespace: g.pool.Namespace, Limit: 500}
	for read := 0; read < maxEvents; {
		var list corev1.EventList
		if g.failed(s, "The events", g.reader.List(ctx, &list, options)) {
			return nil
		}
		read += len(list.Items)
		for i := range list.Items {
			if s.concerns(&list.Items[i].InvolvedObject) {
				found = append(found, list.Items[i])
			}
		}
		if options.Continue = list.Continue; list.Continue == "" {
			break
		}
	}
	slices.SortFunc(found, func(a, b corev1.Event) int {
		return cmp.Or(eventTime(&b).Compare(eventTime(&a)), cmp.Compare(a.Name, b.Name))
	})
	return found[:min(len(found), shownEvents)]
}

// concerns is true for the pool and what belongs to it. Instances and claims that
// are gone are recognised by their names.
func (s *snapshot) concerns(object *corev1.ObjectReference) bool {
	pool := s.pool.Name
	switch object.Kind {
	case "WarmPool":
		return object.Name == pool
	case "VastAccount":
		return object.Name == s.pool.Spec.AccountRef.Name
	case "WarmInstance":
		return s.instance(object.Name) != nil || len(object.Name) > len(pool)+1 && object.Name[:len(pool)+1] == pool+"-"
	case "WarmClaim":
		return s.claim(object.Name) != nil
	}
	return false
}

// eventTime is when an event happened last, whichever of its fields says so.
func eventTime(event *corev1.Event) time.Time {
	switch {
	case event.Series != nil && !event.Series.LastObservedTime.IsZero():
		return event.Series.LastObservedTime.Time
	case !event.LastTimestamp.IsZero():
		return event.LastTimestamp.Time
	case !event.EventTime.IsZero():
		return event.EventTime.Time
	default:
		return event.CreationTimestamp.Time
	}
}

// failed notes that something could not be read, in the log with all details and
// on the page with what to do.
func (g *gatherer) failed(s *snapshot, what string, err error) bool {
	if err == nil {
		return false
	}
	g.log.Error(err, "Cannot read for the admin page", "what", what)
	s.problems[what] = fmt.Sprintf("%s cannot be read: %s", what, remedy(err))
	return true
}

// remedy says what to do about an error of the API server.
func remedy(err error) string {
	switch {
	case apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err):
		return "the sidecar's role does not allow it. Apply the role that comes with this release."
	case apierrors.IsConflict(err):
		return "somebody changed it at the same time. Look at it again, and repeat what you did."
	case apierrors.IsNotFound(err):
		return "it is not there any more, or its kind is not installed. Apply the CRDs of this release if it is missing for long."
	case apierrors.IsInvalid(err) || apierrors.IsBadRequest(err):
		return "the API server refused it: " + err.Error()
	default:
		return "the API server does not answer as it should. Wait a moment and try again; the sidecar's log has the details."
	}
}

// forget makes the next reading a new one: something was just changed.
func (g *gatherer) forget() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.last = nil
}
