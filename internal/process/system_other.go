//go:build unix && !linux

package process

import "syscall"

// childAttributes put a child into a process group of its own. Only Linux can
// tie its life to this program's: elsewhere kill -9 leaves it behind.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
