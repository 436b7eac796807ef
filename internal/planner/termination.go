package planner

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/warmpool-dev/warmpool/internal/fleet"
)

const (
	// goneSweeps and goneSpan are how much absence a point lookup has to confirm.
	goneSweeps = 2
	goneSpan   = 30 * time.Second
	// firstDestroyRetry doubles with every request up to maxDestroyRetry.
	firstDestroyRetry = 15 * time.Second
	maxDestroyRetry   = 5 * time.Minute
	// stuckAfter is when an end that is not confirmed becomes an alert.
	stuckAfter = 10 * time.Minute
	// stuckReminder is how often the alert is brought up to date.
	stuckReminder = time.Minute
)

// RentalEvidence is what is remembered of one rental on its way out.
type RentalEvidence struct {
	// Requests counts the destroy requests, LastRequestAt is the last of them.
	Requests      int
	LastRequestAt time.Time
	// Accepted is true when the provider answered the last request with success,
	// or that there is nothing to destroy. It proves nothing about the rental.
	Accepted bool
	// Absence counts the trusted sweeps that did not show it, begun after it
	// was recorded and after the last request.
	Absence Absence
	// AbsentAt is when the absence became enough to ask for a lookup; zero before.
	AbsentAt time.Time
}

// TerminationMemory is what PlanTerminations remembers between two calls, by
// rental id. It may be lost: the price is a destroy that is sent again.
type TerminationMemory map[int64]RentalEvidence

// RecordDestroy returns the memory after a destroy request for the rental was
// sent at the given time, whatever the answer was. It does not change memory.
func RecordDestroy(memory TerminationMemory, rentalID int64, at time.Time) TerminationMemory {
	updated := make(TerminationMemory, len(memory)+1)
	maps.Copy(updated, memory)
	updated[rentalID] = RentalEvidence{Requests: memory[rentalID].Requests + 1, LastRequestAt: at}
	return updated
}

// RecordAccepted returns the memory after the provider accepted the last
// destroy request for the rental. It does not change memory.
func RecordAccepted(memory TerminationMemory, rentalID int64) TerminationMemory {
	updated := maps.Clone(memory)
	if evidence, known := memory[rentalID]; known {
		evidence.Accepted = true
		updated[rentalID] = evidence
	}
	return updated
}

// Lookup is the answer to a point lookup of one rental, made with credentials
// of the pinned account. An error is no answer and has no Lookup.
type Lookup struct {
	// At is when it was asked.
	At time.Time
	// Gone is true only for an explicit "there is no such instance".
	Gone bool
}

// TerminationInput is what PlanTerminations looks at.
type TerminationInput struct {
	// Instances are all WarmInstances of the account, read after the sweep.
	Instances []Instance
	// Extras are rentals to end that no object records (ResolveAttempts, FindLeaks, EmergencyStop).
	Extras []ExtraRental
	// Sweep is the latest one.
	Sweep Sweep
	// Memory is the result of the last call; nil after a start.
	Memory TerminationMemory
	// Lookups are the answers to earlier NeedLookup, by rental id.
	Lookups map[int64]Lookup
	// Now is the time of the decision.
	Now time.Time
}

// Destroy is one rental to end now.
type Destroy struct {
	// RentalID names it.
	RentalID int64
	// UID is the instance that it belongs to, as far as known.
	UID string
	// USDPerHour is what it costs.
	USDPerHour fleet.USDMicros
	// Since is when its end was decided or it began, whichever is known; it
	// breaks ties, oldest first.
	Since time.Time
	// Reason says why.
	Reason string
	// Request is the number of this request, from 1.
	Request int
	// Again is true when the last request was accepted already.
	Again bool
}

// Release is an instance whose finalizer comes off (I6).
type Release struct {
	// UID names the instance.
	UID string
	// RentalID is the rental that is gone or let go of; 0 when there was none.
	RentalID int64
	// Reason is ConfirmedGone, NeverRented or Abandoned.
	Reason string
	// Message is a sentence for people.
	Message string
}

// GoneRental is a rental that is confirmed gone while its instance stays.
type GoneRental struct {
	// UID is the instance.
	UID string
	// AttemptNumber is the attempt that remembers it, 0 when unknown.
	AttemptNumber int32
	// RentalID names it.
	RentalID int64
	// Message is a sentence for people.
	Message string
}

// StuckTermination is an end that takes too long.
type StuckTermination struct {
	// UID is the instance and RentalID the rental; 0 while an outcome is unknown.
	UID      string
	RentalID int64
	// Since is when its end was first asked for, or seen to be wanted.
	Since time.Time
	// USDPerHour is what may still bill.
	USDPerHour fleet.USDMicros
}

