package comfyui

import (
	"context"
	"encoding/json"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/warmpool-dev/warmpool/internal/fleet"
)

// placeholderHeader marks the page that the front shows in place of ComfyUI.
const placeholderHeader = "X-Portal-Placeholder"

// judge says what an answer showed; nil is HTTP 200 with a JSON content type.
func (s *session) judge(r reply) *callError {
	verdict := s.judgeStatus(r)
	if verdict == nil && !isJSON(r.header) {
		return unexpectedBody()
	}
	return verdict
}

// judgeStatus says what the status and the headers of an answer showed; nil is
// HTTP 200 from ComfyUI itself. The order matters: the placeholder comes as 200
// through a tunnel.
func (s *session) judgeStatus(r reply) *callError {
	var verdict *callError
	switch {
	case r.status == http.StatusGatewayTimeout:
		verdict = fail(fleet.SignalNoAnswer,
			"ComfyUI's front answers, but ComfyUI accepted its call and stayed silent (HTTP 504). It may be busy; if it was idle and this lasts, restart ComfyUI.", nil)
	case r.header.Get(placeholderHeader) != "", r.status == http.StatusBadGateway, r.status == http.StatusServiceUnavailable:
		verdict = fail(fleet.SignalPlaceholder,
			"ComfyUI's front answers, but ComfyUI does not yet: it is being provisioned, starting, or it crashed. Wait; if it lasts, the portal and the instance's log say which.", nil)
	case r.status == http.StatusUnauthorized:
		verdict = fail(fleet.SignalAuthRejected,
			"ComfyUI's front refused the password (HTTP 401). The WEB_PASSWORD that the instance was started with is not the one in its Secret; restore the Secret or replace the instance. A restart does not help.", nil)
	case r.status == http.StatusForbidden:
		verdict = fail(fleet.SignalOriginRejected,
			"The call was refused by origin (HTTP 403). Keep --enable-cors-header in COMFYUI_ARGS, and send no Origin header through a gateway.", nil)
	case r.status >= 300 && r.status < 400:
		verdict = s.judgeRedirect(r)
	case r.status == http.StatusBadRequest && speaksHTTPS(r.body):
		verdict = fail(fleet.SignalSchemeMismatch,
			"ComfyUI's front speaks HTTPS where plain HTTP is expected. Set tls.mode to Pinned or CA.", nil)
	case r.status >= 500:
		verdict = fail(fleet.SignalServerError,
			"ComfyUI failed while answering (HTTP "+strconv.Itoa(r.status)+"). Look at the instance's log; restart ComfyUI if it lasts.", nil)
	case r.status != http.StatusOK:
		verdict = fail(fleet.SignalUnexpectedService,
			"Something else than ComfyUI answers on its port (HTTP "+strconv.Itoa(r.status)+"). Check the port map and PORTAL_CONFIG of the template.", nil)
	default:
		return nil
	}
	verdict.status = r.status
	return verdict
}

// judgeRedirect tells a change of scheme from any other redirect.
func (s *session) judgeRedirect(r reply) *callError {
	to, err := url.Parse(r.header.Get("Location"))
	switch {
	case err == nil && to.Scheme == "https" && s.target.scheme() == "http":
		return fail(fleet.SignalSchemeMismatch,
			"ComfyUI's front redirects to HTTPS. Set tls.mode to Pinned or CA.", nil)
	case err == nil && to.Scheme == "http" && s.target.scheme() == "https":
		return fail(fleet.SignalSchemeMismatch,
			"ComfyUI's front redirects to plain HTTP. Set ENABLE_HTTPS=true in the template, or tls.mode Off.", nil)
	default:
		return fail(fleet.SignalUnexpectedService,
			"ComfyUI's port answers with a redirect elsewhere (HTTP "+strconv.Itoa(r.status)+"), which is not followed. Check the port map and PORTAL_CONFIG of the template.", nil)
	}
}

// unexpectedBody is the verdict for a 200 that ComfyUI would not give.
func unexpectedBody() *callError {
	return fail(fleet.SignalUnexpectedService,
		"Something answers on ComfyUI's port, but not with ComfyUI's JSON. Check the port map and PORTAL_CONFIG of the template.", nil)
}

func isJSON(header http.Header) bool {
	kind, _, err := mime.ParseMediaType(header.Get("Content-Type"))
	return err == nil && (kind == "application/json" || strings.HasSuffix(kind, "+json"))
}

// speaksHTTPS knows the two sentences with which common servers answer plain
// HTTP on a TLS port. They are part of a body, so there is no code to look at.
func speaksHTTPS(body []byte) bool {
	text := string(body[:min(len(body), 4096)])
	return strings.Contains(text, "HTTP request to an HTTPS server") || strings.Contains(text, "HTTP request was sent to HTTPS port")
}

// getJSON reads one JSON answer. shape decodes it and is false when it is not
// what ComfyUI sends there.
func (s *session) getJSON(ctx context.Context, path string, shape func([]byte) bool) error {
	r, err := s.do(ctx, request{method: http.MethodGet, path: path, limit: maxJSONBytes})
	if err != nil {
		return err
	}
	if verdict := s.judge(r); verdict != nil {
		return verdict
	}
	if r.cut || !shape(r.body) {
		return unexpectedBody()
	}
	return nil
}

// postJSON sends one JSON body and returns the answer, whatever its status.
func (s *session) postJSON(ctx context.Context, path string, payload any) (reply, error) {
	body, err := json.Marshal(payload)
	if err != nil {
		return reply{}, fail(signalNothing, "The call could not be written as JSON, so nothing was asked.", err)
	}
	return s.do(ctx, request{method: http.MethodPost, path: path, body: body, limit: maxJSONBytes})
}
