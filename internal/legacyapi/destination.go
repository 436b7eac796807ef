package legacyapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
)

// Why an instance cannot be reached. The texts are shown to callers and hold no
// address and no secret.
var (
	errUnreachable = errors.New("the instance does not answer")
	errUntrusted   = errors.New("the instance is not trusted")
	errNoPassword  = errors.New("the password of the instance cannot be read")
)

// configMapKeyCA holds the accepted authorities in mode CA.
const configMapKeyCA = "ca.crt"

// destination is one instance's ComfyUI: where it is, how it is trusted, and the
// password that opens it.
type destination struct {
	scheme, address string
	transport       *http.Transport
	token           string
}

// url is the address of a path.
func (d *destination) url(path string) string { return d.scheme + "://" + d.address + path }

// authorize puts the instance's password into a header.
func (d *destination) authorize(header http.Header) {
	header.Set("Authorization", "Bearer "+d.token)
}

// destinationOf says how an instance is reached: with its own password, and only
// at the certificate that was recorded for it.
func (p *proxy) destinationOf(ctx context.Context, instance *warmpool.WarmInstance) (*destination, error) {
	address := addressOf(instance)
	if _, bare, found := strings.Cut(address, "://"); found {
		address = bare
	}
	target := Target{Address: address, TLSMode: string(tlsModeOf(&instance.Spec.Template)), PinnedSHA256: instance.Status.CertificateSHA256}
	to := &destination{scheme: "https", address: address}
	switch warmpool.TLSMode(target.TLSMode) {
	case warmpool.TLSOff:
		to.scheme = "http"
	case warmpool.TLSCA:
		bundle, err := p.authorities(ctx, instance)
		if err != nil {
			return nil, err
		}
		target.CAPEM = bundle
	case warmpool.TLSPinned:
	}
	password, err := p.passwordOf(ctx, instance)
	if err != nil {
		return nil, err
	}
	to.token = password
	to.transport, err = p.transportTo(target)
	return to, err
}

// tlsModeOf is the mode of a template with the default of its preset.
func tlsModeOf(template *warmpool.InstanceTemplate) warmpool.TLSMode {
	switch {
	case template.TLS != nil && template.TLS.Mode != "":
		return template.TLS.Mode
	case template.TLS == nil && template.Preset == warmpool.PresetCustom:
		return warmpool.TLSOff
	default:
		return warmpool.TLSPinned
	}
}

// passwordOf reads an instance's own password.
func (p *proxy) passwordOf(ctx context.Context, instance *warmpool.WarmInstance) (string, error) {
	if instance.Status.CredentialsSecretRef == nil {
		return "", fmt.Errorf("%w: its status names no Secret yet", errNoPassword)
	}
	var secret corev1.Secret
	key := types.NamespacedName{Namespace: instance.Namespace, Name: instance.Status.CredentialsSecretRef.Name}
	if err := p.server.options.Client.Get(ctx, key, &secret); err != nil {
		return "", fmt.Errorf("%w: reading Secret %s: %w", errNoPassword, key, err)
	}
	password := strings.TrimSpace(string(secret.Data[warmpool.SecretKeyWebPassword]))
	if password == "" || strings.ContainsFunc(password, func(c rune) bool { return c < ' ' || c == 0x7f }) {
		return "", fmt.Errorf("%w: Secret %s holds none that HTTP can carry", errNoPassword, key)
	}
	return password, nil
}

// authorities reads the accepted authorities of an instance.
func (p *proxy) authorities(ctx context.Context, instance *warmpool.WarmInstance) (string, error) {
	reference := instance.Spec.Template.TLS.CAConfigMapRef
	if reference == nil {
		return "", fmt.Errorf("%w: its template names no authorities", errUntrusted)
	}
	var bundle corev1.ConfigMap
	key := types.NamespacedName{Namespace: instance.Namespace, Name: reference.Name}
	if err := p.server.options.Client.Get(ctx, key, &bundle); err != nil {
		return "", fmt.Errorf("%w: reading ConfigMap %s: %w", errUntrusted, key, err)
	}
	return bundle.Data[configMapKeyCA], nil
}

// maxTransports bounds how many instances have connections that are kept.
const maxTransports = 64

// transportTo returns the transport to a target. Instances share none, so that a
// certificate is checked for the instance it was recorded for.
func (p *proxy) transportTo(target Target) (*http.Transport, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if known := p.transports[target]; known != nil {
		return known, nil
	}
	made, err := p.server.options.Dial(target)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errUntrusted, err)
	}
	if len(p.transports) >= maxTransports {
		for old, transport := range p.transports {
			transport.CloseIdleConnections()
			delete(p.transports, old)
		}
	}
	p.transports[target] = made
	return made, nil
}

// explain turns an error of a call to an instance into one that can be shown.
func (p *proxy) explain(err error) error {
	switch {
	case p.server.options.IsUntrusted(err):
		return errUntrusted
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%w: network timeout", errUnreachable)
	default:
		return errUnreachable
	}
}

// sentence is what of an error may be shown.
func sentence(err error) string {
	for _, known := range []error{errUntrusted, errNoPassword, errUnreachable} {
		if errors.Is(err, known) {
			return known.Error() + "; the sidecar's log says why"
		}
	}
	return errUnreachable.Error()
}
