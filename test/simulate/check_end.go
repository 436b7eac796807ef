package simulate

import (
	"slices"
	"time"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/fleet"
)

// inFlight is how long a decision may be under way before it shows: a call that
// waits for its turn, a process that was stopped in between.
const inFlight = 4 * time.Minute

// checkEnd judges a rental that ended by a call of ours: nobody wanted an end
// of what a living WarmInstance records, or of what is not ours (I3, I5).
func (t *witness) checkEnd(ended *rentalSeen) {
	record := &ended.record
	if record.EndReason != "destroyed" || t.inEmergency() {
		return
	}
	switch owner := t.ownerOf(record.ID); {
	case owner != nil && owner.DeletionTimestamp == nil:
		t.world.fail("I5", "rental %d was destroyed although WarmInstance %s, which records it, was not deleted", record.ID, owner.Name)
	case owner != nil:
	case ended.uid == "":
		t.world.fail("I5", "rental %d was destroyed, and it is not ours (label %q)", record.ID, record.Label)
	default:
		t.checkExtra(ended)
	}
}

// ownerOf is the WarmInstance whose own rental it is; nil when there is none.
func (t *witness) ownerOf(id int64) *warmpool.WarmInstance {
	for _, instance := range t.instances {
		if own := instance.Status.Rental; own != nil && own.ID == id {
			return instance
		}
	}
	return nil
}

// checkExtra judges the end of a rental with our label that is no instance's own.
func (t *witness) checkExtra(ended *rentalSeen) {
	record := &ended.record
	owner := t.instances[ended.uid]
	attempt := attemptOf(owner, ended.attempt)
	switch {
	case owner == nil && !t.mayEndLeaks() && !t.wasAbandoned(ended):
		t.world.fail("I5", "rental %d was destroyed, no WarmInstance asks for that, and leaks are only to be reported", record.ID)
	case owner != nil && !ended.ours && (attempt == nil || attempt.MachineID != record.MachineID):
		t.world.fail("I5", "rental %d was destroyed; its label was copied, and it runs on a machine that WarmInstance %s never asked for", record.ID, owner.Name)
	case attempt != nil && owner.DeletionTimestamp == nil && !isSettled(attempt) && !t.hasAnother(ended):
		t.world.fail("I2", "rental %d was destroyed while the outcome of its attempt was open", record.ID)
	}
}

// inEmergency is true when the account was in an emergency stop a moment ago.
func (t *witness) inEmergency() bool {
	now := t.world.now()
	return t.account.ever(now.Add(-inFlight), now, func(m moment) bool { return m.emergency })
}

func (t *witness) mayEndLeaks() bool { return t.world.plan.LeakTerminate }

// wasAbandoned is true when the object of a rental was let go of by its number.
func (t *witness) wasAbandoned(ended *rentalSeen) bool {
	gone := t.removed[ended.uid]
	return gone != nil && gone.Annotations[warmpool.AnnotationAbandonRental] == itoa(ended.record.ID)
}

// hasAnother is true when the intent of a rental has another rental that lives.
func (t *witness) hasAnother(ended *rentalSeen) bool {
	for id, other := range t.rentals {
		if id != ended.record.ID && !other.ended && other.uid == ended.uid {
			return true
		}
	}
	return false
}

// checkDeletion judges the deletion of an instance by a process: a claimed one
// is ended only with its claim or its pool, in an emergency, when people allow the
// end of what is claimed, or when its rental is gone (I3).
func (t *witness) checkDeletion(was *warmpool.WarmInstance, actor string) {
	if actor == "user" || !t.isRightlyHeld(was) || t.inEmergency() {
		return
	}
	now := t.world.now()
	pool := t.pools[was.Spec.PoolRef.Name]
	if pool == nil || pool.ever(now.Add(-inFlight), now, func(m moment) bool { return m.gone || m.endsClaimed }) {
		return
	}
	if was.Status.Rental != nil {
		if _, alive := t.world.vast.LifeOf(was.Status.Rental.ID); !alive {
			return
		}
	}
	t.world.fail("I3", "%s deleted WarmInstance %s, which claim %s holds", actor, was.Name, was.Spec.ClaimRef.Name)
}

// checkRelease judges an object that is let go: none of its rentals lives (I6).
func (t *witness) checkRelease(instance *warmpool.WarmInstance, actor string) {
	for id, seen := range t.rentals {
		recorded := remembers(instance, id)
		own := seen.ours && seen.uid == instance.UID && !seen.late
		if (!recorded && !own) || instance.Annotations[warmpool.AnnotationAbandonRental] == itoa(id) {
			continue
		}
		life, alive := t.world.vast.LifeOf(id)
		if !alive || (!recorded && life.Label != seen.record.Label) {
			continue
		}
		t.world.fail("I6", "%s let go of WarmInstance %s while its rental %d lives (%s)", actor, instance.Name, id, life.State)
	}
}

// remembers is true when a WarmInstance names a rental, as its own or as an
// attempt's.
func remembers(instance *warmpool.WarmInstance, id int64) bool {
	if instance.Status.Rental != nil && instance.Status.Rental.ID == id {
		return true
	}
	return slices.ContainsFunc(instance.Status.Attempts, func(a warmpool.RentAttempt) bool { return a.RentalID == id })
}

// leakSweeps is how many trusted sweeps of one process may pass before a rental
// with our label is recorded or reported; one more for what changed in between.
const leakSweeps = 3

// checkLeaks judges the account's report of a trusted sweep (I4).
func (t *witness) checkLeaks(account *warmpool.VastAccount, actor string) {
	if actor != t.sweeper {
		t.sweeper = actor
		for _, seen := range t.rentals {
			seen.missed = 0
		}
	}
	if p := t.world.processOf(actor); p == nil || !p.knowledge.truthful {
		return
	}
	reported := map[int64]bool{}
	for _, leak := range account.Status.SuspectedLeaks {
		reported[leak.RentalID] = true
	}
	for id, seen := range t.rentals {
		if reported[id] || !t.isLeaked(id, seen) {
			seen.missed = 0
			continue
		}
		if seen.missed++; seen.missed > leakSweeps {
			t.world.fail("I4", "rental %d (%s) lives; %d trusted sweeps have neither recorded nor reported it", id, seen.record.Label, seen.missed)
		}
	}
}

// isLeaked is true for a rental that lives, shows, carries our label, and that
// nothing accounts for.
func (t *witness) isLeaked(id int64, seen *rentalSeen) bool {
	life, alive := t.world.vast.LifeOf(id)
	label, ours := fleet.ParseLabel(life.Label)
	return alive && life.Shown && ours && label.Installation == installation && !t.isAccountedFor(id, &label, seen)
}

// isAccountedFor is true when an object records a rental, or when one of its
// attempts may have made it and answers for it.
func (t *witness) isAccountedFor(id int64, label *fleet.Label, seen *rentalSeen) bool {
	if t.recorder(id) != nil {
		return true
	}
	for uid, instance := range t.instances {
		if string(uid) != label.InstanceUID {
			continue
		}
		if attempt := attemptOf(instance, label.Attempt); attempt != nil && attempt.MachineID == seen.record.MachineID {
			return true
		}
	}
	return false
}
