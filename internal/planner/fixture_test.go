package planner

import (
	"time"

	"github.com/warmpool-dev/warmpool/internal/fleet"
)

// usd is a cent in micro-dollars times n: usd(41) is $0.41.
func usd(cents int64) fleet.USDMicros { return fleet.USDMicros(cents * 10_000) }

// moment is a whole number of seconds after an arbitrary start of the test.
func moment(seconds int) time.Time {
	return time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC).Add(time.Duration(seconds) * time.Second)
}

const (
	testInstallation = "inst0001"
	testPool         = "default/sdxl"
)

// labelOf is the label of an attempt of this installation.
func labelOf(uid string, attempt int32) string {
	return fleet.Label{Installation: testInstallation, InstanceUID: uid, Attempt: attempt}.String()
}

// blank is a pending instance of the test pool.
func blank(uid string, createdAt int) Instance {
	return Instance{UID: uid, Namespace: "default", Name: uid, Pool: testPool, CreatedAt: moment(createdAt)}
}

// attempted is an instance with one attempt on machine 7 at the given price.
func attempted(uid string, outcome AttemptOutcome, price fleet.USDMicros) Instance {
	instance := blank(uid, 0)
	instance.Attempts = []Attempt{{
		Number: 1, OfferID: 70, MachineID: 7, QuotedUSDPerHour: price, StartedAt: moment(0), Outcome: outcome,
	}}
	return instance
}

// rented is an instance with a recorded rental on machine 7, quote and observed
// price equal.
func rented(uid string, rentalID int64, price fleet.USDMicros) Instance {
	instance := attempted(uid, OutcomeSucceeded, price)
	instance.Attempts[0].RentalID = rentalID
	instance.Attempts[0].FinishedAt = moment(1)
	instance.Rental = &InstanceRental{
		ID: rentalID, MachineID: 7, ObservedUSDPerHour: price, PriceKnown: true, RecordedAt: moment(1),
		ActualStatus: fleet.StatusRunning,
	}
	return instance
}

// deleting marks an instance as deleted at the given second.
func deleting(instance Instance, since int) Instance {
	instance.Deleting, instance.DeletingSince = true, moment(since)
	return instance
}

// row is a rental of a listing on machine 7.
func row(id int64, label string, price fleet.USDMicros) fleet.Rental {
	return fleet.Rental{ID: id, MachineID: 7, Label: label, PriceUSDPerHour: price, ActualStatus: fleet.StatusRunning}
}

// sweepAt is a trusted sweep that began at the given second and took one more.
func sweepAt(seconds int, rows ...fleet.Rental) Sweep {
	return Sweep{Trusted: true, Listing: fleet.Listing{
		Rentals: rows, FirstTotal: len(rows), LastTotal: len(rows), Pages: 1,
		StartedAt: moment(seconds), FinishedAt: moment(seconds + 1),
	}}
}

// untrustedAt is the same without trust.
func untrustedAt(seconds int, rows ...fleet.Rental) Sweep {
	sweep := sweepAt(seconds, rows...)
	sweep.Trusted = false
	return sweep
}

// offerAt is an offer that passes every filter, on a machine of its own.
func offerAt(id int64, price fleet.USDMicros) fleet.Offer {
	return fleet.Offer{
		ID: id, MachineID: 1000 + id, HostID: 5, GPUName: "RTX 4090", GPUs: 1, GPUMemoryMB: 24564,
		CPUCoresMilli: 16000, MemoryMB: 64000, DiskGB: 200, DownloadMbps: 900, UploadMbps: 500, DirectPorts: 10,
		CUDAVersionCenti: 1280, ComputeCapabilityCenti: 890, ReliabilityPPM: 990_000, Verification: "verified",
		Datacenter: true, CountryCode: "NO", PriceUSDPerHour: price, PerformanceMilli: 100_000, ScoreMilli: 500_000,
		RemainingSeconds: 30 * 86400, Rentable: true,
	}
}

// activePool is the test pool: three wanted, one at least, $1.50.
func activePool() AdmissionPool {
	return AdmissionPool{
		Key: testPool, Mode: ModeActive, Replicas: 3, MinReadyReplicas: 1, CeilingUSDPerHour: usd(150),
		Query: fleet.OfferQuery{DiskGB: 64}, Ranking: RankingPrice,
	}
}

// goodAccount may spend at moment(100).
func goodAccount() AccountState {
	return AccountState{
		Mode: AccountActive, LeaseFresh: true, CredentialsVerified: true, IdentityStable: true, SeenTrustedSweep: true,
		LastSweep: SweepVerdict{Trusted: true, Reason: ReasonTrusted}, LastTrustedSweepAt: moment(90), MaxSweepAge: 30 * time.Second,
		BalanceKnown: true, BalanceUSD: usd(10_000), MinBalanceUSD: usd(500), RunwaySeconds: 7200, CeilingUSDPerHour: usd(1000),
	}
}

// uids lists the names of candidates, for comparisons.
func uids(candidates []Candidate) []string {
	names := []string{}
	for k := range candidates {
		names = append(names, candidates[k].Instance.UID)
	}
	return names
}
