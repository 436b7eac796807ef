package planner

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/warmpool-dev/warmpool/internal/fleet"
)

const (
	// abandonSweeps and abandonSpan are how much absence makes a lost attempt
	// count as never having made a rental.
	abandonSweeps = 3
	abandonSpan   = 120 * time.Second
)

// ResolveAction is what to do with an attempt whose outcome is unknown.
type ResolveAction string

// The actions.
const (
	// ResolveAdopt: record Resolution.RentalID as the instance's rental, outcome Succeeded.
	ResolveAdopt ResolveAction = "Adopt"
	// ResolveAbandon: record the outcome Abandoned.
	ResolveAbandon ResolveAction = "Abandon"
	// ResolveWait: nothing can be said yet; the price stays reserved.
	ResolveWait ResolveAction = "Wait"
)

// Resolution is the verdict on one attempt.
type Resolution struct {
	// UID and AttemptNumber name the attempt.
	UID           string
	AttemptNumber int32
	// Action is what to do.
	Action ResolveAction
	// RentalID is the rental to adopt, or the one that was found instead; 0 for none.
	RentalID int64
	// Rental is the row of RentalID; nil for none.
	Rental *fleet.Rental
	// Reason and Message say why.
	Reason, Message string
	// Evidence is the absence so far.
	Evidence Absence
}

// ExtraRental is a rental that has to end although no deleted object asks for
// it: a second one of an instance, a late one, a leak.
type ExtraRental struct {
	// RentalID names it.
	RentalID int64
	// UID and AttemptNumber are what its label says; UID is empty when nothing is known.
	UID           string
	AttemptNumber int32
	// USDPerHour is its price.
	USDPerHour fleet.USDMicros
	// StartedAt is its creation; zero when unknown.
	StartedAt time.Time
	// Reason says why it has to end.
	Reason string
}

// ResolveInput is what ResolveAttempts looks at.
type ResolveInput struct {
	// Instances are all WarmInstances of the account, read after the sweep.
	Instances []Instance
	// Installation is our installation id; other labels are not ours.
	Installation string
	// Elsewhere is what the WarmInstances of other accounts hold.
	Elsewhere Elsewhere
	// Sweep is the latest one.
	Sweep Sweep
	// Memory is the result of the last call; nil after a start.
	Memory map[AttemptKey]Absence
	// AttemptDeadline is the longest time after its start in which an attempt
	// can still make a rental: the client's timeout and the server's slack.
	AttemptDeadline time.Duration
}

// ResolvePlan is ResolveAttempts' result.
type ResolvePlan struct {
	// Resolutions hold one verdict per unresolved attempt, ordered by UID and number.
	Resolutions []Resolution
	// Extras are rentals to end, ordered by id.
	Extras []ExtraRental
	// Copied are rentals that carry a label of ours but are not ours to touch:
	// on another machine than the attempt's, or recorded under another name. Ordered by id.
	Copied []int64
	// Memory is for the next call.
	Memory map[AttemptKey]Absence
}

// ResolveAttempts finds out by label what became of attempts whose outcome is
// unknown (I2). It never looks at an attempt whose call is in flight in this
// process, and an untrusted sweep leaves everything as it is (I5).
//
//   - A rental with the attempt's label on the attempt's machine is adopted;
//     when there are more, the lowest id is, and the others have to end.
//   - Without any, the attempt is abandoned after three trusted sweeps that all
//     started after the attempt could last succeed and that span 120 s.
//   - A rental with the label on another machine, one that began at another
//     time, or one that an instance records already, is never adopted (the label was copied or swapped);
//     while it carries the label, the attempt is not abandoned either, for
//     nobody knows what it is.
//   - A rental without a label that began on the attempt's machine at the right
//     time may be the attempt's, relabelled by somebody: the attempt waits until
//     a person has said which (I4).
//   - A rental of an attempt that was settled before, and that is not recorded,
//     has to end.
func ResolveAttempts(in *ResolveInput) ResolvePlan {
	plan := ResolvePlan{Memory: map[AttemptKey]Absence{}}
	r := resolver{
		in: in, plan: &plan, owners: recordedBy(in.Instances),
		rows: attemptRows(&in.Sweep.Listing, in.Installation),
	}
	for id := range in.Elsewhere.Rentals {
		if _, here := r.owners[id]; !here {
			r.owners[id] = "" // nobody of this account
		}
	}
	for k := range in.Instances {
		r.resolveInstance(&in.Instances[k])
	}
	slices.SortFunc(plan.Resolutions, func(a, b Resolution) int {
		return cmp.Or(cmp.Compare(a.UID, b.UID), cmp.Compare(a.AttemptNumber, b.AttemptNumber))
	})
	slices.SortFunc(plan.Extras, func(a, b ExtraRental) int { return cmp.Compare(a.RentalID, b.RentalID) })
	slices.Sort(plan.Copied)
	return plan
}

