package planner

import (
	"fmt"

	"github.com/warmpool-dev/warmpool/internal/fleet"
)

// relabelled returns a rental that an attempt of unknown outcome may have made
// and whose label somebody changed before any list showed it with ours: it runs
// on the attempt's machine, began after its journal entry, is recorded by nobody
// and carries no label of any installation. Nil when there is none, or when a
// person has said that this one is not ours, by naming it for abandonment.
func (r *resolver) relabelled(instance *Instance, attempt *Attempt) *fleet.Rental {
	for _, row := range rentalsByID(&r.in.Sweep.Listing) {
		_, labelled := fleet.ParseLabel(row.Label)
		_, recorded := r.owners[row.ID]
		if labelled || recorded || row.ID == instance.AbandonRentalID {
			continue
		}
		// Without a beginning, or with an earlier one, it is somebody else's: the
		// machine may have several tenants.
		if row.StartedAt.IsZero() || row.StartedAt.Before(attempt.StartedAt.Add(-twinSkew)) || !attempt.couldHaveMade(row) {
			continue
		}
		return row
	}
	return nil
}

// mayBeRelabelled explains why an attempt is not settled beside such a rental.
func mayBeRelabelled(row *fleet.Rental, key AttemptKey, label string) string {
	return fmt.Sprintf("It is not known whether attempt %d made rental %d: that one began on its machine at the right time, and does not carry our label. "+
		"The price stays reserved. If somebody changed the label, put %q back at Vast.ai, and it is adopted; if it is not ours, annotate this WarmInstance with warmpool.dev/abandon-rental=%d.",
		key.Number, row.ID, label, row.ID)
}
