package simulator

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"

	"github.com/warmpool-dev/warmpool/internal/simulator/comfysim"
)

// loopbackIP is the address of everything that the simulator opens, unless the
// configuration names another.
const loopbackIP = "127.0.0.1"

// containerPort is a public port of a container: reserved from the start, so
// that a connection is refused until something listens on it.
type containerPort struct {
	*comfysim.Reservation
	listen func() (net.Listener, error)
}

// gate stands before all ports of a container. While it is blocked the network
// is silent: established connections are cut, new ones are accepted by the
// kernel and get no answer.
type gate struct {
	mu       sync.Mutex
	blocked  bool
	closed   bool
	conns    map[net.Conn]bool
	held     []net.Conn
	reserved []*containerPort
	// listeners are closed with the gate, so that a port refuses at once
	// although its server is torn down in the background.
	listeners []net.Listener
}

// errGateClosed reports a container that was stopped meanwhile.
var errGateClosed = errors.New("the container was stopped")

// newGate returns an open gate.
func newGate() *gate { return &gate{conns: map[net.Conn]bool{}} }

// reserve reserves a port behind a gate.
func (w *world) reserve(g *gate) (*containerPort, error) {
	reservation, err := comfysim.Reserve()
	if err != nil {
		return nil, err
	}
	listen := func() (net.Listener, error) {
		inner, err := w.listen(reservation.Port())
		if err != nil {
			return nil, fmt.Errorf("listening on port %d of a container: %w", reservation.Port(), err)
		}
		return g.guard(inner)
	}
	return &containerPort{reservation, listen}, nil
}

// guard puts a listener behind the gate.
func (g *gate) guard(inner net.Listener) (net.Listener, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		logClose(inner)
		return nil, errGateClosed
	}
	g.listeners = append(g.listeners, inner)
	return &gatedListener{Listener: inner, gate: g}, nil
}

// listenAt returns a function that listens on a port of an address.
func listenAt(ctx context.Context, address string) func(port int) (net.Listener, error) {
	return func(port int) (net.Listener, error) {
		var config net.ListenConfig
		return config.Listen(ctx, "tcp", net.JoinHostPort(address, strconv.Itoa(port)))
	}
}

// block cuts or restores the network.
func (g *gate) block(blocked bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.blocked = blocked
	if blocked {
		for conn := range g.conns {
			logClose(conn)
		}
		clear(g.conns)
		return
	}
	g.dropHeld()
}

// dropHeld closes what waited in silence.
func (g *gate) dropHeld() {
	for _, conn := range g.held {
		logClose(conn)
	}
	g.held = nil
}

// close cuts everything and gives the ports back.
func (g *gate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
	for _, listener := range g.listeners {
		logClose(listener)
	}
	g.listeners = nil
	for conn := range g.conns {
		logClose(conn)
	}
	clear(g.conns)
	g.dropHeld()
	for _, r := range g.reserved {
		logClose(r.Reservation)
	}
	g.reserved = nil
}

// admit tells whether a new connection may be served.
func (g *gate) admit(conn net.Conn) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.closed:
		logClose(conn)
		return false
	case g.blocked:
		g.held = append(g.held, conn)
		return false
	default:
		g.conns[conn] = true
		return true
	}
}

// forget drops a connection that was closed.
func (g *gate) forget(conn net.Conn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.conns, conn)
}

// gatedListener is a listener behind a gate.
type gatedListener struct {
	net.Listener
	gate *gate
}

// Accept implements net.Listener.
func (l *gatedListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if l.gate.admit(conn) {
			return &gatedConn{Conn: conn, gate: l.gate}, nil
		}
	}
}

// gatedConn tells the gate when it is closed.
type gatedConn struct {
	net.Conn
	gate *gate
}

// Close implements net.Conn.
func (c *gatedConn) Close() error {
	c.gate.forget(c.Conn)
	return c.Conn.Close()
}

// serveSimple accepts connections of a port that only needs to be there; an SSH
// port says so first.
func serveSimple(listener net.Listener, ssh bool) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		if ssh {
			if _, err := io.WriteString(conn, "SSH-2.0-OpenSSH_8.9p1 Simulator\r\n"); err != nil {
				logClose(conn)
				continue
			}
		}
		logClose(conn)
	}
}

// logClose closes what nobody can be told about any more.
func logClose(c io.Closer) {
	if c.Close() != nil {
		return // closed already
	}
}
