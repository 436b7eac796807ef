package legacyapi_test

import (
	"net/http"
	"net/url"
	"path"
	"strings"
	"testing"

	"github.com/warmpool-dev/warmpool/internal/legacyapi"
)

func FuzzBody(f *testing.F) {
	for _, seed := range []struct{ kind, text string }{
		{"application/json", `{"desiredSize":1,"safeMode":"false"}`},
		{"application/x-www-form-urlencoded", "desiredSize=1&safeMode=true"},
		{"application/json; charset=utf-8", `{"a":{"b":[1,2]}}`},
		{"text/plain", "x"},
		{"application/x-www-form-urlencoded", "{"},
		{"application/json", "null"},
		{"application/json", `{"min_cuda_capability":1e308,"provision_script":5,"warm_pool_disk_gb":"9","contractId":"C.1","maxMinutes":1e-9}`},
	} {
		f.Add(seed.kind, []byte(seed.text))
	}
	f.Fuzz(func(t *testing.T, kind string, text []byte) {
		found, err := legacyapi.DecodeBody(kind, text)
		if err == nil && found == nil {
			t.Error("a body that was read has no fields, not even none")
		}
		if err != nil && len(text) > 8 && strings.Contains(err.Error(), string(text)) {
			t.Error("the error repeats the body")
		}
		for _, err := range legacyapi.Settings(found) {
			if err != nil && len(err.Error()) > 500 {
				t.Errorf("the error repeats what was sent: %d bytes", len(err.Error()))
			}
		}
	})
}

func FuzzAddress(f *testing.F) {
	for _, seed := range []string{"/api/proxy/health", "/API/Proxy/Health/", "/api/proxy//x", "/a/../b", "/a/%2e%2e/b", `/a\..\b`, "localhost:3000", "[::1]:3000", "127.0.0.1", "limit=1&offset=x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if folded := legacyapi.Folded(text); folded != "" && (path.Clean(folded) != folded || strings.ToLower(folded) != folded) {
			t.Errorf("%q was folded to %q", text, folded)
		}
		if plain, err := url.PathUnescape(text); err == nil && !legacyapi.HasDots(text) && strings.Contains("/"+plain+"/", "/../") {
			t.Errorf("%q climbs", text)
		}
		if legacyapi.IsLocalName(text) && !strings.ContainsAny(text, "1lL") {
			t.Errorf("%q is taken for this host", text)
		}
		query, err := url.ParseQuery(text)
		if err != nil {
			return
		}
		if limit, offset, err := legacyapi.LogQuery(query); err == nil && (limit < 1 || limit > 100 || offset < 0) {
			t.Errorf("%q asks for %d records from %d", text, limit, offset)
		}
	})
}

// TestOddRequests sends what no table of routes foresees.
func TestOddRequests(t *testing.T) {
	w := newWorld(t, withReady)
	for _, odd := range []request{
		admin(http.MethodPost, "/api/proxy/admin/config", `{"min_cuda_capability":1e308,"provision_script":5}`),
		admin(http.MethodGet, "/api/proxy/admin/logs?limit=1&since=%00", ""),
		admin(http.MethodGet, "/api/proxy/comfy/%2e%2e/x", ""),
		admin(http.MethodGet, "/api/proxy/comfy", ""),
		admin(http.MethodTrace, "/api/proxy/comfy/x", ""),
		admin(http.MethodPost, "/api/proxy/admin/terminate", `{"instanceId":-1}`),
		admin(http.MethodPost, "/api/proxy/admin/terminate", `{"instanceId":""}`),
		admin(http.MethodPost, "/api/proxy/warm-pool/claim", `{"maxMinutes":1e-9,"maxSessionMinutes":"5"}`),
	} {
		if code, text := w.ask(odd); code >= http.StatusInternalServerError && code != http.StatusBadGateway {
			t.Errorf("%s %s %s: %d %s", odd.method, odd.path, odd.body, code, text)
		}
	}
}