// TerminationPlan is PlanTerminations' result.
type TerminationPlan struct {
	// Destroys are to be sent in this order: costliest first, then oldest, and
	// those that were accepted already behind all others: they most probably end
	// nothing, and each takes three seconds from one that bills.
	// Every one that was sent goes through RecordDestroy.
	Destroys []Destroy
	// NeedLookup are the rentals whose absence a point lookup has to confirm, ascending.
	NeedLookup []int64
	// Releases are instances to let go of, ordered by UID.
	Releases []Release
	// Lost are own rentals of instances that are not deleted: InstanceLost. Ordered by UID.
	Lost []GoneRental
	// GoneExtras are rentals that only an attempt remembers; set RentalGone. Ordered by UID.
	GoneExtras []GoneRental
	// Stuck are for the alert, ordered by UID and rental.
	Stuck []StuckTermination
	// Memory is for the next call.
	Memory TerminationMemory
	// NextAt is when time alone changes the plan: the next destroy that is due, or
	// an end that has taken too long by then; zero for none.
	NextAt time.Time
}

// PlanTerminations decides what is destroyed now and what is gone (I6).
//
// Every recorded rental of a deleted instance is destroyed, and so is every
// rental that only an attempt remembers. A destroy is sent at once, and again
// after 15 s, 30 s … 5 min for as long as the rental is not seen missing. It
// rests on the object's own record, so it does not wait for a trusted list; the
// caller sends none with credentials of another account.
//
// A rental is confirmed gone when it was absent from two trusted sweeps, begun
// at least 30 s apart (120 s for one that no sweep has ever shown) and after the
// last destroy request, and a point lookup
// made after that says so, and the latest sweep is trusted and does not show it.
// Being seen again takes all evidence away.
//
// An instance is released when all its rentals are confirmed gone or it never
// had one. While the outcome of an attempt is unknown, it is not.
func PlanTerminations(in *TerminationInput) TerminationPlan {
	plan := TerminationPlan{Memory: TerminationMemory{}}
	t := terminator{in: in, plan: &plan, rows: in.Sweep.rowsByID(), gone: map[int64]bool{}}
	for k := range in.Instances {
		t.planInstance(&in.Instances[k])
	}
	t.planExtras()
	t.keepMemory()
	slices.SortFunc(plan.Destroys, compareDestroys)
	slices.Sort(plan.NeedLookup)
	slices.SortFunc(plan.Releases, func(a, b Release) int { return cmp.Compare(a.UID, b.UID) })
	slices.SortFunc(plan.Lost, compareGone)
	slices.SortFunc(plan.GoneExtras, compareGone)
	slices.SortFunc(plan.Stuck, func(a, b StuckTermination) int {
		return cmp.Or(cmp.Compare(a.UID, b.UID), cmp.Compare(a.RentalID, b.RentalID))
	})
	return plan
}

// terminator carries what the steps of PlanTerminations share.
type terminator struct {
	in   *TerminationInput
	plan *TerminationPlan
	rows map[int64]*fleet.Rental
	gone map[int64]bool
}

// planInstance plans for all recorded rentals of one instance.
func (t *terminator) planInstance(instance *Instance) {
	recorded := instance.RecordedRentals()
	for k := range recorded {
		rental := &recorded[k]
		gone := t.weigh(rental)
		if gone {
			t.reportGone(instance, rental)
			continue
		}
		// A rental that a person lets go of is that person's: it may be meant to live on.
		letGo := instance.Deleting && instance.AbandonRentalID == rental.ID
		//warmpool:gate destroy-only-what-is-deleted
		//warmpool:gate destroy-not-what-was-let-go
		if (instance.Deleting || !rental.Own) && !letGo {
			t.destroy(&Destroy{
				RentalID: rental.ID, UID: instance.UID, USDPerHour: t.price(rental),
				Since: instance.CreatedAt, Reason: endReason(rental),
			})
		}
	}
	if instance.Deleting && !t.release(instance, recorded) {
		t.alert(instance, recorded)
	}
}

// weigh brings the evidence on a rental up to date and says whether it is gone.
func (t *terminator) weigh(rental *RecordedRental) bool {
	evidence := t.in.Memory[rental.ID]
	lookup, asked := t.in.Lookups[rental.ID]
	// An answer from before the absence, or none, confirms nothing.
	answered := asked && evidence.isAbsent() && !lookup.At.Before(evidence.AbsentAt)
	//warmpool:gate gone-not-when-seen-again
	if t.rows[rental.ID] != nil || (answered && !lookup.Gone) {
		evidence.Absence, evidence.AbsentAt = Absence{}, time.Time{}
	} else {
		evidence = evidence.missedBy(&t.in.Sweep, rental)
		//warmpool:gate gone-lookup-after-the-lists
		answered = asked && evidence.isAbsent() && !lookup.At.Before(evidence.AbsentAt)
	}
	t.plan.Memory[rental.ID] = evidence
	//warmpool:gate gone-needs-trust
	if !t.in.Sweep.Trusted || !evidence.isAbsent() {
		return false
	}
	//warmpool:gate gone-needs-a-lookup
	if !answered {
		t.plan.NeedLookup = append(t.plan.NeedLookup, rental.ID)
		return false
	}
	t.gone[rental.ID] = lookup.Gone
	return lookup.Gone
}

