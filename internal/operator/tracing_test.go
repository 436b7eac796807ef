package operator

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/controllers"
	"github.com/warmpool-dev/warmpool/internal/fleet"
	"github.com/warmpool-dev/warmpool/internal/metrics"
	"github.com/warmpool-dev/warmpool/internal/options"
	"github.com/warmpool-dev/warmpool/internal/tracing"
	"github.com/warmpool-dev/warmpool/internal/vastai"
)

// canary is every secret of these tests.
const canary = "canary-5ecr3t"

func inMemory() (*tracing.Tracer, *tracetest.InMemoryExporter) {
	exporter := tracetest.NewInMemoryExporter()
	return tracing.Over(sdktrace.NewTracerProvider(sdktrace.WithSyncer(exporter)), clock.RealClock{}), exporter
}

// providerOf connects to a server with the canary as the key.
func providerOf(t *testing.T, url string, tracer *tracing.Tracer) controllers.Provider {
	t.Helper()
	recorder, err := metrics.NewRecorder(prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	lease := newLeaseGuard(clock.RealClock{}, false, time.Minute)
	connect := connector(&options.Manager{VastBaseURL: url}, &Environment{Clock: clock.RealClock{}}, wiring{lease: lease, recorder: recorder, tracer: tracer})
	provider, err := connect(canary, "")
	if err != nil {
		t.Fatal(err)
	}
	return provider
}

// values are the attributes of a span by their keys.
func values(span *tracetest.SpanStub) map[string]attribute.Value {
	found := map[string]attribute.Value{}
	for _, pair := range span.Attributes {
		found[string(pair.Key)] = pair.Value
	}
	return found
}

// TestARentIsTraced: a call is a span with its rental and instance, and each
// attempt of it is one below, with method, endpoint, status and number.
func TestARentIsTraced(t *testing.T) {
	var calls atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut {
			fmt.Fprint(w, `{"success":true,"new_contract":5}`)
			return
		}
		if calls.Add(1) == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		fmt.Fprint(w, `{"id":7,"credit":5}`)
	}))
	defer server.Close()
	tracer, exporter := inMemory()
	provider := providerOf(t, server.URL, tracer)
	request := fleet.RentRequest{OfferID: 41, Label: "wp1.inst.some-uid.1", DiskGB: 8, Env: map[string]string{"HF_TOKEN": canary}}
	if rental, err := provider.Rent(t.Context(), request); err != nil || rental != 5 {
		t.Fatal(rental, err)
	}
	if _, err := provider.CurrentUser(t.Context()); err != nil {
		t.Fatal(err)
	}
	spans := exporter.GetSpans()
	var shown []string
	for k := range spans {
		attributes := values(&spans[k])
		shown = append(shown, fmt.Sprintf("%s %d", spans[k].Name, attributes[keyStatus].AsInt64()))
	}
	want := "PUT rent 200, vast.ai rent 0, GET user 503, GET user 200, vast.ai current user 0"
	if got := strings.Join(shown, ", "); got != want {
		t.Fatalf("got  %s\nwant %s", got, want)
	}
	if spans[0].Parent.SpanID() != spans[1].SpanContext.SpanID() {
		t.Error("the attempt is not below the call")
	}
	attempt, call, second := values(&spans[0]), values(&spans[1]), values(&spans[3])
	if attempt[keyMethod].AsString() != "PUT" || attempt[keyEndpoint].AsString() != "rent" || attempt[keyAttempt].AsInt64() != 1 {
		t.Errorf("the attempt is %v", attempt)
	}
	if call[keyRental].AsInt64() != 5 || call[keyInstance].AsString() != "some-uid" || call[keyOffer].AsInt64() != 41 {
		t.Errorf("the call is %v", call)
	}
	if second[keyAttempt].AsInt64() != 2 {
		t.Errorf("the second attempt is %v", second)
	}
	if failure := values(&spans[2])["error.type"].AsString(); failure != string(fleet.KindUnavailable) {
		t.Errorf("the first attempt failed with %q", failure)
	}
}

