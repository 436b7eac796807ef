package localplane

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

	"github.com/warmpool-dev/warmpool/internal/process"
)

const (
	// Administrator may do everything.
	Administrator = "admin"
	// Manager may do what config/rbac allows, once somebody has bound it.
	Manager = "warmpool-manager"
	// Sidecar may do what config/rbac/sidecar allows, once somebody has bound it.
	Sidecar = "warmpool-sidecar"
	// Loopback is the address to listen on unless the settings name another.
	Loopback = "127.0.0.1"
	// StartTimeout is ten times what a start takes on two idle cores.
	StartTimeout = 60 * time.Second
	// StopTimeout bounds the end of one program.
	StopTimeout = 20 * time.Second
)

const (
	// etcdSocket is a socket in the working directory, which nobody else may
	// enter: etcd holds the account's Secret and asks nobody for a password.
	etcdSocket = "unix://etcd.sock"
	peerSocket = "unix://peer.sock"
)

// Settings say where the two programs are and where they listen.
type Settings struct {
	// Assets has the programs; State is their working directory.
	Assets, State string
	// Environment is the whole environment of both.
	Environment []string
	// Log names the log of a program.
	Log func(name string) string
	// EtcdURL is where etcd serves; empty is a socket that nobody else may enter.
	EtcdURL string
	// Address is where the API server listens; empty is 127.0.0.1.
	Address string
	// Port is the API server's; empty is a free one.
	Port string
	// Enter returns words to put before a program, such as those that enter a
	// network namespace; nil is none.
	Enter func(program string) []string
	// APIArguments are added to those of the API server.
	APIArguments []string
	// Pods makes the API server one of a cluster that runs pods: they have service
	// accounts, whose tokens somebody else's controllers make, and find the API
	// server at the first address of the service range.
	Pods bool
}

// Plane is a running etcd and kube-apiserver.
type Plane struct {
	// Etcd and API are the two processes.
	Etcd, API *process.Process
	// URL is the address of the API server.
	URL       string
	settings  Settings
	tokens    map[string]string
	authority []byte
}

// Start starts both, or leaves nothing behind.
func Start(ctx context.Context, settings Settings) (*Plane, error) { //nolint:gocritic // settings are read once
	if settings.Address == "" {
		settings.Address = Loopback
	}
	if settings.EtcdURL == "" {
		settings.EtcdURL = etcdSocket
	}
	plane := &Plane{settings: settings, tokens: map[string]string{}}
	err := plane.start(ctx)
	if err != nil {
		return nil, errors.Join(err, plane.Stop(ctx))
	}
	return plane, nil
}

func (p *Plane) start(ctx context.Context) (err error) {
	if err = p.prepare(); err != nil {
		return err
	}
	p.Etcd, err = p.run(false, "etcd",
		"--name=default", "--data-dir=etcd", "--initial-cluster=default="+peerSocket,
		"--listen-client-urls="+p.settings.EtcdURL, "--advertise-client-urls="+p.settings.EtcdURL,
		"--listen-peer-urls="+peerSocket, "--initial-advertise-peer-urls="+peerSocket,
	)
	if err != nil {
		return err
	}
	// Another program may take the port between the choice and its use.
	const tries = 3
	for try := 1; ; try++ {
		if err = p.StartAPIServer(ctx); err == nil || try == tries || ctx.Err() != nil || !p.Etcd.IsRunning() {
			return err
		}
	}
}

// run starts one of the two programs; add lets its log go on.
func (p *Plane) run(add bool, name string, arguments ...string) (*process.Process, error) {
	words := append([]string{filepath.Join(p.settings.Assets, name)}, arguments...)
	if p.settings.Enter != nil {
		words = append(p.settings.Enter(name), words...)
	}
	return process.Start(&process.Spec{
		Name: name, Program: words[0], Arguments: words[1:], Directory: p.settings.State,
		Environment: p.settings.Environment, Log: p.settings.Log(name), Add: add,
	})
}

