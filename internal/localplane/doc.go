// Package localplane runs a real etcd and kube-apiserver as children of this
// program, for make run and for the tests with real processes. Nothing that
// ships imports it.
package localplane
