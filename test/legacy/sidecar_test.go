package legacy

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/audit"
	"github.com/warmpool-dev/warmpool/internal/audithead"
	"github.com/warmpool-dev/warmpool/internal/legacyapi"
	"github.com/warmpool-dev/warmpool/internal/testkit"
)

var shared *testkit.ControlPlane

func TestMain(m *testing.M) { os.Exit(testkit.Main(m, &shared)) }

const (
	key  = "sidecar-test-key-0123456789"
	salt = "sidecar-test-salt-0123456789"
)

// world is a namespace with a pool, and a sidecar that may do what its role says.
type world struct {
	*testing.T
	namespace string
	admin     client.Client
	sidecar   client.Client
	server    *legacyapi.Server
	records   *audit.Log
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{T: t, namespace: shared.Namespace(t), admin: shared.Client}
	config := shared.RoleRESTConfig(t, "sidecar-"+w.namespace, map[string]string{
		filepath.Join("config", "rbac", "sidecar", "role.yaml"): w.namespace, filepath.Join("config", "rbac", "sidecar-restart", "role.yaml"): w.namespace,
	})
	var err error
	if w.sidecar, err = client.New(config, client.Options{Scheme: shared.Scheme}); err != nil {
		t.Fatal(err)
	}
	w.create(
		&corev1.Secret{ObjectMeta: w.named("warmpool-credentials"), StringData: map[string]string{"ADMIN_API_KEY": key, "AUDIT_SALT": salt, "VASTAI_API_KEY": strings.Repeat("v", 40)}},
		&warmpool.VastAccount{ObjectMeta: w.named("default"), Spec: warmpool.VastAccountSpec{CeilingUSDPerHour: "6.00"}},
		&warmpool.WarmPool{ObjectMeta: w.named("sdxl"), Spec: warmpool.WarmPoolSpec{Cost: warmpool.PoolCost{CeilingUSDPerHour: "1.50"}}},
		&appsv1.Deployment{ObjectMeta: w.named("warmpool-manager"), Spec: appsv1.DeploymentSpec{
			Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"a": "b"}},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"a": "b"}},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "manager", Image: "manager"}}},
			},
		}},
	)
	records, err := audit.Open(audit.Options{Dir: t.TempDir(), Component: "sidecar", Salt: salt})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if closeErr := records.Close(); closeErr != nil {
			t.Error(closeErr)
		}
	})
	w.records = records
	w.server, err = legacyapi.New(t.Context(), legacyapi.Options{
		Client: w.sidecar, Pool: types.NamespacedName{Namespace: w.namespace, Name: "sdxl"}, Secret: "warmpool-credentials",
		Deployment: types.NamespacedName{Namespace: w.namespace, Name: "warmpool-manager"}, Audit: records, Clock: clock.RealClock{},
		Dial:        func(legacyapi.Target) (*http.Transport, error) { return &http.Transport{}, nil },
		IsUntrusted: func(error) bool { return false }, Outside: nowhere{}, Logger: logr.Discard(), Registry: prometheus.NewRegistry(),
		Limits: legacyapi.Limits{RequestsPerSecond: 1000, Burst: 1000, WrongKeysPerMinute: 10}, ClaimWait: time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.server.Close)
	return w
}

// nowhere is an internet that refuses everything.
type nowhere struct{}

func (nowhere) RoundTrip(*http.Request) (*http.Response, error) {
	recorder := httptest.NewRecorder()
	recorder.WriteHeader(http.StatusUnauthorized)
	return recorder.Result(), nil
}

func (w *world) named(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: w.namespace, Name: name}
}

func (w *world) create(objects ...client.Object) {
	w.Helper()
	for _, object := range objects {
		if err := w.admin.Create(w.Context(), object); err != nil {
			w.Fatal(err)
		}
	}
}

// call asks a route and expects 200.
func (w *world) call(method, path, body string) map[string]any {
	w.Helper()
	sent := httptest.NewRequestWithContext(w.Context(), method, "/api/proxy/"+path, strings.NewReader(body))
	sent.RemoteAddr = "127.0.0.1:1"
	sent.Host = "localhost"
	sent.Header.Set("X-Admin-Key", key)
	sent.Header.Set("Content-Type", "application/json")
	answered := httptest.NewRecorder()
	w.server.ServeHTTP(answered, sent)
	if answered.Code != http.StatusOK {
		w.Fatalf("%s %s: %d %s", method, path, answered.Code, answered.Body)
	}
	var fields map[string]any
	if err := json.Unmarshal(answered.Body.Bytes(), &fields); err != nil {
		w.Fatalf("%s %s: %v", method, path, err)
	}
	return fields
}

