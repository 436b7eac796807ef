package operator

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/warmpool-dev/warmpool/controllers"
	"github.com/warmpool-dev/warmpool/internal/audit"
	"github.com/warmpool-dev/warmpool/internal/audithead"
	"github.com/warmpool-dev/warmpool/internal/metrics"
	"github.com/warmpool-dev/warmpool/internal/options"
)

// auditComponent names the manager's log.
const auditComponent = "manager"

// auditing is where acts are recorded.
type auditing struct {
	controllers.Auditor
	// log is the signed log, nil when records go into the program's log.
	log *audit.Log
}

// openAudit opens the audit log of the settings. The error is about settings
// only: a disk that is full now keeps us from renting, not from starting, for
// what bills has to be ended.
func openAudit(settings *options.Audit, env *Environment, recorder *metrics.Recorder) (*auditing, error) {
	logger := env.Logger.WithName("audit")
	if settings.Dir == "" {
		return &auditing{Auditor: loggedAudit{logger: logger, recorder: recorder}}, nil
	}
	log, err := audit.Open(audit.Options{
		Dir: settings.Dir, Component: auditComponent, Salt: settings.Salt,
		MaxBytes: settings.RotateBytes, MaxAge: settings.RotateAfter, Retention: settings.Retention,
		// Only the leader writes: replicas may share a volume.
		Standby: true, Clock: env.Clock, Observer: &auditObserver{logger: logger, recorder: recorder},
	})
	if err != nil {
		return nil, fmt.Errorf("opening the audit log (--audit-dir=%s): %w", settings.Dir, err)
	}
	return &auditing{Auditor: log, log: log}, nil
}

// ready opens the log once this process leads, so that a fault shows before the
// first rent.
func (a *auditing) ready(ctx context.Context, logger logr.Logger) {
	if err := a.log.Ready(ctx); err != nil {
		logger.Error(err, "The audit log cannot be written, so nothing is rented until it can")
	}
}

// close writes what waits.
func (a *auditing) close(logger logr.Logger) {
	if a.log == nil {
		return
	}
	if err := a.log.Close(); err != nil {
		logger.Error(err, "Closing the audit log")
	}
}

// registerSecret keeps a value out of the log from now on.
func (a *auditing) registerSecret(value string) {
	if a != nil && a.log != nil {
		a.log.RegisterSecrets(value)
	}
}

// publishHeads lets the manager publish the head while it leads: only the leader
// moves money.
func (a *auditing) publishHeads(mgr ctrl.Manager, settings *options.Manager) error {
	if a.log == nil {
		return nil
	}
	namespace := cmp.Or(settings.Audit.HeadNamespace, settings.LeaderElectionNamespace)
	if namespace == "" {
		own, err := ownNamespace()
		if err != nil {
			return fmt.Errorf("finding a namespace for the head of the audit log (give --audit-head-namespace): %w", err)
		}
		namespace = own
	}
	// ConfigMaps are not cached: the client reads them from the API server.
	return mgr.Add(&headRunnable{
		trail: a, logger: mgr.GetLogger().WithName("audit"), publisher: audithead.New(mgr.GetClient(), namespace, auditComponent), period: settings.Audit.HeadPeriod,
	})
}

// headRunnable publishes the head for as long as the manager leads.
type headRunnable struct {
	trail     *auditing
	logger    logr.Logger
	publisher audit.HeadPublisher
	period    time.Duration
}

// Start implements manager.Runnable.
func (h *headRunnable) Start(ctx context.Context) error {
	h.trail.ready(ctx, h.logger)
	h.trail.log.PublishHeads(ctx, h.publisher, h.period, clock.RealClock{})
	return nil
}

// auditObserver counts records and tells of failures.
type auditObserver struct {
	logger   logr.Logger
	recorder *metrics.Recorder
}

// Recorded implements audit.Observer.
func (o *auditObserver) Recorded(record *audit.Record) {
	o.recorder.AuditRecord(knownOutcome(record.Outcome))
}

// Failed implements audit.Observer.
func (o *auditObserver) Failed(entry *audit.Entry, err error) {
	if entry == nil {
		o.recorder.AuditFailure("upkeep")
		o.logger.Error(err, "The audit log has a fault")
		return
	}
	o.recorder.AuditFailure("record")
	o.logger.Error(err, "An act is not in the audit log", "action", entry.Action, "outcome", entry.Outcome)
}

// knownOutcome keeps the label in a fixed set.
func knownOutcome(outcome audit.Outcome) string {
	if slices.Contains(audit.Outcomes(), outcome) {
		return string(outcome)
	}
	return "other"
}

// loggedAudit writes records into the program's log: without a directory there is
// no signed log, but no act goes unrecorded.
type loggedAudit struct {
	logger   logr.Logger
	recorder *metrics.Recorder
}

// Append implements controllers.Auditor.
func (l loggedAudit) Append(_ context.Context, entry *audit.Entry) (audit.Record, error) {
	return audit.Record{Action: entry.Action, Outcome: entry.Outcome, Details: entry.Details}, l.Note(entry)
}

// Note implements controllers.Auditor.
func (l loggedAudit) Note(entry *audit.Entry) error {
	pairs := []any{"action", entry.Action, "outcome", entry.Outcome}
	for _, name := range slices.Sorted(maps.Keys(entry.Details)) {
		pairs = append(pairs, name, entry.Details[name].String())
	}
	l.logger.Info("Audit", pairs...)
	l.recorder.AuditRecord(knownOutcome(entry.Outcome))
	return nil
}
