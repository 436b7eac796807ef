package controllers

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/warmpool-dev/warmpool/internal/planner"
)

// probeMemory is what the prober remembers of one instance. Losing it costs
// patience, never money.
type probeMemory struct {
	uid    types.UID
	health planner.HealthMemory
	// next is the look that was decided on, nextAt when it is due.
	next   planner.HealthAction
	nextAt time.Time
	busy   bool
	// seen is what the rental was like: a change makes the next look due at once.
	seen rentalFacts
	// password is read once, and again after it was refused.
	password  string
	authority []byte
	// emptiedFor is the claim after which it was emptied last, emptiedAt when that
	// was: the status has whole seconds, and a proof may be of the same one.
	emptiedFor types.UID
	emptiedAt  time.Time
}

// rentalFacts are the parts of a rental whose change is worth a look.
type rentalFacts struct {
	id            int64
	status        string
	endpoint      string
	intended      string
	statusMessage string
	// released is the claim that let go of it.
	released types.UID
}

func factsOf(in *instanceInput) rentalFacts {
	var released types.UID
	if holder := in.instance.Spec.ClaimRef; holder != nil && holder.RecycleTime != nil {
		released = holder.UID
	}
	return rentalFacts{
		released: released,
		id:       in.health.Rental.ID, status: string(in.health.Rental.ActualStatus), endpoint: comfyAddress(&in.instance.Status),
		intended: in.health.Rental.IntendedStatus, statusMessage: in.health.Rental.StatusMessage,
	}
}

// notDue is how long the next look can wait: our own writes, too, call us.
func (m *probeMemory) notDue(in *instanceInput, now time.Time) time.Duration {
	if m.nextAt.IsZero() || factsOf(in) != m.seen {
		return 0
	}
	return m.nextAt.Sub(now)
}

// remember keeps the decision for the next look.
func (m *probeMemory) remember(in *instanceInput, health planner.HealthMemory, decision *planner.HealthDecision) {
	m.health, m.next, m.busy = health, decision.Next, decision.Busy
	m.nextAt, m.seen = in.health.Now.Add(decision.NextAfter), factsOf(in)
}

// probeMemories holds the memories of all instances. The zero value is ready.
type probeMemories struct {
	mu    sync.Mutex
	byKey map[types.NamespacedName]*probeMemory
}

// of returns the memory of an instance. One instance is never reconciled twice
// at the same time, so the memory itself needs no lock.
func (p *probeMemories) of(key types.NamespacedName, uid types.UID) *probeMemory {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.byKey == nil {
		p.byKey = map[types.NamespacedName]*probeMemory{}
	}
	memory, found := p.byKey[key]
	if !found || memory.uid != uid {
		memory = &probeMemory{uid: uid}
		p.byKey[key] = memory
	}
	return memory
}

func (p *probeMemories) forget(key types.NamespacedName) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.byKey, key)
}
