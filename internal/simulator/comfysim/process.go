package comfysim

import (
	"cmp"
	"container/heap"
	"encoding/json"
	"strings"
	"time"
)

// historyLimit is ComfyUI's own cap on history entries.
const historyLimit = 10000

// item is one prompt in the queue.
type item struct {
	number  json.Number // as it is shown; negative for front, a float when the client chose it
	order   float64     // the same, for the heap
	id      string
	graph   *graph
	extra   map[string]json.RawMessage
	outputs []string
	created time.Time
}

// clientID is the WebSocket client that the events go to; empty means nobody in particular.
func (it *item) clientID() string {
	var id string
	if raw, ok := it.extra["client_id"]; ok && json.Unmarshal(raw, &id) != nil {
		return ""
	}
	return id
}

// tuple is the item as /queue and /history show it.
func (it *item) tuple() []any {
	return []any{it.number, it.id, it.graph.raw, it.extra, it.outputs}
}

// pendingHeap is Python's heap of tuples: by number, then by id.
type pendingHeap []*item

// Len is heap.Interface's.
func (h *pendingHeap) Len() int { return len(*h) }

// Less is heap.Interface's.
func (h *pendingHeap) Less(a, b int) bool {
	first, second := (*h)[a], (*h)[b]
	return cmp.Or(cmp.Compare(first.order, second.order), strings.Compare(first.id, second.id)) < 0
}

// Swap is heap.Interface's.
func (h *pendingHeap) Swap(a, b int) { (*h)[a], (*h)[b] = (*h)[b], (*h)[a] }

// Push is heap.Interface's.
func (h *pendingHeap) Push(x any) {
	if it, ok := x.(*item); ok {
		*h = append(*h, it)
	}
}

// Pop is heap.Interface's.
func (h *pendingHeap) Pop() any {
	last := len(*h) - 1
	it := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return it
}

// message is one entry of a history's status.messages: a two-element array.
type message struct {
	Event string
	Data  map[string]any
}

// MarshalJSON writes the pair.
func (m message) MarshalJSON() ([]byte, error) { return json.Marshal([]any{m.Event, m.Data}) }

// historyEntry is one finished prompt.
type historyEntry struct {
	it       *item
	status   string // success or error
	messages []message
	outputs  map[string]any
	meta     map[string]any
	started  time.Time
	ended    time.Time
	failure  map[string]any
}

func (e *historyEntry) wire() map[string]any {
	return map[string]any{
		"prompt":  e.it.tuple(),
		"outputs": e.outputs,
		"status":  map[string]any{"status_str": e.status, "completed": e.status == "success", "messages": e.messages},
		"meta":    e.meta,
	}
}

// process is one run of main.py; everything in it is lost when it ends. It is guarded by the instance's lock.
type process struct {
	inst    *Instance
	started time.Time
	dead    chan struct{}

	number    int64
	pending   pendingHeap
	running   *item
	lastNode  string
	working   bool
	noWorker  bool // the worker thread has died
	wedged    bool // the event loop is inside a driver call that does not return
	interrupt bool
	unload    bool
	dropCache bool

	historyOrder []string
	history      map[string]*historyEntry

	cache     map[string]*nodeResult
	cacheAge  []string // signatures, least recently used first, for --cache-lru
	suffixes  map[string]string
	loaded    map[string]int64
	cudaReady bool

	hub         hub
	ring        []logLine
	subscribers map[string]bool
}

type logLine struct {
	T string `json:"t"`
	M string `json:"m"`
}

func newProcess(i *Instance, at time.Time) *process {
	return &process{
		inst: i, started: at, dead: make(chan struct{}),
		history: map[string]*historyEntry{}, cache: map[string]*nodeResult{}, suffixes: map[string]string{},
		loaded: map[string]int64{}, subscribers: map[string]bool{},
		hub: hub{sockets: map[string]*socket{}},
	}
}

