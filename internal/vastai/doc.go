// Package vastai is the typed client of the Vast.ai REST API and the only code
// that speaks to it.
//
// A call passes through a chain of small handlers, each in its own file:
// parse → retry → observe → error → limit → guard → http. The wire format is in
// package schema; one file converts it to the nouns of package fleet. Every
// error is a *fleet.ProviderError without secrets. A rent is sent at most once
// by any layer.
//
// Every wait (throttling, back-off, timeouts, polling) is on the injected
// clock. The package imports fleet and schema of ours and nothing else; it
// takes no decision about offers, trust or money.
package vastai
