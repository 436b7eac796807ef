package crash

import (
	"fmt"
	"slices"
	"sync"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
)

// step is one request of the operator as the proxies recognise it.
type step struct {
	// point is the await point; empty for what is no part of the protocols.
	point string
	// from are the doors that it came through.
	from *doors
	// write is true when the request changes something.
	write bool
	// strange is true for a request that should be an await point and is none.
	strange bool
	// line shows it to people.
	line string
	// uid and status are the instance and the status that is written, if one is.
	uid    string
	status *warmpool.WarmInstanceStatus
}

// trap waits for a step.
type trap struct {
	matches func(*step) bool
	// after lets the request be carried out first.
	after bool
	// act runs once, while the answer is held back.
	act func()
	// answer gives the process the answer in the end, or carries the request
	// out in the end: it was frozen, not killed.
	answer bool
	// held is closed when act begins; nil when nobody waits for that.
	held chan struct{}
	done chan struct{}
}

// gate is what all requests of one world pass, whichever process sends them.
type gate struct {
	mu    sync.Mutex
	known map[string]warmpool.WarmInstanceStatus
	// journaled is true between a journal entry and its rent call: what is read
	// then is the last look.
	journaled bool
	steps     []step
	traps     []*trap
}

func newGate() *gate { return &gate{known: map[string]warmpool.WarmInstanceStatus{}} }

// set arms a trap.
func (g *gate) set(t *trap) *trap {
	t.done = make(chan struct{})
	g.mu.Lock()
	defer g.mu.Unlock()
	g.traps = append(g.traps, t)
	return t
}

// at matches one await point.
func at(point string) func(*step) bool {
	return func(s *step) bool { return s.point == point }
}

// anyWrite matches whatever changes something in the protocols.
func anyWrite(s *step) bool { return s.write && s.point != "" }

// arrive notes a step and returns the trap that it springs, nil for none.
func (g *gate) arrive(s *step) *trap {
	g.mu.Lock()
	defer g.mu.Unlock()
	if s.status != nil {
		before := g.known[s.uid]
		s.point = statusPoint(&before, s.status)
	}
	switch s.point {
	case pointReadInstances:
		if g.journaled {
			s.point = pointRecheckInstances
		}
	case pointReadPool:
		if g.journaled {
			s.point = pointRecheckPool
		}
	case pointRent, pointRejected, pointUnknown, pointSucceeded:
		g.journaled = false
	}
	g.steps = append(g.steps, *s)
	at := slices.IndexFunc(g.traps, func(t *trap) bool { return t.matches(s) })
	if at < 0 {
		return nil
	}
	sprung := g.traps[at]
	g.traps = slices.Delete(g.traps, at, at+1)
	return sprung
}

// accepted notes that the server did what was asked.
func (g *gate) accepted(s *step) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if s.status != nil {
		g.known[s.uid] = *s.status
	}
	if s.point == pointJournal {
		g.journaled = true
	}
}

// seen counts the await points that were passed and returns the lines of the
// requests that should be one and are not.
func (g *gate) seen() (points map[string]int, strange []string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	points = map[string]int{}
	for k := range g.steps {
		switch s := &g.steps[k]; {
		case s.point != "":
			points[s.point]++
		case s.strange:
			strange = append(strange, s.line)
		}
	}
	return points, strange
}

// passed returns the steps of one await point.
func (g *gate) passed(point string) []step {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(g.steps), func(s step) bool { return s.point != point })
}

// spring lets the trap act.
func (t *trap) spring() {
	if t.held != nil {
		close(t.held)
	}
	t.act()
}

// story returns the last steps for people.
func (g *gate) story(last int) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	text := ""
	for k := max(0, len(g.steps)-last); k < len(g.steps); k++ {
		text += fmt.Sprintf("%-22s %s\n", g.steps[k].point, g.steps[k].line)
	}
	return text
}

// disarm takes a trap away; false when it has sprung.
func (g *gate) disarm(t *trap) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	at := slices.Index(g.traps, t)
	if at >= 0 {
		g.traps = slices.Delete(g.traps, at, at+1)
	}
	return at >= 0
}
