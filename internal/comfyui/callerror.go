package comfyui

import (
	"errors"
	"strings"
	"unicode"

	"github.com/warmpool-dev/warmpool/internal/fleet"
)

// signalNothing is the signal of a call that says nothing about the instance:
// the caller gave it up, or this side could not make it.
const signalNothing fleet.Signal = ""

// maxQuoted bounds a text of the instance inside a message, in runes.
const maxQuoted = 200

// callError is every error of a call to an instance. Its text is one sentence
// for people, without secrets.
type callError struct {
	signal fleet.Signal
	status int
	text   string
	cause  error
}

// Error is the sentence for people.
func (e *callError) Error() string { return e.text }

// Unwrap returns the cause, if any.
func (e *callError) Unwrap() error { return e.cause }

// SignalOf returns what an error of this package showed about the instance. It
// is empty when err says nothing about it: it is nil, of another package, the
// caller gave the call up, or the call could not be made on this side.
func SignalOf(err error) fleet.Signal {
	if call, ok := errors.AsType[*callError](err); ok {
		return call.signal
	}
	return signalNothing
}

// fail builds a callError without a status.
func fail(signal fleet.Signal, text string, cause error) *callError {
	return &callError{signal: signal, text: text, cause: cause}
}

// quote makes a text of the instance safe for a message: one line, printable,
// bounded, and with the secrets taken out, should the instance echo them.
func quote(text string, secrets ...string) string {
	for _, secret := range secrets {
		//warmpool:gate quote-hides-secrets
		if secret != "" {
			text = strings.ReplaceAll(text, secret, "[hidden]")
		}
	}
	line := strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, strings.ToValidUTF8(text, " "))
	line = strings.Join(strings.Fields(line), " ")
	if runes := []rune(line); len(runes) > maxQuoted {
		line = string(runes[:maxQuoted]) + "…"
	}
	return line
}
