package simulator

import (
	"cmp"
	"maps"
	"math/rand/v2"
	"slices"
	"time"
)

// offer is one slice of a machine that is listed.
type offer struct {
	id      int64
	machine *machine
	gpus    []int // indexes of the machine's GPUs
}

// machine is one physical machine with its GPUs.
type machine struct {
	id, hostID int64
	// rows holds the recorded row for each slice size.
	rows map[int]map[string]any
	// busy says which GPUs are rented here.
	busy []bool
	// listed are the offers of the machine by slice size.
	listed map[int]*offer
	// absent is true while the host does not list the machine at all.
	absent bool
	// taken is true while somebody else rents it: listed, but not rentable.
	taken bool
	// factor multiplies the recorded GPU price.
	factor float64
	// endDate is until when the host offers it.
	endDate time.Time
}

// market is everything that can be rented. Lock of the world held throughout.
type market struct {
	machines map[int64]*machine
	ids      []int64 // machine ids, ascending: the order of draws
	offers   map[int64]*offer
	nextID   int64
	draws    *rand.Rand
}

// newMarket returns an empty market.
func newMarket(seed uint64) *market {
	return &market{
		machines: map[int64]*machine{},
		offers:   map[int64]*offer{},
		nextID:   40_000_000,
		draws:    stream(seed, purposeMarket),
	}
}

// add puts a machine into the market without listing it.
func (m *market) add(c *machine) {
	m.machines[c.id] = c
	at, found := slices.BinarySearch(m.ids, c.id)
	if !found {
		m.ids = slices.Insert(m.ids, at, c.id)
	}
}

// list lists an offer of the machine under an id; 0 draws a new one.
func (m *market) list(c *machine, size int, id int64) {
	gpus := c.free(size)
	if gpus == nil {
		return
	}
	if id == 0 {
		m.nextID += 1 + m.draws.Int64N(9)
		id = m.nextID
	}
	o := &offer{id: id, machine: c, gpus: gpus}
	c.listed[size] = o
	m.offers[id] = o
}

// unlist takes an offer down.
func (m *market) unlist(o *offer) {
	delete(m.offers, o.id)
	delete(o.machine.listed, len(o.gpus))
}

// refresh brings the offers of a machine in line with its free GPUs: offers
// that overlap what is rented go, sizes that fit again come under new ids.
func (m *market) refresh(c *machine) {
	for _, size := range c.sizes() {
		o := c.listed[size]
		if o != nil && (c.absent || c.anyBusy(o.gpus)) {
			m.unlist(o)
			o = nil
		}
		if o == nil && !c.absent {
			m.list(c, size, 0)
		}
	}
}

// relist gives every offer of a machine a new id.
func (m *market) relist(c *machine) {
	for _, size := range c.sizes() {
		if o := c.listed[size]; o != nil {
			m.unlist(o)
		}
	}
	m.refresh(c)
}

// take rents the GPUs of an offer.
func (m *market) take(o *offer) {
	o.machine.setBusy(o.gpus, true)
	m.refresh(o.machine)
}

// takeFree rents as many free GPUs of a machine, whatever is listed, and
// returns nil when there are not enough.
func (m *market) takeFree(c *machine, size int) []int {
	gpus := c.free(size)
	if gpus == nil || c.taken {
		return nil
	}
	c.setBusy(gpus, true)
	m.refresh(c)
	return gpus
}

// giveBack returns GPUs; what is listed again has a new id.
func (m *market) giveBack(c *machine, gpus []int) {
	c.setBusy(gpus, false)
	m.refresh(c)
}

// remove takes an offer down for good: its slice size is not listed again.
func (m *market) remove(id int64) bool {
	o, ok := m.offers[id]
	if ok {
		m.unlist(o)
		delete(o.machine.rows, len(o.gpus))
	}
	return ok
}

// sizes returns the slice sizes of the machine, ascending.
func (c *machine) sizes() []int { return slices.Sorted(maps.Keys(c.rows)) }

// free returns the first GPUs that are free, nil when there are not enough.
func (c *machine) free(size int) []int {
	gpus := make([]int, 0, size)
	for i, busy := range c.busy {
		if !busy && len(gpus) < size {
			gpus = append(gpus, i)
		}
	}
	if len(gpus) < size {
		return nil
	}
	return gpus
}

// anyBusy is true when one of the GPUs is rented.
func (c *machine) anyBusy(gpus []int) bool {
	return slices.ContainsFunc(gpus, func(i int) bool { return c.busy[i] })
}

// setBusy marks GPUs.
func (c *machine) setBusy(gpus []int, busy bool) {
	for _, i := range gpus {
		c.busy[i] = busy
	}
}

// price returns the GPU price of a slice in dollars per hour.
func (c *machine) price(size int) float64 { return number(c.rows[size]["dph_base"]) * c.factor }

// storageRate returns dollars per hour for a disk.
func (c *machine) storageRate(size int, diskGB float64) float64 {
	return number(c.rows[size]["storage_cost"]) * diskGB / hoursPerMonth
}

// sorted returns the listed offers by id.
func (m *market) sorted() []*offer {
	return slices.SortedFunc(maps.Values(m.offers), func(a, b *offer) int { return cmp.Compare(a.id, b.id) })
}
