package planner

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/warmpool-dev/warmpool/internal/fleet"
)

const (
	// leakSweeps is how many trusted sweeps must show a leak before it is reported.
	leakSweeps = 2
	// leakWindow is the window of LeakPolicy.MaxPerHour.
	leakWindow = time.Hour
)

// LeakAction is what to do about leaks.
type LeakAction string

// The actions.
const (
	// LeakReport only reports. It is the default.
	LeakReport LeakAction = "Report"
	// LeakTerminate ends them as well.
	LeakTerminate LeakAction = "Terminate"
)

// LeakPolicy says what may be done about leaks.
type LeakPolicy struct {
	// Action is Report or Terminate; anything else reports.
	Action LeakAction
	// MinAge is how old a leak must be before it is ended.
	MinAge time.Duration
	// MaxPerHour bounds how many are ended within an hour; 0 ends none.
	MaxPerHour int
}

// Leak is a rental that carries our installation id and that no WarmInstance records.
type Leak struct {
	// RentalID and Label name it.
	RentalID int64
	Label    string
	// UID and AttemptNumber are what the label says.
	UID           string
	AttemptNumber int32
	// USDPerHour is its price.
	USDPerHour fleet.USDMicros
	// StartedAt is its creation; zero when unknown.
	StartedAt time.Time
	// Age is the time since then, or since it was first seen when that is unknown.
	Age time.Duration
	// OwnerExists is true when the labelled WarmInstance exists but does not
	// know this rental: a copied label, or an object that came out of a backup.
	// Such a leak is never ended by itself.
	OwnerExists bool
}

// LeakSighting is what is remembered of one suspected leak.
type LeakSighting struct {
	// Leak is the last reading.
	Leak Leak
	// Sweeps counts the trusted sweeps in a row that showed it.
	Sweeps int
	// FirstSeenAt and LastSeenAt are when the first and the last of them began.
	FirstSeenAt, LastSeenAt time.Time
}

// LeakMemory is what FindLeaks remembers between two calls. The zero value is
// right after a start.
type LeakMemory struct {
	// Sightings are by rental id.
	Sightings map[int64]LeakSighting
	// EndedAt is when the end of a leak was decided, by rental id, for the last hour.
	EndedAt map[int64]time.Time
}

// Elsewhere is what the WarmInstances of other accounts hold. Two account objects
// may share one user; what the other one records is no leak. The zero value
// holds nothing.
type Elsewhere struct {
	// UIDs names the WarmInstances: what carries their label is theirs.
	UIDs map[string]bool
	// Rentals maps those that they record, whatever label they carry by now, to
	// the "namespace/name" of the WarmInstance.
	Rentals map[int64]string
}

// RecordElsewhere collects what the WarmInstances of other accounts hold.
func RecordElsewhere(instances []Instance) Elsewhere {
	elsewhere := Elsewhere{UIDs: map[string]bool{}, Rentals: map[int64]string{}}
	for k := range instances {
		elsewhere.UIDs[instances[k].UID] = true
		for _, rental := range instances[k].RecordedRentals() {
			namespace, _, _ := strings.Cut(instances[k].Pool, "/")
			elsewhere.Rentals[rental.ID] = namespace + "/" + instances[k].Name
		}
	}
	return elsewhere
}

// holds is true for a rental that is another account object's, by its label or
// by its number.
func (e *Elsewhere) holds(rentalID int64, label *fleet.Label) bool {
	_, recorded := e.Rentals[rentalID]
	return recorded || e.UIDs[label.InstanceUID]
}

// LeakInput is what FindLeaks looks at.
type LeakInput struct {
	// Instances are all WarmInstances of the account, read after the sweep: an
	// object that is created meanwhile must not look like a leak.
	Instances []Instance
	// Elsewhere is what the WarmInstances of other accounts hold.
	Elsewhere Elsewhere
	// Installation is our installation id.
	Installation string
	// Sweep is the latest one.
	Sweep Sweep
	// Memory is the result of the last call.
	Memory LeakMemory
	// Policy is the account's.
	Policy LeakPolicy
	// Twins are rentals of a second writer with our id. While there are any, no
	// leak is ended: it may be that writer's production.
	Twins map[int64]Twin
	// Now is the time of the decision.
	Now time.Time
}

// LeakPlan is FindLeaks' result.
type LeakPlan struct {
	// Leaks are the suspected leaks, dearest first.
	Leaks []Leak
	// Terminate are those to end now, in the order of Leaks.
	Terminate []ExtraRental
	// Foreign is how many rentals of the account are neither recorded nor
	// labelled by this installation; they are never touched.
	Foreign int
	// Memory is for the next call.
	Memory LeakMemory
}

