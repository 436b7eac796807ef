package comfysim

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net"
	"strings"
	"time"
)

// certificate is the instance's own, made at the first handshake.
type certificate struct {
	tls tls.Certificate
}

// servesTLS tells what the front speaks now.
func (i *Instance) servesTLS() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	if mismatch, ok := i.active[FaultSchemeMismatch]; ok {
		return mismatch.text("serve") == "https"
	}
	return strings.EqualFold(i.cfg.Env["ENABLE_HTTPS"], "true")
}

func (i *Instance) certificate() (tls.Certificate, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	which := 0
	if _, changed := i.active[FaultCertificateChange]; changed {
		which = 1
	}
	if i.certs[which] == nil {
		made, err := selfSigned(i.clk.Now())
		if err != nil {
			return tls.Certificate{}, err
		}
		i.certs[which] = &made
	}
	return i.certs[which].tls, nil
}

// CertificateDER returns the certificate that the front shows now, for tests of pinning. It makes it if need be.
func (i *Instance) CertificateDER() ([]byte, error) {
	cert, err := i.certificate()
	if err != nil {
		return nil, err
	}
	return cert.Certificate[0], nil
}

// selfSigned makes what the image makes when console.vast.ai does not sign: no name that a client could verify.
func selfSigned(now time.Time) (certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return certificate{}, fmt.Errorf("making the instance's key: %w", err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return certificate{}, fmt.Errorf("making the certificate's serial number: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: "jupyter.vast.ai", Organization: []string{"Vast.ai Inc."}, Country: []string{"US"}},
		NotBefore:    now.Add(-time.Hour),
		NotAfter:     now.AddDate(1, 0, 0),
		IPAddresses:  []net.IP{net.IPv4zero},
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return certificate{}, fmt.Errorf("signing the instance's certificate: %w", err)
	}
	return certificate{tls: tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}}, nil
}
