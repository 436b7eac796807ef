package apidouble_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/uuid"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/testkit"
	"github.com/warmpool-dev/warmpool/internal/testkit/apidouble"
)

var plane *testkit.ControlPlane

func TestMain(m *testing.M) { os.Exit(testkit.Main(m, &plane)) }

// TestTheDoubleAnswersAsTheServerDoes asks both the same questions.
func TestTheDoubleAnswersAsTheServerDoes(t *testing.T) {
	defaults, err := apidouble.LoadDefaults(filepath.Join("..", "..", "..", "config", "crd"))
	if err != nil {
		t.Fatal(err)
	}
	names := 0
	store := apidouble.NewStore(apidouble.Options{
		Now: time.Now, Defaults: defaults, NewUID: uuid.NewUUID,
		Suffix: func() string { names++; return fmt.Sprintf("%05d", names) },
	})
	for name, ask := range questions() {
		t.Run(name, func(t *testing.T) {
			double := &asking{T: t, Client: &apidouble.Client{Store: store}, namespace: "double-" + plane.Namespace(t)}
			server := &asking{T: t, Client: plane.Client, namespace: plane.Namespace(t)}
			ask(double)
			ask(server)
			t.Log(strings.Join(double.answers, "\n"))
			if diff := cmp.Diff(server.answers, double.answers); diff != "" {
				t.Errorf("the double differs (-server +double):\n%s", diff)
			}
		})
	}
}

// asking asks one of the two and notes the answers.
type asking struct {
	*testing.T
	client.Client
	namespace string
	answers   []string
}

func (a *asking) ctx() context.Context { return a.Context() }

// note writes down what an error is, without what differs by nature.
func (a *asking) note(what string, err error) {
	answer := "ok"
	if err != nil {
		answer = string(apierrors.ReasonForError(err))
		if answer == "" {
			answer = "error " + err.Error()
		}
	}
	a.answers = append(a.answers, what+": "+answer)
}

// show writes down a value.
func (a *asking) show(what string, value any) {
	a.answers = append(a.answers, fmt.Sprintf("%s: %v", what, value))
}

func (a *asking) meta(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: a.namespace, Name: name}
}

// pool makes a small pool.
func (a *asking) pool(name string) *warmpool.WarmPool {
	pool := &warmpool.WarmPool{ObjectMeta: a.meta(name), Spec: warmpool.WarmPoolSpec{Cost: warmpool.PoolCost{CeilingUSDPerHour: "1.50"}}}
	a.note("create "+name, a.Create(a.ctx(), pool))
	return pool
}

// again reads an object.
func (a *asking) again(object client.Object) error {
	return a.Get(a.ctx(), client.ObjectKeyFromObject(object), object)
}

func questions() map[string]func(*asking) {
	return map[string]func(*asking){
		"defaults": askDefaults, "writes": askWrites, "deletion": askDeletion, "preconditions": askPreconditions,
		"patches": askPatches, "pages": askPages, "secrets": askSecrets, "what is not there": askNotThere,
	}
}

// askDefaults: the spec of a smallest pool, account and instance.
func askDefaults(a *asking) {
	pool := a.pool("sdxl")
	account := &warmpool.VastAccount{ObjectMeta: a.meta("default"), Spec: warmpool.VastAccountSpec{CeilingUSDPerHour: "6.00"}}
	a.note("create account", a.Create(a.ctx(), account))
	instance := &warmpool.WarmInstance{ObjectMeta: a.meta("one"), Spec: warmpool.WarmInstanceSpec{
		PoolRef: warmpool.LocalReference{Name: "sdxl"}, AccountRef: warmpool.LocalReference{Name: "default"}, Template: pool.Spec.Template,
	}}
	a.note("create instance", a.Create(a.ctx(), instance))
	for _, spec := range []any{pool.Spec, account.Spec, instance.Spec} {
		text, err := yaml.Marshal(spec)
		a.note("encode", err)
		a.show("spec", string(text))
	}
	a.show("generation", pool.Generation)
}

// askWrites: what an update changes, and what versions and generations do.
func askWrites(a *asking) {
	pool := a.pool("sdxl")
	stale := pool.DeepCopy()
	pool.Spec.Replicas = new(int32(2))
	pool.Status.ReadyReplicas = 7
	a.note("update", a.Update(a.ctx(), pool))
	a.show("generation after a change of the spec", pool.Generation)
	a.show("status after an update", pool.Status.ReadyReplicas)
	a.note("stale update", a.Update(a.ctx(), stale))
	stale = pool.DeepCopy()
	pool.Spec.Replicas = new(int32(3))
	pool.Status.ReadyReplicas = 1
	a.note("status update", a.Status().Update(a.ctx(), pool))
	a.show("generation after a change of the status", pool.Generation)
	a.show("replicas after a status update", *pool.Spec.Replicas)
	a.note("stale status update", a.Status().Update(a.ctx(), stale))
	version := pool.ResourceVersion
	a.note("empty status update", a.Status().Update(a.ctx(), pool))
	a.show("an empty update keeps the version", version == pool.ResourceVersion)
	a.note("create again", a.Create(a.ctx(), &warmpool.WarmPool{ObjectMeta: a.meta("sdxl"), Spec: pool.Spec}))
	pool.Labels = map[string]string{"a": "b"}
	a.note("update of a label", a.Update(a.ctx(), pool))
	a.show("generation after a change of a label", pool.Generation)
	other := pool.DeepCopy()
	other.UID = "another"
	a.note("update with another uid", a.Update(a.ctx(), other))
}

