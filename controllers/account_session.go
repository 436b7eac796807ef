package controllers

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/fleet"
	"github.com/warmpool-dev/warmpool/internal/planner"
)

// accountSession is what this process remembers of one account between
// reconciles. Everything in it may be lost at any moment: what money depends on
// is in the objects, and a new session trusts nothing until it has swept.
type accountSession struct {
	mu sync.Mutex

	link connection
	// lastGood is the last connection whose key was accepted: it outlives its Secret
	// while the account is being deleted.
	lastGood connection

	trust   planner.TrustMemory
	verdict planner.SweepVerdict
	// latest is the last reading, lastTrusted the last one that may be acted upon.
	latest, lastTrusted *planner.Sweep
	// counted is what spending counts: the last trusted reading, and what only the
	// one before it showed.
	counted   *fleet.Listing
	sweepTook time.Duration

	attempts map[planner.AttemptKey]planner.Absence
	leaks    planner.LeakMemory
	ends     planner.TerminationMemory
	ledger   ledgerSession
	lookups  map[int64]planner.Lookup
	// lookupFails counts the look-ups of a rental in a row that told nothing.
	lookupFails map[int64]int
	// elsewhere is what the WarmInstances of other accounts hold.
	elsewhere planner.Elsewhere
	// observedAt is the start of the last trusted sweep that was written into
	// the objects.
	observedAt time.Time
	// increases are the hosts' pending proposals by rental, read at increasesAt.
	// Only the sweep touches them.
	increases   map[int64]fleet.PriceIncrease
	increasesAt time.Time
	// twins are the rentals of a second writer with our installation id.
	twins map[int64]planner.Twin
	// endingSince is when this process first saw that an instance is to end, by UID.
	endingSince map[string]time.Time
	// emergency is true while the account is stopped, as the terminator last saw it.
	emergency bool
	// stuck are the ends that take too long, as the terminator last saw them.
	stuck []planner.StuckTermination
	// extras are rentals that no object names as its own and that must end.
	extras []planner.ExtraRental

	rents    map[string]bool
	rentEnds []time.Time
	searches map[string]searchAnswer
	logTried map[string]bool
	// refusals are the last rents that were turned down, by pool.
	refusals map[string]refusal
}

// searchAnswer is one search, remembered for a moment so that one search
// serves several rents. The price is checked again when the rent is planned.
type searchAnswer struct {
	offers []fleet.Offer
	at     time.Time
	err    error
	// served is true once an offer of it was rented: then it is not kept for long.
	served bool
}

// accountSessions holds the sessions of all accounts. The zero value is ready.
type accountSessions struct {
	mu    sync.Mutex
	byKey map[types.NamespacedName]*accountSession
	// issued holds the UIDs of WarmInstances that this process has seen or rented
	// for, whatever their account, and when it last did.
	issued map[string]time.Time
}

// of returns the session of an account, made on first use.
func (s *accountSessions) of(key types.NamespacedName) *accountSession {
	s.mu.Lock()
	defer s.mu.Unlock()
	session, found := s.byKey[key]
	if !found {
		session = &accountSession{
			rents: map[string]bool{}, lookups: map[int64]planner.Lookup{}, lookupFails: map[int64]int{},
			searches: map[string]searchAnswer{}, logTried: map[string]bool{}, refusals: map[string]refusal{},
		}
		if s.byKey == nil {
			s.byKey = map[types.NamespacedName]*accountSession{}
		}
		s.byKey[key] = session
	}
	return session
}

// forget drops the session of an account that is gone.
func (s *accountSessions) forget(key types.NamespacedName) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.byKey, key)
}

// isInFlight is true while this process is in the middle of a rent for the instance.
func (a *accountSession) isInFlight(uid string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.rents[uid]
}

// beginRent marks a rent as under way; the returned function ends the mark and
// remembers the moment, for sweeps that were read meanwhile.
func (a *accountSession) beginRent(uid string, now func() time.Time) func() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.rents[uid] = true
	return func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		delete(a.rents, uid)
		const remembered = 32
		a.rentEnds = append(a.rentEnds, now())
		if len(a.rentEnds) > remembered {
			a.rentEnds = a.rentEnds[len(a.rentEnds)-remembered:]
		}
	}
}

// rentsSince counts the rents that were under way at some moment since start.
func (a *accountSession) rentsSince(start time.Time) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	count := len(a.rents)
	for _, end := range a.rentEnds {
		if !end.Before(start) {
			count++
		}
	}
	return count
}

// connection returns the connection as it was last verified.
func (a *accountSession) connection() connection {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.link
}

