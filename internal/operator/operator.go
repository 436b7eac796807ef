package operator

import (
	"context"
	"fmt"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/controllers"
	"github.com/warmpool-dev/warmpool/internal/comfyui"
	"github.com/warmpool-dev/warmpool/internal/metrics"
	"github.com/warmpool-dev/warmpool/internal/options"
	"github.com/warmpool-dev/warmpool/internal/tracing"
)

// Environment is what the operator runs on.
type Environment struct {
	// RESTConfig reaches the cluster.
	RESTConfig *rest.Config
	// Logger is the root of all loggers.
	Logger logr.Logger
	// Clock is the only clock but for leader election. Its timers also drive the queues.
	Clock clock.WithTicker
	// Registry gets the metrics; nil is controller-runtime's own.
	Registry prometheus.Registerer
	// WallFloor is the least wall time before a timeout of Clock counts against
	// an instance, 0 for none: for a clock that runs faster than the network.
	WallFloor time.Duration
	// SkipNameValidation allows several operators in one process, for tests.
	SkipNameValidation bool
}

// Scheme knows every kind that the operator handles.
func Scheme() (*runtime.Scheme, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, warmpool.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, fmt.Errorf("building the scheme: %w", err)
		}
	}
	return scheme, nil
}

// Run runs the operator until ctx ends. It returns an error when it cannot
// start, and when it loses its leadership.
func Run(ctx context.Context, settings options.Manager, env Environment) error { //nolint:gocritic // settings are read once
	// Leader election runs on the wall clock whatever env.Clock shows, so its
	// renewals have to be measured there too.
	lease := newLeaseGuard(clock.RealClock{}, settings.LeaderElect, settings.RenewDeadline)
	mgr, err := newManager(&settings, &env, lease)
	if err != nil {
		return err
	}
	if indexErr := controllers.AddIndexes(ctx, mgr); indexErr != nil {
		return indexErr
	}
	installation, err := installationID(ctx, mgr.GetAPIReader(), settings.InstallationID)
	if err != nil {
		return err
	}
	if env.Registry == nil {
		env.Registry = ctrlmetrics.Registry
	}
	recorder, err := metrics.NewRecorder(env.Registry)
	if err != nil {
		return err
	}
	if err = env.Registry.Register(metrics.NewCollector(mgr.GetClient(), env.Clock, func() context.Context { return ctx }, lease.IsFresh)); err != nil {
		return fmt.Errorf("registering metrics: %w", err)
	}
	trail, err := openAudit(&settings.Audit, &env, recorder)
	if err != nil {
		return err
	}
	defer trail.close(env.Logger)
	if err = trail.publishHeads(mgr, &settings); err != nil {
		return err
	}
	tracer, err := openTraces(ctx, &settings, &env)
	if err != nil {
		return err
	}
	defer closeTraces(ctx, tracer, env.Logger)
	shared := wiring{lease: lease, recorder: recorder, installation: installation, audit: trail, tracer: tracer}
	if err = addControllers(mgr, &settings, &env, shared); err != nil {
		return err
	}
	env.Logger.Info("Starting", "installation", installation, "vast", settings.VastBaseURL, "namespaces", settings.Namespaces)
	return mgr.Start(ctx)
}

