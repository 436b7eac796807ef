package legacyapi

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"strings"
)

// MinAdminKeyLength is how many characters an admin key has at least.
const MinAdminKeyLength = 16

// ErrWeakAdminKey is why an admin key is not accepted. The text never repeats the key.
var ErrWeakAdminKey = errors.New("ADMIN_API_KEY cannot be used")

// CheckAdminKey says what is wrong with an admin key: it is missing, short, easy
// to guess, or one that the legacy system shipped.
func CheckAdminKey(key string) error {
	const minDistinct = 6
	distinct, lower := map[rune]bool{}, strings.ToLower(key)
	for _, c := range key {
		distinct[c] = true
	}
	switch {
	case key == "":
		return fmt.Errorf("%w: it is not set", ErrWeakAdminKey)
	case len(key) < MinAdminKeyLength:
		return fmt.Errorf("%w: it has %d characters and needs %d", ErrWeakAdminKey, len(key), MinAdminKeyLength)
	case len(distinct) < minDistinct:
		return fmt.Errorf("%w: it has only %d different characters", ErrWeakAdminKey, len(distinct))
	case isWellKnown(lower):
		return fmt.Errorf("%w: it is a default that everybody knows", ErrWeakAdminKey)
	case strings.ContainsFunc(key, func(c rune) bool { return c < ' ' || c == 0x7f }):
		return fmt.Errorf("%w: it holds control characters, which no HTTP header can carry", ErrWeakAdminKey)
	default:
		return nil
	}
}

// isWellKnown is true for the legacy system's defaults and for placeholders.
func isWellKnown(lower string) bool {
	for _, part := range []string{"change_me", "changeme", "change-me", "secure_admin_key", "admin_api_key", "your-admin-key", "your_admin_key", "adminadmin", "password", "example"} {
		if strings.Contains(lower, part) {
			return true
		}
	}
	return false
}

// sameSecret compares without telling, by the time it takes, how much of the
// two agrees or how long either is. An empty wanted secret agrees with nothing.
func sameSecret(given, wanted string) bool {
	a, b := sha256.Sum256([]byte(given)), sha256.Sum256([]byte(wanted))
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1 && wanted != ""
}

// unquoted takes off the quotes and spaces that --from-env-file keeps.
func unquoted(value []byte) string {
	text := strings.TrimSpace(string(value))
	if n := len(text); n >= 2 && (text[0] == '"' || text[0] == '\'') && text[n-1] == text[0] {
		return text[1 : n-1]
	}
	return text
}
