// Command licenses lists the licences of all that is compiled into the commands:
// as a page of the reference, and as a directory with their texts, which the
// image ships. It reads Go's module cache and imports nothing of this project.
package main
