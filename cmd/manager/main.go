// Command manager is the Warmpool operator. "manager check" says whether an
// installation works, and "manager uninstall" ends what a release has made.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime/debug"
	_ "time/tzdata" // budgets and schedules name IANA zones, and an image from scratch has none

	"github.com/go-logr/logr"
	"github.com/go-logr/zapr"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	_ "golang.org/x/crypto/x509roots/fallback" // authorities, where the system has none
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/warmpool-dev/warmpool/internal/operator"
	"github.com/warmpool-dev/warmpool/internal/options"
	"github.com/warmpool-dev/warmpool/internal/version"
)

func main() {
	if err := run(ctrl.SetupSignalHandler()); err != nil {
		fmt.Fprintln(os.Stderr, "manager:", err)
		os.Exit(1)
	}
}

// gcPercent collects garbage when it is half of what lives, not as much again:
// with 2,000 instances that saves a quarter of the memory and costs a second of
// CPU in a minute (make bench). GOGC overrides it.
const gcPercent = 50

func run(ctx context.Context) error {
	if version.IsAsked(os.Args[1:]) {
		return version.Print(os.Stdout, "manager")
	}
	if len(os.Args) > 1 {
		if command, found := commands()[os.Args[1]]; found {
			return command(ctx, os.Args[2:])
		}
	}
	settings, err := options.ParseManager(os.Args[1:], os.LookupEnv)
	if errors.Is(err, flag.ErrHelp) {
		return options.ManagerUsage(os.Stdout)
	}
	if err != nil {
		return err
	}
	if _, set := os.LookupEnv("GOGC"); !set {
		debug.SetGCPercent(gcPercent)
	}
	logger, flush, err := newLogger(settings.LogLevel)
	if err != nil {
		return err
	}
	defer flush()
	config, err := restConfig(settings.Kubeconfig)
	if err != nil {
		return err
	}
	return operator.Run(ctx, settings, operator.Environment{RESTConfig: config, Logger: logger, Clock: clock.RealClock{}})
}

// newLogger makes the JSON logger and hands it to the libraries, too.
func newLogger(level int) (logr.Logger, func(), error) {
	config := zap.NewProductionConfig()
	config.Level = zap.NewAtomicLevelAt(zapcore.Level(-level)) //nolint:gosec // 0 to 2
	config.EncoderConfig.EncodeTime = zapcore.RFC3339NanoTimeEncoder
	config.Sampling = nil
	zapLogger, err := config.Build()
	if err != nil {
		return logr.Logger{}, nil, fmt.Errorf("making the logger: %w", err)
	}
	logger := zapr.NewLogger(zapLogger)
	ctrl.SetLogger(logger)
	klog.SetLogger(logger)
	return logger, func() { _ = zapLogger.Sync() }, nil //nolint:errcheck // standard error cannot be synced everywhere
}

// restConfig reads a kubeconfig by path, or finds the cluster the usual way.
func restConfig(path string) (*rest.Config, error) {
	if path == "" {
		config, err := ctrl.GetConfig()
		if err != nil {
			return nil, fmt.Errorf("finding the cluster (give --kubeconfig): %w", err)
		}
		return config, nil
	}
	config, err := clientcmd.BuildConfigFromFlags("", path)
	if err != nil {
		return nil, fmt.Errorf("reading the kubeconfig: %w", err)
	}
	// As ctrl.GetConfig does: the API server's priority and fairness holds back
	// whoever asks too much. client-go's own limit of 5 requests in a second
	// would let the record of a rent wait behind the health of 400 instances.
	config.QPS = -1
	return config, nil
}
