package vastai

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"time"

	"k8s.io/utils/clock"

	"github.com/warmpool-dev/warmpool/internal/fleet"
)

// DefaultBaseURL is where the API of Vast.ai lives.
const DefaultBaseURL = "https://console.vast.ai"

// ErrOptions reports options that no client can be made of.
var ErrOptions = errors.New("invalid client options")

// Timeouts bound single exchanges; zero values take the defaults. Waiting for
// a slot of the rate limiter does not count.
type Timeouts struct {
	// Read is for calls that change nothing. Default: 30 s.
	Read time.Duration
	// Write is for calls that change something. It is long because an answer
	// that was not waited for is an unknown outcome. Default: 120 s.
	Write time.Duration
}

const (
	defaultReadTimeout  = 30 * time.Second
	defaultWriteTimeout = 120 * time.Second
)

// Options say how a client is made. APIKey and Clock are required.
type Options struct {
	// BaseURL is the origin of the API without a path. Default: DefaultBaseURL.
	BaseURL string
	// APIKey authenticates every call. Surrounding white space is cut off.
	APIKey string
	// UserAgent is sent with every call. Default: "warmpool".
	UserAgent string
	// Transport sends requests; it must not retry. Default: a new http.Transport.
	Transport http.RoundTripper
	// Clock is what every wait is measured with.
	Clock clock.Clock
	// Limits overrides the least time between two calls per endpoint; zero
	// switches a limit off. Default: DefaultLimits.
	Limits map[Endpoint]time.Duration
	// Guard is called after the wait for a slot, immediately before a write is
	// sent. An error means that nothing is sent. Default: no guard.
	Guard func(ctx context.Context) error
	// Observer sees every attempt. Default: none.
	Observer Observer
	// Timeouts bound single exchanges.
	Timeouts Timeouts
	// Rand is the source of jitter. Default: seeded from the clock.
	Rand rand.Source
}

// Client speaks to one Vast.ai account. It is safe for concurrent use and all
// its calls share one rate limiter: make one client per key.
type Client struct {
	chain    handler
	wire     *httpHandler
	clock    clock.Clock
	redactor *redactor
	timeouts Timeouts
}

// New returns a client. It does not connect. It returns ErrOptions, without
// the key in its text, for options that cannot work.
func New(options Options) (*Client, error) {
	if options.Clock == nil {
		return nil, fmt.Errorf("%w: a clock is required", ErrOptions)
	}
	key, err := checkAPIKey(options.APIKey)
	if err != nil {
		return nil, err
	}
	base, err := checkBaseURL(options.BaseURL)
	if err != nil {
		return nil, err
	}
	limits, err := mergeLimits(options.Limits)
	if err != nil {
		return nil, err
	}
	timeouts := options.Timeouts
	if timeouts.Read <= 0 {
		timeouts.Read = defaultReadTimeout
	}
	if timeouts.Write <= 0 {
		timeouts.Write = defaultWriteTimeout
	}
	redactor := newRedactor(key)
	wire := newHTTPHandler(&options, base, key, redactor)
	source := options.Rand
	if source == nil {
		source = rand.NewPCG(uint64(options.Clock.Now().UnixNano()), 0)
	}
	var chain handler = wire
	chain = &guardHandler{next: chain, guard: options.Guard, redactor: redactor}
	chain = &limitHandler{next: chain, limiter: newLimiter(options.Clock, limits)}
	chain = &errorHandler{next: chain, redactor: redactor}
	chain = &observeHandler{next: chain, observer: options.Observer}
	chain = &retryHandler{next: chain, clock: options.Clock, jitter: &jitter{source: source}}
	chain = &parseHandler{next: chain, redactor: redactor}
	return &Client{chain: chain, wire: wire, clock: options.Clock, redactor: redactor, timeouts: timeouts}, nil
}

// checkAPIKey trims a key, as files end in a newline, and refuses what cannot
// be a header value. The key is in no error.
func checkAPIKey(key string) (string, error) {
	key = strings.TrimSpace(key)
	if key == "" {
		return "", fmt.Errorf("%w: the API key is empty", ErrOptions)
	}
	for _, c := range []byte(key) {
		if c <= ' ' || c > '~' {
			return "", fmt.Errorf("%w: the API key contains a character that is not printable ASCII", ErrOptions)
		}
	}
	return key, nil
}

// checkBaseURL accepts an origin: scheme and host only.
func checkBaseURL(text string) (*url.URL, error) {
	if text == "" {
		text = DefaultBaseURL
	}
	base, err := url.Parse(strings.TrimRight(text, "/"))
	if err != nil {
		// The cause would repeat the text, which may carry a password.
		return nil, fmt.Errorf("%w: the base URL cannot be read", ErrOptions)
	}
	switch {
	case base.Scheme != "http" && base.Scheme != "https":
		return nil, fmt.Errorf("%w: the base URL must start with http:// or https://", ErrOptions)
	case base.Host == "" || base.User != nil || base.RawQuery != "" || base.Fragment != "" || base.Path != "":
		return nil, fmt.Errorf("%w: the base URL must be a scheme and a host only", ErrOptions)
	}
	return base, nil
}

// mergeLimits puts overrides over the documented limits.
func mergeLimits(overrides map[Endpoint]time.Duration) (map[Endpoint]time.Duration, error) {
	limits := DefaultLimits()
	for endpoint, interval := range overrides {
		if _, known := limits[endpoint]; !known {
			return nil, fmt.Errorf("%w: there is no endpoint %q to limit", ErrOptions, endpoint)
		}
		if interval < 0 {
			return nil, fmt.Errorf("%w: the limit of %q is negative", ErrOptions, endpoint)
		}
		limits[endpoint] = interval
	}
	return limits, nil
}

// read sends a call that changes nothing.
func (c *Client) read(ctx context.Context, request *call) error {
	request.timeout = c.timeouts.Read
	request.retryable = true
	_, err := c.chain.do(ctx, request)
	return err
}

// write sends a call that changes something. Only an answer with "success":
// true is a success.
func (c *Client) write(ctx context.Context, request *call) error {
	request.timeout = c.timeouts.Write
	request.write = true
	request.explicit = true
	_, err := c.chain.do(ctx, request)
	return err
}

// invalid returns the error of an answer that was received but cannot be used.
func (c *Client) invalid(request *call, message string) error {
	return request.failure(fleet.KindInvalidResponse, c.redactor.message(message, request.secrets), nil)
}
