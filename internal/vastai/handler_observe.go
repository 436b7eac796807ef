package vastai

import (
	"context"
	"time"

	"github.com/warmpool-dev/warmpool/internal/fleet"
)

// Attempt is what an Observer sees of one attempt of a call.
type Attempt struct {
	// Endpoint is the class of the call, Method its HTTP method.
	Endpoint Endpoint
	Method   string
	// Number counts the attempts of one call from 1.
	Number int
	// Status is the HTTP status, 0 when there was no answer.
	Status int
	// Kind is empty for a success.
	Kind fleet.ErrorKind
	// Duration is the time on the wire, 0 when nothing was sent.
	Duration time.Duration
	// Throttled is the time the attempt waited for a slot of the rate limiter.
	Throttled time.Duration
}

// Observer sees every attempt of every call, for metrics and traces. It is called
// from many goroutines and must not block.
type Observer interface {
	// Observe is called once per attempt, when it ended, with the context of the call.
	Observe(ctx context.Context, attempt Attempt)
}

// observeHandler reports attempts.
type observeHandler struct {
	next     handler
	observer Observer
}

// do resets what is measured per attempt and reports it afterwards.
func (h *observeHandler) do(ctx context.Context, c *call) (*reply, error) {
	c.status, c.throttled, c.exchanged = 0, 0, 0
	c.attempts++
	answer, err := h.next.do(ctx, c)
	if h.observer != nil {
		h.observer.Observe(ctx, Attempt{
			Endpoint: c.endpoint, Method: c.method, Number: c.attempts, Status: c.status, Kind: fleet.KindOf(err),
			Duration: c.exchanged, Throttled: c.throttled,
		})
	}
	return answer, err
}