// lastListing returns what spending counts besides the objects, nil before
// there is a trusted reading. What one reading alone does not show any more
// still counts: a list that is whole, consistent and empty for a moment must not
// make room under the ceiling (I1).
func (a *accountSession) lastListing() *fleet.Listing {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.counted
}

// countAlso returns a reading with the rentals that only the one before showed.
func countAlso(now, before *planner.Sweep) *fleet.Listing {
	counted := now.Listing
	if before == nil {
		return &counted
	}
	counted.Rentals = slices.Clone(counted.Rentals)
	for k := range before.Listing.Rentals {
		row := &before.Listing.Rentals[k]
		if !slices.ContainsFunc(now.Listing.Rentals, func(shown fleet.Rental) bool { return shown.ID == row.ID }) {
			counted.Rentals = append(counted.Rentals, *row)
		}
	}
	return &counted
}

// spendState gathers what spending depends on at the account.
func (a *accountSession) spendState(account *warmpool.VastAccount, leaseFresh bool) planner.AccountState {
	a.mu.Lock()
	defer a.mu.Unlock()
	return planner.AccountState{
		Mode:     planner.AccountMode(account.Spec.Mode),
		Deleting: !account.DeletionTimestamp.IsZero(), LeaseFresh: leaseFresh,
		CredentialsVerified: a.link.verified, IdentityStable: a.link.isStable(account),
		// Nothing is rented before it is written down whose account it is: the
		// next process could not tell this user's list from another's (I5).
		//warmpool:gate spend-user-written-down
		SeenTrustedSweep: a.trust.SeenTrusted && account.Status.UserID != 0, LastSweep: a.verdict,
		LastTrustedSweepAt: a.trust.LastTrustedAt, MaxSweepAge: maxSweepAge(account, a.sweepTook),
		BreakerTripped: a.trust.BreakerTripped,
		BalanceKnown:   a.link.verified, BalanceUSD: a.link.user.BalanceUSD,
		MinBalanceUSD: usdOf(string(account.Spec.MinBalanceUSD)), RunwaySeconds: int64Of(account.Spec.RunwaySeconds),
		CeilingUSDPerHour: usdOf(string(account.Spec.CeilingUSDPerHour)),
	}
}

// maxSweepAge is how old the last trusted sweep may be for a rent: two poll
// periods, counted from the start of a sweep that may itself take long.
func maxSweepAge(account *warmpool.VastAccount, took time.Duration) time.Duration {
	const slack = 30 * time.Second
	return 2*(pollPeriod(account)+took) + slack
}

// pollPeriod is the time between two sweeps.
func pollPeriod(account *warmpool.VastAccount) time.Duration {
	const fallback = 15
	return time.Duration(cmp.Or(account.Spec.PollPeriodSeconds, fallback)) * time.Second
}

// rememberSearch keeps the answer of a search and drops old ones.
func (a *accountSession) rememberSearch(key string, answer searchAnswer) {
	a.mu.Lock()
	defer a.mu.Unlock()
	maps.DeleteFunc(a.searches, func(_ string, old searchAnswer) bool { return answer.at.Sub(old.at) > searchForgotten })
	a.searches[key] = answer
}

// nextLookup is the rental to ask for: the one that told nothing least often,
// so that one which never answers does not hold up the others.
func (a *accountSession) nextLookup(ids []int64) int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.MinFunc(ids, func(x, y int64) int {
		return cmp.Or(cmp.Compare(a.lookupFails[x], a.lookupFails[y]), cmp.Compare(x, y))
	})
}

// putLookupLast notes a look-up that told nothing.
func (a *accountSession) putLookupLast(id int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.lookupFails[id]++
}

// search returns the answer of an earlier search.
func (a *accountSession) search(key string) (searchAnswer, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	answer, found := a.searches[key]
	return answer, found
}

// forgetSearch drops the answer of a search.
func (a *accountSession) forgetSearch(key string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.searches, key)
}

// dropOffers forgets the offers of a machine that was just rented or refused.
func (a *accountSession) dropOffers(machineID int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for key, answer := range a.searches {
		kept := make([]fleet.Offer, 0, len(answer.offers))
		for _, offer := range answer.offers {
			if offer.MachineID != machineID {
				kept = append(kept, offer)
			}
		}
		answer.offers, answer.served = kept, true
		a.searches[key] = answer
	}
}

// markObserved notes that the objects now show what the sweep saw.
func (a *accountSession) markObserved(at time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.observedAt = at
}

// LastTrustedSweep says when the account's instances were last read, by this
// process, in a way that may be acted upon; zero before that. The objects show
// what that reading saw.
func (r *VastAccountReconciler) LastTrustedSweep(account types.NamespacedName) time.Time {
	session := r.sessions.of(account)
	session.mu.Lock()
	defer session.mu.Unlock()
	return session.observedAt
}
