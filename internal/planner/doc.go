// Package planner holds the decisions of Warmpool as pure functions: what may
// be spent, which offer is rented for whom, what a reading of the account is
// worth, when a rental is gone, and what is a leak.
//
// Every function takes all that it looks at, the time included, and returns a
// plan with a reason and a sentence for people. It changes none of its
// arguments: memory between two calls is a value that goes in and a new value
// that comes out.
//
// It may import the standard library's plain data packages and internal/fleet,
// and must not import a client, a clock, a context, a logger, randomness or any
// Kubernetes type. No float appears here: money is fleet.USDMicros.
package planner
