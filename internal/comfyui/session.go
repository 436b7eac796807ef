package comfyui

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// maxJSONBytes bounds every JSON body.
	maxJSONBytes = 4 << 20
	// maxImageBytes bounds a picture.
	maxImageBytes = 16 << 20
	// maxHeaderBytes bounds the header of an answer.
	maxHeaderBytes = 64 << 10
)

// session is a short run of calls to one address. It keeps at most one
// connection, and none after close.
type session struct {
	timers    timers
	target    Target
	address   string
	dialLimit time.Duration
	answer    time.Duration
	transport *http.Transport

	last atomic.Pointer[recordingConn]

	mu          sync.Mutex
	fingerprint string
}

// request is one call. path is escaped and may carry a query.
type request struct {
	method, path string
	body         []byte
	limit        int64
}

// reply is one answer, whatever its status. cut is true when the body was longer
// than the limit.
type reply struct {
	status int
	header http.Header
	body   []byte
	cut    bool
}

// open starts a session; close ends it. With keep, the calls share one
// connection; without, each has its own.
func (p *Prober) open(target Target, address string, keep bool) *session {
	s := &session{
		timers: p.timers, target: target, address: address,
		dialLimit: p.options.DialTimeout, answer: p.options.CallTimeout,
	}
	tlsConfig := tlsClient(target.TLS, p.options.Clock.Now, s.setFingerprint)
	s.transport = &http.Transport{
		Proxy:       nil,
		DialContext: s.connect,
		DialTLSContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := s.connect(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			return s.handshake(ctx, conn, tlsConfig)
		},
		DisableKeepAlives:      !keep,
		DisableCompression:     true,
		MaxIdleConns:           1,
		MaxIdleConnsPerHost:    1,
		MaxResponseHeaderBytes: maxHeaderBytes,
	}
	return s
}

// close drops the connection and stops dials that nobody waits for any more.
func (s *session) close() {
	s.transport.CloseIdleConnections()
}

func (s *session) setFingerprint(fingerprint string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fingerprint = fingerprint
}

// certificate is the fingerprint that the server showed, empty over HTTP.
func (s *session) certificate() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fingerprint
}

// do makes one call. Its error is always a *callError; a reply of any status is
// not an error.
func (s *session) do(parent context.Context, r request) (reply, error) {
	ctx, cancel := context.WithCancelCause(parent)
	defer cancel(nil)
	stop := func() {}
	defer func() { stop() }()
	// Silence is counted from the moment that there is a connection, because
	// connecting has a limit of its own and means something else.
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) {
		stop()
		stop = s.timers.after(s.answer, func() { cancel(errSilent) })
	}})
	httpRequest, err := s.build(ctx, r)
	if err != nil {
		return reply{}, err
	}
	response, err := s.transport.RoundTrip(httpRequest)
	if err != nil {
		return reply{}, s.explain(ctx, err)
	}
	defer func() { _ = response.Body.Close() }() //nolint:errcheck // the body was read or given up; there is nothing to do about it
	body, err := io.ReadAll(io.LimitReader(response.Body, r.limit+1))
	if err != nil {
		return reply{}, s.explain(ctx, err)
	}
	answer := reply{status: response.StatusCode, header: response.Header, body: body}
	if int64(len(body)) > r.limit {
		answer.body, answer.cut = body[:r.limit], true
	}
	return answer, nil
}

// build makes the HTTP request. Nothing in it may look like a browser: an Origin
// or Sec-Fetch-Site header would be refused.
func (s *session) build(ctx context.Context, r request) (*http.Request, error) {
	var body io.Reader
	if r.body != nil {
		body = bytes.NewReader(r.body)
	}
	httpRequest, err := http.NewRequestWithContext(ctx, r.method, s.target.scheme()+"://"+s.address+r.path, body)
	if err != nil || httpRequest.URL.Host != s.address {
		// The cause is left out: it quotes the address and says no more.
		return nil, fail(signalNothing, "The address of the instance is not host:port, so nothing was asked.", nil)
	}
	if strings.ContainsFunc(s.target.Token, func(c rune) bool { return c < ' ' || c == 0x7f }) {
		return nil, fail(signalNothing, "The password of the instance holds control characters, which HTTP cannot carry. Make a new one.", nil)
	}
	httpRequest.Header.Set("Accept", "application/json")
	httpRequest.Header.Set("User-Agent", "warmpool")
	if r.body != nil {
		httpRequest.Header.Set("Content-Type", "application/json")
	}
	if s.target.Token != "" {
		httpRequest.Header.Set("Authorization", "Bearer "+s.target.Token)
	}
	return httpRequest, nil
}

// recordingConn remembers the first bytes that came, to tell a server that
// closes from one that speaks another protocol.
type recordingConn struct {
	net.Conn

	mu    sync.Mutex
	first []byte
}

// Read reads and remembers.
func (c *recordingConn) Read(into []byte) (int, error) {
	n, err := c.Conn.Read(into)
	c.mu.Lock()
	defer c.mu.Unlock()
	if room := 8 - len(c.first); room > 0 && n > 0 {
		c.first = append(c.first, into[:min(n, room)]...)
	}
	return n, err //nolint:wrapcheck // a net.Conn passes errors on as they are
}

func (c *recordingConn) start() string {
	if c == nil {
		return ""
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return string(c.first)
}

// closedEarly is true when the peer closed or reset the connection.
func closedEarly(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || isReset(err)
}
