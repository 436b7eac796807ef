// Command chaos breaks a whole installation made of real processes for a
// bounded time and then asks the witness what it cost: a kube-apiserver and an
// etcd, two managers with leader election and the simulator, each in a network
// namespace of its own. docs/explanation/chaos.md explains what is real, what
// is cut and what is judged.
//
// The plan of faults (plan.go) and the judgement (judge*.go) are pure; the rest
// carries them out. It may import everything of ours.
package main
