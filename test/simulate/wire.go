package simulate

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"strings"
	"time"
)

var (
	errAnswerLost  = errors.New("read tcp: connection reset by peer")
	errConnection  = errors.New("dial tcp: connection refused")
	errUnreachable = errors.New("dial tcp: i/o timeout")
)

// wire carries requests of one process to the simulator, in memory. What is on
// it arrives, whatever becomes of the sender.
type wire struct{ process *process }

var _ http.RoundTripper = (*wire)(nil)

// exchange is one request on the wire.
type exchange struct {
	process *process
	loop    string
	method  string
	path    string
	body    []byte
	header  http.Header
	query   string
	sentAt  time.Time
	// response and err are what comes back.
	response *http.Response
	err      error
}

// RoundTrip implements http.RoundTripper.
func (t *wire) RoundTrip(request *http.Request) (*http.Response, error) {
	p, ctx := t.process, request.Context()
	w := p.world
	e, err := newExchange(p, request)
	if err != nil {
		return nil, err
	}
	w.checkLease(e)
	place := e.loop + " " + e.method + " " + withoutNumbers(e.path)
	dice, err := p.await(ctx, place)
	if err != nil {
		return nil, err
	}
	if w.isCut(p.slot, cutProvider) {
		return nil, errUnreachable
	}
	if dice.chance(w.plan.Rates.NotSent) && w.inject(dice.id+" refused", "provider not reached") {
		return nil, errConnection
	}
	if trace := httptrace.ContextClientTrace(ctx); trace != nil && trace.WroteRequest != nil {
		trace.WroteRequest(httptrace.WroteRequestInfo{})
	}
	if err := e.travel(request, dice); err != nil {
		w.note(p.name, e.loop, "%s %s: %v", e.method, e.path, err)
		return nil, err
	}
	if _, err := p.await(ctx, place+" answered"); err != nil {
		return nil, err
	}
	if e.err != nil {
		w.note(p.name, e.loop, "%s %s: %v", e.method, e.path, e.err)
		return nil, e.err
	}
	w.note(p.name, e.loop, "%s %s: HTTP %d", e.method, e.path, e.response.StatusCode)
	w.learn(e)
	return e.response, nil
}

// newExchange reads a request.
func newExchange(p *process, request *http.Request) (*exchange, error) {
	e := &exchange{
		process: p, loop: loopOf(request.Context()), method: request.Method,
		path: request.URL.Path, query: request.URL.RawQuery, header: request.Header.Clone(),
	}
	if request.Body == nil {
		return e, nil
	}
	body, err := io.ReadAll(request.Body)
	e.body = body
	return e, errors.Join(err, request.Body.Close())
}

// travel sends the request and waits for the answer.
func (e *exchange) travel(request *http.Request, dice *dice) error {
	p := e.process
	w := p.world
	there, back := dice.between(0, 2*grid), dice.between(0, 2*grid)
	if dice.chance(w.plan.Rates.SlowProvider) && w.inject(dice.id+" slow", "provider slow") {
		there, back = dice.between(0, 40*time.Second), dice.between(0, 10*time.Second)
	}
	lost := dice.chance(w.plan.Rates.LostAnswer) && w.inject(dice.id+" lost", "provider's answer lost")
	dropped := dice.chance(w.plan.Rates.LostRequest) && w.inject(dice.id+" dropped", "request to the provider lost")
	e.sentAt = w.now()
	done := make(chan struct{})
	w.later(w.untilSlot(dice, there), func() {
		defer close(done)
		if dropped {
			e.err = errAnswerLost
			return
		}
		e.serve()
		w.sleep(w.untilSlot(dice, back))
		if lost {
			e.err = errAnswerLost
		}
	})
	select {
	case <-done:
		return nil
	case <-request.Context().Done():
	case <-p.dead:
	}
	p.live() // a death cancels the context too
	return request.Context().Err()
}

// serve lets the simulator answer.
func (e *exchange) serve() {
	w := e.process.world
	request, err := http.NewRequestWithContext(w.ctx, e.method, "http://vast.simulation"+e.path, bytes.NewReader(e.body)) //nolint:gosec // nothing goes to a network
	if err != nil {
		e.err = err
		return
	}
	request.URL.RawQuery, request.Header, request.RemoteAddr = e.query, e.header, "192.0.2.1:1234"
	recorder := httptest.NewRecorder()
	recorder.Code = 0
	w.arrives(e)
	w.vastHandler.ServeHTTP(recorder, request)
	if recorder.Code == 0 {
		e.err = errAnswerLost // a connection that was closed without an answer
		return
	}
	e.response = recorder.Result()
	w.answered(e)
}

// withoutNumbers makes one place of all calls of a kind: three digits or more
// are a number.
func withoutNumbers(path string) string {
	const shortest = 3
	var text strings.Builder
	for path != "" {
		digits := len(path) - len(strings.TrimLeft(path, "0123456789"))
		if digits >= shortest {
			text.WriteByte('N')
		} else {
			digits = max(digits, 1)
			text.WriteString(path[:digits])
		}
		path = path[digits:]
	}
	return text.String()
}
