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
	return []spendCheck{
		{
			reason:  ReasonEmergencyStop,
			blocked: func(a *AccountState, _ time.Time) bool { return a.Mode == AccountEmergencyStop },
			message: says("The account is in emergency stop: nothing is rented. Set spec.mode to Active to resume."),
		},
		{
			reason:  ReasonAccountFrozen,
			blocked: func(a *AccountState, _ time.Time) bool { return a.Mode != AccountActive },
			message: says("The account is frozen: nothing is rented. Set spec.mode to Active to resume."),
		},
		{
			reason:  ReasonAccountDeleting,
			blocked: func(a *AccountState, _ time.Time) bool { return a.Deleting },
			message: says("The account object is being deleted: nothing is rented."),
		},
		{
			reason:  ReasonLeaseNotFresh,
			blocked: func(a *AccountState, _ time.Time) bool { return !a.LeaseFresh },
			message: says("The leader lease was not renewed lately, so another leader may exist. Waiting for the renewal."),
		},
		{
			reason:  ReasonCredentialsInvalid,
			blocked: func(a *AccountState, _ time.Time) bool { return !a.CredentialsVerified },
			message: says("The API key is not verified. Check the key in the account's Secret."),
		},
		{
			reason:  ReasonAccountIdentityChanged,
			blocked: func(a *AccountState, _ time.Time) bool { return !a.IdentityStable },
			message: says("The API key does not belong to the pinned Vast.ai account. Restore a key of that account; its rentals still bill."),
		},
		{
			reason:  ReasonAwaitingFirstSweep,
			blocked: func(a *AccountState, _ time.Time) bool { return !a.SeenTrustedSweep || a.LastTrustedSweepAt.IsZero() },
			message: says("No trusted list of the account's instances was read since the start. Waiting for one."),
		},
		{
			reason:  ReasonSuspiciousDrop,
			blocked: func(a *AccountState, _ time.Time) bool { return a.BreakerTripped },
			message: says("Too many known rentals vanished from the list at once. Nothing is rented until three lists in a row agree."),
		},
		{
			reason:  ReasonProviderUntrusted,
			blocked: func(a *AccountState, _ time.Time) bool { return !a.LastSweep.Trusted },
			message: func(a *AccountState, _ time.Time) string {
				return "The latest list of the account's instances is not trusted. " + a.LastSweep.Message
			},
		},
		{
			reason: ReasonSweepStale,
			blocked: func(a *AccountState, now time.Time) bool {
				age := now.Sub(a.LastTrustedSweepAt)
				// A sweep from the future means that the clock stepped back: its age is unknown.
				return age < 0 || age > a.MaxSweepAge
			},
			message: func(a *AccountState, now time.Time) string {
				return fmt.Sprintf("The last trusted list of the account's instances is %s old, at most %s are allowed. Waiting for the next one.",
					wholeSeconds(now.Sub(a.LastTrustedSweepAt)), wholeSeconds(a.MaxSweepAge))
			},
		},
		{
			reason:  ReasonBalanceUnknown,
			blocked: func(a *AccountState, _ time.Time) bool { return !a.BalanceKnown },
			message: says("The account's balance is not known yet. Waiting for the next reading."),
		},
		{
			reason:  ReasonBalanceLow,
			blocked: func(a *AccountState, _ time.Time) bool { return a.BalanceUSD < a.MinBalanceUSD },
			message: func(a *AccountState, _ time.Time) string {
				return fmt.Sprintf("The balance of $%s is below spec.minBalanceUSD $%s. Add credit.", a.BalanceUSD, a.MinBalanceUSD)
			},
		},
	}
}

// wholeSeconds rounds a duration for people.
func wholeSeconds(d time.Duration) time.Duration { return d.Round(time.Second) }