// logEntry adds to the ring of 300 writes that /internal/logs shows. The instance's lock is held.
func (p *process) logEntry(at time.Time, text string) {
	line := logLine{T: at.UTC().Format("2006-01-02T15:04:05.000000"), M: text}
	p.ring = append(p.ring, line)
	if len(p.ring) > 300 {
		p.ring = p.ring[1:]
	}
	for client, on := range p.subscribers {
		if on {
			p.send(client, "logs", map[string]any{"entries": []logLine{line}, "size": terminalSize()})
		}
	}
}

func terminalSize() map[string]int { return map[string]int{"cols": 80, "rows": 24} }

func (p *process) remaining() int {
	if p.running != nil {
		return len(p.pending) + 1
	}
	return len(p.pending)
}

// put queues a prompt and wakes the worker. The instance's lock is held.
func (p *process) put(it *item) {
	heap.Push(&p.pending, it)
	p.broadcastStatus()
	p.wakeLocked()
}

// wakeLocked gives an idle worker the next prompt, at once: the first of several is the one that runs, whatever comes after it.
func (p *process) wakeLocked() {
	if p.working || p.noWorker || p.inst.stopped || p.running != nil {
		return
	}
	if it := p.takeLocked(); it != nil {
		p.inst.wg.Go(func() { p.work(it) })
	}
}

// work runs prompts until none is left.
func (p *process) work(it *item) {
	for it != nil && newRun(p, it).execute() {
		p.inst.mu.Lock()
		it = p.takeLocked()
		p.inst.mu.Unlock()
	}
}

// takeLocked pops the next prompt; the worker is idle when there is none.
func (p *process) takeLocked() *item {
	p.working = false
	if p.inst.proc != p || p.inst.stopped || p.noWorker || len(p.pending) == 0 {
		return nil
	}
	it, ok := heap.Pop(&p.pending).(*item)
	if !ok {
		return nil
	}
	p.working, p.running, p.interrupt = true, it, false
	p.broadcastStatus()
	return it
}

// finish records a finished prompt, after its last execution event and before the status that ComfyUI sends then.
func (p *process) finish(entry *historyEntry) {
	p.running, p.lastNode = nil, ""
	if len(p.historyOrder) > historyLimit {
		delete(p.history, p.historyOrder[0])
		p.historyOrder = p.historyOrder[1:]
	}
	if _, again := p.history[entry.it.id]; !again {
		p.historyOrder = append(p.historyOrder, entry.it.id)
	}
	p.history[entry.it.id] = entry
	p.broadcastStatus()
	p.send(entry.it.clientID(), "executing", map[string]any{"node": nil, "prompt_id": entry.it.id})
	p.freeLocked()
}

// freeLocked does what POST /free asked for, between prompts.
func (p *process) freeLocked() {
	if p.unload {
		p.loaded = map[string]int64{}
	}
	if p.dropCache {
		p.cache, p.cacheAge = map[string]*nodeResult{}, nil
	}
	p.unload, p.dropCache = false, false
}

// killWorkerLocked ends the worker thread of the running process; inside names the prompt that it dies in.
func (i *Instance) killWorkerLocked(inside string) {
	if i.proc == nil || i.proc.noWorker {
		return
	}
	i.proc.noWorker = true
	where := "between prompts"
	if inside != "" {
		where = "in prompt " + inside
	}
	i.comfyLogLocked(i.nowLocked(), "Exception in thread Thread-2 (prompt_worker):")
	i.comfyLogLocked(i.nowLocked(), "RuntimeError: worker died %s", where)
	i.notifyLocked()
}

// torchReserved is what loaded models occupy, as torch's allocator reserves it. The instance's lock is held.
func (p *process) torchReserved() int64 {
	total := int64(0)
	if p.cudaReady {
		total = 32 << 20
	}
	for _, size := range p.loaded {
		total += size
	}
	return total
}
