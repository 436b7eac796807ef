package controllers

import (
	"context"
	"time"

	"github.com/warmpool-dev/warmpool/internal/fleet"
)

// Market searches and rents. Source: POST /bundles/, PUT /asks/{id}/.
type Market interface {
	// SearchOffers returns at most 64 offers in the order the query asks for.
	SearchOffers(ctx context.Context, query fleet.OfferQuery) ([]fleet.Offer, error)
	// Rent sends one rent and never repeats it. It returns the rental's id, or
	// a *fleet.ProviderError whose Definite says whether a rental may exist.
	Rent(ctx context.Context, request fleet.RentRequest) (rentalID int64, err error)
}

// Inventory reads what the account has.
type Inventory interface {
	// ListRentals reads every page; a partial reading is an error, never a short list.
	ListRentals(ctx context.Context) (fleet.Listing, error)
	// GetRental returns nil without an error only when the provider said in so
	// many words that there is no such rental.
	GetRental(ctx context.Context, rentalID int64) (*fleet.Rental, error)
	// CurrentUser says whose key it is, and the balance.
	CurrentUser(ctx context.Context) (fleet.User, error)
	// PendingPriceIncreases reads what hosts propose for the time after a contract ends.
	PendingPriceIncreases(ctx context.Context) ([]fleet.PriceIncrease, error)
}

// Operator acts on one rental.
type Operator interface {
	// DestroyRental asks for the end of a rental. Success is a promise, not a fact.
	DestroyRental(ctx context.Context, rentalID int64) error
	// AttachSSHKey adds a public key to a rental.
	AttachSSHKey(ctx context.Context, rentalID int64, publicKey string) error
	// SetLabel replaces the label of a rental.
	SetLabel(ctx context.Context, rentalID int64, label string) error
	// Logs returns the last lines of the container's log, redacted.
	Logs(ctx context.Context, rentalID int64, lines int) (string, error)
}

// Bookkeeper says what was charged.
type Bookkeeper interface {
	// Charges returns what was billed for days of UTC between two moments. It
	// lags by hours.
	Charges(ctx context.Context, from, to time.Time) ([]fleet.Charge, error)
}

// Provider is one Vast.ai account, reached with one key.
type Provider interface {
	Market
	Inventory
	Operator
	Bookkeeper
}

// Connect makes a Provider for an API key and the base URL of the account
// (empty for the default).
type Connect func(apiKey, baseURL string) (Provider, error)

// InstanceTarget says where an instance is and how to speak to it.
type InstanceTarget struct {
	// Address and PortalAddress are "host:port"; PortalAddress may be empty.
	Address, PortalAddress string
	// TLSMode is Pinned, CA or Off.
	TLSMode string
	// PinnedSHA256 is the certificate seen first, empty before that.
	PinnedSHA256 string
	// CAPEM holds the accepted authorities in mode CA.
	CAPEM []byte
	// Token is the instance's own password; it never shows in a log or an error.
	Token string `json:"-"`
}

// Prober looks at one ComfyUI.
type Prober interface {
	// Probe asks GET /prompt, with more patience when the instance is busy.
	Probe(ctx context.Context, target InstanceTarget, busy bool) fleet.ProbeResult
	// Portal asks the instance portal how far the boot has come.
	Portal(ctx context.Context, target InstanceTarget) (*fleet.Portal, error)
	// Queue looks at what runs and what waits.
	Queue(ctx context.Context, target InstanceTarget) (fleet.QueueResult, error)
	// Verify checks GPU, inventory and that a prompt really renders.
	Verify(ctx context.Context, target InstanceTarget, want fleet.Expectations) fleet.VerifyResult
}

// Recycler cleans one ComfyUI.
type Recycler interface {
	// Recycle takes away what the last user left: work, memory, history. It may be
	// repeated; the error says what is left.
	Recycle(ctx context.Context, target InstanceTarget) error
}

// Lease says whether this process may still act: a process that was paused
// may hold a lease that another one has taken over since.
type Lease interface {
	// IsFresh is true while nobody else can have become the leader.
	IsFresh() bool
}
