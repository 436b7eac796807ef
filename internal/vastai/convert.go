package vastai

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/warmpool-dev/warmpool/internal/fleet"
	"github.com/warmpool-dev/warmpool/internal/vastai/schema"
)

// Decimals of the scaled integers of package fleet.
const (
	wholeDecimals = 0
	centiDecimals = 2
	milliDecimals = 3
	ppmDecimals   = 6
	microDecimals = 6
)

// errNoID reports a row without a usable number.
var errNoID = errors.New("a row has no id")

// offerFromSchema converts one row of a search. It fails for a row without the
// numbers and the price that a rent needs.
func offerFromSchema(row *schema.Offer) (fleet.Offer, error) {
	id, hasID := positiveID(row.ID)
	if !hasID {
		id, hasID = positiveID(row.AskContractID)
	}
	machine, hasMachine := positiveID(row.MachineID)
	if !hasID || !hasMachine {
		return fleet.Offer{}, errNoID
	}
	price, err := priceOf(row.DPHTotal)
	//warmpool:gate offer-price-can-be-read
	if err != nil {
		return fleet.Offer{}, fmt.Errorf("reading the price of offer %d: %w", id, err)
	}
	reliability := row.Reliability2
	if !reliability.IsSet() {
		reliability = row.Reliability
	}
	return fleet.Offer{
		ID:                     id,
		MachineID:              machine,
		HostID:                 scaled(row.HostID, wholeDecimals),
		GPUName:                strings.ReplaceAll(string(row.GPUName), "_", " "),
		GPUs:                   int(scaled(row.NumGPUs, wholeDecimals)),
		GPUMemoryMB:            scaled(row.GPURAM, wholeDecimals),
		CPUCoresMilli:          scaled(row.CPUCoresEffective, milliDecimals),
		MemoryMB:               scaled(row.CPURAM, wholeDecimals),
		DiskGB:                 scaled(row.DiskSpace, wholeDecimals),
		DownloadMbps:           scaled(row.InetDown, wholeDecimals),
		UploadMbps:             scaled(row.InetUp, wholeDecimals),
		DownloadUSDPerTB:       perTerabyte(row.InetDownCost),
		UploadUSDPerTB:         perTerabyte(row.InetUpCost),
		DirectPorts:            int(scaled(row.DirectPortCount, wholeDecimals)),
		CUDAVersionCenti:       scaled(row.CUDAMaxGood, centiDecimals),
		ComputeCapabilityCenti: scaled(row.ComputeCap, wholeDecimals),
		ReliabilityPPM:         scaled(reliability, ppmDecimals),
		Verification:           string(row.Verification),
		Datacenter:             scaled(row.HostingType, wholeDecimals) >= 1,
		StaticIP:               bool(row.StaticIP),
		CountryCode:            countryCode(string(row.Geolocation)),
		PriceUSDPerHour:        price,
		StorageUSDPerHour:      dollars(row.StorageTotalCost),
		PerformanceMilli:       scaled(row.DLPerf, milliDecimals),
		ScoreMilli:             scaled(row.Score, milliDecimals),
		RemainingSeconds:       scaled(row.Duration, wholeDecimals),
		Rentable:               bool(row.Rentable),
	}, nil
}

// rentalFromSchema converts one instance. It fails for a row without an id or
// a price: a rental that costs nobody knows what must not count as free.
func rentalFromSchema(row *schema.Instance, redactor *redactor) (fleet.Rental, error) {
	id, hasID := positiveID(row.ID)
	if !hasID {
		return fleet.Rental{}, errNoID
	}
	price, err := rentalPrice(row)
	//warmpool:gate rental-price-can-be-read
	if err != nil {
		return fleet.Rental{}, fmt.Errorf("reading the price of instance %d: %w", id, err)
	}
	return fleet.Rental{
		ID:                id,
		MachineID:         scaled(row.MachineID, wholeDecimals),
		HostID:            scaled(row.HostID, wholeDecimals),
		Label:             string(row.Label),
		ActualStatus:      fleet.ActualStatus(row.ActualStatus),
		IntendedStatus:    string(row.IntendedStatus),
		CurrentState:      string(row.CurState),
		NextState:         string(row.NextState),
		StatusMessage:     redactor.message(string(row.StatusMsg), nil),
		GPUName:           strings.ReplaceAll(string(row.GPUName), "_", " "),
		GPUs:              int(scaled(row.NumGPUs, wholeDecimals)),
		GPUMemoryMB:       scaled(row.GPURAM, wholeDecimals),
		Geolocation:       string(row.Geolocation),
		PriceUSDPerHour:   price,
		StorageUSDPerHour: dollars(row.StorageTotalCost),
		PublicIP:          firstField(string(row.PublicIPAddr)),
		Ports:             row.Ports.TCP(),
		SSHHost:           firstField(string(row.SSHHost)),
		SSHPort:           int(scaled(row.SSHPort, wholeDecimals)),
		StartedAt:         epoch(row.StartDate),
		EndsAt:            epoch(row.EndDate),
	}, nil
}

// rentalPrice is dph_total, or the same amount from the nested breakdown of
// rows that lack it.
func rentalPrice(row *schema.Instance) (fleet.USDMicros, error) {
	price, err := priceOf(row.DPHTotal)
	if err != nil && row.Search != nil {
		return priceOf(row.Search.TotalHour)
	}
	return price, err
}

