package simulator

import (
	"bytes"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// How a fault loses an answer.
const (
	lostHangUp  = "hang-up"
	lostTimeout = "timeout"
)

// htmlPage is what a front answers for the application.
const htmlPage = "<!DOCTYPE html><html><head><title>Attention Required!</title></head>" +
	"<body><h1>Sorry, you have been blocked</h1></body></html>"

// hitCall finds a fault for a call. Lock held.
func (w *world) hitCall(c *call, name string, fallback Endpoint) *Fault {
	return w.faults.hit(w.now, name, func(f *Fault) bool { return w.fitsCall(f.Match, c, fallback) })
}

// faultBefore answers instead of the handler. Lock held.
func (w *world) faultBefore(c *call) (answer, bool) {
	if f := w.hitCall(c, FaultRateLimit, ""); f != nil {
		threshold := max(interval(c.endpoint, c.request.Method), time.Second)
		reply := rateLimited(RateLimitBody(f.text("body")), threshold)
		if after := f.text("retryAfter"); after != "" {
			reply.header = map[string]string{"Retry-After": after}
		}
		return reply, true
	}
	if f := w.hitCall(c, FaultAuthError, ""); f != nil {
		return failure(f.int("status"), "auth_error", "Invalid user key"), true
	}
	if f := w.hitCall(c, FaultDeprecated, EndpointList); f != nil {
		return deprecated(f.int("status"), c.request.URL.Path), true
	}
	return w.replacement(c, false)
}

// deprecated is the answer of a retired endpoint.
func deprecated(status int, path string) answer {
	return failure(status, "deprecated_endpoint", fmt.Sprintf("%s/ is deprecated. Use /api/v1/instances/ instead.", path))
}

// replacement is the answer of the faults that replace one, before the handler
// runs or after it, as their parameter "executed" says.
func (w *world) replacement(c *call, executed bool) (answer, bool) {
	for _, name := range []string{FaultHTTPError, FaultHTML, FaultEmptyBody, FaultHangUp} {
		f := w.faults.hit(w.now, name, func(f *Fault) bool {
			return w.fitsCall(f.Match, c, "") && f.bool("executed") == executed
		})
		if f == nil {
			continue
		}
		switch name {
		case FaultHTTPError:
			body := object{"success": false, "msg": f.text("msg")}
			if slug := f.text("error"); slug != "" {
				body["error"] = slug
			}
			return jsonAnswer(f.int("status"), body), true
		case FaultHTML:
			return answer{status: f.int("status"), contentType: "text/html; charset=UTF-8", body: []byte(htmlPage)}, true
		case FaultEmptyBody:
			return answer{status: http.StatusOK, contentType: "application/json"}, true
		default:
			return answer{hangUp: true}, true
		}
	}
	return answer{}, false
}

// faultAfter changes what the handler answered. Lock held.
func (w *world) faultAfter(c *call, reply answer) answer {
	if replaced, ok := w.replacement(c, true); ok {
		return replaced
	}
	if f := w.hitCall(c, FaultLostAnswer, EndpointCreate); f != nil {
		return lost(f.text("how"), f.duration("delay"))
	}
	if f := w.hitCall(c, FaultTruncatedBody, ""); f != nil {
		reply.body = reply.body[:len(reply.body)/2]
	}
	if f := w.hitCall(c, FaultSchemaDrift, EndpointList); f != nil {
		for _, key := range []string{"instances", "offers", "new_contract", "id"} {
			reply.body = bytes.Replace(reply.body, []byte(`"`+key+`":`), []byte(`"`+key+`_v2":`), 1)
		}
	}
	if f := w.hitCall(c, FaultSlow, ""); f != nil {
		reply.delay += f.duration("delay")
	}
	return reply
}

// lost is what the caller sees when the answer is lost.
func lost(how string, delay time.Duration) answer {
	switch how {
	case lostHangUp:
		return answer{hangUp: true}
	case lostTimeout:
		return answer{hangUp: true, delay: delay}
	default:
		status, err := strconv.Atoi(how)
		if err != nil {
			status = http.StatusBadGateway
		}
		return answer{
			status: status, contentType: "text/html",
			body: []byte("<html><body><h1>" + http.StatusText(status) + "</h1></body></html>"),
		}
	}
}

// impersonate lets a read go to the other account.
func (w *world) impersonate(c *call) {
	if c.request.Method != http.MethodGet {
		return
	}
	f := w.faults.hit(w.now, FaultOtherAccount, func(f *Fault) bool {
		return w.fitsCall(f.Match, c, "") && (c.endpoint != EndpointUser || f.bool("identity"))
	})
	if f != nil {
		c.principal = &apiKey{account: w.foreign}
	}
}
