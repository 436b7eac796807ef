package comfysim

import (
	"crypto/tls"
	"crypto/x509"
	"testing"
)

func (b *bench) peerCertificate(t *testing.T) *x509.Certificate {
	t.Helper()
	dialer := &tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}}
	c, err := dialer.DialContext(t.Context(), "tcp", b.comfy.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	secure, ok := c.(*tls.Conn)
	if !ok {
		t.Fatal("no TLS connection")
	}
	return secure.ConnectionState().PeerCertificates[0]
}
