package legacyapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/warmpool-dev/warmpool/internal/audit"
)

const (
	// readPatience and writePatience bound a request and its answer, but for
	// those to ComfyUI, which may stream for hours.
	readPatience  = 15 * time.Second
	writePatience = 90 * time.Second
	// actPatience bounds what a request does; a caller that has gone away does
	// not stop it half way.
	actPatience = 60 * time.Second
	// maxURL bounds an address.
	maxURL = 8 << 10
)

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	started := s.options.Clock.Now()
	seen := &observed{ResponseWriter: w}
	label := "none"
	defer func() {
		if failure := recover(); failure != nil {
			s.recovered(seen, label, failure)
		}
		took := s.options.Clock.Since(started)
		s.metrics.answered(label, methodLabel(r.Method), seen.status(), took)
		s.log.V(1).Info("Answered", "route", label, "method", methodLabel(r.Method), "status", seen.status(), "peer", peerOf(r).String(), "took", took.String())
	}()
	setHeaders(seen.Header(), r.TLS != nil)
	if turnedAway := s.admit(seen, r); turnedAway != nil {
		s.send(seen, *turnedAway)
		return
	}
	if s.page.has(r.URL.Path) {
		label = routePage
		s.hurry(seen)
		s.page.handler.ServeHTTP(seen, r)
		return
	}
	if s.origins.answer(seen, r) {
		return
	}
	s.hurry(seen)
	c := &call{request: r, fields: fields{}, peer: peerOf(r).String()}
	if isComfy(r.URL.Path) {
		label = routeComfy
		s.proxy.serve(seen, r, c)
		return
	}
	found, allowed := s.table.find(r.Method, r.URL.Path)
	if found == nil {
		s.send(seen, notFound(r, seen.Header(), allowed))
		return
	}
	label = found.path
	s.send(seen, s.carryOut(r, found, c))
}

// has is true for a path of the mounted handler.
func (m *mounted) has(path string) bool {
	return slices.ContainsFunc(m.paths, func(own string) bool { return path == own || strings.HasPrefix(path, own+"/") })
}

// admit turns away what nobody sends in good faith.
func (s *Server) admit(w http.ResponseWriter, r *http.Request) *answer {
	turnedAway := answer{}
	switch {
	case len(r.RequestURI) > maxURL:
		turnedAway = refuse(http.StatusRequestURITooLong, "the address is longer than %d bytes", maxURL)
	case !s.limits.mayAsk(peerOf(r)):
		s.metrics.limited.Inc()
		w.Header().Set(headerRetry, "1")
		turnedAway = refuse(http.StatusTooManyRequests, "too many requests from this address: at most %d in a second", s.options.Limits.RequestsPerSecond)
	case s.origins.isForeign(r):
		turnedAway = refuse(http.StatusForbidden, "forbidden - a page of another origin may not change anything here: name its origin with --cors-origins")
	default:
		return nil
	}
	return &turnedAway
}

// carryOut does what a route is for: who may, decode, record, handle, record.
func (s *Server) carryOut(r *http.Request, found *route, c *call) answer {
	if turnedAway := s.authorize(r.Context(), r, found, c); turnedAway != nil {
		return *turnedAway
	}
	if r.Method == http.MethodPost {
		given, err := readBody(r)
		switch {
		case errors.Is(err, errTooLarge):
			return refuse(http.StatusRequestEntityTooLarge, "%s", err)
		case err != nil:
			return refuse(http.StatusBadRequest, "%s", err)
		}
		c.fields = given
	}
	if found.action == "" {
		return found.handle(s, r.Context(), c)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), actPatience)
	defer cancel()
	if r.Method == http.MethodPost {
		intent := &audit.Entry{Action: "auth_attempt", Outcome: audit.OutcomeSuccess, Details: audit.Details{"for": audit.Text(found.action)}}
		if err := s.record(ctx, found, c, intent); err != nil {
			return refuse(http.StatusServiceUnavailable, "the audit log cannot be written, so nothing was done; the sidecar's log says why")
		}
	}
	result := found.handle(s, ctx, c)
	if err := s.record(ctx, found, c, &audit.Entry{Action: found.action, Outcome: result.result(), Details: result.details}); err != nil {
		return refuse(http.StatusInternalServerError, "the request was carried out, but the audit log could not be written; look at the state before you repeat it")
	}
	if r.Method == http.MethodPost {
		s.log.Info("Carried out a request", "action", found.action, "outcome", string(result.result()), "status", result.status, "peer", c.peer)
	}
	return result
}

