//go:build linux || darwin || freebsd || netbsd || openbsd

package audit

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// lockFile keeps other processes from writing the same log until the file is
// closed or this process ends, however it does.
func lockFile(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, fileMode) //nolint:gosec // a file of the configured directory
	if err != nil {
		return nil, fmt.Errorf("opening the lock of the audit log: %w", err)
	}
	if err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err == nil {
		return file, nil
	}
	_ = file.Close() //nolint:errcheck // nothing was written
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, fmt.Errorf("%w (%s): give each its own directory", ErrLocked, path)
	}
	return nil, fmt.Errorf("locking the audit log: %w", err)
}