// prepare writes the keys and tokens of a run.
func (p *Plane) prepare() error {
	if err := os.MkdirAll(p.settings.State, 0o700); err != nil {
		return fmt.Errorf("making the state directory: %w", err)
	}
	// A socket that a killed etcd left would keep the next one from listening.
	for _, name := range []string{"etcd.sock", "peer.sock"} {
		if err := os.Remove(filepath.Join(p.settings.State, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("removing an old socket: %w", err)
		}
	}
	for _, user := range []string{Administrator, Manager, Sidecar} {
		token := make([]byte, 16)
		if _, err := rand.Read(token); err != nil {
			return fmt.Errorf("making a token: %w", err)
		}
		p.tokens[user] = hex.EncodeToString(token)
	}
	lines := fmt.Sprintf("%s,%s,%s,system:masters\n%s,%s,%s\n%s,%s,%s\n",
		p.tokens[Administrator], Administrator, Administrator, p.tokens[Manager], Manager, Manager, p.tokens[Sidecar], Sidecar, Sidecar)
	if err := os.WriteFile(filepath.Join(p.settings.State, "tokens.csv"), []byte(lines), 0o600); err != nil {
		return fmt.Errorf("writing the tokens: %w", err)
	}
	return writeServiceAccountKey(p.settings.State)
}

// writeServiceAccountKey makes the key of service accounts, which the API server
// insists on.
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

// StartAPIServer starts the API server, again after it has ended, and waits
// until it is ready.
func (p *Plane) StartAPIServer(ctx context.Context) (err error) {
	port, address := p.settings.Port, p.settings.Address
	if port == "" {
		free, portErr := FreePorts(ctx, 1)
		if portErr != nil {
			return portErr
		}
		port = free[0]
	}
	p.URL = "https://" + net.JoinHostPort(address, port)
	workload := []string{"--endpoint-reconciler-type=lease"}
	if !p.settings.Pods {
		// Nothing here makes the tokens that this admission would ask for.
		workload = []string{"--endpoint-reconciler-type=none", "--disable-admission-plugins=ServiceAccount"}
	}
	p.API, err = p.run(p.API != nil, "kube-apiserver", append(append([]string{
		"--etcd-servers=" + p.settings.EtcdURL, "--bind-address=" + address, "--advertise-address=" + address, "--secure-port=" + port,
		"--cert-dir=certificates", "--service-cluster-ip-range=10.0.0.0/24",
		"--authorization-mode=RBAC", "--token-auth-file=tokens.csv", "--anonymous-auth=false",
		"--service-account-issuer=" + p.URL,
		"--service-account-key-file=sa.key", "--service-account-signing-key-file=sa.key",
	}, workload...), p.settings.APIArguments...)...)
	if err != nil {
		return err
	}
	return p.waitReady(ctx)
}

// waitReady polls /readyz, which is true once the default roles are there.
func (p *Plane) waitReady(ctx context.Context) error {
	const period = 100 * time.Millisecond
	ctx, cancel := context.WithTimeout(ctx, StartTimeout)
	defer cancel()
	ticker := time.NewTicker(period)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for the API server: %w; its log is %s", context.Cause(ctx), p.API.Log)
		case <-p.API.Done:
			return p.API.Obituary()
		case <-p.Etcd.Done:
			return p.Etcd.Obituary()
		case <-ticker.C:
			if p.isReady(ctx) {
				return nil
			}
		}
	}
}

func (p *Plane) isReady(ctx context.Context) bool {
	authority, err := os.ReadFile(filepath.Join(p.settings.State, "certificates", "apiserver.crt"))
	roots := x509.NewCertPool()
	if err != nil || !roots.AppendCertsFromPEM(authority) {
		return false
	}
	p.authority = authority
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, DisableKeepAlives: true}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.URL+"/readyz", http.NoBody)
	if err != nil {
		return false
	}
	request.Header.Set("Authorization", "Bearer "+p.tokens[Administrator])
	response, err := (&http.Client{Transport: transport, Timeout: 2 * time.Second}).Do(request)
	if err != nil {
		return false
	}
	return response.Body.Close() == nil && response.StatusCode == http.StatusOK
}

// Stop ends the API server before etcd: without etcd it hangs in its shutdown
// and keeps its port.
func (p *Plane) Stop(ctx context.Context) error {
	return errors.Join(p.API.Stop(ctx, StopTimeout), p.Etcd.Stop(ctx, StopTimeout))
}

// Config connects as a user.
func (p *Plane) Config(user string) *rest.Config {
	const qps, burst = 200, 400
	return &rest.Config{
		Host: p.URL, BearerToken: p.tokens[user], TLSClientConfig: rest.TLSClientConfig{CAData: p.authority},
		QPS: qps, Burst: burst,
	}
}

// WriteKubeconfig writes a kubeconfig of a user, for its owner alone.
func (p *Plane) WriteKubeconfig(user, namespace, path string) error {
	const name = "warmpool-run"
	config := clientcmdapi.NewConfig()
	config.Clusters[name] = &clientcmdapi.Cluster{Server: p.URL, CertificateAuthorityData: p.authority}
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

// FreePorts returns so many ports of loopback that nobody listens on at this
// moment. All are held until the last is found: one that is let go of may be
// the next one found.
func FreePorts(ctx context.Context, count int) (ports []string, err error) {
	var listen net.ListenConfig
	for range count {
		listener, listenErr := listen.Listen(ctx, "tcp", net.JoinHostPort(Loopback, "0"))
		if listenErr != nil {
			return nil, fmt.Errorf("finding a free port: %w", listenErr)
		}
		defer func() { err = errors.Join(err, listener.Close()) }()
		_, port, splitErr := net.SplitHostPort(listener.Addr().String())
		if splitErr != nil {
			return nil, fmt.Errorf("reading a free port: %w", splitErr)
		}
		ports = append(ports, port)
	}
	return ports, nil
}