// record writes an audit record about a call and returns when it is durable.
func (s *Server) record(ctx context.Context, found *route, c *call, entry *audit.Entry) error {
	entry.Actor, entry.Peer, entry.Route = c.actor, c.peer, found.path
	if _, err := s.options.Audit.Append(ctx, entry); err != nil {
		s.metrics.unwritten.Inc()
		s.log.Error(err, "Recording a request failed", "action", entry.Action, "outcome", string(entry.Outcome))
		return fmt.Errorf("recording %s: %w", entry.Action, err)
	}
	return nil
}

// notFound answers a path or a method that there is not.
func notFound(r *http.Request, header http.Header, allowed []string) answer {
	if instead := goneFor(r.URL.Path); instead != "" {
		return refuse(http.StatusGone, "%s %s is gone. %s", methodLabel(r.Method), clipped(r.URL.Path), instead)
	}
	if len(allowed) > 0 {
		header.Set("Allow", strings.Join(allowed, ", "))
		return refuse(http.StatusMethodNotAllowed, "Cannot %s %s: use %s", methodLabel(r.Method), clipped(r.URL.Path), strings.Join(allowed, " or "))
	}
	return refuse(http.StatusNotFound, "Cannot %s %s", methodLabel(r.Method), clipped(r.URL.Path))
}

// hurry bounds how long a request may take to arrive and its answer to leave.
func (s *Server) hurry(w http.ResponseWriter) {
	now := s.options.Clock.Now()
	s.setDeadlines(w, now.Add(readPatience), now.Add(writePatience))
}

// takeTime lifts the bounds for a request that may stream for hours.
func (s *Server) takeTime(w http.ResponseWriter) {
	s.setDeadlines(w, time.Time{}, time.Time{})
}

// setDeadlines sets those of a connection; recorders in tests have none.
func (s *Server) setDeadlines(w http.ResponseWriter, read, write time.Time) {
	control := http.NewResponseController(w)
	if err := errors.Join(control.SetReadDeadline(read), control.SetWriteDeadline(write)); err != nil {
		s.log.V(1).Info("This connection has no deadlines", "error", err.Error())
	}
}

// send writes an answer; a caller that has gone away is no news.
func (s *Server) send(w http.ResponseWriter, a answer) {
	if err := a.write(w); err != nil {
		s.log.V(1).Info("Sending an answer failed", "error", err.Error())
	}
}

// recovered answers a bug without its words, and logs it with its stack. An
// answer that was cut short on purpose stays so.
func (s *Server) recovered(w *observed, label string, failure any) {
	if err, is := failure.(error); is && errors.Is(err, http.ErrAbortHandler) {
		panic(http.ErrAbortHandler)
	}
	s.log.Error(errPanic, "A handler panicked", "route", label, "stack", string(debug.Stack()))
	if w.code == 0 {
		s.send(w, refuse(http.StatusInternalServerError, "this is a fault of the sidecar; its log says where"))
	}
}

// errPanic stands for a panic, whose value may quote a request.
var errPanic = errors.New("panic")

// setHeaders sets what every answer has.
func setHeaders(header http.Header, secure bool) {
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("X-Frame-Options", "DENY")
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("Cache-Control", "no-store")
	header.Set("Content-Security-Policy", "sandbox; default-src 'none'; frame-ancestors 'none'")
	if secure {
		header.Set("Strict-Transport-Security", "max-age=31536000")
	}
}

// methodLabel is a method for a metric or a text: unknown ones are one.
func methodLabel(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return method
	default:
		return "OTHER"
	}
}

// observed remembers the status of an answer.
type observed struct {
	http.ResponseWriter

	code int
}

// WriteHeader implements http.ResponseWriter.
func (o *observed) WriteHeader(code int) {
	// 1xx may be followed by another one, but for 101.
	if o.code == 0 && (code >= http.StatusOK || code == http.StatusSwitchingProtocols) {
		o.code = code
	}
	o.ResponseWriter.WriteHeader(code)
}

// Write implements http.ResponseWriter.
func (o *observed) Write(text []byte) (int, error) {
	if o.code == 0 {
		o.code = http.StatusOK
	}
	return o.ResponseWriter.Write(text) //nolint:wrapcheck // a writer passes errors on as they are
}

// Unwrap lets http.ResponseController find the connection.
func (o *observed) Unwrap() http.ResponseWriter { return o.ResponseWriter }

// status is what was answered, 200 when nothing was said.
func (o *observed) status() int {
	if o.code == 0 {
		return http.StatusOK
	}
	return o.code
}
