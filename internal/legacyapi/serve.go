package legacyapi

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	stdlog "log"
	"net"
	"net/http"
	"time"
)

const (
	// headerPatience bounds how long a header may take to arrive.
	headerPatience = 10 * time.Second
	// idlePatience is the keep-alive of the legacy server.
	idlePatience = 65 * time.Second
	// maxHeader bounds a header.
	maxHeader = 32 << 10
)

// Serve answers on a listener until ctx ends, and then lets running requests
// finish within patience. WebSockets to ComfyUI are cut after it. secure is nil
// for plain HTTP.
func (s *Server) Serve(ctx context.Context, listener net.Listener, secure *tls.Config, patience time.Duration) error {
	// Requests outlive ctx until their patience is over.
	base, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	server := &http.Server{
		Handler: s, ReadHeaderTimeout: headerPatience, IdleTimeout: idlePatience, MaxHeaderBytes: maxHeader,
		BaseContext: func(net.Listener) context.Context { return base },
		// It would quote what strangers send.
		ErrorLog: stdlog.New(io.Discard, "", 0),
	}
	if secure != nil {
		secure = secure.Clone()
		// WebSockets need HTTP/1.1.
		secure.NextProtos = []string{"http/1.1"}
		listener = tls.NewListener(listener, secure)
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	s.log.Info("Serving the legacy API", "address", listener.Addr().String(), "pool", s.options.Pool.String(), "tls", secure != nil, "keyInURL", s.options.KeyInURL)
	select {
	case err := <-failed:
		return fmt.Errorf("serving the legacy API: %w", err)
	case <-ctx.Done():
	}
	s.log.Info("Stopping the legacy API")
	limited, cancel := context.WithTimeout(base, patience)
	defer cancel()
	err := server.Shutdown(limited)
	cut()
	if errors.Is(err, context.DeadlineExceeded) {
		err = server.Close()
	}
	s.Close()
	if err != nil {
		return fmt.Errorf("stopping the legacy API: %w", err)
	}
	return nil
}
