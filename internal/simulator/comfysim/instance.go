package comfysim

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/utils/clock"
)

// Container ports that Vast.ai maps to random public ones.
const (
	comfyPort  = 8188
	portalPort = 1111
)

// Instance is one running simulated instance. Its methods are safe for concurrent use. It must be ended with [Instance.Stop].
type Instance struct {
	cfg   Config
	clk   clock.Clock
	prof  profile
	args  comfyArgs
	apps  []portalApp
	auth  authConfig
	ports []*port
	wg    sync.WaitGroup
	done  chan struct{}

	mu      sync.Mutex
	changed chan struct{} // closed and replaced at every change that somebody may wait for
	stopped bool
	rng     *rand.Rand
	active  map[string]faultValues
	boot    bootState
	sup     supervised
	proc    *process // nil while ComfyUI does not listen
	log     []string
	files   fileStore
	certs   [2]*certificate // the first, and the one after a certificate change
	stalled time.Time       // ComfyUI's event loop is frozen until then
}

// New starts the life of an instance: from this moment its boot runs on the injected clock. It returns an error for an unknown
// profile, a nil clock, or a fault that does not exist. It does not listen yet; see [Config.ListenComfy].
func New(cfg Config) (*Instance, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	prof, err := profileOf(cfg.Profile)
	if err != nil {
		return nil, err
	}
	i := &Instance{
		cfg: cfg, clk: cfg.Clock, prof: prof,
		args:    parseComfyArgs(cfg.Env),
		apps:    parsePortalConfig(cfg.Env["PORTAL_CONFIG"]),
		done:    make(chan struct{}),
		changed: make(chan struct{}),
		rng:     rand.New(rand.NewPCG(cfg.Seed, 0x636f6d6679)), //nolint:gosec // reproducible names, nothing secret
		active:  map[string]faultValues{},
		files:   fileStore{},
	}
	i.auth = newAuthConfig(cfg.Env, i.rng)
	names := make([]string, 0, len(cfg.Faults))
	for name := range cfg.Faults {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if err := i.setFaultLocked(name, cfg.Faults[name], i.clk.Now()); err != nil {
			return nil, err
		}
	}
	i.beginBootLocked(i.clk.Now())
	i.openPort(comfyPort, cfg.ListenComfy, i.serveComfyBackend)
	i.openPort(portalPort, cfg.ListenPortal, i.servePortalBackend)
	return i, nil
}

// openPort starts the accept loop of a port that is mapped and that PORTAL_CONFIG tells Caddy to serve.
func (i *Instance) openPort(container int, listen func() (net.Listener, error), backend backendFunc) {
	if listen == nil {
		return
	}
	n := slices.IndexFunc(i.apps, func(app portalApp) bool { return app.ExternalPort == container && app.InternalPort != container })
	if n < 0 {
		return
	}
	p := newPort(i, i.apps[n], listen, backend)
	i.ports = append(i.ports, p)
	i.wg.Go(p.run)
}

// Stop ends the instance: ports close, connections break, goroutines end before it returns. It may be called more than once.
func (i *Instance) Stop() {
	i.mu.Lock()
	if !i.stopped {
		i.stopped = true
		close(i.done)
		if i.proc != nil {
			close(i.proc.dead)
			i.proc = nil
		}
		i.notifyLocked()
	}
	for _, p := range i.ports {
		p.followLocked()
	}
	i.mu.Unlock()
	for _, p := range i.ports {
		p.closeServer()
		p.breakConnections()
	}
	i.wg.Wait()
}

// Logs returns the last tail lines of the container's log, oldest first; zero or less means all that is kept (1,000 lines). Like
// the real one it contains the credentials that Caddy's manager prints: whoever shows it must redact it.
func (i *Instance) Logs(tail int) []string {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.advanceLocked()
	lines := i.log
	if tail > 0 && len(lines) > tail {
		lines = lines[len(lines)-tail:]
	}
	return slices.Clone(lines)
}

const logLines = 1000

func (i *Instance) logLocked(format string, args ...any) {
	for line := range strings.SplitSeq(fmt.Sprintf(format, args...), "\n") {
		i.log = append(i.log, line)
	}
	if extra := len(i.log) - logLines; extra > 0 {
		i.log = slices.Delete(i.log, 0, extra)
	}
}

func (i *Instance) notifyLocked() {
	close(i.changed)
	i.changed = make(chan struct{})
}

// nowLocked is the instance's own idea of the time: the clock plus the skew of a fault.
func (i *Instance) nowLocked() time.Time {
	now := i.clk.Now()
	if skew, ok := i.active[FaultClockSkew]; ok {
		now = now.Add(skew.duration("offset"))
	}
	return now
}

func (i *Instance) localNow() time.Time {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.nowLocked()
}

// await blocks until check says it is done and returns true, or until cancel is closed or the instance is stopped and returns
// false. check runs with the lock held; the duration it returns is when to look again, zero meaning at the next change.
func (i *Instance) await(cancel <-chan struct{}, check func(now time.Time) (time.Duration, bool)) bool {
	for {
		i.mu.Lock()
		i.advanceLocked()
		now := i.clk.Now()
		wait, ready := check(now)
		changed, stopped := i.changed, i.stopped
		i.mu.Unlock()
		if stopped {
			return false
		}
		if ready {
			return true
		}
		if !i.waitOnce(cancel, changed, now, wait) {
			return false
		}
	}
}

func (i *Instance) waitOnce(cancel, changed <-chan struct{}, now time.Time, wait time.Duration) bool {
	var fire <-chan time.Time
	if wait > 0 {
		timer := i.clk.NewTimer(wait)
		defer timer.Stop()
		// The clock may have moved between the look and the timer: then the timer would fire late.
		if !i.clk.Now().Before(now.Add(wait)) {
			return true
		}
		fire = timer.C()
	}
	select {
	case <-fire:
	case <-changed:
	case <-cancel:
		return false
	case <-i.done:
		return false
	}
	return true
}

// pick returns the n-th letter name for files and identifiers.
func (i *Instance) letters(count int) string {
	const alphabet = "abcdefghijklmnopqrstupvxyz" // ComfyUI's own, misspelled so
	out := make([]byte, count)
	for n := range out {
		out[n] = alphabet[i.rng.IntN(len(alphabet))]
	}
	return string(out)
}

func (i *Instance) uuidLocked() string {
	a, b := i.rng.Uint64(), i.rng.Uint64()
	return fmt.Sprintf("%08x-%04x-4%03x-%04x-%012x", a>>32, (a>>16)&0xffff, a&0xfff, 0x8000|(b>>48)&0x3fff, b&0xffffffffffff)
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K {
	keys := make([]K, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}
