package comfysim

import (
	"context"
	"errors"
	"log"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"
)

// backendFunc answers a request that the front has let through.
type backendFunc func(w http.ResponseWriter, r *http.Request)

// port is one public port: bound only while Caddy is up and no fault closes it.
type port struct {
	inst    *Instance
	app     portalApp
	listen  func() (net.Listener, error)
	backend backendFunc
	server  *http.Server

	ln   net.Listener // guarded by the instance's lock, as mode
	mode portMode

	mu    sync.Mutex
	conns map[*conn]struct{}
}

// portMode is what a port does with connections.
type portMode int

const (
	portClosed portMode = iota // refuses
	portServes
	portSilent // accepts and says nothing
	portDrops  // does not even complete the handshake
)

func newPort(i *Instance, app portalApp, listen func() (net.Listener, error), backend backendFunc) *port {
	p := &port{inst: i, app: app, listen: listen, backend: backend, conns: map[*conn]struct{}{}}
	p.server = &http.Server{
		Handler:           http.HandlerFunc(p.serve),
		ReadHeaderTimeout: 0, // time is simulated; a client that stalls costs one connection until Stop
		ErrorLog:          log.New(discard{}, "", 0),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, connKey{}, c)
		},
	}
	return p
}

type connKey struct{}

type discard struct{}

func (discard) Write(b []byte) (int, error) { return len(b), nil }

// modeLocked is what the port should do now. The instance's lock is held.
func (p *port) modeLocked() portMode {
	i := p.inst
	if i.stopped || !i.boot.front {
		return portClosed
	}
	if refuse, ok := i.active[FaultRefuse]; ok && refuse.matches(p.app.ExternalPort) {
		return portClosed
	}
	if hole, ok := i.active[FaultBlackhole]; ok && hole.matches(p.app.ExternalPort) {
		if hole.text("how") == "drop" {
			return portDrops
		}
		return portSilent
	}
	return portServes
}

// run is the port's one goroutine: it waits until the port should be open, opens it, serves until that changes, and again.
func (p *port) run() {
	for {
		var mode portMode
		open := p.inst.await(nil, func(time.Time) (time.Duration, bool) {
			mode = p.modeLocked()
			wait := time.Duration(0)
			if at := p.inst.boot.frontAt; !at.IsZero() {
				wait = at.Sub(p.inst.clk.Now())
			}
			return wait, mode != portClosed
		})
		if !open {
			return
		}
		if err := p.serveAs(mode); err != nil && !p.inst.pause(nil, time.Second) {
			return
		}
	}
}

// serveAs binds the port and serves in one mode until the mode should be another.
func (p *port) serveAs(mode portMode) error {
	ln, err := p.listen()
	if err != nil {
		p.inst.mu.Lock()
		p.inst.logLocked("Error: listening on port %d: address unavailable", p.app.ExternalPort)
		p.inst.mu.Unlock()
		return err
	}
	p.inst.mu.Lock()
	p.ln, p.mode = ln, mode
	p.followLocked() // a fault may have been set while the port was being bound
	p.inst.mu.Unlock()
	switch mode {
	case portDrops:
		p.drop(ln, mode)
	case portSilent:
		p.hold(ln)
	case portServes, portClosed:
		err = p.server.Serve(&listener{Listener: ln, port: p})
	}
	p.inst.mu.Lock()
	if err != nil && !errors.Is(err, net.ErrClosed) && !errors.Is(err, http.ErrServerClosed) {
		p.inst.logLocked("Error: serving port %d ended", p.app.ExternalPort)
	}
	p.ln = nil
	p.inst.mu.Unlock()
	_ = ln.Close() //nolint:errcheck // most often closed already
	p.breakConnections()
	return nil
}

// followLocked closes the listener when the port should do something else than it does; run opens it anew.
func (p *port) followLocked() {
	if p.ln != nil && p.modeLocked() != p.mode {
		_ = p.ln.Close() //nolint:errcheck // ends the accept loop; a listener that is closed already is as good
	}
}

// hold accepts and says nothing.
func (p *port) hold(ln net.Listener) {
	for {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		p.track(newConn(c, p))
	}
}

// drop makes the kernel drop new handshakes: the queue of connections that wait to be accepted is made as short as it can be and
// filled from here, and nobody accepts. Where the listener is not TCP, connections are merely never accepted.
func (p *port) drop(ln net.Listener, mode portMode) {
	if tcp, ok := ln.(*net.TCPListener); ok {
		if raw, err := tcp.SyscallConn(); err == nil {
			_ = raw.Control(func(fd uintptr) { _ = syscall.Listen(int(fd), 0) }) //nolint:errcheck // best effort: without it connections hang later
		}
		dialer := net.Dialer{Timeout: 50 * time.Millisecond} // real time: loopback either answers at once or is full
		for range 3 {
			c, err := dialer.Dial("tcp", ln.Addr().String())
			if err != nil {
				break
			}
			p.track(newConn(c, p))
		}
	}
	p.inst.await(nil, func(time.Time) (time.Duration, bool) { return 0, p.modeLocked() != mode })
}

func (p *port) track(c *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns[c] = struct{}{}
}

func (p *port) forget(c *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
}

// breakConnections cuts every open connection, hijacked ones included.
func (p *port) breakConnections() {
	p.mu.Lock()
	open := make([]*conn, 0, len(p.conns))
	for c := range p.conns {
		open = append(open, c)
	}
	p.mu.Unlock()
	for _, c := range open {
		_ = c.Close() //nolint:errcheck // it is being broken on purpose
	}
}

func (p *port) closeServer() {
	_ = p.server.Close() //nolint:errcheck // the listener may be closed already
}

// listener hands out connections that obey the faults of the network.
type listener struct {
	net.Listener
	port *port
}

// Accept waits for the next connection.
func (l *listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	wrapped := newConn(c, l.port)
	l.port.track(wrapped)
	return wrapped, nil
}
