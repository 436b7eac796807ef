// Command sidecar serves the HTTP contract of the legacy proxy for one WarmPool.
// "sidecar audit verify" verifies an audit log instead.
package main

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	_ "golang.org/x/crypto/x509roots/fallback" // authorities, where the system has none
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/certwatcher"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/warmpool-dev/warmpool/internal/audit"
	"github.com/warmpool-dev/warmpool/internal/audithead"
	"github.com/warmpool-dev/warmpool/internal/comfyui"
	"github.com/warmpool-dev/warmpool/internal/fleet"
	"github.com/warmpool-dev/warmpool/internal/legacyapi"
	"github.com/warmpool-dev/warmpool/internal/options"
	"github.com/warmpool-dev/warmpool/internal/version"
)

func main() {
	if err := run(ctrl.SetupSignalHandler()); err != nil {
		fmt.Fprintln(os.Stderr, "sidecar:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	if version.IsAsked(os.Args[1:]) {
		return version.Print(os.Stdout, "sidecar")
	}
	// The other thing that this program does is verifying an audit log, of whatever component.
	if len(os.Args) > 2 && os.Args[1] == "audit" && os.Args[2] == "verify" {
		return audit.VerifyCommand(ctx, os.Stdout, os.Args[3:], os.LookupEnv)
	}
	settings, err := options.ParseSidecar(os.Args[1:], os.LookupEnv)
	if errors.Is(err, flag.ErrHelp) {
		return options.SidecarUsage(os.Stdout)
	}
	if err != nil {
		return err
	}
	logger, flush, err := newLogger(settings.LogLevel)
	if err != nil {
		return err
	}
	defer flush()
	direct, err := connect(settings.Kubeconfig)
	if err != nil {
		return err
	}
	salt, err := readSalt(ctx, direct, &settings)
	if err != nil {
		return err
	}
	records, err := audit.Open(audit.Options{Dir: settings.AuditDir, Component: auditComponent, Salt: salt, Observer: observer{logger.WithName("audit")}})
	if err != nil {
		return err
	}
	publishing := publishHeads(ctx, direct, records, settings.Pool.Namespace)
	err = serve(ctx, &settings, &parts{direct, records, salt, logger})
	publishing()
	return errors.Join(err, records.Close())
}

// parts are what the server is made of.
type parts struct {
	client  client.Client
	records *audit.Log
	salt    string
	logger  logr.Logger
}

// serve wires the server and serves until ctx ends.
func serve(ctx context.Context, settings *options.Sidecar, made *parts) error {
	var listen net.ListenConfig
	listener, err := listen.Listen(ctx, "tcp", settings.Address)
	if err != nil {
		return fmt.Errorf("listening (give another --bind-address): %w", err)
	}
	defer listener.Close() //nolint:errcheck // it is closed already when the server was served
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	wired := serverOptions(settings, made)
	wired.Registry = registry
	if address, isTCP := listener.Addr().(*net.TCPAddr); isTCP {
		wired.Port = address.Port
	}
	server, err := legacyapi.New(ctx, wired)
	if err != nil {
		return err
	}
	secure, err := certificates(ctx, settings)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	pageEnded, err := servePage(ctx, settings, made, server)
	if err != nil {
		return err
	}
	closeSides, err := serveSides(ctx, settings, registry, func(ctx context.Context) error {
		return errors.Join(server.Ready(ctx), made.records.Err())
	})
	if err != nil {
		return err
	}
	err = errors.Join(server.Serve(ctx, listener, secure, settings.ShutdownTimeout), closeSides())
	cancel()
	pageEnded()
	return err
}

func serverOptions(settings *options.Sidecar, made *parts) legacyapi.Options {
	ticks := clock.RealClock{}
	return legacyapi.Options{
		Client: made.client, Audit: made.records, Logger: made.logger, Clock: ticks, Outside: http.DefaultTransport,
		Pool: types.NamespacedName(settings.Pool), Secret: settings.Secret, Deployment: types.NamespacedName(settings.Deployment),
		Dial: func(target legacyapi.Target) (*http.Transport, error) {
			return comfyui.NewTransport(comfyui.TLSConfig{
				Mode: comfyui.TLSMode(target.TLSMode), PinnedSHA256: target.PinnedSHA256, CAPEM: []byte(target.CAPEM),
			}, ticks.Now)
		},
		IsUntrusted: func(err error) bool { return comfyui.SignalOf(err) == fleet.SignalCertificateUntrusted },
		Limits: legacyapi.Limits{
			RequestsPerSecond: settings.RequestsPerSecond, Burst: settings.Burst, WrongKeysPerMinute: settings.WrongKeysPerMinute,
		},
		ClaimWait: settings.ClaimWait, KeyInURL: settings.KeyInURL, Origins: settings.Origins,
	}
}

// auditComponent is the sidecar's name in the audit log.
const auditComponent = "sidecar"

// readSalt returns the salt of the audit log from the Secret.
func readSalt(ctx context.Context, direct client.Client, settings *options.Sidecar) (string, error) {
	var secret corev1.Secret
	key := types.NamespacedName{Namespace: settings.Pool.Namespace, Name: settings.Secret}
	if err := direct.Get(ctx, key, &secret); err != nil {
		return "", fmt.Errorf("reading Secret %s, which holds ADMIN_API_KEY and AUDIT_SALT (kubectl -n %s create secret generic %s --from-env-file=.env): %w",
			key, key.Namespace, key.Name, err)
	}
	return strings.TrimSpace(string(secret.Data[audit.SaltVariable])), nil
}

// observer logs what the log itself cannot do; the API counts and answers the rest.
type observer struct{ logger logr.Logger }

// Recorded implements audit.Observer.
func (observer) Recorded(*audit.Record) {}

// Failed implements audit.Observer.
func (o observer) Failed(_ *audit.Entry, err error) {
	o.logger.Error(err, "Keeping the audit log failed")
}

// publishHeads publishes the head of the log until ctx ends. The function that it
// returns waits for the last one.
func publishHeads(ctx context.Context, direct client.Client, records *audit.Log, namespace string) (wait func()) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		records.PublishHeads(ctx, audithead.New(direct, namespace, auditComponent), audit.DefaultPublishPeriod, clock.RealClock{})
	}()
	return func() {
		cancel()
		<-ended
	}
}

// certificates returns the settings of HTTPS, nil for plain HTTP.
func certificates(ctx context.Context, settings *options.Sidecar) (*tls.Config, error) {
	if settings.TLSCert == "" {
		return nil, nil //nolint:nilnil // no certificate is a setting, too
	}
	watcher, err := certwatcher.New(settings.TLSCert, settings.TLSKey)
	if err != nil {
		return nil, fmt.Errorf("reading the certificate: %w", err)
	}
	go func() { _ = watcher.Start(ctx) }() //nolint:errcheck // it ends with ctx, and until then serves the last good certificate
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: watcher.GetCertificate}, nil
}
