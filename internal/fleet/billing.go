package fleet

import "time"

// Charge is one billed period of the account. Charges lag behind by minutes to
// hours: they are for reconciling, never for the ceiling.
type Charge struct {
	// RentalID is the rental it is for, 0 when it is for something else. Source: "source".
	RentalID int64
	// Kind is "instance", "volume" or "serverless". Source: "type".
	Kind string
	// Label is the rental's label at the time. Source: "metadata.label".
	Label string
	// AmountUSD is an amount, not a rate. Source: "amount".
	AmountUSD USDMicros
	// StartedAt and EndedAt bound the period; zero when unknown.
	StartedAt, EndedAt time.Time
}

// PriceIncrease is a host's proposal to go on at a higher price after the end
// of a contract. Nothing changes unless it is accepted.
type PriceIncrease struct {
	// ID names the proposal. Source: "pending_price_increase_id".
	ID int64
	// RentalID is the rental it is about. Source: "contract_id".
	RentalID int64
	// HostID is who proposes. Source: "host_id".
	HostID int64
	// OldGPUUSDPerHour and NewGPUUSDPerHour are the GPU price, 0 when it is
	// not said. Source: "old_gpu_costpersec", "new_gpu_costpersec" × 3600.
	OldGPUUSDPerHour, NewGPUUSDPerHour USDMicros
	// ContractEndsAt is when the contract ends as it is, OfferEndsAt when it
	// would end; zero when unknown. Source: "contract_end_date", "ask_end_date".
	ContractEndsAt, OfferEndsAt time.Time
}

// SSHKey is a public key that is registered with the account.
type SSHKey struct {
	// ID names the key. Source: "id".
	ID int64
	// PublicKey is the line of an authorized_keys file. Source: "public_key", else "key".
	PublicKey string
}
