package vastai

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"k8s.io/utils/clock"

	"github.com/warmpool-dev/warmpool/internal/fleet"
)

const (
	// maxAttempts bounds how often one call is sent. The controllers come back
	// anyway, so this only bridges a hiccup.
	maxAttempts = 3
	// firstBackoff is doubled for every further attempt.
	firstBackoff = 500 * time.Millisecond
)

// retryHandler sends calls again that do no harm when sent twice. A rent is
// never among them (I2).
type retryHandler struct {
	next   handler
	clock  clock.Clock
	jitter *jitter
}

// do sends the call until it succeeds, fails for good, or was sent maxAttempts times.
func (h *retryHandler) do(ctx context.Context, c *call) (*reply, error) {
	answer, err := h.next.do(ctx, c)
	backoff := firstBackoff
	for attempt := 1; attempt < maxAttempts && h.again(ctx, c, err); attempt++ {
		if !sleep(ctx, h.clock, h.jitter.spread(backoff)) {
			return nil, err
		}
		backoff *= 2
		var retried error
		answer, retried = h.next.do(ctx, c)
		//warmpool:gate retry-keeps-the-first-error
		if fleet.KindOf(retried) == fleet.KindNotSent {
			// The earlier attempt left the house: its error is the truth.
			return nil, err
		}
		err = retried
	}
	return answer, err
}

// again is true for failures that another attempt may mend.
func (*retryHandler) again(ctx context.Context, c *call, err error) bool {
	//warmpool:gate rent-never-sent-again
	if err == nil || !c.retryable || ctx.Err() != nil {
		return false
	}
	kind := fleet.KindOf(err)
	return kind == fleet.KindUnavailable || kind == fleet.KindRateLimited
}

// sleep waits on the clock and returns false when the context ended first.
func sleep(ctx context.Context, on clock.Clock, duration time.Duration) bool {
	timer := on.NewTimer(duration)
	defer timer.Stop()
	select {
	case <-timer.C():
		return true
	case <-ctx.Done():
		return false
	}
}

// jitter spreads waits so that clients do not move in step.
type jitter struct {
	mu     sync.Mutex
	source rand.Source
}

// spread returns a random duration between half of and the whole given one. A
// remainder is fair enough here and ends for every source, even a constant one.
func (j *jitter) spread(duration time.Duration) time.Duration {
	j.mu.Lock()
	defer j.mu.Unlock()
	half := duration / 2
	return half + time.Duration(j.source.Uint64()%uint64(duration-half+1)) //nolint:gosec // below the duration, which is positive
}
