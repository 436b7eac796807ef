package vastai

import (
	"context"
	"encoding/json"

	"github.com/warmpool-dev/warmpool/internal/fleet"
)

// parseHandler decodes the answer of a successful call.
type parseHandler struct {
	next     handler
	redactor *redactor
}

// do decodes into c.into. An answer that does not decode is an error that may
// have had an effect, and carries the rental that it mentions.
func (h *parseHandler) do(ctx context.Context, c *call) (*reply, error) {
	answer, err := h.next.do(ctx, c)
	if err != nil || c.into == nil {
		return answer, err
	}
	if err := json.Unmarshal(answer.body, c.into); err != nil {
		failure := c.failure(fleet.KindInvalidResponse,
			h.redactor.message("the answer has another schema: "+err.Error(), c.secrets), nil)
		failure.RentalID = contractIn(answer.body)
		return nil, failure
	}
	return answer, nil
}
