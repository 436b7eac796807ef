package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/localplane"
	"github.com/warmpool-dev/warmpool/internal/process"
	"github.com/warmpool-dev/warmpool/internal/simulator/adminclient"
)

const (
	// namespace, poolName and accountName are those of the demo.
	namespace   = "default"
	poolName    = "sdxl"
	accountName = "default"
	// speed of the simulator: its rentals are ready within half a minute.
	speed = 30
	// period is the time between two looks.
	period = 250 * time.Millisecond
)

// stage is the demo, and Prometheus beside it.
type stage struct {
	// root of the repository; work has the logs and the data of Prometheus.
	root, work string
	keepWork   bool
	started    time.Time

	demo       *process.Process
	prometheus *prometheus
	collector  *collector
	cluster    client.Client
	simulator  *adminclient.Client
	// sidecarURL is the legacy API.
	sidecarURL string
	managerPID int
}

// newStage finds the repository and makes a place for logs.
func newStage(logs string) (*stage, error) {
	root, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	if _, err = os.Stat(filepath.Join(root, "config", "observability", "alerts.yaml")); err != nil {
		return nil, fmt.Errorf("start this in the root of the repository: %w", err)
	}
	s := &stage{root: root, work: logs, keepWork: logs != "", started: time.Now()}
	if s.keepWork {
		if s.work, err = filepath.Abs(logs); err != nil {
			return nil, err
		}
		return s, os.MkdirAll(s.work, 0o700)
	}
	s.work, err = os.MkdirTemp("", "warmpool-observability-")
	return s, err
}

// extraTargets is the file of targets beside those of the demo.
func (s *stage) extraTargets() string { return filepath.Join(s.work, "extra.json") }

// close ends Prometheus and the demo, also when the run was interrupted.
func (s *stage) close(ctx context.Context) {
	ctx = context.WithoutCancel(ctx)
	var failures []error
	if s.prometheus != nil {
		failures = append(failures, s.prometheus.process.Stop(ctx, localplane.StopTimeout))
	}
	if s.demo != nil {
		failures = append(failures, s.demo.Stop(ctx, time.Minute))
	}
	if s.collector != nil {
		failures = append(failures, s.collector.server.Close())
	}
	if !s.keepWork {
		failures = append(failures, os.RemoveAll(s.work))
	}
	if err := errors.Join(failures...); err != nil {
		fmt.Fprintln(os.Stderr, "make observability:", err)
	}
}

// say prints a line with the time since the start.
func (s *stage) say(format string, arguments ...any) {
	fmt.Printf("%6.1f s  %s\n", time.Since(s.started).Seconds(), fmt.Sprintf(format, arguments...))
}

// start starts the demo and Prometheus, and waits until all is well.
func (s *stage) start(ctx context.Context, rules *ruleFile) error {
	s.say("Starting the demo.")
	if err := s.startDemo(ctx); err != nil {
		return err
	}
	s.say("Starting Prometheus.")
	var err error
	if s.prometheus, err = startPrometheus(ctx, s, rules); err != nil {
		return err
	}
	if err := s.becomesReady(ctx); err != nil {
		return err
	}
	if err := s.claimsOnce(ctx); err != nil {
		return err
	}
	return s.becomesCalm(ctx)
}

// startDemo starts bin/dev and reads from what it says where everything is.
func (s *stage) startDemo(ctx context.Context) error {
	ports, err := localplane.FreePorts(ctx, 1)
	if err != nil {
		return err
	}
	if s.collector, err = startCollector(ctx); err != nil {
		return err
	}
	s.demo, err = process.Start(&process.Spec{
		Name: "the demo", Program: filepath.Join(s.root, "bin", "dev"), Directory: s.root,
		Environment: append(os.Environ(), "OTEL_EXPORTER_OTLP_ENDPOINT="+s.collector.url, "OTEL_TRACES_SAMPLER=always_on"),
		Log:         filepath.Join(s.work, "demo.log"),
		Arguments:   []string{"--speed=" + strconv.Itoa(speed), "--ceiling=2.50", "--sidecar-port=" + ports[0]},
	})
	if err != nil {
		return err
	}
	var said string
	err = s.until(ctx, 3*time.Minute, func(context.Context) string {
		if !s.demo.IsRunning() {
			return s.demo.Obituary().Error()
		}
		text, readErr := os.ReadFile(s.demo.Log)
		said = string(text)
		if readErr != nil || !strings.Contains(said, "/prometheus.json") {
			return "the demo is not up"
		}
		return ""
	})
	if err != nil {
		return err
	}
	return s.connect(said)
}

