// Command situations brings about the situations that people meet with a pool,
// on a real API server with the operator and simulated Vast.ai accounts, and
// writes down what kubectl shows in each: docs/reference/situations.md.
//
// Nothing in the page is written by hand but the introductions, so that reading
// it is reading the operator's own words. It ships with nothing.
package main
