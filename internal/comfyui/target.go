package comfyui

import (
	"fmt"
	"log/slog"
)

// TLSMode says how the front of an instance is trusted.
type TLSMode string

// The modes of TLS.
const (
	// TLSOff speaks plain HTTP: the token crosses the network in clear.
	TLSOff TLSMode = "Off"
	// TLSPinned trusts exactly one certificate, by its fingerprint.
	TLSPinned TLSMode = "Pinned"
	// TLSCA trusts every certificate that an authority of the bundle signed. Host
	// names are not compared, because Vast.ai's certificates name no host.
	TLSCA TLSMode = "CA"
)

// TLSConfig is how the front of an instance is trusted.
type TLSConfig struct {
	// Mode is TLSOff when empty.
	Mode TLSMode
	// PinnedSHA256 is the SHA-256 of the leaf certificate (DER) in hex, with or
	// without colons. Empty trusts the certificate that is seen first; the
	// fingerprint is in ProbeResult.CertificateSHA256, for the caller to keep.
	PinnedSHA256 string
	// CAPEM is the bundle of authorities for TLSCA.
	CAPEM []byte
}

// Target is one instance to talk to. It holds a secret, and no way of printing
// it shows the secret.
type Target struct {
	// Address is "host:port" of ComfyUI's front.
	Address string
	// PortalAddress is "host:port" of the instance portal (port 1111), empty when unknown.
	PortalAddress string
	// TLS is how both are trusted.
	TLS TLSConfig
	// Token is the bearer token (WEB_PASSWORD), empty when the front asks for none.
	Token string
}

// String shows where the target is, and nothing secret.
func (t Target) String() string {
	return fmt.Sprintf("comfyui target %s (portal %q, TLS %s)", t.Address, t.PortalAddress, t.TLS.mode())
}

// GoString is String, so that %#v shows nothing secret either.
func (t Target) GoString() string { return t.String() }

// LogValue is what slog writes: nothing secret.
func (t Target) LogValue() slog.Value { return slog.StringValue(t.String()) }

// MarshalLog is what logr writes: nothing secret.
func (t Target) MarshalLog() any { return t.String() }

// MarshalText is what JSON and YAML encoders write: nothing secret.
func (t Target) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// scheme is the URL scheme that the mode calls for.
func (t Target) scheme() string {
	if t.TLS.mode() == TLSOff {
		return "http"
	}
	return "https"
}

func (c TLSConfig) mode() TLSMode {
	if c.Mode == "" {
		return TLSOff
	}
	return c.Mode
}
