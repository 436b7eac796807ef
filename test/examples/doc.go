// Package examples does what the documentation tells people to do, and what the
// operators of the legacy system were promised, against the programs of make run.
// The lines of curl are read from the documentation itself, so that neither can
// change without the other.
package examples
