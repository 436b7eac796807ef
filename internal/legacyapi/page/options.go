package page

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/warmpool-dev/warmpool/internal/audit"
)

// Cluster is the part of a controller-runtime client that the page needs: it
// reads WarmPools, WarmInstances, WarmClaims, VastAccounts and Events, patches a
// WarmPool, deletes WarmInstances and WarmClaims and creates WarmClaims.
type Cluster interface {
	client.Reader
	// Create makes an object.
	Create(ctx context.Context, object client.Object, options ...client.CreateOption) error
	// Patch changes an object.
	Patch(ctx context.Context, object client.Object, patch client.Patch, options ...client.PatchOption) error
	// Delete deletes an object.
	Delete(ctx context.Context, object client.Object, options ...client.DeleteOption) error
}

// KeyChecker knows the admin key.
type KeyChecker interface {
	// Check says whether key is the admin key of now, in constant time, and who
	// that is: the key's fingerprint for the audit log, also for a wrong key. It is
	// asked at every request, so it should answer from memory. While the key of now
	// cannot be read, the last one that was known counts: a wrong answer ends the
	// session.
	Check(ctx context.Context, key string) (actor string, ok bool)
}

// AuditSink takes audit records. *audit.Log is one.
type AuditSink interface {
	// Append records an entry and returns when the record is durable.
	Append(ctx context.Context, entry *audit.Entry) (audit.Record, error)
}

// AuditReader shows the audit log.
type AuditReader interface {
	// Recent returns the newest records, newest first, at most limit of them.
	Recent(ctx context.Context, limit int) ([]audit.Record, error)
	// Verification returns what the last verification of the log has found. It
	// must not verify at once: the page asks every few seconds.
	Verification() Verification
}

// Verification is what a verification of the audit log has found.
type Verification struct {
	// Time is when it ended; zero when there was none yet.
	Time time.Time
	// Intact is true when every record is signed and chained as it should be.
	Intact bool
	// Records is how many were verified.
	Records uint64
	// Message is what was found, in a sentence, with the remedy when it is bad.
	Message string
}

// Options are what a page is made of. All fields but Log are required.
type Options struct {
	// Cluster reads and writes objects. With a cache behind it the page lags by it.
	Cluster Cluster
	// Pool is the name of the pool that the page is about.
	Pool types.NamespacedName
	// Keys knows the admin key.
	Keys KeyChecker
	// Audit takes a record of every act and every attempt to sign in.
	Audit AuditSink
	// Records shows the audit log.
	Records AuditReader
	// Series holds the samples of the plot; a Sampler fills it.
	Series *Series
	// Clock tells the time.
	Clock clock.PassiveClock
	// Random makes tokens: crypto/rand.Reader.
	Random io.Reader
	// Log gets what could not be read or done.
	Log logr.Logger
}

var errIncomplete = errors.New("the admin page is not complete")

func (o *Options) check() error {
	missing := map[string]bool{
		"Cluster": o.Cluster == nil, "Pool.Name": o.Pool.Name == "", "Pool.Namespace": o.Pool.Namespace == "",
		"Keys": o.Keys == nil, "Audit": o.Audit == nil, "Records": o.Records == nil,
		"Series": o.Series == nil, "Clock": o.Clock == nil, "Random": o.Random == nil,
	}
	for name, is := range missing {
		if is {
			return fmt.Errorf("%w: %s is missing", errIncomplete, name)
		}
	}
	return nil
}

// The addresses of the page. A router hands Path, everything under it and
// LegacyPath to the handler, with the path unchanged.
const (
	// Path is where the page is.
	Path = "/admin/warm-pool"
	// LegacyPath is where the legacy system had its file; it leads to Path.
	LegacyPath = "/pages/admin-warm-pool.html"
)

// Page is the handler of the admin page. It starts no goroutine.
type Page struct {
	options  Options
	gather   *gatherer
	sessions *sessions
	failures *failures
	text     *cleaner
	render   *renderer
	cross    *http.CrossOriginProtection
	routes   *http.ServeMux
}

var _ http.Handler = (*Page)(nil)

// New makes a page. The error is about the options, or says that a template of
// this build is broken.
func New(options Options) (*Page, error) { //nolint:gocritic // options are read once
	if err := options.check(); err != nil {
		return nil, err
	}
	render, err := newRenderer()
	if err != nil {
		return nil, err
	}
	p := &Page{
		options: options, text: newCleaner(), render: render,
		gather: &gatherer{
			reader: options.Cluster, pool: options.Pool, now: options.Clock.Now, log: options.Log,
		},
		sessions: newSessions(options.Random, options.Clock.Now),
		failures: newFailures(options.Clock.Now),
		cross:    http.NewCrossOriginProtection(),
	}
	p.cross.SetDenyHandler(http.HandlerFunc(p.refuseForeign))
	p.routes = p.newRoutes()
	return p, nil
}
