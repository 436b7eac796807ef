package comfysim

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
)

// Reservation holds a TCP port of the loopback address without listening on it: a connection to it is refused, and nobody else
// is given the number. It is what [Config.ListenComfy] wants: a port that is known before it answers.
type Reservation struct {
	addr string
	port int
	once sync.Once
	fd   int
	err  error
}

// Reserve reserves a free port of 127.0.0.1. It must be released with [Reservation.Close].
func Reserve() (*Reservation, error) {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("reserving a port: %w", os.NewSyscallError("socket", err))
	}
	port, err := bindLoopback(fd)
	if err != nil {
		_ = syscall.Close(fd) //nolint:errcheck // the first error is the one to report
		return nil, fmt.Errorf("reserving a port: %w", err)
	}
	addr := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(port)).String() //nolint:gosec // a port fits
	return &Reservation{addr: addr, port: port, fd: fd}, nil
}

// bindLoopback binds but does not listen. With SO_REUSEADDR on both sockets the real listener may bind the same port beside it,
// while the kernel gives the number to nobody who asks for any free port.
func bindLoopback(fd int) (int, error) {
	if err := syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1); err != nil {
		return 0, os.NewSyscallError("setsockopt", err)
	}
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return 0, os.NewSyscallError("bind", err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		return 0, os.NewSyscallError("getsockname", err)
	}
	inet, ok := name.(*syscall.SockaddrInet4)
	if !ok {
		return 0, syscall.EAFNOSUPPORT
	}
	return inet.Port, nil
}

// Addr is the reserved address, "127.0.0.1:port".
func (r *Reservation) Addr() string { return r.addr }

// Port is the reserved port number.
func (r *Reservation) Port() int { return r.port }

// Listen listens on the reserved port. It may be called again after the listener was closed.
func (r *Reservation) Listen() (net.Listener, error) {
	ln, err := net.Listen("tcp4", r.addr) //nolint:noctx // the signature is Config.ListenComfy's; listening does not block
	if err != nil {
		return nil, fmt.Errorf("listening on a reserved port: %w", err)
	}
	return ln, nil
}

// Close gives the number back. It does not close a listener. It may be called more than once.
func (r *Reservation) Close() error {
	r.once.Do(func() { r.err = syscall.Close(r.fd) })
	return r.err
}
