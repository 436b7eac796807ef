package process

import "syscall"

// childAttributes put a child into a process group of its own, so that Ctrl-C
// reaches this program alone and it can end the others in order, and let the
// kernel kill the child when this program is killed.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
