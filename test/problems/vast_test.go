package problems

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/warmpool-dev/warmpool/controllers"
	"github.com/warmpool-dev/warmpool/internal/fleet"
	"github.com/warmpool-dev/warmpool/internal/simulator"
	"github.com/warmpool-dev/warmpool/internal/vastai"
)

// epoch is when all tests begin.
func epoch() time.Time { return time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC) }

func secondsOf(n int) time.Duration { return time.Duration(n) * time.Second }

// deskClock is the manager's clock: the world's, and as much as it is wrong by.
// A short wait passes at once and takes its time; a long one is a timeout, which
// runs out only when the test lets time pass. (A wall in front of Vast.ai, which
// answers in HTML with 403 or 429, makes the client pause for long: tests of the
// client show that, not these.)
type deskClock struct {
	*clocktesting.FakeClock
	mu    sync.Mutex
	error time.Duration
}

var _ clock.WithTicker = (*deskClock)(nil)

// step sets the clock wrong by so much more.
func (c *deskClock) step(by time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.error += by
}

// Now implements clock.PassiveClock.
func (c *deskClock) Now() time.Time { return c.FakeClock.Now().Add(c.wrongBy()) }

// wrongBy is how far the clock is ahead.
func (c *deskClock) wrongBy() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.error
}

// Since implements clock.PassiveClock.
func (c *deskClock) Since(at time.Time) time.Duration { return c.Now().Sub(at) }

// NewTimer implements clock.Clock.
func (c *deskClock) NewTimer(d time.Duration) clock.Timer {
	const shortest = 20 * time.Second
	timer := c.FakeClock.NewTimer(d)
	if d < shortest {
		c.Step(max(d, 0))
	}
	return timer
}

// vast is the account at Vast.ai, and the door to it: it counts, it can be told
// to lie, and it can be held up.
type vast struct {
	*simulator.Server
	clock *deskClock

	mu sync.Mutex
	// lie answers a request in Vast.ai's place; nil, or a nil answer, does not.
	lie func(*http.Request) *reply
	// at is called by the manager's client at an operation, before anything is
	// sent: "rent", "destroy", "list", "lookup", "user".
	at map[string]func()
	// destroyed and rents are what was asked for, in order.
	destroyed []int64
	rents     []string
	keys      []string
}

// tell sets the lie; nil ends it.
func (v *vast) tell(lie func(*http.Request) *reply) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.lie = lie
}

// when calls do once, the next time that the operation begins.
func (v *vast) when(operation string, do func()) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.at[operation] = do
}

func (v *vast) reached(operation string) {
	v.mu.Lock()
	do := v.at[operation]
	delete(v.at, operation)
	v.mu.Unlock()
	if do != nil {
		do()
	}
}

// RoundTrip implements http.RoundTripper.
func (v *vast) RoundTrip(request *http.Request) (*http.Response, error) {
	v.mu.Lock()
	lie := v.lie
	if request.Method == http.MethodPut && strings.Contains(request.URL.Path, "/asks/") {
		v.rents = append(v.rents, request.URL.Path)
		v.keys = append(v.keys, strings.TrimPrefix(request.Header.Get("Authorization"), "Bearer "))
	}
	v.mu.Unlock()
	if lie != nil {
		if answer := lie(request); answer != nil {
			return answer.response(), nil
		}
	}
	return http.DefaultTransport.RoundTrip(request)
}

// isList is true for a reading of the account's instances.
func isList(request *http.Request) bool {
	return request.Method == http.MethodGet && request.URL.Path == "/api/v1/instances/"
}

// reply is an answer in Vast.ai's place.
type reply struct {
	status int
	body   string
}

// says makes an answer.
func says(status int, body string) *reply { return &reply{status: status, body: body} }

// response puts an answer on the wire.
func (r *reply) response() *http.Response {
	return &http.Response{
		StatusCode: r.status, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(r.body)),
	}
}

// connect makes the real client, with the door in between. The rate limits of
// Vast.ai are off on both sides: they have tests of their own.
func (v *vast) connect(guard func(context.Context) error) controllers.Connect {
	return func(apiKey, baseURL string) (controllers.Provider, error) {
		limits := vastai.DefaultLimits()
		for endpoint := range limits {
			limits[endpoint] = 0
		}
		if baseURL == "" {
			baseURL = v.URL()
		}
		client, err := vastai.New(vastai.Options{
			// What the client measures within one process, the monotonic clock
			// measures, which does not jump.
			BaseURL: baseURL, APIKey: apiKey, Transport: v, Clock: &deskClock{FakeClock: v.clock.FakeClock}, Limits: limits, Guard: guard,
		})
		if err != nil {
			return nil, err
		}
		return &door{Client: client, vast: v}, nil
	}
}

// door is a provider that tells the test what is about to be done.
type door struct {
	*vastai.Client
	vast *vast
}

// Rent implements controllers.Market.
func (d *door) Rent(ctx context.Context, request fleet.RentRequest) (int64, error) {
	d.vast.reached("rent")
	id, err := d.Client.Rent(ctx, request)
	d.vast.reached("rented")
	return id, err
}

// ListRentals implements controllers.Inventory.
func (d *door) ListRentals(ctx context.Context) (fleet.Listing, error) {
	d.vast.reached("list")
	listing, err := d.Client.ListRentals(ctx)
	// The times of a list are compared with those in objects: they are the wall clock's.
	wrong := d.vast.clock.wrongBy()
	listing.StartedAt, listing.FinishedAt = listing.StartedAt.Add(wrong), listing.FinishedAt.Add(wrong)
	return listing, err
}

// GetRental implements controllers.Inventory.
func (d *door) GetRental(ctx context.Context, id int64) (*fleet.Rental, error) {
	d.vast.reached("lookup")
	return d.Client.GetRental(ctx, id)
}

// DestroyRental implements controllers.Operator.
func (d *door) DestroyRental(ctx context.Context, id int64) error {
	d.vast.reached("destroy")
	d.vast.mu.Lock()
	d.vast.destroyed = append(d.vast.destroyed, id)
	d.vast.mu.Unlock()
	return d.Client.DestroyRental(ctx, id)
}

// asked are the rentals whose end was asked for so far.
func (v *vast) asked() []int64 {
	v.mu.Lock()
	defer v.mu.Unlock()
	return append([]int64{}, v.destroyed...)
}

// rentCalls is how many rents were sent so far.
func (v *vast) rentCalls() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return len(v.rents)
}
