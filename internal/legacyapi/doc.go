// Package legacyapi serves the HTTP contract of the legacy proxy,
// /api/proxy/admin and its neighbours, for one WarmPool, over the Kubernetes
// API. It keeps paths, fields, types, status codes and texts, and leaves out the
// defects; docs/reference/legacy-api.md lists every difference with its reason.
//
// A request passes, in this order: headers that every answer has, the limits of
// its peer, the router, the admin key, the place that it may come from, the
// decoder, the audit log, the handler, the audit log again, and only then it is
// answered. What changes something is recorded before it is done and before it
// is answered. State lives in the API server alone; what is kept here is a
// memory of seconds and can be lost.
//
// It imports api and audit of ours, and no other room: never the client of
// Vast.ai. How to reach a rented ComfyUI is handed in as a Dialer.
package legacyapi
