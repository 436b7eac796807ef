// Package options turns flags and environment variables into validated
// structs, one per binary. It is the only place outside cmd that reads the
// environment, and imports nothing of this project.
package options
