package planner

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/warmpool-dev/warmpool/internal/fleet"
)

// AdoptPool is a pool as an adoption sees it.
type AdoptPool struct {
	// CeilingUSDPerHour is its ceiling.
	CeilingUSDPerHour fleet.USDMicros
	// Deleting is true once it has a deletion timestamp.
	Deleting bool
}

// AdoptInput is what PlanAdoptions looks at.
type AdoptInput struct {
	// Instances are all WarmInstances of the account, read after the sweep.
	Instances []Instance
	// Elsewhere is what the WarmInstances of other accounts hold.
	Elsewhere Elsewhere
	// Pools are the pools of the account, by "namespace/name".
	Pools map[string]AdoptPool
	// Installation is our installation id.
	Installation string
	// Sweep is the latest one.
	Sweep Sweep
	// EmergencyStop is true while everything of ours is being ended.
	EmergencyStop bool
}

// Adoption is the answer to one WarmInstance that names a rental to take over.
type Adoption struct {
	// UID names the instance, RentalID the rental.
	UID      string
	RentalID int64
	// Row is the rental to record; nil when it is not adopted now.
	Row *fleet.Rental
	// Reason and Message say why, and what a person can do.
	Reason, Message string
}

// PlanAdoptions answers every WarmInstance that a person made to take over a
// rental. It is adopted when a trusted sweep shows it (I5), nothing else records
// it (I2), no other manager may own it, and the pool's ceiling has room for it
// (I1). Of two objects that name one rental the older one gets it. Ordered by UID.
func PlanAdoptions(in *AdoptInput) []Adoption {
	a := adopter{in: in, rows: in.Sweep.rowsByID(), recorded: map[int64]string{}, committed: map[string]fleet.USDMicros{}}
	for k := range in.Instances {
		instance := &in.Instances[k]
		a.committed[instance.Pool] = addUSD(a.committed[instance.Pool], Cost(instance))
		for _, rental := range instance.RecordedRentals() {
			a.recorded[rental.ID] = instance.Name
		}
	}
	var adoptions []Adoption
	for _, instance := range adopting(in.Instances) {
		adoption := a.answer(instance)
		adoption.UID, adoption.RentalID = instance.UID, instance.AdoptRentalID
		if adoption.Row != nil {
			a.recorded[adoption.RentalID] = instance.Name
			a.committed[instance.Pool] = addUSD(a.committed[instance.Pool], adoption.Row.PriceUSDPerHour)
		}
		adoptions = append(adoptions, adoption)
	}
	slices.SortFunc(adoptions, func(a, b Adoption) int { return cmp.Compare(a.UID, b.UID) })
	return adoptions
}

// IsAdopting is true for an instance that a person made for a rental that
// exists, and that does not record it yet. Nothing is ever rented for it.
func (i *Instance) IsAdopting() bool { return i.AdoptRentalID != 0 && !i.HasRental() }

// adopting returns the instances that wait for their rental, oldest first.
func adopting(instances []Instance) []*Instance {
	var found []*Instance
	for k := range instances {
		if instance := &instances[k]; instance.IsAdopting() && !instance.Deleting && !instance.Failed {
			found = append(found, instance)
		}
	}
	slices.SortFunc(found, func(a, b *Instance) int {
		return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.UID, b.UID))
	})
	return found
}

// isNamedForAdoption is true while an object waits to take the rental over.
func isNamedForAdoption(instances []Instance, rentalID int64) bool {
	return slices.ContainsFunc(instances, func(i Instance) bool { return i.AdoptRentalID == rentalID && i.IsAdopting() && !i.Deleting })
}

// adopter carries what the steps of PlanAdoptions share.
type adopter struct {
	in        *AdoptInput
	rows      map[int64]*fleet.Rental
	recorded  map[int64]string
	committed map[string]fleet.USDMicros
}

