package vastai

import (
	"bytes"
	"encoding/json"
	"net/http"
	"regexp"
	"strings"

	"github.com/warmpool-dev/warmpool/internal/fleet"
	"github.com/warmpool-dev/warmpool/internal/vastai/schema"
)

// The slugs ("error") that have a meaning of their own.
const (
	slugAuth           = "auth_error"
	slugRateLimit      = "rate_limit_exceeded"
	slugDeprecated     = "deprecated_endpoint"
	slugOfferGone      = "no_such_ask"
	slugNoCredit       = "insufficient_credit"
	slugSpendRate      = "spend_rate_limit"
	slugNoBilling      = "missing_billing"
	slugNoResources    = "resources_unavailable"
	slugInvalidArgs    = "invalid_args"
	slugInvalidPrice   = "invalid_price"
	slugNoSSHKey       = "no_ssh_key_for_vm"
	slugInvalidRequest = "invalid_request"
	slugBadRequest     = "bad_request"
	slugLabelTooLong   = "label_too_long"
)

// The texts that stand in for a slug where the platform sends none.
const (
	textRateLimit  = "api requests too frequent"
	textOfferGone  = "no_such_ask"
	textSession    = "session expired"
	textUserKey    = "invalid user key"
	textLogin      = "requires login"
	textNoRoute    = "not found"
	textDeprecated = "is deprecated"
)

// finding is an answer taken apart.
type finding struct {
	status int
	// object is true when the body is a JSON object, array when it is a JSON array.
	object, array bool
	answer        schema.Answer
	slug          string
	// text is the message in lower case, or the body when it is plain text.
	text string
	html bool
	// rentalID is the contract that the body mentions.
	rentalID int64
}

// classify returns nil for a success, and otherwise what went wrong. Slugs
// count more than statuses, statuses more than texts; see the package's tests
// for every documented answer.
func classify(c *call, answer *reply) *fleet.ProviderError {
	found := examine(c, answer)
	if found.isSuccess(c) {
		return nil
	}
	return &fleet.ProviderError{
		Kind:      found.kind(c),
		Operation: c.operation,
		Status:    found.status,
		Code:      found.slug,
		Message:   found.message(answer),
		Definite:  found.isDefinite(),
		RentalID:  found.rentalID,
	}
}

// examine takes an answer apart, once.
func examine(c *call, answer *reply) *finding {
	if answer.found == nil {
		answer.found = takeApart(c, answer)
	}
	return answer.found
}

func takeApart(c *call, answer *reply) *finding {
	found := &finding{status: answer.status, html: looksLikeHTML(answer.body)}
	found.answer, found.object = answerIn(answer.body)
	trimmed := bytes.TrimSpace(answer.body)
	found.array = len(trimmed) > 0 && trimmed[0] == '[' && json.Valid(trimmed)
	found.slug = string(found.answer.Error)
	found.text = strings.ToLower(found.answer.Text())
	if !found.object && !found.html {
		found.text = strings.ToLower(string(trimmed))
	}
	//warmpool:gate rent-contract-in-any-body
	if c.endpoint == EndpointRent {
		found.rentalID = contractIn(answer.body)
	}
	return found
}

// isSuccess is true for a 2xx that does not say otherwise.
func (f *finding) isSuccess(c *call) bool {
	if f.status < http.StatusOK || f.status >= http.StatusMultipleChoices {
		return false
	}
	if f.array {
		return !c.explicit
	}
	//warmpool:gate answer-success-is-said
	if !f.object || f.answer.Failed() || f.slug != "" {
		return false
	}
	//warmpool:gate answer-write-success-is-explicit
	return !c.explicit || f.answer.Success != nil || f.rentalID > 0
}

// typed is true for a JSON error of the platform itself, as opposed to one of
// anything that stands in front of it.
func (f *finding) typed() bool { return f.object && (f.slug != "" || f.answer.Failed()) }

// kind says what an answer that is no success means.
func (f *finding) kind(c *call) fleet.ErrorKind {
	if kind, known := f.kindOfSlug(c); known {
		return kind
	}
	switch {
	case f.status >= http.StatusInternalServerError:
		return fleet.KindUnavailable
	case f.status >= http.StatusBadRequest:
		return f.kindOfClientError(c)
	case f.typed() && f.status >= http.StatusOK && f.status < http.StatusMultipleChoices:
		return fleet.KindInvalidRequest
	default:
		return fleet.KindInvalidResponse
	}
}

// kindOfSlug reads what the platform says in so many words, whatever the status.
func (f *finding) kindOfSlug(c *call) (fleet.ErrorKind, bool) {
	switch {
	case f.throttling() != notThrottled:
		return fleet.KindRateLimited, true
	//warmpool:gate answer-auth-error-is-not-gone
	case f.slug == slugAuth:
		return fleet.KindUnauthorized, true
	case f.slug == slugDeprecated:
		return fleet.KindDeprecated, true
	case f.slug == slugOfferGone, f.object && strings.Contains(f.text, textOfferGone), f.isUnnamedOfferGone(c):
		return fleet.KindOfferGone, true
	case f.slug == slugNoCredit, f.slug == slugSpendRate, f.slug == slugNoBilling:
		return fleet.KindInsufficientCredit, true
	case f.slug == slugNoResources:
		return fleet.KindResourcesUnavailable, true
	default:
		return "", false
	}
}

