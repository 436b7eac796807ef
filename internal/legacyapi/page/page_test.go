package page_test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/audit"
	"github.com/warmpool-dev/warmpool/internal/legacyapi/page"
	"github.com/warmpool-dev/warmpool/internal/testkit"
)

func TestThePageShowsThePool(t *testing.T) {
	s := serve(t, nil)
	s.create(poolOf(2, "0.81"))
	s.create(instanceOf("sdxl-aaaaa", "0.412"))
	other := instanceOf("other-bbbbb", "0.99")
	other.Spec.PoolRef.Name = "other"
	s.create(other)
	if err := plane.Client.Create(t.Context(), &corev1.Event{
		ObjectMeta:     metav1.ObjectMeta{Name: "event", Namespace: s.namespace},
		InvolvedObject: corev1.ObjectReference{Kind: "WarmInstance", Name: "sdxl-gone1", Namespace: s.namespace},
		Reason:         "Failed", Message: "Given up.", Type: "Warning", LastTimestamp: metav1.Now(),
	}); err != nil {
		t.Fatal(err)
	}
	s.series.Add(page.Sample{Time: s.clock.Now().Add(-time.Minute), Committed: 810_000, Ceiling: 1_500_000})
	s.series.Add(page.Sample{Time: s.clock.Now(), Committed: 810_000, Ceiling: 1_500_000})
	s.journal.state = page.Verification{Time: s.clock.Now(), Intact: true, Records: 12, Message: "Every record is signed."}
	s.journal.records = []audit.Record{{Sequence: 12, Action: "prewarm", Outcome: audit.OutcomeOK, Peer: "192.0.2.7", Time: s.clock.Now()}}
	s.signIn()
	answer := s.get(page.Path)
	s.wants(answer, http.StatusOK,
		"sdxl-aaaaa", "RTX 4090", "Norway, NO", "$0.42", `href="https://203.0.113.20:40188"`, "ssh -p 40022 root@203.0.113.20",
		"$0.81", "of $1.50", "54 %", "$19.44", "Given up.", "Intact", "12 records verified", "192.0.2.7", `class="committed" d="M`)
	if strings.Contains(answer.text, "other-bbbbb") {
		t.Error("an instance of another pool is shown")
	}
}

func TestAPoolThatIsNotThereIsSaid(t *testing.T) {
	s := serve(t, nil)
	s.signIn()
	s.wants(s.get(page.Path), http.StatusOK, "There is no pool to show", "kubectl apply")
	s.wants(s.get(page.Path+"/do/prewarm"), http.StatusConflict, "There is no WarmPool sdxl")
}

// forbidden refuses to list what a narrow role does not allow.
type forbidden struct {
	page.Cluster
	err error
}

func (f *forbidden) List(ctx context.Context, list client.ObjectList, options ...client.ListOption) error {
	if _, is := list.(*corev1.EventList); is {
		return f.err
	}
	return f.Cluster.List(ctx, list, options...)
}

func TestWhatCannotBeReadIsSaidAndTheRestIsShown(t *testing.T) {
	s := serve(t, func(c page.Cluster) page.Cluster { return &forbidden{c, errors.New("dial tcp 10.0.0.1:443: refused")} })
	s.create(poolOf(1, "0.41"))
	s.create(instanceOf("sdxl-aaaaa", "0.41"))
	s.signIn()
	answer := s.get(page.Path)
	s.wants(answer, http.StatusOK, "The events cannot be read", "sdxl-aaaaa")
	if strings.Contains(answer.text, "10.0.0.1") {
		t.Error("an address inside the cluster is on the page")
	}
}

func TestEveryAnswerHasTheHeaders(t *testing.T) {
	s := serve(t, nil)
	s.signIn()
	const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
	inline := regexp.MustCompile(`(?i)<script>|<style|\sstyle=|\son[a-z]+=|javascript:`)
	outside := regexp.MustCompile(`(?i)(src|href|action)="(https?:)?//`)
	for _, path := range []string{"", "/live", "/login", "/do/prewarm", "/do/nothing", "/nowhere", "/static/page.css", "/static/page.js", "/static/icon.svg", "/static/none"} {
		answer := s.get(page.Path + path)
		if got := answer.Header.Get("Content-Security-Policy"); got != policy {
			t.Errorf("%s: policy %q", path, got)
		}
		wanted := map[string]string{"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "same-origin", "Cache-Control": "no-store"}
		if strings.HasPrefix(path, "/static/") {
			delete(wanted, "Cache-Control")
		} else if found := inline.FindString(answer.text); found != "" {
			t.Errorf("%s: inline %q", path, found)
		}
		for name, value := range wanted {
			if got := answer.Header.Get(name); got != value {
				t.Errorf("%s: %s is %q, want %q", path, name, got, value)
			}
		}
		if found := outside.FindString(answer.text); found != "" && !strings.Contains(path, "icon") {
			t.Errorf("%s: a resource from outside: %q", path, found)
		}
	}
}

func TestStaticFilesAreKeptUntilTheyChange(t *testing.T) {
	s := serve(t, nil)
	first := s.get(page.Path + "/static/page.css")
	s.wants(first, http.StatusOK, ":root")
	request, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, s.server.URL+page.Path+"/static/page.css", nil)
	request.Header.Set("If-None-Match", first.Header.Get("ETag"))
	answer, err := s.browser.Do(request)
	if again := s.read(answer, err); again.StatusCode != http.StatusNotModified || again.text != "" {
		t.Errorf("asked again: %s with %d bytes", again.Status, len(again.text))
	}
	if kind := s.get(page.Path + "/static/page.js").Header.Get("Content-Type"); kind != "text/javascript; charset=utf-8" {
		t.Errorf("the script is %q", kind)
	}
}

