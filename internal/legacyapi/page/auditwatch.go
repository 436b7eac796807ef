package page

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/utils/clock"

	"github.com/warmpool-dev/warmpool/internal/audit"
)

const (
	// verifyPeriod is the time between two verifications of the audit log: each
	// reads all of it.
	verifyPeriod = 10 * time.Minute
	// queryPeriod is the least time between two readings of the newest records.
	queryPeriod = 5 * time.Second
)

// AuditSource is the part of *audit.Log that an AuditWatch reads.
type AuditSource interface {
	// Query returns a page of records, youngest first.
	Query(ctx context.Context, query audit.Query) (audit.Page, error)
	// Head names the last record.
	Head() audit.Head
}

// AuditWatch is the AuditReader of a log in files. It reads the newest records
// when there are new ones and somebody looks, and verifies the log every ten
// minutes. Use NewAuditWatch.
type AuditWatch struct {
	source AuditSource
	verify func(context.Context) (audit.Report, error)
	clock  clock.WithTicker
	log    logr.Logger

	mu     sync.Mutex
	read   time.Time
	head   audit.Head
	recent []audit.Record
	state  Verification
}

var _ AuditReader = (*AuditWatch)(nil)

// NewAuditWatch makes a watch of a log. verify verifies it, as audit.Verify does.
func NewAuditWatch(source AuditSource, verify func(context.Context) (audit.Report, error), ticks clock.WithTicker, log logr.Logger) *AuditWatch {
	return &AuditWatch{source: source, verify: verify, clock: ticks, log: log}
}

// Start verifies at once and then every ten minutes until ctx ends; it returns
// nil. It is a Runnable of controller-runtime's manager.
func (a *AuditWatch) Start(ctx context.Context) error {
	ticker := a.clock.NewTicker(verifyPeriod)
	defer ticker.Stop()
	for {
		a.look(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C():
		}
	}
}

func (a *AuditWatch) look(ctx context.Context) {
	report, err := a.verify(ctx)
	if ctx.Err() != nil {
		return
	}
	state := verificationOf(&report, err)
	state.Time = a.clock.Now()
	if !state.Intact {
		a.log.Error(err, "The audit log is not intact, or cannot be verified", "message", state.Message)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.state = state
}

// verificationOf says what a verification has found.
func verificationOf(report *audit.Report, err error) Verification {
	switch {
	case err != nil:
		return Verification{Message: "The log cannot be verified: " + err.Error() + "."}
	case report.Broken != nil:
		return Verification{
			Records: uint64(max(report.Records, 0)),
			Message: fmt.Sprintf("%s at %s line %d: %s Keep the files, and find out who could write them.",
				report.Broken.Problem, report.Broken.File, report.Broken.Line, report.Broken.Message),
		}
	case report.UnknownSalts > 0:
		return Verification{
			Intact: true, Records: uint64(max(report.Records, 0)),
			Message: fmt.Sprintf("%d records are from before AUDIT_SALT changed; the chain vouches for them.", report.UnknownSalts),
		}
	default:
		return Verification{
			Intact: true, Records: uint64(max(report.Records, 0)),
			Message: "Every record is signed and chained to the one before.",
		}
	}
}

// Verification implements AuditReader.
func (a *AuditWatch) Verification() Verification {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.state
}

// Recent implements AuditReader. Reading takes as long as the log is large, so
// it is done once for all who look, and not more often than every five seconds.
func (a *AuditWatch) Recent(ctx context.Context, limit int) ([]audit.Record, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	head, now := a.source.Head(), a.clock.Now()
	if head != a.head && (a.read.IsZero() || now.Sub(a.read) >= queryPeriod) {
		page, err := a.source.Query(ctx, audit.Query{Limit: limit})
		if err != nil {
			return nil, fmt.Errorf("reading the audit log: %w", err)
		}
		a.recent, a.head, a.read = page.Records, head, now
	}
	return slices.Clone(a.recent[:min(limit, len(a.recent))]), nil
}