// kindOfClientError reads a 4xx whose slug says nothing special.
func (f *finding) kindOfClientError(c *call) fleet.ErrorKind {
	switch {
	case f.status == http.StatusUnauthorized, f.isAuthText():
		return fleet.KindUnauthorized
	case f.status == http.StatusRequestTimeout, f.status == http.StatusTooEarly:
		return fleet.KindUnavailable
	case !f.object:
		return fleet.KindInvalidResponse
	case f.status == http.StatusForbidden && f.slug == slugInvalidArgs:
		return fleet.KindInvalidRequest
	case f.status == http.StatusForbidden:
		return fleet.KindForbidden
	case f.status == http.StatusPaymentRequired, f.status == http.StatusLengthRequired:
		// 411 is how the platform says "insufficient credit" to a prepayment.
		return fleet.KindInsufficientCredit
	case f.status == http.StatusGone, f.slug == "" && strings.Contains(f.text, textDeprecated):
		return fleet.KindDeprecated
	case f.status == http.StatusNotFound:
		return f.kindOfNotFound(c)
	default:
		return fleet.KindInvalidRequest
	}
}

// kindOfNotFound tells a missing instance from a path that leads nowhere: only
// the former is said of something.
func (f *finding) kindOfNotFound(c *call) fleet.ErrorKind {
	noRoute := f.slug == "" && strings.Trim(f.text, " .") == textNoRoute
	switch {
	//warmpool:gate answer-no-route-is-not-gone
	case noRoute, f.text == "" && f.slug == "":
		return fleet.KindInvalidResponse
	case c.endpoint == EndpointRent:
		return fleet.KindInvalidRequest
	default:
		return fleet.KindNotFound
	}
}

// isAuthText is true for texts about the key that come without a slug.
func (f *finding) isAuthText() bool {
	return f.object && (strings.Contains(f.text, textSession) ||
		strings.Contains(f.text, textUserKey) || strings.Contains(f.text, textLogin))
}

// isUnnamedOfferGone is true for a rent that is refused with a 404 or 410 about
// an offer.
func (f *finding) isUnnamedOfferGone(c *call) bool {
	gone := f.status == http.StatusNotFound || f.status == http.StatusGone
	return c.endpoint == EndpointRent && gone && f.object && f.answer.AskID.IsSet()
}

// isDefinite is true when the platform certainly did nothing: it refused in
// its own words. A contract in the body is proof of the contrary.
func (f *finding) isDefinite() bool {
	switch {
	//warmpool:gate refusal-without-a-contract
	case f.rentalID > 0:
		return false
	case f.status == http.StatusTooManyRequests:
		//warmpool:gate refusal-429-in-its-own-words
		return f.slug == slugRateLimit || (!f.html && strings.Contains(f.text, textRateLimit))
	//warmpool:gate refusal-not-by-timeout-or-conflict
	case f.status == http.StatusRequestTimeout, f.status == http.StatusConflict, f.status == http.StatusTooEarly,
		f.status >= http.StatusInternalServerError:
		return false
	case f.status >= http.StatusBadRequest:
		//warmpool:gate refusal-in-its-own-words
		return f.typed()
	default:
		//warmpool:gate refusal-with-200-is-known
		return f.status == http.StatusOK && f.answer.Failed() && isDefiniteSlug(f.slug)
	}
}

// isDefiniteSlug lists the refusals that are believed even with a status of
// 200, because each is decided before anything is created. "resources_unavailable"
// is not among them: it queues what was asked for.
func isDefiniteSlug(slug string) bool {
	switch slug {
	case slugOfferGone, slugNoCredit, slugSpendRate, slugNoBilling, slugInvalidArgs, slugInvalidPrice,
		slugNoSSHKey, slugInvalidRequest, slugBadRequest, slugLabelTooLong, slugAuth, slugRateLimit:
		return true
	default:
		return false
	}
}

// message is what the platform said, or what is wrong with what it sent.
func (f *finding) message(answer *reply) string {
	switch {
	case f.answer.Text() != "":
		return f.answer.Text()
	case f.status >= http.StatusMultipleChoices && f.status < http.StatusBadRequest:
		return "the server redirects elsewhere, which is not followed: check the base URL"
	case f.html:
		return "the answer is an HTML page"
	case len(bytes.TrimSpace(answer.body)) == 0:
		return "the answer is empty"
	case f.object:
		return "the answer does not say that the call succeeded"
	default:
		return string(answer.body)
	}
}

// answerIn reads the common part of a body, and false when it is no JSON object.
func answerIn(body []byte) (schema.Answer, bool) {
	var answer schema.Answer
	trimmed := bytes.TrimSpace(body)
	if len(trimmed) == 0 || trimmed[0] != '{' || json.Unmarshal(trimmed, &answer) != nil {
		return schema.Answer{}, false
	}
	return answer, true
}

// looksLikeHTML is true for pages of walls and proxies.
func looksLikeHTML(body []byte) bool {
	return bytes.HasPrefix(bytes.TrimSpace(body), []byte("<"))
}

var namedContract = regexp.MustCompile(`"new_contract"\s*:\s*"?([0-9]{1,18})\b`)

// contractIn finds "new_contract" anywhere in a body, however broken the body
// is, because a rental that nobody recorded would bill for ever (I4). It
// returns 0 when there is none.
func contractIn(body []byte) int64 {
	match := namedContract.FindSubmatch(body)
	if match == nil {
		return 0
	}
	id, ok := schema.Number(match[1]).Int64()
	if !ok {
		return 0
	}
	return id
}
