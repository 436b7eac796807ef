package comfyui

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"strings"
	"time"

	"github.com/warmpool-dev/warmpool/internal/fleet"
)

// Fingerprint is the SHA-256 of a certificate in DER, in lower-case hex: the
// form of ProbeResult.CertificateSHA256 and of TLSConfig.PinnedSHA256.
func Fingerprint(certificateDER []byte) string {
	sum := sha256.Sum256(certificateDER)
	return hex.EncodeToString(sum[:])
}

// tlsClient builds the TLS settings of one session. report gets the fingerprint
// that the server showed, also when it is refused.
func tlsClient(config TLSConfig, now func() time.Time, report func(string)) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"http/1.1"},
		// The certificates of Vast.ai's instances name no host, so the standard
		// verification can never pass; VerifyConnection is the verification, and it
		// runs before the first byte of a request, so that no token is sent to a
		// server that is not trusted.
		InsecureSkipVerify: true, //nolint:gosec // VerifyConnection below verifies the pin or the authority
		VerifyConnection: func(state tls.ConnectionState) error {
			if len(state.PeerCertificates) == 0 {
				return fail(fleet.SignalCertificateUntrusted, "ComfyUI's front showed no certificate. Check ENABLE_HTTPS in the template.", nil)
			}
			leaf := state.PeerCertificates[0]
			report(Fingerprint(leaf.Raw))
			if config.mode() == TLSPinned {
				return verifyPin(config.PinnedSHA256, leaf)
			}
			return verifyAuthority(config.CAPEM, state.PeerCertificates, now())
		},
	}
}

// verifyPin accepts the pinned certificate, and any when there is no pin yet.
// Validity dates do not count: the pin says that it is the same machine.
func verifyPin(pinned string, leaf *x509.Certificate) error {
	want := strings.ToLower(strings.ReplaceAll(strings.TrimSpace(pinned), ":", ""))
	//warmpool:gate tls-pinned-certificate
	if want == "" || want == Fingerprint(leaf.Raw) {
		return nil
	}
	return fail(fleet.SignalCertificateUntrusted,
		"ComfyUI's front showed another certificate than the one that was recorded for this instance. Nothing was sent to it. "+
			"Either the instance was set up anew or somebody stands in between: replace the instance.", nil)
}

// verifyAuthority accepts a leaf that an authority of the bundle vouches for.
func verifyAuthority(bundle []byte, shown []*x509.Certificate, now time.Time) error {
	anchors := parseBundle(bundle)
	if len(anchors) == 0 {
		return fail(fleet.SignalCertificateUntrusted,
			"The bundle of certificate authorities holds no certificate in PEM, so no front can be trusted. Correct the bundle.", nil)
	}
	leaf := shown[0]
	//warmpool:gate tls-certificate-in-force
	if now.Before(leaf.NotBefore) || now.After(leaf.NotAfter) {
		return fail(fleet.SignalCertificateUntrusted,
			"The certificate of ComfyUI's front is expired or not valid yet. Check the clocks, or replace the instance.", nil)
	}
	roots, intermediates := x509.NewCertPool(), x509.NewCertPool()
	for _, anchor := range anchors {
		roots.AddCert(anchor)
	}
	for _, extra := range shown[1:] {
		intermediates.AddCert(extra)
	}
	_, err := leaf.Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: intermediates, CurrentTime: now,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	//warmpool:gate tls-signed-by-the-authority
	if err == nil || signedByAnchor(leaf, anchors, now) {
		return nil
	}
	return fail(fleet.SignalCertificateUntrusted,
		"The certificate of ComfyUI's front is not signed by an authority of the bundle. Nothing was sent to it. "+
			"Check that the bundle is Vast.ai's root, or pin the certificate instead.", err)
}

// signedByAnchor is the fallback for anchors that the standard library refuses
// as authorities although somebody chose to trust them: Vast.ai's root has a path
// length but no keyCertSign.
func signedByAnchor(leaf *x509.Certificate, anchors []*x509.Certificate, now time.Time) bool {
	for _, anchor := range anchors {
		if now.Before(anchor.NotBefore) || now.After(anchor.NotAfter) {
			continue
		}
		if anchor.CheckSignature(leaf.SignatureAlgorithm, leaf.RawTBSCertificate, leaf.Signature) == nil {
			return true
		}
	}
	return false
}

// parseBundle returns the certificates of a PEM bundle, leaving out what is not one.
func parseBundle(bundle []byte) []*x509.Certificate {
	var found []*x509.Certificate
	for block, rest := pem.Decode(bundle); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		if certificate, err := x509.ParseCertificate(block.Bytes); err == nil {
			found = append(found, certificate)
		}
	}
	return found
}

// handshakeSignal says what a failed TLS handshake showed.
func handshakeSignal(err error) *callError {
	var (
		verdict *callError
		record  tls.RecordHeaderError
	)
	switch {
	case errors.As(err, &verdict):
		return verdict
	case errors.As(err, &record) && strings.HasPrefix(string(record.RecordHeader[:]), "HTTP"):
		return fail(fleet.SignalSchemeMismatch,
			"ComfyUI's front speaks plain HTTP where HTTPS is expected. Set ENABLE_HTTPS=true in the template, or tls.mode Off.", err)
	case errors.As(err, &record):
		return fail(fleet.SignalUnexpectedService,
			"Something else than a web server answers on ComfyUI's port. Check the port map and PORTAL_CONFIG of the template.", err)
	case closedEarly(err):
		return fail(fleet.SignalConnectionRefused,
			"The connection was accepted and closed again during the TLS handshake. Nothing listens behind the port yet; wait.", err)
	default:
		return fail(fleet.SignalCertificateUntrusted,
			"The TLS handshake with ComfyUI's front failed before a certificate could be judged. Check the front's TLS settings, or replace the instance.", err)
	}
}
