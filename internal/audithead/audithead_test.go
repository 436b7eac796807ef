package audithead_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/warmpool-dev/warmpool/internal/audit"
	"github.com/warmpool-dev/warmpool/internal/audithead"
)

func newClient(t *testing.T) client.Client {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := corev1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	return fake.NewClientBuilder().WithScheme(scheme).Build()
}

func headOf(log byte, sequence uint64) audit.Head {
	return audit.Head{
		Log: strings.Repeat(string(log), 16), Sequence: sequence, Hash: fmt.Sprintf("%064x", sequence),
		Time: time.Date(2026, 5, 1, 0, 0, int(sequence), 0, time.UTC),
	}
}

func published(t *testing.T, access client.Client) map[string]string {
	t.Helper()
	var object corev1.ConfigMap
	if err := access.Get(t.Context(), types.NamespacedName{Namespace: "warmpool-system", Name: "warmpool-audit-manager"}, &object); err != nil {
		t.Fatal(err)
	}
	return object.Data
}

func TestHeadIsPublished(t *testing.T) {
	access := newClient(t)
	publisher := audithead.New(access, "warmpool-system", "manager")
	for _, head := range []audit.Head{headOf('a', 1), headOf('a', 5), headOf('b', 2)} {
		if err := publisher.PublishHead(t.Context(), head); err != nil {
			t.Fatal(err)
		}
		data := published(t, access)
		for _, name := range []string{"head", "log-" + head.Log} {
			if got, err := audit.ParseHead([]byte(data[name])); err != nil || got != head {
				t.Errorf("%s is %q (%v), want %v", name, data[name], err, head)
			}
		}
	}
	if data := published(t, access); len(data) != 3 {
		t.Errorf("kept %v, want the last head and one of each log", data)
	}
}

func TestCutOffEndIsKept(t *testing.T) {
	same := headOf('a', 9)
	same.Hash = strings.Repeat("f", 64)
	for name, after := range map[string]audit.Head{"fewer records": headOf('a', 4), "another last record": same} {
		t.Run(name, func(t *testing.T) {
			access := newClient(t)
			publisher := audithead.New(access, "warmpool-system", "manager")
			if err := publisher.PublishHead(t.Context(), headOf('a', 9)); err != nil {
				t.Fatal(err)
			}
			if err := publisher.PublishHead(t.Context(), after); !errors.Is(err, audithead.ErrCutOff) {
				t.Errorf("got %v, want ErrCutOff", err)
			}
			data := published(t, access)
			kept, err := audit.ParseHead([]byte(data["lost-aaaaaaaaaaaaaaaa-9"]))
			if err != nil || kept != headOf('a', 9) {
				t.Errorf("what was published is not kept: %v (%v)", data, err)
			}
			if now, err := audit.ParseHead([]byte(data["head"])); err != nil || now != after {
				t.Errorf("the present head is not published: %v (%v)", data, err)
			}
			if err := publisher.PublishHead(t.Context(), headOf('a', 10)); err != nil {
				t.Errorf("it is told once, but: %v", err)
			}
		})
	}
}

func TestOldHeadsAreForgotten(t *testing.T) {
	access := newClient(t)
	publisher := audithead.New(access, "warmpool-system", "manager")
	for k := range 60 {
		head := headOf('a', uint64(k+1))
		head.Log = fmt.Sprintf("%016x", k)
		if err := publisher.PublishHead(t.Context(), head); err != nil {
			t.Fatal(err)
		}
	}
	data := published(t, access)
	if _, kept := data[fmt.Sprintf("log-%016x", 59)]; len(data) != 21 || !kept {
		t.Errorf("%d heads are kept", len(data))
	}
	if text, err := json.Marshal(data); err != nil || len(text) > 16<<10 {
		t.Errorf("the ConfigMap has %d bytes (%v)", len(text), err)
	}
}

// TestEachLogHasItsOwnHead has two replicas publish in turn: what is compared with a
// log is its own head, or the other replica's records would look cut off.
func TestEachLogHasItsOwnHead(t *testing.T) {
	access := newClient(t)
	publisher := audithead.New(access, "warmpool-system", "manager")
	if head, err := publisher.PublishedOf(t.Context(), headOf('a', 1).Log); err != nil || head != nil {
		t.Errorf("nothing was published, and it returns %v (%v)", head, err)
	}
	for _, head := range []audit.Head{headOf('a', 7), headOf('b', 3)} {
		if err := publisher.PublishHead(t.Context(), head); err != nil {
			t.Fatal(err)
		}
	}
	for asked, want := range map[byte]audit.Head{'a': headOf('a', 7), 'b': headOf('b', 3), 'c': headOf('b', 3)} {
		if head, err := publisher.PublishedOf(t.Context(), headOf(asked, 1).Log); err != nil || head == nil || *head != want {
			t.Errorf("the head of log %c is %v (%v), want %v", asked, head, err, want)
		}
	}
}
