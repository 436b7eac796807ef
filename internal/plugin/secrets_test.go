package plugin

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
)

// The canaries: none of them may ever be printed, or get into a bundle.
const (
	canaryKey        = "canary-vast-api-key-0001"
	canaryPassword   = "canary-web-password-0002"
	canaryEnvSecret  = "canary-env-secret-0003"
	canaryEnvValue   = "canary-env-value-0004"
	canaryOnStart    = "canary-on-start-0005"
	canaryAnnotation = "canary-annotation-0006"
	canaryQuery      = "canary-query-0007"
	canaryHF         = "hf_canarycanarycanary0008"
	canarySSH        = "canary-public-key-0009"
	canaryApplied    = "canary-applied-0010"
)

func canaries() []string {
	return []string{canaryKey, canaryPassword, canaryEnvSecret, canaryEnvValue, canaryOnStart, canaryAnnotation, canaryQuery, canaryHF, canarySSH, canaryApplied}
}

// checkNoCanary fails when a text holds one.
func checkNoCanary(t *testing.T, where, text string) {
	t.Helper()
	for _, canary := range canaries() {
		if strings.Contains(text, canary) {
			t.Errorf("%s holds %s:\n%s", where, canary, text)
		}
	}
}

// newSecretStage is a stage with canaries wherever a secret can be.
func newSecretStage(t *testing.T, vast string) *stage {
	t.Helper()
	s := newStage(t)
	s.create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "warmpool-credentials"}, StringData: map[string]string{"VASTAI_API_KEY": canaryKey, keyBaseURL: vast}})
	s.create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "models"}, StringData: map[string]string{"token": canaryEnvSecret}})
	s.create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "sdxl-leaky-auth"}, StringData: map[string]string{"WEB_PASSWORD": canaryPassword}})
	value := canaryEnvValue
	template := warmpool.InstanceTemplate{
		Env: []warmpool.EnvVar{
			{Name: "PLAIN", Value: &value},
			{Name: "TOKEN", ValueFrom: &warmpool.EnvVarSource{SecretKeyRef: warmpool.SecretKeyReference{Name: "models", Key: "token"}}},
		},
		OnStart: "login " + canaryOnStart, ProvisioningScriptURL: "https://example.com/script.sh?sig=" + canaryQuery, SSHPublicKeys: []string{"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA " + canarySSH},
		Metadata: warmpool.TemplateMetadata{Annotations: map[string]string{"example.com/note": canaryAnnotation}},
	}
	pool := &warmpool.WarmPool{}
	if err := s.get("sdxl", pool); err != nil {
		t.Fatal(err)
	}
	pool.Spec.Template.Env, pool.Spec.Template.OnStart, pool.Spec.Template.ProvisioningScriptURL = template.Env, template.OnStart, template.ProvisioningScriptURL
	pool.Spec.Template.SSHPublicKeys, pool.Spec.Template.Metadata = template.SSHPublicKeys, template.Metadata
	pool.Annotations = map[string]string{"kubectl.kubernetes.io/last-applied-configuration": `{"env":"` + canaryApplied + `"}`}
	if err := plane.Client.Update(t.Context(), pool); err != nil {
		t.Fatal(err)
	}
	leaky := &warmpool.WarmInstance{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "sdxl-leaky", Annotations: template.Metadata.Annotations},
		Spec:       warmpool.WarmInstanceSpec{PoolRef: warmpool.LocalReference{Name: "sdxl"}, AccountRef: warmpool.LocalReference{Name: "default"}, Template: template},
	}
	s.create(leaky)
	leaky.Status.Rental = &warmpool.Rental{ID: 30000003}
	leaky.Status.CredentialsSecretRef = &warmpool.LocalReference{Name: "sdxl-leaky-auth"}
	leaky.Status.Provider.Message = "pulling with " + canaryHF + " and " + canaryEnvSecret
	leaky.Status.Endpoints = []warmpool.InstanceEndpoint{{Name: "portal", URL: "https://user:" + canaryPassword + "@203.0.113.1:1/?token=" + canaryQuery}}
	if err := plane.Client.Status().Update(t.Context(), leaky); err != nil {
		t.Fatal(err)
	}
	s.create(&corev1.Event{
		ObjectMeta:     metav1.ObjectMeta{Namespace: s.namespace, Name: "event"},
		InvolvedObject: corev1.ObjectReference{APIVersion: warmpool.GroupVersion.String(), Kind: kindInstance, Name: "sdxl-leaky", Namespace: s.namespace},
		Reason:         "ImagePulling", Message: "Started with password=" + canaryPassword, LastTimestamp: metav1.Now(), Type: "Normal",
	})
	return s
}

