package main

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/warmpool-dev/warmpool/internal/fleet"
	"github.com/warmpool-dev/warmpool/internal/simulator"
)

// evidence is everything that the judgement looks at.
type evidence struct {
	// records is the simulator's book of all rentals.
	records []simulator.RentalRecord
	// now is when that was read.
	now time.Time
	// book is the history of the objects.
	book *book
	// done is what was done to them.
	done []deed
	// restarts are the times at which a manager started or ended, ascending.
	restarts []time.Time
}

// deed is an act that was carried out.
type deed struct {
	act
	began, ended time.Time
	// rental is what a rental fault was done to.
	rental int64
	// uid is the instance, or name the pool, that a user deleted.
	uid, name string
	// note is for people; failed is why it could not be done.
	note   string
	failed error
}

// finding is one thing that should not be.
type finding struct {
	what, detail string
}

// String is a finding for people.
func (f *finding) String() string { return f.what + ": " + f.detail }

// rentalOf is a rental of ours with what its label says.
type rentalOf struct {
	*simulator.RentalRecord
	label fleet.Label
}

// ourRentals are the rentals of our managers, oldest first. A label that nobody
// can read is none of ours.
func (e *evidence) ourRentals() []rentalOf {
	var list []rentalOf
	for k := range e.records {
		label, ok := fleet.ParseLabel(e.records[k].Label)
		if ok && label.Installation == installation && e.records[k].Origin == "api" {
			list = append(list, rentalOf{&e.records[k], label})
		}
	}
	slices.SortFunc(list, func(x, y rentalOf) int { return cmp.Or(x.Start.Compare(y.Start), cmp.Compare(x.ID, y.ID)) })
	return list
}

// endOf is when a rental ended, or when the book was read.
func (e *evidence) endOf(r *simulator.RentalRecord) time.Time {
	if r.Live() {
		return e.now
	}
	return r.End
}

// findDouble returns the rentals of one instance that lived at the same time.
// The only ones that may are those of an attempt that was given up, in good
// faith, before the next one began, and that came late: Vast.ai carried the
// call out after three trusted lists over two minutes had shown nothing.
func findDouble(e *evidence) (found []finding, excused []string) {
	rentals := e.ourRentals()
	for k := range rentals {
		for j := k + 1; j < len(rentals); j++ {
			first, second := &rentals[k], &rentals[j]
			if first.label.InstanceUID != second.label.InstanceUID || !e.endOf(first.RentalRecord).After(second.Start) {
				continue
			}
			text := fmt.Sprintf("instance %s: rental %d (attempt %d, %s to %s) and rental %d (attempt %d, from %s)", first.label.InstanceUID,
				first.ID, first.label.Attempt, clockTime(first.Start), clockTime(e.endOf(first.RentalRecord)), second.ID, second.label.Attempt, clockTime(second.Start))
			if e.isLate(first, second) {
				excused = append(excused, text)
				continue
			}
			found = append(found, finding{"double rental", text})
		}
	}
	return found, excused
}

// isLate is true when one of two rentals belongs to an attempt that was
// abandoned before the other one's began, and was hidden or not there until then.
func (e *evidence) isLate(first, second *rentalOf) bool {
	older, newer := first, second
	if older.label.Attempt > newer.label.Attempt {
		older, newer = newer, older
	}
	if older.label.Attempt == newer.label.Attempt {
		return false
	}
	abandoned, when := e.abandonedAt(older)
	journaled, ok := e.book.attemptOf(newer.label.InstanceUID, newer.label.Attempt)
	if !abandoned || !ok || journaled.started.Before(when.Truncate(time.Second)) {
		return false
	}
	// It was not there when it was given up, or nobody could see it.
	return older.Start.After(when) || e.wasHidden(older.RentalRecord, older.Start, when)
}

// abandonedAt is when the attempt of a rental was given up.
func (e *evidence) abandonedAt(r *rentalOf) (bool, time.Time) {
	for _, state := range e.book.instances[r.label.InstanceUID] {
		for _, attempt := range state.attempts {
			if attempt.number == r.label.Attempt && attempt.outcome == "Abandoned" {
				return true, state.at
			}
		}
	}
	return false, time.Time{}
}

// hidingKinds are the faults after which trusted lists do not show a rental.
func hidingKinds() []string {
	return []string{"hidden-rental", "empty-list", "read-lag", "other-account/hidden", "other-account", "create-late/10", "create-late/45", "create-late/150", "short-page"}
}

