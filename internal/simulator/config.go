package simulator

import (
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	"k8s.io/utils/clock"
)

// Range is a pair of simulated durations between which one is drawn evenly.
// The zero Range is no time at all.
type Range struct {
	// Min is the least duration, at least 0.
	Min time.Duration
	// Max is the greatest; less than Min means Min.
	Max time.Duration
}

// Provisioning holds how long the steps of a life take, in simulated time.
type Provisioning struct {
	// Report is from the rent until the host reports: "actual_status" is null.
	Report Range
	// Create is how long "created" shows.
	Create Range
	// Pull is how long "loading" shows, while the image is pulled.
	Pull Range
	// Address is from running until "public_ipaddr" shows.
	Address Range
	// Ports is from running until "ports" shows.
	Ports Range
	// Stop, Start and Reboot are the changes of state on demand; a recycle pulls again.
	Stop, Start, Reboot Range
	// Destroy is how long a destroyed rental still shows in reads. It bills no longer.
	Destroy Range
}

// DefaultProvisioning returns durations as they are seen on Vast.ai
// (docs/reference/simulator.md names the sources).
func DefaultProvisioning() Provisioning {
	return Provisioning{
		Report:  Range{time.Second, 10 * time.Second},
		Create:  Range{time.Second, 5 * time.Second},
		Pull:    Range{20 * time.Second, 6 * time.Minute},
		Address: Range{time.Second, 4 * time.Second},
		Ports:   Range{2 * time.Second, 8 * time.Second},
		Stop:    Range{2 * time.Second, 8 * time.Second},
		Start:   Range{5 * time.Second, 20 * time.Second},
		Reboot:  Range{5 * time.Second, 15 * time.Second},
		Destroy: Range{500 * time.Millisecond, 2 * time.Second},
	}
}

// Hastened returns the durations divided by a speed above 0. How long a
// destroyed rental still shows in reads stays: it is a property of the API.
func (p Provisioning) Hastened(speed float64) Provisioning {
	for _, r := range []*Range{&p.Report, &p.Create, &p.Pull, &p.Address, &p.Ports, &p.Stop, &p.Start, &p.Reboot} {
		r.Min, r.Max = time.Duration(float64(r.Min)/speed), time.Duration(float64(r.Max)/speed)
	}
	return p
}

// RateLimitBody selects the form of a 429 answer; Vast.ai is documented with four.
type RateLimitBody string

// The forms of a 429 answer.
const (
	// RateLimitText is plain text.
	RateLimitText RateLimitBody = "text"
	// RateLimitDetail is {"detail": text}.
	RateLimitDetail RateLimitBody = "detail"
	// RateLimitMsg is {"success": false, "msg": text}.
	RateLimitMsg RateLimitBody = "msg"
	// RateLimitSlug is {"success": false, "error": "rate_limit_exceeded", "msg": text}.
	RateLimitSlug RateLimitBody = "error"
)

// RateLimits configures the documented limits.
type RateLimits struct {
	// Disabled turns every limit off.
	Disabled bool
	// Body is the form of the answer; empty is RateLimitText.
	Body RateLimitBody
	// CreatePenalty locks an identity out of creating after it broke the
	// create limit; 0 is the documented 12 s, negative is none.
	CreatePenalty time.Duration
}

// OfferSpec is one offer of a test's own market. Everything that is not set is
// taken from a recorded RTX 4090 machine, with 1,000 GB of disk and 200 ports.
type OfferSpec struct {
	// ID is the offer id; 0 draws one.
	ID int64 `json:"id,omitempty"`
	// MachineID joins offers of one machine; 0 draws a new machine.
	MachineID int64 `json:"machineID,omitempty"`
	// HostID is the owner; 0 draws one.
	HostID int64 `json:"hostID,omitempty"`
	// GPUName is "RTX 4090" when empty.
	GPUName string `json:"gpuName,omitempty"`
	// GPUs is the size of the slice; 0 is 1.
	GPUs int `json:"gpus,omitempty"`
	// MachineGPUs is the size of the machine; 0 is the largest slice of it.
	MachineGPUs int `json:"machineGPUs,omitempty"`
	// PriceMicros is the price in micro-dollars per hour without storage; 0 is the recorded price.
	PriceMicros int64 `json:"priceMicros,omitempty"`
	// StorageMicrosPerGBMonth is micro-dollars per GB and month of 720 hours; 0 is free storage.
	StorageMicrosPerGBMonth int64 `json:"storageMicrosPerGBMonth,omitempty"`
	// Fields overrides any field of the row by its wire name.
	Fields map[string]any `json:"fields,omitempty"`
}

