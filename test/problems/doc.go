// Package problems holds a test for each of the hardest ways in which money can
// be lost (docs/explanation/money-safety.md lists them), as far as it crosses
// rooms: the real controllers and the real client of Vast.ai, against the
// simulator and an API server in memory, on a clock that the test moves.
//
// Everything is called one step at a time, so that a test can stop, lie, lag,
// edit and delete between any two steps. What a single room can show is tested
// in that room.
package problems
