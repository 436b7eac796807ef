package planner

import (
	"time"

	"github.com/warmpool-dev/warmpool/internal/fleet"
)

// MaxAttempts bounds the rent attempts of one WarmInstance; the status keeps
// every one of them, so the list must end somewhere.
const MaxAttempts = 10

// AttemptOutcome is what is known about one rent call.
type AttemptOutcome string

// The outcomes of an attempt.
const (
	// OutcomePending: journaled; the call was not answered yet, or the process died before it could record the answer.
	OutcomePending AttemptOutcome = "Pending"
	// OutcomeSucceeded: the rental exists and is recorded.
	OutcomeSucceeded AttemptOutcome = "Succeeded"
	// OutcomeRejected: the provider definitely refused.
	OutcomeRejected AttemptOutcome = "Rejected"
	// OutcomeUnknown: the call may have made a rental (I2).
	OutcomeUnknown AttemptOutcome = "Unknown"
	// OutcomeAbandoned: trusted sweeps showed no rental for long enough.
	OutcomeAbandoned AttemptOutcome = "Abandoned"
)

// Attempt is one journaled rent call.
type Attempt struct {
	// Number counts from 1 and is part of the label.
	Number int32
	// OfferID and MachineID say what was asked for.
	OfferID, MachineID int64
	// QuotedUSDPerHour is the price that the offer showed for our disk.
	QuotedUSDPerHour fleet.USDMicros
	// StartedAt is when the attempt was journaled, before the call. It may be
	// cut to whole seconds.
	StartedAt time.Time
	// FinishedAt is when the outcome was recorded; zero while it is not.
	FinishedAt time.Time
	// Outcome is what is known.
	Outcome AttemptOutcome
	// RentalID is the rental that this attempt made, 0 when none is known. It
	// may be set on a Rejected or Abandoned attempt: an error body that carried
	// a contract, or a rental that came late.
	RentalID int64
	// RentalGone is true when RentalID is confirmed gone. It matters only when
	// RentalID is not the instance's own Rental.
	RentalGone bool
}

// isOpen is true while nobody knows whether the call made a rental.
func (a *Attempt) isOpen() bool {
	return a.Outcome == OutcomePending || a.Outcome == OutcomeUnknown
}

// InstanceRental is the rental that a WarmInstance records as its own.
type InstanceRental struct {
	// ID is the contract number.
	ID int64
	// MachineID says where it runs.
	MachineID int64
	// ObservedUSDPerHour is the price read back from the provider, 0 when it
	// was not read yet.
	ObservedUSDPerHour fleet.USDMicros
	// PriceKnown is true once the price was observed while the rental ran;
	// until then the larger of quote and observed price counts.
	PriceKnown bool
	// RecordedAt is when the id was written to the status. Sweeps that started
	// before say nothing about the rental's absence.
	RecordedAt time.Time
	// ActualStatus is the last reported container status.
	ActualStatus fleet.ActualStatus
	// StartedAt and EndsAt bound the contract; zero when unknown.
	StartedAt, EndsAt time.Time
	// Label is what it was labelled with; LabelRestoredAt is when a label that
	// somebody had changed was put back, zero for never.
	Label           string
	LabelRestoredAt time.Time
}

// Instance is one WarmInstance as the planner sees it. UID names it in every
// plan; memory is keyed by it.
type Instance struct {
	// UID, Namespace and Name identify the object.
	UID, Namespace, Name string
	// Pool is "namespace/name" of the pool it belongs to.
	Pool string
	// CreatedAt is the object's creation.
	CreatedAt time.Time
	// Deleting is true once the object has a deletion timestamp.
	Deleting bool
	// DeletingSince is that timestamp; zero when not deleting.
	DeletingSince time.Time
	// EndingSince is when its end was first asked for, or first seen to be wanted,
	// by our own clock; zero when not known.
	EndingSince time.Time
	// Claimed is true while a claim holds the instance.
	Claimed bool
	// Attempts holds every rent attempt, oldest first.
	Attempts []Attempt
	// Rental is the instance's own rental; nil before it has one.
	Rental *InstanceRental
	// InFlight is true while this process is in the middle of a rent call for
	// the instance. Its attempt is nobody else's business until then.
	InFlight bool
	// Started is true once ComfyUI was seen serving for the first time.
	Started bool
	// Ready is true while the instance passes its probes; ReadyAt is since when.
	Ready   bool
	ReadyAt time.Time
	// Failed is true when the instance was given up; it is about to be deleted.
	Failed bool
	// Failure says why when Failed.
	Failure fleet.Failure
	// TemplateHash is the hash of the template it was made from.
	TemplateHash string
	// AdoptRentalID is the rental that a person made this instance for, 0 for
	// one that is to be rented.
	AdoptRentalID int64
	// AbandonRentalID is the id that a person named to let go of, 0 when none.
	AbandonRentalID int64
}

