package planner

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/warmpool-dev/warmpool/internal/fleet"
)

// attemptReach is how far from its journal entry an attempt can make a rental:
// the wait for its turn, the call, a create that is carried out late, and clocks
// that differ. What began earlier or later carries a copied label.
const attemptReach = 15 * time.Minute

// couldHaveMade is false for a rental that the attempt cannot have made: on
// another machine, or begun at another time. A rental of unknown beginning may be
// anything.
func (a *Attempt) couldHaveMade(row *fleet.Rental) bool {
	if a.MachineID != row.MachineID {
		return false
	}
	if row.StartedAt.IsZero() || a.StartedAt.IsZero() {
		return true
	}
	//warmpool:gate copied-label-of-another-time
	if apart := row.StartedAt.Sub(a.StartedAt); apart < -attemptReach || apart > attemptReach {
		return false
	}
	return true
}

// LabelAction is what to do about a rental of ours whose label is not what it was.
type LabelAction string

// The actions.
const (
	// LabelRestore: put the label back; it is done once.
	LabelRestore LabelAction = "Restore"
	// LabelLeave: it was put back before and changed again. Somebody wants it so.
	LabelLeave LabelAction = "Leave"
)

// LabelPlan is what to do about one label.
type LabelPlan struct {
	// UID names the instance, RentalID its rental.
	UID      string
	RentalID int64
	// Label is what it was, Found what it is.
	Label, Found string
	// Action is Restore or Leave.
	Action LabelAction
	// Reason and Message say why.
	Reason, Message string
}

// PlanLabels finds the recorded rentals whose label was changed. A recorded
// rental is known by its id, so that a changed label changes nothing about whose
// it is; but the label is what finds it again should the record be lost. It is
// put back once. When it changes again, somebody means it, and it is left alone.
// An untrusted sweep says nothing (I5). Ordered by rental.
func PlanLabels(instances []Instance, sweep *Sweep) []LabelPlan {
	var plans []LabelPlan
	//warmpool:gate labels-untrusted-sweep
	if !sweep.Trusted {
		return nil
	}
	rows := sweep.rowsByID()
	for k := range instances {
		instance := &instances[k]
		if !instance.HasRental() || instance.Rental.Label == "" || instance.Deleting {
			continue
		}
		row := rows[instance.Rental.ID]
		if row == nil || row.Label == instance.Rental.Label {
			continue
		}
		plan := LabelPlan{
			UID: instance.UID, RentalID: row.ID, Label: instance.Rental.Label, Found: row.Label, Action: LabelRestore, Reason: ReasonLabelChanged,
			Message: fmt.Sprintf("Somebody changed the label of rental %d to %q. It is known by its number, so it goes on as before; the label is put back, once, because it finds the rental again if this record is lost.", row.ID, bounded(row.Label)),
		}
		restored := instance.Rental.LabelRestoredAt
		//warmpool:gate label-restored-once
		if !restored.IsZero() {
			if !sweep.Listing.StartedAt.After(restored.Add(statusGrain)) {
				continue // the list may be older than what we did
			}
			plan.Action, plan.Reason = LabelLeave, ReasonLabelContested
			plan.Message = fmt.Sprintf("The label of rental %d was put back before and is %q again, so somebody means it. It is left alone. The rental is known by its number and goes on as before; but if this record is lost, nothing finds it. Label it %q to be safe.", row.ID, bounded(row.Label), plan.Label)
		}
		plans = append(plans, plan)
	}
	slices.SortFunc(plans, func(a, b LabelPlan) int { return cmp.Compare(a.RentalID, b.RentalID) })
	return plans
}

// bounded cuts a label of somebody else's for a message.
func bounded(label string) string {
	const longest = 64
	if len(label) <= longest {
		return label
	}
	return label[:longest] + "..."
}

// Twin is a rental that a second writer with our installation id made.
type Twin struct {
	// RentalID and Label name it; StartedAt is its beginning.
	RentalID  int64
	Label     string
	StartedAt time.Time
	// USDPerHour is its price.
	USDPerHour fleet.USDMicros
}