// rentedInstance makes an instance as the operator would.
func (w *world) rentedInstance(name string, rental int64) {
	w.Helper()
	instance := &warmpool.WarmInstance{
		ObjectMeta: w.named(name),
		Spec:       warmpool.WarmInstanceSpec{PoolRef: warmpool.LocalReference{Name: "sdxl"}, AccountRef: warmpool.LocalReference{Name: "default"}},
	}
	instance.Finalizers = []string{warmpool.FinalizerTerminate}
	w.create(instance, &corev1.Secret{ObjectMeta: w.named(name + "-password"), StringData: map[string]string{warmpool.SecretKeyWebPassword: "instance-password"}})
	instance.Status = warmpool.WarmInstanceStatus{
		Rental: &warmpool.Rental{ID: rental}, CertificateSHA256: strings.Repeat("a", 64), CredentialsSecretRef: &warmpool.LocalReference{Name: name + "-password"},
		Endpoints:  []warmpool.InstanceEndpoint{{Name: "comfyui", URL: "https://127.0.0.1:1"}},
		Conditions: []metav1.Condition{{Type: warmpool.ConditionReady, Status: metav1.ConditionTrue, Reason: "Ready", LastTransitionTime: metav1.Now()}},
	}
	if err := w.admin.Status().Update(w.Context(), instance); err != nil {
		w.Fatal(err)
	}
}

// TestRoleSuffices goes through everything that the sidecar does in the cluster.
func TestRoleSuffices(t *testing.T) {
	w := newWorld(t)
	if got := w.call(http.MethodPost, "admin/warm-pool/prewarm", "{}"); got["status"] != "started" {
		t.Errorf("prewarm: %v", got)
	}
	pool := &warmpool.WarmPool{}
	if err := w.admin.Get(t.Context(), client.ObjectKey{Namespace: w.namespace, Name: "sdxl"}, pool); err != nil {
		t.Fatal(err)
	}
	if pool.Spec.Replicas == nil || *pool.Spec.Replicas != 1 {
		t.Errorf("prewarm left a pool of %v", pool.Spec.Replicas)
	}
	managers := map[string]bool{}
	for _, entry := range pool.ManagedFields {
		managers[entry.Manager] = true
	}
	if !managers[legacyapi.FieldManager] {
		t.Errorf("the change is not under the sidecar's name: %v", managers)
	}
	if got := w.call(http.MethodGet, "admin/warm-pool/status", ""); got["lastAction"] == nil || got["isPrewarming"] != true {
		t.Errorf("status: %v", got)
	}
	w.call(http.MethodPost, "admin/config", `{"provision_script":"https://example.com/p.sh","min_cuda_capability":8.9,"warm_pool_disk_gb":100,"civitai_token":"`+strings.Repeat("c", 40)+`"}`)
	w.call(http.MethodPost, "admin/set-tokens", `{"huggingface":"`+strings.Repeat("h", 40)+`"}`)
	w.call(http.MethodPost, "admin/validate-tokens", "")
	w.call(http.MethodPost, "admin/pm2/restart", "")
	w.call(http.MethodGet, "admin/pm2/status", "")
	w.call(http.MethodPost, "admin/pm2/stop", "")
	w.call(http.MethodPost, "admin/pm2/start", "")
	w.rentedInstance("sdxl-1", 77)
	w.call(http.MethodPost, "admin/report-tunnel", `{"contractId":"C.77","tunnelUrl":"https://x.trycloudflare.com"}`)
	if got := w.call(http.MethodGet, "admin/warm-pool/health", ""); got["healthy"] != false || got["healthReport"] == nil {
		t.Errorf("the health check did not get as far as the instance: %v", got)
	}
	if err := audithead.New(w.sidecar, w.namespace, "sidecar").PublishHead(t.Context(), audit.Head{Log: "log", Sequence: 1, Hash: "hash"}); err != nil {
		t.Errorf("publishing the head of the audit log: %v", err)
	}
	if err := audithead.New(w.sidecar, w.namespace, "sidecar").PublishHead(t.Context(), audit.Head{Log: "log", Sequence: 2, Hash: "hash"}); err != nil {
		t.Errorf("publishing it again: %v", err)
	}
	if got := w.call(http.MethodPost, "admin/terminate", `{"contractId":77}`); got["status"] != "terminated" {
		t.Errorf("terminate: %v", got)
	}
	instance := &warmpool.WarmInstance{}
	if err := w.admin.Get(t.Context(), client.ObjectKey{Namespace: w.namespace, Name: "sdxl-1"}, instance); err != nil || instance.DeletionTimestamp.IsZero() {
		t.Errorf("the end is not recorded: %v", err)
	}
	if instance.Annotations[warmpool.AnnotationTunnelURL] != "https://x.trycloudflare.com" {
		t.Errorf("the tunnel is not recorded: %v", instance.Annotations)
	}
}

