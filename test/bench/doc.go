// Command bench prints how fast and how large the operator is, each figure
// beside the bound that the documented limits of Vast.ai, or we, set for it:
//
//	bench <name> <value> <unit> bound=<b> ratio=<r>
//
// Everything is measured from outside: by the simulator's book of rentals, by
// the API server, and by /proc. docs/reference/benchmarks.md explains every
// figure. A figure above its bound is no failure; one that could not be
// measured is. It may import everything of ours.
package main
