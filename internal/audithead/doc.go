// Package audithead publishes the head of an audit log in a ConfigMap, so that it
// shows when the end of the log was cut off: whoever can write the files of the
// log cannot write there.
//
// It imports internal/audit and nothing else of this project.
package audithead
