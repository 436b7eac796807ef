package audit

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// MinSaltLength is how many characters AUDIT_SALT has at least.
const MinSaltLength = 16

// ErrWeakSalt is why a salt is not accepted. The text says how to make one.
var ErrWeakSalt = errors.New("AUDIT_SALT cannot be used")

// howToMakeSalt is the remedy of every fault of a salt.
const howToMakeSalt = "make one with `openssl rand -hex 32`, keep it in the Secret as AUDIT_SALT, and keep it: another salt starts a new chain"

// CheckSalt says what is wrong with a salt: it is missing, short, or easy to
// guess. It never repeats it.
func CheckSalt(salt string) error {
	const minDistinct = 6
	distinct := map[rune]bool{}
	for _, c := range salt {
		distinct[c] = true
	}
	lower := strings.ToLower(salt)
	switch {
	case strings.TrimSpace(salt) == "":
		return fmt.Errorf("%w: it is not set; %s", ErrWeakSalt, howToMakeSalt)
	case len(salt) < MinSaltLength:
		return fmt.Errorf("%w: it has %d characters and needs %d; %s", ErrWeakSalt, len(salt), MinSaltLength, howToMakeSalt)
	case len(distinct) < minDistinct:
		return fmt.Errorf("%w: it has only %d different characters; %s", ErrWeakSalt, len(distinct), howToMakeSalt)
	case strings.Contains(lower, "change_me") || strings.Contains(lower, "changeme") || strings.Contains(lower, "change-me") || strings.Contains(lower, "example"):
		return fmt.Errorf("%w: it is a placeholder that everybody knows; %s", ErrWeakSalt, howToMakeSalt)
	default:
		return nil
	}
}

// Fingerprint stands for a key without revealing it: 64 lower-case hexadecimal
// digits, or empty when no key was given.
type Fingerprint string

// fingerprintLength is the length of a fingerprint that is not empty.
const fingerprintLength = 2 * sha256.Size

// FingerprintOf returns the fingerprint of a key as it was sent: HMAC-SHA256 with
// the salt as the key, as in the legacy system's audit table. It is empty for an
// empty key.
func FingerprintOf(salt, key string) Fingerprint {
	if key == "" {
		return ""
	}
	mac := hmac.New(sha256.New, []byte(salt))
	mac.Write([]byte(key))
	return Fingerprint(hex.EncodeToString(mac.Sum(nil)))
}

// isValid is true for an empty fingerprint and for 64 lower-case hexadecimal digits.
func (f Fingerprint) isValid() bool {
	return f == "" || isHex(string(f), fingerprintLength)
}

// isHex is true for that many lower-case hexadecimal digits.
func isHex(text string, length int) bool {
	if len(text) != length {
		return false
	}
	return strings.Trim(text, "0123456789abcdef") == ""
}

// signingKey signs records. It is not the salt itself: fingerprints are HMACs
// under the salt of whatever a stranger sends as a key, and the log shows them.
// A stranger who sends the text of a record would read its signature there. With
// HKDF the salt is the message, not the key, so no fingerprint is of use.
type signingKey struct {
	secret []byte
	id     string
}

// deriveKey derives the signing key of a salt.
func deriveKey(salt string) (signingKey, error) {
	const idLength = 8
	extractWith := []byte("warmpool.dev/audit/v1")
	secret, err := hkdf.Key(sha256.New, []byte(salt), extractWith, "record signature", sha256.Size)
	if err != nil {
		return signingKey{}, fmt.Errorf("deriving the signing key: %w", err)
	}
	id, err := hkdf.Key(sha256.New, []byte(salt), extractWith, "key name", idLength)
	if err != nil {
		return signingKey{}, fmt.Errorf("deriving the name of the signing key: %w", err)
	}
	return signingKey{secret: secret, id: hex.EncodeToString(id)}, nil
}
