package vastai

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"time"

	"k8s.io/utils/clock"

	"github.com/warmpool-dev/warmpool/internal/fleet"
)

const (
	// maxBody bounds answers: a page of 25 instances with long start scripts
	// has a tenth of it.
	maxBody = 4 << 20
	// defaultUserAgent is sent unless the options name another.
	defaultUserAgent = "warmpool"
)

// errTimeout ends an exchange that takes too long.
var errTimeout = errors.New("no complete answer within the timeout")

// errTooLarge reports an answer beyond maxBody.
var errTooLarge = errors.New("the answer is too large")

// httpHandler puts calls on the wire and reads bounded answers.
type httpHandler struct {
	client    *http.Client
	base      *url.URL
	key       string
	userAgent string
	clock     clock.Clock
	redactor  *redactor
	skew      *skew
}

// newHTTPHandler returns a handler that follows no redirect: the key goes to
// the configured origin only, and a redirected write could turn into a read.
func newHTTPHandler(options *Options, base *url.URL, key string, redactor *redactor) *httpHandler {
	transport := options.Transport
	if transport == nil {
		transport = newTransport()
	}
	userAgent := options.UserAgent
	if userAgent == "" {
		userAgent = defaultUserAgent
	}
	client := &http.Client{
		Transport: transport,
		//warmpool:gate key-goes-to-no-other-server
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return &httpHandler{
		client: client, base: base, key: key, userAgent: userAgent, clock: options.Clock, redactor: redactor, skew: &skew{},
	}
}

// newTransport returns a transport with bounded set-up times; the time for an
// answer is bounded per call.
func newTransport() *http.Transport {
	const (
		dialTimeout      = 10 * time.Second
		handshakeTimeout = 10 * time.Second
		idleTimeout      = 30 * time.Second
		idleConnections  = 4
	)
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: dialTimeout}).DialContext,
		ForceAttemptHTTP2:     true,
		MaxIdleConns:          idleConnections,
		MaxIdleConnsPerHost:   idleConnections,
		IdleConnTimeout:       idleTimeout,
		TLSHandshakeTimeout:   handshakeTimeout,
		ExpectContinueTimeout: time.Second,
	}
}

// do sends one call. Any error after the request may have left is no definite
// failure.
func (h *httpHandler) do(ctx context.Context, c *call) (*reply, error) {
	if err := ctx.Err(); err != nil {
		return nil, c.notSent(err)
	}
	request, err := h.build(ctx, c)
	if err != nil {
		return nil, c.notSent(h.redactor.wrap(err, c.secrets))
	}
	started := h.clock.Now()
	answer, err := h.exchange(c.countFromSending(request), c.timeout, maxBody)
	c.markSent()
	c.exchanged = h.clock.Since(started)
	if answer != nil {
		c.status = answer.status
		h.skew.observe(answer.header, started, h.clock.Now())
	}
	if err != nil {
		kind := fleet.KindUnavailable
		if errors.Is(err, errTooLarge) {
			kind = fleet.KindInvalidResponse
		}
		return answer, c.failure(kind, "", h.redactor.wrap(err, c.secrets))
	}
	return answer, nil
}

// countFromSending starts the interval of the rate limiter when the request is
// on the wire. Vast.ai counts from the arrival: were the time for connecting
// and the handshake inside the interval, a call that connects faster than the
// one before it would come too early.
func (c *call) countFromSending(request *http.Request) *http.Request {
	return request.WithContext(httptrace.WithClientTrace(request.Context(), &httptrace.ClientTrace{
		WroteRequest: func(httptrace.WroteRequestInfo) { c.markSent() },
	}))
}

// markSent tells the limiter that the call has used its slot. Only the first
// time counts.
func (c *call) markSent() {
	if c.onSent != nil {
		c.onSent()
	}
}

// build encodes the request.
func (h *httpHandler) build(ctx context.Context, c *call) (*http.Request, error) {
	target := *h.base
	target.Path = c.path
	target.RawQuery = c.query.Encode()
	var body io.Reader
	size := int64(0)
	if c.body != nil {
		encoded, err := json.Marshal(c.body)
		if err != nil {
			return nil, fmt.Errorf("encoding the request: %w", err)
		}
		// A plain reader has no GetBody, without which net/http cannot send a
		// write again on its own.
		body, size = io.NopCloser(bytes.NewReader(encoded)), int64(len(encoded))
	}
	request, err := http.NewRequestWithContext(ctx, c.method, target.String(), body)
	if err != nil {
		return nil, fmt.Errorf("building the request: %w", err)
	}
	request.ContentLength = size
	request.Header.Set("Authorization", "Bearer "+h.key)
	request.Header.Set("Accept", "application/json")
	request.Header.Set("User-Agent", h.userAgent)
	if c.body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	return request, nil
}

// exchange sends a request and reads at most limit bytes of the answer, all
// within the timeout. On an error while reading it returns what it has.
func (h *httpHandler) exchange(request *http.Request, timeout time.Duration, limit int64) (*reply, error) {
	ctx, stop := withTimeout(request.Context(), h.clock, timeout)
	defer stop()
	response, err := h.client.Do(request.WithContext(ctx))
	if err != nil {
		return nil, timeoutCause(ctx, err)
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, limit+1))
	answer := &reply{status: response.StatusCode, header: response.Header, body: body}
	if closeErr := response.Body.Close(); err == nil && closeErr != nil {
		err = closeErr
	}
	if err != nil {
		return answer, timeoutCause(ctx, err)
	}
	if int64(len(body)) > limit {
		answer.body = body[:limit]
		return answer, errTooLarge
	}
	return answer, nil
}

// timeoutCause prefers the timeout of withTimeout to the "context canceled" it causes.
func timeoutCause(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); errors.Is(cause, errTimeout) {
		return errTimeout
	}
	return err
}

// withTimeout is context.WithTimeoutCause on an injected clock.
func withTimeout(ctx context.Context, on clock.Clock, timeout time.Duration) (context.Context, func()) {
	limited, cancel := context.WithCancelCause(ctx)
	timer := on.NewTimer(timeout)
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		select {
		case <-timer.C():
			cancel(errTimeout)
		case <-limited.Done():
		}
	}()
	return limited, func() {
		cancel(nil)
		timer.Stop()
		<-finished
	}
}
