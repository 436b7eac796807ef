package comfyui

import (
	"context"
	"time"

	"github.com/warmpool-dev/warmpool/internal/fleet"
)

const (
	// stopWithin is how long interrupted work may take to stop; ComfyUI notices an
	// interrupt only between two steps.
	stopWithin = 30 * time.Second
	// stopPoll is the pause between two looks whether it has.
	stopPoll = time.Second
)

// Recycle takes away what the last user of an instance left in its ComfyUI: work
// that waits (POST /queue) and runs (POST /interrupt), models and caches in memory
// (POST /free), and the history (POST /history). Files stay: ComfyUI has no call
// that deletes them. It blocks for at most half a minute beside its calls, and may
// be repeated. The error says what is left; SignalOf(err) says what a failed call
// showed.
func (p *Prober) Recycle(ctx context.Context, target Target) error {
	s := p.open(target, target.Address, true)
	defer s.close()
	if err := p.stopWork(ctx, s); err != nil {
		return err
	}
	if err := s.command(ctx, "/free", map[string]bool{"unload_models": true, "free_memory": true}); err != nil {
		return err
	}
	return s.command(ctx, "/history", map[string]bool{"clear": true})
}

// stopWork clears the queue and interrupts what runs until nothing is left.
func (p *Prober) stopWork(ctx context.Context, s *session) error {
	deadline := p.timers.alarm(stopWithin)
	for {
		if err := s.command(ctx, "/queue", map[string]bool{"clear": true}); err != nil {
			return err
		}
		if err := s.command(ctx, "/interrupt", struct{}{}); err != nil {
			return err
		}
		remaining := 0
		err := s.getJSON(ctx, "/prompt", func(body []byte) (ok bool) {
			remaining, ok = decodeQueueRemaining(body)
			return ok
		})
		switch {
		case err != nil:
			return err
		case remaining == 0:
			return nil
		case deadline.fired():
			return fail(fleet.SignalServing, "Work of the claim that has ended does not stop although it was interrupted. It is tried again.", nil)
		case !p.timers.sleep(ctx, stopPoll):
			return interrupted(context.Cause(ctx))
		}
	}
}

// command posts something that is answered with an empty 200.
func (s *session) command(ctx context.Context, path string, payload any) error {
	r, err := s.postJSON(ctx, path, payload)
	if err != nil {
		return err
	}
	if verdict := s.judgeStatus(r); verdict != nil {
		return verdict
	}
	return nil
}
