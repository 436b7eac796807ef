// Package metrics exposes what Warmpool knows to Prometheus: a collector that
// reads the objects when it is scraped, so that no gauge can go stale, and
// counters for the calls to Vast.ai. Labels come from fixed sets and object names.
package metrics
