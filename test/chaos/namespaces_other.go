//go:build unix && !linux

package main

import "syscall"

// namespaceAttributes are those of a child without namespaces.
func namespaceAttributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// ownMounts fails: only Linux has network namespaces.
func ownMounts() error { return errNeeds }
