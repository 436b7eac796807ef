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
	if c.write && h.guard != nil {
		if err := h.guard(ctx); err != nil {
			return nil, c.notSent(h.redactor.wrap(err, c.secrets))
		}
	}
	return h.next.do(ctx, c)
}
