package planner

import (
	"fmt"
	"time"

	"github.com/warmpool-dev/warmpool/internal/fleet"
)

// AccountMode is spec.mode of a VastAccount.
type AccountMode string

// The modes of an account.
const (
	// AccountActive: rent and end as the pools ask.
	AccountActive AccountMode = "Active"
	// AccountFrozen: rent nothing.
	AccountFrozen AccountMode = "Frozen"
	// AccountEmergencyStop: rent nothing and end everything of ours.
	AccountEmergencyStop AccountMode = "EmergencyStop"
)

// AccountState is what spending depends on at the account.
type AccountState struct {
	// Mode is spec.mode. Anything but Active forbids spending, the zero value too.
	Mode AccountMode
	// Deleting is true once the account object has a deletion timestamp.
	Deleting bool
	// LeaseFresh is true while no other leader can exist.
	LeaseFresh bool
	// CredentialsVerified is true when the present key worked when last used.
	CredentialsVerified bool
	// IdentityStable is true when the key opens the pinned account.
	IdentityStable bool
	// Twin is what to say about a second writer with our installation id; empty
	// for none. See TwinMessage.
	Twin string
	// SharedWith names an older account object with a key of the same user; empty
	// for none. See SharedUser.
	SharedWith string
	// SeenTrustedSweep is true once this process has seen a trusted sweep.
	SeenTrustedSweep bool
	// LastSweep is the verdict on the latest sweep.
	LastSweep SweepVerdict
	// LastTrustedSweepAt is the start of the last trusted sweep.
	LastTrustedSweepAt time.Time
	// MaxSweepAge is how old that may be; two poll periods.
	MaxSweepAge time.Duration
	// BreakerTripped is true while a suspicious drop is not cleared up.
	BreakerTripped bool
	// BalanceKnown is true once BalanceUSD was read.
	BalanceKnown bool
	// BalanceUSD is the credit in dollars, not per hour.
	BalanceUSD fleet.USDMicros
	// MinBalanceUSD is what must remain after the runway, in dollars.
	MinBalanceUSD fleet.USDMicros
	// RunwaySeconds is how long the balance must last.
	RunwaySeconds int64
	// CeilingUSDPerHour bounds the account's committed cost. 0 affords nothing.
	CeilingUSDPerHour fleet.USDMicros
}

// spendCheck is one condition for spending at all.
type spendCheck struct {
	reason  string
	blocked func(*AccountState, time.Time) bool
	message func(*AccountState, time.Time) string
}

// SpendGate returns nil when the account may spend now, and otherwise the first
// reason why not (I5). It looks at no price: an attempt whose outcome is
// unknown does not close the gate for others, its quote is reserved in
// committed cost instead.
func SpendGate(account *AccountState, now time.Time) *Deferral {
	for _, check := range spendChecks() {
		if check.blocked(account, now) {
			return &Deferral{Reason: check.reason, Message: check.message(account, now)}
		}
	}
	return nil
}

// says makes a constant message.
func says(text string) func(*AccountState, time.Time) string {
	return func(*AccountState, time.Time) string { return text }
}