// HasRental is true when the instance records a rental of its own.
func (i *Instance) HasRental() bool { return i.Rental != nil && i.Rental.ID != 0 }

// WasAttempted is true when at least one rent attempt was journaled.
func (i *Instance) WasAttempted() bool { return len(i.Attempts) > 0 }

// IsUnresolved is true while it is not known whether some attempt made a
// rental, and no call of this process is still going to tell: a Pending
// attempt from before a restart, or an Unknown one. There is no next attempt
// (I2) and no release (I6) until sweeps have resolved it.
func (i *Instance) IsUnresolved() bool { return !i.InFlight && i.hasOpenAttempt() }

// IsBilling is true when the instance may cost money: it records a rental that
// is not confirmed gone, a call is in flight, or an outcome is unknown.
func (i *Instance) IsBilling() bool {
	return i.InFlight || i.hasOpenAttempt() || len(i.RecordedRentals()) > 0
}

// IsPending is true when the instance waits to be rented: nothing of it costs
// anything, and it is neither deleting nor given up.
func (i *Instance) IsPending() bool { return !i.Deleting && !i.Failed && !i.IsBilling() }

// NextAttemptNumber is the number of the attempt that would follow. Numbers
// never repeat, so that a late rental of an older attempt keeps a label of its own.
func (i *Instance) NextAttemptNumber() int32 {
	var highest int32
	for k := range i.Attempts {
		//warmpool:gate attempt-number-is-new
		highest = max(highest, i.Attempts[k].Number)
	}
	return highest + 1
}

// RecordedRental is one rental that a WarmInstance records and that is not
// confirmed gone.
type RecordedRental struct {
	// ID is the contract number.
	ID int64
	// USDPerHour is what it counts in committed cost.
	USDPerHour fleet.USDMicros
	// RecordedAt is the earliest time from which a sweep can show it missing.
	RecordedAt time.Time
	// Own is true for the instance's Rental, false for one that only an
	// attempt remembers and that has to end.
	Own bool
	// Attempt is the number of the attempt that made it, 0 when unknown.
	Attempt int32
	// Listed is true once a trusted sweep has shown it.
	Listed bool
}

// RecordedRentals returns every rental that the instance records and that is
// not confirmed gone: its own first, then those that attempts remember.
func (i *Instance) RecordedRentals() []RecordedRental {
	var recorded []RecordedRental
	if i.HasRental() {
		recorded = append(recorded, RecordedRental{
			ID: i.Rental.ID, USDPerHour: i.ownRentalCost(), RecordedAt: i.Rental.RecordedAt,
			Own: true, Attempt: i.attemptOf(i.Rental.ID), Listed: i.Rental.ObservedUSDPerHour > 0,
		})
	}
	for k := range i.Attempts {
		attempt := &i.Attempts[k]
		if attempt.RentalID == 0 || attempt.RentalGone || (i.HasRental() && attempt.RentalID == i.Rental.ID) {
			continue
		}
		recorded = append(recorded, RecordedRental{
			ID: attempt.RentalID, USDPerHour: max(attempt.QuotedUSDPerHour, 0),
			RecordedAt: attempt.FinishedAt, Attempt: attempt.Number,
			// A refusal named it, or else a sweep has found it.
			Listed: attempt.Outcome != OutcomeRejected,
		})
	}
	return recorded
}

// hasOpenAttempt is true while some attempt is Pending or Unknown.
func (i *Instance) hasOpenAttempt() bool {
	for k := range i.Attempts {
		if i.Attempts[k].isOpen() {
			return true
		}
	}
	return false
}

// attemptOf returns the number of the attempt that made the rental, 0 when no
// attempt remembers it.
func (i *Instance) attemptOf(rentalID int64) int32 {
	for k := range i.Attempts {
		if i.Attempts[k].RentalID == rentalID {
			return i.Attempts[k].Number
		}
	}
	return 0
}

// Deferral says why something is not done now.
type Deferral struct {
	// Reason is a CamelCase constant (Reason…).
	Reason string
	// Message is a sentence for people: what, why, what to do.
	Message string
	// Until is when time alone may change it; zero when something else has to happen.
	Until time.Time
}

// Sweep is one reading of the account together with the judgement on it.
type Sweep struct {
	// Listing is what was read.
	Listing fleet.Listing
	// Trusted is JudgeSweep's verdict. An untrusted sweep is never evidence (I5).
	Trusted bool
}

// rowsByID indexes the rows of a listing.
func (s *Sweep) rowsByID() map[int64]*fleet.Rental {
	rows := make(map[int64]*fleet.Rental, len(s.Listing.Rentals))
	for k := range s.Listing.Rentals {
		rows[s.Listing.Rentals[k].ID] = &s.Listing.Rentals[k]
	}
	return rows
}
