package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/operator"
	"github.com/warmpool-dev/warmpool/internal/options"
	"github.com/warmpool-dev/warmpool/internal/simulator" //nolint:depguard // this program starts simulators and ships with nothing
	"github.com/warmpool-dev/warmpool/internal/testkit"   //nolint:depguard // this program runs on a control plane for tests and ships with nothing
)

const (
	// poolName is the pool of every situation; each has a namespace of its own.
	poolName    = "sdxl"
	accountName = "default"
	// goodKey opens every simulated account.
	goodKey = "a-key-that-works"
	// patience bounds a situation, in the operator's time.
	patience = 30 * time.Minute
	// period is the time between two looks on the wall.
	period = 200 * time.Millisecond
)

// stage is where the situations are brought about: one control plane with one
// operator, and a Vast.ai for each.
type stage struct {
	plane     *testkit.ControlPlane
	clock     *testkit.ScaledClock
	directory string
	kubectl   string
	// plugin is kubectl warmpool; objects is where objects are written to, if anywhere.
	plugin     string
	objects    string
	kubeconfig string

	mu       sync.Mutex
	accounts []*simulator.Server
}

// newStage prepares kubectl.
func newStage(ctx context.Context, plane *testkit.ControlPlane, speed int64) (*stage, error) {
	s := &stage{plane: plane, clock: testkit.NewScaledClock(speed)}
	assets, found := os.LookupEnv("KUBEBUILDER_ASSETS")
	if !found {
		assets = filepath.Join("bin", "k8s")
	}
	s.kubectl = filepath.Join(assets, "kubectl")
	if err := exec.CommandContext(ctx, s.kubectl, "version", "--client").Run(); err != nil { //nolint:gosec // the developer's own
		return nil, fmt.Errorf("trying %s: %w; run 'make k8s'", s.kubectl, err)
	}
	directory, err := os.MkdirTemp("", "situations-")
	if err != nil {
		return nil, err
	}
	s.directory, s.kubeconfig = directory, filepath.Join(directory, "kubeconfig")
	if err := s.writeKubeconfig(); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// writeKubeconfig writes the administrator's kubeconfig.
func (s *stage) writeKubeconfig() error {
	const name = "situations"
	rest := s.plane.Config
	config := clientcmdapi.NewConfig()
	config.Clusters[name] = &clientcmdapi.Cluster{Server: rest.Host, CertificateAuthorityData: rest.CAData}
	config.AuthInfos[name] = &clientcmdapi.AuthInfo{ClientCertificateData: rest.CertData, ClientKeyData: rest.KeyData}
	config.Contexts[name] = &clientcmdapi.Context{Cluster: name, AuthInfo: name}
	config.CurrentContext = name
	return clientcmd.WriteToFile(*config, s.kubeconfig)
}

// close ends the simulators and removes what was written.
func (s *stage) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, account := range s.accounts {
		if err := account.Close(); err != nil {
			fmt.Fprintln(os.Stderr, "situations: closing a simulator:", err)
		}
	}
	if err := os.RemoveAll(s.directory); err != nil {
		fmt.Fprintln(os.Stderr, "situations:", err)
	}
}

// startOperator runs the operator until the returned function is called.
func (s *stage) startOperator(ctx context.Context, verbose bool) (stop func()) {
	logger := logr.Discard()
	if verbose {
		logger = funcr.New(func(prefix, text string) { fmt.Fprintln(os.Stderr, prefix, text) }, funcr.Options{Verbosity: 1})
	}
	ctrl.SetLogger(logger)
	settings, err := options.ParseManager([]string{
		"--leader-elect=false", "--metrics-bind-address=0", "--health-probe-bind-address=0", "--installation-id=pages",
	}, func(string) (string, bool) { return "", false })
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() {
		if err == nil {
			err = operator.Run(ctx, settings, operator.Environment{
				RESTConfig: s.plane.Config, Logger: logger, Clock: s.clock, Registry: prometheus.NewRegistry(),
			})
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "situations: the operator:", err)
		}
	})
	return func() {
		cancel()
		running.Wait()
	}
}

