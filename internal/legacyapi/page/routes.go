package page

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/warmpool-dev/warmpool/internal/audit"
)

// maxForm bounds the body of a request: every form here is small.
const maxForm = 16 << 10

// policy is the content security policy: own files only, and nothing inline.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// ServeHTTP answers everything under Path, and LegacyPath.
func (p *Page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header.Set("Content-Security-Policy", policy)
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("X-Frame-Options", "DENY")
	// Not no-referrer: a form that is posted without TLS would then have the origin
	// "null", and could not be told from a foreign one.
	header.Set("Referrer-Policy", "same-origin")
	header.Set("Cross-Origin-Opener-Policy", "same-origin")
	header.Set("Cross-Origin-Resource-Policy", "same-origin")
	header.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	p.cross.Handler(p.routes).ServeHTTP(w, r)
}

func (p *Page) newRoutes() *http.ServeMux {
	routes := http.NewServeMux()
	routes.HandleFunc("GET "+Path, p.withSession(p.showPool))
	routes.HandleFunc("GET "+Path+"/live", p.withSession(p.showLive))
	routes.HandleFunc("GET "+Path+"/do/{act}", p.withSession(p.askAct))
	routes.HandleFunc("POST "+Path+"/do/{act}", p.withSession(p.withToken(p.act)))
	routes.HandleFunc("GET "+Path+"/login", p.showLogin)
	routes.HandleFunc("POST "+Path+"/login", p.signIn)
	routes.HandleFunc("POST "+Path+"/logout", p.withSession(p.withToken(p.signOut)))
	routes.Handle("GET "+Path+"/static/", http.StripPrefix(Path+"/static/", p.render.static))
	routes.HandleFunc("GET "+Path+"/{$}", leadToPage)
	routes.HandleFunc("GET "+LegacyPath, leadToPage)
	routes.HandleFunc("GET /", p.notFound)
	return routes
}

func leadToPage(w http.ResponseWriter, r *http.Request) {
	http.Redirect(w, r, Path, http.StatusSeeOther)
}

// sessionHandler is a handler for those who signed in.
type sessionHandler func(w http.ResponseWriter, r *http.Request, who *session)

// withSession lets nobody through without a session whose key is still the key.
// Who looks is led to the login; who acts or asks for live data is told.
func (p *Page) withSession(next sessionHandler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		token := tokenOf(r)
		if who := p.sessions.find(token); who != nil {
			if _, ok := p.options.Keys.Check(r.Context(), who.key); ok {
				next(w, r, who)
				return
			}
			p.sessions.end(token)
		}
		if r.Method == http.MethodGet && r.URL.Path == Path {
			http.Redirect(w, r, Path+"/login", http.StatusSeeOther)
			return
		}
		p.showMessage(w, http.StatusUnauthorized, "You are not signed in",
			"The session has ended, or the admin key has changed. Nothing was done. Sign in and try again.")
	}
}

// withToken lets only forms through that carry the session's token.
func (p *Page) withToken(next sessionHandler) sessionHandler {
	return func(w http.ResponseWriter, r *http.Request, who *session) {
		if err := r.ParseForm(); err != nil {
			p.showMessage(w, http.StatusBadRequest, "The form cannot be read", "Nothing was done. Go back, reload the page and try again.")
			return
		}
		if !who.accepts(r.PostForm.Get("csrf")) {
			p.showMessage(w, http.StatusForbidden, "The form is not from this session",
				"Nothing was done. Go back to the page, reload it and try again.")
			return
		}
		next(w, r, who)
	}
}

// refuseForeign answers a form that another site has sent.
func (p *Page) refuseForeign(w http.ResponseWriter, _ *http.Request) {
	p.showMessage(w, http.StatusForbidden, "The form came from another site",
		"Nothing was done. If you did send it from this page, a proxy in front changes the Host header: let it pass the header on.")
}

func (p *Page) notFound(w http.ResponseWriter, _ *http.Request) {
	p.showMessage(w, http.StatusNotFound, "There is no such page", "The address may be mistyped.")
}

func (p *Page) showPool(w http.ResponseWriter, r *http.Request, who *session) {
	p.render.page(w, http.StatusOK, "pool", p.poolPage(r.Context(), who, who.take()))
}

// showLive is the same page for the script, which leaves notices alone.
func (p *Page) showLive(w http.ResponseWriter, r *http.Request, who *session) {
	p.render.page(w, http.StatusOK, "pool", p.poolPage(r.Context(), who, nil))
}

func (p *Page) poolPage(ctx context.Context, who *session, say *notice) *poolView {
	view := p.newView(p.gather.recent(ctx))
	view.CSRF, view.Notice = who.csrf, say
	view.Audit = p.auditView(ctx)
	return view
}

// loginView is the form that takes the key.
type loginView struct {
	Problem string
}

func (p *Page) showLogin(w http.ResponseWriter, _ *http.Request) {
	p.render.page(w, http.StatusOK, "login", &loginView{})
}

func (p *Page) signIn(w http.ResponseWriter, r *http.Request) {
	peer := limitedPeer(r)
	if wait := p.failures.wait(peer); wait > 0 {
		seconds := int((wait + time.Second - 1) / time.Second)
		w.Header().Set("Retry-After", strconv.Itoa(seconds))
		p.render.page(w, http.StatusTooManyRequests, "login", &loginView{
			Problem: "Too many wrong keys came from your address. Wait " + plural(seconds, "second") + " and try again.",
		})
		return
	}
	key := r.PostFormValue("key")
	actor, ok := p.options.Keys.Check(r.Context(), key)
	outcome := audit.OutcomeSuccess
	if !ok {
		p.failures.count(peer)
		outcome = audit.OutcomeFailure
	}
	// Without the log people must still be able to stop what costs money.
	_ = p.record(r, actor, "auth_attempt", outcome, nil)
	if !ok {
		p.render.page(w, http.StatusForbidden, "login", &loginView{
			Problem: "This is not the admin key. It is the value of ADMIN_API_KEY in the sidecar's Secret.",
		})
		return
	}
	p.failures.forget(peer)
	p.sessions.end(tokenOf(r))
	token, err := p.sessions.begin(actor, key)
	if err != nil {
		p.options.Log.Error(err, "Cannot begin a session")
		p.showMessage(w, http.StatusInternalServerError, "You could not be signed in", "Try again; the sidecar's log has the details.")
		return
	}
	setCookie(w, r, token)
	http.Redirect(w, r, Path, http.StatusSeeOther)
}

func (p *Page) signOut(w http.ResponseWriter, r *http.Request, _ *session) {
	p.sessions.end(tokenOf(r))
	setCookie(w, r, "")
	http.Redirect(w, r, Path+"/login", http.StatusSeeOther)
}

// messageView is a page that says one thing.
type messageView struct {
	Title, Text string
	// SignIn offers the login instead of the way back.
	SignIn bool
}

func (p *Page) showMessage(w http.ResponseWriter, status int, title, text string) {
	p.render.page(w, status, "message", &messageView{title, text, status == http.StatusUnauthorized})
}

// record appends to the audit log. It returns false, and logs why, when that
// cannot be done: the caller decides whether the act can do without.
func (p *Page) record(r *http.Request, actor, action string, outcome audit.Outcome, details audit.Details) bool {
	_, err := p.options.Audit.Append(r.Context(), &audit.Entry{
		Actor: audit.Fingerprint(actor), Peer: peerOf(r), Route: r.URL.Path,
		Action: action, Outcome: outcome, Details: details,
	})
	if err != nil {
		p.options.Log.Error(err, "Cannot write the audit record", "action", action, "outcome", string(outcome))
	}
	return err == nil
}
