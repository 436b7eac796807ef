package simulate

import (
	"regexp"
	"slices"
	"strconv"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/planner"
	"github.com/warmpool-dev/warmpool/internal/simulator"
)

// doAsTold does what the operator asks a person for where it cannot know better:
// whose a rental is. Without an answer it holds on, and rightly never converges.
func (w *world) doAsTold() {
	var account warmpool.VastAccount
	if w.users.Get(w.ctxOfUsers(), types.NamespacedName{Namespace: namespace, Name: accountName}, &account) == nil {
		for _, leak := range account.Status.SuspectedLeaks {
			if leak.MadeElsewhere && w.bills(leak.RentalID) {
				// "Destroy its rentals at Vast.ai, change their labels, or adopt them."
				w.note("user", "", "rental %d is labelled as a stranger's", leak.RentalID)
				w.witness.relabelled(leak.RentalID)
				w.check(w.vast.Relabel(leak.RentalID, "of another manager"))
			}
		}
	}
	for _, instance := range w.instances() {
		rented := meta.FindStatusCondition(instance.Status.Conditions, warmpool.ConditionRented)
		if rented != nil && rented.Reason == planner.ReasonLabelLost {
			w.answerLabelLost(instance, rented.Message)
		}
	}
}

// namedRental finds the rental that a message asks about.
var namedRental = regexp.MustCompile(`made rental (\d+)`)

// answerLabelLost says whether a rental is the one that an attempt made: its
// label is put back, or the instance lets go of it.
func (w *world) answerLabelLost(instance *warmpool.WarmInstance, message string) {
	named := namedRental.FindStringSubmatch(message)
	if named == nil {
		w.fail("I7", "a person cannot tell which rental is meant: %s", message)
		return
	}
	id, err := strconv.ParseInt(named[1], 10, 64)
	if err != nil {
		w.fail("I7", "a person is told of a rental %q", named[1])
		return
	}
	mine := ourPrefix + string(instance.UID) + "."
	for _, record := range w.vast.Meter().Live(mine) {
		if record.ID == id {
			w.note("user", "", "rental %d gets its label back", id)
			w.check(w.vast.Relabel(id, record.Label))
			return
		}
	}
	edit(w, &warmpool.WarmInstance{}, instance.Name, func(i *warmpool.WarmInstance) {
		i.Annotations = map[string]string{warmpool.AnnotationAbandonRental: named[1]}
	})
}

// bills is true while nobody has ended a rental.
func (w *world) bills(id int64) bool {
	return slices.ContainsFunc(w.vast.Meter().Live(""), func(r simulator.RentalRecord) bool { return r.ID == id })
}
