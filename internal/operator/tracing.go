package operator

import (
	"cmp"
	"context"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/controllers"
	"github.com/warmpool-dev/warmpool/internal/fleet"
	"github.com/warmpool-dev/warmpool/internal/options"
	"github.com/warmpool-dev/warmpool/internal/tracing"
	"github.com/warmpool-dev/warmpool/internal/vastai"
)

// The attributes of spans, beside those that OpenTelemetry names.
const (
	keyController = "warmpool.controller"
	keyKind       = "warmpool.kind"
	keyName       = "warmpool.name"
	keyNamespace  = "k8s.namespace.name"
	keyRequeue    = "warmpool.requeue_after_seconds"
	keyRental     = "warmpool.rental.id"
	keyInstance   = "warmpool.instance.uid"
	keyOffer      = "warmpool.offer.id"
	keyFound      = "warmpool.found"
	keyEndpoint   = "warmpool.vast.endpoint"
	keyAttempt    = "warmpool.vast.attempt"
	keyThrottled  = "warmpool.vast.throttled_seconds"
	keyMethod     = "http.request.method"
	keyStatus     = "http.response.status_code"
)

// failureOther is the class of an error that has no class.
const failureOther = "other"

// lastTraces is how long the last spans may take to be sent at the end.
const lastTraces = 5 * time.Second

// openTraces returns nil when no traces are asked for.
func openTraces(ctx context.Context, settings *options.Manager, env *Environment) (*tracing.Tracer, error) {
	logger := env.Logger.WithName("Traces")
	return tracing.New(ctx, tracing.Options{
		Endpoint: settings.OTLPEndpoint, Headers: settings.OTLPHeaders, Service: "warmpool-manager", Clock: env.Clock,
		OnError: func(err error) { logger.Error(err, "Sending spans") },
	})
}

// closeTraces sends the last spans. The context of the run has ended by then.
func closeTraces(ctx context.Context, tracer *tracing.Tracer, logger logr.Logger) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastTraces)
	defer cancel()
	if err := tracer.Shutdown(ctx); err != nil {
		logger.Error(err, "Ending traces")
	}
}

// tracedReconciles wraps reconcilers in a span for each pass; nil without a tracer.
func tracedReconciles(tracer *tracing.Tracer, cached client.Reader) controllers.Decorate {
	if tracer == nil {
		return nil
	}
	return func(controller, kind string, next reconcile.Reconciler) reconcile.Reconciler {
		return &tracedReconciler{tracer: tracer, cached: cached, controller: controller, kind: kind, next: next}
	}
}

type tracedReconciler struct {
	tracer           *tracing.Tracer
	cached           client.Reader
	controller, kind string
	next             reconcile.Reconciler
}

// Reconcile implements reconcile.Reconciler.
func (r *tracedReconciler) Reconcile(ctx context.Context, request reconcile.Request) (result reconcile.Result, err error) {
	ctx, span := r.tracer.Start(ctx, "reconcile "+r.controller, tracing.Text(keyController, r.controller), tracing.Text(keyKind, r.kind),
		tracing.Text(keyNamespace, request.Namespace), tracing.Text(keyName, request.Name))
	defer func() {
		span.Set(tracing.Seconds(keyRequeue, result.RequeueAfter))
		span.End(failureOf(err))
	}()
	r.nameRental(ctx, span, request)
	return r.next.Reconcile(ctx, request)
}

// nameRental says which rental an instance is, as far as the cache knows.
func (r *tracedReconciler) nameRental(ctx context.Context, span *tracing.Span, request reconcile.Request) {
	if r.kind != "WarmInstance" {
		return
	}
	var instance warmpool.WarmInstance
	if r.cached.Get(ctx, request.NamespacedName, &instance) != nil {
		return
	}
	span.Set(tracing.Text(keyInstance, string(instance.UID)))
	if instance.Status.Rental != nil {
		span.Set(tracing.Number(keyRental, instance.Status.Rental.ID))
	}
}

// failureOf is the class of an error, empty for none: its text stays out of spans (I8).
func failureOf(err error) string {
	if err == nil {
		return ""
	}
	return cmp.Or(string(fleet.KindOf(err)), string(apierrors.ReasonForError(err)), failureOther)
}

// traceAttempt writes the span of one attempt of a call to Vast.ai.
func traceAttempt(ctx context.Context, tracer *tracing.Tracer, attempt *vastai.Attempt) {
	if tracer == nil {
		return
	}
	attributes := []tracing.Attribute{
		tracing.Text(keyMethod, attempt.Method), tracing.Text(keyEndpoint, string(attempt.Endpoint)),
		tracing.Number(keyAttempt, int64(attempt.Number)), tracing.Seconds(keyThrottled, attempt.Throttled),
	}
	if attempt.Status != 0 {
		attributes = append(attributes, tracing.Number(keyStatus, int64(attempt.Status)))
	}
	tracer.Record(ctx, tracing.Call{
		Name: attempt.Method + " " + string(attempt.Endpoint), Took: attempt.Duration, Failure: string(attempt.Kind),
	}, attributes...)
}

// traced wraps a provider in a span for each call; without a tracer it is returned
// as it is.
func traced(next controllers.Provider, tracer *tracing.Tracer) controllers.Provider {
	if tracer == nil {
		return next
	}
	return &tracedProvider{next: next, tracer: tracer}
}

