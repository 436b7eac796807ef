package legacyapi

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// origins knows which pages may call the API.
type origins struct {
	allowed    []string
	protection *http.CrossOriginProtection
}

// newOrigins accepts origins such as https://studio.example.com; none by default.
func newOrigins(allowed []string) (*origins, error) {
	o := &origins{allowed: allowed, protection: http.NewCrossOriginProtection()}
	for _, origin := range allowed {
		if err := o.protection.AddTrustedOrigin(origin); err != nil {
			return nil, fmt.Errorf("accepting the origin %q: %w", origin, err)
		}
	}
	return o, nil
}

// isForeign is true for a request by which a page of another origin would change
// something: set-tokens needs no key on this host, and a browser runs on it.
func (o *origins) isForeign(r *http.Request) bool {
	return o.protection.Check(r) != nil
}

// answer tells browsers of accepted pages what they may do, and answers their
// question before a request. It returns true when that was all.
func (o *origins) answer(w http.ResponseWriter, r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if len(o.allowed) == 0 || origin == "" {
		return false
	}
	header := w.Header()
	header.Add("Vary", "Origin")
	if !slices.Contains(o.allowed, origin) {
		return false
	}
	header.Set("Access-Control-Allow-Origin", origin)
	if r.Method != http.MethodOptions || r.Header.Get("Access-Control-Request-Method") == "" {
		return false
	}
	header.Set("Access-Control-Allow-Methods", "GET, HEAD, POST")
	header.Set("Access-Control-Allow-Headers", strings.Join([]string{"Content-Type", "Authorization", headerKey, headerAPIKey}, ", "))
	header.Set("Access-Control-Max-Age", "600")
	w.WriteHeader(http.StatusNoContent)
	return true
}
