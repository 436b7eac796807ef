package planner

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/warmpool-dev/warmpool/internal/fleet"
)

// worldDeadline is the attempt deadline: no rental appears later than this
// after its attempt.
const worldDeadline = 30

// worldRental is a rental as it really is, whatever lists show.
type worldRental struct {
	fleet.Rental
	uid string
	// appearsAt and endsAt bound its life in seconds.
	appearsAt, endsAt int
}

// world is a provider with faults and the objects of one installation. All
// decisions are the planner's; the world only does what it is told, badly.
type world struct {
	t         *rapid.T
	now       int
	nextID    int64
	nextUID   int
	rentals   []*worldRental
	instances []Instance
	pools     []AdmissionPool
	account   AccountState
	listing   *fleet.Listing
	hidden    int
	attempts  map[AttemptKey]Absence
	endings   TerminationMemory
	leaks     LeakMemory
	lookups   map[int64]Lookup
	sightings map[int64]int
}

// newWorld draws two pools and an account.
func newWorld(t *rapid.T) *world {
	w := &world{t: t, nextID: 100, sightings: map[int64]int{}}
	for _, key := range []string{"default/p", "default/q"} {
		pool := activePool()
		pool.Key = key
		pool.Replicas = int32(rapid.IntRange(1, 3).Draw(t, "replicas"))
		pool.MinReadyReplicas = pool.Replicas
		pool.CeilingUSDPerHour = usd(int64(rapid.IntRange(30, 200).Draw(t, "ceiling")))
		w.pools = append(w.pools, pool)
	}
	w.account = goodAccount()
	w.account.CeilingUSDPerHour = usd(int64(rapid.IntRange(30, 300).Draw(t, "account ceiling")))
	w.account.SeenTrustedSweep = false
	return w
}

// exists is true while a rental lives.
func (w *world) exists(rental *worldRental) bool {
	return rental.appearsAt <= w.now && w.now < rental.endsAt
}

// mayBill is true from the moment at which a rental is on its way.
func (w *world) mayBill(rental *worldRental) bool { return w.now < rental.endsAt }

// pick chooses an instance that the filter accepts, nil when there is none.
func (w *world) pick(what string, accepts func(*Instance) bool) *Instance {
	var found []*Instance
	for k := range w.instances {
		if accepts(&w.instances[k]) {
			found = append(found, &w.instances[k])
		}
	}
	if len(found) == 0 {
		return nil
	}
	return found[rapid.IntRange(0, len(found)-1).Draw(w.t, what)]
}

// create adds a pending object, also more of them than the pool wants.
func (w *world) create() {
	if len(w.instances) >= 8 {
		return
	}
	w.nextUID++
	instance := blank("uid-"+string(rune('a'+w.nextUID%26))+string(rune('a'+w.nextUID/26)), w.now)
	instance.Pool = w.pools[rapid.IntRange(0, 1).Draw(w.t, "pool")].Key
	w.instances = append(w.instances, instance)
}

// remove deletes an object.
func (w *world) remove() {
	if instance := w.pick("deleted", func(i *Instance) bool { return !i.Deleting }); instance != nil {
		instance.Deleting, instance.DeletingSince = true, moment(w.now)
	}
}

// offers draws a market.
func (w *world) offers() []fleet.Offer {
	var offers []fleet.Offer
	for range rapid.IntRange(0, 4).Draw(w.t, "offers") {
		w.nextID++
		offer := offerAt(w.nextID, usd(int64(rapid.IntRange(5, 120).Draw(w.t, "price"))))
		offer.MachineID = int64(rapid.IntRange(1, 6).Draw(w.t, "machine"))
		offers = append(offers, offer)
	}
	return offers
}

// rent does one rent from admission to a more or less lost answer.
func (w *world) rent() {
	plan := RankPending(w.pools, w.instances, moment(w.now))
	offers := w.offers()
	for k := range plan.Candidates {
		state := AdmissionState{Instances: w.instances, Listing: w.listing, Account: w.account, Now: moment(w.now)}
		admission := Admit(&plan.Candidates[k], offers, &state)
		if admission.Decision == DecisionAdmitted {
			w.journalAndCall(&admission)
			return
		}
	}
}

