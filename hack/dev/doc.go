// Command dev is the program behind "make run": one process tree with a real
// etcd and kube-apiserver, a simulated Vast.ai and the operator, an account, a
// pool, and a table that shows what happens. With --real the same operator
// rents on the real Vast.ai; with --once it proves itself and ends.
//
// Everything that it starts is its child and ends with it, also when it is
// killed: nothing is left that listens or bills. What lasts of a run (logs, the
// kubeconfig while it runs, and with --real the database until every rental is
// confirmed gone) is in .run.
//
// It reads the cluster as kubectl does and the simulator's meter as anybody
// can, and decides nothing for the operator. It may import everything of ours.
package main
