// Package comfysim is one rented ComfyUI instance as it is deployed on Vast.ai's image, as an HTTP server: the Caddy front that
// authenticates and answers first, the instance portal, supervisor, provisioning, and ComfyUI itself with its queue, its worker,
// its history, its WebSocket events and really rendered images. Every way in which such an instance is known to go wrong is a
// named fault (see [Registry]).
//
// Time is simulated: every duration runs on the injected clock. Boot, crashes and restarts are computed from the clock when
// somebody looks, so that an idle instance costs one waiting goroutine a port and nothing else; thousands fit in one process.
//
// Ports are bound lazily. The caller reserves a port number (see [Reserve]) and hands over a function that listens on it; the
// simulator calls it when Caddy comes up, so that a connection before that is truly refused.
//
// The package imports nothing else of the project: the standard library, k8s.io/utils/clock and coder/websocket
// only. It is a fake for tests and for the demonstration; nothing in production may import it.
package comfysim
