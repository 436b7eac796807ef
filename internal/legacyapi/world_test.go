package legacyapi_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr/funcr"
	"github.com/prometheus/client_golang/prometheus"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/audit"
	"github.com/warmpool-dev/warmpool/internal/legacyapi"
)

// Values that must never appear in any output.
const (
	adminKeyValue  = "canary-admin-7d1f4c90aa"
	wrongKeyValue  = "canary-wrong-51b2e8c377"
	saltValue      = "canary-salt-0f9e8d7c6b5a"
	vastKeyValue   = "canary-vast-3c4d5e6f708192a3b4c5d6e7"
	hfTokenValue   = "hf_canary5e6f708192a3b4c5d6e7f8091a2b"
	webPassword    = "canary-web-e1d2c3b4a5968778"
	claimToken     = "canary-claim-99aa88bb77cc66dd"
	newTokenValue  = "canary-new-1a2b3c4d5e6f708192a3b4c5d6"
	comfyAddress   = "203.0.113.7:40188"
	localPeer      = "127.0.0.1:50000"
	remotePeer     = "198.51.100.9:50000"
	poolNamespace  = "media"
	poolName       = "sdxl"
	instanceName   = "sdxl-a1"
	rentalID       = 9002
	secretName     = "warmpool-credentials"
	claimedName    = "sdxl-c1"
	deploymentName = "warmpool-manager"
)

// canaries are all secrets of a world.
func canaries() []string {
	return []string{adminKeyValue, wrongKeyValue, saltValue, vastKeyValue, hfTokenValue, webPassword, claimToken, newTokenValue}
}

// moment is when everything happens: late enough that no deadline of a real
// connection is ever over.
func moment() time.Time { return time.Date(2126, 3, 4, 5, 6, 7, 8_000_000, time.UTC) }

// standingClock shows one moment and has real timers.
type standingClock struct {
	clock.RealClock

	mu  sync.Mutex
	now time.Time
	// hurry divides the time between two ticks; 0 does not.
	hurry int
}

// NewTicker ticks in real time, or faster.
func (c *standingClock) NewTicker(d time.Duration) clock.Ticker {
	return c.RealClock.NewTicker(d / time.Duration(max(c.hurry, 1)))
}

func (c *standingClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *standingClock) Since(t time.Time) time.Duration { return c.Now().Sub(t) }

func (c *standingClock) step(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// world is a cluster with a pool, and a server for it.
type world struct {
	*testing.T
	client  client.WithWatch
	clock   *standingClock
	audit   *audit.Log
	server  *legacyapi.Server
	comfy   http.HandlerFunc
	outside http.HandlerFunc
	metrics *prometheus.Registry
	hooks   interceptor.Funcs
	objects []client.Object
	options func(*legacyapi.Options)

	logged struct {
		sync.Mutex
		bytes.Buffer
	}
}

// newWorld makes a world; change changes it before the server is made.
func newWorld(t *testing.T, change ...func(*world)) *world {
	t.Helper()
	w := prepareWorld(t, change...)
	server, err := w.start()
	if err != nil {
		t.Fatal(err)
	}
	w.server = server
	t.Cleanup(server.Close)
	return w
}

// prepareWorld makes everything but the server.
func prepareWorld(t *testing.T, change ...func(*world)) *world {
	t.Helper()
	w := &world{T: t, clock: &standingClock{now: moment()}, comfy: comfyUI, outside: services, metrics: prometheus.NewRegistry()}
	w.objects = []client.Object{pool(1), account(), credentials()}
	for _, each := range change {
		each(w)
	}
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), warmpool.AddToScheme(scheme)); err != nil {
		t.Fatal(err)
	}
	w.client = fake.NewClientBuilder().WithScheme(scheme).WithObjects(w.objects...).WithInterceptorFuncs(w.hooks).
		WithStatusSubresource(&warmpool.WarmPool{}, &warmpool.WarmInstance{}, &warmpool.WarmClaim{}).Build()
	records, err := audit.Open(audit.Options{Dir: t.TempDir(), Component: "sidecar", Salt: saltValue, Clock: w.clock})
	if err != nil {
		t.Fatal(err)
	}
	w.audit = records
	t.Cleanup(func() {
		if err := records.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

// start makes the server.
func (w *world) start() (*legacyapi.Server, error) {
	comfy := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { w.comfy(rw, r) }))
	w.Cleanup(comfy.Close)
	options := legacyapi.Options{
		Client: w.client, Pool: types.NamespacedName{Namespace: poolNamespace, Name: poolName}, Secret: secretName,
		Deployment: types.NamespacedName{Namespace: "warmpool-system", Name: deploymentName},
		Audit:      w.audit, Clock: w.clock, Registry: w.metrics, Port: 3000, ClaimWait: 500 * time.Millisecond,
		Limits: legacyapi.Limits{RequestsPerSecond: 1000, Burst: 1000, WrongKeysPerMinute: 3},
		Dial: func(legacyapi.Target) (*http.Transport, error) {
			return &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, network, comfy.Listener.Addr().String())
			}}, nil
		},
		IsUntrusted: func(err error) bool { _, is := errors.AsType[*tls.CertificateVerificationError](err); return is },
		Outside:     recorded{func(rw http.ResponseWriter, r *http.Request) { w.outside(rw, r) }},
		Logger: funcr.NewJSON(func(line string) {
			w.logged.Lock()
			defer w.logged.Unlock()
			w.logged.WriteString(line + "\n")
		}, funcr.Options{Verbosity: 9}),
	}
	if w.options != nil {
		w.options(&options)
	}
	return legacyapi.New(w.Context(), options)
}

