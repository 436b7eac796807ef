package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/warmpool-dev/warmpool/internal/installation"
	"github.com/warmpool-dev/warmpool/internal/operator"
	"github.com/warmpool-dev/warmpool/internal/options"
)

// commands are what this program does beside being the operator, by first argument.
func commands() map[string]func(ctx context.Context, arguments []string) error {
	return map[string]func(context.Context, []string) error{"check": check, "uninstall": uninstall}
}

// check says whether the installation works.
func check(ctx context.Context, arguments []string) error {
	settings, err := options.ParseCheck(arguments, os.LookupEnv)
	if errors.Is(err, flag.ErrHelp) {
		return options.CheckUsage(os.Stdout)
	}
	if err != nil {
		return err
	}
	direct, err := connect(settings.Kubeconfig)
	if err != nil {
		return err
	}
	return installation.Check(ctx, direct, &installation.CheckOptions{
		Namespaces: settings.Namespaces, Clock: clock.RealClock{}, Timeout: settings.Timeout, Out: os.Stdout,
		Lease: types.NamespacedName{Namespace: settings.LeaseNamespace, Name: operator.LeaseName},
	})
}

// uninstall ends what a release has made, and returns when it is gone.
func uninstall(ctx context.Context, arguments []string) error {
	settings, err := options.ParseUninstall(arguments, os.LookupEnv)
	if errors.Is(err, flag.ErrHelp) {
		return options.UninstallUsage(os.Stdout)
	}
	if err != nil {
		return err
	}
	direct, err := connect(settings.Kubeconfig)
	if err != nil {
		return err
	}
	return installation.End(ctx, direct, &installation.EndOptions{
		Release: settings.Release, Namespace: settings.ReleaseNamespace, Namespaces: settings.Namespaces,
		Clock: clock.RealClock{}, Timeout: settings.Timeout, Out: os.Stdout,
	})
}

// connect makes a client without a cache.
func connect(kubeconfig string) (client.Client, error) {
	config, err := restConfig(kubeconfig)
	if err != nil {
		return nil, err
	}
	scheme, err := operator.Scheme()
	if err != nil {
		return nil, err
	}
	direct, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("connecting to the cluster: %w", err)
	}
	return direct, nil
}
