package simulate

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/events"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/recorder"
)

// logSink takes the logs of one process: it looks for secrets in them, and it
// tells which loop a context belongs to.
type logSink struct {
	process *process
	loop    string
}

var _ logr.LogSink = (*logSink)(nil)

// Init implements logr.LogSink.
func (*logSink) Init(logr.RuntimeInfo) {}

// Enabled implements logr.LogSink: what people can turn on is looked at.
func (*logSink) Enabled(level int) bool { return level <= 1 }

// Info implements logr.LogSink.
func (s *logSink) Info(_ int, message string, values ...any) { s.take(message, values) }

// Error implements logr.LogSink.
func (s *logSink) Error(err error, message string, values ...any) {
	s.take(message, append(values, "error", err))
}

func (s *logSink) take(message string, values []any) {
	if s.process == nil || s.process.hasEnded() {
		return
	}
	w := s.process.world
	for _, value := range values {
		switch value := value.(type) {
		case bool, int, int32, int64, time.Duration:
		case string:
			w.secrets.check("a log line", value)
		default:
			w.secrets.check("a log line", fmt.Sprint(value))
		}
	}
	if w.verbose && !strings.HasPrefix(message, "Starting") && !strings.HasPrefix(message, "Shutdown") && !strings.HasPrefix(message, "All workers") {
		var text strings.Builder
		for k := 0; k+1 < len(values); k += 2 {
			fmt.Fprintf(&text, " %v=%v", values[k], values[k+1])
		}
		w.note(s.process.name, s.loop, "log: %s%s", message, text.String())
	}
}

// WithValues implements logr.LogSink.
func (s *logSink) WithValues(values ...any) logr.LogSink {
	next := *s
	for k := 0; k+1 < len(values); k += 2 {
		if name, ok := values[k+1].(string); ok && values[k] == "controller" {
			next.loop = name
		}
	}
	return &next
}

// WithName implements logr.LogSink.
func (s *logSink) WithName(string) logr.LogSink { return s }

// loopOf names the loop that a context belongs to.
func loopOf(ctx context.Context) string {
	if sink, ok := logf.FromContext(ctx).GetSink().(*logSink); ok && sink.loop != "" {
		return sink.loop
	}
	return "main"
}

// eventSink takes the events of one process.
type eventSink struct{ process *process }

var (
	_ events.EventRecorder   = eventSink{}
	_ recorder.EventRecorder = eventSink{}
)

// Eventf implements events.EventRecorder.
func (s eventSink) Eventf(object, _ runtime.Object, kind, reason, action, note string, args ...any) { //nolint:revive // client-go's interface
	if s.process.hasEnded() {
		return
	}
	text := fmt.Sprintf(note, args...)
	w := s.process.world
	w.secrets.check("an event", text)
	if w.verbose {
		name := ""
		if accessor, err := meta.Accessor(object); err == nil {
			name = accessor.GetName()
		}
		w.note(s.process.name, action, "event: %s %s %s: %s", kind, reason, name, text)
	}
}

// AnnotatedEventf implements events.AnnotatedEventRecorder.
func (s eventSink) AnnotatedEventf(object, related runtime.Object, _ map[string]string, kind, reason, action, note string, args ...any) { //nolint:revive // client-go's interface
	s.Eventf(object, related, kind, reason, action, note, args...)
}

// noMetrics counts nothing.
type noMetrics struct{}

// RentOutcome implements controllers.Recorder.
func (noMetrics) RentOutcome(string) {}

// Admission implements controllers.Recorder.
func (noMetrics) Admission(string, string) {}

// RentToReady implements controllers.Recorder.
func (noMetrics) RentToReady(time.Duration) {}

// Ended implements controllers.Recorder.
func (noMetrics) Ended(string) {}

// ClaimBound implements controllers.ClaimRecorder.
func (noMetrics) ClaimBound(time.Duration) {}
