// Package node runs a whole Kubernetes with one node that runs pods, as children
// of this program: etcd, kube-apiserver, kube-controller-manager,
// kube-scheduler, containerd, kubelet and kube-proxy. It has to run inside
// process.Isolated: its bridge, packet filters, mounts and processes are then
// its own and go away with it. It imports internal/localplane and
// internal/process only.
package node
