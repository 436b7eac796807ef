package simulator

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Match restricts a fault to some calls or rentals. The zero Match is all of them.
type Match struct {
	// Endpoint is the endpoint that is disturbed; empty is the fault's own choice.
	Endpoint Endpoint `json:"endpoint,omitempty"`
	// Method restricts to one HTTP method.
	Method string `json:"method,omitempty"`
	// Rental restricts to one contract.
	Rental int64 `json:"rental,omitempty"`
	// LabelPrefix restricts to rentals, or rents, with a label like that.
	LabelPrefix string `json:"labelPrefix,omitempty"`
	// Machine restricts to one machine.
	Machine int64 `json:"machine,omitempty"`
	// Offer restricts to rents of one offer.
	Offer int64 `json:"offer,omitempty"`
}

// FaultSpec asks for a fault.
type FaultSpec struct {
	// Name is a name of the registry.
	Name string `json:"name"`
	// Params override the registry's defaults.
	Params map[string]string `json:"params,omitempty"`
	// Count is how often it acts; 0 is until removed. With a duration as well, whichever ends first.
	Count int `json:"count,omitempty"`
	// DurationSeconds is how long it acts, in simulated seconds; 0 is until removed.
	DurationSeconds float64 `json:"durationSeconds,omitempty"`
	// Match restricts it.
	Match Match `json:"match,omitzero"`
}

// Fault is a fault that is set.
type Fault struct {
	FaultSpec
	// ID names it for removal.
	ID int64 `json:"id"`
	// Until is when it ends by itself; zero when it does not.
	Until time.Time `json:"until,omitzero"`
	// Hits is how often it acted.
	Hits int `json:"hits"`
}

// errUnknownFault and errBadFault report specifications that make no sense.
var (
	errUnknownFault = errors.New("unknown fault")
	errBadFault     = errors.New("bad fault")
)

// faultSet holds the faults that are set. Lock of the world held.
type faultSet struct {
	active []*Fault
	nextID int64
	draws  *rand.Rand
}

// check completes a specification from the registry.
func (s FaultSpec) check() (FaultSpec, *FaultKind, error) {
	kinds := FaultKinds()
	at := slices.IndexFunc(kinds, func(k FaultKind) bool { return k.Name == s.Name })
	if at < 0 {
		return s, nil, fmt.Errorf("%w %q: GET /faults lists the names", errUnknownFault, s.Name)
	}
	kind := kinds[at]
	params := map[string]string{}
	for _, p := range kind.Params {
		params[p.Name] = p.Default
	}
	for name, value := range s.Params {
		if _, ok := params[name]; !ok && !kind.FreeParams {
			return s, nil, fmt.Errorf("%w %q: it has no parameter %q", errBadFault, s.Name, name)
		}
		params[name] = value
	}
	for _, p := range kind.Params {
		if err := p.validate(params[p.Name]); err != nil {
			return s, nil, fmt.Errorf("%w %q: parameter %q: %w", errBadFault, s.Name, p.Name, err)
		}
	}
	if s.Match.Endpoint != "" && !slices.Contains(Endpoints(), s.Match.Endpoint) {
		return s, nil, fmt.Errorf("%w %q: unknown endpoint %q", errBadFault, s.Name, s.Match.Endpoint)
	}
	if s.Count < 0 || s.DurationSeconds < 0 {
		return s, nil, fmt.Errorf("%w %q: negative count or duration", errBadFault, s.Name)
	}
	s.Params = params
	return s, &kind, nil
}

// validate checks one value against the kind of its parameter.
func (p FaultParam) validate(value string) error {
	var err error
	switch p.Kind {
	case paramSeconds, paramFloat:
		_, err = strconv.ParseFloat(value, 64)
	case paramInt:
		_, err = strconv.Atoi(value)
	case paramBool:
		_, err = strconv.ParseBool(value)
	case paramText:
	default:
		if !slices.Contains(strings.Split(p.Kind, "|"), value) {
			err = fmt.Errorf("%q is none of %s", value, p.Kind)
		}
	}
	return err
}