// recorded answers in place of the internet.
type recorded struct{ handler http.HandlerFunc }

func (r recorded) RoundTrip(request *http.Request) (*http.Response, error) {
	recorder := httptest.NewRecorder()
	r.handler(recorder, request)
	return recorder.Result(), nil
}

// services are Hugging Face, Civitai and a tunnel.
func services(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.URL.Host == "huggingface.co" && r.Header.Get("Authorization") == "Bearer "+hfTokenValue:
		fmt.Fprint(w, `{"name":"someone"}`)
	case r.URL.Host == "tunnel-one.trycloudflare.com" && r.Header.Get("Authorization") == "":
		fmt.Fprint(w, `{}`)
	default:
		w.WriteHeader(http.StatusUnauthorized)
	}
}

// comfyUI answers as a real one does, VRAM under devices.
func comfyUI(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") != "Bearer "+webPassword {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	switch r.URL.Path {
	case "/system_stats":
		fmt.Fprint(w, `{"system":{},"devices":[{"name":"cuda:0","type":"cuda","vram_total":25000000000,"vram_free":20000000000}]}`)
	case "/object_info/CheckpointLoaderSimple":
		fmt.Fprint(w, `{"CheckpointLoaderSimple":{"input":{"required":{"ckpt_name":[["a.safetensors","b.safetensors"]]}}}}`)
	case "/object_info/LoraLoader":
		fmt.Fprint(w, `{"LoraLoader":{"input":{"required":{"lora_name":["COMBO",{"options":["style.safetensors"]}]}}}}`)
	case "/object_info/VAELoader":
		fmt.Fprint(w, `{"VAELoader":{"input":{"required":{"vae_name":[[]]}}}}`)
	case "/object_info/VHS_VideoCombine":
		fmt.Fprint(w, `{"VHS_VideoCombine":{"input":{}}}`)
	default:
		http.NotFound(w, r)
	}
}

func pool(replicas int32) *warmpool.WarmPool {
	return &warmpool.WarmPool{
		ObjectMeta: metav1.ObjectMeta{Namespace: poolNamespace, Name: poolName, UID: "pool-uid", Generation: 1},
		Spec: warmpool.WarmPoolSpec{
			Replicas: &replicas, Mode: warmpool.PoolActive, AccountRef: warmpool.LocalReference{Name: "default"},
			Cost: warmpool.PoolCost{CeilingUSDPerHour: "1.50"}, Template: warmpool.InstanceTemplate{DiskGB: 64},
		},
	}
}

func account() *warmpool.VastAccount {
	return &warmpool.VastAccount{
		ObjectMeta: metav1.ObjectMeta{Namespace: poolNamespace, Name: "default"},
		Status: warmpool.VastAccountStatus{Conditions: []metav1.Condition{{
			Type: warmpool.ConditionCredentialsValid, Status: metav1.ConditionTrue, Reason: "Accepted", LastTransitionTime: metav1.NewTime(moment().Add(-time.Hour)),
		}}},
	}
}

func credentials() *corev1.Secret {
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: poolNamespace, Name: secretName},
		Data: map[string][]byte{
			"ADMIN_API_KEY": []byte(adminKeyValue), "VASTAI_API_KEY": []byte(vastKeyValue), "HUGGINGFACE_HUB_TOKEN": []byte(hfTokenValue), "AUDIT_SALT": []byte(saltValue),
		},
	}
}