// TestClaimIsExclusive lets an operator bind one claim only.
func TestClaimIsExclusive(t *testing.T) {
	w := newWorld(t)
	w.rentedInstance("sdxl-1", 78)
	bound := make(chan error, 1)
	go func() { bound <- w.bindFirstClaim() }()
	got := w.call(http.MethodPost, "warm-pool/claim", `{"maxMinutes":5}`)
	if err := <-bound; err != nil {
		t.Fatal(err)
	}
	if got["connectionUrl"] != "https://127.0.0.1:1" || got["contractId"] != 78.0 || got["token"] != "token-of-the-claim" {
		t.Errorf("claim: %v", got)
	}
	sent := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/api/proxy/warm-pool/claim", http.NoBody)
	sent.Header.Set("X-Admin-Key", key)
	answered := httptest.NewRecorder()
	w.server.ServeHTTP(answered, sent)
	if answered.Code != http.StatusNotFound || answered.Body.String() != `{"error":"no available instance"}` {
		t.Errorf("the second claim: %d %s", answered.Code, answered.Body)
	}
}

// bindFirstClaim does what the operator does for a claim.
func (w *world) bindFirstClaim() error {
	for {
		var claims warmpool.WarmClaimList
		if err := w.admin.List(w.Context(), &claims, client.InNamespace(w.namespace)); err != nil {
			return err
		}
		if len(claims.Items) == 0 {
			time.Sleep(20 * time.Millisecond)
			continue
		}
		claim := &claims.Items[0]
		instance := &warmpool.WarmInstance{}
		if err := w.admin.Get(w.Context(), client.ObjectKey{Namespace: w.namespace, Name: "sdxl-1"}, instance); err != nil {
			return err
		}
		instance.Spec.ClaimRef = &warmpool.ClaimReference{Name: claim.Name, UID: claim.UID}
		if err := w.admin.Update(w.Context(), instance); err != nil {
			return err
		}
		secret := &corev1.Secret{ObjectMeta: w.named(claim.Name + "-claim"), StringData: map[string]string{warmpool.SecretKeyClaimToken: "token-of-the-claim"}}
		if err := w.admin.Create(w.Context(), secret); err != nil {
			return err
		}
		claim.Status = warmpool.WarmClaimStatus{
			InstanceRef: &warmpool.LocalReference{Name: "sdxl-1"}, Endpoint: "https://127.0.0.1:1", CredentialsSecretRef: &warmpool.LocalReference{Name: secret.Name},
			ExpirationTime: new(metav1.NewTime(time.Now().Add(time.Minute))),
			Conditions: []metav1.Condition{
				{Type: warmpool.ConditionBound, Status: metav1.ConditionTrue, Reason: "Bound", LastTransitionTime: metav1.Now()},
				{Type: warmpool.ConditionReady, Status: metav1.ConditionTrue, Reason: "Ready", LastTransitionTime: metav1.Now()},
			},
		}
		return w.admin.Status().Update(w.Context(), claim)
	}
}

// TestRoleAllowsNoMore tries what the sidecar must not do.
func TestRoleAllowsNoMore(t *testing.T) {
	w := newWorld(t)
	instance := &warmpool.WarmInstance{
		ObjectMeta: w.named("sdxl-9"),
		Spec:       warmpool.WarmInstanceSpec{PoolRef: warmpool.LocalReference{Name: "sdxl"}, AccountRef: warmpool.LocalReference{Name: "default"}},
	}
	other := &corev1.Secret{ObjectMeta: w.named("other")}
	w.create(other)
	pool := &warmpool.WarmPool{}
	if err := w.admin.Get(t.Context(), client.ObjectKey{Namespace: w.namespace, Name: "sdxl"}, pool); err != nil {
		t.Fatal(err)
	}
	account := &warmpool.VastAccount{ObjectMeta: w.named("default")}
	raise := client.RawPatch(types.MergePatchType, []byte(`{"spec":{"ceilingUSDPerHour":"99"}}`))
	for name, err := range map[string]error{
		"make an instance":          w.sidecar.Create(t.Context(), instance),
		"delete the pool":           w.sidecar.Delete(t.Context(), pool),
		"write the pool's status":   w.sidecar.Status().Update(t.Context(), pool),
		"raise the account's limit": w.sidecar.Patch(t.Context(), account, raise),
		"change another Secret":     w.sidecar.Patch(t.Context(), other, client.RawPatch(types.MergePatchType, []byte(`{"data":{}}`))),
		"list Secrets":              w.sidecar.List(t.Context(), &corev1.SecretList{}, client.InNamespace(w.namespace)),
		"look elsewhere":            w.sidecar.List(t.Context(), &warmpool.WarmInstanceList{}, client.InNamespace("default")),
	} {
		if !apierrors.IsForbidden(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
