package vastai

import (
	"context"
	"fmt"
	"net/http"
	"net/url"

	"github.com/warmpool-dev/warmpool/internal/fleet"
	"github.com/warmpool-dev/warmpool/internal/vastai/schema"
)

// GetRental looks one rental up. It returns nil without an error only for the
// explicit answer that there is no such instance, HTTP 200 with
// {"instances": null}; every other answer without that instance is an error.
// Source: GET /api/v0/instances/{id}/.
func (c *Client) GetRental(ctx context.Context, id int64) (*fleet.Rental, error) {
	var answer schema.InstanceResponse
	request := &call{
		endpoint: EndpointGet, operation: "get", method: http.MethodGet, path: instancePath(id),
		query: url.Values{"owner": {"me"}}, into: &answer,
	}
	if err := c.read(ctx, request); err != nil {
		return nil, err
	}
	//warmpool:gate gone-said-in-so-many-words
	if answer.Instances.Null {
		return nil, nil //nolint:nilnil // the contract of this method: there is no such instance
	}
	for i := range answer.Instances.Rows {
		rental, err := rentalFromSchema(&answer.Instances.Rows[i], c.redactor)
		if err != nil {
			return nil, c.invalid(request, err.Error())
		}
		//warmpool:gate lookup-same-rental
		if rental.ID == id {
			return &rental, nil
		}
	}
	return nil, c.invalid(request, fmt.Sprintf("the answer is not about instance %d", id))
}

// DestroyRental asks to end a rental. Success means that the platform took the
// order; only a later look shows that it is gone. KindNotFound is no proof
// either. Source: DELETE /api/v0/instances/{id}/.
func (c *Client) DestroyRental(ctx context.Context, id int64) error {
	return c.write(ctx, &call{
		endpoint: EndpointDestroy, operation: "destroy", method: http.MethodDelete, path: instancePath(id),
		body: struct{}{}, retryable: true,
	})
}

// StopRental halts the container; storage goes on billing.
// Source: PUT /api/v0/instances/{id}/ {"state":"stopped"}.
func (c *Client) StopRental(ctx context.Context, id int64) error {
	return c.manage(ctx, "stop", id, schema.ManageRequest{State: "stopped"})
}

// StartRental starts a stopped rental. KindResourcesUnavailable means that the
// start is queued and may fire, and bill, later.
// Source: PUT /api/v0/instances/{id}/ {"state":"running"}.
func (c *Client) StartRental(ctx context.Context, id int64) error {
	return c.manage(ctx, "start", id, schema.ManageRequest{State: "running"})
}

// SetLabel replaces the label of a rental.
// Source: PUT /api/v0/instances/{id}/ {"label":…}.
func (c *Client) SetLabel(ctx context.Context, id int64, label string) error {
	text := schema.Text(label)
	return c.manage(ctx, "label", id, schema.ManageRequest{Label: &text})
}

// manage changes a rental. A start is not retried: it may be queued already.
func (c *Client) manage(ctx context.Context, operation string, id int64, body schema.ManageRequest) error {
	return c.write(ctx, &call{
		endpoint: EndpointManage, operation: operation, method: http.MethodPut, path: instancePath(id),
		body: body,
		//warmpool:gate start-never-sent-again
		retryable: body.State != "running",
	})
}

// instancePath is the path of one instance.
func instancePath(id int64) string { return fmt.Sprintf("/api/v0/instances/%d/", id) }
