package page

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/fleet"
)

const (
	// SamplePeriod is the time between two samples of the cost.
	SamplePeriod = time.Minute
	// maxSamples bounds a series: a day of samples.
	maxSamples = int(24 * time.Hour / SamplePeriod)
)

// Sample is what a pool cost at one moment, in US dollars per hour.
type Sample struct {
	// Time of the sample.
	Time time.Time
	// Committed is what all rentals of the pool may cost, Observed what Vast.ai
	// reports for those that bill, Ceiling what the pool may cost.
	Committed, Observed, Ceiling fleet.USDMicros
}

// Series keeps the samples of the last 24 hours in memory. It is safe for
// concurrent use; the zero value is empty.
type Series struct {
	mu      sync.Mutex
	samples []Sample
}

// Add keeps a sample. One that is not later than the last is dropped: the plot
// has one value for one time.
func (s *Series) Add(sample Sample) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.samples); n > 0 && !sample.Time.After(s.samples[n-1].Time) {
		return
	}
	if len(s.samples) == maxSamples {
		s.samples = slices.Delete(s.samples, 0, 1)
	}
	s.samples = append(s.samples, sample)
}

// Samples returns a copy of what is kept, oldest first.
func (s *Series) Samples() []Sample {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.samples)
}

// Sampler fills a series from the status of one pool.
type Sampler struct {
	// Reader reads the pool, from a cache or not.
	Reader client.Reader
	// Pool is the name of the pool.
	Pool types.NamespacedName
	// Series takes the samples.
	Series *Series
	// Clock tells the time and ticks.
	Clock clock.WithTicker
	// Log gets what could not be read, at level 1.
	Log logr.Logger
}

// Start samples at once and then every SamplePeriod until ctx ends; it returns
// nil. A pool that cannot be read leaves a gap. It is a Runnable of
// controller-runtime's manager.
func (s *Sampler) Start(ctx context.Context) error {
	ticker := s.Clock.NewTicker(SamplePeriod)
	defer ticker.Stop()
	for {
		s.sample(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C():
		}
	}
}

func (s *Sampler) sample(ctx context.Context) {
	var pool v1alpha1.WarmPool
	if err := s.Reader.Get(ctx, s.Pool, &pool); err != nil {
		s.Log.V(1).Info("Not sampling the cost, because the pool cannot be read", "pool", s.Pool, "reason", err.Error())
		return
	}
	s.Series.Add(sampleOf(&pool, s.Clock.Now()))
}

// sampleOf reads the cost of a pool. What its status does not say is zero.
func sampleOf(pool *v1alpha1.WarmPool, now time.Time) Sample {
	cost := &pool.Status.Cost
	return Sample{
		Time:      now,
		Committed: amountOf(cost.CommittedUSDPerHour).value,
		Observed:  amountOf(cost.ObservedUSDPerHour).value,
		Ceiling:   amountOf(pool.Spec.Cost.CeilingUSDPerHour).value,
	}
}