// isAbsent is true once the absence is enough to ask for a lookup.
func (e *RentalEvidence) isAbsent() bool { return !e.AbsentAt.IsZero() }

// missedBy returns the evidence after a sweep that did not show the rental.
func (e *RentalEvidence) missedBy(sweep *Sweep, rental *RecordedRental) RentalEvidence {
	notBefore := rental.RecordedAt.Add(statusGrain)
	//warmpool:gate gone-after-the-last-request
	if e.LastRequestAt.After(notBefore) {
		notBefore = e.LastRequestAt
	}
	after := *e
	after.Absence = e.Absence.observe(sweep, notBefore)
	span := goneSpan
	//warmpool:gate gone-unlisted-needs-longer
	if !rental.Listed {
		// It may be so new that reads do not show it yet: what was never there
		// to be seen is gone no sooner than an attempt counts as never made (I6).
		span = abandonSpan
	}
	//warmpool:gate gone-thirty-seconds-apart
	if !after.isAbsent() && after.Absence.Sweeps >= goneSweeps && after.Absence.Span() >= span {
		after.AbsentAt = sweep.Listing.FinishedAt
	}
	return after
}

// reportGone says what a confirmed absence means for an instance that stays.
func (t *terminator) reportGone(instance *Instance, rental *RecordedRental) {
	report := GoneRental{UID: instance.UID, AttemptNumber: rental.Attempt, RentalID: rental.ID}
	switch {
	case !rental.Own:
		report.Message = fmt.Sprintf("Rental %d of attempt %d is gone.", rental.ID, rental.Attempt)
		t.plan.GoneExtras = append(t.plan.GoneExtras, report)
	case !instance.Deleting:
		report.Message = fmt.Sprintf("Rental %d has ended without Warmpool: it is absent from the account, and a lookup confirms it.", rental.ID)
		t.plan.Lost = append(t.plan.Lost, report)
	}
}

// destroy plans a destroy when one is due. It is not repeated while trusted
// sweeps show the rental missing, for that would start the evidence anew.
func (t *terminator) destroy(destroy *Destroy) {
	evidence := t.in.Memory[destroy.RentalID]
	if kept, ok := t.plan.Memory[destroy.RentalID]; ok {
		evidence = kept
	}
	t.plan.Memory[destroy.RentalID] = evidence
	missing := evidence.Absence.Sweeps > 0 && t.in.Now.Sub(evidence.Absence.LastStartedAt) < maxDestroyRetry
	if evidence.Requests > 0 && missing {
		return
	}
	if evidence.Requests > 0 {
		if due := evidence.LastRequestAt.Add(destroyRetry(evidence.Requests)); due.After(t.in.Now) {
			t.plan.NextAt = earliest(t.plan.NextAt, due)
			return
		}
	}
	destroy.Request, destroy.Again = evidence.Requests+1, evidence.Accepted
	t.plan.Destroys = append(t.plan.Destroys, *destroy)
}

// release lets go of a deleted instance if nothing of it can bill any more.
func (t *terminator) release(instance *Instance, recorded []RecordedRental) bool {
	//warmpool:gate release-not-in-flight
	//warmpool:gate release-no-open-attempt
	//warmpool:gate release-nothing-unrecorded
	if instance.InFlight || instance.hasOpenAttempt() || t.showsOther(instance) {
		return false
	}
	release := Release{UID: instance.UID, Reason: ReasonNeverRented, Message: "No attempt made a rental."}
	for k := range recorded {
		switch id := recorded[k].ID; {
		//warmpool:gate release-all-gone
		case t.gone[id]:
			if release.Reason == ReasonNeverRented {
				release.Reason, release.RentalID = ReasonConfirmedGone, id
				release.Message = fmt.Sprintf("Rental %d is absent from the account, and a lookup confirms it.", id)
			}
		//warmpool:gate release-abandoned-by-name
		case instance.AbandonRentalID == id:
			release.Reason, release.RentalID = ReasonAbandoned, id
			release.Message = fmt.Sprintf("A person let go of rental %d by naming it. If it still exists, it bills on.", id)
		default:
			return false
		}
	}
	t.plan.Releases = append(t.plan.Releases, release)
	return true
}

