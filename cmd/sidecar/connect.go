package main

import (
	"errors"
	"fmt"

	"github.com/go-logr/logr"
	"github.com/go-logr/zapr"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
)

// connect makes a client without a cache.
func connect(kubeconfig string) (client.Client, error) {
	config, err := restConfig(kubeconfig)
	if err != nil {
		return nil, err
	}
	scheme := runtime.NewScheme()
	if schemeErr := errors.Join(clientgoscheme.AddToScheme(scheme), warmpool.AddToScheme(scheme)); schemeErr != nil {
		return nil, fmt.Errorf("building the scheme: %w", schemeErr)
	}
	direct, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("connecting to the cluster: %w", err)
	}
	return direct, nil
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
	// The API server holds back whoever asks too much; so does our own limit per peer.
	config.QPS = -1
	return config, nil
}

// newLogger makes the JSON logger and hands it to the libraries, too.
func newLogger(level int) (logr.Logger, func(), error) {
	config := zap.NewProductionConfig()
	config.Level = zap.NewAtomicLevelAt(zapcore.Level(-level)) //nolint:gosec // 0 to 2
	config.EncoderConfig.EncodeTime = zapcore.RFC3339NanoTimeEncoder
	config.Sampling = nil
	config.DisableStacktrace = true
	zapLogger, err := config.Build()
	if err != nil {
		return logr.Logger{}, nil, fmt.Errorf("making the logger: %w", err)
	}
	logger := zapr.NewLogger(zapLogger)
	ctrl.SetLogger(logger)
	klog.SetLogger(logger)
	return logger, func() { _ = zapLogger.Sync() }, nil //nolint:errcheck // standard error cannot be synced everywhere
}