// userFromSchema converts the account. Credit is cut off, not rounded up: it
// is never taken for more than it is.
func userFromSchema(row *schema.User) (fleet.User, error) {
	id, hasID := positiveID(row.ID)
	if !hasID {
		return fleet.User{}, errNoID
	}
	credit, ok := row.Credit.Scaled(microDecimals)
	//warmpool:gate balance-can-be-read
	if !ok {
		return fleet.User{}, fmt.Errorf("reading the credit of user %d: %w", id, fleet.ErrMalformedUSD)
	}
	return fleet.User{ID: id, BalanceUSD: fleet.USDMicros(credit)}, nil
}

// chargeFromSchema converts a charge.
func chargeFromSchema(row *schema.Charge) (fleet.Charge, error) {
	amount, err := fleet.ParseUSD(string(row.Amount))
	if err != nil {
		return fleet.Charge{}, fmt.Errorf("reading a charge: %w", err)
	}
	charge := fleet.Charge{
		Kind: string(row.Type), Label: string(row.Metadata.Label), AmountUSD: amount,
		StartedAt: epoch(row.Start), EndedAt: epoch(row.End),
	}
	if number, isInstance := strings.CutPrefix(string(row.Source), "instance-"); isInstance {
		charge.RentalID, _ = positiveID(schema.Number(number))
	}
	return charge, nil
}

// priceIncreaseFromSchema converts a proposal.
func priceIncreaseFromSchema(row *schema.PriceIncrease) (fleet.PriceIncrease, error) {
	id, hasID := positiveID(row.PendingPriceIncreaseID)
	rental, hasRental := positiveID(row.ContractID)
	if !hasID || !hasRental {
		return fleet.PriceIncrease{}, errNoID
	}
	return fleet.PriceIncrease{
		ID: id, RentalID: rental, HostID: scaled(row.HostID, wholeDecimals),
		OldGPUUSDPerHour: hourly(row.OldGPUCostPerSec), NewGPUUSDPerHour: hourly(row.NewGPUCostPerSec),
		ContractEndsAt: epoch(row.ContractEndDate), OfferEndsAt: epoch(row.AskEndDate),
	}, nil
}

// sshKeyFromSchema converts a public key.
func sshKeyFromSchema(row *schema.SSHKey) (fleet.SSHKey, error) {
	id, hasID := positiveID(row.ID)
	if !hasID {
		return fleet.SSHKey{}, errNoID
	}
	key := row.PublicKey
	if key == "" {
		key = row.Key
	}
	return fleet.SSHKey{ID: id, PublicKey: strings.TrimSpace(string(key))}, nil
}

// positiveID reads a number that names something.
func positiveID(number schema.Number) (int64, bool) {
	id, ok := number.Int64()
	return id, ok && id > 0
}

// scaled reads a measure as value × 10^decimals, cut off: a machine is never
// taken for better than it is. An unreadable measure is 0.
func scaled(number schema.Number, decimals int) int64 {
	value, ok := number.Scaled(decimals)
	if !ok {
		return 0
	}
	return value
}

// priceOf reads a price, rounding up. It fails for a negative one.
func priceOf(number schema.Number) (fleet.USDMicros, error) {
	price, err := fleet.ParseUSD(string(number))
	//warmpool:gate price-not-negative
	if err == nil && price < 0 {
		return 0, fmt.Errorf("%w: it is negative", fleet.ErrMalformedUSD)
	}
	return price, err
}

// dollars reads an amount that is informative only; 0 when it is unreadable.
func dollars(number schema.Number) fleet.USDMicros {
	amount, err := priceOf(number)
	if err != nil {
		return 0
	}
	return amount
}

// perTerabyte turns dollars per GB into dollars per TB before the one rounding.
func perTerabyte(number schema.Number) fleet.USDMicros {
	if !number.IsSet() {
		return 0
	}
	return dollars(number.Shift(milliDecimals))
}

// hourly turns dollars per second into dollars per hour, rounding up. The rate
// is read in millionths of a micro-dollar, so that the factor of 3600 does not
// multiply a visible rounding. An unreadable or absurd rate is 0.
func hourly(number schema.Number) fleet.USDMicros {
	const (
		secondsPerHour = 3600
		picosPerMicro  = 1_000_000
	)
	picos := dollars(number.Shift(microDecimals)).Times(secondsPerHour)
	if picos == math.MaxInt64 {
		return 0
	}
	return (picos + picosPerMicro - 1) / picosPerMicro
}

// epoch reads seconds since 1970; the zero time for none.
func epoch(number schema.Number) time.Time {
	micros, ok := number.Scaled(microDecimals)
	if !ok || micros <= 0 {
		return time.Time{}
	}
	return time.UnixMicro(micros).UTC()
}

// countryCode is the two-letter code at the end of "City, CC", empty when
// there is none.
func countryCode(geolocation string) string {
	at := strings.LastIndexByte(geolocation, ',')
	code := strings.ToUpper(strings.TrimSpace(geolocation[at+1:]))
	if len(code) != len("SE") || strings.Trim(code, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
		return ""
	}
	return code
}

// firstField trims an address, which may come with white space or a newline.
func firstField(text string) string {
	fields := strings.Fields(text)
	if len(fields) == 0 {
		return ""
	}
	return fields[0]
}
