// Package crash kills the operator, as a process, at every await point of its
// rent and termination protocols, and lets the simulator's meter say what that
// cost (I1, I2, I4, I6).
//
// The operator is a child process: the test binary, started again. Between it
// and the API server, and between it and Vast.ai, stand two proxies of the
// test. They recognise every request by what it is for, so a test can kill the
// process with SIGKILL before a request is carried out, or after that and
// before the answer arrives. Both sides see what they would see of a machine
// that lost its power: nothing at all.
//
// Time goes on between the lives: every process runs on a scaled clock of the
// same epoch.
package crash
