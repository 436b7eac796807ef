package planner

import (
	"cmp"
	"slices"

	"github.com/warmpool-dev/warmpool/internal/fleet"
)

// EmergencyStop returns everything of ours that an emergency stop has to end,
// for PlanTerminations: every rental of the listing that carries our
// installation id, and every rental that a WarmInstance records, whatever the
// listing says of it. Claims do not matter, and neither does trust: a person
// has asked for it. A nil listing adds nothing, and
// neither do the rentals of WarmInstances elsewhere, of other account objects.
// Ordered by id.
func EmergencyStop(instances []Instance, listing *fleet.Listing, installation string, elsewhere Elsewhere) []ExtraRental {
	all := map[int64]ExtraRental{}
	for k := range instances {
		for _, rental := range instances[k].RecordedRentals() {
			all[rental.ID] = ExtraRental{
				RentalID: rental.ID, UID: instances[k].UID, AttemptNumber: rental.Attempt,
				USDPerHour: rental.USDPerHour, StartedAt: instances[k].CreatedAt, Reason: ReasonEmergencyStop,
			}
		}
	}
	if listing != nil {
		for _, row := range rentalsByID(listing) {
			label, ours := fleet.ParseLabel(row.Label)
			//warmpool:gate emergency-own-installation
			//warmpool:gate emergency-not-elsewhere
			if _, recorded := all[row.ID]; recorded || !ours || label.Installation != installation || elsewhere.holds(row.ID, &label) {
				continue
			}
			all[row.ID] = ExtraRental{
				RentalID: row.ID, UID: label.InstanceUID, AttemptNumber: label.Attempt,
				USDPerHour: row.PriceUSDPerHour, StartedAt: row.StartedAt, Reason: ReasonEmergencyStop,
			}
		}
	}
	extras := make([]ExtraRental, 0, len(all))
	for _, extra := range all {
		extras = append(extras, extra)
	}
	slices.SortFunc(extras, func(a, b ExtraRental) int { return cmp.Compare(a.RentalID, b.RentalID) })
	return extras
}