// resolver carries what the steps of ResolveAttempts share.
type resolver struct {
	in     *ResolveInput
	plan   *ResolvePlan
	owners map[int64]string
	rows   map[AttemptKey][]*fleet.Rental
}

// resolveInstance settles the attempts of one instance, oldest first.
func (r *resolver) resolveInstance(instance *Instance) {
	taken := instance.HasRental()
	for k := range instance.Attempts {
		attempt := &instance.Attempts[k]
		//warmpool:gate resolve-not-in-flight
		if attempt.isOpen() && instance.InFlight {
			continue
		}
		key := AttemptKey{UID: instance.UID, Number: attempt.Number}
		seen := r.match(r.rows[key], instance, attempt)
		if r.in.Sweep.Trusted {
			r.plan.Copied = append(r.plan.Copied, seen.others...)
		}
		if !attempt.isOpen() {
			r.extras(key, seen.ours, settledReason(attempt))
			continue
		}
		seen.taken, seen.relabelled = taken, r.relabelled(instance, attempt)
		resolution := r.resolveOpen(key, attempt, &seen)
		taken = taken || resolution.Action == ResolveAdopt
		r.plan.Resolutions = append(r.plan.Resolutions, resolution)
	}
}

// attemptMatches is what a sweep shows for one attempt.
type attemptMatches struct {
	// recorded is the row that the instance records as this attempt's; nil for none.
	recorded *fleet.Rental
	// ours are further rows that the attempt may have made, ascending by id.
	ours []*fleet.Rental
	// others are rows with its label that it did not make.
	others []int64
	// relabelled is a row without a label that the attempt may have made; nil for none.
	relabelled *fleet.Rental
	// taken is true when the instance has a rental already.
	taken bool
}

// match sorts the rows with an attempt's label.
func (r *resolver) match(rows []*fleet.Rental, instance *Instance, attempt *Attempt) attemptMatches {
	var seen attemptMatches
	for _, row := range rows {
		owner, recorded := r.owners[row.ID]
		switch {
		case row.ID == attempt.RentalID, instance.HasRental() && row.ID == instance.Rental.ID:
			seen.recorded = row
		case recorded && owner == instance.UID:
			// Remembered by another attempt, which answers for it.
		//warmpool:gate resolve-recorded-elsewhere
		case recorded:
			seen.others = append(seen.others, row.ID)
		//warmpool:gate resolve-copied-label
		case !attempt.couldHaveMade(row):
			seen.others = append(seen.others, row.ID)
		default:
			seen.ours = append(seen.ours, row)
		}
	}
	return seen
}

// isAny is true when a sweep shows the rental, its label, or what may have lost it.
func (m *attemptMatches) isAny() bool {
	return m.recorded != nil || len(m.ours) > 0 || len(m.others) > 0 || m.relabelled != nil
}

