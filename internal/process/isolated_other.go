//go:build unix && !linux

package process

import (
	"errors"
	"syscall"
)

// errNoNamespaces says where this cannot run.
var errNoNamespaces = errors.New("only Linux has network namespaces")

// isolatedAttributes are those of a child without namespaces.
func isolatedAttributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// OwnMounts fails: only Linux has network namespaces.
func OwnMounts() error { return errNoNamespaces }
