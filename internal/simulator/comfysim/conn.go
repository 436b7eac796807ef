package comfysim

import (
	"crypto/tls"
	"io"
	"net"
	"sync"
	"time"
)

// conn is a connection that knows whether its client speaks TLS, and that falls silent while the half-open fault is set.
type conn struct {
	net.Conn
	port   *port
	closed chan struct{}
	once   sync.Once

	sniff  sync.Once
	secure *tls.Conn // nil for plain HTTP; set before the first byte is handed on
	plain  io.Reader
	err    error
}

func newConn(c net.Conn, p *port) *conn { return &conn{Conn: c, port: p, closed: make(chan struct{})} }

// tlsRecordHandshake is the first byte of a TLS client's first record.
const tlsRecordHandshake = 0x16

// open looks at the first byte, as Caddy's http_redirect listener wrapper does.
func (c *conn) open() {
	c.plain = c.Conn
	i := c.port.inst
	if !i.servesTLS() {
		return
	}
	first := make([]byte, 1)
	if _, err := io.ReadFull(c.Conn, first); err != nil {
		c.err = err
		return
	}
	replay := &replayConn{Conn: c.Conn, first: first}
	if first[0] != tlsRecordHandshake {
		c.plain = replay
		return
	}
	cert, err := i.certificate()
	if err != nil {
		c.err = err
		return
	}
	c.secure = tls.Server(replay, &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12})
}

// Read reads what the client sent, decrypted.
func (c *conn) Read(b []byte) (int, error) {
	c.sniff.Do(c.open)
	if c.err != nil {
		return 0, c.err
	}
	var n int
	var err error
	if c.secure != nil {
		n, err = c.secure.Read(b)
	} else {
		n, err = c.plain.Read(b)
	}
	c.gate()
	return n, err
}

// Write sends to the client.
func (c *conn) Write(b []byte) (int, error) {
	c.gate()
	if c.secure != nil {
		return c.secure.Write(b)
	}
	return c.Conn.Write(b)
}

// gate waits while the connection is half open: what arrived is not seen and what is written does not leave.
func (c *conn) gate() {
	i := c.port.inst
	i.await(c.closed, func(time.Time) (time.Duration, bool) {
		half, ok := i.active[FaultHalfOpen]
		return 0, !ok || !half.matches(c.port.app.ExternalPort)
	})
}

// Close closes the connection without TLS's farewell, as a killed process does.
func (c *conn) Close() error {
	c.once.Do(func() { close(c.closed) })
	c.port.forget(c)
	return c.Conn.Close()
}

// isSecure tells whether the client spoke TLS. It is meaningful after the first byte was read.
func (c *conn) isSecure() bool { return c.secure != nil }

// replayConn gives the first byte again.
type replayConn struct {
	net.Conn
	first []byte
}

// Read reads the sniffed byte, then the connection.
func (r *replayConn) Read(b []byte) (int, error) {
	if len(r.first) > 0 && len(b) > 0 {
		n := copy(b, r.first)
		r.first = r.first[n:]
		return n, nil
	}
	return r.Conn.Read(b)
}
