package tracing_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/warmpool-dev/warmpool/internal/tracing"
)

var now = time.Date(2026, 11, 25, 3, 0, 0, 0, time.UTC)

func TestOffCostsNothing(t *testing.T) {
	tracer, err := tracing.New(t.Context(), tracing.Options{Clock: clock.RealClock{}})
	if tracer != nil || err != nil {
		t.Fatalf("without an endpoint: %v, %v", tracer, err)
	}
	ctx := t.Context()
	allocations := testing.AllocsPerRun(100, func() {
		inside, span := tracer.Start(ctx, "a span", tracing.Number("a.number", 7))
		if inside != ctx || span != nil {
			t.Error("a tracer that is off makes spans")
		}
		span.Set(tracing.Text("a.text", "words"))
		tracer.Record(inside, tracing.Call{Name: "a call", Took: time.Second})
		span.End("")
	})
	if allocations > 0 {
		t.Errorf("%.0f allocations", allocations)
	}
	if err := tracer.Shutdown(ctx); err != nil {
		t.Error(err)
	}
}

func TestSpans(t *testing.T) {
	exporter := tracetest.NewInMemoryExporter()
	ticks := clocktesting.NewFakePassiveClock(now)
	tracer := tracing.Over(sdktrace.NewTracerProvider(sdktrace.WithSyncer(exporter)), ticks)
	ctx, span := tracer.Start(t.Context(), "reconcile warmpool", tracing.Text("warmpool.name", "sdxl"))
	ticks.SetTime(now.Add(5 * time.Second))
	tracer.Record(ctx, tracing.Call{Name: "GET list", Took: 2 * time.Second, Failure: "Unavailable"}, tracing.Number("http.response.status_code", 503))
	span.Set(tracing.Seconds("warmpool.requeue_after_seconds", 15*time.Second))
	span.End("")
	spans := exporter.GetSpans()
	if len(spans) != 2 {
		t.Fatalf("%d spans", len(spans))
	}
	call, pass := spans[0], spans[1]
	if call.Parent.SpanID() != pass.SpanContext.SpanID() || pass.Parent.IsValid() {
		t.Error("the call is not below the pass")
	}
	if call.Name != "GET list" || !call.StartTime.Equal(now.Add(3*time.Second)) || !call.EndTime.Equal(now.Add(5*time.Second)) {
		t.Errorf("the call is %s from %s to %s", call.Name, call.StartTime, call.EndTime)
	}
	if call.Status != (sdktrace.Status{Code: codes.Error, Description: "Unavailable"}) || pass.Status.Code != codes.Unset {
		t.Errorf("the states are %v and %v", call.Status, pass.Status)
	}
	for _, want := range []attribute.KeyValue{attribute.Int64("http.response.status_code", 503), attribute.String("error.type", "Unavailable")} {
		if !slices.Contains(call.Attributes, want) {
			t.Errorf("the call has no %v: %v", want, call.Attributes)
		}
	}
	for _, want := range []attribute.KeyValue{attribute.String("warmpool.name", "sdxl"), attribute.Float64("warmpool.requeue_after_seconds", 15)} {
		if !slices.Contains(pass.Attributes, want) {
			t.Errorf("the pass has no %v: %v", want, pass.Attributes)
		}
	}
}

// receiver is a collector on loopback.
type receiver struct {
	mu       sync.Mutex
	requests []*tracepb.TracesData
	paths    []string
	headers  []string
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	body, err := io.ReadAll(request.Body)
	var sent tracepb.TracesData
	if err = errors.Join(err, proto.Unmarshal(body, &sent)); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests = append(r.requests, &sent)
	r.paths = append(r.paths, request.Method+" "+request.URL.Path)
	r.headers = append(r.headers, request.Header.Get("X-Tenant"))
}

func TestACollectorGetsTheSpans(t *testing.T) {
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "k8s.cluster.name=here")
	received := &receiver{}
	server := httptest.NewServer(received)
	defer server.Close()
	tracer, err := tracing.New(t.Context(), tracing.Options{Endpoint: server.URL + "/otlp/", Headers: "x-tenant=gpu%20pools, other = x", Service: "warmpool-manager", Clock: clock.RealClock{}})
	if err != nil {
		t.Fatal(err)
	}
	_, span := tracer.Start(t.Context(), "vast.ai rent", tracing.Number("warmpool.rental.id", 30000012))
	span.End("")
	if err := tracer.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(received.requests) != 1 || received.paths[0] != "POST /otlp/v1/traces" || received.headers[0] != "gpu pools" {
		t.Fatalf("the collector got %d requests: %v, tenants %v", len(received.requests), received.paths, received.headers)
	}
	sent := received.requests[0].GetResourceSpans()[0]
	text := sent.String()
	for _, want := range []string{"warmpool-manager", "k8s.cluster.name", "vast.ai rent", "warmpool.rental.id", "30000012"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in %s", want, text)
		}
	}
}

// TestHeadersThatCannotBeRead: the error does not show them, for they may hold a key.
func TestHeadersThatCannotBeRead(t *testing.T) {
	for _, headers := range []string{"canary", "=canary", "authorization=%zzcanary"} {
		_, err := tracing.New(t.Context(), tracing.Options{Endpoint: "http://127.0.0.1:1", Headers: headers, Clock: clock.RealClock{}})
		if err == nil || strings.Contains(err.Error(), "canary") || !strings.Contains(err.Error(), "OTEL_EXPORTER_OTLP_HEADERS") {
			t.Errorf("%q: %v", headers, err)
		}
	}
}

// TestNobodyListens: what cannot be sent is told, and lost, and holds nothing up.
func TestNobodyListens(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	told := make(chan error, 1)
	tracer, err := tracing.New(t.Context(), tracing.Options{Endpoint: server.URL, Service: "warmpool-manager", Clock: clock.RealClock{}, OnError: func(err error) {
		select {
		case told <- err:
		default:
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	_, span := tracer.Start(t.Context(), "reconcile warmpool")
	span.End("")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	ended := tracer.Shutdown(ctx)
	select {
	case err := <-told:
		if !strings.Contains(err.Error(), "404") {
			t.Errorf("told: %v", err)
		}
	default:
		if ended == nil {
			t.Error("nobody was told that the spans are lost")
		}
	}
}