// journalAndCall writes the attempt ahead, checks again, and calls.
func (w *world) journalAndCall(admission *Admission) {
	at := slices.IndexFunc(w.instances, func(i Instance) bool { return i.UID == admission.UID })
	instance, offer := &w.instances[at], admission.Offer
	instance.Attempts = append(instance.Attempts, Attempt{
		Number: instance.NextAttemptNumber(), OfferID: offer.ID, MachineID: offer.MachineID, QuotedUSDPerHour: offer.PriceUSDPerHour,
		StartedAt: moment(w.now), Outcome: OutcomePending,
	})
	attempt := &instance.Attempts[len(instance.Attempts)-1]
	pool := w.pools[slices.IndexFunc(w.pools, func(p AdmissionPool) bool { return p.Key == instance.Pool })]
	if deferral := Recheck(&RecheckInput{
		UID: instance.UID, AttemptNumber: attempt.Number, PoolKey: pool.Key, PoolCeilingUSDPerHour: pool.CeilingUSDPerHour,
		AccountCeilingUSDPerHour: w.account.CeilingUSDPerHour, Instances: w.instances, Listing: w.listing, PriceUSDPerHour: offer.PriceUSDPerHour,
	}); deferral != nil {
		w.t.Fatalf("Admit and Recheck disagree: %+v against %+v", admission, deferral)
	}
	if !w.account.LastSweep.Trusted {
		w.t.Fatal("I5: rented on an untrusted list")
	}
	switch rapid.SampledFrom([]string{"made", "refused", "lost, made", "lost, not made", "in flight, made", "in flight, not made"}).Draw(w.t, "answer") {
	case "made":
		rental := w.make(instance, attempt, 0)
		attempt.Outcome, attempt.RentalID, attempt.FinishedAt = OutcomeSucceeded, rental.ID, moment(w.now)
		instance.Rental = &InstanceRental{ID: rental.ID, MachineID: rental.MachineID, RecordedAt: moment(w.now)}
	case "refused":
		attempt.Outcome = OutcomeRejected
	case "lost, made":
		w.make(instance, attempt, rapid.IntRange(0, worldDeadline).Draw(w.t, "delay"))
		attempt.Outcome = OutcomeUnknown
	case "lost, not made":
		attempt.Outcome = OutcomeUnknown
	case "in flight, made":
		w.make(instance, attempt, rapid.IntRange(0, worldDeadline).Draw(w.t, "delay"))
		instance.InFlight = true
	default:
		instance.InFlight = true
	}
}

// make creates the rental of an attempt, now or soon.
func (w *world) make(instance *Instance, attempt *Attempt, delay int) *worldRental {
	w.nextID++
	rental := &worldRental{uid: instance.UID, appearsAt: w.now + delay, endsAt: math.MaxInt}
	rental.Rental = row(w.nextID, labelOf(instance.UID, attempt.Number),
		attempt.QuotedUSDPerHour-fleet.USDMicros(rapid.IntRange(0, 10_000).Draw(w.t, "discount")))
	rental.MachineID = attempt.MachineID
	w.rentals = append(w.rentals, rental)
	return rental
}

// crash forgets everything that is not in an object.
func (w *world) crash() {
	for k := range w.instances {
		w.instances[k].InFlight = false
	}
	w.attempts, w.endings, w.leaks, w.lookups, w.listing = nil, nil, LeakMemory{}, nil, nil
	w.account.SeenTrustedSweep, w.account.LastTrustedSweepAt, w.account.LastSweep = false, time.Time{}, SweepVerdict{}
}

// hostEnds ends a rental behind everybody's back.
func (w *world) hostEnds() {
	if len(w.rentals) == 0 {
		return
	}
	rental := w.rentals[rapid.IntRange(0, len(w.rentals)-1).Draw(w.t, "ended by host")]
	rental.endsAt = min(rental.endsAt, w.now)
}

// foreign adds somebody else's rental.
func (w *world) foreign() {
	w.nextID++
	rental := &worldRental{appearsAt: w.now, endsAt: math.MaxInt}
	rental.Rental = row(w.nextID, "somebody's", usd(int64(rapid.IntRange(1, 30).Draw(w.t, "foreign price"))))
	w.rentals = append(w.rentals, rental)
}

// list reads the account. It may be untrusted and then show anything; a
// trusted one may lag and miss rentals, but not more than twice in a row.
func (w *world) list(behaving bool) Sweep {
	trusted := behaving || rapid.IntRange(0, 3).Draw(w.t, "trust") > 0
	lags := !behaving && w.hidden < 2 && rapid.IntRange(0, 4).Draw(w.t, "lag") == 0
	w.hidden = map[bool]int{true: w.hidden + 1, false: 0}[lags || !trusted && w.hidden > 0]
	var rows []fleet.Rental
	for _, rental := range w.rentals {
		if w.exists(rental) && (!lags && trusted || rapid.Bool().Draw(w.t, "shown")) {
			rows = append(rows, rental.Rental)
		}
	}
	sweep := sweepAt(w.now, rows...)
	sweep.Trusted = trusted
	return sweep
}