// resolveOpen decides on one attempt whose outcome is unknown.
func (r *resolver) resolveOpen(key AttemptKey, attempt *Attempt, seen *attemptMatches) Resolution {
	evidence := r.in.Memory[key]
	resolution := Resolution{UID: key.UID, AttemptNumber: key.Number, Action: ResolveWait}
	switch {
	//warmpool:gate resolve-seen-is-not-absent
	case seen.isAny():
		// Whatever carries the label, or has lost it, the attempt is not absent. Even an
		// untrusted sweep that shows it takes that evidence away.
		evidence = Absence{}
	default:
		//warmpool:gate abandon-after-the-deadline
		evidence = evidence.observe(&r.in.Sweep, attempt.StartedAt.Add(r.in.AttemptDeadline+statusGrain))
	}
	r.plan.Memory[key], resolution.Evidence = evidence, evidence
	switch {
	//warmpool:gate resolve-needs-trust
	case !r.in.Sweep.Trusted:
		resolution.Reason = ReasonAwaitingSweeps
		resolution.Message = "The instance list is not trusted, so it settles nothing. The price stays reserved."
	case seen.recorded != nil || len(seen.ours) > 0:
		r.adopt(&resolution, seen)
	case len(seen.others) > 0:
		resolution.Reason, resolution.RentalID = ReasonLabelCopied, seen.others[0]
		resolution.Message = fmt.Sprintf("Rental %d carries the label of this attempt, but is not the one that was asked for. If it is not ours, change its label; until then the price stays reserved.", seen.others[0])
	case seen.relabelled != nil:
		resolution.Reason, resolution.RentalID = ReasonLabelLost, seen.relabelled.ID
		resolution.Message = mayBeRelabelled(seen.relabelled, key, fleet.Label{Installation: r.in.Installation, InstanceUID: key.UID, Attempt: key.Number}.String())
	//warmpool:gate abandon-three-lists
	//warmpool:gate abandon-two-minutes
	case evidence.Sweeps >= abandonSweeps && evidence.Span() >= abandonSpan:
		resolution.Action, resolution.Reason = ResolveAbandon, ReasonAbsent
		resolution.Message = fmt.Sprintf("%d trusted lists over %s show no rental of attempt %d, so it made none.", evidence.Sweeps, wholeSeconds(evidence.Span()), key.Number)
	default:
		resolution.Reason = ReasonAwaitingSweeps
		resolution.Message = fmt.Sprintf("It is not known whether attempt %d made a rental: %d of %d trusted lists, over %s of %s, show none. The price stays reserved.",
			key.Number, evidence.Sweeps, abandonSweeps, wholeSeconds(evidence.Span()), abandonSpan)
	}
	return resolution
}

// adopt keeps the recorded rental, else the lowest id, and ends the rest. An
// instance that has a rental of another attempt keeps that one (I2), and the
// attempt waits until the extra is gone.
func (r *resolver) adopt(resolution *Resolution, seen *attemptMatches) {
	key := AttemptKey{UID: resolution.UID, Number: resolution.AttemptNumber}
	keep, rest := seen.recorded, seen.ours
	//warmpool:gate adopt-one-rental
	if keep == nil && seen.taken {
		resolution.Reason, resolution.RentalID, resolution.Rental = ReasonExtraRental, rest[0].ID, rest[0]
		resolution.Message = fmt.Sprintf("Rental %d of attempt %d was found beside the rental that the instance has. It is ended.", rest[0].ID, key.Number)
		r.extras(key, rest, ReasonExtraRental)
		return
	}
	if keep == nil {
		keep, rest = rest[0], rest[1:]
	}
	resolution.RentalID, resolution.Rental = keep.ID, keep
	resolution.Action, resolution.Reason = ResolveAdopt, ReasonLabelMatched
	resolution.Message = fmt.Sprintf("Rental %d carries the label of attempt %d and runs on its machine %d.", keep.ID, key.Number, keep.MachineID)
	r.extras(key, rest, ReasonExtraRental)
}

// extras plans the end of rentals that a trusted sweep shows.
func (r *resolver) extras(key AttemptKey, rows []*fleet.Rental, reason string) {
	//warmpool:gate extras-need-trust
	if !r.in.Sweep.Trusted {
		return
	}
	for _, row := range rows {
		r.plan.Extras = append(r.plan.Extras, ExtraRental{
			RentalID: row.ID, UID: key.UID, AttemptNumber: key.Number,
			USDPerHour: row.PriceUSDPerHour, StartedAt: row.StartedAt, Reason: reason,
		})
	}
}

// settledReason is why a rental of a settled attempt has to end.
func settledReason(attempt *Attempt) string {
	if attempt.Outcome == OutcomeSucceeded {
		return ReasonExtraRental
	}
	return ReasonLateRental
}

// rentalsByID returns the rows of a listing ascending by id.
func rentalsByID(listing *fleet.Listing) []*fleet.Rental {
	rows := make([]*fleet.Rental, 0, len(listing.Rentals))
	for k := range listing.Rentals {
		rows = append(rows, &listing.Rentals[k])
	}
	slices.SortFunc(rows, func(a, b *fleet.Rental) int { return cmp.Compare(a.ID, b.ID) })
	return rows
}
