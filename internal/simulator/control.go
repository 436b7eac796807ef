package simulator

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// The actions of SetKey.
const (
	KeyAdd          = "add"
	KeyRevoke       = "revoke"
	KeyRotate       = "rotate"
	KeyOtherAccount = "other-account"
)

var (
	errNoRental = errors.New("no such rental")
	errNoKey    = errors.New("no such key")
	errNoOffer  = errors.New("no such offer")
)

// Now returns the simulated time.
func (s *Server) Now() time.Time { return s.world.clock.now() }

// Advance plays everything that is due. Reads and HTTP calls do so by
// themselves; a test with a fake clock uses it to let a step take effect.
func (s *Server) Advance() { s.world.locked(func() {}) }

// Jump moves simulated time ahead, whatever the injected clock does. Timers of
// backends are brought forward too.
func (s *Server) Jump(d time.Duration) {
	if d > 0 {
		s.world.clock.advance(d)
	}
	s.Advance()
}

// AddFault sets a fault and returns it with its id.
func (s *Server) AddFault(spec FaultSpec) (f Fault, err error) {
	s.world.locked(func() { f, err = s.world.addFault(spec) })
	return f, err
}

// RemoveFault removes one fault, or all of them for id 0, and returns how many.
func (s *Server) RemoveFault(id int64) (removed int) {
	s.world.locked(func() { removed = s.world.removeFault(id) })
	return removed
}

// Faults returns the faults that are set.
func (s *Server) Faults() (list []Fault) {
	s.world.locked(func() { list = s.world.listFaults() })
	return list
}

// Meter returns what the witness saw until now.
func (s *Server) Meter() (m Meter) {
	s.world.locked(func() { m = s.world.meter() })
	return m
}

// Offers returns what is listed now, in the form of the wire, priced for a disk.
func (s *Server) Offers(diskGB float64) (rows []map[string]any) {
	s.world.locked(func() {
		for _, o := range s.world.market.sorted() {
			rows = append(rows, o.row(pricing{diskGB: diskGB, now: s.world.now}))
		}
	})
	return rows
}

// AddOffer lists an offer and returns its id.
func (s *Server) AddOffer(spec OfferSpec) (id int64, err error) {
	s.world.locked(func() {
		var snapshots [][]map[string]any
		if snapshots, err = loadRecordings(1); err == nil {
			id, err = s.world.market.addSpec(spec, snapshots[0], s.world.now)
		}
	})
	return id, err
}

// RemoveOffer takes an offer down for good.
func (s *Server) RemoveOffer(id int64) (err error) {
	s.world.locked(func() {
		if !s.world.market.remove(id) {
			err = fmt.Errorf("removing offer %d: %w", id, errNoOffer)
		}
	})
	return err
}

// MachineChange changes a machine of the market.
type MachineChange struct {
	// ID is the machine.
	ID int64 `json:"id"`
	// Absent takes all its offers down, or lists them again under new ids.
	Absent *bool `json:"absent,omitempty"`
	// Taken makes it not rentable: somebody else has it.
	Taken *bool `json:"taken,omitempty"`
	// PriceFactor multiplies the recorded GPU price from now on; 0 leaves it.
	PriceFactor float64 `json:"priceFactor,omitempty"`
}

// ChangeMachine changes a machine of the market.
func (s *Server) ChangeMachine(change MachineChange) (err error) {
	s.world.locked(func() {
		c := s.world.market.machines[change.ID]
		if c == nil {
			err = fmt.Errorf("changing machine %d: %w", change.ID, errNoOffer)
			return
		}
		if change.Absent != nil {
			c.absent = *change.Absent
		}
		if change.Taken != nil {
			c.taken = *change.Taken
		}
		if change.PriceFactor > 0 {
			c.factor = change.PriceFactor
		}
		s.world.market.refresh(c)
		if !c.taken {
			s.world.fireQueued(c)
		}
	})
	return err
}

// RentAside makes a rental that nobody ordered over the API: somebody else with
// the account's key, or a person in the console. An empty label is none.
func (s *Server) RentAside(offerID int64, label string) (id int64, err error) {
	s.world.locked(func() {
		o := s.world.market.offers[offerID]
		if o == nil {
			err = fmt.Errorf("renting offer %d: %w", offerID, errNoOffer)
			return
		}
		order := createOrder{image: "ubuntu:24.04", runType: "ssh", diskGB: defaultDiskGB}
		var text *string
		if label != "" {
			text = &label
		}
		r := s.world.rent(o, order, text, s.world.account)
		r.record.Origin = "admin"
		id = r.id
	})
	return id, err
}

// SetBackendFault sets a fault of what runs behind a rental, and remembers it
// for the next boot when nothing runs now.
func (s *Server) SetBackendFault(rentalID int64, fault BackendFault) (err error) {
	s.world.locked(func() {
		r := s.world.rentals[rentalID]
		switch {
		case r == nil:
			err = fmt.Errorf("setting a fault of rental %d: %w", rentalID, errNoRental)
		case r.container == nil || r.container.instance == nil:
			r.comfyFaults = append(r.comfyFaults, fault)
		default:
			err = r.container.instance.SetFault(fault.Name, fault.Params)
		}
	})
	return err
}

// ClearBackendFault ends a fault of what runs behind a rental.
func (s *Server) ClearBackendFault(rentalID int64, name string) (err error) {
	s.world.locked(func() {
		r := s.world.rentals[rentalID]
		if r == nil {
			err = fmt.Errorf("ending a fault of rental %d: %w", rentalID, errNoRental)
			return
		}
		r.comfyFaults = slices.DeleteFunc(r.comfyFaults, func(f BackendFault) bool { return f.Name == name })
		if r.container != nil && r.container.instance != nil {
			r.container.instance.ClearFault(name)
		}
	})
	return err
}

// SetKey adds a key, revokes one, replaces one by another (rotate), or lets it
// open another account from now on (other-account).
func (s *Server) SetKey(action, key, newKey string) (err error) {
	s.world.locked(func() {
		w := s.world
		known := w.keys[key]
		if known == nil && action != KeyAdd {
			err = fmt.Errorf("changing a key: %w", errNoKey)
			return
		}
		switch action {
		case KeyAdd:
			w.keys[key] = &apiKey{account: w.account}
		case KeyRevoke:
			known.revoked = true
		case KeyRotate:
			if newKey == "" {
				err = errors.New("rotating a key: the new key is empty: give newKey")
				return
			}
			known.revoked = true
			w.keys[newKey] = &apiKey{account: known.account}
		case KeyOtherAccount:
			known.account = w.foreign
		default:
			err = fmt.Errorf("changing a key: unknown action %q: add, revoke, rotate or other-account", action)
		}
	})
	return err
}

// Requests returns how many calls were answered, per endpoint and HTTP status; 0
// is a connection that was closed without an answer.
func (s *Server) Requests() map[string]map[int]int {
	counts := map[string]map[int]int{}
	s.world.locked(func() {
		for endpoint, byStatus := range s.world.requests {
			counts[endpoint] = maps.Clone(byStatus)
		}
	})
	return counts
}
