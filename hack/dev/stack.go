package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/warmpool-dev/warmpool/internal/localplane"
	"github.com/warmpool-dev/warmpool/internal/process"
)

// stack is everything that runs.
type stack struct {
	options *settings
	place   *layout
	out     *console
	secrets dotEnv

	started  time.Time
	plane    *localplane.Plane
	sim      *simulation // nil with --real
	operator *operatorProcess
	sidecar  *sidecar // nil when it was not asked for
	cluster  *cluster
	targets  *scrapeTargets
	failed   chan error
	// keepState leaves the database for the next run: rentals may still bill.
	keepState bool
}

func newStack(options *settings, place *layout, out *console, secrets dotEnv) *stack {
	return &stack{
		options: options, place: place, out: out, secrets: secrets, started: time.Now(), failed: make(chan error, 4),
		targets: newScrapeTargets(place.targets()),
	}
}

// start starts everything in order. What it started stays when it fails; the
// caller calls stop in any case.
func (s *stack) start(ctx context.Context) error {
	env := childEnvironment(os.Environ(), s.secrets)
	if err := s.openState(); err != nil {
		return err
	}
	var err error
	vastURL, credentials := "", dotEnv{keyVariable: simulatorKey}
	if s.options.real {
		credentials = realCredentials(s.secrets, os.LookupEnv)
	} else {
		s.out.say("Starting a simulated Vast.ai: seed %d, %g simulated seconds per second.", s.options.seed, s.options.speed)
		if s.sim, err = startSimulation(ctx, s.options, s.place, env); err != nil {
			return err
		}
		s.watch(s.sim.process)
		// The manager has it as a flag, too; kubectl warmpool logs finds it here.
		vastURL, credentials[baseURLVariable] = s.sim.URL, s.sim.URL
	}
	s.out.say("Starting etcd and kube-apiserver.")
	if s.plane, err = localplane.Start(ctx, localplane.Settings{
		Assets: s.place.assets, State: s.place.state, Environment: env, Log: s.place.log,
	}); err != nil {
		return err
	}
	s.watch(s.plane.Etcd)
	s.watch(s.plane.API)
	salt, err := s.place.auditSalt(s.secrets, os.LookupEnv)
	if err != nil {
		return err
	}
	withSidecarSecrets(credentials, s.secrets, salt)
	if err = s.fillCluster(ctx, credentials); err != nil {
		return err
	}
	s.out.say("Starting the manager.")
	if s.operator, err = s.startOperator(ctx, env, vastURL); err != nil {
		return err
	}
	s.sidecar, err = s.startSidecar(ctx, env, credentials[adminVariable])
	return err
}

// openState takes away what a killed run left. With --real that is kept: it
// says which rentals are ours.
func (s *stack) openState() error {
	if s.options.real {
		s.keepState = true
		if _, err := os.Stat(filepath.Join(s.place.state, "etcd")); err == nil {
			s.out.say("An earlier run with --real did not end in order. This one goes on with its pools and its rentals.")
		}
		return nil
	}
	if err := os.RemoveAll(s.place.state); err != nil {
		return fmt.Errorf("removing the state of an earlier run: %w", err)
	}
	return nil
}

// fillCluster writes everything that the manager and a person need.
func (s *stack) fillCluster(ctx context.Context, credentials dotEnv) error {
	config := s.plane.Config(localplane.Administrator)
	if err := errors.Join(
		s.plane.WriteKubeconfig(localplane.Administrator, namespace, s.place.kubeconfig()),
		s.plane.WriteKubeconfig(localplane.Manager, namespace, filepath.Join(s.place.state, "manager.kubeconfig")),
		s.plane.WriteKubeconfig(localplane.Sidecar, namespace, filepath.Join(s.place.state, "sidecar.kubeconfig")),
		installCRDs(config, s.place.root),
	); err != nil {
		return err
	}
	var err error
	if s.cluster, err = connect(config); err != nil {
		return err
	}
	if err = errors.Join(s.cluster.allowManager(ctx, s.place.root), s.cluster.allowSidecar(ctx, s.place.root)); err != nil {
		return err
	}
	return s.cluster.applySamples(ctx, s.options, s.place.root, credentials)
}

// watch reports a program that ends by itself.
func (s *stack) watch(c *process.Process) {
	go func() {
		<-c.Done
		s.failed <- c.Obituary()
	}()
}

// stop ends everything in order: the sidecar and the manager, which would otherwise lose their
// cluster, the API server, etcd, and last the simulator, whose meter is asked
// when nobody can rent any more. What it counted is returned.
func (s *stack) stop(ctx context.Context) (*witness, error) {
	var failures []error
	failures = append(failures, s.sidecar.stop(ctx), s.operator.stop(ctx))
	var counted *witness
	if s.sim != nil {
		asked, cancel := context.WithTimeout(context.WithoutCancel(ctx), localplane.StopTimeout)
		counted, _ = s.sim.ask(asked) //nolint:errcheck // without an answer there are no figures to show
		cancel()
	}
	if s.plane != nil {
		failures = append(failures, s.plane.Stop(ctx))
	}
	if s.sim != nil {
		failures = append(failures, s.sim.process.Stop(ctx, localplane.StopTimeout))
	}
	if !s.keepState {
		failures = append(failures, os.RemoveAll(s.place.state))
	}
	failures = append(failures, s.targets.remove())
	if err := os.Remove(s.place.kubeconfig()); err != nil && !errors.Is(err, os.ErrNotExist) {
		failures = append(failures, err)
	}
	return counted, errors.Join(failures...)
}
