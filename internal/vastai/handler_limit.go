package vastai

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/warmpool-dev/warmpool/internal/vastai/schema"
)

// maxRetryAfter bounds what a Retry-After header can ask for, so that one odd
// answer does not silence the client for a day.
const maxRetryAfter = 10 * time.Minute

// limitHandler keeps calls apart and learns from refusals.
type limitHandler struct {
	next    handler
	limiter *limiter
}

// do waits for a slot, passes the call on, and tells the limiter what came of it.
func (h *limitHandler) do(ctx context.Context, c *call) (*reply, error) {
	ahead := time.Duration(0)
	if c.beforeSend != nil {
		ahead = lookAhead
	}
	slot, waited, err := h.limiter.wait(ctx, c.endpoint, ahead)
	c.throttled = waited
	if err != nil {
		return nil, c.notSent(err)
	}
	defer slot.release()
	c.turn, c.onSent = slot.due, slot.sent
	answer, err := h.next.do(ctx, c)
	if err != nil {
		return answer, err
	}
	now := h.limiter.clock.Now()
	switch examine(c, answer).throttling() {
	case throttledEverywhere:
		h.limiter.pauseAll(retryAfter(answer, now))
	case throttledHere:
		h.limiter.penalise(c.endpoint, retryAfter(answer, now))
	case notThrottled:
		if answer.status < http.StatusInternalServerError {
			h.limiter.succeed(c.endpoint)
		}
	}
	return answer, nil
}

// throttling says which part of the API an answer closes for a while.
type throttling int

const (
	notThrottled throttling = iota
	// throttledHere is the platform's limiter: this endpoint only.
	throttledHere
	// throttledEverywhere is a wall in front of the platform, which answers in
	// HTML and counts every call of this address.
	throttledEverywhere
)

// throttling recognises refusals for being too frequent. A 403 that is not
// JSON never speaks about the key.
func (f *finding) throttling() throttling {
	switch {
	case f.status == http.StatusForbidden && !f.object,
		f.status == http.StatusTooManyRequests && f.html:
		return throttledEverywhere
	case f.status == http.StatusTooManyRequests, f.slug == slugRateLimit:
		return throttledHere
	default:
		return notThrottled
	}
}

// retryAfter reads the wait that the answer asks for, from the header (seconds
// or a date) or the body; 0 when there is none.
func retryAfter(answer *reply, now time.Time) time.Duration {
	text := strings.TrimSpace(answer.header.Get("Retry-After"))
	if date, err := http.ParseTime(text); err == nil {
		return min(max(date.Sub(now), 0), maxRetryAfter)
	}
	wait := secondsText(text)
	if body, isJSON := answerIn(answer.body); isJSON {
		wait = max(wait, secondsText(string(body.RetryAfter)))
	}
	return min(wait, maxRetryAfter)
}

// secondsText reads a number of seconds; 0 for anything else and for negative
// numbers.
func secondsText(text string) time.Duration {
	millis, ok := schema.Number(text).Scaled(len("000"))
	if !ok || millis <= 0 {
		return 0
	}
	if millis > maxRetryAfter.Milliseconds() {
		return maxRetryAfter
	}
	return time.Duration(millis) * time.Millisecond
}
