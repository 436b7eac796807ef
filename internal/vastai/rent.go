package vastai

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/warmpool-dev/warmpool/internal/fleet"
	"github.com/warmpool-dev/warmpool/internal/vastai/schema"
)

// The launch modes of a rent.
const (
	launchSSH     = "ssh"
	launchJupyter = "jupyter"
	launchArgs    = "args"
)

// Rent rents an offer on demand and returns the id of the rental. It is sent
// once and never again by any layer (I2). The error is a *fleet.ProviderError:
// with Definite nothing was rented; with a RentalID that rental exists and
// must be ended; with neither the outcome is unknown. The end of ctx ends the
// wait for a turn, not an exchange that has begun.
// Source: PUT /api/v0/asks/{id}/.
func (c *Client) Rent(ctx context.Context, rent fleet.RentRequest) (int64, error) {
	request := &call{
		endpoint: EndpointRent, operation: "rent", method: http.MethodPut,
		beforeSend: rent.BeforeSend, detached: true,
	}
	body, err := newRentBody(&rent)
	if err != nil {
		return 0, request.notSent(err)
	}
	var answer schema.RentResponse
	request.path = fmt.Sprintf("/api/v0/asks/%d/", rent.OfferID)
	request.body = body
	request.into = &answer
	for _, value := range rent.Env {
		request.secrets = append(request.secrets, value)
	}
	if err := c.write(ctx, request); err != nil {
		return 0, err
	}
	rentalID, ok := positiveID(answer.NewContract)
	//warmpool:gate rent-success-names-a-rental
	if !ok {
		return 0, c.invalid(request, "the answer says success but names no rental")
	}
	return rentalID, nil
}

// newRentBody translates a request. Values are in no error.
func newRentBody(rent *fleet.RentRequest) (*schema.RentRequest, error) {
	runType, err := runTypeOf(rent.LaunchMode)
	switch {
	case err != nil:
		return nil, err
	case rent.OfferID <= 0:
		return nil, fmt.Errorf("renting offer %d: it is no offer", rent.OfferID)
	//warmpool:gate rent-has-a-label
	case rent.Label == "":
		return nil, fmt.Errorf("renting offer %d: a label is required, it is all that finds a rental again", rent.OfferID)
	}
	env := make(schema.EnvObject, len(rent.Env)+len(rent.Ports))
	for name, value := range rent.Env {
		// A name with a blank or a dash in front would be read as a docker flag.
		if name == "" || strings.HasPrefix(name, "-") || strings.ContainsAny(name, " \t\r\n=") {
			return nil, fmt.Errorf("renting offer %d: %q is no name of a variable", rent.OfferID, name)
		}
		env[name] = value
	}
	for _, port := range rent.Ports {
		env[fmt.Sprintf("-p %d:%d", port, port)] = "1"
	}
	return &schema.RentRequest{
		ClientID:      "me",
		Image:         schema.Text(rent.Image),
		Env:           env,
		Disk:          schema.Int(rent.DiskGB),
		Label:         schema.Text(rent.Label),
		OnStart:       schema.Text(rent.OnStart),
		RunType:       schema.Text(runType),
		CancelUnavail: schema.NewFlag(true),
		TargetState:   "running",
	}, nil
}

// runTypeOf translates a launch mode to the historical words, which every
// version of the platform knows; both kinds of SSH are asked for.
func runTypeOf(mode string) (string, error) {
	switch mode {
	case launchSSH, "":
		return "ssh_direc ssh_proxy", nil
	case launchJupyter:
		return "jupyter_direc ssh_direc ssh_proxy", nil
	case launchArgs:
		return "args", nil
	default:
		return "", fmt.Errorf("unknown launch mode %q: use ssh, jupyter or args", mode)
	}
}