// showsOther is true while the listing shows a rental that an attempt of the
// instance may have made and that nobody records. It is an extra and is being
// ended; the object stays until it is gone, so that it stays accounted for.
func (t *terminator) showsOther(instance *Instance) bool {
	for k := range t.in.Sweep.Listing.Rentals {
		row := &t.in.Sweep.Listing.Rentals[k]
		label, ours := fleet.ParseLabel(row.Label)
		if !ours || label.InstanceUID != instance.UID {
			continue
		}
		for n := range instance.Attempts {
			attempt := &instance.Attempts[n]
			unrecorded := row.ID != attempt.RentalID && row.ID != instance.AbandonRentalID && (!instance.HasRental() || row.ID != instance.Rental.ID)
			if attempt.Number == label.Attempt && attempt.couldHaveMade(row) && unrecorded {
				return true
			}
		}
	}
	return false
}

// alert reports an end that takes too long.
func (t *terminator) alert(instance *Instance, recorded []RecordedRental) {
	since := instance.EndingSince
	if since.IsZero() {
		since = instance.DeletingSince
	}
	if at := since.Add(stuckAfter); t.in.Now.Before(at) {
		t.plan.NextAt = earliest(t.plan.NextAt, at)
		return
	}
	t.plan.NextAt = earliest(t.plan.NextAt, t.in.Now.Add(stuckReminder))
	stuck := StuckTermination{UID: instance.UID, Since: since, USDPerHour: Cost(instance)}
	if len(recorded) > 0 {
		stuck.RentalID = recorded[0].ID
	}
	t.plan.Stuck = append(t.plan.Stuck, stuck)
}

// planExtras ends rentals that no object records. An extra is over when no
// trusted sweep reports it any more, so it needs no evidence of its own. One that
// an object which stays has taken over since is that object's.
func (t *terminator) planExtras() {
	kept := map[int64]bool{}
	for k := range t.in.Instances {
		if instance := &t.in.Instances[k]; instance.HasRental() && !instance.Deleting {
			kept[instance.Rental.ID] = true
		}
	}
	for k := range t.in.Extras {
		extra := &t.in.Extras[k]
		if t.planned(extra.RentalID) || (kept[extra.RentalID] && extra.Reason != ReasonEmergencyStop) {
			continue
		}
		t.destroy(&Destroy{
			RentalID: extra.RentalID, UID: extra.UID, USDPerHour: extra.USDPerHour,
			Since: extra.StartedAt, Reason: extra.Reason,
		})
	}
}

// keepMemory carries over what is remembered of rentals that this plan does not
// mention, because an untrusted sweep reports no extras. A trusted one lets
// them be forgotten.
func (t *terminator) keepMemory() {
	if t.in.Sweep.Trusted {
		return
	}
	for id, evidence := range t.in.Memory {
		if _, mentioned := t.plan.Memory[id]; !mentioned {
			t.plan.Memory[id] = evidence
		}
	}
}

// planned is true when the plan destroys the rental already.
func (t *terminator) planned(rentalID int64) bool {
	return slices.ContainsFunc(t.plan.Destroys, func(d Destroy) bool { return d.RentalID == rentalID })
}

// price is the larger of the recorded and the listed price.
func (t *terminator) price(rental *RecordedRental) fleet.USDMicros {
	if row := t.rows[rental.ID]; row != nil {
		return max(rental.USDPerHour, row.PriceUSDPerHour)
	}
	return rental.USDPerHour
}

// endReason says why a recorded rental ends.
func endReason(rental *RecordedRental) string {
	if rental.Own {
		return ReasonInstanceDeleted
	}
	return ReasonLateRental
}

// destroyRetry is the pause after the n-th request.
func destroyRetry(requests int) time.Duration {
	pause := firstDestroyRetry
	for range requests - 1 {
		if pause = min(2*pause, maxDestroyRetry); pause == maxDestroyRetry {
			break
		}
	}
	return pause
}

// compareDestroys is costliest first, then oldest, then by id, and what was
// accepted already last.
func compareDestroys(a, b Destroy) int {
	switch {
	case a.Again && !b.Again:
		return 1
	case b.Again && !a.Again:
		return -1
	}
	//warmpool:gate destroy-costliest-first
	return cmp.Or(cmp.Compare(b.USDPerHour, a.USDPerHour), a.Since.Compare(b.Since), cmp.Compare(a.RentalID, b.RentalID))
}

// compareGone orders reports.
func compareGone(a, b GoneRental) int {
	return cmp.Or(cmp.Compare(a.UID, b.UID), cmp.Compare(a.RentalID, b.RentalID))
}

// earliest returns the earlier of two times; zero is none.
func earliest(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
}
