package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/cert"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/warmpool-dev/warmpool/internal/localplane"
	"github.com/warmpool-dev/warmpool/internal/operator"
	"github.com/warmpool-dev/warmpool/internal/process"
	"github.com/warmpool-dev/warmpool/internal/simulator/adminclient"
)

const (
	portEtcd, portAPI, portVast, portAdmin = "2379", "6443", "8443", "9443"
	namespace                              = "chaos"
	installation                           = "chaos"
	// ours starts the labels of all rentals of the managers.
	ours = "wp1." + installation + "."
)

// The API keys. Two open our account, one opens another account, one nothing.
const (
	keyFirst, keySecond, keyForeign, keyWrong = "chaos-key-1", "chaos-key-2", "chaos-key-3", "chaos-key-4"
)

// stage is everything that runs.
type stage struct {
	directory, root, binaries string
	environment               []string
	network                   *network
	plane                     *localplane.Plane
	// planeGuard lets one act at a time kill or restart the API server.
	planeGuard sync.Mutex
	vast       *process.Process
	admin      *adminclient.Client
	managers   map[string]*managerProcess
	history    *history
	client     client.WithWatch
}

// newStage starts everything but the managers' work: they wait for an account.
// What it started stays when it fails; the caller stops it in any case.
func newStage(ctx context.Context, directory string) (s *stage, err error) {
	s = &stage{directory: directory, managers: map[string]*managerProcess{}, environment: childEnvironment()}
	if s.root, err = os.Getwd(); err != nil {
		return s, fmt.Errorf("finding the repository: %w", err)
	}
	executable, err := os.Executable()
	if err != nil {
		return s, fmt.Errorf("finding the programs: %w", err)
	}
	s.binaries = filepath.Dir(executable)
	if err = process.OwnMounts(); err != nil {
		return s, err
	}
	if s.network, err = newNetwork(ctx); err != nil {
		return s, err
	}
	for _, start := range []func(context.Context) error{s.startVast, s.startPlane, s.fill, s.startHistory, s.startManagers} {
		if err = start(ctx); err != nil {
			return s, err
		}
	}
	return s, s.network.prove(ctx, hostManager1, hostVast, portVast)
}

// childEnvironment is what children get of ours.
func childEnvironment() []string {
	return slices.DeleteFunc(os.Environ(), func(pair string) bool {
		name, _, _ := strings.Cut(pair, "=")
		return name == "KUBECONFIG" || strings.HasPrefix(name, "WARMPOOL_") || strings.HasPrefix(name, "VASTSIM_") || strings.HasPrefix(name, "ETCD_")
	})
}

func (s *stage) log(name string) string  { return filepath.Join(s.directory, name+".log") }
func (s *stage) file(name string) string { return filepath.Join(s.directory, name) }

// on makes the specification of a program on a host.
func (s *stage) on(host, program string, arguments ...string) *process.Spec {
	words := append(enter(host), filepath.Join(s.binaries, program))
	return &process.Spec{
		Name: host, Program: words[0], Arguments: append(words[1:], arguments...), Directory: s.directory,
		Environment: s.environment, Log: s.log(host), Add: true,
	}
}

// startVast starts the simulator with a certificate that the managers trust.
func (s *stage) startVast(ctx context.Context) error {
	certificate, key, err := cert.GenerateSelfSignedCertKey(addressOf(hostVast), []net.IP{net.ParseIP(addressOf(hostVast))}, nil)
	if err != nil {
		return fmt.Errorf("making a certificate: %w", err)
	}
	if err = errors.Join(os.WriteFile(s.file("vast.crt"), certificate, 0o600), os.WriteFile(s.file("vast.key"), key, 0o600)); err != nil {
		return fmt.Errorf("writing a certificate: %w", err)
	}
	const machines, credit, hasten = 3, 100_000, 20
	spec := s.on(hostVast, "vastsim", "--json",
		"--listen="+net.JoinHostPort(addressOf(hostVast), portVast), "--admin-listen="+net.JoinHostPort(addressOf(hostVast), portAdmin),
		"--tls-cert="+s.file("vast.crt"), "--tls-key="+s.file("vast.key"), "--instance-address="+addressOf(hostInstances),
		"--lives-speed="+strconv.Itoa(hasten), "--replicas="+strconv.Itoa(machines), "--credit="+strconv.Itoa(credit),
		"--key="+strings.Join([]string{keyFirst, keySecond, keyForeign}, ","))
	ready := process.NewFirstLine()
	spec.Stdout = ready
	if s.vast, err = process.Start(spec); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-s.vast.Done:
		return s.vast.Obituary()
	case line := <-ready.Line:
		var addresses struct{ AdminURL string }
		if err := json.Unmarshal(line, &addresses); err != nil {
			return fmt.Errorf("reading the simulator's address: %w", err)
		}
		s.admin = adminclient.New(addresses.AdminURL)
	}
	return s.admin.Call(ctx, "POST", "/keys", map[string]string{"action": "other-account", "key": keyForeign}, nil)
}

