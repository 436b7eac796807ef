package simulate

import (
	"slices"
	"strconv"
	"sync"
	"time"
)

// decider makes every choice of a schedule from the seed and from where the
// choice is made, not from the order of choices: taking one decision away
// leaves the others as they were, which is what shrinking needs.
type decider struct {
	seed uint64
	// allowed are the only injections that take place; nil allows all.
	allowed map[string]bool

	mu       sync.Mutex
	counts   map[string]int
	injected []Injection
	// calm is true once nothing more is injected; before peace ends nothing is.
	calm  bool
	peace time.Duration
}

// Injection is one thing that was made to go wrong.
type Injection struct {
	// ID names it within the schedule.
	ID string
	// Kind groups it for counting.
	Kind string
	// At is when, since the start of the schedule.
	At time.Duration
}

func newDecider(seed uint64, allowed []string) *decider {
	d := &decider{seed: seed, counts: map[string]int{}}
	if allowed != nil {
		d.allowed = map[string]bool{}
		for _, id := range allowed {
			d.allowed[id] = true
		}
	}
	return d
}

// at returns the dice of a place; every visit has dice of its own.
func (d *decider) at(place string) *dice {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.counts[place]++
	return d.fixed(place + "#" + strconv.Itoa(d.counts[place]))
}

// fixed returns the dice of a name, the same ones whenever it is asked for.
func (d *decider) fixed(name string) *dice { return &dice{id: name, state: mix(d.seed ^ hashOf(name))} }

// inject is true when the thing is to go wrong here; it is noted then.
func (d *decider) inject(id, kind string, at time.Duration) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.calm || at < d.peace || (d.allowed != nil && !d.allowed[id]) {
		return false
	}
	d.injected = append(d.injected, Injection{ID: id, Kind: kind, At: at})
	return true
}

// quiet ends all injections.
func (d *decider) quiet() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.calm = true
}

// isCalm is true once nothing is injected any more.
func (d *decider) isCalm() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.calm
}

// list returns what was injected, in order.
func (d *decider) list() []Injection {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.injected)
}

// hashOf is FNV-1a, which is the same in every process, unlike maphash.
func hashOf(text string) uint64 {
	const offset, prime = 14695981039346656037, 1099511628211
	hash := uint64(offset)
	for k := range len(text) {
		hash = (hash ^ uint64(text[k])) * prime
	}
	return hash
}

// mix is the finisher of SplitMix64: near seeds give unrelated dice.
func mix(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}

// dice are random numbers that depend on a place alone.
type dice struct {
	id    string
	state uint64
}

// next draws 64 bits.
func (d *dice) next() uint64 {
	const golden = 0x9e3779b97f4a7c15
	d.state += golden
	return mix(d.state)
}

// below draws from 0 to n-1; 0 when n is not positive.
func (d *dice) below(n int) int {
	if n <= 0 {
		return 0
	}
	return int(d.next() % uint64(n)) //nolint:gosec // below n
}

// chance is true with a probability in millionths.
func (d *dice) chance(ppm int) bool { return d.below(million) < ppm }

const million = 1_000_000

// between draws a duration.
func (d *dice) between(least, most time.Duration) time.Duration {
	if most <= least {
		return least
	}
	return least + time.Duration(d.next()%uint64(most-least+1)) //nolint:gosec // positive
}

// pick draws one of the given values.
func pick[T any](d *dice, values ...T) T { return values[d.below(len(values))] }