// vastWithLog is a Vast.ai that hands out a log which holds every canary, one line
// more at each request. It fails the first upload once.
func vastWithLog(t *testing.T) (address string, requests *atomic.Int32) {
	t.Helper()
	requests = &atomic.Int32{}
	var reads atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodPut && strings.HasPrefix(r.URL.Path, "/api/v0/instances/request_logs/30000003"):
			if r.Header.Get("Authorization") != "Bearer "+canaryKey {
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			requests.Add(1)
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprintf(w, `{"success":true,"result_url":"http://%s/logs/x"}`, r.Host)
		case r.URL.Path == "/logs/x" && reads.Add(1) == 1:
			w.WriteHeader(http.StatusForbidden)
		case r.URL.Path == "/logs/x":
			fmt.Fprintf(w, "TOKEN=%s bearer %s\n", canaryEnvSecret, canaryPassword)
			for k := range requests.Load() {
				fmt.Fprintf(w, "line %d of %s\n", k+1, canaries()[int(k)%3])
			}
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	t.Cleanup(server.Close)
	return server.URL, requests
}

// TestNoSecretIsShown runs every command that reads, and looks for canaries.
func TestNoSecretIsShown(t *testing.T) {
	address, _ := vastWithLog(t)
	s := newSecretStage(t, address)
	for _, line := range []string{
		"status -o wide", "status -o json", "why sdxl", "why sdxl -o yaml", "plan sdxl -o json", "cost -o wide", "instances -o wide", "instances -o json",
		"open sdxl-one", "ssh sdxl-one --dry-run", "doctor --dial=false", "doctor -o json --dial=false", "logs sdxl-leaky", "logs sdxl-leaky --tail=5", "version",
	} {
		one := s.call()
		one.run(line)
		checkNoCanary(t, line, one.output()+one.errors())
	}
}

// TestLogs shows a log without secrets, follows it, and shows nothing when it does
// not know what must be taken out.
func TestLogs(t *testing.T) {
	address, requests := vastWithLog(t)
	s := newSecretStage(t, address)
	once := s.call()
	if code := once.run("logs sdxl-leaky"); code != ExitOK || once.output() != "TOKEN=REDACTED bearer REDACTED\nline 1 of REDACTED\n" {
		t.Fatalf("exit code %d, printed %q: %s", code, once.output(), once.errors())
	}
	waiting := s.call()
	if code := waiting.run("logs sdxl-one"); code != ExitFailed || !strings.Contains(waiting.errors(), "what must be taken out of it is not known") || waiting.output() != "" {
		t.Errorf("without its Secret: exit code %d, printed %q: %s", code, waiting.output(), waiting.errors())
	}
	elsewhere := s.call()
	if code := elsewhere.run("logs sdxl-leaky --vast-base-url=ftp://nowhere"); code != ExitFailed || !strings.Contains(elsewhere.errors(), "the base URL must start with http") {
		t.Errorf("exit code %d: %s", code, elsewhere.errors())
	}
	checkNoCanary(t, "logs", once.errors()+waiting.errors()+elsewhere.errors())
	if requests.Load() != 1 {
		t.Errorf("%d requests", requests.Load())
	}
}

// TestFollow shows each line once, and ends with Ctrl-C.
func TestFollow(t *testing.T) {
	address, requests := vastWithLog(t)
	s := newSecretStage(t, address)
	ctx, interrupt := context.WithCancel(t.Context())
	following := newCall(t, plane.Client, s.namespace)
	following.ctx = ctx
	done := make(chan int, 1)
	go func() { done <- following.run("logs claim/nobody -f") }()
	if code := <-done; code != ExitFailed {
		t.Errorf("a claim that is not there: exit code %d", code)
	}
	go func() { done <- following.run("logs sdxl-leaky -f") }()
	waitUntil(t, "three looks", func() bool {
		if following.clock.HasWaiters() {
			following.clock.Step(followPeriod)
		}
		return requests.Load() >= 3 && strings.Contains(following.output(), "line 3")
	})
	interrupt()
	if code := <-done; code != ExitInterrupted {
		t.Errorf("exit code %d: %s", code, following.errors())
	}
	if n := strings.Count(following.output(), "line 3 of"); n != 1 {
		t.Errorf("line 3 was shown %d times:\n%s", n, following.output())
	}
	checkNoCanary(t, "logs -f", following.output()+following.errors())
}

// TestKeptLog shows what the operator kept of an instance that was given up.
func TestKeptLog(t *testing.T) {
	objects, _ := situationObjects(t, "failing-template")
	name := ""
	for _, object := range objects {
		if instance, is := object.(*warmpool.WarmInstance); is && instance.Status.Failure != nil && instance.Status.Failure.LogTail != "" {
			name = instance.Name
		}
	}
	one := newCall(t, fakeClient(t, objects...), "failing-template")
	if code := one.run("logs " + name); code != ExitOK || !strings.Contains(one.output(), "Starting server") || !strings.Contains(one.errors(), "was given up: CustomNodeMissing") {
		t.Errorf("exit code %d, printed %q: %s", code, one.output(), one.errors())
	}
}

// TestNewLines finds what is new between two windows of a log.
func TestNewLines(t *testing.T) {
	words := func(text string) []string { return strings.Fields(text) }
	for name, test := range map[string]struct {
		shown, lines, want string
		gap                bool
	}{
		"first":              {"", "a b", "a b", false},
		"nothing new":        {"a b", "a b", "", false},
		"grew":               {"a b", "a b c", "c", false},
		"window moved":       {"a b c", "b c d e", "d e", false},
		"wider window":       {"c d", "a b c d e", "e", false},
		"repeated lines":     {"x y x y", "x y x y x y", "x y", false},
		"faster than we are": {"a b", "x y", "x y", true},
		"log was emptied":    {"a b", "", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			fresh, gap := newLines(words(test.shown), words(test.lines))
			// Of repeated lines nobody can tell how many are new: at most those.
			if name == "repeated lines" {
				if len(fresh) > 2 || gap {
					t.Errorf("got %v, gap %t", fresh, gap)
				}
				return
			}
			if !slices.Equal(fresh, words(test.want)) || gap != test.gap {
				t.Errorf("got %v, gap %t; want %s, gap %t", fresh, gap, test.want, test.gap)
			}
		})
	}
}

