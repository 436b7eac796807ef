package page_test

import (
	"context"
	"crypto/rand"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/audit"
	"github.com/warmpool-dev/warmpool/internal/legacyapi/page"
	"github.com/warmpool-dev/warmpool/internal/testkit"
)

var plane *testkit.ControlPlane

func TestMain(m *testing.M) { os.Exit(testkit.Main(m, &plane)) }

const (
	adminKey = "a-key-for-tests-2f9c81d4"
	salt     = "9d1f3c5a7b8e2046-of-tests"
)

// keyring knows one key.
type keyring struct {
	mu  sync.Mutex
	key string
}

func (k *keyring) Check(_ context.Context, key string) (string, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return string(audit.FingerprintOf(salt, key)), key == k.key
}

func (k *keyring) change(key string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.key = key
}

// journal is an audit log in memory.
type journal struct {
	mu      sync.Mutex
	entries []audit.Entry
	err     error
	state   page.Verification
	records []audit.Record
}

func (j *journal) Append(_ context.Context, entry *audit.Entry) (audit.Record, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.err != nil {
		return audit.Record{}, j.err
	}
	j.entries = append(j.entries, *entry)
	return audit.Record{}, nil
}

func (j *journal) Recent(context.Context, int) ([]audit.Record, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.records, j.err
}

func (j *journal) Verification() page.Verification {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.state
}

func (j *journal) fail(err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.err = err
}

// said lists the entries as "action outcome".
func (j *journal) said() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	var said []string
	for i := range j.entries {
		said = append(said, j.entries[i].Action+" "+string(j.entries[i].Outcome))
	}
	return said
}

// site is a page over a real API server, with a browser's worth of cookies.
type site struct {
	t         *testing.T
	server    *httptest.Server
	namespace string
	keys      *keyring
	journal   *journal
	clock     *clocktesting.FakeClock
	series    *page.Series
	browser   *http.Client
}

func serve(t *testing.T, change func(page.Cluster) page.Cluster) *site {
	t.Helper()
	s := &site{
		t: t, namespace: plane.Namespace(t), keys: &keyring{key: adminKey}, journal: &journal{},
		clock: clocktesting.NewFakeClock(time.Now()), series: &page.Series{},
	}
	var cluster page.Cluster = plane.Client
	if change != nil {
		cluster = change(cluster)
	}
	handler, err := page.New(page.Options{
		Cluster: cluster, Pool: types.NamespacedName{Namespace: s.namespace, Name: "sdxl"},
		Keys: s.keys, Audit: s.journal, Records: s.journal, Series: s.series,
		Clock: s.clock, Random: rand.Reader, Log: logr.Discard(),
	})
	if err != nil {
		t.Fatal(err)
	}
	s.server = httptest.NewServer(handler)
	t.Cleanup(s.server.Close)
	s.browser = newBrowser(t)
	return s
}

func newBrowser(t *testing.T) *http.Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Jar: jar, Transport: transport}
}

// reply is an answer with its body read.
type reply struct {
	*http.Response
	text string
}

func (s *site) get(path string) reply {
	s.t.Helper()
	answer, err := s.browser.Get(s.server.URL + path)
	return s.read(answer, err)
}

func (s *site) post(path string, values url.Values) reply {
	s.t.Helper()
	answer, err := s.browser.PostForm(s.server.URL+path, values)
	return s.read(answer, err)
}

func (s *site) read(answer *http.Response, err error) reply {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return reply{answer, string(text)}
}

func (s *site) signIn() {
	s.t.Helper()
	if answer := s.post(page.Path+"/login", url.Values{"key": {adminKey}}); answer.StatusCode != http.StatusOK || answer.Request.URL.Path != page.Path {
		s.t.Fatalf("signing in led to %s with %s", answer.Request.URL, answer.Status)
	}
}

// later lets what was read lately grow old.
func (s *site) later(d time.Duration) { s.clock.Step(d) }

