package comfyui

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	"github.com/warmpool-dev/warmpool/internal/fleet"
)

func quietLog() *log.Logger { return log.New(io.Discard, "", 0) }

// authority signs certificates for tests.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

func newAuthority(t *testing.T, usage x509.KeyUsage, until time.Time) authority {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "root " + t.Name()},
		NotBefore: start().Add(-time.Hour), NotAfter: until,
		IsCA: true, BasicConstraintsValid: true, MaxPathLen: 1, KeyUsage: usage,
	}
	key := newKey(t)
	return authority{certificate: sign(t, template, template, key, key), key: key}
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatalf("making a key: %v", err)
	}
	return key
}

func sign(t *testing.T, template, parent *x509.Certificate, key, signer *ecdsa.PrivateKey) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatalf("signing: %v", err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatalf("parsing: %v", err)
	}
	return certificate
}

func (a authority) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.certificate.Raw})
}

// leaf is a certificate like Vast.ai's: it names no host that anybody dials.
func (a authority) leaf(t *testing.T) tls.Certificate {
	t.Helper()
	key := newKey(t)
	certificate := sign(t, &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "jupyter.vast.ai"}, IPAddresses: []net.IP{net.IPv4zero},
		NotBefore: start().Add(-time.Hour), NotAfter: start().AddDate(1, 0, 0),
	}, a.certificate, key, a.key)
	return tls.Certificate{Certificate: [][]byte{certificate.Raw}, PrivateKey: key}
}

func TestProbeTrustsWhatItIsToldToTrust(t *testing.T) {
	later := start().AddDate(10, 0, 0)
	proper := newAuthority(t, x509.KeyUsageCertSign, later)
	vast := newAuthority(t, x509.KeyUsageDigitalSignature, later)
	old := newAuthority(t, x509.KeyUsageDigitalSignature, start().Add(-time.Minute))
	stranger := newAuthority(t, x509.KeyUsageCertSign, later)
	// stranger has the same name as proper, so that only the signature tells them apart.
	properLeaf, vastLeaf := proper.leaf(t), vast.leaf(t)
	selfSigned := newAuthority(t, x509.KeyUsageDigitalSignature, later)
	self := tls.Certificate{Certificate: [][]byte{selfSigned.certificate.Raw}, PrivateKey: selfSigned.key}
	pin := Fingerprint(properLeaf.Certificate[0])
	colons := strings.ToUpper(pin[:2] + ":" + pin[2:])
	cases := map[string]struct {
		shown  tls.Certificate
		config TLSConfig
		now    time.Time
		want   fleet.Signal
	}{
		"first use":                     {properLeaf, TLSConfig{Mode: TLSPinned}, start(), fleet.SignalServing},
		"right pin":                     {properLeaf, TLSConfig{Mode: TLSPinned, PinnedSHA256: pin}, start(), fleet.SignalServing},
		"right pin with colons":         {properLeaf, TLSConfig{Mode: TLSPinned, PinnedSHA256: colons}, start(), fleet.SignalServing},
		"right pin, expired":            {properLeaf, TLSConfig{Mode: TLSPinned, PinnedSHA256: pin}, start().AddDate(5, 0, 0), fleet.SignalServing},
		"wrong pin":                     {vastLeaf, TLSConfig{Mode: TLSPinned, PinnedSHA256: pin}, start(), fleet.SignalCertificateUntrusted},
		"half a pin":                    {properLeaf, TLSConfig{Mode: TLSPinned, PinnedSHA256: pin[:32]}, start(), fleet.SignalCertificateUntrusted},
		"authority":                     {properLeaf, TLSConfig{Mode: TLSCA, CAPEM: proper.pem()}, start(), fleet.SignalServing},
		"authority among others":        {properLeaf, TLSConfig{Mode: TLSCA, CAPEM: append(vast.pem(), proper.pem()...)}, start(), fleet.SignalServing},
		"authority without keyCertSign": {vastLeaf, TLSConfig{Mode: TLSCA, CAPEM: vast.pem()}, start(), fleet.SignalServing},
		"the certificate itself":        {self, TLSConfig{Mode: TLSCA, CAPEM: selfSigned.pem()}, start(), fleet.SignalServing},
		"another authority":             {properLeaf, TLSConfig{Mode: TLSCA, CAPEM: stranger.pem()}, start(), fleet.SignalCertificateUntrusted},
		"expired":                       {properLeaf, TLSConfig{Mode: TLSCA, CAPEM: proper.pem()}, start().AddDate(2, 0, 0), fleet.SignalCertificateUntrusted},
		"not valid yet":                 {vastLeaf, TLSConfig{Mode: TLSCA, CAPEM: vast.pem()}, start().AddDate(-1, 0, 0), fleet.SignalCertificateUntrusted},
		"authority expired":             {old.leaf(t), TLSConfig{Mode: TLSCA, CAPEM: old.pem()}, start(), fleet.SignalCertificateUntrusted},
		"both expired":                  {self, TLSConfig{Mode: TLSCA, CAPEM: selfSigned.pem()}, start().AddDate(11, 0, 0), fleet.SignalCertificateUntrusted},
		"empty bundle":                  {properLeaf, TLSConfig{Mode: TLSCA}, start(), fleet.SignalCertificateUntrusted},
		"bundle that is none":           {properLeaf, TLSConfig{Mode: TLSCA, CAPEM: []byte("hello")}, start(), fleet.SignalCertificateUntrusted},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			asked := false
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				asked = true
				answer(200, servingBody, jsonType)(w, r)
			}))
			server.Config.ErrorLog = quietLog()
			server.TLS = &tls.Config{Certificates: []tls.Certificate{c.shown}, MinVersion: tls.VersionTLS12}
			server.StartTLS()
			prober := New(Options{Clock: clocktesting.NewFakeClock(c.now)})
			got := prober.Probe(t.Context(), Target{Address: addressOf(server), Token: token, TLS: c.config}, false)
			server.Close()
			if got.Signal != c.want {
				t.Errorf("signal = %q, want %q (%s)", got.Signal, c.want, got.Message)
			}
			if want := Fingerprint(c.shown.Certificate[0]); got.CertificateSHA256 != want {
				t.Errorf("fingerprint = %q, want %q", got.CertificateSHA256, want)
			}
			if asked != (c.want == fleet.SignalServing) {
				t.Errorf("the request reached the server: %t", asked)
			}
		})
	}
}

func TestProbeRefusesOldTLS(t *testing.T) {
	server := httptest.NewUnstartedServer(answer(200, servingBody, jsonType))
	server.Config.ErrorLog = quietLog()
	server.TLS = &tls.Config{MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}
	server.StartTLS()
	defer server.Close()
	got := New(Options{}).Probe(t.Context(), Target{Address: addressOf(server), TLS: TLSConfig{Mode: TLSPinned}}, false)
	if got.Signal != fleet.SignalCertificateUntrusted {
		t.Errorf("signal = %q, want CertificateUntrusted", got.Signal)
	}
}
