package planner

import (
	"fmt"
	"slices"
	"time"

	"github.com/warmpool-dev/warmpool/internal/fleet"
)

const (
	// identityWindow is how far the identity probe may be from the sweep: the same minute.
	identityWindow = time.Minute
	// maxDropCount and maxDropPercent bound how many known rentals may vanish
	// in one sweep before it is suspicious: more than the larger of the two.
	maxDropCount   = 2
	maxDropPercent = 30
	// agreeingSweeps in a row clear up a suspicious drop.
	agreeingSweeps = 3
)

// TrustMemory is what JudgeSweep remembers between two sweeps. The zero value
// is right after a start.
type TrustMemory struct {
	// SeenTrusted is true once a sweep was trusted.
	SeenTrusted bool
	// LastTrustedAt is the start of the last trusted sweep.
	LastTrustedAt time.Time
	// Missing holds the known rentals that the last trusted sweep did not
	// show, ascending: only what goes missing beyond them is a drop.
	Missing []int64
	// BreakerTripped is true from a suspicious drop until sweeps agree again.
	BreakerTripped bool
	// Suspect holds the rentals missing from the last sweep judged while the
	// breaker was tripped, ascending.
	Suspect []int64
	// Agreeing counts the sweeps in a row that showed exactly Suspect missing,
	// not counting the one that tripped the breaker.
	Agreeing int
}

// SweepObservation is one sweep and the circumstances it was made in.
type SweepObservation struct {
	// Listing is what was read; it means nothing when Err is set.
	Listing fleet.Listing
	// Err is the error of the reading.
	Err error
	// IdentityUserID is whom the key belonged to at IdentityAt; 0 when never asked.
	IdentityUserID int64
	IdentityAt     time.Time
	// IdentityErr is the error of the last identity probe.
	IdentityErr error
	// PinnedUserID is the account that the key must belong to; 0 when none is pinned.
	PinnedUserID int64
	// OwnRents is the number of our rents that may have taken effect while the
	// sweep was read: calls in flight and outcomes unknown.
	OwnRents int
	// OwnEnds is the number of rentals of ours that we asked to end and that
	// are not confirmed gone.
	OwnEnds int
	// KnownRunning are the rentals that WarmInstances record, without those
	// that are terminating.
	KnownRunning []int64
}

// SweepVerdict says whether a sweep may be believed.
type SweepVerdict struct {
	// Trusted is true when the sweep is evidence.
	Trusted bool
	// Reason is ReasonTrusted or why not.
	Reason string
	// Message is a sentence for people.
	Message string
}

// JudgeSweep decides whether a sweep is trusted, and returns the memory for the
// next one. A sweep is trusted when all of this holds:
//
//   - it was read without an error, and at least one page was;
//   - no row is without an id, and none is there twice;
//   - the rows add up to the total on the first and on the last page (see
//     checkTotals for what our own rents and ends may change meanwhile);
//   - the identity probe named the pinned account within a minute of it;
//   - not more than max(2, 30 %) of the known rentals vanished since the last
//     trusted sweep. Otherwise a breaker trips, and no sweep is trusted until
//     three later ones in a row are otherwise good and agree with each other on
//     what is missing.
//
// An error, a 404, a 410, HTML or an empty body are never "no instances".
func JudgeSweep(memory TrustMemory, seen *SweepObservation) (TrustMemory, SweepVerdict) {
	for _, check := range []func(*SweepObservation) *SweepVerdict{checkAnswer, checkRows, checkTotals, checkIdentity} {
		if verdict := check(seen); verdict != nil {
			// Agreement means sweeps in a row: one that says nothing breaks the row.
			//warmpool:gate trust-failure-breaks-the-row
			memory.Agreeing = 0
			return memory, *verdict
		}
	}
	return judgeDrop(memory, seen)
}

