package page_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/warmpool-dev/warmpool/internal/legacyapi/page"
)

func TestWithoutASessionNothingIsShownOrDone(t *testing.T) {
	s := serve(t, nil)
	s.create(poolOf(0, "0.00"))
	if answer := s.get(page.Path); answer.Request.URL.Path != page.Path+"/login" {
		t.Errorf("the page leads to %s, want the login", answer.Request.URL.Path)
	}
	for _, path := range []string{"/live", "/do/prewarm"} {
		answer := s.get(page.Path + path)
		s.wants(answer, http.StatusUnauthorized, "not signed in")
		if strings.Contains(answer.text, "sdxl") {
			t.Errorf("%s shows the pool to nobody", path)
		}
	}
	s.wants(s.post(page.Path+"/do/prewarm", url.Values{"seen": {"x"}}), http.StatusUnauthorized, "Nothing was done")
	s.wants(s.post(page.Path+"/logout", nil), http.StatusUnauthorized)
	if got := *s.pool().Spec.Replicas; got != 0 {
		t.Errorf("the size is %d", got)
	}
	if said := s.journal.said(); len(said) != 0 {
		t.Errorf("audited: %v", said)
	}
}

func TestAWrongKeyIsRefusedAndAudited(t *testing.T) {
	s := serve(t, nil)
	s.wants(s.post(page.Path+"/login", url.Values{"key": {"wrong"}}), http.StatusForbidden, "not the admin key", `role="alert"`)
	s.wants(s.post(page.Path+"/login", nil), http.StatusForbidden)
	if said := s.journal.said(); !slices.Equal(said, []string{"auth_attempt failure", "auth_attempt failure"}) {
		t.Errorf("audited: %v", said)
	}
	s.wants(s.get(page.Path+"/live"), http.StatusUnauthorized)
}

func TestTheKeyInTheAddressOpensNothing(t *testing.T) {
	s := serve(t, nil)
	s.wants(s.get(page.Path+"/live?key="+adminKey+"&adminKey="+adminKey), http.StatusUnauthorized)
	s.wants(s.post(page.Path+"/login?key="+adminKey, nil), http.StatusForbidden)
}

func TestGuessingIsLimitedByPeer(t *testing.T) {
	s := serve(t, nil)
	for range 5 {
		s.wants(s.post(page.Path+"/login", url.Values{"key": {"guess"}}), http.StatusForbidden)
	}
	answer := s.post(page.Path+"/login", url.Values{"key": {adminKey}})
	s.wants(answer, http.StatusTooManyRequests, "Wait 60 seconds")
	if answer.Header.Get("Retry-After") != "60" {
		t.Errorf("Retry-After is %q", answer.Header.Get("Retry-After"))
	}
	if got := len(s.journal.said()); got != 5 {
		t.Errorf("%d records: a refused guess must not fill the disk", got)
	}
	other := httptest.NewRequestWithContext(t.Context(), http.MethodPost, page.Path+"/login", strings.NewReader("key="+adminKey))
	other.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	other.RemoteAddr = "192.0.2.8:1234"
	recorder := httptest.NewRecorder()
	s.server.Config.Handler.ServeHTTP(recorder, other)
	if recorder.Code != http.StatusSeeOther {
		t.Errorf("another peer gets %d", recorder.Code)
	}
	s.later(time.Minute)
	s.signIn()
	s.wants(s.post(page.Path+"/login", url.Values{"key": {"guess"}}), http.StatusForbidden)
}

func TestGuessingFromManyPeersIsLimitedTogether(t *testing.T) {
	s := serve(t, nil)
	codes := map[int]int{}
	for i := range 150 {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, page.Path+"/login", strings.NewReader("key=guess"))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.RemoteAddr = "[2001:db8:0:" + string(rune('a'+i%6)) + string(rune('0'+i%10)) + string(rune('0'+i/10%10)) + "::1]:99"
		recorder := httptest.NewRecorder()
		s.server.Config.Handler.ServeHTTP(recorder, r)
		codes[recorder.Code]++
	}
	if codes[http.StatusForbidden] != 100 || codes[http.StatusTooManyRequests] != 50 {
		t.Errorf("answers by status: %v, want 100 of 403 and 50 of 429", codes)
	}
}

func TestASessionEndsWithItsTime(t *testing.T) {
	s := serve(t, nil)
	s.signIn()
	s.later(8*time.Hour - time.Second)
	s.wants(s.get(page.Path+"/live"), http.StatusOK)
	s.later(time.Second)
	s.wants(s.get(page.Path+"/live"), http.StatusUnauthorized)
}

