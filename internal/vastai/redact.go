package vastai

import (
	"errors"
	"net/url"
	"regexp"
	"strings"
	"unicode"
)

const (
	// placeholder stands where a secret was.
	placeholder = "REDACTED"
	// maxMessage bounds texts of the provider in errors and status, in characters.
	maxMessage = 400
	// maxScanned bounds how much of a text is searched for a message, in bytes.
	maxScanned = 16 << 10
	// apiKeyLength is the length of the platform's keys, in hexadecimal digits.
	apiKeyLength = 64
	// minSecret is the length from which a value that was sent counts as a
	// secret when it comes back: "1" or "true" would only shred the text.
	minSecret = 6
)

// sensitiveName matches names of variables, keys and parameters whose values are secrets.
const sensitiveName = `(?:password|passwd|secret|token|api[_-]?key|access[_-]?key|credential|image_login)[a-z0-9_.-]*`

// namedSecret finds NAME=value and "name": "value", pairedSecret finds
// "NAME","value"; the others find what looks like a secret by itself.
var (
	namedSecret = regexp.MustCompile(`(?i)(` + sensitiveName + `\\*["']?\s*[=:]\s*)` +
		`("(?:[^"\\]|\\.)*"?|'[^']*'?|\\*["']?[^\s,;&"'}\])\\]+)`)
	pairedSecret   = regexp.MustCompile(`(?i)(` + sensitiveName + `["'\\]+\s*,\s*["'\\]+)[^"'\\]+`)
	prefixedSecret = regexp.MustCompile(`\b(?:hf_|ghp_|github_pat_|sk-)[A-Za-z0-9_-]{16,}`)
	bearerSecret   = regexp.MustCompile(`(?i)\b(bearer|basic)\s+[a-z0-9._~+/=-]{6,}`)
	querySecret    = regexp.MustCompile(`(?i)([?&](?:[a-z0-9_-]*(?:signature|credential|sig|key|token)[a-z0-9_-]*)=)[^&\s"']+`)
	userInfo       = regexp.MustCompile(`://[^/\s"'@]+@`)
	hexKey         = regexp.MustCompile(`\b(?:sha256:)?[0-9a-fA-F]+\b`)
)

// redactor removes secrets from texts (I8).
type redactor struct {
	// exact are the forms that the API key may take.
	exact []string
}

// newRedactor returns a redactor for the key.
func newRedactor(key string) *redactor {
	return &redactor{exact: []string{key, url.QueryEscape(key), url.PathEscape(key)}}
}

// text removes the key, the given secrets and everything that looks like one.
func (r *redactor) text(text string, secrets []string) string {
	return patterns(r.literals(text, secrets))
}

// literals removes the key and the given secrets.
func (r *redactor) literals(text string, secrets []string) string {
	for _, secret := range secrets {
		//warmpool:gate redact-what-was-sent
		if len(secret) >= minSecret {
			text = strings.ReplaceAll(text, secret, placeholder)
		}
	}
	for _, secret := range r.exact {
		//warmpool:gate redact-own-key
		text = strings.ReplaceAll(text, secret, placeholder)
	}
	return text
}

// patterns removes everything that looks like a secret.
func patterns(text string) string {
	//warmpool:gate redact-bearer
	text = bearerSecret.ReplaceAllString(text, "$1 "+placeholder)
	//warmpool:gate redact-signed-address
	text = querySecret.ReplaceAllString(text, "${1}"+placeholder)
	//warmpool:gate redact-user-info
	text = userInfo.ReplaceAllString(text, "://"+placeholder+"@")
	//warmpool:gate redact-known-prefix
	text = prefixedSecret.ReplaceAllString(text, placeholder)
	//warmpool:gate redact-pairs
	text = pairedSecret.ReplaceAllString(text, "${1}"+placeholder)
	//warmpool:gate redact-named
	text = namedSecret.ReplaceAllString(text, "${1}"+placeholder)
	return hexKey.ReplaceAllStringFunc(text, func(match string) string {
		// A digest names an image; a bare one of that length is a key of the platform.
		//warmpool:gate redact-hex-key
		if len(match) == apiKeyLength && !strings.HasPrefix(match, "sha256:") {
			return placeholder
		}
		return match
	})
}

// WithoutSecrets removes from a text everything that looks like a secret by itself
// or by the name before it: keys, tokens, passwords, signed addresses (I8).
func WithoutSecrets(text string) string { return patterns(text) }

// message makes a text of the provider fit for errors and status: redacted,
// one line, bounded.
func (r *redactor) message(text string, secrets []string) string {
	text = r.literals(strings.ToValidUTF8(text, "�"), secrets)
	if len(text) > maxScanned {
		// Cut between words, so that no half of a secret escapes the patterns.
		text = text[:maxScanned]
		//warmpool:gate redact-cut-between-words
		text = text[:max(strings.LastIndexAny(text, " \t\r\n"), 0)]
	}
	text = patterns(text)
	text = strings.Map(func(c rune) rune {
		if unicode.IsControl(c) {
			return ' '
		}
		return c
	}, text)
	text = strings.Join(strings.Fields(text), " ")
	if runes := []rune(text); len(runes) > maxMessage {
		return string(runes[:maxMessage]) + "…"
	}
	return text
}

// wrap returns an error with a redacted text that still matches its cause
// with errors.Is, but cannot be unwrapped to the text of the cause.
func (r *redactor) wrap(err error, secrets []string) error {
	return &redactedError{text: r.message(err.Error(), secrets), cause: err}
}

// redactedError is an error whose text is safe.
type redactedError struct {
	text  string
	cause error
}

// Error returns the safe text.
func (e *redactedError) Error() string { return e.text }

// Is matches what the cause matches.
func (e *redactedError) Is(target error) bool { return errors.Is(e.cause, target) }
