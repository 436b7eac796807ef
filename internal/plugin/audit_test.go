package plugin

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/warmpool-dev/warmpool/internal/audit"
	"github.com/warmpool-dev/warmpool/internal/audithead"
)

// TestAuditVerify verifies a log as the sidecar does, with the head of the cluster.
func TestAuditVerify(t *testing.T) {
	const salt = "a-salt-that-is-long-enough-for-anybody"
	directory := t.TempDir()
	log, err := audit.Open(audit.Options{Dir: directory, Component: "manager", Salt: salt})
	if err != nil {
		t.Fatal(err)
	}
	var last audit.Record
	for range 3 {
		if last, err = log.Append(t.Context(), &audit.Entry{Action: "test.act", Outcome: "ok"}); err != nil {
			t.Fatal(err)
		}
	}
	if err = log.Close(); err != nil {
		t.Fatal(err)
	}
	namespace := plane.Namespace(t)
	verify := func(line string) *call {
		one := newCall(t, plane.Client, namespace)
		one.env.LookupEnv = func(name string) (string, bool) { return salt, name == audit.SaltVariable }
		one.cluster.Config = nil
		t.Logf("%s: exit code %d", line, one.run("audit verify --dir="+directory+" "+line))
		return one
	}
	if whole := verify(""); !strings.Contains(whole.output(), " records in 1 files and 1 chains are whole") {
		t.Errorf("printed %q: %s", whole.output(), whole.errors())
	}
	if missing := verify("--component=manager --published"); !strings.Contains(missing.errors(), "there is no ConfigMap warmpool-audit-manager") {
		t.Errorf("said %q", missing.errors())
	}
	head, err := json.Marshal(audit.Head{Log: last.Log, Sequence: last.Sequence, Hash: last.Hash, Time: last.Time})
	if err != nil {
		t.Fatal(err)
	}
	if err = plane.Client.Create(t.Context(), &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: audithead.Name("manager")}, Data: map[string]string{"head": string(head)},
	}); err != nil {
		t.Fatal(err)
	}
	if published := verify("--component=manager --published"); !strings.Contains(published.output(), "OK: the published head is in the log.") {
		t.Errorf("printed %q: %s", published.output(), published.errors())
	}
	files, err := filepath.Glob(filepath.Join(directory, "*manager*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(strings.Replace(string(text), "test.act", "test.art", 1)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	broken := newCall(t, plane.Client, namespace)
	broken.env.LookupEnv = func(name string) (string, bool) { return salt, name == audit.SaltVariable }
	if code := broken.run("audit verify --dir=" + directory); code != ExitFindings || !strings.Contains(broken.output(), "BROKEN") {
		t.Errorf("exit code %d: %s%s", code, broken.output(), broken.errors())
	}
	if strings.Contains(broken.output()+broken.errors(), salt) {
		t.Error("the salt is printed")
	}
}
