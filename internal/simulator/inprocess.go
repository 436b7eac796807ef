package simulator

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// inProcessURL is the address that a simulation without sockets gives as its own.
const inProcessURL = "http://vast.simulation"

// Recording holds the rows of a recorded market. Reading it takes longer than
// making a small world, so that whoever makes many reads it once.
type Recording struct {
	rows []map[string]any
}

// LoadRecording reads the newest recording. It may be shared by simulations:
// none of them changes it.
func LoadRecording() (*Recording, error) {
	snapshots, err := loadRecordings(1)
	if err != nil {
		return nil, err
	}
	return &Recording{rows: snapshots[0]}, nil
}

// NewInProcess makes a simulation that opens no socket and runs no goroutine of
// its own: the API is [Server.Handler], the admin API is the Go API, and the
// world moves whenever somebody looks at it. Published ports are numbers that
// PortOf tells, and nothing listens on them; the configured Backend still
// learns when a container starts and stops. It is for tests that own time.
// Close ends it. A configuration that makes no sense is an error.
func NewInProcess(ctx context.Context, config Config) (*Server, error) {
	config, err := config.withDefaults()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	w, err := newWorld(ctx, config)
	if err != nil {
		cancel()
		return nil, err
	}
	w.portless, w.baseURL = true, inProcessURL
	w.listen = func(int) (net.Listener, error) { return nil, errGateClosed }
	w.sshHost, w.sshPort = loopbackIP, sshPort
	return &Server{world: w, cancel: cancel, urls: [2]string{inProcessURL, ""}}, nil
}

// Handler is the API without a server before it. A connection that a fault
// closes without an answer shows as a handler that writes nothing.
func (s *Server) Handler() http.Handler { return apiHandler(s.world) }

// The numbers that PortOf hands out.
const (
	firstFakePort   = 1024
	fakePortsPerJob = 6
)

// PortOf is the public port of a container's port in a simulation without
// sockets, and RentalAt the reverse. Rentals of one simulation never share one.
func PortOf(rentalID int64, containerPort int) int {
	slot := map[int]int{comfyPort: 0, portalPort: 1, sshPort: 2, jupyterPort: 3}
	index, known := slot[containerPort]
	if !known {
		index = fakePortsPerJob - 1
	}
	return firstFakePort + int(rentalID%((1<<16-firstFakePort)/fakePortsPerJob))*fakePortsPerJob + index
}

// openFakePorts gives every published port a number.
func (w *world) openFakePorts(r *rental, c *container) {
	for _, name := range r.order.ports {
		text, _, _ := strings.Cut(name, "/")
		if number, err := strconv.Atoi(text); err == nil {
			c.ports[name] = PortOf(r.id, number)
		}
	}
}

// Life is how a rental is, as its host knows it.
type Life struct {
	// State is the state that bills: "loading", "running", "offline" and so on; empty for a rental that ended.
	State string
	// Label is what its label is now.
	Label string
	// Shown is true while reads of its account show it.
	Shown bool
}

// LifeOf tells how a rental is now, whatever reads show. It is false for one
// that ended or never was.
func (s *Server) LifeOf(rentalID int64) (life Life, alive bool) {
	s.world.locked(func() {
		r := s.world.rentals[rentalID]
		if r == nil || !r.goneAt.IsZero() {
			return
		}
		alive = true
		life.State = r.record.Intervals[len(r.record.Intervals)-1].State
		if r.label != nil {
			life.Label = *r.label
		}
		life.Shown = s.world.showsQuietly(r)
	})
	return life, alive
}

// showsQuietly is shows without counting a fault's hits.
func (w *world) showsQuietly(r *rental) bool {
	return r.visible(w.now) && len(w.faults.on(w.now, FaultHiddenRental, r)) == 0
}

// RentedElsewhere returns the rentals of the other account whose label starts
// with a prefix.
func (s *Server) RentedElsewhere(prefix string) (ids []int64) {
	s.world.locked(func() {
		for _, id := range s.world.order {
			r := s.world.rentals[id]
			if r.account == s.world.foreign && r.label != nil && strings.HasPrefix(*r.label, prefix) {
				ids = append(ids, id)
			}
		}
	})
	return ids
}

// Relabel changes the label of one rental, as a person in the console does. An
// empty label is none.
func (s *Server) Relabel(rentalID int64, label string) (err error) {
	s.world.locked(func() {
		r := s.world.rentals[rentalID]
		if r == nil {
			err = fmt.Errorf("labelling rental %d: %w", rentalID, errNoRental)
			return
		}
		r.label = nil
		if label != "" {
			r.label = &label
		}
	})
	return err
}

// OpenOffers returns the offers that somebody could rent now: id, machine and
// price with a disk of so many GB, cheapest first.
func (s *Server) OpenOffers(diskGB float64) (open []OpenOffer) {
	s.world.locked(func() {
		for _, o := range s.world.market.sorted() {
			if o.machine.taken {
				continue
			}
			size := len(o.gpus)
			price := o.machine.price(size) + o.machine.storageRate(size, diskGB)
			open = append(open, OpenOffer{ID: o.id, MachineID: o.machine.id, MicrosPerHour: toMicros(price)})
		}
	})
	slices.SortStableFunc(open, func(a, b OpenOffer) int { return int(a.MicrosPerHour - b.MicrosPerHour) })
	return open
}

// OpenOffer is an offer that somebody could rent now.
type OpenOffer struct {
	// ID and MachineID name it.
	ID, MachineID int64
	// MicrosPerHour is its price in micro-dollars per hour, storage included, rounded up.
	MicrosPerHour int64
}

// Moment is the begin or the end of a rental of the account.
type Moment struct {
	// Ended is false for a begin.
	Ended bool
	// Rental is the witness's record at that moment.
	Rental RentalRecord
	// Meter is the whole book at that moment.
	Meter Meter
}

// notify tells the configured observer of a begin or an end. Lock held.
func (w *world) notify(r *rental, ended bool) {
	if w.cfg.Observer == nil || r.account != w.account {
		return
	}
	moment := Moment{Ended: ended, Rental: *r.record, Meter: w.meter()}
	moment.Rental.Prices, moment.Rental.Intervals = slices.Clone(r.record.Prices), slices.Clone(r.record.Intervals)
	w.cfg.Observer(moment)
}
