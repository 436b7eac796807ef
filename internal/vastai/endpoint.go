package vastai

import "time"

// Endpoint is a class of calls that share one rate limit: a method and a route.
type Endpoint string

// The endpoints of the client.
const (
	// EndpointSearch is POST /api/v0/bundles/.
	EndpointSearch Endpoint = "search"
	// EndpointRent is PUT /api/v0/asks/{id}/.
	EndpointRent Endpoint = "rent"
	// EndpointList is GET /api/v1/instances/.
	EndpointList Endpoint = "list"
	// EndpointGet is GET /api/v0/instances/{id}/.
	EndpointGet Endpoint = "get"
	// EndpointManage is PUT /api/v0/instances/{id}/: start, stop, label.
	EndpointManage Endpoint = "manage"
	// EndpointDestroy is DELETE /api/v0/instances/{id}/.
	EndpointDestroy Endpoint = "destroy"
	// EndpointUser is GET /api/v0/users/current/.
	EndpointUser Endpoint = "user"
	// EndpointLogs is PUT /api/v0/instances/request_logs/{id}/.
	EndpointLogs Endpoint = "logs"
	// EndpointSSHKeys is GET /api/v0/ssh/.
	EndpointSSHKeys Endpoint = "ssh-keys"
	// EndpointAddSSHKey is POST /api/v0/ssh/.
	EndpointAddSSHKey Endpoint = "add-ssh-key"
	// EndpointAttachSSHKey is POST /api/v0/instances/{id}/ssh/.
	EndpointAttachSSHKey Endpoint = "attach-ssh-key"
	// EndpointCharges is GET /api/v0/charges/.
	EndpointCharges Endpoint = "charges"
	// EndpointPriceIncreases is GET /api/v0/instances/pending-price-increases/.
	EndpointPriceIncreases Endpoint = "price-increases"
)

// unlistedInterval is for endpoints without a documented interval: the
// shortest one that is documented for any other.
const unlistedInterval = time.Second

// rentPenalty is the documented penalty of a rent that came too early. Its
// meaning is not documented; waiting it out is the safe reading.
const rentPenalty = 12 * time.Second

// rentMargin is added to the interval between rents: one that travels faster than
// the one before it would arrive too early, and be punished for it.
const rentMargin = 90 * time.Millisecond

// DefaultLimits returns the least time between two calls of each endpoint, as
// Vast.ai documents them ("x-rate-limit"); a search is limited to ten a minute.
func DefaultLimits() map[Endpoint]time.Duration {
	return map[Endpoint]time.Duration{
		EndpointSearch:         6 * time.Second,
		EndpointRent:           4500*time.Millisecond + rentMargin,
		EndpointList:           time.Second,
		EndpointGet:            2 * time.Second,
		EndpointManage:         time.Second,
		EndpointDestroy:        3 * time.Second,
		EndpointUser:           unlistedInterval,
		EndpointLogs:           unlistedInterval,
		EndpointSSHKeys:        time.Second,
		EndpointAddSSHKey:      time.Second,
		EndpointAttachSSHKey:   time.Second,
		EndpointCharges:        time.Second,
		EndpointPriceIncreases: unlistedInterval,
	}
}

// rank orders endpoints where they compete for one slot, smallest first:
// ending a bill, then knowing what runs, then renting, then the rest.
func (e Endpoint) rank() int {
	switch e {
	case EndpointDestroy:
		return 0
	case EndpointList:
		return 1
	case EndpointRent:
		return 2
	case EndpointSearch:
		return 3
	default:
		return 4
	}
}

// penalty is how long a 429 locks the endpoint at least.
func (e Endpoint) penalty() time.Duration {
	if e == EndpointRent {
		return rentPenalty
	}
	return 0
}
