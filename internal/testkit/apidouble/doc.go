// Package apidouble is an API server in memory, for the deterministic
// simulation: no network, no goroutine, no clock of its own.
//
// It keeps what the operator relies on and what hurts it in production:
// resource versions and conflicts, generations, finalizers and deletion
// timestamps, preconditions of deletions, the status as a subresource, merge
// patches, pages that show one moment, the defaults of the CRDs, and what a JSON
// round trip leaves of every object: what is not serialised is lost. Its log
// of events feeds caches that lag. What it does not do: validation, admission,
// garbage collection, fields of server-side apply, authorisation. conformance_test.go
// holds it against a real API server.
//
// It may import the API types of ours and nothing else.
package apidouble