func TestTheOldAddressLeadsToThePage(t *testing.T) {
	s := serve(t, nil)
	s.signIn()
	for _, path := range []string{page.LegacyPath, page.Path + "/"} {
		if answer := s.get(path); answer.Request.URL.Path != page.Path {
			t.Errorf("%s leads to %s", path, answer.Request.URL.Path)
		}
	}
}

func TestNewNamesWhatIsMissing(t *testing.T) {
	if _, err := page.New(page.Options{}); err == nil || !strings.Contains(err.Error(), "is missing") {
		t.Errorf("a page of nothing: %v", err)
	}
}

// hostile shows every text of every object as markup that runs a script.
type hostile struct{ page.Cluster }

// canary would set a global, were any of it taken for markup.
func canary(path string) string {
	return `"'></textarea></script><script>window.canary=1</script><img src=x onerror="window.canary=1">` + path
}

func (h *hostile) Get(_ context.Context, key types.NamespacedName, object client.Object, _ ...client.GetOption) error {
	testkit.FillStrings(object, canary)
	object.SetDeletionTimestamp(nil)
	if pool, is := object.(*v1alpha1.WarmPool); is {
		pool.Name = key.Name
		allBad(pool.Status.Conditions, "WithinCeiling", metav1.ConditionFalse)
	}
	return nil
}

func (h *hostile) List(_ context.Context, list client.ObjectList, _ ...client.ListOption) error {
	testkit.FillStrings(list, canary)
	switch of := list.(type) {
	case *v1alpha1.WarmInstanceList:
		of.Items[0].Spec.PoolRef.Name, of.Items[0].DeletionTimestamp = "sdxl", nil
		of.Items[0].Status.Endpoints = append(of.Items[0].Status.Endpoints, v1alpha1.InstanceEndpoint{Name: "comfyui", URL: "javascript:window.canary=1"})
		of.Items[0].Status.SSH = v1alpha1.InstanceSSH{Host: "-oProxyCommand=touch${IFS}x", Port: 22}
	case *v1alpha1.WarmClaimList:
		of.Items[0].Spec.PoolRef.Name, of.Items[0].DeletionTimestamp = "sdxl", nil
		of.Items[0].Status.FinishedTime = nil
	case *corev1.EventList:
		of.Items[0].InvolvedObject.Kind, of.Items[0].InvolvedObject.Name = "WarmPool", "sdxl"
		of.Continue = ""
	}
	return nil
}

func allBad(conditions []metav1.Condition, kind string, status metav1.ConditionStatus) {
	for i := range conditions {
		conditions[i].Type, conditions[i].Status = kind, status
	}
}

func TestHostileTextsAreEscapedEverywhere(t *testing.T) {
	s := serve(t, func(c page.Cluster) page.Cluster { return &hostile{c} })
	record := audit.Record{}
	testkit.FillStrings(&record, canary)
	record.Details = audit.Details{canary("key"): audit.Text(canary("value"))}
	s.journal.records = []audit.Record{record}
	s.journal.state = page.Verification{Time: s.clock.Now(), Message: canary("Verification.Message")}
	s.signIn()
	answer := s.get(page.Path)
	s.wants(answer, http.StatusOK)
	for _, path := range []string{
		"Status.Rental.GPUName", "Status.Rental.Geolocation", "Status.Failure.LogTail", "Status.Provider.Message", "Status.Attempts[0].Message",
		"Status.Failures.Recent[0].LogTail", "Status.Conditions[0].Message", "Items[0].Message", "Spec.Holder", "Spec.Cost.Budgets[0].Name",
		"Verification.Message", "Route", "Peer", "Action", "value",
	} {
		if !strings.Contains(answer.text, path) {
			t.Errorf("the field %s is not shown, so that its escaping is not tested", path)
		}
	}
	for _, bad := range []string{"<script>window", "<img src=x", `href="javascript:`, "ProxyCommand=touch${IFS}x"} {
		if strings.Contains(answer.text, bad) {
			t.Errorf("the page holds %q", bad)
		}
	}
	for _, act := range []string{"terminate", "release"} {
		ask := s.get(page.Path + "/do/" + act + "?name=" + url.QueryEscape(canary("Items[0].ObjectMeta.Name")))
		s.wants(ask, http.StatusOK, "Items[0].ObjectMeta.Name")
		if strings.Contains(ask.text, "<script>") || strings.Contains(ask.text, "<img") {
			t.Errorf("the confirmation of %s holds markup:\n%s", act, ask.text)
		}
	}
}