// bringAbout brings one situation about and returns what kubectl shows of it.
func (s *stage) bringAbout(ctx context.Context, what *situation) (string, error) {
	vast, err := s.startVast(ctx, what)
	if err != nil {
		return "", err
	}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: what.name}}
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: what.name, Name: "warmpool-credentials"},
		StringData: map[string]string{"VASTAI_API_KEY": what.key, "VASTAI_BASE_URL": vast.URL()},
	}
	if err := errors.Join(s.plane.Client.Create(ctx, namespace), s.plane.Client.Create(ctx, secret)); err != nil {
		return "", fmt.Errorf("preparing %s: %w", what.name, err)
	}
	if _, err := s.run(ctx, what.name, what.manifest, "apply", "-f", "-"); err != nil {
		return "", err
	}
	for k := range what.steps {
		step := &what.steps[k]
		if step.do != nil {
			if err := step.do(ctx, s, what.name); err != nil {
				return "", err
			}
		}
		if err := s.waitFor(ctx, what.name, step); err != nil {
			return "", err
		}
	}
	return s.show(ctx, what.name, what.instance)
}

// startVast starts the Vast.ai of a situation.
func (s *stage) startVast(ctx context.Context, what *situation) (*simulator.Server, error) {
	config := what.vast
	config.Clock, config.Keys = s.clock, []string{goodKey}
	vast, err := simulator.Start(context.WithoutCancel(ctx), config)
	if err != nil {
		return nil, fmt.Errorf("starting the Vast.ai of %s: %w", what.name, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.accounts = append(s.accounts, vast)
	return vast, nil
}

// waitFor waits until the objects of a namespace show what a step leads to.
func (s *stage) waitFor(ctx context.Context, namespace string, step *step) error {
	ctx, cancel := context.WithTimeout(ctx, s.clock.Wall(patience))
	defer cancel()
	ticker := time.NewTicker(period)
	defer ticker.Stop()
	for {
		seen, err := s.look(ctx, namespace)
		if err == nil && step.reached(seen) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting in %s for %s: %w; last seen: %s", namespace, step.leadsTo, context.Cause(ctx), seen.summary())
		case <-ticker.C:
		}
	}
}

// sight is what the objects of a namespace say.
type sight struct {
	pool      warmpool.WarmPool
	instances []warmpool.WarmInstance
	account   warmpool.VastAccount
}

func (s *stage) look(ctx context.Context, namespace string) (*sight, error) {
	var seen sight
	var list warmpool.WarmInstanceList
	err := errors.Join(
		s.plane.Client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: poolName}, &seen.pool),
		s.plane.Client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: accountName}, &seen.account),
		s.plane.Client.List(ctx, &list, client.InNamespace(namespace)),
	)
	seen.instances = list.Items
	return &seen, err
}

// reason is the reason of a condition of the pool, the word of the REASON column.
func (s *sight) reason(kind string) string {
	if condition := meta.FindStatusCondition(s.pool.Status.Conditions, kind); condition != nil {
		return condition.Reason
	}
	return ""
}

// waits is true while an instance has no rental.
func (s *sight) waits() bool {
	for k := range s.instances {
		if s.instances[k].Status.Rental == nil && s.instances[k].Status.LastAdmission != nil {
			return true
		}
	}
	return false
}

func (s *sight) summary() string {
	return fmt.Sprintf("%d ready, FullyProvisioned %s, account %v", s.pool.Status.ReadyReplicas,
		s.reason(warmpool.ConditionFullyProvisioned), meta.FindStatusCondition(s.account.Status.Conditions, warmpool.ConditionReady))
}

// run runs kubectl in a namespace and returns what it printed.
func (s *stage) run(ctx context.Context, namespace, input string, arguments ...string) (string, error) {
	return s.runProgram(ctx, s.kubectl, namespace, input, arguments...)
}

// runProgram runs kubectl, or a program with the same flags.
func (s *stage) runProgram(ctx context.Context, program, namespace, input string, arguments ...string) (string, error) {
	command := exec.CommandContext(ctx, program, append([]string{"--kubeconfig", s.kubeconfig, "--namespace", namespace}, arguments...)...) //nolint:gosec // the developer's own kubectl
	command.Stdin = strings.NewReader(input)
	var output, trouble bytes.Buffer
	command.Stdout, command.Stderr = &output, &trouble
	if err := command.Run(); err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", filepath.Base(program), strings.Join(arguments, " "), err, trouble.String())
	}
	return output.String(), nil
}
