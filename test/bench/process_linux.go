package main

import "syscall"

// childAttributes let the kernel kill a child when this program is killed, and
// keep Ctrl-C from reaching it: this program ends it.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
