// Package testkit starts a real Kubernetes API server for tests and hands out
// clients to it: the administrator's, and one that may do exactly what the
// generated role of the manager allows.
//
// It is imported by tests only. It knows the repository's layout (bin/k8s,
// config/crd, config/rbac), and nothing of controllers, planner or provider.
// There is no controller manager behind the API server: no garbage collection
// and no deletion of namespaces, so every test works in a namespace of its own.
package testkit
