package comfyui

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"strings"
	"syscall"

	"github.com/warmpool-dev/warmpool/internal/fleet"
)

// connect opens a TCP connection within the dial limit. The transport detaches
// the context of its dials from the call; closing the session ends those that
// nobody waits for any more.
func (s *session) connect(parent context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := context.WithCancelCause(parent)
	defer cancel(nil)
	defer s.timers.after(s.dialLimit, func() { cancel(errConnectTimeout) })()
	dialer := net.Dialer{KeepAlive: -1}
	conn, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, dialSignal(context.Cause(ctx), err)
	}
	recorded := &recordingConn{Conn: conn}
	s.last.Store(recorded)
	return recorded, nil
}

// handshake runs TLS over conn, and closes conn when it fails.
func (s *session) handshake(parent context.Context, conn net.Conn, config *tls.Config) (net.Conn, error) {
	ctx, cancel := context.WithCancelCause(parent)
	defer cancel(nil)
	defer s.timers.after(s.answer, func() { cancel(errSilent) })()
	config = config.Clone()
	if host, _, err := net.SplitHostPort(s.address); err == nil {
		config.ServerName = host
	}
	secured := tls.Client(conn, config)
	if err := secured.HandshakeContext(ctx); err != nil {
		_ = conn.Close() //nolint:errcheck // the handshake failed; its error is the one that counts
		if cause := context.Cause(ctx); cause != nil {
			return nil, interrupted(cause)
		}
		return nil, handshakeSignal(err)
	}
	recorded := &recordingConn{Conn: secured}
	s.last.Store(recorded)
	return recorded, nil
}

// dialSignal says what a failed TCP connect showed; cause is why it was given up, if it was.
func dialSignal(cause, err error) *callError {
	var lookup *net.DNSError
	switch {
	case errors.Is(cause, errConnectTimeout), errors.Is(err, syscall.ETIMEDOUT):
		return fail(fleet.SignalConnectTimeout,
			"The instance's port does not answer TCP at all. The host's network is broken or not up yet; if this lasts over a minute after the start, rent elsewhere.", err)
	case errors.Is(err, syscall.ECONNREFUSED), isReset(err):
		return fail(fleet.SignalConnectionRefused,
			"The host answers but nothing listens on the port yet. Wait while the instance starts; if it lasts, look at the instance's log.", err)
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return fail(fleet.SignalConnectTimeout,
			"There is no route to the instance's host. Check this cluster's egress; if others answer, rent elsewhere.", err)
	case errors.As(err, &lookup):
		return fail(fleet.SignalConnectTimeout,
			"The name of the instance's host cannot be resolved. Check DNS; if others answer, rent elsewhere.", err)
	default:
		// Out of file descriptors or ports, or an address that is none: this side's
		// trouble, which must not be held against the instance.
		return fail(signalNothing,
			"The instance could not be asked because this side could not open a connection. Check the limits of the manager and the instance's address.", err)
	}
}

// interrupted is the verdict when a call ended by a cause of this side.
func interrupted(cause error) *callError {
	switch {
	case errors.Is(cause, errSilent):
		return fail(fleet.SignalNoAnswer,
			"The instance accepted the connection and then stayed silent. It may be busy loading a model; if it was idle and this lasts, restart ComfyUI.", cause)
	case errors.Is(cause, errTooLong):
		return fail(fleet.SignalNoAnswer,
			"The instance answers so slowly that the verification was not done in time. Verify again; if it repeats, replace the instance.", cause)
	default:
		return fail(signalNothing, "The call was given up before the instance answered, so it says nothing.", cause)
	}
}

// explain turns an error of a call that was under way into what it showed.
func (s *session) explain(ctx context.Context, err error) *callError {
	if call, ok := errors.AsType[*callError](err); ok {
		return call
	}
	if cause := context.Cause(ctx); cause != nil {
		return interrupted(cause)
	}
	start := s.last.Load().start()
	switch {
	case start == "":
		return fail(fleet.SignalConnectionRefused,
			"The connection was accepted and closed again without an answer. Nothing listens behind the port yet; wait.", err)
	case isTLSRecord(start):
		return fail(fleet.SignalSchemeMismatch,
			"ComfyUI's front speaks HTTPS where plain HTTP is expected. Set tls.mode to Pinned or CA.", err)
	case strings.HasPrefix(start, "HTTP/"):
		return fail(fleet.SignalNoAnswer,
			"The answer broke off in the middle. Wait; if it lasts, restart ComfyUI.", err)
	default:
		return fail(fleet.SignalUnexpectedService,
			"Something else than a web server answers on ComfyUI's port. Check the port map and PORTAL_CONFIG of the template.", err)
	}
}

// isTLSRecord is true for the start of a TLS alert or handshake record.
func isTLSRecord(start string) bool {
	return len(start) >= 2 && (start[0] == 0x15 || start[0] == 0x16) && start[1] == 0x03
}

func isReset(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNABORTED)
}