// tracedProvider implements controllers.Provider. What is sent and received stays
// out of the spans, but for numbers.
type tracedProvider struct {
	next   controllers.Provider
	tracer *tracing.Tracer
}

// start begins the span of a call.
func (p *tracedProvider) start(ctx context.Context, operation string, attributes ...tracing.Attribute) (context.Context, *tracing.Span) {
	return p.tracer.Start(ctx, "vast.ai "+operation, attributes...)
}

// SearchOffers implements controllers.Market.
func (p *tracedProvider) SearchOffers(ctx context.Context, query fleet.OfferQuery) ([]fleet.Offer, error) { //nolint:gocritic // as the interface has it
	ctx, span := p.start(ctx, "search offers")
	offers, err := p.next.SearchOffers(ctx, query)
	span.Set(tracing.Number(keyFound, int64(len(offers))))
	span.End(failureOf(err))
	return offers, err
}

// Rent implements controllers.Market.
func (p *tracedProvider) Rent(ctx context.Context, request fleet.RentRequest) (int64, error) { //nolint:gocritic // as the interface has it
	ctx, span := p.start(ctx, "rent", tracing.Number(keyOffer, request.OfferID))
	if label, ours := fleet.ParseLabel(request.Label); ours {
		span.Set(tracing.Text(keyInstance, label.InstanceUID))
	}
	rental, err := p.next.Rent(ctx, request)
	if rental != 0 {
		span.Set(tracing.Number(keyRental, rental))
	}
	span.End(failureOf(err))
	return rental, err
}

// ListRentals implements controllers.Inventory.
func (p *tracedProvider) ListRentals(ctx context.Context) (fleet.Listing, error) {
	ctx, span := p.start(ctx, "list rentals")
	listing, err := p.next.ListRentals(ctx)
	span.Set(tracing.Number(keyFound, int64(len(listing.Rentals))))
	span.End(failureOf(err))
	return listing, err
}

// GetRental implements controllers.Inventory.
func (p *tracedProvider) GetRental(ctx context.Context, rentalID int64) (*fleet.Rental, error) {
	ctx, span := p.start(ctx, "get rental", tracing.Number(keyRental, rentalID))
	rental, err := p.next.GetRental(ctx, rentalID)
	span.End(failureOf(err))
	return rental, err
}

// CurrentUser implements controllers.Inventory.
func (p *tracedProvider) CurrentUser(ctx context.Context) (fleet.User, error) {
	ctx, span := p.start(ctx, "current user")
	user, err := p.next.CurrentUser(ctx)
	span.End(failureOf(err))
	return user, err
}

// PendingPriceIncreases implements controllers.Inventory.
func (p *tracedProvider) PendingPriceIncreases(ctx context.Context) ([]fleet.PriceIncrease, error) {
	ctx, span := p.start(ctx, "price increases")
	increases, err := p.next.PendingPriceIncreases(ctx)
	span.Set(tracing.Number(keyFound, int64(len(increases))))
	span.End(failureOf(err))
	return increases, err
}

// ClockSkew hands on how far our clock is from Vast.ai's, for providers that know.
func (p *tracedProvider) ClockSkew() (ahead time.Duration, known bool) {
	teller, tells := p.next.(interface {
		ClockSkew() (ahead time.Duration, known bool)
	})
	if !tells {
		return 0, false
	}
	return teller.ClockSkew()
}

// onRental makes a call about one rental in a span.
func (p *tracedProvider) onRental(ctx context.Context, operation string, rentalID int64, call func(context.Context) error) error {
	ctx, span := p.start(ctx, operation, tracing.Number(keyRental, rentalID))
	err := call(ctx)
	span.End(failureOf(err))
	return err
}

// DestroyRental implements controllers.Operator.
func (p *tracedProvider) DestroyRental(ctx context.Context, rentalID int64) error {
	return p.onRental(ctx, "destroy rental", rentalID, func(ctx context.Context) error { return p.next.DestroyRental(ctx, rentalID) })
}

// AttachSSHKey implements controllers.Operator.
func (p *tracedProvider) AttachSSHKey(ctx context.Context, rentalID int64, publicKey string) error {
	return p.onRental(ctx, "attach ssh key", rentalID, func(ctx context.Context) error { return p.next.AttachSSHKey(ctx, rentalID, publicKey) })
}

// SetLabel implements controllers.Operator.
func (p *tracedProvider) SetLabel(ctx context.Context, rentalID int64, label string) error {
	return p.onRental(ctx, "set label", rentalID, func(ctx context.Context) error { return p.next.SetLabel(ctx, rentalID, label) })
}

// Logs implements controllers.Operator.
func (p *tracedProvider) Logs(ctx context.Context, rentalID int64, lines int) (text string, err error) {
	err = p.onRental(ctx, "logs", rentalID, func(ctx context.Context) error {
		text, err = p.next.Logs(ctx, rentalID, lines)
		return err
	})
	return text, err
}

// Charges implements controllers.Bookkeeper.
func (p *tracedProvider) Charges(ctx context.Context, from, to time.Time) ([]fleet.Charge, error) {
	ctx, span := p.start(ctx, "charges")
	charges, err := p.next.Charges(ctx, from, to)
	span.Set(tracing.Number(keyFound, int64(len(charges))))
	span.End(failureOf(err))
	return charges, err
}