// wasHidden is true when a fault that hides rentals acted in a time.
func (e *evidence) wasHidden(r *simulator.RentalRecord, from, to time.Time) bool {
	return slices.ContainsFunc(e.done, func(d deed) bool {
		return slices.Contains(hidingKinds(), d.Kind) && d.failed == nil && (d.rental == 0 || d.rental == r.ID) && d.began.Before(to) && d.ended.Add(lagAfter(d.Kind)).After(from)
	})
}

// lagAfter is how long a fault goes on to hide after it has ended.
func lagAfter(kind string) time.Duration {
	if kind == "read-lag" {
		return readLag
	}
	return 0
}

// findUnrecorded returns the rentals of ours that lived through three trusted
// sweeps in a row of one manager and that neither an instance nor the list of
// suspected leaks named by then (I4).
func findUnrecorded(e *evidence) []finding {
	var found []finding
	for _, rental := range e.ourRentals() {
		if from, unrecorded := e.unrecordedAfterSweeps(&rental); unrecorded {
			found = append(found, finding{"unrecorded rental", fmt.Sprintf(
				"rental %d of instance %s, attempt %d: three trusted sweeps after %s nobody records it", rental.ID, rental.label.InstanceUID, rental.label.Attempt, clockTime(from))})
		}
	}
	return found
}

// unrecordedAfterSweeps walks through the trusted sweeps of a rental's life.
func (e *evidence) unrecordedAfterSweeps(rental *rentalOf) (since time.Time, unrecorded bool) {
	const allowed = 3
	sweeps := 0
	var last time.Time
	for k := range e.book.account {
		state := &e.book.account[k]
		// The first sweep that ends after the rent may have begun before it.
		if state.sweptAt.IsZero() || !state.sweptAt.After(rental.Start.Add(sweepTime)) || state.sweptAt.After(e.endOf(rental.RentalRecord)) || state.sweptAt.Equal(last) {
			continue
		}
		if sweeps > 0 && (e.restartedBetween(last, state.sweptAt) || e.wasHidden(rental.RentalRecord, last, state.sweptAt)) {
			sweeps = 0
		}
		last = state.sweptAt
		if e.isRecorded(rental, state) {
			return time.Time{}, false
		}
		if sweeps++; sweeps == 1 {
			since = state.sweptAt
		}
		if sweeps > allowed {
			return since, true
		}
	}
	return time.Time{}, false
}

// sweepTime is the longest that a sweep takes here, with a slack for the time
// in statuses, which is cut to whole seconds.
const sweepTime = 8 * time.Second

func (e *evidence) restartedBetween(from, to time.Time) bool {
	return slices.ContainsFunc(e.restarts, func(at time.Time) bool { return at.After(from) && at.Before(to.Add(time.Second)) })
}

// isRecorded is true when at the time of an account's version an instance, or
// that version, names the rental.
func (e *evidence) isRecorded(rental *rentalOf, account *accountState) bool {
	if slices.Contains(account.suspected, rental.ID) {
		return true
	}
	states := e.book.instances[rental.label.InstanceUID]
	at := before(states, account.revision, instanceRevision)
	if at < 0 || states[at].gone {
		return false
	}
	return states[at].rentalID == rental.ID || slices.ContainsFunc(states[at].attempts, func(a attemptState) bool { return a.rentalID == rental.ID })
}

// findReleased returns the rentals whose instance was let go while they lived
// on, although nothing had lied about them (I6).
func findReleased(e *evidence) []finding {
	var found []finding
	for _, rental := range e.ourRentals() {
		states := e.book.instances[rental.label.InstanceUID]
		if len(states) == 0 || !states[len(states)-1].gone {
			continue
		}
		gone := states[len(states)-1].at
		const slack = 2 * time.Second
		const evidenceSpan = 45 * time.Second
		if rental.Start.Before(gone) && e.endOf(rental.RentalRecord).After(gone.Add(slack)) && !e.wasHidden(rental.RentalRecord, gone.Add(-evidenceSpan), gone) {
			found = append(found, finding{"released rental", fmt.Sprintf(
				"rental %d lived on to %s, its instance %s was let go at %s", rental.ID, clockTime(e.endOf(rental.RentalRecord)), rental.label.InstanceUID, clockTime(gone))})
		}
	}
	return found
}

func clockTime(t time.Time) string { return t.UTC().Format("15:04:05.0") }
