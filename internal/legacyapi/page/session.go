package page

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

const (
	// sessionLifetime is how long a session lasts, however much it is used.
	sessionLifetime = 8 * time.Hour
	// maxSessions bounds them; the oldest gives way.
	maxSessions = 64
	// tokenBytes is the length of a random token: 256 bits.
	tokenBytes = 32
)

// Names of the cookie. A browser keeps the second only when it came over TLS and
// for this host alone.
const (
	cookieName       = "warmpool_session"
	secureCookieName = "__Host-warmpool_session"
)

// session is one person who signed in. Nothing of it but its random token is in
// the browser.
type session struct {
	// actor is the fingerprint of the key for the audit log.
	actor string
	// key is the key that was given: it is checked again at every request, so that
	// the session ends when the key changes.
	key string
	// csrf is the token that every form of the session carries.
	csrf  string
	began time.Time

	mu     sync.Mutex
	notice *notice
}

// notice is what the next page says once.
type notice struct {
	// Kind is "done", "warning" or "error".
	Kind string
	Text string
}

// leave keeps a notice for the next page.
func (s *session) leave(n notice) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.notice = &n
}

// take returns the notice that was left, and forgets it.
func (s *session) take() *notice {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.notice
	s.notice = nil
	return n
}

// accepts says whether a form carries the session's token.
func (s *session) accepts(csrf string) bool {
	return subtle.ConstantTimeCompare([]byte(csrf), []byte(s.csrf)) == 1
}

// digest stands for a token in memory: finding one takes no time that depends on
// how much of a guess is right.
type digest [sha256.Size]byte

// sessions are all of them.
type sessions struct {
	random io.Reader
	now    func() time.Time

	mu   sync.Mutex
	live map[digest]*session
}

func newSessions(random io.Reader, now func() time.Time) *sessions {
	return &sessions{random: random, now: now, live: map[digest]*session{}}
}

// begin makes a session and returns its token.
func (s *sessions) begin(actor, key string) (token string, err error) {
	token, err = s.token()
	if err != nil {
		return "", err
	}
	csrf, err := s.token()
	if err != nil {
		return "", err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.makeRoom()
	s.live[sha256.Sum256([]byte(token))] = &session{actor: actor, key: key, csrf: csrf, began: s.now()}
	return token, nil
}

func (s *sessions) token() (string, error) {
	random := make([]byte, tokenBytes)
	if _, err := io.ReadFull(s.random, random); err != nil {
		return "", fmt.Errorf("making a token: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(random), nil
}

// makeRoom forgets what is over, and the oldest when there are too many.
func (s *sessions) makeRoom() {
	var oldest digest
	var began time.Time
	for id, one := range s.live {
		if s.over(one) {
			delete(s.live, id)
			continue
		}
		if began.IsZero() || one.began.Before(began) {
			oldest, began = id, one.began
		}
	}
	if len(s.live) >= maxSessions {
		delete(s.live, oldest)
	}
}

func (s *sessions) over(one *session) bool {
	old := s.now().Sub(one.began)
	return old < 0 || old >= sessionLifetime
}

// find returns the session of a token that is not over, or nil.
func (s *sessions) find(token string) *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := digest(sha256.Sum256([]byte(token)))
	one := s.live[id]
	if one == nil {
		return nil
	}
	if s.over(one) {
		delete(s.live, id)
		return nil
	}
	return one
}

// end forgets a session.
func (s *sessions) end(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.live, sha256.Sum256([]byte(token)))
}

// isSecure says whether the browser came over TLS. A proxy in front says so in a
// header; who forges it only keeps the cookie from himself.
func isSecure(r *http.Request) bool {
	return r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https"
}

func nameOfCookie(r *http.Request) string {
	if isSecure(r) {
		return secureCookieName
	}
	return cookieName
}

// tokenOf returns the token that a request carries, empty for none.
func tokenOf(r *http.Request) string {
	cookie, err := r.Cookie(nameOfCookie(r))
	if err != nil {
		return ""
	}
	return cookie.Value
}

// setCookie gives the browser a token; an empty one takes it away.
func setCookie(w http.ResponseWriter, r *http.Request, token string) {
	cookie := &http.Cookie{ //nolint:gosec // Secure follows the connection: a cookie over plain HTTP would not come back with it
		Name: nameOfCookie(r), Value: token, Path: "/", HttpOnly: true,
		Secure: isSecure(r), SameSite: http.SameSiteStrictMode,
		MaxAge: int(sessionLifetime.Seconds()),
	}
	if token == "" {
		cookie.MaxAge = -1
	}
	http.SetCookie(w, cookie)
}