// TestNoSecretEntersASpan: the server says the key and tokens wherever it can, in
// answers, errors, labels and logs, and every call is made.
func TestNoSecretEntersASpan(t *testing.T) {
	for status, body := range map[int]string{
		http.StatusOK:         `{"success":true,"id":7,"label":"` + canary + `","result":"` + canary + `","instances":[{"id":3,"label":"` + canary + `"}],"msg":"` + canary + `"}`,
		http.StatusBadRequest: `{"success":false,"error":"` + canary + `","msg":"Bearer ` + canary + `"}`,
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			fmt.Fprint(w, body)
		}))
		tracer, exporter := inMemory()
		provider := providerOf(t, server.URL, tracer)
		ctx := t.Context()
		_, _ = provider.SearchOffers(ctx, fleet.OfferQuery{})
		_, _ = provider.Rent(ctx, fleet.RentRequest{OfferID: 1, Label: canary, DiskGB: 8, OnStart: canary, Env: map[string]string{"T": canary}})
		_, _ = provider.ListRentals(ctx)
		_, _ = provider.GetRental(ctx, 3)
		_, _ = provider.CurrentUser(ctx)
		_, _ = provider.PendingPriceIncreases(ctx)
		_ = provider.DestroyRental(ctx, 3)
		_ = provider.AttachSSHKey(ctx, 3, "ssh-ed25519 AAAA "+canary)
		_ = provider.SetLabel(ctx, 3, canary)
		_, _ = provider.Logs(ctx, 3, 10)
		_, _ = provider.Charges(ctx, time.Unix(0, 0), time.Unix(1, 0))
		server.Close()
		wrapped := tracedReconciles(tracer, fake.NewClientBuilder().Build())("warmpool", "WarmPool", reconcile.Func(func(context.Context, reconcile.Request) (reconcile.Result, error) {
			return reconcile.Result{}, errors.New(canary)
		}))
		_, _ = wrapped.Reconcile(ctx, reconcile.Request{})
		spans := exporter.GetSpans()
		operations := map[string]bool{}
		for k := range spans {
			operations[spans[k].Name] = true
			if text := fmt.Sprintf("%+v", spans[k]); strings.Contains(text, canary) {
				t.Errorf("status %d: a span holds the secret: %s", status, text)
			}
		}
		for _, operation := range []string{
			"search offers", "rent", "list rentals", "get rental", "current user", "price increases", "destroy rental", "attach ssh key", "set label", "logs", "charges",
		} {
			if !operations["vast.ai "+operation] {
				t.Errorf("status %d: there is no span of %q", status, operation)
			}
		}
	}
}

func TestAPassIsTraced(t *testing.T) {
	scheme, err := Scheme()
	if err != nil {
		t.Fatal(err)
	}
	instance := &warmpool.WarmInstance{
		ObjectMeta: metav1.ObjectMeta{Namespace: "gpu", Name: "sdxl-a", UID: "some-uid"},
		Status:     warmpool.WarmInstanceStatus{Rental: &warmpool.Rental{ID: 30000012}},
	}
	cached := fake.NewClientBuilder().WithScheme(scheme).WithObjects(instance).Build()
	tracer, exporter := inMemory()
	boom := errors.New("boom")
	wrapped := tracedReconciles(tracer, cached)("warminstance", "WarmInstance", reconcile.Func(func(ctx context.Context, _ reconcile.Request) (reconcile.Result, error) {
		tracer.Record(ctx, tracing.Call{Name: "inside"})
		return reconcile.Result{RequeueAfter: 15 * time.Second}, boom
	}))
	result, err := wrapped.Reconcile(t.Context(), reconcile.Request{NamespacedName: types.NamespacedName{Namespace: "gpu", Name: "sdxl-a"}})
	if !errors.Is(err, boom) || result.RequeueAfter != 15*time.Second {
		t.Fatalf("the answer changed: %v, %v", result, err)
	}
	spans := exporter.GetSpans()
	if len(spans) != 2 || spans[0].Parent.SpanID() != spans[1].SpanContext.SpanID() {
		t.Fatalf("%d spans, or what is inside is not below", len(spans))
	}
	if got := values(&spans[1]); spans[1].Name != "reconcile warminstance" || got[keyKind].AsString() != "WarmInstance" || got[keyNamespace].AsString() != "gpu" ||
		got[keyName].AsString() != "sdxl-a" || got[keyInstance].AsString() != "some-uid" || got[keyRental].AsInt64() != 30000012 ||
		got[keyRequeue].AsFloat64() != 15 || got["error.type"].AsString() != failureOther {
		t.Errorf("the pass is %s %v", spans[1].Name, got)
	}
}

// TestWithoutTracesNothingIsWrapped: tracing that is off costs nothing.
func TestWithoutTracesNothingIsWrapped(t *testing.T) {
	if tracedReconciles(nil, nil) != nil {
		t.Error("reconcilers are wrapped")
	}
	provider := providerOf(t, "http://127.0.0.1:1", nil)
	if _, bare := provider.(*vastai.Client); !bare {
		t.Errorf("the provider is a %T", provider)
	}
}

// TestATracedProviderTellsTheTime: what a provider can do beside the interface
// must not get lost in the wrapping.
func TestATracedProviderTellsTheTime(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Date", time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat))
		fmt.Fprint(w, `{"id":7,"credit":5}`)
	}))
	defer server.Close()
	tracer, _ := inMemory()
	provider := providerOf(t, server.URL, tracer)
	if _, err := provider.CurrentUser(t.Context()); err != nil {
		t.Fatal(err)
	}
	teller, tells := provider.(interface {
		ClockSkew() (time.Duration, bool)
	})
	if !tells {
		t.Fatal("it does not tell")
	}
	if ahead, known := teller.ClockSkew(); !known || ahead < 50*time.Minute {
		t.Errorf("%s ahead, known %v", ahead, known)
	}
}
