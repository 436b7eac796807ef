package legacyapi

import (
	"context"
	"net/http"
	"net/netip"
	"strings"

	"github.com/warmpool-dev/warmpool/internal/audit"
)

// The ways to send the admin key.
const (
	headerKey    = "X-Admin-Key"
	headerAPIKey = "X-Admin-Api-Key" //nolint:gosec // the name of a header
	queryKey     = "adminKey"
	queryAPIKey  = "adminApiKey"
	queryToken   = "claimToken"
)

// maxKey bounds a key that is looked at.
const maxKey = 512

// given is the key that came with a request.
type given struct {
	key   string
	inURL bool
}

// keyOf returns the key of a request. Headers come before the URL, and a wrong
// one is not rescued by a right one elsewhere, as in the legacy server; which of
// the two headers comes first depends on the route.
func keyOf(r *http.Request, apiKeyFirst bool) given {
	headers := []string{headerKey, headerAPIKey}
	if apiKeyFirst {
		headers = []string{headerAPIKey, headerKey}
	}
	for _, name := range headers {
		if values := r.Header.Values(name); len(values) > 0 {
			// Several of the same name agree with no key.
			return given{key: strings.Join(values, ",")}
		}
	}
	if bearer, found := bearerOf(r); found {
		return given{key: bearer}
	}
	query := r.URL.Query()
	for _, name := range []string{queryKey, queryAPIKey} {
		if values := query[name]; len(values) > 0 {
			return given{key: strings.Join(values, ","), inURL: true}
		}
	}
	return given{}
}

// bearerOf returns the token of "Authorization: Bearer".
func bearerOf(r *http.Request) (string, bool) {
	scheme, token, found := strings.Cut(r.Header.Get("Authorization"), " ")
	if !found || !strings.EqualFold(scheme, "bearer") {
		return "", false
	}
	return strings.TrimSpace(token), true
}

// authorize lets a request through, or returns the answer that turns it away.
func (s *Server) authorize(ctx context.Context, r *http.Request, found *route, c *call) (turnedAway *answer) {
	peer := peerOf(r)
	switch found.access {
	case public:
		return nil
	case optionalKey:
		if keyOf(r, false).key == "" {
			return nil
		}
	case localhost:
		if !peer.IsLoopback() {
			return s.deny("not_local", found.remote)
		}
		if !cameThroughProxy(r) && isLocalName(r.Host) {
			return nil
		}
		// A proxy on this host speaks for anybody, and a page can make a browser
		// on it call a name that resolves to it: both need the key.
	case adminKey, prewarmKey, localAdmin:
	}
	if turnedAway = s.checkKey(ctx, keyOf(r, found.access == prewarmKey), peer, found, c); turnedAway != nil {
		return turnedAway
	}
	if found.access == localAdmin && !peer.IsLoopback() {
		s.recordAttempt(ctx, c, found, audit.OutcomeRefused)
		return s.deny("not_local", found.remote)
	}
	return nil
}

// checkKey compares the key of a request with the Secret's.
func (s *Server) checkKey(ctx context.Context, came given, peer netip.Addr, found *route, c *call) *answer {
	if came.key == "" {
		if s.limits.mayRecord(peer) {
			s.recordAttempt(ctx, c, found, audit.OutcomeFailure)
		}
		return s.deny("missing", found.denial)
	}
	if came.inURL && !s.options.KeyInURL {
		return s.deny("in_url", "forbidden - a key in a URL ends up in logs: send it in the header x-admin-key, or start the sidecar with --allow-key-in-url")
	}
	giveBack := s.limits.tryKey(peer)
	if giveBack == nil {
		return s.locked()
	}
	values, err := s.keys.read(ctx)
	if err != nil {
		giveBack()
		s.log.Error(err, "Checking the admin key is not possible")
		unavailable := refuse(http.StatusServiceUnavailable, "the admin key cannot be checked: the Kubernetes API server does not answer. Try again")
		return &unavailable
	}
	if CheckAdminKey(values[keyAdmin]) != nil {
		return s.deny("not_configured", "forbidden - admin authentication not configured on server")
	}
	if len(came.key) <= maxKey {
		c.actor = s.options.Audit.Fingerprint(came.key)
	}
	if !sameSecret(came.key, values[keyAdmin]) {
		s.recordAttempt(ctx, c, found, audit.OutcomeFailure)
		return s.deny("wrong", found.denial)
	}
	giveBack()
	c.isAdmin = true
	return nil
}

// deny counts and answers 403.
func (s *Server) deny(reason, text string) *answer {
	s.metrics.denied.WithLabelValues(reason).Inc()
	denied := refuse(http.StatusForbidden, "%s", text)
	return &denied
}

// locked answers a peer that has sent too many wrong keys.
func (s *Server) locked() *answer {
	s.metrics.denied.WithLabelValues("locked").Inc()
	denied := refuse(http.StatusTooManyRequests, "too many wrong keys came from this address: wait a minute, then send the right one")
	return &denied
}

// recordAttempt records a request without the right key. It is answered in any
// case, so a record that cannot be written is counted and logged only.
func (s *Server) recordAttempt(ctx context.Context, c *call, found *route, outcome audit.Outcome) {
	entry := &audit.Entry{Actor: c.actor, Peer: c.peer, Route: found.path, Action: "auth_attempt", Outcome: outcome}
	if _, err := s.options.Audit.Append(ctx, entry); err != nil {
		s.metrics.unwritten.Inc()
		s.log.Error(err, "Recording an attempt failed", "route", found.path)
	}
}

// cameThroughProxy is true for a request that a proxy passed on. Such headers
// only ever take rights away.
func cameThroughProxy(r *http.Request) bool {
	for _, name := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-Ip", "Via"} {
		if r.Header.Get(name) != "" {
			return true
		}
	}
	return false
}

// isLocalName is true for the names of this host that no DNS server decides about.
func isLocalName(hostport string) bool {
	host := hostport
	if address, err := netip.ParseAddrPort(hostport); err == nil {
		return address.Addr().Unmap().IsLoopback()
	}
	if at := strings.LastIndexByte(hostport, ':'); at >= 0 && !strings.Contains(hostport[:at], ":") {
		host = hostport[:at]
	}
	if strings.EqualFold(host, "localhost") {
		return true
	}
	address, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && address.Unmap().IsLoopback()
}