// startPlane starts etcd and the API server. Nothing of etcd's history is
// compacted away: it is the record that is judged.
func (s *stage) startPlane(ctx context.Context) (err error) {
	assets := os.Getenv("KUBEBUILDER_ASSETS")
	if assets == "" {
		assets = filepath.Join(s.root, "bin", "k8s")
	}
	s.plane, err = localplane.Start(ctx, localplane.Settings{
		Assets: assets, State: s.file("state"), Environment: s.environment, Log: s.log,
		EtcdURL: "http://" + net.JoinHostPort(addressOf(hostEtcd), portEtcd), Address: addressOf(hostAPI), Port: portAPI,
		Enter: func(program string) []string {
			if program == "etcd" {
				return enter(hostEtcd)
			}
			return enter(hostAPI)
		},
		APIArguments: []string{"--etcd-compaction-interval=0"},
	})
	return err
}

// fill connects as the administrator and writes what managers need.
func (s *stage) fill(ctx context.Context) error {
	config := s.plane.Config(localplane.Administrator)
	_, err := envtest.InstallCRDs(config, envtest.CRDInstallOptions{Paths: []string{filepath.Join(s.root, "config", "crd")}, ErrorIfPathMissing: true})
	if err != nil {
		return fmt.Errorf("installing the CRDs (start this in the repository's root): %w", err)
	}
	scheme, err := operator.Scheme()
	if err != nil {
		return err
	}
	const timeout = 5 * time.Second
	config.Timeout = timeout
	if s.client, err = client.NewWithWatch(config, client.Options{Scheme: scheme}); err != nil {
		return fmt.Errorf("connecting to the API server: %w", err)
	}
	if err = s.client.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}); err != nil {
		return fmt.Errorf("making a namespace: %w", err)
	}
	return s.plane.WriteKubeconfig(localplane.Administrator, namespace, s.file("kubeconfig"))
}

func (s *stage) startHistory(ctx context.Context) error {
	s.history = newHistory("http://" + net.JoinHostPort(addressOf(hostEtcd), portEtcd))
	s.history.start(ctx)
	return nil
}

// startManagers starts both and keeps them running.
func (s *stage) startManagers(ctx context.Context) error {
	for _, host := range []string{hostManager1, hostManager2} {
		spec := s.on(host, "manager",
			"--kubeconfig="+s.file("kubeconfig"), "--vast-base-url=https://"+net.JoinHostPort(addressOf(hostVast), portVast),
			"--namespaces="+namespace, "--installation-id="+installation, "--leader-election-namespace="+namespace,
			// Failovers take seconds, not half a minute, and there are many.
			"--leader-election-lease-duration="+leaseDuration.String(), "--leader-election-renew-deadline=4s", "--leader-election-retry-period=1s",
			"--metrics-bind-address=127.0.0.1:8080", "--health-probe-bind-address=127.0.0.1:8081", "--shutdown-timeout=5s", "--log-level=1")
		spec.Environment = append(slices.Clone(s.environment), "SSL_CERT_FILE="+s.file("vast.crt"))
		manager, err := startManager(ctx, spec)
		if err != nil {
			return err
		}
		s.managers[host] = manager
	}
	return nil
}

// leaseDuration is that of leader election.
const leaseDuration = 6 * time.Second

// stop ends everything in order, whatever state it is in.
func (s *stage) stop(ctx context.Context) error {
	var failures []error
	for _, manager := range s.managers {
		failures = append(failures, manager.stop(ctx))
	}
	if s.history != nil {
		s.history.stop()
	}
	if s.plane != nil {
		for _, one := range []*process.Process{s.plane.API, s.plane.Etcd} {
			if one != nil {
				failures = append(failures, one.Signal(syscall.SIGCONT))
			}
		}
		failures = append(failures, s.plane.Stop(ctx))
	}
	if s.vast != nil {
		failures = append(failures, s.vast.Signal(syscall.SIGCONT), s.vast.Stop(ctx, localplane.StopTimeout))
	}
	return errors.Join(failures...)
}
