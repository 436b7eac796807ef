package legacy

import (
	"context"
	"crypto/rand"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/audit"
	"github.com/warmpool-dev/warmpool/internal/legacyapi/page"
)

// TestPageOfTheSidecar signs in, reads and resizes through the server that the
// page is mounted in, with exactly the sidecar's role.
func TestPageOfTheSidecar(t *testing.T) {
	w := newWorld(t)
	w.rentedInstance("sdxl-1", 78)
	pool := types.NamespacedName{Namespace: w.namespace, Name: "sdxl"}
	unverified := func(context.Context) (audit.Report, error) { return audit.Report{}, audit.ErrNoLog }
	shown, err := page.New(page.Options{
		Cluster: w.sidecar, Pool: pool, Keys: w.server, Audit: w.records,
		Records: page.NewAuditWatch(w.records, unverified, clock.RealClock{}, logr.Discard()),
		Series:  &page.Series{}, Clock: clock.RealClock{}, Random: rand.Reader, Log: logr.Discard(),
	})
	if err != nil {
		t.Fatal(err)
	}
	w.server.ServePage(shown, page.Path, page.LegacyPath)
	site := httptest.NewServer(w.server)
	defer site.Close()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	visitor := &visitor{t, &http.Client{Jar: jar}, site.URL}

	if text := visitor.get(page.LegacyPath); !strings.Contains(text, `name="key"`) {
		t.Fatalf("the page of old does not lead to the sign-in: %s", text)
	}
	if text := visitor.post(page.Path+"/login", url.Values{"key": {"not the key at all"}}); !strings.Contains(text, "Not signed in") {
		t.Errorf("a wrong key: %s", text)
	}
	text := visitor.post(page.Path+"/login", url.Values{"key": {key}})
	if !strings.Contains(text, "sdxl-1") || strings.Contains(text, "cannot be read") {
		t.Fatalf("with the key the page shows: %s", text)
	}
	form := url.Values{}
	for _, field := range regexp.MustCompile(`<input type="hidden" name="([^"]+)" value="([^"]*)"`).FindAllStringSubmatch(visitor.get(page.Path+"/do/resize?replicas=3"), -1) {
		form.Set(field[1], field[2])
	}
	form.Set("replicas", "3")
	visitor.post(page.Path+"/do/resize", form)
	resized := &warmpool.WarmPool{}
	if err := w.admin.Get(t.Context(), pool, resized); err != nil || resized.Spec.Replicas == nil || *resized.Spec.Replicas != 3 {
		t.Errorf("after the resize the spec is %+v, %v", resized.Spec.Replicas, err)
	}
}

// visitor is a browser without a script.
type visitor struct {
	t      *testing.T
	client *http.Client
	site   string
}

func (v *visitor) get(path string) string {
	v.t.Helper()
	return v.send(http.MethodGet, path, "")
}

func (v *visitor) post(path string, form url.Values) string {
	v.t.Helper()
	return v.send(http.MethodPost, path, form.Encode())
}

func (v *visitor) send(method, path, body string) string {
	v.t.Helper()
	request, err := http.NewRequestWithContext(v.t.Context(), method, v.site+path, strings.NewReader(body))
	if err != nil {
		v.t.Fatal(err)
	}
	if body != "" {
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	response, err := v.client.Do(request)
	if err != nil {
		v.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		v.t.Fatal(err)
	}
	if policy := response.Header.Get("Content-Security-Policy"); !strings.Contains(policy, "script-src 'self'") {
		v.t.Errorf("%s %s has the policy %q", method, path, policy)
	}
	return string(text)
}