func TestASessionEndsWhenTheKeyChanges(t *testing.T) {
	s := serve(t, nil)
	s.create(poolOf(0, "0.00"))
	s.signIn()
	form := formOf(s.get(page.Path + "/do/prewarm").text)
	s.keys.change("another-key-that-is-long")
	s.wants(s.post(page.Path+"/do/prewarm", form), http.StatusUnauthorized)
	s.keys.change(adminKey)
	s.wants(s.get(page.Path+"/live"), http.StatusUnauthorized)
	if got := *s.pool().Spec.Replicas; got != 0 {
		t.Errorf("the size is %d", got)
	}
}

func TestASessionEndsWithSigningOut(t *testing.T) {
	s := serve(t, nil)
	s.signIn()
	cookies := s.browser.Jar.Cookies(must(url.Parse(s.server.URL)))
	s.post(page.Path+"/logout", formOf(s.get(page.Path).text))
	s.browser.Jar.SetCookies(must(url.Parse(s.server.URL)), cookies)
	s.wants(s.get(page.Path+"/live"), http.StatusUnauthorized)
}

func TestSessionsAreBounded(t *testing.T) {
	s := serve(t, nil)
	s.signIn()
	first := s.browser
	for range 64 {
		s.later(time.Second)
		s.browser = newBrowser(t)
		s.signIn()
	}
	s.wants(s.get(page.Path+"/live"), http.StatusOK)
	s.browser = first
	s.wants(s.get(page.Path+"/live"), http.StatusUnauthorized)
}

func TestTheCookieIsOutOfReach(t *testing.T) {
	s := serve(t, nil)
	for name, secure := range map[string]bool{"warmpool_session": false, "__Host-warmpool_session": true} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, page.Path+"/login", strings.NewReader("key="+adminKey))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if secure {
			r.Header.Set("X-Forwarded-Proto", "https")
		}
		recorder := httptest.NewRecorder()
		s.server.Config.Handler.ServeHTTP(recorder, r)
		cookies := recorder.Result().Cookies()
		if len(cookies) != 1 {
			t.Fatalf("%d cookies", len(cookies))
		}
		c := cookies[0]
		if c.Name != name || !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Secure != secure || len(c.Value) != 43 || c.Domain != "" || c.Path != "/" {
			t.Errorf("the cookie is %v", c)
		}
	}
}

func TestAFormNeedsTheTokenOfItsSession(t *testing.T) {
	s := serve(t, nil)
	s.create(poolOf(0, "0.00"))
	s.signIn()
	form := formOf(s.get(page.Path + "/do/prewarm").text)
	mine := form.Get("csrf")
	other := s.browser
	s.browser = newBrowser(t)
	s.signIn()
	theirs := formOf(s.get(page.Path + "/do/prewarm").text).Get("csrf")
	s.browser = other
	if mine == theirs || len(mine) != 43 {
		t.Fatalf("tokens %q and %q", mine, theirs)
	}
	for _, token := range []string{"", "x", theirs} {
		form.Set("csrf", token)
		s.wants(s.post(page.Path+"/do/prewarm", form), http.StatusForbidden, "Nothing was done")
		s.wants(s.post(page.Path+"/logout", form), http.StatusForbidden)
		s.wants(s.post(page.Path+"/do/prewarm?csrf="+mine, form), http.StatusForbidden)
	}
	if got := *s.pool().Spec.Replicas; got != 0 {
		t.Errorf("the size is %d", got)
	}
}

func TestAFormOfAnotherSiteIsRefused(t *testing.T) {
	s := serve(t, nil)
	s.create(poolOf(0, "0.00"))
	s.signIn()
	form := formOf(s.get(page.Path + "/do/prewarm").text)
	for name, value := range map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"} {
		for _, path := range []string{"/do/prewarm", "/login"} {
			r, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, s.server.URL+page.Path+path, strings.NewReader(form.Encode()))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			r.Header.Set(name, value)
			answer, err := s.browser.Do(r)
			s.wants(s.read(answer, err), http.StatusForbidden, "came from another site")
		}
	}
	if got := *s.pool().Spec.Replicas; got != 0 {
		t.Errorf("the size is %d", got)
	}
}

func TestSigningInWorksWhileTheAuditLogDoesNot(t *testing.T) {
	s := serve(t, nil)
	s.journal.fail(errors.New("the disk is full"))
	s.signIn()
	s.wants(s.get(page.Path), http.StatusOK, "The audit log cannot be read")
}

func TestALargeFormIsRefused(t *testing.T) {
	s := serve(t, nil)
	s.wants(s.post(page.Path+"/login", url.Values{"key": {adminKey}, "more": {strings.Repeat("x", 20_000)}}), http.StatusForbidden)
}
