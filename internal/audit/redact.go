package audit

import (
	"cmp"
	"encoding/base64"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
)

// Bounds of an entry, in bytes. A text that is longer is cut and ends with "…".
const (
	maxDetails      = 32
	maxDetailName   = 64
	maxDetailValue  = 512
	maxDetailsBytes = 8 << 10
	maxRoute        = 256
	maxWord         = 64
	// maxScanned bounds how much of a text is looked at.
	maxScanned = 1 << 20
)

const (
	// placeholder stands where a secret was.
	placeholder = "REDACTED"
	// minSecret is the length from which a registered value counts as a secret:
	// "1" or "true" would only shred the text.
	minSecret = 6
	// detailsDropped counts the details that did not fit.
	detailsDropped = "detailsDropped"
)

// redactor removes secrets from entries (I8) and bounds them.
type redactor struct {
	mu     sync.RWMutex
	values map[string]bool
	// longest first: a secret may be part of another one.
	ordered []string

	named, bearer, prefixed, userinfo *regexp.Regexp
}

func newRedactor() *redactor {
	return &redactor{
		values: map[string]bool{},
		named: regexp.MustCompile(`(?i)((?:key|token|passwd|password|secret|authorization|credential|cookie|signature|salt)[a-z0-9_.-]*\\*["']?\s*[=:]\s*)` +
			`("(?:[^"\\]|\\.)*"?|'[^']*'?|(?:bearer|basic)\s+\S+|[^\s,;&"'}\])]+)`),
		bearer:   regexp.MustCompile(`(?i)\b(bearer|basic)\s+[a-z0-9._~+/=-]{6,}`),
		prefixed: regexp.MustCompile(`\b(?:hf_|ghp_|github_pat_|sk-)[A-Za-z0-9_-]{16,}`),
		userinfo: regexp.MustCompile(`://[^/\s"'@]+@`),
	}
}

// register adds values that must never appear, in the forms that they may take
// in an address or a header. Short values are not secrets.
func (r *redactor) register(secrets []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, secret := range secrets {
		if len(secret) < minSecret {
			continue
		}
		for _, form := range []string{
			secret, url.QueryEscape(secret), url.PathEscape(secret),
			strings.TrimRight(base64.StdEncoding.EncodeToString([]byte(secret)), "="),
			strings.TrimRight(base64.URLEncoding.EncodeToString([]byte(secret)), "="),
		} {
			r.values[form] = true
		}
	}
	r.ordered = slices.SortedFunc(maps.Keys(r.values), func(a, b string) int {
		return cmp.Or(cmp.Compare(len(b), len(a)), strings.Compare(a, b))
	})
}

// entry returns a copy of an entry that is safe to write.
func (r *redactor) entry(entry *Entry) Entry {
	route := entry.Route
	//warmpool:gate audit-route-without-query
	if at := strings.IndexAny(route, "?#"); at >= 0 {
		route = route[:at]
	}
	// A client that escapes the question mark sends its query as a path.
	if at := strings.Index(strings.ToLower(route), "%3f"); at >= 0 {
		route = route[:at]
	}
	return Entry{
		Actor: entry.Actor, Peer: r.text(entry.Peer, maxWord), Route: r.text(route, maxRoute),
		Action: r.text(entry.Action, maxWord), Outcome: Outcome(r.text(string(entry.Outcome), maxWord)),
		Details: r.details(entry.Details),
	}
}

// details keeps the first details in the order of their names, as many as fit.
func (r *redactor) details(details Details) Details {
	if len(details) == 0 {
		return nil
	}
	kept, size, dropped := Details{}, 0, int64(0)
	for _, name := range slices.Sorted(maps.Keys(details)) {
		value := details[name]
		short := r.text(name, maxDetailName)
		//warmpool:gate audit-secret-names
		if isSecretName(name) {
			value = Text(placeholder)
		}
		if !value.isNumber {
			value = Text(r.text(value.text, maxDetailValue))
		}
		size += len(short) + len(value.text)
		_, twice := kept[short]
		if twice || len(kept) >= maxDetails-1 || size > maxDetailsBytes {
			dropped++
			continue
		}
		kept[short] = value
	}
	if dropped > 0 {
		kept[detailsDropped] = Number(dropped)
	}
	return kept
}

// isSecretName is true for names whose values are secrets.
func isSecretName(name string) bool {
	plain := strings.Map(func(c rune) rune {
		if unicode.IsLetter(c) || unicode.IsDigit(c) {
			return unicode.ToLower(c)
		}
		return -1
	}, name)
	return slices.ContainsFunc([]string{
		"key", "token", "password", "passwd", "secret", "authorization", "credential", "cookie", "bearer", "salt", "signature",
	}, func(part string) bool { return strings.Contains(plain, part) })
}

// text removes secrets, makes the text valid UTF-8 in one line, and cuts it at a rune.
func (r *redactor) text(text string, limit int) string {
	text = strings.ToValidUTF8(r.literals(text), "�")
	if scanned := 16 * limit; len(text) > scanned {
		// The patterns are slow on megabytes. Cut between words, so that no half
		// of a secret escapes them; one endless word is cut where it is.
		cut := cutAt(text, scanned)
		if space := strings.LastIndexFunc(cut, unicode.IsSpace); space > limit {
			cut = cut[:space]
		}
		text = cut + "…"
	}
	text = r.patterns(text)
	text = strings.Map(func(c rune) rune {
		if unicode.IsControl(c) || unicode.Is(unicode.Cf, c) || c == '\u2028' || c == '\u2029' {
			return ' '
		}
		return c
	}, text)
	if len(text) > limit {
		text = cutAt(text, limit-len("…")) + "…"
	}
	return text
}

// cutAt cuts a valid text at the last rune that ends within limit bytes.
func cutAt(text string, limit int) string {
	for limit > 0 && !utf8.RuneStart(text[limit]) {
		limit--
	}
	return text[:limit]
}

// literals removes the registered secrets.
func (r *redactor) literals(text string) string {
	r.mu.RLock()
	defer r.mu.RUnlock()
	isCut := len(text) > maxScanned
	if isCut {
		text = text[:maxScanned]
	}
	for _, secret := range r.ordered {
		//warmpool:gate audit-registered-secrets
		text = strings.ReplaceAll(text, secret, placeholder)
	}
	if isCut && len(r.ordered) > 0 {
		// A secret may have been cut in two.
		text = text[:max(len(text)-len(r.ordered[0]), 0)]
	}
	return text
}

// patterns removes what looks like a secret.
func (r *redactor) patterns(text string) string {
	text = r.named.ReplaceAllString(text, "${1}"+placeholder)
	text = r.bearer.ReplaceAllString(text, "$1 "+placeholder)
	text = r.prefixed.ReplaceAllString(text, placeholder)
	return r.userinfo.ReplaceAllString(text, "://"+placeholder+"@")
}
