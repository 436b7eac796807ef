package simulator

import (
	"fmt"
	"net/http"
	"strings"
	"time"
)

// limiter enforces the documented minimum intervals, in simulated time.
type limiter struct {
	last   map[string]time.Time
	recent map[string][]time.Time
	locked map[string]time.Time
}

// newLimiter returns a limiter that has seen nothing.
func newLimiter() *limiter {
	return &limiter{last: map[string]time.Time{}, recent: map[string][]time.Time{}, locked: map[string]time.Time{}}
}

// interval returns the documented least time between two calls of one
// identity, 0 for none. Source: the x-rate-limit of the API description.
func interval(endpoint Endpoint, method string) time.Duration {
	switch endpoint {
	case EndpointCreate:
		return 4500 * time.Millisecond
	case EndpointLaunch:
		return 5 * time.Second
	case EndpointBid:
		return 5500 * time.Millisecond
	case EndpointDestroy, EndpointDestroyMany, EndpointTemplates, EndpointInvoices:
		return 3 * time.Second
	case EndpointGet, EndpointUpdateMany:
		return 2 * time.Second
	case EndpointList, EndpointUpdate, EndpointReboot, EndpointRecycle, EndpointCharges:
		return time.Second
	default:
		return intervalByMethod(endpoint, method)
	}
}

// intervalByMethod is interval for endpoints whose limit depends on the method.
func intervalByMethod(endpoint Endpoint, method string) time.Duration {
	reads := method == http.MethodGet
	switch {
	case endpoint == EndpointSecrets && reads:
		return 5 * time.Second
	case endpoint == EndpointSecrets, endpoint == EndpointServerless:
		return 3 * time.Second
	case endpoint == EndpointSSHKeys && !reads:
		return time.Second
	case endpoint == EndpointInstanceSSH && method == http.MethodDelete:
		return 2 * time.Second
	default:
		return 0
	}
}

// Searches are limited to so many in a window, per address.
const (
	searchesPerWindow = 10
	searchWindow      = time.Minute
)

// limit refuses a call that comes too early. Lock held.
func (w *world) limit(c *call) (answer, bool) {
	if w.cfg.RateLimits.Disabled {
		return answer{}, false
	}
	if c.endpoint == EndpointSearch {
		return w.limitSearch(c)
	}
	least := interval(c.endpoint, c.request.Method)
	if least == 0 {
		return answer{}, false
	}
	l := w.limiter
	identity := strings.Join([]string{string(c.endpoint), c.request.Method, c.key, c.ip}, " ")
	if w.now.Before(l.locked[identity]) {
		return w.tooFrequent(least), true
	}
	if last, ok := l.last[identity]; ok && w.now.Sub(last) < least {
		if c.endpoint == EndpointCreate {
			l.locked[identity] = w.now.Add(w.cfg.RateLimits.CreatePenalty)
		}
		return w.tooFrequent(least), true
	}
	l.last[identity] = w.now
	return answer{}, false
}

// limitSearch limits searches per address.
func (w *world) limitSearch(c *call) (answer, bool) {
	recent := w.limiter.recent[c.ip]
	for len(recent) > 0 && w.now.Sub(recent[0]) >= searchWindow {
		recent = recent[1:]
	}
	if len(recent) >= searchesPerWindow {
		w.limiter.recent[c.ip] = recent
		return w.tooFrequent(searchWindow / searchesPerWindow), true
	}
	w.limiter.recent[c.ip] = append(recent, w.now)
	return answer{}, false
}

// tooFrequent is the 429 in the configured form.
func (w *world) tooFrequent(threshold time.Duration) answer {
	return rateLimited(w.cfg.RateLimits.Body, threshold)
}

// rateLimited is a 429 in one of the documented forms.
func rateLimited(form RateLimitBody, threshold time.Duration) answer {
	const status = http.StatusTooManyRequests
	text := fmt.Sprintf("API requests too frequent endpoint threshold=%.1f", threshold.Seconds())
	switch form {
	case RateLimitDetail:
		return jsonAnswer(status, object{"detail": text})
	case RateLimitMsg:
		return jsonAnswer(status, object{"success": false, "msg": text})
	case RateLimitSlug:
		return jsonAnswer(status, object{"success": false, "error": "rate_limit_exceeded", "msg": text})
	case RateLimitText:
	}
	return textAnswer(status, fmt.Sprintf("API requests too frequent: endpoint threshold=%.1f", threshold.Seconds()))
}
