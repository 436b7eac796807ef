package comfyui

import (
	"errors"
	"net"
	"net/http"
	"strings"
	"time"
)

// errNothingPinned is why nothing is sent to an instance whose certificate was
// not recorded yet: whoever answers first would get the password.
var errNothingPinned = errors.New("the certificate of the instance is not recorded yet: wait until the instance has answered once")

// NewTransport returns a transport for handing other people's requests on to the
// front of one instance: no limit to how long an answer takes once it has begun,
// so that it may stream. It trusts exactly what the Prober would, but for one
// thing: with TLSPinned it needs the fingerprint and returns an error without.
// The transport speaks HTTP/1.1, uses no proxy and keeps idle connections for a
// minute; CloseIdleConnections drops them.
func NewTransport(config TLSConfig, now func() time.Time) (*http.Transport, error) {
	const (
		dialTimeout, handshakeTimeout = 10 * time.Second, 10 * time.Second
		// A busy ComfyUI stays silent for as long as a model loads.
		headerTimeout = 180 * time.Second
		idleTimeout   = time.Minute
		maxIdle       = 8
	)
	if config.mode() == TLSPinned && strings.TrimSpace(config.PinnedSHA256) == "" {
		return nil, errNothingPinned
	}
	dialer := &net.Dialer{Timeout: dialTimeout}
	transport := &http.Transport{
		Proxy: nil, DialContext: dialer.DialContext,
		TLSHandshakeTimeout: handshakeTimeout, ResponseHeaderTimeout: headerTimeout, IdleConnTimeout: idleTimeout,
		MaxIdleConns: maxIdle, MaxIdleConnsPerHost: maxIdle, MaxResponseHeaderBytes: maxHeaderBytes, DisableCompression: true,
	}
	if config.mode() != TLSOff {
		transport.TLSClientConfig = tlsClient(config, now, func(string) {})
	}
	return transport, nil
}