// judgeDrop is the last stage of JudgeSweep.
func judgeDrop(memory TrustMemory, seen *SweepObservation) (TrustMemory, SweepVerdict) {
	missing := missingRentals(seen)
	//warmpool:gate trust-breaker-holds
	if memory.BreakerTripped {
		//warmpool:gate trust-lists-agree
		if agrees(memory.Suspect, missing, seen.KnownRunning) {
			memory.Agreeing++
		} else {
			memory.Agreeing = 1
		}
		memory.Suspect = missing
		//warmpool:gate trust-three-agree
		if memory.Agreeing < agreeingSweeps {
			return memory, SweepVerdict{Reason: ReasonSuspiciousDrop, Message: fmt.Sprintf(
				"%d known rentals are missing from the list; %d of %d further lists agree so far. Nothing is rented or given up until they do.",
				len(missing), memory.Agreeing, agreeingSweeps)}
		}
		return trusted(seen, missing)
	}
	dropped := subtract(missing, memory.Missing)
	known := len(seen.KnownRunning) - (len(missing) - len(dropped))
	//warmpool:gate trust-no-sudden-drop
	if len(dropped) > maxDropCount && len(dropped)*100 > known*maxDropPercent {
		memory.BreakerTripped, memory.Suspect, memory.Agreeing = true, missing, 0
		return memory, SweepVerdict{Reason: ReasonSuspiciousDrop, Message: fmt.Sprintf(
			"%d of %d known rentals vanished from the list at once. Nothing is rented or given up until %d further lists agree.",
			len(dropped), known, agreeingSweeps)}
	}
	return trusted(seen, missing)
}

// trusted closes the books on a believed sweep.
func trusted(seen *SweepObservation, missing []int64) (TrustMemory, SweepVerdict) {
	memory := TrustMemory{SeenTrusted: true, LastTrustedAt: seen.Listing.StartedAt, Missing: missing}
	return memory, SweepVerdict{Trusted: true, Reason: ReasonTrusted, Message: fmt.Sprintf(
		"The list is complete: %s on %s.", plural(len(seen.Listing.Rentals), "instance", "instances"), plural(seen.Listing.Pages, "page", "pages"))}
}

// checkAnswer refuses a reading that failed.
func checkAnswer(seen *SweepObservation) *SweepVerdict {
	//warmpool:gate trust-answered
	if seen.Err != nil {
		return refusal(seen.Err)
	}
	//warmpool:gate trust-read-to-the-end
	if seen.Listing.Pages < 1 || seen.Listing.StartedAt.IsZero() || seen.Listing.FinishedAt.Before(seen.Listing.StartedAt) {
		return &SweepVerdict{Reason: ReasonInvalidResponse, Message: "The list was not read to its end. It is read again."}
	}
	return nil
}

// refusal explains a failed call.
func refusal(err error) *SweepVerdict {
	switch fleet.KindOf(err) {
	case fleet.KindUnauthorized:
		return &SweepVerdict{Reason: ReasonCredentialsInvalid, Message: "Vast.ai does not accept the API key. Put a valid key into the account's Secret."}
	case fleet.KindForbidden:
		return &SweepVerdict{Reason: ReasonCredentialsInvalid, Message: "The API key lacks a permission. Give it instance_read, instance_write, user_read and misc."}
	case fleet.KindRateLimited:
		return &SweepVerdict{Reason: ReasonRateLimited, Message: "Vast.ai asks to slow down. The list is read again later, and less often."}
	case fleet.KindDeprecated:
		return &SweepVerdict{Reason: ReasonAPIDeprecated, Message: "Vast.ai has retired the endpoint. Upgrade Warmpool."}
	case fleet.KindUnavailable, fleet.KindNotSent:
		return &SweepVerdict{Reason: ReasonProviderUnreachable, Message: "Vast.ai did not answer. The list is read again later; nothing is rented meanwhile, and what runs goes on."}
	default:
		return &SweepVerdict{Reason: ReasonInvalidResponse, Message: "The answer of Vast.ai cannot be read as a list of instances. It is read again; nothing is rented meanwhile."}
	}
}

// checkRows refuses a list with a row that names nothing, or one that shows a
// rental twice: a repeated page hides another.
func checkRows(seen *SweepObservation) *SweepVerdict {
	ids := make(map[int64]bool, len(seen.Listing.Rentals))
	for k := range seen.Listing.Rentals {
		id := seen.Listing.Rentals[k].ID
		//warmpool:gate trust-row-has-an-id
		if id <= 0 {
			return &SweepVerdict{Reason: ReasonInvalidResponse, Message: "The list holds an instance without an id. It is read again."}
		}
		//warmpool:gate trust-row-once
		if ids[id] {
			return &SweepVerdict{Reason: ReasonInconsistentList, Message: fmt.Sprintf("The list shows instance %d twice. It is read again.", id)}
		}
		ids[id] = true
	}
	return nil
}