// connect finds the addresses in what the demo says.
func (s *stage) connect(said string) error {
	find := func(pattern string) string {
		found := regexp.MustCompile(pattern).FindStringSubmatch(said)
		if found == nil {
			return ""
		}
		return found[1]
	}
	s.simulator = adminclient.New(find(`curl (http://\S+)/faults`))
	s.sidecarURL = find(`(http://localhost:\d+)/api/proxy/admin/warm-pool`)
	var err error
	if s.managerPID, err = strconv.Atoi(find(`kill -9 (\d+)`)); err != nil || s.sidecarURL == "" {
		return fmt.Errorf("the demo does not say where everything is:\n%s", said)
	}
	config, err := clientcmd.BuildConfigFromFlags("", s.kubeconfig())
	if err != nil {
		return err
	}
	scheme := runtime.NewScheme()
	if err = errors.Join(clientgoscheme.AddToScheme(scheme), warmpool.AddToScheme(scheme)); err != nil {
		return err
	}
	s.cluster, err = client.New(config, client.Options{Scheme: scheme})
	return err
}

func (s *stage) kubeconfig() string { return filepath.Join(s.root, ".run", "kubeconfig") }

// until looks until missing says that nothing is missing. What is missing last is
// in the error when the time is up.
func (s *stage) until(ctx context.Context, patience time.Duration, missing func(ctx context.Context) string) error {
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	ticker := time.NewTicker(period)
	defer ticker.Stop()
	for {
		last := missing(limited)
		if last == "" {
			return nil
		}
		select {
		case <-limited.Done():
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return fmt.Errorf("after %s: %s", patience, last)
		case <-ticker.C:
		}
	}
}

// becomesReady waits until the pool is as desired.
func (s *stage) becomesReady(ctx context.Context) error {
	const patience = 5 * time.Minute
	return s.until(ctx, patience, func(ctx context.Context) string {
		var pool warmpool.WarmPool
		if err := s.cluster.Get(ctx, s.key(poolName), &pool); err != nil {
			return err.Error()
		}
		if pool.Status.ObservedGeneration < pool.Generation || pool.Spec.Replicas == nil ||
			pool.Status.ReadyReplicas != *pool.Spec.Replicas || pool.Status.TotalReplicas != *pool.Spec.Replicas {
			return fmt.Sprintf("%d of %v instances of %s are ready, %d in all", pool.Status.ReadyReplicas, pool.Spec.Replicas, poolName, pool.Status.TotalReplicas)
		}
		return ""
	})
}

// becomesCalm waits until no alert fires.
func (s *stage) becomesCalm(ctx context.Context) error {
	const patience = 3 * time.Minute
	return s.until(ctx, patience, func(ctx context.Context) string {
		firing, err := s.prometheus.firing(ctx)
		if err != nil {
			return err.Error()
		}
		if len(firing) > 0 {
			return fmt.Sprintf("these alerts fire although all is well: %v", firing)
		}
		return ""
	})
}

// claimsOnce binds and releases a claim, so that there are figures about claims.
func (s *stage) claimsOnce(ctx context.Context) error {
	claim := &warmpool.WarmClaim{}
	claim.Namespace, claim.Name, claim.Spec.PoolRef.Name = namespace, "once", poolName
	if err := s.cluster.Create(ctx, claim); err != nil {
		return fmt.Errorf("claiming an instance: %w", err)
	}
	err := s.until(ctx, time.Minute, func(ctx context.Context) string {
		if err := s.cluster.Get(ctx, client.ObjectKeyFromObject(claim), claim); err != nil {
			return err.Error()
		}
		if claim.Status.BoundTime == nil {
			return "the claim is not bound"
		}
		return ""
	})
	if err != nil {
		return err
	}
	if err := s.cluster.Delete(ctx, claim); err != nil {
		return fmt.Errorf("releasing the claim: %w", err)
	}
	return s.becomesReady(ctx)
}

func (s *stage) key(name string) types.NamespacedName {
	return types.NamespacedName{Namespace: namespace, Name: name}
}

// change reads an object, changes it and writes it, again after a conflict.
func (s *stage) change(ctx context.Context, object client.Object, name string, set func()) error {
	return retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		if err := s.cluster.Get(ctx, s.key(name), object); err != nil {
			return err
		}
		set()
		return s.cluster.Update(ctx, object)
	})
}

// changePool changes a pool's spec.
func (s *stage) changePool(ctx context.Context, name string, set func(spec *warmpool.WarmPoolSpec)) error {
	var pool warmpool.WarmPool
	return s.change(ctx, &pool, name, func() { set(&pool.Spec) })
}

// account reads the account.
func (s *stage) account(ctx context.Context) (*warmpool.VastAccount, error) {
	var account warmpool.VastAccount
	return &account, s.cluster.Get(ctx, s.key(accountName), &account)
}
