package vastai

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/warmpool-dev/warmpool/internal/fleet"
)

// call is one use of the API on its way through the handlers. It belongs to
// one goroutine.
type call struct {
	endpoint  Endpoint
	operation string
	method    string
	path      string
	query     url.Values
	// body is encoded as JSON unless it is nil.
	body any
	// into receives the decoded answer; nil when the answer does not matter.
	into any
	// write is true when the call changes something and so must pass the guard.
	write bool
	// explicit is true when only "success": true is a success.
	explicit bool
	// retryable is true when sending the call twice does no harm.
	retryable bool
	// secrets are texts that the answer might echo and no error may show.
	secrets []string
	// timeout bounds one exchange, without the time spent waiting for a slot.
	timeout time.Duration

	// beforeSend has the last word of the caller on a write.
	beforeSend func() error
	// detached lets the exchange outlive the caller's context.
	detached bool

	// turn waits for the call's time at the rate limit, which may be a moment
	// after its last look.
	turn func(context.Context) error
	// onSent is called when the request is on the wire, or when the exchange
	// has ended before that; only the first call counts.
	onSent func()
	// throttled is the time the last attempt waited for a slot.
	throttled time.Duration
	// exchanged is the time the last attempt spent on the wire.
	exchanged time.Duration
	// status is the HTTP status of the last attempt, 0 for none.
	status int
	// attempts is how many were begun.
	attempts int
}

// reply is a bounded HTTP answer. When reading it failed half-way, it comes
// with an error and holds what was read.
type reply struct {
	status int
	header http.Header
	body   []byte
	// found is the answer taken apart, once somebody has asked for that.
	found *finding
}

// handler is one link of the chain.
type handler interface {
	do(ctx context.Context, c *call) (*reply, error)
}

// failure returns a provider error of this call.
func (c *call) failure(kind fleet.ErrorKind, message string, cause error) *fleet.ProviderError {
	return &fleet.ProviderError{Kind: kind, Operation: c.operation, Status: c.status, Message: message, Err: cause}
}

// notSent returns the error of a call that was given up before it left.
func (c *call) notSent(cause error) *fleet.ProviderError {
	return &fleet.ProviderError{Kind: fleet.KindNotSent, Operation: c.operation, Definite: true, Err: cause}
}
