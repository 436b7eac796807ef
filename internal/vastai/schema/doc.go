// Package schema holds the JSON of the Vast.ai REST API as it is on the wire:
// what the client decodes and the simulator encodes, and the reverse.
//
// The API is loose about types: a number may come as text, as a float or as
// null, a list may come as an object. The scalar types of this package accept
// all of that and never fail on a value of an unexpected shape; whether a
// value that matters can be used is asked with methods that answer false. What
// must be told apart (an absent key, a null, an empty list) stays apart.
//
// It imports the standard library only, knows nothing of fleet, does no I/O
// and holds no policy.
package schema
