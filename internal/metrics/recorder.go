package metrics

import (
	"fmt"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Recorder counts what happens: calls to Vast.ai, rents, admissions, ends.
type Recorder struct {
	requests     *prometheus.CounterVec
	requestTime  *prometheus.HistogramVec
	throttle     *prometheus.HistogramVec
	rentOutcomes *prometheus.CounterVec
	admissions   *prometheus.CounterVec
	rentToReady  prometheus.Histogram
	ends         *prometheus.CounterVec

	auditRecords, auditFailures *prometheus.CounterVec
	claimBind                   prometheus.Histogram
}

// NewRecorder registers the counters.
func NewRecorder(registry prometheus.Registerer) (*Recorder, error) {
	help := map[string]Description{}
	for _, d := range Descriptions() {
		help[d.Name] = d
	}
	counter := func(name string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help[name].Help}, help[name].Labels)
	}
	histogram := func(name string, buckets []float64) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help[name].Help, Buckets: buckets}, help[name].Labels)
	}
	calls := []float64{0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60}
	waits := []float64{0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 600, 1800, 3600}
	minutes := []float64{30, 60, 120, 180, 300, 450, 600, 900, 1200, 1800, 2700}
	r := &Recorder{
		requests: counter(nameRequests), requestTime: histogram(nameRequestTime, calls), throttle: histogram(nameThrottle, calls),
		rentOutcomes: counter(nameRentOutcomes), admissions: counter(nameAdmissions), ends: counter(nameEnds),
		auditRecords: counter(nameAuditRecords), auditFailures: counter(nameAuditFailures),
		rentToReady: prometheus.NewHistogram(prometheus.HistogramOpts{Name: nameRentToReady, Help: help[nameRentToReady].Help, Buckets: minutes}),
		claimBind:   prometheus.NewHistogram(prometheus.HistogramOpts{Name: nameClaimBind, Help: help[nameClaimBind].Help, Buckets: waits}),
	}
	for _, collector := range []prometheus.Collector{r.requests, r.requestTime, r.throttle, r.rentOutcomes, r.admissions, r.rentToReady, r.ends, r.auditRecords, r.auditFailures, r.claimBind} {
		if err := registry.Register(collector); err != nil {
			return nil, fmt.Errorf("registering metrics: %w", err)
		}
	}
	// A counter that begins at its first failure would hide it: a rate needs the 0 before.
	for _, what := range []string{"record", "upkeep"} {
		r.auditFailures.WithLabelValues(what)
	}
	return r, nil
}

// ProviderRequest counts one call to Vast.ai: the endpoint, the HTTP status or,
// without an answer, the kind of error, how long it waited and how long it took.
func (r *Recorder) ProviderRequest(endpoint string, status int, kind string, waited, took time.Duration) {
	code := kind
	if status != 0 {
		code = strconv.Itoa(status)
	}
	r.requests.WithLabelValues(endpoint, code).Inc()
	r.requestTime.WithLabelValues(endpoint).Observe(took.Seconds())
	r.throttle.WithLabelValues(endpoint).Observe(waited.Seconds())
}

// RentOutcome counts what became of a rent.
func (r *Recorder) RentOutcome(outcome string) { r.rentOutcomes.WithLabelValues(outcome).Inc() }

// Admission counts an answer that changed.
func (r *Recorder) Admission(decision, reason string) {
	r.admissions.WithLabelValues(decision, reason).Inc()
}

// RentToReady observes the time from the rent to the first rendered prompt.
func (r *Recorder) RentToReady(took time.Duration) { r.rentToReady.Observe(took.Seconds()) }

// Ended counts an instance that was given up or ended.
func (r *Recorder) Ended(reason string) { r.ends.WithLabelValues(reason).Inc() }

// AuditRecord counts an audit record that is durable.
func (r *Recorder) AuditRecord(outcome string) { r.auditRecords.WithLabelValues(outcome).Inc() }

// AuditFailure counts a failure of the audit log: "record" or "upkeep".
func (r *Recorder) AuditFailure(what string) { r.auditFailures.WithLabelValues(what).Inc() }

// ClaimBound observes how long a claim waited for its instance.
func (r *Recorder) ClaimBound(waited time.Duration) { r.claimBind.Observe(waited.Seconds()) }
