package vastai

import "context"

// guardHandler asks before every write whether it may still be sent: the wait
// for a slot can be long enough to lose the leadership.
type guardHandler struct {
	next     handler
	guard    func(context.Context) error
	redactor *redactor
}

// do sends reads at once, and writes when the guard has no objection.
func (h *guardHandler) do(ctx context.Context, c *call) (*reply, error) {
	if !c.write {
		return h.next.do(ctx, c)
	}
	//warmpool:gate guard-last-look
	if c.beforeSend != nil {
		if err := c.beforeSend(); err != nil {
			return nil, c.notSent(h.redactor.wrap(err, c.secrets))
		}
	}
	if c.turn != nil {
		if err := c.turn(ctx); err != nil {
			return nil, c.notSent(err)
		}
	}
	//warmpool:gate guard-every-write
	if h.guard != nil {
		if err := h.guard(ctx); err != nil {
			return nil, c.notSent(h.redactor.wrap(err, c.secrets))
		}
	}
	//warmpool:gate rent-outlives-its-caller
	if c.detached {
		// Once a rent has left, an answer that nobody hears is a rental that has
		// to be found again: only the timeout ends the wait for it.
		ctx = context.WithoutCancel(ctx)
	}
	return h.next.do(ctx, c)
}