// TestDoctor finds what is not in order, and says what to do.
func TestDoctor(t *testing.T) {
	s := newSecretStage(t, "http://127.0.0.1:1")
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	instance := &warmpool.WarmInstance{}
	if err := s.get("sdxl-one", instance); err != nil {
		t.Fatal(err)
	}
	instance.Status.Endpoints[0].URL = "https://" + listener.Addr().String()
	if err := plane.Client.Status().Update(t.Context(), instance); err != nil {
		t.Fatal(err)
	}
	account := &warmpool.VastAccount{}
	if err := s.get("default", account); err != nil {
		t.Fatal(err)
	}
	account.Status.LastSweep = &warmpool.SweepStatus{Time: metav1.Now(), Trusted: true}
	for _, kind := range accountConditions() {
		account.Status.Conditions = append(account.Status.Conditions, metav1.Condition{Type: kind, Status: metav1.ConditionTrue, Reason: "Fine", Message: "It is fine.", LastTransitionTime: metav1.Now()})
	}
	if err := plane.Client.Status().Update(t.Context(), account); err != nil {
		t.Fatal(err)
	}
	well := s.call()
	if code := well.run("doctor"); code != ExitOK {
		t.Errorf("exit code %d: %s\n%s", code, well.output(), well.errors())
	}
	for _, want := range []string{"This machine and the API server agree.", "All four kinds are served", "They suffice for: every command.", listener.Addr().String() + " answers.", "127.0.0.1:1 does not answer from this machine", `Secret "warmpool-credentials" has a key "VASTAI_API_KEY"`} {
		if !strings.Contains(well.output(), want) {
			t.Errorf("%q is not in\n%s", want, well.output())
		}
	}
	account.Status.LastSweep.Time = metav1.Unix(1_700_000_000, 0)
	account.Status.Conditions[0].Status, account.Status.Conditions[0].Reason = metav1.ConditionFalse, "InvalidUserKey"
	if err := plane.Client.Status().Update(t.Context(), account); err != nil {
		t.Fatal(err)
	}
	if err := plane.Client.Delete(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "warmpool-credentials"}}); err != nil {
		t.Fatal(err)
	}
	ill := s.call()
	if code := ill.run("doctor"); code != ExitFindings || !strings.Contains(ill.errors(), "3 things are not in order") {
		t.Errorf("exit code %d: %s\n%s", code, ill.errors(), ill.output())
	}
	for _, want := range []string{"InvalidUserKey: It is fine.", `There is no Secret "warmpool-credentials"`, "Does it run? Nothing is rented or ended while it does not."} {
		if !strings.Contains(ill.output(), want) {
			t.Errorf("%q is not in\n%s", want, ill.output())
		}
	}
	away := s.call()
	away.cluster.Config = plane.RoleRESTConfig(t, "nobody-"+s.namespace, map[string]string{"config/rbac/audit_head_role.yaml": s.namespace})
	away.cluster.Config.Host = "https://127.0.0.1:1"
	if code := away.run("doctor --dial=false"); code != ExitFindings || !strings.Contains(away.output(), "It does not answer") {
		t.Errorf("exit code %d: %s", code, away.output())
	}
}

