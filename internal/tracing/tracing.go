package tracing

import (
	"context"
	"fmt"
	"net/url"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"k8s.io/utils/clock"
)

const (
	// scope names the code that the spans come from.
	scope = "github.com/warmpool-dev/warmpool"
	// tracesPath is where a collector takes spans, below its endpoint.
	tracesPath = "v1/traces"
	// keyErrorType is the class of what went wrong.
	keyErrorType = "error.type"
)

// Options say where spans go.
type Options struct {
	// Endpoint is the base URL of a collector that speaks OTLP over HTTP, such as
	// http://otel-collector:4318; v1/traces is added. Empty turns tracing off.
	Endpoint string
	// Headers are sent along, in the form of OTEL_EXPORTER_OTLP_HEADERS; they may hold a key.
	Headers string `json:"-"`
	// Service names the program in every trace.
	Service string
	// Clock times the spans.
	Clock clock.PassiveClock
	// OnError is told when spans cannot be sent; they are lost then, and nothing else.
	OnError func(error)
}

// Tracer makes spans. A nil one makes none.
type Tracer struct {
	tracer   trace.Tracer
	clock    clock.PassiveClock
	shutdown func(context.Context) error
}

// New returns a tracer that sends its spans in the background, and nil when the
// endpoint is empty. It does not connect. The variables OTEL_RESOURCE_ATTRIBUTES,
// OTEL_TRACES_SAMPLER and OTEL_BSP_* are followed as OpenTelemetry defines them.
func New(ctx context.Context, options Options) (*Tracer, error) {
	if options.Endpoint == "" {
		return nil, nil //nolint:nilnil // off is a setting
	}
	endpoint, err := url.Parse(options.Endpoint)
	if err != nil {
		return nil, fmt.Errorf("reading the endpoint for traces: %w", err)
	}
	client, err := newUploader(endpoint, options.Headers)
	if err != nil {
		return nil, err
	}
	exporter, err := otlptrace.New(ctx, client)
	if err != nil {
		return nil, fmt.Errorf("preparing to send traces to %s: %w", endpoint.Host, err)
	}
	if options.OnError != nil {
		otel.SetErrorHandler(otel.ErrorHandlerFunc(options.OnError))
	}
	described := resource.NewSchemaless(attribute.String("service.name", options.Service))
	if merged, err := resource.Merge(described, resource.Environment()); err == nil {
		described = merged
	}
	provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(described))
	return Over(provider, options.Clock), nil
}

// Over returns a tracer over a provider, which Shutdown ends if it can be ended.
func Over(provider trace.TracerProvider, now clock.PassiveClock) *Tracer {
	t := &Tracer{tracer: provider.Tracer(scope), clock: now, shutdown: func(context.Context) error { return nil }}
	if ends, ok := provider.(interface {
		Shutdown(ctx context.Context) error
	}); ok {
		t.shutdown = ends.Shutdown
	}
	return t
}

// Shutdown sends what is left and ends the tracer, at the latest when ctx ends.
func (t *Tracer) Shutdown(ctx context.Context) error {
	if t == nil {
		return nil
	}
	if err := t.shutdown(ctx); err != nil {
		return fmt.Errorf("sending the last traces: %w", err)
	}
	return nil
}

// Attribute is a text or a number of a span.
type Attribute struct{ pair attribute.KeyValue }

// Text is an attribute out of a fixed set, or the name of an object.
func Text(key, value string) Attribute { return Attribute{attribute.String(key, value)} }

// Number is an attribute that is a number.
func Number(key string, value int64) Attribute { return Attribute{attribute.Int64(key, value)} }

// Seconds is an attribute that is a duration, in seconds.
func Seconds(key string, value time.Duration) Attribute {
	return Attribute{attribute.Float64(key, value.Seconds())}
}

func pairs(attributes []Attribute) []attribute.KeyValue {
	all := make([]attribute.KeyValue, 0, len(attributes))
	for _, one := range attributes {
		all = append(all, one.pair)
	}
	return all
}

// Span is something that takes time. A nil one is that of a tracer that is off.
type Span struct {
	span  trace.Span
	clock clock.PassiveClock
}

// Start begins a span under that of the context, and returns the context that
// belongs to it. End has to be called.
func (t *Tracer) Start(ctx context.Context, name string, attributes ...Attribute) (context.Context, *Span) {
	if t == nil {
		return ctx, nil
	}
	ctx, span := t.tracer.Start(ctx, name, trace.WithTimestamp(t.clock.Now()), trace.WithAttributes(pairs(attributes)...))
	return ctx, &Span{span, t.clock}
}

// Call is a call that another room has made and measured.
type Call struct {
	// Name of the span.
	Name string
	// Took is how long it lasted until now.
	Took time.Duration
	// Failure is the class of what went wrong, empty for a success.
	Failure string
}

// Record writes the span of a call that has just ended, under that of the context.
func (t *Tracer) Record(ctx context.Context, call Call, attributes ...Attribute) {
	if t == nil {
		return
	}
	now := t.clock.Now()
	_, span := t.tracer.Start(ctx, call.Name, trace.WithTimestamp(now.Add(-call.Took)),
		trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(pairs(attributes)...))
	(&Span{span, t.clock}).end(call.Failure, now)
}

// Set adds attributes.
func (s *Span) Set(attributes ...Attribute) {
	if s != nil {
		s.span.SetAttributes(pairs(attributes)...)
	}
}

// End ends the span; failure is the class of what went wrong, empty for a success.
func (s *Span) End(failure string) {
	if s != nil {
		s.end(failure, s.clock.Now())
	}
}

func (s *Span) end(failure string, at time.Time) {
	if failure != "" {
		s.span.SetAttributes(attribute.String(keyErrorType, failure))
		s.span.SetStatus(codes.Error, failure)
	}
	s.span.End(trace.WithTimestamp(at))
}
