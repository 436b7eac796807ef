package audithead

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/warmpool-dev/warmpool/internal/audit"
)

const (
	// namePrefix starts the name of the ConfigMap, the component follows.
	namePrefix = "warmpool-audit-"
	// keyHead holds the head that was published last, of whatever log.
	keyHead = "head"
	// keyLog and keyLost start the keys of each log's own head, and of heads that
	// were found to be cut off.
	keyLog, keyLost = "log-", "lost-"
	// maxKept bounds how many heads of each kind are kept: a log in a volume that
	// does not outlive its pod is a new one after every restart.
	maxKept = 20
)

// Name is the name of the ConfigMap of a component.
func Name(component string) string { return namePrefix + component }

// Publisher keeps heads in the ConfigMap "warmpool-audit-<component>":
// "head" is the last one, "log-<id>" that of each log, and "lost-<id>-<sequence>"
// one that the log does not contain any more.
type Publisher struct {
	client client.Client
	key    types.NamespacedName
}

// New makes a publisher. It needs the rights to get, create and update the
// ConfigMap; the client must not answer from a cache.
func New(access client.Client, namespace, component string) *Publisher {
	return &Publisher{client: access, key: types.NamespacedName{Namespace: namespace, Name: Name(component)}}
}

var _ audit.HeadPublisher = (*Publisher)(nil)

// ErrCutOff says that a record which was published is not in the log any more.
var ErrCutOff = errors.New("the end of the audit log was cut off, or the log was replaced by an older copy")

// PublishHead implements audit.HeadPublisher. A head that was published before
// and lies beyond the given one is kept under its own key, and the error is
// ErrCutOff; the given head is published all the same.
func (p *Publisher) PublishHead(ctx context.Context, head audit.Head) error {
	var object corev1.ConfigMap
	err := p.client.Get(ctx, p.key, &object)
	missing := apierrors.IsNotFound(err)
	if err != nil && !missing {
		return fmt.Errorf("reading the published head of the audit log: %w", err)
	}
	if object.Data == nil {
		object.Data = map[string]string{}
	}
	lost, err := put(object.Data, head)
	if err != nil {
		return err
	}
	if missing {
		object.ObjectMeta = metav1.ObjectMeta{Namespace: p.key.Namespace, Name: p.key.Name}
		err = p.client.Create(ctx, &object)
	} else {
		err = p.client.Update(ctx, &object)
	}
	if err != nil {
		return fmt.Errorf("publishing the head of the audit log: %w", err)
	}
	if lost != nil {
		return fmt.Errorf("%w: record %d of log %s was published, the log ends at %d; what was published is kept in ConfigMap %s", ErrCutOff, lost.Sequence, lost.Log, head.Sequence, p.key)
	}
	return nil
}

// Published returns the head that was published last, nil when there is none.
func (p *Publisher) Published(ctx context.Context) (*audit.Head, error) {
	return p.PublishedOf(ctx, "")
}

// PublishedOf returns the head that was published last of a log, or that of another
// log when this one has none yet; nil when there is none at all. Components with
// several replicas have a log each, and whoever published last says nothing about
// the others.
func (p *Publisher) PublishedOf(ctx context.Context, log string) (*audit.Head, error) {
	var object corev1.ConfigMap
	if err := p.client.Get(ctx, p.key, &object); apierrors.IsNotFound(err) {
		return nil, nil //nolint:nilnil // no head is an answer, too
	} else if err != nil {
		return nil, fmt.Errorf("reading the published head of the audit log: %w", err)
	}
	head, err := audit.ParseHead([]byte(cmp.Or(object.Data[keyLog+log], object.Data[keyHead])))
	if err != nil {
		return nil, fmt.Errorf("reading the published head of the audit log in ConfigMap %s: %w", p.key, err)
	}
	return &head, nil
}

// put puts a head into the data and returns the one that it proves lost.
func put(data map[string]string, head audit.Head) (*audit.Head, error) {
	text, err := json.Marshal(head)
	if err != nil {
		return nil, fmt.Errorf("encoding the head of the audit log: %w", err)
	}
	var lost *audit.Head
	if before, err := audit.ParseHead([]byte(data[keyLog+head.Log])); err == nil {
		//warmpool:gate audit-cut-off-end-is-kept
		if before.Sequence > head.Sequence || (before.Sequence == head.Sequence && before.Hash != head.Hash) {
			lost = &before
			data[fmt.Sprintf("%s%s-%d", keyLost, before.Log, before.Sequence)] = data[keyLog+head.Log]
		}
	}
	data[keyHead], data[keyLog+head.Log] = string(text), string(text)
	forgetOldest(data, keyLog)
	forgetOldest(data, keyLost)
	return lost, nil
}

// forgetOldest keeps the youngest heads of a kind. What cannot be read goes first.
func forgetOldest(data map[string]string, prefix string) {
	var names []string
	for name := range maps.Keys(data) {
		if strings.HasPrefix(name, prefix) {
			names = append(names, name)
		}
	}
	written := func(name string) int64 {
		head, err := audit.ParseHead([]byte(data[name]))
		if err != nil {
			return 0
		}
		return head.Time.UnixMilli()
	}
	slices.SortFunc(names, func(a, b string) int {
		return cmp.Or(cmp.Compare(written(b), written(a)), strings.Compare(a, b))
	})
	for _, name := range names[min(len(names), maxKept):] {
		delete(data, name)
	}
}
