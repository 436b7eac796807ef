// Package integration runs the whole operator against a real API server, with
// exactly the generated RBAC role, and the simulator, on a clock that runs
// faster than the wall. The simulator's meter is the witness of every test.
package integration