// askDeletion: finalizers hold an object, and the last one lets it go.
func askDeletion(a *asking) {
	pool := a.pool("sdxl")
	pool.Finalizers = []string{warmpool.FinalizerPool}
	a.note("update", a.Update(a.ctx(), pool))
	a.note("delete", a.Delete(a.ctx(), pool))
	a.note("read", a.again(pool))
	a.show("is being deleted", pool.DeletionTimestamp != nil)
	a.show("generation", pool.Generation)
	version := pool.ResourceVersion
	a.note("delete again", a.Delete(a.ctx(), pool))
	a.note("read", a.again(pool))
	a.show("a second deletion keeps the version", version == pool.ResourceVersion)
	a.note("create while it is being deleted", a.Create(a.ctx(), &warmpool.WarmPool{ObjectMeta: a.meta("sdxl"), Spec: pool.Spec}))
	pool.Status.ReadyReplicas = 1
	a.note("status update", a.Status().Update(a.ctx(), pool))
	pool.Finalizers = nil
	a.note("let go", a.Update(a.ctx(), pool))
	a.note("read", a.again(pool))
}

// askPreconditions: a deletion that is based on something old is refused.
func askPreconditions(a *asking) {
	pool := a.pool("sdxl")
	old, uid, other := pool.ResourceVersion, pool.UID, types.UID("another")
	pool.Spec.Replicas = new(int32(1))
	a.note("update", a.Update(a.ctx(), pool))
	a.note("delete with another uid", a.Delete(a.ctx(), pool, client.Preconditions{UID: &other}))
	a.note("delete with an old version", a.Delete(a.ctx(), pool, client.Preconditions{UID: &uid, ResourceVersion: &old}))
	a.note("delete as it is", a.Delete(a.ctx(), pool, client.Preconditions{UID: &uid, ResourceVersion: &pool.ResourceVersion}))
	a.note("delete what is gone", a.Delete(a.ctx(), pool, client.Preconditions{UID: &uid}))
}

// askPatches: merge patches, with a lock and without.
func askPatches(a *asking) {
	pool := a.pool("sdxl")
	before := pool.DeepCopy()
	pool.Finalizers = []string{warmpool.FinalizerPool}
	a.note("patch", a.Patch(a.ctx(), pool, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})))
	a.show("finalizers", pool.Finalizers)
	late := before.DeepCopy()
	late.Spec.Replicas = new(int32(5))
	a.note("patch of an old version", a.Patch(a.ctx(), late, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})))
	late = before.DeepCopy()
	late.Spec.Replicas = new(int32(5))
	a.note("patch without a lock", a.Patch(a.ctx(), late, client.MergeFrom(before)))
	a.show("generation", late.Generation)
	a.note("delete", a.Delete(a.ctx(), pool))
	a.note("read", a.again(pool))
	held := pool.DeepCopy()
	pool.Finalizers = nil
	a.note("patch that lets go", a.Patch(a.ctx(), pool, client.MergeFromWithOptions(held, client.MergeFromWithOptimisticLock{})))
	a.note("read", a.again(pool))
	a.note("patch what is gone", a.Patch(a.ctx(), pool, client.MergeFrom(held)))
}

// askPages: a list in pages shows the moment of its first page.
func askPages(a *asking) {
	for _, name := range []string{"a", "b", "c", "d"} {
		a.pool(name)
	}
	next := ""
	for {
		var page warmpool.WarmPoolList
		a.note("list", a.List(a.ctx(), &page, client.InNamespace(a.namespace), client.Limit(2), client.Continue(next)))
		for k := range page.Items {
			a.show("item", page.Items[k].Name)
		}
		if next == "" {
			a.note("delete meanwhile", a.Delete(a.ctx(), &warmpool.WarmPool{ObjectMeta: a.meta("c")}))
			a.pool("e")
		}
		if next = page.Continue; next == "" {
			return
		}
	}
}

// askSecrets: kinds without a status.
func askSecrets(a *asking) {
	secret := &corev1.Secret{ObjectMeta: a.meta("key"), Data: map[string][]byte{"a": []byte("1")}}
	a.note("create", a.Create(a.ctx(), secret))
	stale := secret.DeepCopy()
	secret.Data["a"] = []byte("2")
	a.note("update", a.Update(a.ctx(), secret))
	a.note("stale update", a.Update(a.ctx(), stale))
	a.note("read", a.again(secret))
	a.show("value", string(secret.Data["a"]))
	a.show("generation", secret.Generation)
	a.note("delete", a.Delete(a.ctx(), secret))
	a.note("read", a.again(secret))
}

// askNotThere: every verb on what does not exist, and what must not be set.
func askNotThere(a *asking) {
	ghost := &warmpool.WarmPool{ObjectMeta: a.meta("ghost"), Spec: warmpool.WarmPoolSpec{Cost: warmpool.PoolCost{CeilingUSDPerHour: "1"}}}
	a.note("read", a.again(ghost.DeepCopy()))
	a.note("delete", a.Delete(a.ctx(), ghost.DeepCopy()))
	numbered := ghost.DeepCopy()
	numbered.ResourceVersion = "1"
	a.note("create with a version", ignoreClient(a.Create(a.ctx(), numbered)))
	numbered.UID = "x"
	a.note("status update", a.Status().Update(a.ctx(), numbered))
	named := ghost.DeepCopy()
	named.Name, named.GenerateName = "", "made-"
	a.note("create with a generated name", a.Create(a.ctx(), named))
	a.show("length of a generated name", len(strings.TrimPrefix(named.Name, "made-")))
}

// errRefused stands for a refusal by the client or by the server.
var errRefused = errors.New("refused")

// ignoreClient: the client library refuses some calls before the server can.
func ignoreClient(err error) error {
	if err == nil {
		return nil
	}
	return errRefused
}
