package simulator

import (
	"math/rand/v2"
	"net"
	"sync"
	"time"
)

// world is everything that changes, behind one lock. Methods that say so need
// the lock held.
type world struct {
	cfg Config
	// listen listens on a TCP port of loopback; start starts a container. They
	// are closures over the context of the simulation.
	listen func(port int) (net.Listener, error)
	start  func(spec BackendSpec) (BackendInstance, error)
	// background counts what is being torn down outside the lock.
	background sync.WaitGroup
	// wake tells the scheduler that an earlier event was added.
	wake chan struct{}
	// sshHost and sshPort are the one proxy that all rows name; baseURL is
	// where this server answers.
	sshHost string
	sshPort int
	baseURL string
	// portless is true in a simulation without sockets.
	portless bool
	// clock is simulated time.
	clock *simClock

	mu       sync.Mutex
	now      time.Time
	queue    eventQueue
	market   *market
	account  *account
	foreign  *account
	keys     map[string]*apiKey
	rentals  map[int64]*rental
	order    []int64 // ids of the rentals that exist, ascending
	records  []*RentalRecord
	faults   *faultSet
	limiter  *limiter
	requests map[string]map[int]int
	logs     map[string]*logUpload
	// increases are prices that hosts proposed.
	increases []priceIncrease
	nextID    int64
	draws     *rand.Rand // for what is not the market's or a rental's own
	closed    bool
}

// stream returns a generator of its own for a purpose, so that one part's
// draws do not change another's.
func stream(seed, purpose uint64) *rand.Rand {
	return rand.New(rand.NewPCG(seed, purpose)) //nolint:gosec // a simulation must be reproducible, not unpredictable
}

// The purposes of streams; rentals use their ids.
const (
	purposeMarket uint64 = 1 + iota
	purposeWorld
	purposeFaults
)

// at schedules do for a simulated time. Lock held.
func (w *world) at(t time.Time, do func()) {
	if t.Before(w.now) {
		t = w.now
	}
	if w.queue.add(t.Truncate(time.Millisecond), do) {
		select {
		case w.wake <- struct{}{}:
		default:
		}
	}
}

// after schedules do for d from now. Lock held.
func (w *world) after(d time.Duration, do func()) { w.at(w.now.Add(d), do) }

// advance plays every event that is due. Lock held.
func (w *world) advance() {
	target := w.clock.now()
	for {
		e, due := w.queue.take(target)
		if !due || w.closed {
			break
		}
		if e.at.After(w.now) {
			w.now = e.at
		}
		e.do()
	}
	if target.After(w.now) {
		w.now = target
	}
}

// locked runs do with the lock held and everything due played.
func (w *world) locked(do func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.advance()
	do()
}

// untilNext advances and returns how long the injected clock has to run until
// the next event, and false when there is none.
func (w *world) untilNext() (time.Duration, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.advance()
	next, ok := w.queue.peek()
	if !ok {
		return 0, false
	}
	return w.clock.real(next.Sub(w.clock.now())), true
}

// draw returns a duration of the range. A nil generator is never passed.
func (r Range) draw(draws *rand.Rand) time.Duration {
	if r.Max <= r.Min {
		return r.Min
	}
	return (r.Min + time.Duration(draws.Int64N(int64(r.Max-r.Min)+1))).Truncate(time.Millisecond)
}
