package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/client-go/util/keyutil"
)

const (
	// administrator may do everything; managerUser exactly what config/rbac allows.
	administrator = "admin"
	managerUser   = "warmpool-manager"
	// etcdAddress is a socket in the working directory, which nobody else may
	// enter: etcd holds the account's Secret and asks nobody for a password.
	etcdAddress = "unix://etcd.sock"
	peerAddress = "unix://peer.sock"
	// startTimeout is ten times what a start takes on two idle cores.
	startTimeout = 60 * time.Second
	// stopTimeout bounds the end of one program.
	stopTimeout = 20 * time.Second
)

// controlPlane is a running etcd and kube-apiserver.
type controlPlane struct {
	place     *layout
	env       []string
	etcd, api *child
	address   string
	tokens    map[string]string
	authority []byte
}

// startControlPlane starts both, or leaves nothing behind.
func startControlPlane(ctx context.Context, place *layout, env []string) (*controlPlane, error) {
	plane := &controlPlane{place: place, env: env, tokens: map[string]string{}}
	err := plane.start(ctx)
	if err != nil {
		return nil, errors.Join(err, plane.stop(ctx))
	}
	return plane, nil
}

func (p *controlPlane) start(ctx context.Context) (err error) {
	if err = p.prepare(); err != nil {
		return err
	}
	p.etcd, err = startChild(&childSpec{
		name: "etcd", program: filepath.Join(p.place.assets, "etcd"), directory: p.place.state,
		environment: p.env, log: p.place.log("etcd"),
		arguments: []string{
			"--name=default", "--data-dir=etcd", "--initial-cluster=default=" + peerAddress,
			"--listen-client-urls=" + etcdAddress, "--advertise-client-urls=" + etcdAddress,
			"--listen-peer-urls=" + peerAddress, "--initial-advertise-peer-urls=" + peerAddress,
		},
	})
	if err != nil {
		return err
	}
	// Another program may take the port between the choice and its use.
	const tries = 3
	for try := 1; ; try++ {
		if err = p.startAPIServer(ctx); err == nil || try == tries || ctx.Err() != nil || !p.etcd.isRunning() {
			return err
		}
	}
}

// prepare writes the keys and tokens of a run.
func (p *controlPlane) prepare() error {
	if err := os.MkdirAll(p.place.state, 0o700); err != nil {
		return fmt.Errorf("making the state directory: %w", err)
	}
	// A socket that a killed etcd left would keep the next one from listening.
	for _, name := range []string{"etcd.sock", "peer.sock"} {
		if err := os.Remove(filepath.Join(p.place.state, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("removing an old socket: %w", err)
		}
	}
	for _, user := range []string{administrator, managerUser} {
		token := make([]byte, 16)
		if _, err := rand.Read(token); err != nil {
			return fmt.Errorf("making a token: %w", err)
		}
		p.tokens[user] = hex.EncodeToString(token)
	}
	lines := fmt.Sprintf("%s,%s,%s,system:masters\n%s,%s,%s\n",
		p.tokens[administrator], administrator, administrator, p.tokens[managerUser], managerUser, managerUser)
	if err := os.WriteFile(filepath.Join(p.place.state, "tokens.csv"), []byte(lines), 0o600); err != nil {
		return fmt.Errorf("writing the tokens: %w", err)
	}
	return writeServiceAccountKey(p.place.state)
}

// writeServiceAccountKey makes the key that the API server insists on; no
// service account uses it here.
func writeServiceAccountKey(directory string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("making the service account key: %w", err)
	}
	text, err := keyutil.MarshalPrivateKeyToPEM(key)
	if err != nil {
		return fmt.Errorf("encoding the service account key: %w", err)
	}
	if err := os.WriteFile(filepath.Join(directory, "sa.key"), text, 0o600); err != nil {
		return fmt.Errorf("writing the service account key: %w", err)
	}
	return nil
}

