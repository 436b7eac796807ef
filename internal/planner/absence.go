package planner

import (
	"time"

	"github.com/warmpool-dev/warmpool/internal/fleet"
)

// Absence is the evidence that something is not in the account: the trusted
// sweeps in a row that did not show it. The zero value is no evidence.
type Absence struct {
	// Sweeps is how many they are.
	Sweeps int
	// FirstStartedAt and LastStartedAt are when the first and the last began; the
	// first counts from no more than listTakes before its end.
	FirstStartedAt, LastStartedAt time.Time
}

// Span is the time between the starts of the first and the last sweep.
func (a Absence) Span() time.Duration { return a.LastStartedAt.Sub(a.FirstStartedAt) }

// observe returns the evidence after a sweep that did not show the thing. A
// sweep counts only when it is trusted, began after notBefore (what it does not
// show may have come into being later), and is not one that was counted before.
func (a Absence) observe(sweep *Sweep, notBefore time.Time) Absence {
	started := sweep.Listing.StartedAt
	//warmpool:gate absence-needs-trust
	//warmpool:gate absence-begins-after-the-act
	//warmpool:gate absence-counts-a-list-once
	if !sweep.Trusted || !started.After(notBefore) || !started.After(a.LastStartedAt) {
		return a
	}
	if a.Sweeps == 0 {
		a.FirstStartedAt = started
		// A process that was stopped right before it asked saw how things were when
		// it went on, not when it began.
		//warmpool:gate absence-of-a-stopped-reader
		if asked := sweep.Listing.FinishedAt.Add(-listTakes); asked.After(started) {
			a.FirstStartedAt = asked
		}
	}
	a.Sweeps++
	a.LastStartedAt = started
	return a
}

// listTakes is how long a list takes at most to be asked for and answered, unless
// something was in its way.
const listTakes = 3 * time.Second

// statusGrain is how coarse a time in an object's status is: it is cut to whole
// seconds, so what happened is up to this much later than it says.
const statusGrain = time.Second

// AttemptKey names one attempt of one WarmInstance.
type AttemptKey struct {
	// UID is the instance.
	UID string
	// Number is the attempt.
	Number int32
}

// attemptRows indexes the rows of a listing by the attempt that their label
// names, for the labels of one installation; ascending by id.
func attemptRows(listing *fleet.Listing, installation string) map[AttemptKey][]*fleet.Rental {
	rows := map[AttemptKey][]*fleet.Rental{}
	for _, row := range rentalsByID(listing) {
		label, ours := fleet.ParseLabel(row.Label)
		//warmpool:gate resolve-own-installation
		if !ours || label.Installation != installation {
			continue
		}
		key := AttemptKey{UID: label.InstanceUID, Number: label.Attempt}
		rows[key] = append(rows[key], row)
	}
	return rows
}

// recordedBy maps every recorded rental to the UID of the instance that records it.
func recordedBy(instances []Instance) map[int64]string {
	owners := make(map[int64]string, len(instances))
	for k := range instances {
		for _, rental := range instances[k].RecordedRentals() {
			owners[rental.ID] = instances[k].UID
		}
	}
	return owners
}