func newManager(settings *options.Manager, env *Environment, lease *leaseGuard) (ctrl.Manager, error) {
	scheme, err := Scheme()
	if err != nil {
		return nil, err
	}
	managerOptions := ctrl.Options{
		Scheme: scheme, Logger: env.Logger,
		Metrics:                 metricsserver.Options{BindAddress: settings.MetricsAddress, ExtraHandlers: profiles(settings)},
		HealthProbeBindAddress:  settings.HealthAddress,
		GracefulShutdownTimeout: &settings.ShutdownTimeout,
		Cache:                   cache.Options{DefaultNamespaces: namespaces(settings.Namespaces), DefaultTransform: cache.TransformStripManagedFields()},
		Client: client.Options{Cache: &client.CacheOptions{
			// Secrets and ConfigMaps are read one by one when needed, never watched.
			DisableFor: []client.Object{&corev1.Secret{}, &corev1.ConfigMap{}},
		}},
	}
	managerOptions.Controller.SkipNameValidation = &env.SkipNameValidation
	if settings.LeaderElect {
		lock, lockErr := lease.lock(env.RESTConfig, settings.LeaderElectionNamespace)
		if lockErr != nil {
			return nil, lockErr
		}
		managerOptions.LeaderElection = true
		managerOptions.LeaderElectionResourceLockInterface = lock
		managerOptions.LeaseDuration, managerOptions.RenewDeadline, managerOptions.RetryPeriod = &settings.LeaseDuration, &settings.RenewDeadline, &settings.RetryPeriod
	}
	mgr, err := ctrl.NewManager(env.RESTConfig, managerOptions)
	if err != nil {
		return nil, fmt.Errorf("making the manager: %w", err)
	}
	if err := mgr.AddHealthzCheck("ping", healthz.Ping); err != nil {
		return nil, err
	}
	return mgr, mgr.AddReadyzCheck("caches", func(request *http.Request) error {
		if !mgr.GetCache().WaitForCacheSync(request.Context()) {
			return errCachesNotSynced
		}
		return nil
	})
}

// profiles serves net/http/pprof beside the metrics when asked for.
func profiles(settings *options.Manager) map[string]http.Handler {
	if !settings.Pprof {
		return nil
	}
	return map[string]http.Handler{
		"/debug/pprof/": http.HandlerFunc(pprof.Index), "/debug/pprof/profile": http.HandlerFunc(pprof.Profile),
		"/debug/pprof/heap": pprof.Handler("heap"), "/debug/pprof/goroutine": pprof.Handler("goroutine"),
	}
}

func namespaces(names []string) map[string]cache.Config {
	if len(names) == 0 {
		return nil
	}
	configs := map[string]cache.Config{}
	for _, name := range names {
		configs[name] = cache.Config{}
	}
	return configs
}

// wiring is what the controllers share.
type wiring struct {
	lease        *leaseGuard
	recorder     *metrics.Recorder
	installation string
	audit        *auditing
	// tracer is nil when no traces are asked for.
	tracer *tracing.Tracer
}

func addControllers(mgr ctrl.Manager, settings *options.Manager, env *Environment, shared wiring) error {
	decorate := tracedReconciles(shared.tracer, mgr.GetClient())
	account := &controllers.VastAccountReconciler{
		Client: mgr.GetClient(), APIReader: mgr.GetAPIReader(), Connect: connector(settings, env, shared),
		Lease: shared.lease, Events: mgr.GetEventRecorder("warmpool-account"), Metrics: shared.recorder, Audit: shared.audit,
		Clock: env.Clock, InstallationID: shared.installation, Concurrency: settings.AccountConcurrency,
		Decorate: decorate,
	}
	pool := &controllers.WarmPoolReconciler{
		Client: mgr.GetClient(), APIReader: mgr.GetAPIReader(), Events: mgr.GetEventRecorder("warmpool-pool"),
		Audit: shared.audit, LastTrustedSweep: account.LastTrustedSweep, Clock: env.Clock, Decorate: decorate,
	}
	looks := prober{comfyui.New(comfyui.Options{Clock: env.Clock, WallFloor: env.WallFloor})}
	instance := &controllers.WarmInstanceReconciler{
		Client: mgr.GetClient(), APIReader: mgr.GetAPIReader(), Prober: looks, Recycler: looks,
		LastTrustedSweep: account.LastTrustedSweep, Events: mgr.GetEventRecorder("warmpool-instance"),
		Metrics: shared.recorder, Clock: env.Clock, Concurrency: settings.ProbeConcurrency, Decorate: decorate,
	}
	// So many writes are on their way anyway while the API server answers the first.
	const claimWriters = 16
	claim := &controllers.WarmClaimReconciler{
		Client: mgr.GetClient(), APIReader: mgr.GetAPIReader(), Events: mgr.GetEventRecorder("warmpool-claim"),
		Metrics: shared.recorder, Clock: env.Clock, Writers: claimWriters, Decorate: decorate,
	}
	for _, add := range []func(ctrl.Manager) error{account.SetupWithManager, pool.SetupWithManager, instance.SetupWithManager, claim.SetupWithManager} {
		if err := add(mgr); err != nil {
			return fmt.Errorf("adding a controller: %w", err)
		}
	}
	return nil
}