// FindLeaks reports every rental that carries our installation id and that no
// WarmInstance records, once two trusted sweeps have shown it (I4). The rental
// of an attempt whose outcome is unknown, or of a settled one, on the attempt's
// machine is ResolveAttempts' business and not a leak.
//
// With the policy Terminate it also ends those whose WarmInstance does not
// exist, once they are old enough, at most MaxPerHour of them. An untrusted
// sweep ends nothing, and repeats the last report.
func FindLeaks(in *LeakInput) LeakPlan {
	var plan LeakPlan
	plan.Memory.Sightings, plan.Foreign = in.Memory.Sightings, countForeign(in)
	//warmpool:gate leak-needs-trust
	if in.Sweep.Trusted {
		plan.Memory.Sightings = sightLeaks(in)
	}
	for _, id := range slices.Sorted(maps.Keys(plan.Memory.Sightings)) {
		sighting := plan.Memory.Sightings[id]
		//warmpool:gate leak-two-lists
		if sighting.Sweeps >= leakSweeps {
			leak := sighting.Leak
			leak.Age = leakAge(&sighting, in.Now)
			plan.Leaks = append(plan.Leaks, leak)
		}
	}
	slices.SortStableFunc(plan.Leaks, func(a, b Leak) int {
		return cmp.Or(cmp.Compare(b.USDPerHour, a.USDPerHour), cmp.Compare(a.RentalID, b.RentalID))
	})
	plan.Memory.EndedAt = map[int64]time.Time{}
	for id, at := range in.Memory.EndedAt {
		if in.Now.Sub(at) < leakWindow {
			plan.Memory.EndedAt[id] = at
		}
	}
	//warmpool:gate leaks-frozen-by-a-twin
	if len(in.Twins) > 0 {
		return plan
	}
	//warmpool:gate leak-end-needs-trust
	//warmpool:gate leak-end-needs-policy
	if in.Sweep.Trusted && in.Policy.Action == LeakTerminate {
		endLeaks(in, &plan)
	}
	return plan
}

// sightLeaks brings the sightings up to date with a trusted sweep.
func sightLeaks(in *LeakInput) map[int64]LeakSighting {
	sightings := map[int64]LeakSighting{}
	owners, byUID := recordedBy(in.Instances), map[string]*Instance{}
	for k := range in.Instances {
		byUID[in.Instances[k].UID] = &in.Instances[k]
	}
	for _, row := range rentalsByID(&in.Sweep.Listing) {
		label, ours := fleet.ParseLabel(row.Label)
		//warmpool:gate leak-own-installation
		//warmpool:gate leak-not-recorded
		//warmpool:gate leak-not-elsewhere
		if _, recorded := owners[row.ID]; !ours || label.Installation != in.Installation || recorded || in.Elsewhere.holds(row.ID, &label) {
			continue
		}
		owner := byUID[label.InstanceUID]
		//warmpool:gate leak-not-of-an-attempt
		if owner != nil && owner.mayHaveMade(row, label.Attempt) {
			continue
		}
		sighting := in.Memory.Sightings[row.ID]
		if sighting.Sweeps == 0 {
			sighting.FirstSeenAt = in.Sweep.Listing.StartedAt
		}
		if in.Sweep.Listing.StartedAt.After(sighting.LastSeenAt) {
			sighting.Sweeps++
			sighting.LastSeenAt = in.Sweep.Listing.StartedAt
		}
		sighting.Leak = Leak{
			RentalID: row.ID, Label: row.Label, UID: label.InstanceUID, AttemptNumber: label.Attempt,
			USDPerHour: row.PriceUSDPerHour, StartedAt: row.StartedAt, OwnerExists: owner != nil,
		}
		sightings[row.ID] = sighting
	}
	return sightings
}

// mayHaveMade is true when the numbered attempt of the instance can have made
// the row.
func (i *Instance) mayHaveMade(row *fleet.Rental, number int32) bool {
	return slices.ContainsFunc(i.Attempts, func(a Attempt) bool {
		return a.Number == number && a.couldHaveMade(row)
	})
}

// endLeaks chooses the leaks to end.
func endLeaks(in *LeakInput, plan *LeakPlan) {
	for k := range plan.Leaks {
		leak := &plan.Leaks[k]
		//warmpool:gate leak-end-without-owner
		//warmpool:gate leak-end-min-age
		if leak.OwnerExists || leak.Age < in.Policy.MinAge {
			continue
		}
		//warmpool:gate leak-being-adopted
		if isNamedForAdoption(in.Instances, leak.RentalID) {
			continue
		}
		if _, decided := plan.Memory.EndedAt[leak.RentalID]; !decided {
			//warmpool:gate leak-end-per-hour
			if len(plan.Memory.EndedAt) >= in.Policy.MaxPerHour {
				continue
			}
			plan.Memory.EndedAt[leak.RentalID] = in.Now
		}
		plan.Terminate = append(plan.Terminate, ExtraRental{
			RentalID: leak.RentalID, UID: leak.UID, AttemptNumber: leak.AttemptNumber,
			USDPerHour: leak.USDPerHour, StartedAt: leak.StartedAt, Reason: ReasonSuspectedLeak,
		})
	}
}

// leakAge is the time since the rental began, or since it was first seen.
func leakAge(sighting *LeakSighting, now time.Time) time.Duration {
	since := sighting.FirstSeenAt
	if !sighting.Leak.StartedAt.IsZero() {
		since = sighting.Leak.StartedAt
	}
	return max(now.Sub(since), 0)
}

// countForeign counts the rentals that are nobody's business here.
func countForeign(in *LeakInput) int {
	owners, foreign := recordedBy(in.Instances), 0
	for k := range in.Sweep.Listing.Rentals {
		row := &in.Sweep.Listing.Rentals[k]
		label, ours := fleet.ParseLabel(row.Label)
		if _, recorded := owners[row.ID]; !recorded && (!ours || label.Installation != in.Installation) {
			foreign++
		}
	}
	return foreign
}
