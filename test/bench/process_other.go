//go:build !linux

package main

import "syscall"

// childAttributes keep Ctrl-C from reaching a child: this program ends it.
func childAttributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