// sweep reads the account and does all that follows from it.
func (w *world) sweep(behaving bool) {
	sweep := w.list(behaving)
	w.now++
	w.account.LastSweep = SweepVerdict{Trusted: sweep.Trusted}
	if sweep.Trusted {
		w.account.SeenTrustedSweep, w.account.LastTrustedSweepAt = true, sweep.Listing.StartedAt
		w.listing = &sweep.Listing
		w.observePrices()
	}
	extras := w.resolve(sweep)
	w.findLeaks(sweep)
	w.terminate(sweep, extras, behaving)
}

// observePrices records what a trusted sweep says.
func (w *world) observePrices() {
	for k := range w.instances {
		rental := w.instances[k].Rental
		if rental == nil {
			continue
		}
		for n := range w.listing.Rentals {
			if w.listing.Rentals[n].ID == rental.ID {
				rental.ObservedUSDPerHour, rental.PriceKnown = ObservePrice(rental, &w.listing.Rentals[n])
			}
		}
	}
}

// resolve settles attempts.
func (w *world) resolve(sweep Sweep) []ExtraRental {
	plan := ResolveAttempts(&ResolveInput{
		Instances: w.instances, Installation: testInstallation, Sweep: sweep, Memory: w.attempts, AttemptDeadline: worldDeadline * time.Second,
	})
	w.attempts = plan.Memory
	if !sweep.Trusted && len(plan.Extras) > 0 {
		w.t.Fatalf("I5: an untrusted list ends %+v", plan.Extras)
	}
	for _, resolution := range plan.Resolutions {
		w.settle(&resolution, sweep)
	}
	return plan.Extras
}

// settle applies one resolution.
func (w *world) settle(resolution *Resolution, sweep Sweep) {
	at := slices.IndexFunc(w.instances, func(i Instance) bool { return i.UID == resolution.UID })
	instance := &w.instances[at]
	attempt := &instance.Attempts[slices.IndexFunc(instance.Attempts, func(a Attempt) bool { return a.Number == resolution.AttemptNumber })]
	if resolution.Action != ResolveWait && (!sweep.Trusted || instance.InFlight) {
		w.t.Fatalf("I5: %+v without trust or with the call in flight", resolution)
	}
	switch resolution.Action {
	case ResolveAdopt:
		attempt.Outcome, attempt.RentalID, attempt.FinishedAt = OutcomeSucceeded, resolution.RentalID, moment(w.now)
		instance.Rental = &InstanceRental{ID: resolution.RentalID, MachineID: resolution.Rental.MachineID, RecordedAt: moment(w.now)}
	case ResolveAbandon:
		if sweep.Listing.StartedAt.Sub(attempt.StartedAt) < 120*time.Second {
			w.t.Fatalf("I2: attempt of %s abandoned at %d", attempt.StartedAt, w.now)
		}
		for _, rental := range w.rentals {
			if rental.Label == labelOf(instance.UID, attempt.Number) && w.mayBill(rental) {
				w.t.Fatalf("I2: attempt %s/%d abandoned, rental %d lives", instance.UID, attempt.Number, rental.ID)
			}
		}
		attempt.Outcome = OutcomeAbandoned
	case ResolveWait:
	}
}

// findLeaks checks I4: what is labelled and neither recorded nor an attempt's
// is reported by the second trusted sweep that shows it.
func (w *world) findLeaks(sweep Sweep) {
	plan := FindLeaks(&LeakInput{
		Instances: w.instances, Installation: testInstallation, Sweep: sweep, Memory: w.leaks,
		Policy: LeakPolicy{Action: LeakTerminate, MaxPerHour: 100}, Now: moment(w.now),
	})
	w.leaks = plan.Memory
	owners := recordedBy(w.instances)
	for _, extra := range plan.Terminate {
		if _, recorded := owners[extra.RentalID]; recorded || !sweep.Trusted {
			w.t.Fatalf("I4: the recorded rental %d, or one on an untrusted list, ends as a leak", extra.RentalID)
		}
	}
}