// checkTotals compares the number of rows with the totals on the first and the
// last page. All three must be equal, except that on a list of several pages
// our own acts may show:
//
//   - a rent adds one: rows may exceed the first total, and the last total may
//     exceed the first and the rows, by at most the rents under way;
//   - an end removes one: rows may fall short of the first total, and the last
//     total of the first and of the rows, by at most the ends under way.
//
// Either is bounded by pages + 1 as well. Reading a page takes a second or more
// and destroys are three seconds apart, so more than that cannot happen in one
// sweep; without the bound an emergency stop could explain away any list.
// A single page is one answer and has to be exact.
func checkTotals(seen *SweepObservation) *SweepVerdict {
	list := &seen.Listing
	rows, first, last := len(list.Rentals), list.FirstTotal, list.LastTotal
	rents, ends := 0, 0
	//warmpool:gate trust-one-page-is-exact
	if list.Pages > 1 {
		//warmpool:gate trust-drift-bounded
		rents, ends = min(seen.OwnRents, list.Pages+1), min(seen.OwnEnds, list.Pages+1)
	}
	added := max(rows-first, last-first, last-rows)
	removed := max(first-rows, first-last, rows-last)
	//warmpool:gate trust-totals
	if added > max(rents, 0) || removed > max(ends, 0) {
		return &SweepVerdict{Reason: ReasonInconsistentList, Message: fmt.Sprintf(
			"The list holds %s, but says %d on its first and %d on its last page. It is read again.", plural(rows, "instance", "instances"), first, last)}
	}
	return nil
}

// checkIdentity refuses a list of an account that is not known to be the pinned one.
func checkIdentity(seen *SweepObservation) *SweepVerdict {
	//warmpool:gate trust-same-account
	if seen.IdentityUserID != 0 && seen.PinnedUserID != 0 && seen.IdentityUserID != seen.PinnedUserID {
		return &SweepVerdict{Reason: ReasonAccountIdentityChanged, Message: fmt.Sprintf(
			"The API key belongs to user %d, not to the pinned user %d, whose rentals bill on. Put a key of that user back.",
			seen.IdentityUserID, seen.PinnedUserID)}
	}
	//warmpool:gate trust-identity-answered
	if seen.IdentityErr != nil {
		if kind := fleet.KindOf(seen.IdentityErr); kind == fleet.KindUnauthorized || kind == fleet.KindForbidden {
			return refusal(seen.IdentityErr)
		}
		return &SweepVerdict{Reason: ReasonIdentityUnverified, Message: "Vast.ai did not say whose account the API key opens. It is asked again."}
	}
	early := seen.IdentityAt.Before(seen.Listing.StartedAt.Add(-identityWindow))
	late := seen.IdentityAt.After(seen.Listing.FinishedAt.Add(identityWindow))
	//warmpool:gate trust-account-pinned
	//warmpool:gate trust-identity-within-a-minute
	if seen.PinnedUserID == 0 || seen.IdentityUserID == 0 || early || late {
		return &SweepVerdict{Reason: ReasonIdentityUnverified, Message: "It was not verified within a minute of the list whose account the API key opens. It is asked again."}
	}
	return nil
}

// missingRentals returns the known rentals that the sweep does not show, ascending.
func missingRentals(seen *SweepObservation) []int64 {
	shown := make([]int64, 0, len(seen.Listing.Rentals))
	for k := range seen.Listing.Rentals {
		shown = append(shown, seen.Listing.Rentals[k].ID)
	}
	return subtract(seen.KnownRunning, shown)
}

// agrees is true when, among the rentals that are still known, the same ones
// are missing as before.
func agrees(before, after, known []int64) bool {
	came := subtract(intersect(before, known), after)
	went := subtract(after, before)
	return len(came) == 0 && len(went) == 0
}

// subtract returns the distinct ids of from that are not in ids, ascending.
func subtract(from, ids []int64) []int64 {
	return filterIDs(from, ids, false)
}

// intersect returns the distinct ids that are in both, ascending.
func intersect(from, ids []int64) []int64 {
	return filterIDs(from, ids, true)
}

// filterIDs keeps the ids whose membership in others is as wanted.
func filterIDs(from, others []int64, wanted bool) []int64 {
	member := make(map[int64]bool, len(others))
	for _, id := range others {
		member[id] = true
	}
	var kept []int64
	for _, id := range from {
		if member[id] == wanted {
			kept = append(kept, id)
		}
	}
	slices.Sort(kept)
	return slices.Compact(kept)
}
