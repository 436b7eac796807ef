package controllers

import (
	"strconv"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/fleet"
	"github.com/warmpool-dev/warmpool/internal/planner"
)

// poolKey is how the planner names a pool.
func poolKey(namespace, name string) string { return namespace + "/" + name }

// usdOf reads an amount that the API server has validated. Text that cannot be
// read counts as nothing for a ceiling, so that it allows nothing.
func usdOf(text string) fleet.USDMicros {
	if text == "" {
		return 0
	}
	amount, err := fleet.ParseUSD(text)
	if err != nil {
		return 0
	}
	return amount
}

// timeOf unwraps an optional time.
func timeOf(at *metav1.Time) time.Time {
	if at == nil {
		return time.Time{}
	}
	return at.Time
}

// signedUSD prints an amount for a status.
func signedUSD(amount fleet.USDMicros) warmpool.SignedUSD { return warmpool.SignedUSD(amount.String()) }

// plannerInstances converts WarmInstances; inFlight tells which of them this
// process is renting for at this moment.
func plannerInstances(instances []warmpool.WarmInstance, inFlight func(uid string) bool) []planner.Instance {
	converted := make([]planner.Instance, 0, len(instances))
	for k := range instances {
		instance := plannerInstance(&instances[k])
		instance.InFlight = inFlight(instance.UID)
		converted = append(converted, instance)
	}
	return converted
}

// notInFlight is for callers that decide nothing about rents.
func notInFlight(string) bool { return false }

func plannerInstance(instance *warmpool.WarmInstance) planner.Instance {
	converted := planner.Instance{
		UID: string(instance.UID), Namespace: instance.Namespace, Name: instance.Name,
		Pool:      poolKey(instance.Namespace, instance.Spec.PoolRef.Name),
		CreatedAt: instance.CreationTimestamp.Time,
		Deleting:  !instance.DeletionTimestamp.IsZero(), DeletingSince: timeOf(instance.DeletionTimestamp),
		Claimed:         instance.Spec.ClaimRef != nil,
		Attempts:        plannerAttempts(forgetRejected(instance.Status.Attempts)),
		Rental:          plannerRental(&instance.Status),
		Started:         instance.Status.ReadyTime != nil,
		AbandonRentalID: abandonedRental(instance),
	}
	if instance.Spec.Adopt != nil {
		converted.AdoptRentalID = instance.Spec.Adopt.RentalID
	}
	if ready := meta.FindStatusCondition(instance.Status.Conditions, warmpool.ConditionReady); ready != nil && ready.Status == metav1.ConditionTrue {
		converted.Ready, converted.ReadyAt = true, ready.LastTransitionTime.Time
	}
	if failure := instance.Status.Failure; failure != nil {
		converted.Failed = true
		converted.Failure = fleet.Failure{Reason: failure.Reason, Message: failure.Message, HostFault: failure.HostFault, At: failure.Time.Time}
		if instance.Status.Rental != nil {
			converted.Failure.MachineID = instance.Status.Rental.MachineID
		}
	}
	return converted
}

func plannerAttempts(attempts []warmpool.RentAttempt) []planner.Attempt {
	converted := make([]planner.Attempt, 0, len(attempts))
	for k := range attempts {
		attempt := &attempts[k]
		converted = append(converted, planner.Attempt{
			Number: attempt.Number, OfferID: attempt.OfferID, MachineID: attempt.MachineID,
			QuotedUSDPerHour: usdOf(string(attempt.QuotedUSDPerHour)),
			StartedAt:        attempt.StartedTime.Time, FinishedAt: timeOf(attempt.FinishedTime),
			Outcome:  planner.AttemptOutcome(attempt.Outcome),
			RentalID: attempt.RentalID, RentalGone: attempt.RentalGone,
		})
	}
	return converted
}

func plannerRental(status *warmpool.WarmInstanceStatus) *planner.InstanceRental {
	if status.Rental == nil {
		return nil
	}
	return &planner.InstanceRental{
		ID: status.Rental.ID, MachineID: status.Rental.MachineID,
		ObservedUSDPerHour: usdOf(string(status.Price.CurrentUSDPerHour)),
		PriceKnown:         status.Price.ObservedTime != nil,
		RecordedAt:         timeOf(status.Rental.RecordedTime),
		ActualStatus:       fleet.ActualStatus(status.Provider.ActualStatus),
		Label:              status.Rental.Label, LabelRestoredAt: timeOf(status.Rental.LabelRestoredTime),
		StartedAt: timeOf(status.Rental.StartTime), EndsAt: timeOf(status.Rental.EndTime),
	}
}