// terminate ends and lets go.
func (w *world) terminate(sweep Sweep, extras []ExtraRental, behaving bool) {
	plan := PlanTerminations(&TerminationInput{
		Instances: w.instances, Extras: extras, Sweep: sweep, Memory: w.endings, Lookups: w.lookups, Now: moment(w.now),
	})
	w.endings = plan.Memory
	for _, destroy := range plan.Destroys {
		w.endings = RecordDestroy(w.endings, destroy.RentalID, moment(w.now))
		for _, rental := range w.rentals {
			if rental.ID == destroy.RentalID && (behaving || rapid.Bool().Draw(w.t, "obeyed")) {
				rental.endsAt = min(rental.endsAt, w.now+rapid.IntRange(0, 20).Draw(w.t, "slow end"))
			}
		}
	}
	w.lookups = map[int64]Lookup{}
	for _, id := range plan.NeedLookup {
		gone := !slices.ContainsFunc(w.rentals, func(r *worldRental) bool { return r.ID == id && w.exists(r) })
		w.lookups[id] = Lookup{At: moment(w.now), Gone: gone}
	}
	for _, lost := range plan.Lost {
		w.mustBeGone(lost.RentalID)
		at := slices.IndexFunc(w.instances, func(i Instance) bool { return i.UID == lost.UID })
		w.instances[at].Failed, w.instances[at].Deleting, w.instances[at].DeletingSince = true, true, moment(w.now)
	}
	for _, release := range plan.Releases {
		w.release(&release, sweep)
	}
}

// release takes an object away and checks that nothing of it bills (I6).
func (w *world) release(release *Release, sweep Sweep) {
	for k := range sweep.Listing.Rentals {
		if sweep.Listing.Rentals[k].ID == release.RentalID {
			w.t.Fatalf("I6: %+v while the list shows the rental", release)
		}
	}
	for _, rental := range w.rentals {
		if rental.uid == release.UID && w.mayBill(rental) {
			w.t.Fatalf("I6: %+v while rental %d lives", release, rental.ID)
		}
	}
	w.instances = slices.DeleteFunc(w.instances, func(i Instance) bool { return i.UID == release.UID })
}

// mustBeGone fails when a rental lives.
func (w *world) mustBeGone(id int64) {
	for _, rental := range w.rentals {
		if rental.ID == id && w.mayBill(rental) {
			w.t.Fatalf("rental %d was called gone and lives", id)
		}
	}
}

// check asserts what holds at every moment: I1 and I2 against the truth.
func (w *world) check() {
	perPool, perInstance := map[string]fleet.USDMicros{}, map[string]int{}
	var ours fleet.USDMicros
	for _, rental := range w.rentals {
		if rental.uid == "" || !w.mayBill(rental) {
			continue
		}
		at := slices.IndexFunc(w.instances, func(i Instance) bool { return i.UID == rental.uid })
		if at < 0 {
			w.t.Fatalf("I4: rental %d lives and no object accounts for it", rental.ID)
		}
		perPool[w.instances[at].Pool] += rental.PriceUSDPerHour
		ours += rental.PriceUSDPerHour
		if perInstance[rental.uid]++; perInstance[rental.uid] > 1 {
			w.t.Fatalf("I2: %s has %d rentals", rental.uid, perInstance[rental.uid])
		}
	}
	for k := range w.pools {
		pool := &w.pools[k]
		committed := CommittedOfPool(w.instances, pool.Key)
		if perPool[pool.Key] > committed || committed > pool.CeilingUSDPerHour {
			w.t.Fatalf("I1: pool %s bills %s, commits %s, ceiling %s", pool.Key, perPool[pool.Key], committed, pool.CeilingUSDPerHour)
		}
	}
	if ours > w.account.CeilingUSDPerHour {
		w.t.Fatalf("I1: the account bills %s of ours, ceiling %s", ours, w.account.CeilingUSDPerHour)
	}
}

// TestPropertyMoneyIsSafe runs random lives against I1, I2, I4, I5 and I6, and
// then lets the provider behave: everything deleted must be let go of and every
// outcome settled in bounded time (I7).
func TestPropertyMoneyIsSafe(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		t.Repeat(map[string]func(*rapid.T){
			"":          func(t *rapid.T) { w.t = t; w.check() },
			"create":    func(t *rapid.T) { w.t = t; w.create() },
			"remove":    func(t *rapid.T) { w.t = t; w.remove() },
			"rent":      func(t *rapid.T) { w.t = t; w.rent() },
			"rent more": func(t *rapid.T) { w.t = t; w.sweep(true); w.rent() },
			"wait":      func(t *rapid.T) { w.t = t; w.now += rapid.IntRange(1, 60).Draw(t, "seconds") },
			"sweep":     func(t *rapid.T) { w.t = t; w.sweep(false) },
			"sweeps": func(t *rapid.T) {
				w.t = t
				for range rapid.IntRange(2, 8).Draw(t, "sweeps") {
					w.now += rapid.IntRange(14, 45).Draw(t, "seconds")
					w.sweep(false)
				}
			},
			"crash":     func(t *rapid.T) { w.t = t; w.crash() },
			"host ends": func(t *rapid.T) { w.t = t; w.hostEnds() },
			"foreign":   func(t *rapid.T) { w.t = t; w.foreign() },
		})
		w.t = t
		w.converge()
	})
}