var hiddenField = regexp.MustCompile(`<input type="hidden" name="([a-z]+)" value="([^"]*)">`)

// confirmed asks for an act as a person does: it reads the confirmation and sends its form.
func (s *site) confirmed(act string, values url.Values) (confirmation, answer reply) {
	s.t.Helper()
	confirmation = s.get(page.Path + "/do/" + act + "?" + values.Encode())
	if confirmation.StatusCode != http.StatusOK {
		s.t.Fatalf("the confirmation of %s: %s\n%s", act, confirmation.Status, confirmation.text)
	}
	return confirmation, s.post(page.Path+"/do/"+act, formOf(confirmation.text))
}

func formOf(text string) url.Values {
	form := url.Values{}
	for _, match := range hiddenField.FindAllStringSubmatch(text, -1) {
		form.Set(match[1], match[2])
	}
	return form
}

func (s *site) wants(answer reply, status int, texts ...string) {
	s.t.Helper()
	if answer.StatusCode != status {
		s.t.Errorf("status %d, want %d\n%s", answer.StatusCode, status, answer.text)
	}
	for _, text := range texts {
		if !strings.Contains(answer.text, text) {
			s.t.Errorf("%q is not in the answer:\n%s", text, answer.text)
		}
	}
}

// create makes an object with the status that it comes with.
func (s *site) create(object client.Object) {
	s.t.Helper()
	object.SetNamespace(s.namespace)
	written, _ := object.DeepCopyObject().(client.Object)
	if err := plane.Client.Create(s.t.Context(), object); err != nil {
		s.t.Fatal(err)
	}
	written.SetResourceVersion(object.GetResourceVersion())
	if err := plane.Client.Status().Update(s.t.Context(), written); err != nil {
		s.t.Fatal(err)
	}
	object.SetResourceVersion(written.GetResourceVersion())
}

func (s *site) pool() *v1alpha1.WarmPool {
	s.t.Helper()
	var found v1alpha1.WarmPool
	if err := plane.Client.Get(s.t.Context(), types.NamespacedName{Namespace: s.namespace, Name: "sdxl"}, &found); err != nil {
		s.t.Fatal(err)
	}
	return &found
}

// poolOf is a pool whose instances cost what the test says.
func poolOf(replicas int32, committed v1alpha1.SignedUSD) *v1alpha1.WarmPool {
	return &v1alpha1.WarmPool{
		ObjectMeta: metav1.ObjectMeta{Name: "sdxl"},
		Spec: v1alpha1.WarmPoolSpec{
			Replicas: new(replicas),
			Cost:     v1alpha1.PoolCost{CeilingUSDPerHour: "1.50", MaxInstanceUSDPerHour: "0.50"},
		},
		Status: v1alpha1.WarmPoolStatus{Cost: v1alpha1.PoolCostStatus{CommittedUSDPerHour: committed}},
	}
}

func instanceOf(name string, price v1alpha1.SignedUSD) *v1alpha1.WarmInstance {
	return &v1alpha1.WarmInstance{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: v1alpha1.WarmInstanceSpec{
			PoolRef: v1alpha1.LocalReference{Name: "sdxl"}, AccountRef: v1alpha1.LocalReference{Name: "default"},
		},
		Status: v1alpha1.WarmInstanceStatus{
			Rental:    &v1alpha1.Rental{ID: 4711, GPUName: "RTX 4090", Geolocation: "Norway, NO"},
			Price:     v1alpha1.InstancePrice{CurrentUSDPerHour: price},
			ReadyTime: new(metav1.Now()),
			Endpoints: []v1alpha1.InstanceEndpoint{{Name: "comfyui", URL: "https://203.0.113.20:40188"}},
			SSH:       v1alpha1.InstanceSSH{Host: "203.0.113.20", Port: 40022},
			Conditions: []metav1.Condition{{
				Type: "Ready", Status: metav1.ConditionTrue, Reason: "Rendered", Message: "It renders.", LastTransitionTime: metav1.Now(),
			}},
		},
	}
}
