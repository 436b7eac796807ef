package version

import (
	"fmt"
	"io"
	"runtime"
)

// Both are written by the linker (-X, see the Makefile): a build without version
// control, as in an image, has no other way to know them.
//
//nolint:gochecknoglobals // the linker can only write package variables
var (
	release = "unknown"
	commit  = "unknown"
)

// Info says what was built, from what, by what and for what.
type Info struct {
	// Release is a tag such as "v0.1.0", or what git describe says of a commit after one.
	Release string
	// Commit is the full hash, with "-dirty" when files had been changed; "unknown" outside a clone.
	Commit string
	// Go is the version of the compiler, such as "go1.26.8".
	Go string
	// Platform is operating system and architecture, such as "linux/arm64".
	Platform string
}

// Get returns what the linker and the compiler wrote into this program.
func Get() Info {
	return Info{Release: release, Commit: commit, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
}

// String is one line: "v0.1.0 (commit 1f0c…, go1.26.8, linux/amd64)".
func (i Info) String() string {
	return fmt.Sprintf("%s (commit %s, %s, %s)", i.Release, i.Commit, i.Go, i.Platform)
}

// IsAsked is true when the only argument is --version, in one of Go's spellings.
func IsAsked(arguments []string) bool {
	return len(arguments) == 1 && (arguments[0] == "--version" || arguments[0] == "-version")
}

// Print writes the line of a program. Like the help of the flag package it is
// no error, so a program that was asked ends with 0.
func Print(out io.Writer, program string) error {
	_, err := fmt.Fprintf(out, "%s %s\n", program, Get())
	return err
}