// addFault sets a fault and lets it act at once where it can. Lock held.
func (w *world) addFault(spec FaultSpec) (Fault, error) {
	spec, kind, err := spec.check()
	if err != nil {
		return Fault{}, err
	}
	w.faults.nextID++
	f := &Fault{FaultSpec: spec, ID: w.faults.nextID}
	if spec.DurationSeconds > 0 {
		f.Until = w.now.Add(seconds(spec.DurationSeconds))
	}
	if kind.immediate != nil {
		w.applyNow(f, kind)
	}
	if kind.act != nil {
		kind.act(w, f)
		f.Hits++
	}
	if !kind.once {
		w.faults.active = append(w.faults.active, f)
	}
	return *f, nil
}

// applyNow lets a fault of lives act on every rental that it matches.
func (w *world) applyNow(f *Fault, kind *FaultKind) {
	for _, id := range slices.Clone(w.order) {
		r := w.rentals[id]
		if r == nil || !r.goneAt.IsZero() || !f.Match.fitsRental(r) || (f.Count > 0 && f.Hits >= f.Count) {
			continue
		}
		if r.account == w.account && kind.immediate(w, r, f) {
			f.Hits++
		}
	}
}

// removeFault removes one fault, or all for id 0; it returns how many. Faults
// that show on reads end with it; what happened to a life stays. Lock held.
func (w *world) removeFault(id int64) int {
	before := len(w.faults.active)
	w.faults.active = slices.DeleteFunc(w.faults.active, func(f *Fault) bool { return id == 0 || f.ID == id })
	return before - len(w.faults.active)
}

// listFaults returns what is set now. Lock held.
func (w *world) listFaults() []Fault {
	w.faults.prune(w.now)
	list := make([]Fault, 0, len(w.faults.active))
	for _, f := range w.faults.active {
		shown := *f
		shown.Params = maps.Clone(f.Params)
		list = append(list, shown)
	}
	return list
}

// prune drops what has ended.
func (s *faultSet) prune(now time.Time) {
	s.active = slices.DeleteFunc(s.active, func(f *Fault) bool {
		return (!f.Until.IsZero() && !now.Before(f.Until)) || (f.Count > 0 && f.Hits >= f.Count)
	})
}

// hit finds the first fault of a name that fits and counts it.
func (s *faultSet) hit(now time.Time, name string, fits func(f *Fault) bool) *Fault {
	s.prune(now)
	for _, f := range s.active {
		if f.Name == name && fits(f) {
			f.Hits++
			return f
		}
	}
	return nil
}

// on returns every active fault of a name that is meant for a rental.
func (s *faultSet) on(now time.Time, name string, r *rental) []*Fault {
	s.prune(now)
	var found []*Fault
	for _, f := range s.active {
		if f.Name == name && f.Match.fitsRental(r) {
			found = append(found, f)
		}
	}
	return found
}

// fitsRental is true when a rental is meant.
func (m Match) fitsRental(r *rental) bool {
	label := ""
	if r.label != nil {
		label = *r.label
	}
	return (m.Rental == 0 || m.Rental == r.id) &&
		(m.Machine == 0 || m.Machine == r.machine.id) &&
		strings.HasPrefix(label, m.LabelPrefix)
}

// fitsCall is true when a call is meant; fallback is where the fault acts when
// the match names no endpoint, and empty for everywhere.
func (w *world) fitsCall(m Match, c *call, fallback Endpoint) bool {
	wanted := orDefault(m.Endpoint, fallback)
	if wanted != "" && wanted != c.endpoint {
		return false
	}
	if m.Method != "" && m.Method != c.request.Method {
		return false
	}
	if m.Rental == 0 && m.Machine == 0 && m.LabelPrefix == "" {
		return true
	}
	r := w.rentals[c.id]
	return r != nil && m.fitsRental(r)
}

// text, number and so on read checked parameters.
func (f *Fault) text(name string) string { return f.Params[name] }

func (f *Fault) int(name string) int {
	n, err := strconv.Atoi(f.Params[name])
	if err != nil {
		return 0
	}
	return n
}

func (f *Fault) float(name string) float64 {
	n, err := strconv.ParseFloat(f.Params[name], 64)
	if err != nil {
		return 0
	}
	return n
}

func (f *Fault) bool(name string) bool { return f.Params[name] == trueText }

func (f *Fault) duration(name string) time.Duration { return seconds(f.float(name)) }

// seconds converts to a duration of whole milliseconds.
func seconds(s float64) time.Duration {
	return time.Duration(s * float64(time.Second)).Truncate(time.Millisecond)
}
