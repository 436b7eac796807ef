package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/warmpool-dev/warmpool/internal/options"
)

// sidePatience bounds a request to the metrics or the health endpoint.
const sidePatience = 10 * time.Second

// serveSides serves metrics and health, each on an address of its own, until the
// function is called that it returns.
func serveSides(ctx context.Context, settings *options.Sidecar, registry *prometheus.Registry, ready func(ctx context.Context) error) (func() error, error) {
	metrics := http.NewServeMux()
	metrics.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	var servers []*http.Server
	closeAll := func() (err error) {
		for _, server := range servers {
			err = errors.Join(err, server.Close())
		}
		return err
	}
	for _, side := range []struct {
		address string
		handler http.Handler
	}{{settings.MetricsAddress, metrics}, {settings.HealthAddress, healthEndpoints(ready)}} {
		if side.address == "0" {
			continue
		}
		var listen net.ListenConfig
		listener, err := listen.Listen(ctx, "tcp", side.address)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("listening: %w", err), closeAll())
		}
		server := &http.Server{Handler: side.handler, ReadTimeout: sidePatience, WriteTimeout: sidePatience}
		servers = append(servers, server)
		go func() { _ = server.Serve(listener) }() //nolint:errcheck // it ends with Close
	}
	return closeAll, nil
}

// healthEndpoints are those of Kubernetes' probes.
func healthEndpoints(ready func(ctx context.Context) error) http.Handler {
	health := http.NewServeMux()
	health.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { say(w, http.StatusOK, "ok") })
	health.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		limited, cancel := context.WithTimeout(r.Context(), sidePatience/2)
		defer cancel()
		if ready(limited) != nil {
			// The cause is in the log and in the answers of the API.
			say(w, http.StatusServiceUnavailable, "not ready: the API server, the admin key or the audit log is not usable")
			return
		}
		say(w, http.StatusOK, "ok")
	})
	return health
}

func say(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = fmt.Fprintln(w, text) //nolint:errcheck // the caller has gone away
}
