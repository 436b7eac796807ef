package comfyui

import (
	"cmp"
	"context"
	"errors"
	"time"

	"k8s.io/utils/clock"

	"github.com/warmpool-dev/warmpool/internal/fleet"
)

// Options are the settings of a Prober. Zero durations take the default.
type Options struct {
	// Clock is what every wait and time stamp uses; the real clock when nil.
	Clock clock.Clock
	// DialTimeout is how long an instance may take to accept TCP, 5 s by default.
	DialTimeout time.Duration
	// ProbeTimeout is how long a connected instance may stay silent in a liveness
	// probe, and how long a busy one may take to accept TCP, 20 s by default. It is
	// not shorter, because the front's password check is slow on purpose: a 401 was
	// measured to take 5 s on a small host.
	ProbeTimeout time.Duration
	// CallTimeout is how long a connected instance may stay silent in any other
	// call, 20 s by default.
	CallTimeout time.Duration
	// RenderTimeout is how long the smoke prompt may take from its acceptance,
	// 60 s by default: the first prompt initialises CUDA and cuDNN.
	RenderTimeout time.Duration
	// VerifyTimeout bounds a whole verification, 5 min by default.
	VerifyTimeout time.Duration
	// KeepHistory leaves the entry of the smoke prompt in ComfyUI's history. It is
	// deleted otherwise, so that it does not look like somebody's work.
	KeepHistory bool
	// WallFloor is the least wall time before a timeout of Clock counts, 0 for
	// none. Set it where Clock runs faster than the wall but the network does not.
	WallFloor time.Duration
}

// withDefaults fills in what is not set.
func (o Options) withDefaults() Options {
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	o.DialTimeout = cmp.Or(o.DialTimeout, 5*time.Second)
	o.ProbeTimeout = cmp.Or(o.ProbeTimeout, 20*time.Second)
	o.CallTimeout = cmp.Or(o.CallTimeout, 20*time.Second)
	o.RenderTimeout = cmp.Or(o.RenderTimeout, time.Minute)
	o.VerifyTimeout = cmp.Or(o.VerifyTimeout, 5*time.Minute)
	return o
}

// Prober asks instances how they are. It holds no connection between calls and
// is safe for concurrent use.
type Prober struct {
	options Options
	timers  timers
}

// New makes a Prober.
func New(options Options) *Prober {
	options = options.withDefaults()
	return &Prober{options: options, timers: timers{clock: options.Clock, floor: options.WallFloor}}
}

// Probe asks for the length of the queue (GET /prompt), the one call that
// touches neither CUDA nor a disk, and says what that showed. It blocks for at
// most DialTimeout plus ProbeTimeout, and twice ProbeTimeout when busy; TLS adds
// one ProbeTimeout. The signal is empty when the probe says nothing about the
// instance: ctx ended first, or this side could not open a connection.
func (p *Prober) Probe(ctx context.Context, target Target, busy bool) fleet.ProbeResult {
	s := p.open(target, target.Address, false)
	defer s.close()
	s.answer = p.options.ProbeTimeout
	if busy {
		s.dialLimit = p.options.ProbeTimeout
	}
	remaining := 0
	err := s.getJSON(ctx, "/prompt", func(body []byte) (ok bool) {
		remaining, ok = decodeQueueRemaining(body)
		return ok
	})
	result := fleet.ProbeResult{
		Signal: fleet.SignalServing, Message: "ComfyUI answers.", QueueRemaining: remaining,
		CertificateSHA256: s.certificate(), At: p.options.Clock.Now(),
	}
	if err != nil {
		result.Signal, result.Message, result.QueueRemaining = SignalOf(err), err.Error(), 0
	}
	return result
}

// Queue looks at the queue (GET /queue). It is costly for the instance, because
// the answer holds every graph; call it only while the queue is not empty. When
// the answer is longer than 4 MiB, Pending is a lower bound. SignalOf(err) says
// what a failed call showed.
func (p *Prober) Queue(ctx context.Context, target Target) (fleet.QueueResult, error) {
	s := p.open(target, target.Address, false)
	defer s.close()
	queue, err := s.queue(ctx)
	if err != nil {
		return fleet.QueueResult{}, err
	}
	result := fleet.QueueResult{Pending: len(queue.pending), At: p.options.Clock.Now()}
	if len(queue.running) > 0 {
		result.Running = queue.running[0]
	}
	return result, nil
}

// Portal asks the instance portal how the boot goes. It is nil without an error
// when the target has no portal address. One of the two calls may fail: what the
// other said is returned, and an error only when both failed.
func (p *Prober) Portal(ctx context.Context, target Target) (*fleet.Portal, error) {
	if target.PortalAddress == "" {
		return nil, nil //nolint:nilnil // no portal is an answer, not an error
	}
	s := p.open(target, target.PortalAddress, true)
	defer s.close()
	portal := &fleet.Portal{}
	capabilities := s.getJSON(ctx, "/capabilities", func(body []byte) bool { return decodeCapabilities(body, portal) })
	processes := s.getJSON(ctx, "/supervisor/processes", func(body []byte) bool { return decodeProcesses(body, portal) })
	if capabilities != nil && processes != nil {
		return nil, portalError(capabilities, processes)
	}
	return portal, nil
}

// portalError keeps what the first call showed, and puts the message straight:
// the sentences of calls are about ComfyUI's port.
func portalError(first, second error) error {
	return &callError{
		signal: SignalOf(first),
		text:   "The instance portal (port 1111) told nothing about the boot. Is its port mapped? The call showed: " + string(cmp.Or(SignalOf(first), "nothing")) + ".",
		cause:  errors.Join(first, second),
	}
}