// converge deletes everything and gives a behaving provider half an hour.
func (w *world) converge() {
	w.crash()
	for k := range w.instances {
		if !w.instances[k].Deleting {
			w.instances[k].Deleting, w.instances[k].DeletingSince = true, moment(w.now)
		}
	}
	for range 120 {
		w.now += 15
		w.sweep(true)
		w.check()
	}
	if len(w.instances) > 0 {
		w.t.Fatalf("I7: %d objects are left: %+v", len(w.instances), w.instances)
	}
}

// TestPropertyUntrustedSweepIsNoEvidence: with whatever memory and rows, an
// untrusted sweep never adds evidence and never concludes anything (I5).
func TestPropertyUntrustedSweepIsNoEvidence(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		for range rapid.IntRange(1, 12).Draw(t, "steps") {
			w.create()
			w.rent()
			w.now += rapid.IntRange(1, 60).Draw(t, "seconds")
			w.sweep(true)
			w.rent()
		}
		w.remove()
		w.now += 15
		sweep := w.list(false)
		sweep.Trusted = false
		resolved := ResolveAttempts(&ResolveInput{
			Instances: w.instances, Installation: testInstallation, Sweep: sweep, Memory: w.attempts, AttemptDeadline: worldDeadline * time.Second,
		})
		for key, absence := range resolved.Memory {
			if absence.Sweeps > w.attempts[key].Sweeps {
				t.Fatalf("attempt %v gained evidence: %+v", key, absence)
			}
		}
		planned := PlanTerminations(&TerminationInput{Instances: w.instances, Sweep: sweep, Memory: w.endings, Lookups: w.lookups, Now: moment(w.now)})
		for id, evidence := range planned.Memory {
			if evidence.Absence.Sweeps > w.endings[id].Absence.Sweeps {
				t.Fatalf("rental %d gained evidence: %+v", id, evidence)
			}
		}
		if len(planned.Lost)+len(planned.GoneExtras)+len(planned.NeedLookup) > 0 {
			t.Fatalf("concluded from an untrusted list: %+v", planned)
		}
		found := FindLeaks(&LeakInput{Instances: w.instances, Installation: testInstallation, Sweep: sweep, Memory: w.leaks, Now: moment(w.now)})
		if diff := cmp.Diff(w.leaks.Sightings, found.Memory.Sightings); diff != "" {
			t.Fatalf("leaks gained evidence (-before +after):\n%s", diff)
		}
	})
}

// TestPropertyRankIsTotal: the order does not depend on the order of the input.
func TestPropertyRankIsTotal(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var offers []fleet.Offer
		for id := range rapid.IntRange(0, 12).Draw(t, "offers") {
			offer := offerAt(int64(id+1), fleet.USDMicros(rapid.Int64Range(1, 5).Draw(t, "price")))
			offer.ReliabilityPPM = rapid.SampledFrom([]int64{0, 1, 950_000, 990_000}).Draw(t, "reliability")
			offer.PerformanceMilli = rapid.SampledFrom([]int64{0, 1, 2, math.MaxInt64}).Draw(t, "performance")
			offer.ScoreMilli = rapid.SampledFrom([]int64{0, 1, math.MaxInt64}).Draw(t, "score")
			offer.Datacenter = rapid.Bool().Draw(t, "datacenter")
			offers = append(offers, offer)
		}
		ranking := rapid.SampledFrom([]Ranking{RankingPrice, RankingPriceReliability, RankingPricePerformance, RankingScore}).Draw(t, "ranking")
		preferred := rapid.Bool().Draw(t, "preferred")
		want := Rank(offers, ranking, preferred)
		got := Rank(rapid.Permutation(offers).Draw(t, "shuffled"), ranking, preferred)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("order (-sorted +shuffled):\n%s", diff)
		}
	})
}
