// Package fleet holds the nouns that the planner, the Vast.ai client and the
// controllers share: money, offers, rentals, labels and typed provider errors.
//
// It imports the standard library only, knows no Kubernetes type and no wire
// format, reads no clock and does no I/O. Money is an integer number of
// micro-dollars; no float appears here.
package fleet
