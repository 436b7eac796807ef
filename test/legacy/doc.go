// Package legacy runs the sidecar's API against a real API server, as a user who
// may do exactly what config/rbac/sidecar allows.
package legacy
