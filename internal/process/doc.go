// Package process runs programs as children that do not outlive this program:
// for make run and for the tests with real processes. It imports nothing of
// this project, and nothing that ships imports it.
package process
