package legacyapi

import (
	"fmt"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metric says what one metric of the sidecar is, for the reference page.
type Metric struct {
	// Name is the full name.
	Name string
	// Help is the sentence that Prometheus shows.
	Help string
	// Type is counter or histogram.
	Type string
	// Labels in order.
	Labels []string
}

// Names of the metrics.
const (
	nameRequests  = "warmpool_sidecar_requests_total"
	nameDuration  = "warmpool_sidecar_request_duration_seconds"
	nameDenied    = "warmpool_sidecar_authentication_failures_total"
	nameLimited   = "warmpool_sidecar_limited_requests_total"
	nameUnwritten = "warmpool_sidecar_audit_failures_total"
	nameProxied   = "warmpool_sidecar_comfy_failures_total"
)

// Metrics lists every metric of the sidecar.
func Metrics() []Metric {
	return []Metric{
		{nameRequests, "Requests by route and status code; unknown paths are the route none.", "counter", []string{"route", "method", "code"}},
		{nameDuration, "Time until a request was answered, without those to rented instances.", "histogram", []string{"route"}},
		{nameDenied, "Requests without the right key: reason missing, wrong, in_url, not_configured, not_local or locked (too many wrong keys from the peer).", "counter", []string{"reason"}},
		{nameLimited, "Requests that were turned away because their peer asked too often.", "counter", nil},
		{nameUnwritten, "Audit records that could not be written; the requests were refused or answered with an error.", "counter", nil},
		{nameProxied, "Requests to rented instances that failed: reason unreachable, untrusted or cut.", "counter", []string{"reason"}},
	}
}

// recorder counts.
type recorder struct {
	requests, denied, proxied *prometheus.CounterVec
	limited, unwritten        prometheus.Counter
	duration                  *prometheus.HistogramVec
}

func newRecorder(registry prometheus.Registerer) (*recorder, error) {
	help := map[string]Metric{}
	for _, metric := range Metrics() {
		help[metric.Name] = metric
	}
	counter := func(name string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help[name].Help}, help[name].Labels)
	}
	limited, unwritten := counter(nameLimited), counter(nameUnwritten)
	r := &recorder{
		requests: counter(nameRequests), denied: counter(nameDenied), proxied: counter(nameProxied),
		limited: limited.WithLabelValues(), unwritten: unwritten.WithLabelValues(),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: nameDuration, Help: help[nameDuration].Help, Buckets: []float64{0.005, 0.025, 0.1, 0.5, 2.5, 10, 30},
		}, help[nameDuration].Labels),
	}
	for _, collector := range []prometheus.Collector{r.requests, r.denied, r.proxied, limited, unwritten, r.duration} {
		if err := registry.Register(collector); err != nil {
			return nil, fmt.Errorf("registering metrics: %w", err)
		}
	}
	// A counter that begins at its first failures would hide them: a rate needs
	// the 0 before.
	for _, reason := range []string{"missing", "wrong", "in_url", "not_configured", "not_local", "locked"} {
		r.denied.WithLabelValues(reason)
	}
	for _, reason := range []string{"unreachable", "untrusted", "cut"} {
		r.proxied.WithLabelValues(reason)
	}
	return r, nil
}

// answered counts one request.
func (r *recorder) answered(route, method string, code int, took time.Duration) {
	r.requests.WithLabelValues(route, method, strconv.Itoa(code)).Inc()
	if route != routeComfy {
		r.duration.WithLabelValues(route).Observe(took.Seconds())
	}
}