// answer decides about one instance.
func (a *adopter) answer(instance *Instance) Adoption {
	id := instance.AdoptRentalID
	row := a.rows[id]
	//warmpool:gate adopt-untrusted-sweep
	if !a.in.Sweep.Trusted {
		return Adoption{Reason: ReasonAwaitingAdoption, Message: fmt.Sprintf("Rental %d is adopted when a list of the account's instances can be trusted and shows it.", id)}
	}
	//warmpool:gate adopt-recorded-elsewhere
	if owner := cmp.Or(a.recorded[id], a.in.Elsewhere.Rentals[id]); owner != "" {
		return Adoption{Reason: ReasonRentalRecorded, Message: fmt.Sprintf("Rental %d is not adopted: WarmInstance %s records it already. Delete this WarmInstance.", id, owner)}
	}
	if row == nil {
		return Adoption{Reason: ReasonRentalNotFound, Message: fmt.Sprintf("Rental %d is not adopted: the Vast.ai account of this VastAccount does not have it. Look for its number in the Vast.ai console; if another account has it, set spec.accountRef to that one in a new WarmInstance.", id)}
	}
	if refusal := a.checkLabel(row); refusal != nil {
		return *refusal
	}
	if refusal := a.checkPool(instance, row); refusal != nil {
		return *refusal
	}
	return Adoption{Row: row, Reason: ReasonAdopted, Message: fmt.Sprintf("Rental %d (%s at %s) is taken over. Deleting this WarmInstance ends it.", id, row.GPUName, perHour(row.PriceUSDPerHour))}
}

// checkLabel refuses a rental that another manager, or an attempt of ours, may own.
func (a *adopter) checkLabel(row *fleet.Rental) *Adoption {
	label, labelled := fleet.ParseLabel(row.Label)
	//warmpool:gate adopt-other-installation
	if labelled && label.Installation != a.in.Installation {
		return &Adoption{Reason: ReasonRentalOfOther, Message: fmt.Sprintf("Rental %d is not adopted: its label says that Warmpool installation %s made it, and that one may be alive. If it is not, clear the label at Vast.ai first.", row.ID, label.Installation)}
	}
	if !labelled {
		return nil
	}
	for k := range a.in.Instances {
		//warmpool:gate adopt-rental-of-an-attempt
		if owner := &a.in.Instances[k]; owner.UID == label.InstanceUID && owner.mayHaveMade(row, label.Attempt) {
			return &Adoption{Reason: ReasonRentalOfAttempt, Message: fmt.Sprintf("Rental %d is not adopted: attempt %d of WarmInstance %s made it, and is being settled. Delete this WarmInstance.", row.ID, label.Attempt, owner.Name)}
		}
	}
	return nil
}

// checkPool refuses what the pool has no room for.
func (a *adopter) checkPool(instance *Instance, row *fleet.Rental) *Adoption {
	pool, found := a.in.Pools[instance.Pool]
	switch {
	case a.in.EmergencyStop:
		return &Adoption{Reason: ReasonEmergencyStop, Message: "Nothing is adopted while the VastAccount's spec.mode is EmergencyStop: it would be ended at once."}
	case !found:
		return &Adoption{Reason: ReasonPoolNotFound, Message: fmt.Sprintf("Rental %d is not adopted: there is no WarmPool %s with this VastAccount. Make it, or set spec.poolRef in a new WarmInstance.", row.ID, instance.Pool)}
	case pool.Deleting:
		return &Adoption{Reason: ReasonPoolDeleting, Message: fmt.Sprintf("Rental %d is not adopted: the pool is being deleted.", row.ID)}
	}
	//warmpool:gate adopt-under-the-ceiling
	if total := addUSD(a.committed[instance.Pool], row.PriceUSDPerHour); total > pool.CeilingUSDPerHour {
		return &Adoption{Reason: ReasonCostCeilingReached, Message: fmt.Sprintf(
			"Rental %d is not adopted: it costs %s, and the pool would commit %s of its ceiling %s. Raise spec.cost.ceilingUSDPerHour of the WarmPool first, or end something in it.",
			row.ID, perHour(row.PriceUSDPerHour), perHour(total), perHour(pool.CeilingUSDPerHour))}
	}
	return nil
}
