package operator

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/warmpool-dev/warmpool/controllers"
	"github.com/warmpool-dev/warmpool/internal/comfyui"
	"github.com/warmpool-dev/warmpool/internal/fleet"
	"github.com/warmpool-dev/warmpool/internal/metrics"
	"github.com/warmpool-dev/warmpool/internal/options"
	"github.com/warmpool-dev/warmpool/internal/tracing"
	"github.com/warmpool-dev/warmpool/internal/vastai"
)

var (
	errCachesNotSynced = errors.New("the caches are not filled yet")
	errLeaseNotFresh   = errors.New("the leader lease was not renewed lately, so another process may lead")
)

// writeTimeout bounds one write to Vast.ai, a rent above all.
const writeTimeout = time.Minute

// connector makes Vast.ai clients that count their calls and that send no
// write once the lease may have been lost.
func connector(settings *options.Manager, env *Environment, shared wiring) controllers.Connect {
	return func(apiKey, baseURL string) (controllers.Provider, error) {
		if err := options.CheckVastURL(cmp.Or(baseURL, settings.VastBaseURL)); err != nil {
			return nil, err
		}
		shared.audit.registerSecret(apiKey)
		client, err := vastai.New(vastai.Options{
			BaseURL: cmp.Or(baseURL, settings.VastBaseURL), APIKey: apiKey, UserAgent: "warmpool", Clock: env.Clock,
			Transport: newOneShot(),
			Observer:  observer{shared.recorder, shared.tracer},
			// A write that is not answered by then may still be carried out:
			// controllers' attemptDeadline allows as long again.
			Timeouts: vastai.Timeouts{Write: writeTimeout},
			Guard: func(context.Context) error {
				//warmpool:gate write-needs-the-lease
				if !shared.lease.IsFresh() {
					return errLeaseNotFresh
				}
				return nil
			},
		})
		if err != nil {
			return nil, err
		}
		return traced(client, shared.tracer), nil
	}
}

// oneShot sends every request once. When a kept connection breaks, net/http
// repeats a read by itself, past the client's rate limiter: Vast.ai would answer
// 429, and its silence would look like a refusal. It repeats nothing that has a
// body, so that a read gets an empty one.
type oneShot struct{ *http.Transport }

func newOneShot() oneShot {
	const (
		handshakeTimeout = 10 * time.Second
		idleTimeout      = 30 * time.Second
	)
	return oneShot{&http.Transport{
		Proxy: http.ProxyFromEnvironment, TLSHandshakeTimeout: handshakeTimeout, IdleConnTimeout: idleTimeout,
	}}
}

// RoundTrip implements http.RoundTripper.
func (t oneShot) RoundTrip(request *http.Request) (*http.Response, error) {
	if request.Body == nil {
		request = request.Clone(request.Context())
		request.Body = io.NopCloser(strings.NewReader(""))
	}
	return t.Transport.RoundTrip(request)
}

// observer counts the calls of a client, and writes their spans.
type observer struct {
	recorder *metrics.Recorder
	tracer   *tracing.Tracer
}

// Observe implements vastai.Observer.
func (o observer) Observe(ctx context.Context, attempt vastai.Attempt) {
	traceAttempt(ctx, o.tracer, &attempt)
	o.recorder.ProviderRequest(string(attempt.Endpoint), attempt.Status, string(attempt.Kind), attempt.Throttled, attempt.Duration)
}

// prober gives comfyui.Prober the shape that the controllers ask for.
type prober struct{ *comfyui.Prober }

func targetOf(target *controllers.InstanceTarget) comfyui.Target {
	return comfyui.Target{
		Address: target.Address, PortalAddress: target.PortalAddress, Token: target.Token,
		TLS: comfyui.TLSConfig{Mode: comfyui.TLSMode(target.TLSMode), PinnedSHA256: target.PinnedSHA256, CAPEM: target.CAPEM},
	}
}

// Probe implements controllers.Prober.
func (p prober) Probe(ctx context.Context, target controllers.InstanceTarget, busy bool) fleet.ProbeResult {
	return p.Prober.Probe(ctx, targetOf(&target), busy)
}

// Portal implements controllers.Prober.
func (p prober) Portal(ctx context.Context, target controllers.InstanceTarget) (*fleet.Portal, error) {
	return p.Prober.Portal(ctx, targetOf(&target))
}

// Queue implements controllers.Prober.
func (p prober) Queue(ctx context.Context, target controllers.InstanceTarget) (fleet.QueueResult, error) {
	return p.Prober.Queue(ctx, targetOf(&target))
}

// Verify implements controllers.Prober.
func (p prober) Verify(ctx context.Context, target controllers.InstanceTarget, want fleet.Expectations) fleet.VerifyResult {
	return p.Prober.Verify(ctx, targetOf(&target), want)
}

// Recycle implements controllers.Recycler.
func (p prober) Recycle(ctx context.Context, target controllers.InstanceTarget) error {
	return p.Prober.Recycle(ctx, targetOf(&target))
}

// installationID is the given id, or one derived from the cluster: the UID of
// kube-system stays the same for the life of a cluster and differs between two.
func installationID(ctx context.Context, reader client.Reader, given string) (string, error) {
	if given != "" {
		return given, nil
	}
	var system corev1.Namespace
	if err := reader.Get(ctx, types.NamespacedName{Name: "kube-system"}, &system); err != nil {
		return "", fmt.Errorf("deriving the installation id from the namespace kube-system (give --installation-id instead): %w", err)
	}
	const length = 8
	sum := sha256.Sum256([]byte(system.UID))
	return strings.ToLower(base32.StdEncoding.EncodeToString(sum[:])[:length]), nil
}