func TestACommandToPasteIsACommandToPaste(t *testing.T) {
	for host, wanted := range map[string]bool{
		"203.0.113.20": true, "ssh4.vast.ai": true, "2001:db8::7": true,
		"-oProxyCommand=x": false, "a;reboot": false, "a b": false, "$(x)": false, "": false, "a\nb": false,
	} {
		t.Run(host, func(t *testing.T) {
			s := serve(t, nil)
			s.create(poolOf(1, "0.41"))
			i := instanceOf("sdxl-aaaaa", "0.41")
			i.Status.SSH.Host = host
			s.create(i)
			s.signIn()
			if shown := strings.Contains(s.get(page.Path).text, "ssh -p 40022"); shown != wanted {
				t.Errorf("host %q: shown %t, want %t", host, shown, wanted)
			}
		})
	}
}

func TestSamplesMakeAPlotWithoutInventingAny(t *testing.T) {
	s := serve(t, nil)
	s.create(poolOf(1, "0.41"))
	s.signIn()
	s.wants(s.get(page.Path), http.StatusOK, "The plot begins when there are two samples")
	begin := s.clock.Now().Add(-30 * time.Hour)
	for m := range 30 * 60 {
		if m > 1500 && m < 1600 {
			continue
		}
		s.series.Add(page.Sample{Time: begin.Add(time.Duration(m) * time.Minute), Committed: 410_000, Ceiling: 1_500_000})
	}
	if kept := len(s.series.Samples()); kept != 24*60 {
		t.Errorf("%d samples are kept, want a day", kept)
	}
	s.series.Add(page.Sample{Time: begin, Committed: 9_000_000})
	s.later(5 * time.Second)
	answer := s.get(page.Path)
	s.wants(answer, http.StatusOK, "the last 24 hours: at most $0.41 an hour", "<li>$2.00</li>")
	path := regexp.MustCompile(`class="committed" d="(M[^"]*)"`).FindStringSubmatch(answer.text)
	if path == nil || strings.Count(path[1], "M") != 2 {
		t.Errorf("the line has no gap where nothing was sampled: %.200s", path)
	}
	if len(answer.text) > 100_000 {
		t.Errorf("the page has %d bytes", len(answer.text))
	}
}

func TestTheSamplerReadsThePool(t *testing.T) {
	s := serve(t, nil)
	s.create(poolOf(1, "0.41"))
	ctx, cancel := context.WithCancel(t.Context())
	sampler := &page.Sampler{
		Reader: plane.Client, Pool: types.NamespacedName{Namespace: s.namespace, Name: "sdxl"},
		Series: s.series, Clock: s.clock, Log: logr.Discard(),
	}
	done := make(chan error)
	go func() { done <- sampler.Start(ctx) }()
	wait := func(n int) {
		t.Helper()
		for deadline := time.Now().Add(10 * time.Second); len(s.series.Samples()) < n; time.Sleep(5 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%d samples", len(s.series.Samples()))
			}
		}
	}
	wait(1)
	for deadline := time.Now().Add(10 * time.Second); !s.clock.HasWaiters(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the sampler does not wait")
		}
	}
	s.clock.Step(page.SamplePeriod)
	wait(2)
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	want := page.Sample{Time: s.series.Samples()[0].Time, Committed: 410_000, Ceiling: 1_500_000}
	if got := s.series.Samples()[0]; got != want {
		t.Errorf("sampled %+v, want %+v", got, want)
	}
}

func TestTheKeyIsNowhereInAnAnswer(t *testing.T) {
	s := serve(t, nil)
	s.create(poolOf(1, "0.41"))
	answer := s.post(page.Path+"/login", url.Values{"key": {adminKey}})
	all := bytes.NewBufferString(answer.text)
	_ = answer.Header.Write(all)
	all.WriteString(s.get(page.Path + "/live").text)
	for _, cookie := range s.browser.Jar.Cookies(must(url.Parse(s.server.URL))) {
		all.WriteString(cookie.Value)
	}
	if strings.Contains(all.String(), adminKey) {
		t.Error("the key is in what the browser gets")
	}
	if !slices.Contains(s.journal.said(), "auth_attempt success") {
		t.Error("the sign-in is not audited")
	}
}

func must(address *url.URL, err error) *url.URL {
	if err != nil {
		panic(err)
	}
	return address
}
