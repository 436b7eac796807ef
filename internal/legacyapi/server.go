package legacyapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/warmpool-dev/warmpool/internal/audit"
)

// FieldManager is the name under which this package changes objects, so that
// "kubectl get --show-managed-fields" tells its changes from those of people.
const FieldManager = "warmpool-legacy-api"

// Auditor records what was done. *audit.Log is one.
type Auditor interface {
	// Append records an entry and returns when it is on the disk.
	Append(ctx context.Context, entry *audit.Entry) (audit.Record, error)
	// Fingerprint stands for an admin key; empty for an empty one.
	Fingerprint(key string) audit.Fingerprint
	// RegisterSecrets names values that must never be recorded.
	RegisterSecrets(values ...string)
	// Query returns records, youngest first.
	Query(ctx context.Context, query audit.Query) (audit.Page, error)
}

// Target is the front of one rented ComfyUI and how it is trusted.
type Target struct {
	// Address is "host:port".
	Address string
	// TLSMode is Pinned, CA or Off.
	TLSMode string
	// PinnedSHA256 is the fingerprint of the only certificate that is accepted in mode Pinned.
	PinnedSHA256 string
	// CAPEM holds the authorities that are accepted in mode CA.
	CAPEM string
}

// Dialer makes the transport to a rented ComfyUI. It returns an error for a
// target that nothing may be sent to, such as one without a pinned certificate.
type Dialer func(target Target) (*http.Transport, error)

// Options say what a Server works with. All are required unless they say otherwise.
type Options struct {
	// Client reads and writes without a cache, so that an answer shows what was just done.
	Client client.Client
	// Pool is the WarmPool that is served.
	Pool types.NamespacedName
	// Secret is the name of the Secret with ADMIN_API_KEY and the tokens, in the pool's namespace.
	Secret string
	// Deployment is what the pm2 routes show and restart.
	Deployment types.NamespacedName
	// Audit records every change, and shows the records for GET admin/logs.
	Audit Auditor
	// Dial reaches rented instances.
	Dial Dialer
	// IsUntrusted is true for an error of such a transport that says that the
	// instance showed a certificate which is not trusted.
	IsUntrusted func(err error) bool
	// Outside reaches huggingface.co, civitai.com and tunnels that instances report.
	Outside http.RoundTripper
	// Clock is the only clock.
	Clock clock.WithTicker
	// Logger is the root of all loggers.
	Logger logr.Logger
	// Registry gets the metrics.
	Registry prometheus.Registerer
	// Port is the one that is listened on, for GET admin/config.
	Port int
	// Limits bound what one peer may do.
	Limits Limits
	// ClaimWait is how long a claim may take to be bound.
	ClaimWait time.Duration
	// KeyInURL accepts the admin key and claim tokens as query parameters, as old clients send them.
	KeyInURL bool
	// Origins are the origins of pages that may call the API, such as https://studio.example.com; none by default.
	Origins []string
}

// Limits bound what one peer may do. A peer is an IPv4 address or the first 64
// bits of an IPv6 address.
type Limits struct {
	// RequestsPerSecond and Burst bound all requests.
	RequestsPerSecond, Burst int
	// WrongKeysPerMinute bounds wrong admin keys and claim tokens; more are not even looked at.
	WrongKeysPerMinute int
}

// Server is the legacy HTTP API of one pool.
type Server struct {
	options Options
	log     logr.Logger
	poolLog logr.Logger
	keys    *credentials
	limits  *limiter
	origins *origins
	metrics *recorder
	table   routes
	memory  *memory
	proxy   *proxy
	page    mounted
	// readings are shared by requests that come at the same time; claiming counts
	// the claims that wait for their instance here.
	readings readings
	claiming atomic.Int32
}

// mounted is a handler that answers for itself, and where.
type mounted struct {
	handler http.Handler
	paths   []string
}

// New makes a server. It fails when the Secret cannot be read, or its admin key
// is missing, short or one that everybody knows; the error says what to do.
func New(ctx context.Context, options Options) (*Server, error) { //nolint:gocritic // options are read once
	allowed, err := newOrigins(options.Origins)
	if err != nil {
		return nil, err
	}
	counted, err := newRecorder(options.Registry)
	if err != nil {
		return nil, err
	}
	s := &Server{
		options: options, log: options.Logger.WithName("LegacyAPI"), poolLog: options.Logger.WithName("WarmPool"),
		limits: newLimiter(options.Limits, options.Clock), origins: allowed, metrics: counted, memory: newMemory(),
	}
	s.keys = &credentials{
		reader: options.Client, clock: options.Clock, register: options.Audit.RegisterSecrets, log: s.log,
		name: types.NamespacedName{Namespace: options.Pool.Namespace, Name: options.Secret},
	}
	s.proxy = newProxy(s)
	s.table = s.routes()
	values, err := s.keys.read(ctx)
	if err != nil {
		return nil, err
	}
	if err := CheckAdminKey(values[keyAdmin]); err != nil {
		return nil, fmt.Errorf("%w\nSet another one: %s", err, s.keys.remedy())
	}
	return s, nil
}

// ServePage hands requests for these paths, and for what is under them, to the
// admin page, which has its own way of signing in. Call it before Serve.
func (s *Server) ServePage(page http.Handler, paths ...string) { s.page = mounted{page, paths} }

// checkPatience bounds how long the Secret may take to be read for Check.
const checkPatience = 5 * time.Second

// Check says whether key is the admin key of now, in constant time, and whose
// fingerprint it has. While the Secret cannot be read, the last key that was
// known counts, for half a minute. A key that is not right is counted.
func (s *Server) Check(ctx context.Context, key string) (actor string, ok bool) {
	ctx, cancel := context.WithTimeout(ctx, checkPatience)
	defer cancel()
	values, err := s.keys.read(ctx)
	if err != nil {
		s.log.Error(err, "The admin key cannot be read, so no key is accepted")
	}
	wanted := values[keyAdmin]
	ok = CheckAdminKey(wanted) == nil && sameSecret(key, wanted)
	if !ok {
		s.metrics.denied.WithLabelValues("wrong").Inc()
	}
	return string(s.options.Audit.Fingerprint(key)), ok
}

// Close drops the connections to rented instances.
func (s *Server) Close() { s.proxy.close() }

// Ready says whether the API server answers and an admin key is there.
func (s *Server) Ready(ctx context.Context) error {
	values, err := s.keys.read(ctx)
	return errors.Join(err, CheckAdminKey(values[keyAdmin]))
}
