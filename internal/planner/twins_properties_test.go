package planner

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/warmpool-dev/warmpool/internal/fleet"
)

// twinWorld is an account in which this manager rents, is restarted, has objects
// deleted by force and backups restored, and in which another one may rent with
// the same installation id.
type twinWorld struct {
	now  int
	made int
	rows []fleet.Rental
	// instances are the objects, ours the rentals that this manager ever made.
	instances map[string]Instance
	ours      map[int64]bool
	// theirs maps the other manager's rentals to whether a list came before them
	// in the same life of this process: only then can they be told from leaks.
	theirs map[int64]bool
	// issued, before and known are the memory of the process; known is in the
	// status as well and outlives it.
	issued map[string]bool
	before *fleet.Listing
	known  map[int64]Twin
	backup map[string]Instance
}

func (w *twinWorld) make() (uid string, id int64) {
	w.made++
	uid, id = fmt.Sprintf("u%d", w.made), int64(w.made)
	w.rows = append(w.rows, began(row(id, labelOf(uid, 1), usd(40)), w.now))
	return uid, id
}

// rent is one of our own: the object comes first, and is known to the process.
func (w *twinWorld) rent() {
	uid, id := w.make()
	w.instances[uid], w.issued[uid], w.ours[id] = rented(uid, id, usd(40)), true, true
}

// stranger rents with our id.
func (w *twinWorld) stranger() {
	_, id := w.make()
	w.theirs[id] = w.before != nil
}

// force deletes the newest object and leaves its rental.
func (w *twinWorld) force() {
	for k := range slices.Backward(w.rows) {
		label, _ := fleet.ParseLabel(w.rows[k].Label)
		if _, found := w.instances[label.InstanceUID]; found {
			delete(w.instances, label.InstanceUID)
			return
		}
	}
}

// restart loses what the process remembers.
func (w *twinWorld) restart() {
	w.issued, w.before = map[string]bool{}, nil
	for id := range w.theirs {
		if _, found := w.known[id]; !found {
			// The first list of a new process shows it like a leak.
			w.theirs[id] = false
		}
	}
}

// sweep lists everything, looks for twins and checks what was found.
func (w *twinWorld) sweep(t *rapid.T, trusted bool) {
	sweep := sweepAt(w.now, slices.Clone(w.rows)...)
	sweep.Trusted = trusted
	instances := slices.Collect(maps.Values(w.instances))
	for uid := range w.instances {
		w.issued[uid] = true
	}
	w.known = FindTwins(&TwinInput{
		Instances: instances, Issued: func(uid string) bool { return w.issued[uid] }, Installation: testInstallation,
		Sweep: sweep, Before: w.before, Known: w.known,
	})
	for id := range w.known {
		if w.ours[id] {
			t.Fatalf("rental %d is our own, and is taken for a second writer's", id)
		}
	}
	if !trusted {
		return
	}
	for id, telling := range w.theirs {
		if _, found := w.known[id]; telling && !found {
			t.Fatalf("rental %d was made by a second writer after our last list, and is not found", id)
		}
	}
	w.before = &sweep.Listing
}

// TestPropertyTwins: whatever happens to our own objects and to the process, no
// rental of ours is ever taken for a second writer's, and each of a second writer's
// that is made between two lists is.
func TestPropertyTwins(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := &twinWorld{
			now: 100, instances: map[string]Instance{}, ours: map[int64]bool{}, theirs: map[int64]bool{},
			issued: map[string]bool{}, backup: map[string]Instance{}, known: map[int64]Twin{},
		}
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			w.now += 120
			switch rapid.IntRange(0, 8).Draw(t, "step") {
			case 0, 1:
				w.rent()
			case 2:
				w.stranger()
			case 3:
				if rapid.Bool().Draw(t, "just rented") {
					w.rent()
				}
				w.force()
			case 4:
				w.backup = maps.Clone(w.instances)
			case 5:
				// The older state of the cluster is restored, and the manager starts.
				w.instances = maps.Clone(w.backup)
				w.restart()
			case 6:
				w.restart()
			default:
				w.sweep(t, rapid.Float64().Draw(t, "trust") > 0.2)
			}
		}
	})
}