// instance is one on its way: rented and running.
func instance(name string, rental int64) *warmpool.WarmInstance {
	return &warmpool.WarmInstance{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: poolNamespace, Name: name, UID: types.UID(name + "-uid"), Finalizers: []string{warmpool.FinalizerTerminate},
			CreationTimestamp: metav1.NewTime(moment().Add(-20 * time.Minute)), Labels: map[string]string{warmpool.LabelPool: poolName},
		},
		Spec: warmpool.WarmInstanceSpec{
			PoolRef: warmpool.LocalReference{Name: poolName}, AccountRef: warmpool.LocalReference{Name: "default"},
			Template: warmpool.InstanceTemplate{TLS: &warmpool.TLSSettings{Mode: warmpool.TLSOff}},
		},
		Status: warmpool.WarmInstanceStatus{
			Rental:               &warmpool.Rental{ID: rental, GPUName: "RTX 4090"},
			Price:                warmpool.InstancePrice{CurrentUSDPerHour: "0.402381"},
			Provider:             warmpool.ProviderState{ActualStatus: "running", Message: "success, running"},
			SSH:                  warmpool.InstanceSSH{Host: "ssh5.vast.ai", Port: 19002},
			Endpoints:            []warmpool.InstanceEndpoint{{Name: "comfyui", URL: "http://" + comfyAddress}},
			CredentialsSecretRef: &warmpool.LocalReference{Name: name + "-password"},
		},
	}
}

// ready makes an instance ready.
func ready(i *warmpool.WarmInstance) *warmpool.WarmInstance {
	proof := metav1.NewTime(moment().Add(-2 * time.Minute))
	i.Status.LastProofTime, i.Status.ReadyTime = &proof, &proof
	i.Status.Conditions = []metav1.Condition{{Type: warmpool.ConditionReady, Status: metav1.ConditionTrue, Reason: "Ready"}}
	return i
}

func password(of string) *corev1.Secret {
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: poolNamespace, Name: of + "-password"},
		Data:       map[string][]byte{warmpool.SecretKeyWebPassword: []byte(webPassword)},
	}
}

// Changes of a world.

func withReady(w *world) {
	w.objects = append(w.objects, ready(instance(instanceName, rentalID)), password(instanceName))
}

func withRunning(w *world) {
	w.objects = append(w.objects, instance(instanceName, rentalID), password(instanceName))
}

// withPending adds an instance that waits for money.
func withPending(w *world) {
	waiting := instance(instanceName, 0)
	waiting.Status = warmpool.WarmInstanceStatus{}
	w.objects = append(w.objects, waiting)
}

func withFailed(w *world) {
	failed := instance(instanceName, rentalID)
	failed.Status.Failure = &warmpool.InstanceFailure{Reason: "NoGpu", Message: "ComfyUI shows no GPU.", Time: metav1.NewTime(moment())}
	w.objects = append(w.objects, failed)
}

func withEnding(w *world) {
	ending := instance("sdxl-e1", 9005)
	ending.DeletionTimestamp = new(metav1.NewTime(moment()))
	w.objects = append(w.objects, ending)
}

// withClaimed adds an instance that is held, and its claim.
func withClaimed(w *world) {
	held := ready(instance(claimedName, 9003))
	held.Spec.ClaimRef = &warmpool.ClaimReference{Name: "user-1", UID: "claim-uid"}
	w.objects = append(w.objects, held, password(claimedName), boundClaim("user-1", claimedName), claimSecret("user-1"))
}

func boundClaim(name, holds string) *warmpool.WarmClaim {
	until := metav1.NewTime(moment().Add(30 * time.Minute))
	return &warmpool.WarmClaim{
		ObjectMeta: metav1.ObjectMeta{Namespace: poolNamespace, Name: name, UID: "claim-uid"},
		Spec:       warmpool.WarmClaimSpec{PoolRef: warmpool.LocalReference{Name: poolName}},
		Status: warmpool.WarmClaimStatus{
			InstanceRef: &warmpool.LocalReference{Name: holds}, Endpoint: "http://" + comfyAddress, ExpirationTime: &until,
			CredentialsSecretRef: &warmpool.LocalReference{Name: name + "-claim"},
			Conditions: []metav1.Condition{
				{Type: warmpool.ConditionBound, Status: metav1.ConditionTrue, Reason: "Bound"},
				{Type: warmpool.ConditionReady, Status: metav1.ConditionTrue, Reason: "Ready"},
			},
		},
	}
}

func claimSecret(of string) *corev1.Secret {
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: poolNamespace, Name: of + "-claim"},
		Data:       map[string][]byte{warmpool.SecretKeyClaimToken: []byte(claimToken)},
	}
}

func withDeployment(w *world) {
	w.objects = append(w.objects, &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: "warmpool-system", Name: deploymentName, Annotations: map[string]string{"deployment.kubernetes.io/revision": "3"}},
		Spec:       appsv1.DeploymentSpec{Replicas: new(int32(2))},
		Status: appsv1.DeploymentStatus{AvailableReplicas: 2, Conditions: []appsv1.DeploymentCondition{{
			Type: appsv1.DeploymentAvailable, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(moment().Add(-time.Hour)),
		}}},
	})
}