// Market says what is for rent.
type Market struct {
	// Offers replaces the recorded market when it is not nil.
	Offers []OfferSpec
	// Limit keeps the cheapest verified offers of as many machines, one GPU
	// each where possible; 0 keeps all.
	Limit int
	// Replicas multiplies the recorded machines under new ids, for scale tests; 0 is 1.
	Replicas int
	// Frozen stops all drift: nothing changes but by renting and by command.
	Frozen bool
	// Recording is what Offers take from a recorded machine; nil reads it again.
	Recording *Recording
}

// Config configures a simulation. The zero value is a recorded, drifting market
// at real speed, with one key ("sim-key") and 100 dollars of credit.
type Config struct {
	// Listen and AdminListen are host:port; empty is 127.0.0.1:0.
	Listen, AdminListen string
	// TLS makes the API speak HTTPS; nil is HTTP. The admin API is HTTP always.
	TLS *tls.Config
	// InstanceAddress is where the published ports of rentals listen, and what
	// rows name as "public_ipaddr"; empty is 127.0.0.1. Any other address has to
	// be one of a network that leads nowhere else.
	InstanceAddress string
	// Clock drives everything; nil is the real clock.
	Clock clock.Clock
	// Speed is how many simulated seconds pass in one second of Clock; 0 is 1.
	Speed float64
	// Seed fixes every draw.
	Seed uint64
	// Keys are the account's API keys; empty is "sim-key".
	Keys []string
	// UserID is the account's number; 0 is 7001.
	UserID int64
	// CreditMicros is the balance at the start in micro-dollars; 0 is 100 dollars, negative is none.
	CreditMicros int64
	// Market says what is for rent.
	Market Market
	// Provisioning holds the durations; nil is DefaultProvisioning.
	Provisioning *Provisioning
	// RateLimits configures the limits.
	RateLimits RateLimits
	// EmptyV0List answers the retired list with 200 and nothing, as some
	// accounts saw, instead of 410.
	EmptyV0List bool
	// UnauthorizedStatus is the HTTP status for a wrong key: 0 is 404, as
	// observed; 401 is the other documented one.
	UnauthorizedStatus int
	// Backend is what runs behind the ports of a rental; nil is a ComfyUI (see ComfyBackend).
	Backend Backend
	// Observer is told of every rental of the account that begins or ends, at
	// that moment; it must not call the simulator. Nil is nobody.
	Observer func(Moment)
}

// The defaults of Config.
const (
	defaultKey           = "sim-key"
	defaultUserID        = 7001
	defaultCreditMicros  = 100_000_000
	defaultListen        = "127.0.0.1:0"
	defaultCreatePenalty = 12 * time.Second
	maxSpeed             = 100_000
)

// errInvalidConfig reports a Config that makes no sense.
var errInvalidConfig = errors.New("invalid simulator configuration")

// withDefaults fills in what is not set.
func (c Config) withDefaults() (Config, error) {
	if c.Speed == 0 {
		c.Speed = 1
	}
	if c.Speed < 0 || c.Speed > maxSpeed {
		return c, fmt.Errorf("%w: speed %v is not between 0 and %d", errInvalidConfig, c.Speed, maxSpeed)
	}
	if c.Market.Limit < 0 || c.Market.Replicas < 0 {
		return c, fmt.Errorf("%w: market limit and replicas must not be negative", errInvalidConfig)
	}
	if c.Clock == nil {
		c.Clock = clock.RealClock{}
	}
	if len(c.Keys) == 0 {
		c.Keys = []string{defaultKey}
	}
	c.Listen = orDefault(c.Listen, defaultListen)
	c.AdminListen = orDefault(c.AdminListen, defaultListen)
	c.InstanceAddress = orDefault(c.InstanceAddress, loopbackIP)
	c.UserID = orDefault(c.UserID, defaultUserID)
	c.CreditMicros = max(0, orDefault(c.CreditMicros, defaultCreditMicros))
	c.Market.Replicas = orDefault(c.Market.Replicas, 1)
	c.RateLimits.Body = orDefault(c.RateLimits.Body, RateLimitText)
	c.RateLimits.CreatePenalty = max(0, orDefault(c.RateLimits.CreatePenalty, defaultCreatePenalty))
	c.UnauthorizedStatus = orDefault(c.UnauthorizedStatus, 404)
	if c.Provisioning == nil {
		p := DefaultProvisioning()
		c.Provisioning = &p
	}
	return c, nil
}

// orDefault returns value, or fallback when value is zero.
func orDefault[T comparable](value, fallback T) T {
	var zero T
	if value == zero {
		return fallback
	}
	return value
}
