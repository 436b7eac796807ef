// Package version says which build a program is. It imports nothing of this
// project.
package version