// spendChecks lists the gate's conditions: first what people decided, then who
// we are, then what we know.
func spendChecks() []spendCheck {
	return append([]spendCheck{
		{
			reason:  ReasonEmergencyStop,
			blocked: func(a *AccountState, _ time.Time) bool { return a.Mode == AccountEmergencyStop },
			message: says("The VastAccount's spec.mode is EmergencyStop: nothing is rented, and all of its rentals are ended. Set it to Active to resume."),
		},
		{
			reason: ReasonAccountFrozen,
			//warmpool:gate spend-account-active
			blocked: func(a *AccountState, _ time.Time) bool { return a.Mode != AccountActive },
			message: says("The VastAccount's spec.mode is Frozen: nothing is rented, and what runs stays. Set it to Active to resume."),
		},
		{
			reason: ReasonAccountDeleting,
			//warmpool:gate spend-account-stays
			blocked: func(a *AccountState, _ time.Time) bool { return a.Deleting },
			message: says("The VastAccount is being deleted: nothing is rented."),
		},
		{
			reason: ReasonLeaseNotFresh,
			//warmpool:gate spend-lease-fresh
			blocked: func(a *AccountState, _ time.Time) bool { return !a.LeaseFresh },
			message: says("The manager could not renew its leader lease lately, so another one may be in charge. It waits for the renewal; if that takes minutes, check the manager's connection to the API server."),
		},
		{
			reason: ReasonCredentialsInvalid,
			//warmpool:gate spend-key-verified
			blocked: func(a *AccountState, _ time.Time) bool { return !a.CredentialsVerified },
			message: says("The API key of the VastAccount is missing, refused or not verified yet. Its condition CredentialsValid says which, and what to do (kubectl describe va)."),
		},
		{
			reason: ReasonAccountIdentityChanged,
			//warmpool:gate spend-same-account
			blocked: func(a *AccountState, _ time.Time) bool { return !a.IdentityStable },
			message: says("The API key belongs to another Vast.ai user than this account always had, whose rentals are out of reach and bill on. Put a key of the old user back (kubectl describe va)."),
		},
		twinCheck(), sharedUserCheck(),
		{
			reason: ReasonAwaitingFirstSweep,
			//warmpool:gate spend-first-list
			blocked: func(a *AccountState, _ time.Time) bool { return !a.SeenTrustedSweep || a.LastTrustedSweepAt.IsZero() },
			message: says("The manager has just started and has not read the list of the account's instances yet. It waits for a list that it can trust."),
		},
		{
			reason: ReasonSuspiciousDrop,
			//warmpool:gate spend-no-sudden-drop
			blocked: func(a *AccountState, _ time.Time) bool { return a.BreakerTripped },
			message: says("Too many known rentals vanished from the list at once. Nothing is rented until three lists in a row agree."),
		},
		{
			reason: ReasonProviderUntrusted,
			//warmpool:gate spend-list-trusted
			blocked: func(a *AccountState, _ time.Time) bool { return !a.LastSweep.Trusted },
			message: func(a *AccountState, _ time.Time) string {
				return "The latest list of the account's instances cannot be trusted. " + a.LastSweep.Message
			},
		},
		{
			reason: ReasonSweepStale,
			//warmpool:gate spend-list-fresh
			blocked: func(a *AccountState, now time.Time) bool {
				age := now.Sub(a.LastTrustedSweepAt)
				// A sweep from the future means that the clock stepped back: its age is unknown.
				return age < 0 || age > a.MaxSweepAge
			},
			message: func(a *AccountState, _ time.Time) string {
				return fmt.Sprintf("The last trusted list of the account's instances is more than %s old. Waiting for the next one.", wholeSeconds(a.MaxSweepAge))
			},
		},
	}, balanceChecks()...)
}

// balanceChecks are about the account's credit.
func balanceChecks() []spendCheck {
	return []spendCheck{
		{
			reason: ReasonBalanceUnknown,
			//warmpool:gate spend-balance-known
			blocked: func(a *AccountState, _ time.Time) bool { return !a.BalanceKnown },
			message: says("The account's credit is not known yet. Waiting for the next reading."),
		},
		{
			reason: ReasonBalanceLow,
			//warmpool:gate spend-minimum-balance
			blocked: func(a *AccountState, _ time.Time) bool { return a.BalanceUSD < a.MinBalanceUSD },
			message: func(a *AccountState, _ time.Time) string {
				return fmt.Sprintf("The credit of $%s is below the VastAccount's spec.minBalanceUSD of $%s. Add credit at Vast.ai.", a.BalanceUSD.Cents(), a.MinBalanceUSD.Cents())
			},
		},
	}
}

// twinCheck is about a second writer with our installation id.
func twinCheck() spendCheck {
	return spendCheck{
		reason: ReasonDuplicateInstallation,
		//warmpool:gate spend-no-second-writer
		blocked: func(a *AccountState, _ time.Time) bool { return a.Twin != "" },
		message: func(a *AccountState, _ time.Time) string { return a.Twin },
	}
}

// sharedUserCheck is about another account object over the same credit.
func sharedUserCheck() spendCheck {
	return spendCheck{
		reason: ReasonSharedUser,
		//warmpool:gate spend-not-beside-an-older-account
		blocked: func(a *AccountState, _ time.Time) bool { return a.SharedWith != "" },
		message: func(a *AccountState, _ time.Time) string {
			return fmt.Sprintf("VastAccount %s has a key of the same Vast.ai user, and is older. Two ceilings over one credit would each allow the whole of it, so only that one rents. Let the pools use it (spec.accountRef of a new pool), or put a key of another user into this one's Secret.", a.SharedWith)
		},
	}
}

// wholeSeconds rounds a duration for people.
func wholeSeconds(d time.Duration) time.Duration { return d.Round(time.Second) }
