// Package operator wires the controllers to a cluster, to Vast.ai and to
// ComfyUI. cmd/manager, the demo, the tests and the benchmarks all run the
// operator through it, so that what is tested is what runs.
//
// It decides nothing. It may import everything but the simulator and testkit.
package operator
