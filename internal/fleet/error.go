package fleet

import (
	"errors"
	"fmt"
)

// ErrorKind says what a provider error means and so what to do next.
type ErrorKind string

// The kinds of provider errors.
const (
	// KindUnauthorized: the key is wrong, revoked, expired or missing. Nothing
	// else in the answer may be believed. Wait for a new key.
	KindUnauthorized ErrorKind = "Unauthorized"
	// KindForbidden: the key is good but lacks a permission.
	KindForbidden ErrorKind = "Forbidden"
	// KindRateLimited: slow down; the call had no effect.
	KindRateLimited ErrorKind = "RateLimited"
	// KindOfferGone: the offer was taken; try the next one.
	KindOfferGone ErrorKind = "OfferGone"
	// KindInsufficientCredit: the account cannot pay (also spend_rate_limit and missing_billing).
	KindInsufficientCredit ErrorKind = "InsufficientCredit"
	// KindNotFound: no such instance, said in so many words. Never enough to call a rental gone.
	KindNotFound ErrorKind = "NotFound"
	// KindResourcesUnavailable: a start was queued because the GPU is taken; it may fire later.
	KindResourcesUnavailable ErrorKind = "ResourcesUnavailable"
	// KindInvalidRequest: the provider refuses the arguments.
	KindInvalidRequest ErrorKind = "InvalidRequest"
	// KindDeprecated: the endpoint was retired; its answer says nothing.
	KindDeprecated ErrorKind = "Deprecated"
	// KindUnavailable: transport error, timeout or 5xx. A write may have happened.
	KindUnavailable ErrorKind = "Unavailable"
	// KindInvalidResponse: the answer cannot be read (HTML, empty, other schema). A write may have happened.
	KindInvalidResponse ErrorKind = "InvalidResponse"
	// KindNotSent: the call was given up before anything was sent.
	KindNotSent ErrorKind = "NotSent"
)

// ProviderError is every error of the Vast.ai client.
type ProviderError struct {
	// Kind decides what to do.
	Kind ErrorKind
	// Operation is the call ("rent", "list", …).
	Operation string
	// Status is the HTTP status, 0 when there was no answer.
	Status int
	// Code is the provider's "error" slug, possibly empty.
	Code string
	// Message is the provider's text, bounded and redacted.
	Message string
	// Definite is true when the provider certainly did not do what was asked.
	// A rent that failed without it has an unknown outcome (I2).
	Definite bool
	// RentalID is the contract that a failed rent created all the same
	// ("new_contract" in an error body), 0 when there is none.
	RentalID int64
	// Err is the cause, if any.
	Err error
}

// Error says what happened, for people.
func (e *ProviderError) Error() string {
	text := fmt.Sprintf("vast.ai %s: %s", e.Operation, e.Kind)
	if e.Status != 0 {
		text += fmt.Sprintf(" (HTTP %d", e.Status)
		if e.Code != "" {
			text += " " + e.Code
		}
		text += ")"
	}
	if e.Message != "" {
		text += ": " + e.Message
	}
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

// Unwrap returns the cause.
func (e *ProviderError) Unwrap() error { return e.Err }

// KindOf returns the kind of a provider error anywhere in the chain of err,
// and the empty kind for any other error.
func KindOf(err error) ErrorKind {
	if provider, ok := errors.AsType[*ProviderError](err); ok {
		return provider.Kind
	}
	return ""
}

// IsDefinite is true when err is a provider error that certainly had no effect.
func IsDefinite(err error) bool {
	provider, ok := errors.AsType[*ProviderError](err)
	return ok && provider.Definite
}