// TestClockSkew judges the difference between the clocks.
func TestClockSkew(t *testing.T) {
	s := newStage(t)
	skewed := newCall(t, plane.Client, s.namespace)
	skewed.cluster.Config = plane.Config
	if code := skewed.run("doctor --dial=false"); code != ExitFindings || !strings.Contains(skewed.output(), "This machine and the API server differ by") {
		t.Errorf("exit code %d: %s", code, skewed.output())
	}
}

// TestBundle writes a file that helps and holds no secret.
func TestBundle(t *testing.T) {
	address, _ := vastWithLog(t)
	s := newSecretStage(t, address)
	path := filepath.Join(t.TempDir(), "support.tar.gz")
	one := s.call()
	one.run("doctor --dial=false --bundle=" + path)
	files := unpack(t, path)
	for name, want := range map[string]string{
		"doctor.txt": "VASTAI_API_KEY", "version.txt": "kubectl warmpool v1.2.3", "events.txt": "WarmInstance/sdxl-leaky", "vastaccounts.yaml": "ceilingUSDPerHour: \"6.00\"",
		"warmpools.yaml": "name: PLAIN", "warminstances.yaml": "name: sdxl-leaky-auth", "warmclaims.yaml": "[]",
	} {
		text, found := files["warmpool-support/"+name]
		if !found || !strings.Contains(text, want) {
			t.Errorf("%s does not hold %q:\n%s", name, want, text)
		}
	}
	for name, text := range files {
		checkNoCanary(t, name, text)
		if strings.Contains(text, "last-applied-configuration: {") || strings.Contains(text, "managedFields") {
			t.Errorf("%s holds what was applied:\n%s", name, text)
		}
	}
	for _, want := range []string{"https://203.0.113.1:1/", "provisioningScriptURL: https://example.com/script.sh", "onStart: TAKEN OUT", "sshPublicKeys: 'TAKEN OUT: 1 keys'", "key: token"} {
		if !strings.Contains(files["warmpool-support/warminstances.yaml"], want) {
			t.Errorf("warminstances.yaml does not hold %q", want)
		}
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if again := s.call(); again.run("doctor --dial=false --bundle="+path) != ExitFailed || !strings.Contains(again.errors(), "exists: name another one") {
		t.Errorf("said %q", again.errors())
	}
}

// unpack reads a bundle.
func unpack(t *testing.T, path string) map[string]string {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	packed, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	archive := tar.NewReader(packed)
	files := map[string]string{}
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(archive)
		if err != nil {
			t.Fatal(err)
		}
		files[header.Name] = string(text)
	}
}