// abandonedRental reads the number in the abandon annotation; 0 when there is
// none or when it is no number.
func abandonedRental(instance *warmpool.WarmInstance) int64 {
	id, err := strconv.ParseInt(instance.Annotations[warmpool.AnnotationAbandonRental], 10, 64)
	if err != nil {
		return 0
	}
	return id
}

// offerQuery turns the requirements of a pool into a search.
func offerQuery(offers *warmpool.OfferRequirements, diskGB int32) fleet.OfferQuery {
	query := fleet.OfferQuery{
		GPUNames: offers.GPUNames,
		MinGPUs:  int(max(offers.MinGPUs, 1)), MaxGPUs: int(max(offers.MaxGPUs, 1)),
		MinGPUMemoryMB: int64Of(offers.MinGPUMemoryMB), DiskGB: int64(diskGB),
		MinCPUCores: int64(offers.MinCPUCores), MinMemoryMB: int64(offers.MinMemoryMB),
		MinDownloadMbps: int64Of(offers.MinDownloadMbps), MinUploadMbps: int64Of(offers.MinUploadMbps),
		MinDirectPorts:            int64(offers.MinDirectPorts),
		MinCUDAVersionCenti:       centiVersion(offers.MinCUDAVersion),
		MinComputeCapabilityCenti: centiVersion(offers.MinComputeCapability),
		MinReliabilityPPM:         int64Of(offers.MinReliabilityPercent) * ppmPerPercent,
		VerifiedOnly:              offers.Verification != warmpool.VerificationAny,
		DatacenterOnly:            offers.DatacenterOnly == warmpool.DatacenterRequired,
		MinRemainingSeconds:       int64Of(offers.MinRemainingSeconds),
		IncludeCountries:          offers.Geolocations.Include, ExcludeCountries: offers.Geolocations.Exclude,
		MaxDownloadUSDPerTB: usdOf(string(offers.MaxBandwidthUSDPerTB.Download)),
		MaxUploadUSDPerTB:   usdOf(string(offers.MaxBandwidthUSDPerTB.Upload)),
		Order:               searchOrder(offers.Ranking),
	}
	for _, extra := range offers.Extra {
		query.Extra = append(query.Extra, fleet.ExtraFilter{Key: extra.Key, Operator: extraOperators()[extra.Operator], Values: extra.Values})
	}
	return query
}

// ppmPerPercent converts percent to millionths.
const ppmPerPercent = 10_000

// extraOperators maps the API's operators to Vast.ai's.
func extraOperators() map[warmpool.FilterOperator]string {
	return map[warmpool.FilterOperator]string{
		warmpool.OperatorEq: "eq", warmpool.OperatorNeq: "neq", warmpool.OperatorGt: "gt", warmpool.OperatorGte: "gte",
		warmpool.OperatorLt: "lt", warmpool.OperatorLte: "lte", warmpool.OperatorIn: "in", warmpool.OperatorNotIn: "notin",
	}
}

// searchOrder chooses which 64 offers an answer holds.
func searchOrder(ranking warmpool.Ranking) fleet.OfferOrder {
	switch ranking {
	case warmpool.RankingPricePerformance:
		return fleet.OrderPerformancePerPrice
	case warmpool.RankingScore:
		return fleet.OrderScore
	case warmpool.RankingPrice, warmpool.RankingPriceReliability:
		return fleet.OrderPrice
	default:
		return fleet.OrderPrice
	}
}

func int64Of(value *int32) int64 {
	if value == nil {
		return 0
	}
	return int64(*value)
}

// centiVersion reads "12.8" as 1280 and "8.9" as 890; the API server has
// checked the form. The empty text is 0.
func centiVersion(version string) int64 {
	amount := usdOf(version)
	const microsPerCenti = 10_000
	return int64(amount) / microsPerCenti
}
