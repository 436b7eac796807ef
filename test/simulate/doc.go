// Package simulate runs the operator's real controllers, its real Vast.ai client
// and the real simulator in one process on a virtual clock, under one seed, with
// everything going wrong that can: docs/explanation/simulation.md says what is
// real, what is a double, what is injected and what is checked.
//
//	make simulate N=20000 SEED=1
//
// One run of it is a schedule. A schedule is made from its seed alone: the same
// seed gives the same schedule, step by step, as long as the code is the same.
//
// It may import everything.
package simulate