// TwinInput is what FindTwins looks at.
type TwinInput struct {
	// Instances are all WarmInstances of the account, read after the sweep.
	Instances []Instance
	// Elsewhere is what the WarmInstances of other accounts hold.
	Elsewhere Elsewhere
	// Issued is true for every UID that this process has seen or rented for, also
	// when its object is gone by now.
	Issued func(uid string) bool
	// Installation is our installation id.
	Installation string
	// Sweep is the latest one, Before the trusted one before it; nil at the first.
	Sweep  Sweep
	Before *fleet.Listing
	// Known are the rentals that were found to be a second writer's before.
	Known map[int64]Twin
}

// twinSkew allows for a clock of Vast.ai's that is behind ours.
const twinSkew = time.Minute

// FindTwins finds rentals that carry our installation id for a WarmInstance that
// this process never knew, and that were made after its last trusted list: so a
// second manager with our id is alive, and what looks like a leak is its
// production. By id.
//
// What the first trusted list shows is never evidence: after the restore of an
// older backup the newer rentals are all there already, and they are leaks. Nor
// is a rental that no list shows to be new, or whose beginning is not known.
// What was found stays found until it is gone, recorded here, or relabelled. An
// untrusted sweep changes nothing (I5).
func FindTwins(in *TwinInput) map[int64]Twin {
	//warmpool:gate twin-untrusted-sweep
	if !in.Sweep.Trusted {
		return in.Known
	}
	owners, before := recordedBy(in.Instances), in.shownBefore()
	twins := map[int64]Twin{}
	for k := range in.Sweep.Listing.Rentals {
		row := &in.Sweep.Listing.Rentals[k]
		label, ok := fleet.ParseLabel(row.Label)
		if _, recorded := owners[row.ID]; !ok || recorded || label.Installation != in.Installation {
			continue
		}
		//warmpool:gate twin-not-our-own-rent
		if in.Elsewhere.holds(row.ID, &label) || in.isOurs(label.InstanceUID) {
			continue
		}
		if _, known := in.Known[row.ID]; known || (!before[row.ID] && in.isNew(row)) {
			twins[row.ID] = Twin{RentalID: row.ID, Label: row.Label, StartedAt: row.StartedAt, USDPerHour: row.PriceUSDPerHour}
		}
	}
	return twins
}

// shownBefore are the rentals that the trusted list before this one showed.
func (in *TwinInput) shownBefore() map[int64]bool {
	shown := map[int64]bool{}
	if in.Before != nil {
		for k := range in.Before.Rentals {
			shown[in.Before.Rentals[k].ID] = true
		}
	}
	return shown
}

// isOurs is true for the UID of a WarmInstance that this manager knows or knew.
func (in *TwinInput) isOurs(uid string) bool {
	return in.Issued(uid) || slices.ContainsFunc(in.Instances, func(i Instance) bool { return i.UID == uid })
}

// isNew is true for a rental that began after the trusted list before this one.
func (in *TwinInput) isNew(row *fleet.Rental) bool {
	return in.Before != nil && !row.StartedAt.IsZero() && row.StartedAt.After(in.Before.StartedAt.Add(-twinSkew))
}

// TwinMessage says what a second writer means and what to do; empty for none.
func TwinMessage(twins map[int64]Twin, installation string) string {
	var first *Twin
	for _, twin := range twins {
		if first == nil || twin.RentalID < first.RentalID {
			first = &twin
		}
	}
	if first == nil {
		return ""
	}
	return fmt.Sprintf("A second manager works in this Vast.ai account with our installation id %s: it made rental %d at %s for a WarmInstance that this one never had (%s in all; status.suspectedLeaks, madeElsewhere). "+
		"Nothing is rented, and no leak is ended, until that is settled. Stop the other manager, or start it with another --installation-id. Then destroy its rentals at Vast.ai, change their labels, or adopt them.",
		installation, first.RentalID, first.StartedAt.UTC().Format(time.RFC3339), plural(len(twins), "rental", "rentals"))
}
