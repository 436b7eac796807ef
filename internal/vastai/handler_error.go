package vastai

import (
	"context"
	"errors"

	"github.com/warmpool-dev/warmpool/internal/fleet"
)

// errorHandler turns answers that are no success into provider errors.
type errorHandler struct {
	next     handler
	redactor *redactor
}

// do passes successes on.
func (h *errorHandler) do(ctx context.Context, c *call) (*reply, error) {
	answer, err := h.next.do(ctx, c)
	if err != nil {
		return nil, withContract(err, c, answer)
	}
	verdict := classify(c, answer)
	if verdict == nil {
		return answer, nil
	}
	//warmpool:gate redact-error-message
	verdict.Message = h.redactor.message(verdict.Message, c.secrets)
	//warmpool:gate redact-error-slug
	verdict.Code = h.redactor.message(verdict.Code, c.secrets)
	return nil, verdict
}

// withContract adds the rental that a half-read answer to a rent mentions.
func withContract(err error, c *call, answer *reply) error {
	var failure *fleet.ProviderError
	//warmpool:gate rent-contract-in-half-an-answer
	if answer != nil && c.endpoint == EndpointRent && errors.As(err, &failure) {
		failure.RentalID = contractIn(answer.body)
	}
	return err
}
