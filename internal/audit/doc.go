// Package audit keeps append-only logs of who did what: JSON lines, each signed
// with a key derived from AUDIT_SALT and chained to the one before by its hash,
// in files that rotate and are deleted when they are old. It also verifies such
// logs, which needs nothing but the files, the salt and, to notice that the end
// was cut off, a head that was published elsewhere.
//
// An append is acknowledged after its fsync; appends that come at the same time
// share one. docs/reference/audit.md describes the format.
//
// It imports nothing of this project.
package audit