func withoutPool(w *world) {
	w.objects = w.objects[1:]
}

func withNoneWanted(w *world) {
	w.objects[0] = pool(0)
}

func withMode(mode warmpool.PoolMode) func(*world) {
	return func(w *world) {
		changed := pool(1)
		changed.Spec.Mode = mode
		w.objects[0] = changed
	}
}

// withReason makes the pool say why it has too few instances.
func withReason(reason, message string) func(*world) {
	return func(w *world) {
		changed := pool(1)
		changed.Status.Conditions = []metav1.Condition{{
			Type: warmpool.ConditionFullyProvisioned, Status: metav1.ConditionFalse, Reason: reason, Message: message, ObservedGeneration: 1,
		}}
		w.objects[0] = changed
	}
}

// brokenAPI makes every read of a pool fail, with words that nobody may see.
func brokenAPI(w *world) {
	w.hooks.Get = func(ctx context.Context, c client.WithWatch, key client.ObjectKey, object client.Object, opts ...client.GetOption) error {
		if _, isPool := object.(*warmpool.WarmPool); isPool {
			return errors.New("dial tcp 10.0.0.1:443: " + vastKeyValue)
		}
		return c.Get(ctx, key, object, opts...)
	}
}

// binder binds every new claim to the ready instance, as the operator does.
func binder(w *world) {
	w.hooks.Create = func(ctx context.Context, c client.WithWatch, object client.Object, opts ...client.CreateOption) error {
		if err := c.Create(ctx, object, opts...); err != nil {
			return err
		}
		claim, isClaim := object.(*warmpool.WarmClaim)
		if !isClaim {
			return nil
		}
		bound := claim.DeepCopy()
		bound.Status = boundClaim(claim.Name, instanceName).Status
		// The Secret comes after the binding; until then the claim is not Ready.
		unready := bound.DeepCopy()
		unready.Status.Conditions = unready.Status.Conditions[:1]
		if err := c.Status().Update(ctx, unready); err != nil {
			return err
		}
		later := context.WithoutCancel(ctx)
		go func() {
			time.Sleep(150 * time.Millisecond)
			bound.ResourceVersion = unready.ResourceVersion
			if err := errors.Join(c.Create(later, claimSecret(claim.Name)), c.Status().Update(later, bound)); err != nil {
				w.Error(err)
			}
		}()
		return nil
	}
}

// finisher finishes every new claim without an instance.
func finisher(w *world) {
	w.hooks.Create = func(ctx context.Context, c client.WithWatch, object client.Object, opts ...client.CreateOption) error {
		if err := c.Create(ctx, object, opts...); err != nil {
			return err
		}
		claim, isClaim := object.(*warmpool.WarmClaim)
		if !isClaim {
			return nil
		}
		finished := claim.DeepCopy()
		finished.Status.FinishedTime = new(metav1.NewTime(moment()))
		return c.Status().Update(ctx, finished)
	}
}

// request is one request of a test.
type request struct {
	method, path, body string
	header             map[string]string
	peer               string
}

// with adds a header.
func (r request) with(name, value string) request {
	header := map[string]string{name: value}
	for k, v := range r.header {
		if k != name {
			header[k] = v
		}
	}
	r.header = header
	return r
}

// as sends the right key from this host.
func admin(method, path, body string) request {
	return request{method: method, path: path, body: body, peer: localPeer, header: map[string]string{"X-Admin-Key": adminKeyValue}}
}

// do sends a request.
func (w *world) do(r request) *http.Response {
	w.Helper()
	var body io.Reader = http.NoBody
	if r.body != "" {
		body = strings.NewReader(r.body)
	}
	sent := httptest.NewRequestWithContext(w.Context(), r.method, r.path, body)
	sent.RemoteAddr, sent.Host = r.peer, "localhost:3000"
	if r.body != "" {
		sent.Header.Set("Content-Type", "application/json")
	}
	for name, value := range r.header {
		sent.Header.Set(name, value)
	}
	if host := r.header["Host"]; host != "" {
		sent.Host = host
	}
	recorder := httptest.NewRecorder()
	w.server.ServeHTTP(recorder, sent)
	return recorder.Result()
}

// status is the status of the answer to a request.
func (w *world) status(r request) int {
	w.Helper()
	response := w.do(r)
	if err := response.Body.Close(); err != nil {
		w.Fatal(err)
	}
	return response.StatusCode
}

// ask sends a request and returns the status and the body of its answer.
func (w *world) ask(r request) (status int, text string) {
	w.Helper()
	response := w.do(r)
	defer response.Body.Close()
	return response.StatusCode, w.text(response)
}

// text is the body of an answer.
func (w *world) text(response *http.Response) string {
	w.Helper()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		w.Fatal(err)
	}
	return string(body)
}