// startAPIServer starts it on a free port and waits until it is ready.
func (p *controlPlane) startAPIServer(ctx context.Context) error {
	port, err := freePort(ctx)
	if err != nil {
		return err
	}
	p.address = "https://" + net.JoinHostPort(loopback, port)
	p.api, err = startChild(&childSpec{
		name: "kube-apiserver", program: filepath.Join(p.place.assets, "kube-apiserver"), directory: p.place.state,
		environment: p.env, log: p.place.log("kube-apiserver"),
		arguments: []string{
			"--etcd-servers=" + etcdAddress, "--bind-address=" + loopback, "--advertise-address=" + loopback, "--secure-port=" + port,
			"--cert-dir=certificates", "--endpoint-reconciler-type=none", "--service-cluster-ip-range=10.0.0.0/24",
			"--authorization-mode=RBAC", "--token-auth-file=tokens.csv", "--anonymous-auth=false",
			// Nothing here makes the tokens that this admission would ask for.
			"--disable-admission-plugins=ServiceAccount", "--service-account-issuer=" + p.address,
			"--service-account-key-file=sa.key", "--service-account-signing-key-file=sa.key",
		},
	})
	if err != nil {
		return err
	}
	return p.waitReady(ctx)
}

// waitReady polls /readyz, which is true once the default roles are there.
func (p *controlPlane) waitReady(ctx context.Context) error {
	const period = 100 * time.Millisecond
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	ticker := time.NewTicker(period)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for the API server: %w; its log is %s", context.Cause(ctx), p.api.log)
		case <-p.api.done:
			return p.api.obituary()
		case <-p.etcd.done:
			return p.etcd.obituary()
		case <-ticker.C:
			if p.isReady(ctx) {
				return nil
			}
		}
	}
}

func (p *controlPlane) isReady(ctx context.Context) bool {
	authority, err := os.ReadFile(filepath.Join(p.place.state, "certificates", "apiserver.crt"))
	roots := x509.NewCertPool()
	if err != nil || !roots.AppendCertsFromPEM(authority) {
		return false
	}
	p.authority = authority
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, DisableKeepAlives: true}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.address+"/readyz", http.NoBody)
	if err != nil {
		return false
	}
	request.Header.Set("Authorization", "Bearer "+p.tokens[administrator])
	response, err := (&http.Client{Transport: transport, Timeout: 2 * time.Second}).Do(request)
	if err != nil {
		return false
	}
	return response.Body.Close() == nil && response.StatusCode == http.StatusOK
}

// stop ends the API server before etcd: without etcd it hangs in its shutdown
// and keeps its port.
func (p *controlPlane) stop(ctx context.Context) error {
	return errors.Join(p.api.stop(ctx, stopTimeout), p.etcd.stop(ctx, stopTimeout))
}

// config connects as a user.
func (p *controlPlane) config(user string) *rest.Config {
	const qps, burst = 200, 400
	return &rest.Config{
		Host: p.address, BearerToken: p.tokens[user], TLSClientConfig: rest.TLSClientConfig{CAData: p.authority},
		QPS: qps, Burst: burst,
	}
}

// writeKubeconfig writes a kubeconfig of a user, for its owner alone.
func (p *controlPlane) writeKubeconfig(user, path string) error {
	const name = "warmpool-run"
	config := clientcmdapi.NewConfig()
	config.Clusters[name] = &clientcmdapi.Cluster{Server: p.address, CertificateAuthorityData: p.authority}
	config.AuthInfos[user] = &clientcmdapi.AuthInfo{Token: p.tokens[user]}
	config.Contexts[name] = &clientcmdapi.Context{Cluster: name, AuthInfo: user, Namespace: namespace}
	config.CurrentContext = name
	text, err := clientcmd.Write(*config)
	if err != nil {
		return fmt.Errorf("encoding a kubeconfig: %w", err)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		return fmt.Errorf("writing a kubeconfig: %w", err)
	}
	return nil
}

// loopback is the only address that anything here listens on.
const loopback = "127.0.0.1"

// freePort returns a port of loopback that nobody listens on at this moment.
func freePort(ctx context.Context) (string, error) {
	var listen net.ListenConfig
	listener, err := listen.Listen(ctx, "tcp", net.JoinHostPort(loopback, "0"))
	if err != nil {
		return "", fmt.Errorf("finding a free port: %w", err)
	}
	_, port, err := net.SplitHostPort(listener.Addr().String())
	return port, errors.Join(err, listener.Close())
}
