package comfysim

import (
	"crypto/subtle"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// authConfig is what Caddy was told about credentials. Both passwords are always set.
type authConfig struct {
	enabled  bool
	excluded []int
	username string
	password string
	token    string
	cookie   string
}

func newAuthConfig(env map[string]string, rng *rand.Rand) authConfig {
	clean := strings.NewReplacer("\r", "", "\n", "", ";", "").Replace
	auth := authConfig{
		enabled:  !strings.EqualFold(env["ENABLE_AUTH"], "false"),
		username: env["WEB_USERNAME"],
		password: clean(env["WEB_PASSWORD"]),
		token:    clean(env["OPEN_BUTTON_TOKEN"]),
		cookie:   env["VAST_CONTAINERLABEL"] + "_auth_token",
	}
	if auth.username == "" {
		auth.username = "vastai"
	}
	if auth.password == "" {
		auth.password = auth.token
	}
	if auth.password == "" {
		auth.password = strconv.FormatUint(rng.Uint64(), 36) + strconv.FormatUint(rng.Uint64(), 36)
	}
	if auth.token == "" {
		auth.token = auth.password
	}
	for field := range strings.SplitSeq(env["AUTH_EXCLUDE"], ",") {
		if n, err := strconv.Atoi(strings.TrimSpace(field)); err == nil {
			auth.excluded = append(auth.excluded, n)
		}
	}
	return auth
}

func (a authConfig) accepts(token string) bool {
	return equal(token, a.password) || equal(token, a.token)
}

func equal(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// serve is the front: it decides who may pass before it looks whether anything is behind it.
func (p *port) serve(w http.ResponseWriter, r *http.Request) {
	if !p.inst.enter() {
		return
	}
	defer p.inst.wg.Done()
	w.Header().Set("Server", "Caddy")
	w.Header().Set("Date", p.inst.localNow().UTC().Format(http.TimeFormat))
	if c, ok := r.Context().Value(connKey{}).(*conn); ok && !c.isSecure() && p.inst.servesTLS() {
		w.Header().Set("Location", "https://"+r.Host+r.URL.RequestURI())
		w.Header().Set("Connection", "close")
		w.WriteHeader(http.StatusPermanentRedirect)
		return
	}
	if r.URL.Path == "/portal-resolver" {
		w.Header().Set("Access-Control-Allow-Origin", "*")
		w.Header().Set("Access-Control-Allow-Methods", "GET, OPTIONS")
		w.Header().Set("Access-Control-Allow-Headers", "*")
		w.WriteHeader(http.StatusOK)
		return
	}
	if !p.authorize(w, r) {
		return
	}
	w.Header().Set("Via", "1.1 Caddy")
	if how, ok := p.wrongService(); ok {
		serveWrongService(w, how)
		return
	}
	p.backend(w, r)
}

// enter counts a handler in, so that Stop can wait for it; false means that the instance is gone.
func (i *Instance) enter() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.stopped {
		return false
	}
	i.wg.Add(1)
	return true
}

// isOpenPath are the paths that Caddy lets through without credentials.
func isOpenPath(path string) bool {
	return strings.HasPrefix(path, "/.well-known/acme-challenge/") || slices.Contains([]string{
		"/.well-known/change-password", "/manifest.json", "/manifest.webmanifest", "/site.webmanifest",
		"/.well-known/security.txt", "/security.txt", "/portal-resolver",
	}, path)
}

// authorize answers the request itself and returns false, or prepares it for what is behind and returns true. The order is
// Caddy's: open paths, ?token=, cookie, bearer, basic.
func (p *port) authorize(w http.ResponseWriter, r *http.Request) bool {
	i := p.inst
	auth := i.auth
	if !auth.enabled || slices.Contains(auth.excluded, p.app.ExternalPort) || isOpenPath(r.URL.Path) {
		return true
	}
	i.mu.Lock()
	_, rotated := i.active[FaultTokenRotated]
	i.mu.Unlock()
	if !rotated {
		if token := r.URL.Query().Get("token"); token != "" && auth.accepts(token) {
			return p.passToken(w, r)
		}
		if p.hasCookie(r) || auth.acceptsBearer(r) {
			return true
		}
	}
	return p.authorizeBasic(w, r, rotated)
}

func (a authConfig) acceptsBearer(r *http.Request) bool {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	return ok && a.accepts(token)
}

// authorizeBasic is the last resort, and where every 401 comes from. Only a wrong password costs bcrypt's time.
func (p *port) authorizeBasic(w http.ResponseWriter, r *http.Request, rotated bool) bool {
	i := p.inst
	username, password, given := r.BasicAuth()
	if given && !rotated && equal(username, i.auth.username) && equal(password, i.auth.password) {
		p.setCookie(w, i.auth.password)
		return true
	}
	if given && !i.pause(r.Context().Done(), i.cfg.Timings.WrongPassword) {
		return false
	}
	w.Header().Set("WWW-Authenticate", `Basic realm="restricted"`)
	w.WriteHeader(http.StatusUnauthorized)
	return false
}

func (p *port) setCookie(w http.ResponseWriter, token string) {
	w.Header().Add("Set-Cookie", p.inst.auth.cookie+"="+token+"; Path=/; Max-Age=604800; HttpOnly; SameSite=lax")
}

func (p *port) hasCookie(r *http.Request) bool {
	header := r.Header.Get("Cookie")
	auth := p.inst.auth
	return strings.Contains(header, auth.cookie+"="+auth.password) || strings.Contains(header, auth.cookie+"="+auth.token)
}

// passToken sets the cookie; a browser is sent to the same address without the token, another client is let through.
func (p *port) passToken(w http.ResponseWriter, r *http.Request) bool {
	p.setCookie(w, p.inst.auth.token)
	query := r.URL.Query()
	query.Del("token")
	r.URL.RawQuery = query.Encode()
	if strings.Contains(r.Header.Get("Accept"), "text/html") || r.Header.Get("Sec-Fetch-Dest") == "document" {
		target := url.URL{Path: r.URL.Path, RawQuery: r.URL.RawQuery}
		w.Header().Set("Location", target.String())
		w.WriteHeader(http.StatusFound)
		return false
	}
	return true
}

func (p *port) wrongService() (string, bool) {
	i := p.inst
	i.mu.Lock()
	defer i.mu.Unlock()
	wrong, ok := i.active[FaultWrongService]
	return wrong.text("how"), ok && wrong.matches(p.app.ExternalPort)
}

func serveWrongService(w http.ResponseWriter, how string) {
	if how == "html" {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		writeString(w, "<!DOCTYPE html><html><head><title>Home</title></head><body>Home</body></html>")
		return
	}
	writeJSON(w, http.StatusNotFound, map[string]string{"detail": "Not Found"})
}

// placeholder is the front's page while nothing behind it listens.
func (i *Instance) placeholder(w http.ResponseWriter, r *http.Request) {
	status := http.StatusBadGateway
	i.mu.Lock()
	_, tunnel := i.active[FaultTunnelPlaceholder]
	i.mu.Unlock()
	if tunnel || r.Header.Get("Cf-Ray") != "" {
		status = http.StatusOK
	}
	w.Header().Set("X-Portal-Placeholder", "true")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	writeString(w, "<!DOCTYPE html><html><head><title>Starting</title></head><body><p>This service is starting. "+
		"The page reloads when it is ready.</p></body></html>")
}

// pause waits in simulated time; false means that the waiting was cut short.
func (i *Instance) pause(cancel <-chan struct{}, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	until := i.clk.Now().Add(d)
	return i.await(cancel, func(now time.Time) (time.Duration, bool) { return until.Sub(now), !now.Before(until) })
}

// writeString sends a body; a client that is gone is no concern of the server's.
func writeString(w io.Writer, body string) {
	_, _ = io.WriteString(w, body) //nolint:errcheck // the client left
}
