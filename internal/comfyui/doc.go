// Package comfyui is the client of one rented ComfyUI and the prober that the
// WarmInstance reconciler asks: is it there, is it alive, what is in its queue,
// what does the instance portal say of the boot, and does it really render.
//
// Every answer becomes a noun of internal/fleet: a fleet.Signal tells in one
// word what a call showed, and the message beside it is one sentence for people
// with the remedy. The package decides nothing: thresholds, restarts and
// replacements belong to internal/planner.
//
// The bodies that it reads come from a rented machine, so they are hostile until
// proved otherwise: every body is bounded, redirects are not followed, no proxy
// is used, pictures are measured before they are decoded, and texts are cleaned
// and shortened before they reach a message. Decoders are lenient, because
// ComfyUI promises no compatibility between releases.
//
// It imports internal/fleet and the standard library, and every wait goes
// through the injected clock. It must not import the API types, the
// controllers, the Vast.ai client or the simulator.
package comfyui
